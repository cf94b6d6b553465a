"""run_command.sh and run_eval.sh as a user runs them, and the steps that they are made of."""

import ast
import dataclasses
import json
import os
import re
import shlex
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch

from erc.corpus.corpora import own_corpus
from erc.corpus.dialogues import write_dialogues
from erc.files import write_pickle
from erc.options import REPOSITORY
from erc.split_zip import pack
from erc.untrusted import read_pickle
from tests.cogmen.conftest import make_dialogues
from tests.manifests import make_turns, record, write_manifest
from tests.test_commands import check

LIMIT = 900  # seconds of a script; a quick run takes about 100 on a quiet machine
pytestmark = pytest.mark.timeout(3 * LIMIT)


@pytest.fixture(scope="module", autouse=True)
def python(warm_python):
    """What the scripts call; `test_run_eval_scores_what_is_shipped` alone starts each of its steps as a user does."""
    os.environ["PYTHON"] = str(warm_python)
    yield warm_python
    del os.environ["PYTHON"]


def shell(*command, **environment):
    with subprocess.Popen(
        ["bash", *map(str, command)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
        start_new_session=True,
    ) as process:
        try:
            output, error = process.communicate(timeout=LIMIT)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # the script's children hold the pipes open too
            raise
    return process.returncode, output, error


def steps(output):
    return re.findall(r"^== (.*)$", output, re.MULTILINE)


@pytest.fixture(scope="module")
def quick_run(tmp_path_factory):
    """A folder in which `run_command.sh --quick` did all its work, and what it printed."""
    work = tmp_path_factory.mktemp("work")
    code, output, error = shell(REPOSITORY / "run_command.sh", "--quick", "--work", work)
    assert code == 0, error[-3000:]
    return work, output


def test_run_command_goes_from_nothing_to_the_table(quick_run):
    work, output = quick_run
    assert (work / "results/table.md").read_text() in output
    rows = re.findall(r"^\| \((\d)\) .*$", output, re.MULTILINE)
    assert rows == ["1", "3"]
    evaluations = sorted(
        str(path.parent.relative_to(work / "results")) for path in work.glob("results/**/metrics.json")
    )
    cgnn, extractor = [f"cgnn/{m}/seed24" for m in ("a", "at", "t")], [f"extractor/{m}" for m in ("a", "at", "t")]
    assert evaluations == cgnn + extractor
    results = work / "results"
    sizes = {json.loads((results / name / "metrics.json").read_text())["n"] for name in evaluations}
    assert len(sizes) == 1  # every method scored the same held-out utterances


def test_dev_sessions_are_held_out_of_the_extractor(quick_run):
    """Defect 10: dev dialogues that the extractor was trained on."""
    work, _ = quick_run
    checkpoint = torch.load(work / "checkpoint/both_test_1920_speakeronly/best.ckpt", weights_only=True)
    trained_on = set(checkpoint["hyper_parameters"]["trained_on"])
    splits = read_pickle(work / "KEMDy19/new_2019cogmen_format_speaker_only_feat_preprocessed.pkl")
    seen = {split: {s for record in splits[split] for s in record["segment_ids"]} for split in splits}
    assert trained_on and trained_on == seen["train"]
    assert seen["dev"] and seen["test"]


def test_finished_steps_are_not_repeated(quick_run):
    work, output = quick_run
    code, again, error = shell(REPOSITORY / "run_command.sh", "--quick", "--work", work)
    assert code == 0, error
    assert steps(again) == [f"{step}: done already" for step in steps(output)]
    (work / "results/cgnn/a/seed24/metrics.json").unlink()
    (work / "KEMDy19/new_2019cogmen_format_speaker_only_feat_preprocessed.pkl").unlink()
    code, again, error = shell(REPOSITORY / "run_command.sh", "--quick", "--work", work)
    assert code == 0, error
    # the preprocessed file comes out the same, so nothing that depends on it is repeated
    repeated = [step for step in steps(again) if not step.endswith("done already")]
    assert repeated == [
        "Stage 3: features into train, dev and test dialogues",
        "Stage 3: score it on the held-out sessions",
    ]


STAND_IN = """#!{python}
# Stands in for Python: notes each script's command, and makes of its work only the files that come next.
import collections, os, pathlib, sys

script, *arguments = sys.argv[1:]
if script == "-c":
    sys.exit()
if script.endswith("results_table.py"):
    os.execv("{python}", ["{python}", *sys.argv[1:]])
with open("{log}", "a") as log:
    print(script, *arguments, file=log)
options = collections.defaultdict(str, zip(arguments, arguments[1:]))
place, formatted = options["--save_path"] or options["--out_dir"], options["--features_format_path"]
checkpoint = "{{--dataset}}_best_dev_f1_model_{{--modalities}}_{{--tag}}.pt".format_map(options)
made = {{
    "MIRAI/preprocess.py": [f"{{place}}/{{x}}" for x in ("annotation.csv", "annotation_speaker_only.csv", "txt_wav/x")],
    "MIRAI/inference.py": [f"{{place}}/result.csv", f"{{place}}/metrics.json"],
    "COGMEN_code/cogmen_formatting.py": [options["--out"]],
    "MIRAI/feature_extractor_cogmen_format.py": [formatted.replace(".pkl", "_feat.pkl")],
    "COGMEN_code/preprocess.py": [options["--res_dir"]],
    "COGMEN_code/train.py": [f"{{place}}/model_checkpoints/{{checkpoint}}"],
    "COGMEN_code/eval.py": [f"{{place}}/metrics.json"],
    "tools/controls.py": [options["--res_dir"] or f"{{place}}/majority/{{options['--modalities']}}/metrics.json"],
}}.get(script) or [f"{{place}}/checkpoint/{{options['--exp_name']}}/best.ckpt"]
for path in map(pathlib.Path, made):
    path.parent.mkdir(parents=True, exist_ok=True)
    scores = '{{"accuracy": 0.5, "weighted_f1": 0.4, "macro_f1": 0.3}}'
    rows = "model,loss,accuracy,weighted_f1,macro_f1\\naudio,ce,0.5,0.4,0.3\\n"
    path.write_text(scores if path.suffix == ".json" else rows + options["--feat_dir"])
if options.get("--exp_name") == os.environ.get("FAIL", "none"):
    sys.exit(5)
"""


@pytest.fixture
def stand_in(warm_python, tmp_path):
    """The stand-in, and the file in which it notes the commands."""
    python, log = tmp_path / "python", tmp_path / "log"
    python.write_text(STAND_IN.format(python=warm_python, log=log))
    python.chmod(0o755)
    return python, log


def test_a_given_corpus_runs_the_papers_configuration(stand_in, tmp_path, monkeypatch):
    """KEMDy19's directory, then with another seed; the scripts have tests of their own."""
    python, log = stand_in
    corpus, work = tmp_path / "KEMDy19", tmp_path / "work"
    corpus.mkdir()
    command = (REPOSITORY / "run_command.sh", corpus, "--work", work)
    code, output, error = shell(*command, PYTHON=str(python))
    assert code == 0, error
    assert "Make the sample corpus" not in output
    assert re.search(r"published, KEMDy19 +\| 46.22 / 38.57 / - +\| 70.86 / 67.88 / - +\| 72.49 / 69.75 / - ", output)
    asked = {}
    for line in log.read_text().splitlines():
        asked.setdefault(line.split()[0], []).append(check(f"python {line}", monkeypatch, tmp_path))
    assert [(o.using_model, o.exp_name) for o in asked["MIRAI/trainer_hf.py"]] == [
        (using, f"{using}_test_1920_speakeronly") for using in ("text", "audio", "both")
    ]
    for options in asked["MIRAI/trainer_hf.py"]:
        assert (options.text_encoder, options.audio_encoder) == (
            "klue/roberta-base",
            "w11wo/wav2vec2-xls-r-300m-korean",
        )
        assert (options.batch_size, options.accumulate_grad, options.lr, options.max_epochs) == (2, 8, 5e-5, 15)
        assert (options.test_1920, options.test_sessions, options.dev_sessions) == (True, [19, 20], [1, 2])
    for options in asked["COGMEN_code/train.py"]:
        assert (options.batch_size, options.learning_rate, options.drop_rate, options.seed) == (64, 1e-4, 0.5, 24)
        assert options.from_begin

    code, output, error = shell(*command, "--seeds", 2, PYTHON=str(python))
    assert code == 0, error
    repeated = [step for step in steps(output) if not step.endswith("done already")]
    assert [step for step in repeated if "train" in step] == [
        f"Stage 3: train the graph network, {modalities}, seed 25" for modalities in ("t", "a", "at")
    ]
    assert re.search(r"\(3\) CGNN on extractor features, 2 seeds.* ± ", output)
    code, output, error = shell(*command, PYTHON=str(python))
    assert code == 0 and "2 seeds" not in output  # the table is that of the seeds asked for


@pytest.mark.parametrize("held_out", [(), ("--test_sessions", "39 40")])
def test_another_corpus(stand_in, held_out, tmp_path, monkeypatch):
    """KEMDy20's table, test sessions (those that its entry has, or others) and headline, in all stages."""
    python, log = stand_in
    corpus, work = tmp_path / "KEMDy20_v1_1", tmp_path / "work"
    corpus.mkdir()
    command = (REPOSITORY / "run_command.sh", "--corpus", "KEMDy20", corpus, "--work", work, "--device", "cpu")
    code, output, error = shell(*command, *held_out, PYTHON=str(python))
    assert code == 0, error
    commands = [line.split(maxsplit=1) for line in log.read_text().splitlines()]
    stage1 = ["MIRAI/trainer_hf.py", "MIRAI/inference.py"] * 3
    stage2 = ["COGMEN_code/cogmen_formatting.py", "MIRAI/feature_extractor_cogmen_format.py"]
    stage3 = ["COGMEN_code/preprocess.py", *["COGMEN_code/train.py", "COGMEN_code/eval.py"] * 3]
    assert [script for script, _ in commands] == ["MIRAI/preprocess.py", *stage1, *stage2, *stage3]
    for script, line in commands:
        check(f"python {script} {line}", monkeypatch, tmp_path)
        assert "speaker_only" not in line and ("--dataset" not in line or "--dataset KEMDy20" in line)
        assert ("--test_1920=True" in line) == (script in stage1)
        assert (" ".join(held_out) in line) == (not held_out or script in (*stage1, stage2[0]))
        assert held_out or "--test_sessions" not in line
        assert (" --dev_sessions 1 2 3" in line) == (script in (stage1[0], stage3[0]))
    assert commands[0][1] == f"--corpus KEMDy20 --root_path {corpus} --save_path {work}"
    assert "| macro F1 / accuracy / weighted F1 |" in output and "published" not in output
    assert re.search(r"^\| \(3\) .* 30\.00 / 50\.00 / 40\.00 ", output, re.MULTILINE)


def test_extractor_table(stand_in, tmp_path, monkeypatch):
    """The eight trainings and their scoring, with a stand-in for the long work; the scripts have their own tests."""
    python, log = stand_in
    corpus, work = tmp_path / "KEMDy19", tmp_path / "work"
    corpus.mkdir()
    command = (REPOSITORY / "run_command.sh", "--extractor_table", corpus, "--work", work, "--device", "cpu")
    command += ("--devices", 2, "--precision", "bf16-mixed")
    code, output, error = shell(*command, PYTHON=str(python), FAIL="text_ce")
    assert code == 5 and "published" not in output  # a step that fails ends the run

    code, output, error = shell(*command, PYTHON=str(python))
    assert code == 0, error
    commands = log.read_text().splitlines()[4:]  # before: preprocess, audio twice and the one that failed
    assert len(commands) == 7 and "done already" in output
    for line in commands:
        check(f"python {line}", monkeypatch, tmp_path)
        assert f"--csv_path {work}/annotation.csv" in line and "--test_1920" not in line
    *trainings, scoring = commands
    variants = [(line.split()[0], *re.findall(r"--(?:using_model|loss) (\S+)", line)) for line in trainings]
    assert variants == [
        *(("MIRAI/trainer_hf.py", using, loss) for using in ("text", "both") for loss in ("ce", "cs_and_ce")),
        *(("MIRAI/trainer_hf_MMER.py", loss) for loss in ("ce", "cs_and_ce")),
    ]
    options = "--batch_size 2 --accumulate_grad 8 --max_epochs 15 --device cpu --devices 2 --precision bf16-mixed"
    assert all(options in line for line in trainings)
    assert scoring.endswith(" --device cpu --precision bf16-mixed")
    assert scoring.startswith(f"MIRAI/inference.py --all {work}/extractor_table/checkpoint ")
    assert re.search(r"audio +\| ce +\| 50.00 / 40.00 / 30.00 +\| 69.96 / 69.58 / - ", output)
    assert (work / "extractor_table/table.md").read_text() in output


MANIFEST_STAND_IN = """#!{python}
# Stands in for Python: the manifest is read; of the long work it notes each command and makes the files that come next.
import os, pathlib, sys

script, *arguments = sys.argv[1:]
if script == "-c" and "torch" in arguments[0]:
    sys.exit()
if script in ("-c", "MIRAI/preprocess.py", "tools/results_table.py"):
    os.execv("{python}", ["{python}", *sys.argv[1:]])
with open("{log}", "a") as log:
    print(repr([script, *arguments]), file=log)
options = dict(zip(arguments, arguments[1:]))
out = options.get("--out_dir")
made = {{
    "MIRAI/trainer_hf.py": lambda: f"{{out}}/checkpoint/{{options['--exp_name']}}/best.ckpt",
    "COGMEN_code/cogmen_formatting.py": lambda: options["--out"],
    "MIRAI/feature_extractor_cogmen_format.py": lambda: options["--features_format_path"].replace(".pkl", "_feat.pkl"),
    "COGMEN_code/preprocess.py": lambda: options["--res_dir"],
    "COGMEN_code/train.py": lambda: "{{}}/model_checkpoints/{{}}_best_dev_f1_model_{{}}_{{}}.pt".format(
        out, options["--dataset"], options["--modalities"], options["--tag"]
    ),
}}.get(script, lambda: f"{{out}}/metrics.json")()
path = pathlib.Path(made)
path.parent.mkdir(parents=True, exist_ok=True)
path.write_text('{{"accuracy": 0.5, "weighted_f1": 0.4, "macro_f1": 0.3}}')
"""


@pytest.fixture
def run_manifest(warm_python, tmp_path, monkeypatch):
    """`run_manifest(manifest, "--folds", 3)`: with a stand-in for the long work; its commands and what was printed."""
    python, log = tmp_path / "python", tmp_path / "log"
    python.write_text(MANIFEST_STAND_IN.format(python=warm_python, log=log))
    python.chmod(0o755)

    def call(*arguments):
        log.write_text("")
        command = (REPOSITORY / "run_command.sh", *arguments, "--work", tmp_path / "work")
        code, output, error = shell(*command, PYTHON=str(python))
        assert code == 0, error
        commands = [ast.literal_eval(line) for line in log.read_text().splitlines()]
        for words in commands:
            check(shlex.join(["python", *words]), monkeypatch, tmp_path)
        return commands, output

    return call


def test_a_manifest_runs_all_stages(run_manifest, tmp_path):
    manifest, work = write_manifest(tmp_path / "my calls.csv", make_turns()), tmp_path / "work"
    commands, output = run_manifest(manifest, "--text_encoder", "some/encoder")
    assert [words[0].split("/")[1] for words in commands] == [
        *("trainer_hf.py", "inference.py", "cogmen_formatting.py", "feature_extractor_cogmen_format.py"),
        *("preprocess.py", "train.py", "eval.py"),
    ]  # of text alone: the manifest names no recordings
    training = commands[0]
    assert training[training.index("--using_model") + 1] == "text" and "some/encoder" in training
    assert "w11wo/wav2vec2-xls-r-300m-korean" in training
    assert not {"--test_1920=True", "--test_sessions", "--dev_sessions"} & {
        word for words in commands for word in words
    }
    assert (work / "model_checkpoints/my calls_best_dev_f1_model_t_seed24.pt").exists()
    assert re.search(r"\(3\) CGNN on extractor features +\| 50.00 / 40.00 / 30.00 ", output)
    assert run_manifest(manifest, "--text_encoder", "some/encoder")[0] == []


def test_a_manifest_over_folds(run_manifest, tmp_path):
    rows = make_turns(dialogues=4, turns=3)
    record(tmp_path / "speech", rows)
    manifest = write_manifest(tmp_path / "calls.csv", rows)
    commands, output = run_manifest(manifest, "--folds", 3, "--seeds", 2, "--quick")
    assert len(commands) == 3 * (2 * 3 + 3 + 2 * 2 * 3)
    tables = {words[words.index("--csv_path") + 1] for words in commands if "--csv_path" in words}
    assert tables == {str(tmp_path / f"work/annotation_fold{k}.csv") for k in (1, 2, 3)}
    assert {path.name for path in (tmp_path / "work/checkpoint").iterdir()} == {
        f"fold{k}_{using}" for k in (1, 2, 3) for using in ("text", "audio", "both")
    }
    assert re.search(r"\(1\) extractor alone, 3 folds +\| 50.00 / ", output)
    assert re.search(r"\(3\) CGNN on extractor features, 3 folds, 2 seeds +\| 50.00 / ", output)
    assert (tmp_path / "work/results_3_folds/table.md").read_text() in output


FEATURES = "KEMDy19/new_2019cogmen_format_speaker_only_feat.pkl"


def test_run_eval_scores_what_is_shipped(tmp_path):
    code, output, error = shell(REPOSITORY / "run_eval.sh", "--work", tmp_path, PYTHON=sys.executable)
    assert code == 0, error[-3000:]
    assert (tmp_path / "scored/table.md").read_text() in output
    scores = {path.parts[-3]: json.loads(path.read_text()) for path in tmp_path.glob("scored/cgnn/*/*/metrics.json")}
    assert sorted(scores) == ["a", "at", "t"]
    # The shipped networks are trained ones: the commonest emotion alone would get about a third right.
    assert all(score["n"] == 161 and score["accuracy"] > 0.5 for score in scores.values())
    assert scores["at"]["macro_f1"] > 0.4


def test_the_readme_shows_the_table_of_the_shipped_run():
    """The sample table in the README is the committed record of a run, not typed by hand."""
    record = (REPOSITORY / "docs/sample_results.md").read_text().strip()
    assert record in (REPOSITORY / "README.md").read_text()


def test_run_eval_on_own_files(quick_run, tmp_path):
    work, _ = quick_run
    checkpoints = [work / f"model_checkpoints/KEMDy19_best_dev_f1_model_{m}_seed24.pt" for m in ("a", "at")]
    arguments = [argument for checkpoint in checkpoints for argument in ("--checkpoint", checkpoint)]
    code, output, error = shell(
        REPOSITORY / "run_eval.sh", "--work", tmp_path, "--features", work / FEATURES, *arguments
    )
    assert code == 0, error[-3000:]
    for modalities, checkpoint in zip(("a", "at"), checkpoints, strict=True):
        ours = tmp_path / "scored/cgnn" / modalities / checkpoint.stem / "metrics.json"
        assert ours.read_text() == (work / f"results/cgnn/{modalities}/seed24/metrics.json").read_text()
    assert "| a " in output and "| at " in output and "| t " not in output


def test_run_eval_trains_on_own_features_from_a_split_zip(quick_run, tmp_path):
    work, _ = quick_run
    pack(tmp_path / "own.zip", [work / FEATURES], 64 << 10)
    assert (tmp_path / "own.z01").exists()
    arguments = ("--work", tmp_path / "run", "--features", tmp_path / "own.zip", "--train", "--epochs", 1)
    arguments = (*arguments, "--modalities", "t")  # all of them take a minute more
    code, output, error = shell(REPOSITORY / "run_eval.sh", *arguments)
    assert code == 0, error[-3000:]
    assert re.search(r"\(3\) CGNN on extractor features +\| ", output)


def test_run_eval_on_iemocap(tmp_path):
    """A dialogue file of nine items, with text features alone."""
    ids = [f"Ses0{k}" for k in range(10)]
    emotions, turns = np.eye(6, dtype=np.float32), [0, 1, 2, 3, 4, 5, 0, 1]
    absent = {name: [] for name in ids}
    labels = {name: turns for name in ids}
    text = {name: list(emotions[turns]) for name in ids}
    sentences, speakers = ({name: words * 4 for name in ids} for words in (["yes", "no"], ["M", "F"]))
    write_pickle(tmp_path / "i.pkl", [ids, speakers, labels, text, absent, absent, sentences, ids[:8], ids[8:]])
    command = (REPOSITORY / "run_eval.sh", "--work", tmp_path, "--dataset", "iemocap", "--features", tmp_path / "i.pkl")
    code, output, error = shell(*command, "--train", "--epochs", 1)
    assert code == 0, error[-3000:]
    assert "| t " in output and "| a " not in output
    checkpoint = tmp_path / "model_checkpoints/iemocap_best_dev_f1_model_t_seed24.pt"
    assert torch.load(checkpoint, weights_only=True)["options"]["batch_size"] == 32
    code, output, error = shell(*command, "--checkpoint", checkpoint)
    assert code == 0, error[-3000:]
    trained, scored = tmp_path / "results/cgnn/t/seed24", tmp_path / "scored/cgnn/t" / checkpoint.stem
    assert (scored / "predictions.csv").read_text() == (trained / "predictions.csv").read_text()


def test_run_eval_on_a_corpus_that_the_file_names(tmp_path):
    corpus = own_corpus("f.pkl", "calls", ["calm", "cross", "glad"])
    file = make_dialogues(sessions=4, turns=(3, 5))
    for dialogue in file.dialogues:
        dialogue.labels %= 3
    write_dialogues(tmp_path / "f.pkl", dataclasses.replace(file, corpus=corpus))
    command = (REPOSITORY / "run_eval.sh", "--work", tmp_path, "--features", tmp_path / "f.pkl")
    code, _, error = shell(*command, "--train", "--epochs", 1, "--modalities", "t")
    assert code == 0, error[-3000:]
    checkpoint = tmp_path / "model_checkpoints/calls_best_dev_f1_model_t_seed24.pt"
    assert torch.load(checkpoint, weights_only=True)["options"]["batch_size"] == 64
    code, _, error = shell(*command, "--checkpoint", checkpoint)
    assert code == 0, error[-3000:]


def test_run_eval_keeps_a_corpuss_options_with_the_published_recipe(stand_in, tmp_path):
    python, log = stand_in
    (tmp_path / "a.pkl").write_text("a")
    command = ("--features", tmp_path / "a.pkl", "--work", tmp_path / "work", "--dataset", "iemocap", "--device", "cpu")
    for recipe, options in (("published", "--batch_size 32 --epochs 55 "), ("improved", "")):
        more = ("--train", "--modalities", "t", "--recipe", recipe)
        code, _, error = shell(REPOSITORY / "run_eval.sh", *command, *more, PYTHON=str(python))
        assert code == 0, error
        assert f"--seed 24 {options}--recipe {recipe} --device cpu" in log.read_text()


def test_a_table_of_run_eval_is_of_one_set_of_features_and_options(stand_in, tmp_path):
    python, _ = stand_in
    for name in ("a", "b"):
        (tmp_path / f"{name}.pkl").write_text(name)

    def shown(features, modalities, *more):
        """By row of the table, the modalities that it has a score of."""
        command = ("--features", tmp_path / f"{features}.pkl", "--work", tmp_path / "work", "--modalities", modalities)
        code, output, error = shell(REPOSITORY / "run_eval.sh", "--train", *command, *more, PYTHON=str(python))
        assert code == 0, error
        lines = [line.split("|")[1:-1] for line in output.splitlines() if "|" in line]
        head, _, *rows = [[cell.strip() for cell in line] for line in lines]
        return {row[0]: " ".join(m for m, cell in zip(head[1:], row[1:], strict=True) if cell != "-") for row in rows}

    cgnn = "(3) CGNN on extractor features"
    altered = (
        "labels to learn shuffled",
        "speakers shuffled",
        "turns in random order",
        "among turns of other dialogues",
    )
    controls = ["majority: the commonest emotion", *(f"CGNN, {what}" for what in altered)]
    assert shown("a", "t", "--controls") == dict.fromkeys([cgnn, *controls], "t")
    ablated, of_run_command = tmp_path / "work/results/ablations/no_graph", tmp_path / "work/results/extractor"
    for folder in (ablated, of_run_command):
        folder.mkdir(parents=True)
    more = {f"{cgnn}, 2 seeds": "t at", **dict.fromkeys(controls, "t")}
    assert shown("a", "at", "--seeds", 2) == more and ablated.exists()
    assert shown("b", "t") == {cgnn: "t"} and of_run_command.exists() and not ablated.exists()
    assert shown("b", "a", "--controls") == {cgnn: "a t", **dict.fromkeys(controls, "a")}
    assert shown("b", "at", "--epochs", 1) == {cgnn: "at"}


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["run_command.sh", "--sedes", "3"], "unknown option --sedes"),
        (["run_command.sh", "--seeds", "none"], "--seeds none: expected a number"),
        (["run_command.sh", "--seeds"], "--seeds needs a value"),
        (["run_command.sh", "--extractor_table", "--epochs", "3"], "--epochs does not go with --extractor_table"),
        (["run_command.sh", "--corpus", "MNIST", "a"], "--corpus MNIST: expected KEMDy19 or KEMDy20"),
        (["run_command.sh", "--corpus", "KEMDy20"], "--corpus KEMDy20: give its directory, too"),
        (["run_command.sh", "a", "b"], "b: expected one directory or manifest at most"),
        (["run_command.sh", "no_such_folder"], "no such directory; give KEMDy19's, or a manifest"),
        (["run_command.sh", "--folds", "3"], "--folds goes with a manifest"),
        (["run_command.sh", __file__, "--folds", "1"], "--folds 1: expected 2 to 99"),
        (["run_command.sh", __file__, "--fold_by", "speaker"], "--fold_by needs --folds"),
        (["run_command.sh", __file__, "--dev_sessions", "1"], "--dev_sessions does not go with a manifest"),
        (["run_eval.sh", "--seeds", "3"], "--seeds goes with --train"),
        (["run_eval.sh", "--features", "x.pkl"], "--features needs --checkpoint FILE or --train"),
        (["run_eval.sh", "extra"], "unknown argument extra"),
        (["run_eval.sh", "--dataset", "iemocap"], "--dataset goes with --features"),
        (["run_eval.sh", "--modalities", "t"], "--modalities goes with --train"),
        (["run_eval.sh", "--checkpoint", "none.pt", "--train"], "give either --train or --checkpoint"),
    ],
)
def test_wrong_arguments(command, message):
    code, _, error = shell(REPOSITORY / command[0], *command[1:])
    assert code == 2 and message in error


@pytest.mark.parametrize("script", ["run_command.sh", "run_eval.sh"])
def test_help(script):
    code, output, error = shell(REPOSITORY / script, "--help")
    assert (code, error) == (0, "")
    assert f"bash {script}" in output and "--force" in output and "set -e" not in output


def test_python_without_the_requirements_is_told(tmp_path):
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S "$@"\n')
    bare.chmod(0o755)
    code, _, error = shell(REPOSITORY / "run_eval.sh", PYTHON=str(bare))
    assert code == 1 and "lacks the requirements" in error


def run_step(folder, command, **environment):
    script = f'source "{REPOSITORY}/tools/steps.sh"; steps={folder}/steps; set -e; {command}'
    return shell("-c", script, **environment)


def test_a_step_is_repeated_when_its_input_or_command_changes(tmp_path):
    (tmp_path / "in").write_text("1")

    def run_copy(command="cp", **environment):
        step = f'step x "Copy" --in {tmp_path}/in --out {tmp_path}/out -- {command} {tmp_path}/in {tmp_path}/out'
        return steps(run_step(tmp_path, step, **environment)[1])

    assert run_copy() == ["Copy"]
    assert run_copy() == ["Copy: done already"]
    assert run_copy(force="1") == ["Copy"]
    (tmp_path / "in").write_text("2")
    assert run_copy() == ["Copy"]
    assert run_copy("cp -p") == ["Copy"]
    (tmp_path / "out").unlink()
    assert run_copy("cp -p") == ["Copy"]


def test_a_step_is_recorded_as_what_it_did(tmp_path):
    """While it ran, another run began it with other words, and was refused."""
    rival = f"echo other words >{tmp_path}/steps/x.begun"
    step = f"step x 'Train' --out {tmp_path}/out -- bash -c 'touch {tmp_path}/out; {rival}'"
    assert steps(run_step(tmp_path, step)[1]) == ["Train"]
    assert steps(run_step(tmp_path, step)[1]) == ["Train: done already"]


def test_a_failed_step_is_repeated_or_resumed(tmp_path):
    program, told = tmp_path / "program", tmp_path / "told"
    program.write_text(f'echo "$@" >>{told}\ntouch {tmp_path}/state {tmp_path}/out\n[[ $* == *--resume* ]]\n')

    def run_program(*words, **environment):
        state = f"--out {tmp_path}/out --state {tmp_path}/state --afresh --overwrite"
        return run_step(tmp_path, f'step x "Train" {state} -- bash {program} {" ".join(words)}', **environment)

    assert run_program()[0] == 1
    code, output, _ = run_program()
    assert code == 0 and steps(output) == [f"Train (goes on from {tmp_path}/state)"]
    assert steps(run_program()[1]) == ["Train: done already"]
    assert run_program("other")[0] == 1  # another command never goes on from that state
    assert run_program(force="1")[0] == 1
    assert told.read_text().splitlines() == ["--overwrite", "--resume", "other --overwrite", "--overwrite"]
