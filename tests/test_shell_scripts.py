"""run_command.sh and run_eval.sh as a user runs them, and the steps that they are made of."""

import json
import os
import re
import subprocess
import sys

import pytest
import torch

from cogmen.options import REPOSITORY
from cogmen.safe_files import read_pickle


def shell(*command, **environment):
    result = subprocess.run(
        ["bash", *map(str, command)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHON": sys.executable, **environment},
    )
    return result.returncode, result.stdout, result.stderr


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


def test_more_seeds_add_to_a_finished_run(quick_run):
    work, _ = quick_run
    code, output, error = shell(REPOSITORY / "run_command.sh", "--quick", "--work", work, "--seeds", 2)
    assert code == 0, error
    repeated = [step for step in steps(output) if not step.endswith("done already")]
    assert [step for step in repeated if "train" in step] == [
        f"Stage 3: train the graph network, {modalities}, seed 25" for modalities in ("a", "t", "at")
    ]
    assert re.search(r"\(3\) CGNN on extractor features, 2 seeds.* ± ", output)


def test_a_given_corpus_runs_the_papers_configuration(tmp_path, run_script):
    """A tiny corpus of 20 sessions in KEMDy19's place, with its small encoders."""
    corpus = tmp_path / "corpus"
    run_script("MIRAI/make_sample_corpus.py", "--out", corpus, "--turns", 2, 3)
    code, output, error = shell(
        *(REPOSITORY / "run_command.sh", corpus, "--work", tmp_path / "work", "--max_epochs", 1, "--epochs", 1),
        *("--text_encoder", corpus / "encoders/text", "--audio_encoder", corpus / "encoders/audio"),
    )
    assert code == 0, error[-3000:]
    assert "Make the sample corpus" not in output
    assert re.search(r"published, KEMDy19 +\| 46.22 / 38.57 / - +\| 70.86 / 67.88 / - +\| 72.49 / 69.75 / - ", output)
    trained = torch.load(tmp_path / "work/model_checkpoints/KEMDy19_best_dev_f1_model_at_seed24.pt", weights_only=True)
    options = trained["options"]
    assert (options["batch_size"], options["learning_rate"], options["drop_rate"]) == (64, 1e-4, 0.5)
    extractor = torch.load(tmp_path / "work/checkpoint/both_test_1920_speakeronly/best.ckpt", weights_only=True)
    options = extractor["hyper_parameters"]["options"]
    assert (options["batch_size"], options["accumulate_grad"], options["lr"]) == (2, 8, 5e-5)
    assert (options["test_sessions"], options["dev_sessions"]) == ([19, 20], [1, 2])


@pytest.mark.parametrize(
    ("command", "code", "message"),
    [
        (["run_command.sh", "--sedes", "3"], 2, "unknown option --sedes"),
        (["run_command.sh", "--seeds", "none"], 2, "--seeds none: expected a number"),
        (["run_command.sh", "--seeds"], 2, "--seeds needs a value"),
        (["run_command.sh", "no_such_folder"], 2, "no such directory; give KEMDy19's"),
        (["run_eval.sh", "--seeds", "3"], 2, "--seeds goes with --train"),
        (["run_eval.sh", "--features", "x.pkl"], 2, "--features needs --checkpoint FILE or --train"),
        (["run_eval.sh", "extra"], 2, "unknown argument extra"),
        (["run_eval.sh", "--checkpoint", "none.pt", "--train"], 2, "give either --train or --checkpoint"),
    ],
)
def test_wrong_arguments(command, code, message):
    found, _, error = shell(REPOSITORY / command[0], *command[1:])
    assert found == code and message in error


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
    script = f'ROOT={REPOSITORY}; source "$ROOT/COGMEN_code/steps.sh"; STEPS={folder}/steps; set -e; {command}'
    return shell("-c", script, **environment)


def test_a_failed_step_is_repeated(tmp_path):
    fails = f'step x "Try" --out {tmp_path}/out -- sh -c "touch {tmp_path}/out; exit 3"'
    assert run_step(tmp_path, fails)[0] == 3
    assert run_step(tmp_path, fails)[0] == 3


def test_a_step_is_repeated_when_its_input_or_command_changes(tmp_path):
    (tmp_path / "in").write_text("1")

    def run_copy(command="cp", **environment):
        step = f'step x "Copy" --in {tmp_path}/in --out {tmp_path}/out -- {command} {tmp_path}/in {tmp_path}/out'
        return steps(run_step(tmp_path, step, **environment)[1])

    assert run_copy() == ["Copy"]
    assert run_copy() == ["Copy: done already"]
    assert run_copy(FORCE="1") == ["Copy"]
    (tmp_path / "in").write_text("2")
    assert run_copy() == ["Copy"]
    assert run_copy("cp -p") == ["Copy"]
    (tmp_path / "out").unlink()
    assert run_copy("cp -p") == ["Copy"]
