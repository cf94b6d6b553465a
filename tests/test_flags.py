"""Every flag of every script has a test that shows what it does.

TESTS names that test. It must run the script and give it the flag: both stand, as texts of their own, in the test's
source, or in that of the fixtures, helpers and constants that it uses.
"""

import ast
import dataclasses
import functools

import pytest

from erc.options import REPOSITORY
from tests.conftest import load_script

# What users of the published tools know, and what was promised beside: these flags stay.
KEPT = {
    "MIRAI/preprocess.py": "root_path save_path",
    "MIRAI/trainer_hf.py": "exp_name using_model batch_size accumulate_grad test_1920 csv_path loss clip_length "
    "text_encoder audio_encoder lr max_epochs test_sessions device resume log_in_comet comet_api_key comet_workspace",
    "MIRAI/trainer_hf_MMER.py": "exp_name batch_size accumulate_grad test_1920 csv_path loss clip_length text_encoder "
    "audio_encoder lr max_epochs test_sessions device resume log_in_comet comet_api_key comet_workspace",
    "MIRAI/inference.py": "ckpt_path test_1920 csv_path test_sessions device out_dir",
    "MIRAI/feature_extractor_cogmen_format.py": "model_save_path csv_path features_format_path device",
    "COGMEN_code/preprocess.py": "dataset feat_dir res_dir split_utterances seed text_feature dev_sessions",
    "COGMEN_code/train.py": "tag dataset modalities from_begin epochs preprocessed_feature batch_size optimizer "
    "scheduler learning_rate weight_decay max_grad_value drop_rate wp wf hidden_size rnn class_weight "
    "concat_gin_gout seqcontext_nlayer gnn_nheads use_highway seed device model_ckpt log_in_comet comet_api_key "
    "comet_workspace tuning resume options",
    "COGMEN_code/eval.py": "dataset modalities pt_dir data_dir device out_dir",
}
S1, F1 = "tests/mirai/test_stage1_scripts.py::test_", "tests/mirai/test_flag_effects.py::test_"
S3, F3 = "tests/cogmen/test_stage3_scripts.py::test_", "tests/cogmen/test_flag_effects.py::test_"
FUSION, SAMPLE = "tests/mirai/test_fusion.py::test_", "tests/mirai/test_sample_corpus.py::test_"
PREPROCESS, SBERT = "tests/mirai/test_preprocess.py::test_", "tests/cogmen/test_sbert.py::test_"
TRAINING, TRACKING = "tests/cogmen/test_training.py::test_", "tests/erc/test_tracking.py::test_"
TUNING, RESULTS = "tests/cogmen/test_tuning.py::test_", "tests/erc/test_results.py::test_"
ARCHIVE, CONVERT = "tests/erc/test_split_zip.py::test_", "tests/cogmen/test_published_checkpoints.py::test_"
EXTRACTION = "tests/mirai/test_extraction.py::test_"
COMET1 = "tests/mirai/test_tracking.py::test_an_offline_experiment_of_the_extractor"

_TRAINER = {
    "--exp_name": S1 + "training_prints_what_it_used_and_what_came_of_it",
    "--batch_size": F1 + "the_training_is_another",
    "--accumulate_grad": F1 + "the_training_is_another",
    "--test_1920": S1 + "no_test_session_utterance_is_read_in_training",
    "--csv_path": S1 + "training_changes_with_its_data_and_seed",
    "--txt_wav": S1 + "no_test_session_utterance_is_read_in_training",
    "--loss": F1 + "the_training_is_another",
    "--text_encoder": S1 + "checkpoint_needs_nothing_else",
    "--audio_encoder": S1 + "checkpoint_needs_nothing_else",
    "--lr": F1 + "the_training_is_another",
    "--max_epochs": S1 + "resumed_training_ends_where_an_uninterrupted_one_does",
    "--test_sessions": S1 + "training_flags_that_make_no_sense",
    "--dev_sessions": S1 + "training_prints_what_it_used_and_what_came_of_it",
    "--clip_length": S1 + "training_prints_what_it_used_and_what_came_of_it",
    "--seed": F1 + "the_training_is_another",
    "--device": F1 + "a_device_that_is_not_there",
    "--devices": F1 + "what_lightning_is_asked_for",
    "--num_nodes": F1 + "what_lightning_is_asked_for",
    "--strategy": F1 + "what_lightning_is_asked_for",
    "--precision": F1 + "what_lightning_is_asked_for",
    "--max_batch_seconds": "tests/mirai/test_distributed.py::test_batches_of_limited_duration_under_torchrun",
    "--gradient_checkpointing": F1 + "the_training_is_the_same",
    "--compile": F1 + "compiled_training",
    "--freeze_feature_encoder": "tests/mirai/test_training_modes.py::test_frozen_feature_encoder_stays_as_it_was",
    "--cache": F1 + "the_cache_of_a_training",
    "--num_workers": F1 + "the_training_is_the_same",
    "--resume": S1 + "resumed_training_ends_where_an_uninterrupted_one_does",
    "--overwrite": S1 + "existing_experiment_is_kept_unless_asked",
    "--out_dir": S1 + "training_prints_what_it_used_and_what_came_of_it",
    "--log_in_comet": COMET1,
    "--comet_api_key": COMET1,
    "--comet_workspace": COMET1,
}
TESTS = {
    "MIRAI/preprocess.py": {
        "--root_path": PREPROCESS + "funnel_and_tables",
        "--save_path": PREPROCESS + "funnel_and_tables",
        "--files": PREPROCESS + "links_then_copies_then_links",
        "--check": PREPROCESS + "check_tells_every_problem_and_writes_nothing",
    },
    "MIRAI/trainer_hf.py": {**_TRAINER, "--using_model": S1 + "one_modality_fills_its_own_place"},
    "MIRAI/trainer_hf_MMER.py": _TRAINER,
    "MIRAI/inference.py": {
        "--ckpt_path": FUSION + "a_checkpoint_alone_gives_what_all_gives",
        "--all": FUSION + "all_experiments_in_one_table",
        "--csv_path": S1 + "scores_do_not_depend_on_batches_or_row_order",
        "--txt_wav": F1 + "speech_elsewhere",
        "--test_1920": S1 + "scores_of_the_held_out_sessions",
        "--test_sessions": S1 + "sessions_seen_in_training_are_not_scored",
        "--batch_size": S1 + "scores_do_not_depend_on_batches_or_row_order",
        "--batch_seconds": F1 + "how_inference_works_changes_no_result",
        "--num_workers": F1 + "how_inference_works_changes_no_result",
        "--cache": F1 + "how_inference_works_changes_no_result",
        "--precision": F1 + "how_inference_works_changes_no_result",
        "--device": F1 + "a_device_that_is_not_there",
        "--out_dir": S1 + "scores_of_the_held_out_sessions",
    },
    "MIRAI/feature_extractor_cogmen_format.py": {
        "--model_save_path": S1 + "every_turn_gets_its_own_embedding",
        "--csv_path": S1 + "extraction_twice_and_with_shuffled_rows_gives_the_same_file",
        "--features_format_path": S1 + "extraction_twice_and_with_shuffled_rows_gives_the_same_file",
        "--txt_wav": F1 + "speech_elsewhere",
        "--batch_size": S1 + "every_turn_gets_its_own_embedding",
        "--batch_seconds": EXTRACTION + "batches_change_nothing_but_rounding",
        "--num_workers": EXTRACTION + "batches_change_nothing_but_rounding",
        "--precision": EXTRACTION + "half_precision_is_near",
        "--cache": EXTRACTION + "speech_that_cannot_be_read_is_named",
        "--shard": EXTRACTION + "shards_of_two_processes_make_the_same_file",
        "--merge": EXTRACTION + "shards_of_two_processes_make_the_same_file",
        "--device": F1 + "a_device_that_is_not_there",
    },
    "MIRAI/make_sample_corpus.py": {
        "--out": SAMPLE + "same_seed_same_bytes_whatever_the_processes",
        "--sessions": SAMPLE + "the_tokenizer_has_not_seen_the_test_sessions",
        "--seed": SAMPLE + "other_seed_other_corpus",
        "--turns": SAMPLE + "the_tokenizer_has_not_seen_the_test_sessions",
        "--scripts": F1 + "the_dialogues_of_the_sample_corpus",
        "--impros": F1 + "the_dialogues_of_the_sample_corpus",
        "--test_sessions": SAMPLE + "the_tokenizer_has_not_seen_the_test_sessions",
        "--workers": SAMPLE + "same_seed_same_bytes_whatever_the_processes",
        "--overwrite": SAMPLE + "an_existing_directory_is_kept",
    },
    "COGMEN_code/cogmen_formatting.py": {
        "--csv_path": S1 + "formatting",
        "--txt_wav": F1 + "speech_elsewhere",
        "--test_sessions": F1 + "the_formatted_test_dialogues",
        "--out": S1 + "formatting",
    },
    "COGMEN_code/preprocess.py": {
        "--feat_dir": S3 + "it_learns_and_writes_what_it_promises",
        "--res_dir": S3 + "it_learns_and_writes_what_it_promises",
        "--dataset": F3 + "the_corpus_must_fit",
        "--text_feature": SBERT + "through_the_script",
        "--sbert": SBERT + "through_the_script",
        "--dev_sessions": F3 + "how_preprocessing_divides",
        "--split_utterances": F3 + "how_preprocessing_divides",
        "--seed": F3 + "how_preprocessing_divides",
        "--device": F3 + "a_device_that_is_not_there",
    },
    "COGMEN_code/train.py": {
        "--preprocessed_feature": S3 + "it_learns_and_writes_what_it_promises",
        "--dataset": F3 + "the_corpus_must_fit",
        "--modalities": F3 + "modalities_and_tag",
        "--tag": F3 + "modalities_and_tag",
        "--out_dir": S3 + "the_same_seed_gives_the_same_weights",
        "--from_begin": S3 + "the_same_seed_gives_the_same_weights",
        "--model_ckpt": S3 + "training_continues_from_a_checkpoint",
        "--epochs": F3 + "epochs",
        "--batch_size": F3 + "the_training_is_another",
        "--optimizer": F3 + "the_training_is_another",
        "--scheduler": F3 + "the_training_is_another",
        "--learning_rate": F3 + "the_training_is_another",
        "--weight_decay": F3 + "the_training_is_another",
        "--max_grad_value": F3 + "the_training_is_another",
        "--class_weight": F3 + "the_training_is_another",
        "--drop_rate": F3 + "the_training_is_another",
        "--wp": F3 + "the_training_is_another",
        "--wf": F3 + "the_training_is_another",
        "--seed": F3 + "the_training_is_another",
        "--rnn": F3 + "the_network_is_another",
        "--seqcontext_nlayer": F3 + "the_network_is_another",
        "--hidden_size": F3 + "the_network_is_another",
        "--gnn_nheads": F3 + "the_network_is_another",
        "--concat_gin_gout": F3 + "the_network_is_another",
        "--use_highway": F3 + "the_network_is_another",
        "--log_in_comet": TRACKING + "an_offline_experiment_holds_parameters_metrics_and_the_confusion_matrix",
        "--comet_api_key": TRACKING + "the_key_goes_to_comet_and_nowhere_else",
        "--comet_workspace": TRACKING + "the_key_goes_to_comet_and_nowhere_else",
        "--tuning": TUNING + "train_tuning_searches_with_its_other_options_fixed",
        "--options": TUNING + "train_takes_the_best_options_and_reaches_the_same_score",
        "--device": F3 + "a_device_that_is_not_there",
        "--tf32": F3 + "how_exactly_a_gpu_multiplies",
        "--compile": F3 + "compiled_training",
        "--resume": TRAINING + "an_interrupted_training_ends_as_an_uninterrupted_one",
        "--save_every": TRAINING + "the_state_is_saved_as_often_as_asked",
    },
    "COGMEN_code/tune.py": {
        **dict.fromkeys(
            (
                *("--dataset", "--modalities", "--epochs", "--batch_size", "--optimizer", "--scheduler", "--rnn"),
                *("--learning_rate", "--weight_decay", "--max_grad_value", "--drop_rate", "--wf", "--hidden_size"),
                *("--seqcontext_nlayer", "--gnn_nheads", "--concat_gin_gout", "--use_highway", "--seed", "--device"),
                *("--options", "--tf32"),
            ),
            TUNING + "what_is_given_holds_for_every_trial",
        ),
        "--class_weight": TUNING + "train_takes_the_best_options_and_reaches_the_same_score",
        "--tag": TUNING + "train_takes_the_best_options_and_reaches_the_same_score",
        "--wp": TUNING + "train_tuning_searches_with_its_other_options_fixed",
        "--preprocessed_feature": TUNING + "the_test_dialogues_do_not_change_the_search",
        "--out_dir": TUNING + "a_study_goes_on_and_stops_at_its_trials",
        "--trials": TUNING + "a_study_goes_on_and_stops_at_its_trials",
        "--study": TUNING + "a_study_is_not_mixed_with_another",
        "--storage": TUNING + "a_journal_file_elsewhere",
        "--pruner": TUNING + "bad_trials_end_early",
        "--stale_minutes": TUNING + "how_long_a_silent_trial_is_waited_for",
        "--log_in_comet": TUNING + "trials_are_logged_in_comet",
        "--comet_workspace": TUNING + "trials_are_logged_in_comet",
        "--comet_api_key": TUNING + "comets_optimizer_suggests_where_a_key_is_given",
    },
    "COGMEN_code/eval.py": {
        "--pt_dir": S3 + "it_learns_and_writes_what_it_promises",
        "--data_dir": S3 + "it_learns_and_writes_what_it_promises",
        "--dataset": F3 + "the_corpus_must_fit",
        "--modalities": S3 + "what_does_not_fit_is_refused",
        "--batch_size": S3 + "the_scores_do_not_depend_on_the_batch",
        "--out_dir": S3 + "it_learns_and_writes_what_it_promises",
        "--device": S3 + "wrong_devices",
    },
    "COGMEN_code/archive.py": {
        "--out": ARCHIVE + "script_packs_and_unpacks",
        "--files": ARCHIVE + "script_packs_and_unpacks",
        "--part_size_mb": ARCHIVE + "script_packs_and_unpacks",
        "--base": F3 + "names_in_an_archive",
        "--manifest": ARCHIVE + "script_checks_the_manifest_first",
        "--archive": ARCHIVE + "script_packs_and_unpacks",
        "--out_dir": ARCHIVE + "script_packs_and_unpacks",
    },
    "COGMEN_code/convert_checkpoint.py": {
        "old": CONVERT + "it_is_scored_and_trained_on",
        "new": CONVERT + "it_is_scored_and_trained_on",
        "--dataset": CONVERT + "a_converted_checkpoint_whose_corpus_is_not_told",
        "--modalities": CONVERT + "a_converted_checkpoint_whose_corpus_is_not_told",
        "--feature_sizes": CONVERT + "sizes_of_several_modalities",
    },
    "tools/results_table.py": {
        "--results_dir": RESULTS + "table",
        "--extractor_table": RESULTS + "extractor_table",
        "--published": RESULTS + "published_numbers_stand_beside",
        "--out": RESULTS + "table",
    },
}
# Run by the maintainers on a finished run of the whole sample, which a test cannot afford; so are the benchmarks.
MAINTENANCE = {"tools/release_sample.py"}

# The trainers differ in their network only: one's test of an option that both have is the other's.
TWINS = {"MIRAI/trainer_hf_MMER.py": "MIRAI/trainer_hf.py"}


class Parsed(Exception):
    pass


def scripts():
    paths = [*REPOSITORY.glob("MIRAI/*.py"), *REPOSITORY.glob("COGMEN_code/*.py")]
    return sorted({str(path.relative_to(REPOSITORY)) for path in paths} - MAINTENANCE)


def flags(script, monkeypatch):
    """The flags that a script takes, and the names of the arguments that it takes by place."""
    module, found = load_script(script), set()

    def stop(cls, *_):
        fields = [field for field in dataclasses.fields(cls) if field.init]
        found.update(field.name if field.metadata["positional"] else f"--{field.name}" for field in fields)
        raise Parsed

    monkeypatch.setattr(module, "parse", stop)
    for arguments in (["pack"], ["unpack"]) if script == "COGMEN_code/archive.py" else ([],):
        with pytest.raises(Parsed):
            module.main(arguments)
    return found


@functools.cache
def definitions(path):
    """By name, the functions, classes and constants of a module, and the modules that it takes names from."""
    found, sources = {}, {}
    for node in ast.parse((REPOSITORY / path).read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found[node.name] = node
        elif isinstance(node, ast.Assign):
            found.update({target.id: node for target in node.targets if isinstance(target, ast.Name)})
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tests"):
            sources.update({alias.name: node.module.replace(".", "/") + ".py" for alias in node.names})
    return found, sources


def find(name, path):
    """(definition, its module) of a name that a test module uses: its own, imported, or a fixture of a conftest."""
    found, sources = definitions(path)
    if name in found:
        return found[name], path
    if name in sources:
        return find(name, sources[name])
    folder = path.rsplit("/", 1)[0]
    for conftest in (f"{folder}/conftest.py", "tests/conftest.py"):
        if conftest != path and (REPOSITORY / conftest).exists() and name in definitions(conftest)[0]:
            return definitions(conftest)[0][name], conftest
    return None


def texts(name, path, seen=None):
    """The texts in the source of a test, and of all that it uses, documentation left out."""
    seen = set() if seen is None else seen
    definition = find(name, path)
    if definition is None or (name, definition[1]) in seen:
        return set()
    node, path = definition
    seen.add((name, path))
    documentation = {id(inner.value) for inner in ast.walk(node) if isinstance(inner, ast.Expr)}
    found, used = set(), set()
    for inner in ast.walk(node):
        if isinstance(inner, ast.Constant) and isinstance(inner.value, str) and id(inner) not in documentation:
            found.add(inner.value)
        elif isinstance(inner, ast.Name):
            used.add(inner.id)
        elif isinstance(inner, ast.arg):
            used.add(inner.arg)
    return found.union(*(texts(other, path, seen) for other in used))


def fault(script, flag, test):
    """What is wrong with the test named for a flag, or None."""
    path, _, name = test.partition("::")
    if not (REPOSITORY / path).is_file() or not name.startswith("test") or find(name, path) is None:
        return f"{script} {flag}: there is no test {test}"
    source = texts(name, path)
    if flag.startswith("--") and not any(text == flag or text.startswith(f"{flag}=") for text in source):
        return f"{script} {flag}: {test} does not use it, nor does what that test uses"
    paths = [path for path in (script, TWINS.get(script)) if path]
    if not any(path in source or set(path.split("/")) <= source for path in paths):
        return f"{script} {flag}: {test} does not run the script"
    return None


@pytest.mark.parametrize("script", scripts())
def test_every_flag_has_a_test(script, monkeypatch):
    there, named = flags(script, monkeypatch), TESTS.get(script, {})
    faults = [
        f'{script} {flag}: no test is named for it; add to TESTS["{script}"] in tests/test_flags.py: '
        f'"{flag}": "tests/.../test_FILE.py::test_that_shows_what_it_does"'
        for flag in sorted(there - set(named))
    ]
    faults += [f"{script} {flag}: the script has no such flag" for flag in sorted(set(named) - there)]
    faults += [
        f"{script} --{flag}: a flag that must stay" for flag in KEPT.get(script, "").split() if f"--{flag}" not in there
    ]
    faults += filter(None, (fault(script, flag, test) for flag, test in named.items() if flag in there))
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize(
    ("flag", "test", "message"),
    [
        ("--wp", F3 + "nothing", "there is no test"),
        ("--wp", "tests/cogmen/conftest.py::make_dialogues", "there is no test"),
        ("--tuning", F3 + "the_training_is_another", "does not use it"),
        ("--seed", S1 + "training_changes_with_its_data_and_seed", "does not run the script"),
        ("--wp", F3 + "the_training_is_another", None),
    ],
)
def test_a_wrong_line_of_the_table_is_found(flag, test, message):
    found = fault("COGMEN_code/train.py", flag, test)
    assert found is None if message is None else message in found
