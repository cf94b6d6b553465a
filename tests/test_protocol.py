"""run_command.sh --cv, --cross_fit, --extractor_seeds, --ablate: which script is given which sessions.

With a stand-in for the long work, whose commands are noted; the scripts have tests of their own."""

import shlex
import sys
from collections import Counter

import pytest

from erc.corpus.annotations import COLUMNS
from erc.files import write_table
from erc.options import REPOSITORY
from tests.test_commands import check
from tests.test_shell_scripts import shell

STAND_IN = """#!{python} -IS
# Stands in for Python: notes each script's command, and makes of its work only the files that come next.
import os, pathlib, shutil, sys

script, *arguments = sys.argv[1:]
if script == "-c" and "torch" in arguments[0]:
    sys.exit()
if script in ("-c", "tools/results_table.py"):
    os.execv("{python}", ["{python}", *sys.argv[1:]])
with open("{log}", "a") as log:
    print(repr([script, *arguments]), file=log)
options = dict(zip(arguments, arguments[1:]))
out = options.get("--out_dir")
made = {{
    "MIRAI/preprocess.py": lambda: options["--save_path"] + "/txt_wav/x",
    "MIRAI/trainer_hf.py": lambda: f"{{out}}/checkpoint/{{options['--exp_name']}}/best.ckpt",
    "COGMEN_code/cogmen_formatting.py": lambda: options["--out"],
    "MIRAI/feature_extractor_cogmen_format.py": lambda: options["--features_format_path"].replace(".pkl", "_feat.pkl"),
    "COGMEN_code/preprocess.py": lambda: options["--res_dir"],
    "COGMEN_code/train.py": lambda: "{{}}/model_checkpoints/{{}}_best_dev_f1_model_{{}}_{{}}.pt".format(
        out, options["--dataset"], options["--modalities"], options["--tag"]
    ),
    "tools/ablations.py": lambda: options["--out"],
}}.get(script, lambda: f"{{out}}/metrics.json")()
path = pathlib.Path(made)
path.parent.mkdir(parents=True, exist_ok=True)
path.write_text('{{"accuracy": 0.5, "weighted_f1": 0.4, "macro_f1": 0.3}}')
if script == "MIRAI/preprocess.py":
    shutil.copy("{table}", options["--save_path"] + "/annotation_speaker_only.csv")
"""


def write_annotations(path, sessions):
    blank = dict.fromkeys(COLUMNS, "")
    rows = [
        {**blank, "segment_id": f"Sess{n:02}_impro01_F001", "emotion": "sad", "wav_start": 0, "wav_end": 1}
        for n in sessions
    ]
    write_table(path, COLUMNS, [list(row.values()) for row in rows])


@pytest.fixture
def run(tmp_path, monkeypatch):
    """`run("--cv", 5, sessions=10)`: run_command.sh on a corpus of so many sessions; its commands as dicts of lists,
    the script under "", and what was printed."""
    (tmp_path / "KEMDy19").mkdir()
    python, log, table = tmp_path / "python", tmp_path / "log", tmp_path / "table.csv"
    python.write_text(STAND_IN.format(python=sys.executable, log=log, table=table))
    python.chmod(0o755)

    def call(*arguments, sessions=20):
        write_annotations(table, range(1, sessions + 1))
        log.write_text("")
        command = (REPOSITORY / "run_command.sh", tmp_path / "KEMDy19", "--work", tmp_path / "work")
        code, output, error = shell(*command, *arguments, PYTHON=str(python))
        assert code == 0, error
        return [parsed(line, monkeypatch, tmp_path) for line in log.read_text().splitlines()], output

    return call


def parsed(line, monkeypatch, tmp_path):
    script, *words = eval(line)  # noqa: S307 (our own list of strings)
    check(shlex.join(["python", script, *words]), monkeypatch, tmp_path)
    found = {"": script}
    for word in words:
        if word.startswith("--"):
            flag = word.partition("=")[0]
            found[flag] = []
        else:
            found[flag].append(word)
    return found


def of(commands, script):
    return [command for command in commands if command[""].endswith(script)]


def numbers(command, flag):
    return [int(word) for word in command[flag]]


def test_each_session_is_held_out_once_in_every_stage(run):
    commands, output = run("--cv", 3, sessions=6)
    formatted, divided = of(commands, "cogmen_formatting.py"), of(commands, "COGMEN_code/preprocess.py")
    groups = [numbers(command, "--test_sessions") for command in formatted]
    assert groups == [[1, 2], [3, 4], [5, 6]]
    dev = [numbers(command, "--dev_sessions") for command in divided]
    assert dev == [[3, 4], [5, 6], [1, 2]]
    trainings = of(commands, "trainer_hf.py")
    assert len(trainings) == 9 and len({command["--exp_name"][0] for command in trainings}) == 9
    for k, command in enumerate(trainings):
        assert numbers(command, "--test_sessions") == groups[k // 3]
        assert numbers(command, "--dev_sessions") == dev[k // 3] and "--test_1920" in command
    for k, command in enumerate(of(commands, "inference.py")):
        assert numbers(command, "--test_sessions") == groups[k // 3]
    assert len({command["--features_format_path"][0] for command in of(commands, "cogmen_format.py")}) == 3
    assert "(3) CGNN on extractor features, 3 folds" in output and "published" not in output
    assert "Folds: each turn is predicted once" in output


def test_groups():
    """Of ten groups of KEMDy19's sessions the last one is the published test set."""
    ask = f'source "{REPOSITORY}/tools/steps.sh"; for k in {{0..9}}; do group $k 10 {{1..20}}; done; group 1 3 a b c d'
    code, output, _ = shell("-c", ask)
    assert code == 0 and output.splitlines() == [*(f"{n} {n + 1}" for n in range(1, 20, 2)), "b"]


def test_groups_of_unlike_sizes_and_extractors_with_seeds(run):
    commands, output = run("--cv", 2, "--extractor_seeds", 2, "--seeds", 2, sessions=7)
    trainings, graphs = of(commands, "trainer_hf.py"), of(commands, "train.py")
    held_out = [numbers(command, "--test_sessions") for command in trainings[::6]]
    assert held_out == [[1, 2, 3], [4, 5, 6, 7]]
    assert [numbers(command, "--dev_sessions") for command in trainings[::6]] == [[4, 5], [1, 2]]
    assert [command["--seed"] for command in trainings] == ([["42"]] * 3 + [["43"]] * 3) * 2
    tags = Counter(command["--tag"][0] for command in graphs)
    expected = [f"fold{k}_extractor{e}_seed{s}" for k in (1, 2) for e in (42, 43) for s in (24, 25)]
    assert tags == dict.fromkeys(expected, 3)  # a, t and at
    assert "(1) extractor alone, 2 folds, 2 extractors " in output
    assert "(3) CGNN on extractor features, 2 folds, 2 extractors, 2 seeds" in output
    assert "±: standard deviation over all runs of a row" in output


def test_cross_fitting_leaves_each_training_session_out_of_one_extractor(run):
    commands, _ = run("--cross_fit", 4)
    crossing = [command for command in of(commands, "trainer_hf.py") if "cross" in command["--exp_name"][0]]
    unseen = [set(numbers(command, "--test_sessions")) - {19, 20} for command in crossing]
    assert [sorted(own) for own in unseen] == [list(range(n, n + 4)) for n in (3, 7, 11, 15)]
    for command in crossing:
        assert {19, 20} < set(numbers(command, "--test_sessions"))
        assert numbers(command, "--dev_sessions") == [1, 2] and command["--using_model"] == ["both"]
    (extraction,) = of(commands, "cogmen_format.py")
    assert len(extraction["--cross_fit"]) == 4 and "both_test_1920" in extraction["--model_save_path"][0]
    assert all(f"cross{k}of4" in path for k, path in enumerate(extraction["--cross_fit"], start=1))
    usual, _ = run()  # the extractors of all training sessions are there already
    assert not of(usual, "trainer_hf.py") and len(of(usual, "train.py")) == 3
    again, _ = run("--cross_fit", 4)
    assert not of(again, "train.py") and not of(again, "trainer_hf.py")


def test_ablations_of_the_recipe_are_trained_and_shown(run):
    commands, _ = run("--recipe", "improved", "--ablate", "--epochs", 1)
    trainings = of(commands, "train.py")
    assert all(command["--recipe"] == ["improved"] for command in trainings)
    ablated = Counter(command.get("--ablate", ["whole"])[0] for command in trainings)
    names = ["whole", "no_context", "no_mask", "no_speaker", "window_0", "window_2", "window_10", "window_all"]
    assert ablated == dict.fromkeys(names, 3)
    places = {command["--out_dir"][0].split("/work/")[1] for command in of(commands, "eval.py")}
    expected = {"cgnn", *(f"ablations/{name}" for name in names[1:])}
    assert places == {
        f"results_improved/{one}/{modalities}/improved_seed24" for one in expected for modalities in ("a", "t", "at")
    }
    assert of(commands, "ablations.py")[0]["--results_dir"][0].endswith("results_improved")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--cv", "1"], "--cv 1: expected 2 to 99"),
        (["--cv", "5", "--test_sessions", "1"], "--test_sessions does not go with --cv"),
        (["--extractor_table", "--cv", "5"], "--cv does not go with --extractor_table"),
        (["--extractor_seeds", "0"], "--extractor_seeds 0: expected a number of at least 1"),
        ([__file__, "--cross_fit", "4"], "--cross_fit does not go with a manifest"),
    ],
)
def test_wrong_arguments(arguments, message):
    code, _, error = shell(REPOSITORY / "run_command.sh", *arguments)
    assert code == 2 and message in error


@pytest.mark.parametrize(
    ("arguments", "sessions", "message"),
    [
        (["--cv", 3], 4, "--cv 3: 4 sessions are too few for as many groups, 2 of dev and training"),
        (["--cv", 9], 8, "--cv 9: 8 sessions are too few for as many groups, 2 of dev and training"),
        (["--cv", 2, "--cross_fit", 5], 8, "--cross_fit 5: 2 training sessions; give no larger number"),
    ],
)
def test_too_few_sessions(run, arguments, sessions, message):
    with pytest.raises(AssertionError, match=message):
        run(*arguments, sessions=sessions)
