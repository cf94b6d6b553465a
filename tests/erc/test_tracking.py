"""What train.py leaves in TensorBoard's event files and in Comet."""

import json
import sys
import zipfile
from functools import partial

import pytest

from cogmen.checkpoints import load_checkpoint
from erc.corpus.corpora import KEMDY19
from erc.corpus.dialogues import write_preprocessed
from erc.corpus.splits import divide
from tests.children import run_child
from tests.cogmen.conftest import make_dialogues
from tests.conftest import load_script
from tests.pictures import blank_pictures  # noqa: F401 (a fixture)

KEY = "KeyThatMustNotBeStored"
QUICK = ("--from_begin", "--epochs", "2", "--rnn", "gru", "--hidden_size", "8")


@pytest.fixture(scope="module")
def preprocessed(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "preprocessed.pkl"
    write_preprocessed(path, divide(make_dialogues(sessions=12), KEMDY19))
    return path


@pytest.fixture
def train(run_script, preprocessed, tmp_path, monkeypatch):
    """`train("--log_in_comet", ...)`, with no key in the environment; gives OUT_DIR."""
    monkeypatch.delenv("COMET_API_KEY", raising=False)

    def call(*more):
        paths = ("--preprocessed_feature", preprocessed, "--out_dir", tmp_path)
        run_script("COGMEN_code/train.py", *paths, *QUICK, *more)
        return tmp_path

    return call


def read_archive(path):
    """(parameters, metrics by name, confusion matrices by title) of an offline experiment, checked as `comet upload`
    checks what it reads."""
    from comet_ml import schemas

    checks = {
        "parameter_msg": schemas.get_parameter_msg_validator(),
        "metric_msg": schemas.get_metric_msg_validator(),
        "log_other": schemas.get_log_other_msg_validator(),
        "file_upload": schemas.get_upload_msg_validator(),
    }
    parameters, metrics, matrices = {}, {}, {}
    with zipfile.ZipFile(path) as archive:
        schemas.get_experiment_file_validator().validate(json.loads(archive.read("experiment.json")))
        for line in archive.read("messages.json").decode().splitlines():
            message = json.loads(line)
            payload = message["payload"]
            checks[message["type"]].validate(payload)
            if message["type"] == "parameter_msg":
                entry = payload.get("param") or payload["params"]
                parameters[entry["paramName"]] = entry["paramValue"]
            elif message["type"] == "metric_msg":
                metrics.setdefault(payload["metric"]["metricName"], []).append(payload["metric"]["metricValue"])
            elif message["type"] == "file_upload":
                assert payload["upload_type"] == "confusion-matrix"
                matrix = json.loads(archive.read(payload["file_path"]))
                matrices[matrix["title"]] = matrix
    return parameters, metrics, matrices


def test_an_offline_experiment_holds_parameters_metrics_and_the_confusion_matrix(train, capsys):
    out_dir = train("--log_in_comet", "--comet_workspace", "team", "--wp", 3)
    (path,) = (out_dir / "comet").glob("*.zip")
    assert f"`comet upload {path}`" in capsys.readouterr().out
    parameters, metrics, matrices = read_archive(path)
    assert parameters["wp"] == 3 and parameters["learning_rate"] == 1e-4 and "comet_api_key" not in parameters
    best = load_checkpoint(next((out_dir / "model_checkpoints").glob("*.pt"))).dev_weighted_f1
    assert len(metrics["dev_weighted_f1"]) == 2 and max(metrics["dev_weighted_f1"]) == pytest.approx(best)
    assert len(metrics["train_loss"]) == len(metrics["dev_accuracy"]) == 2
    assert len(metrics["test_weighted_f1"]) == len(metrics["test_macro_f1"]) == 1
    (matrix,) = matrices.values()
    assert matrix["labels"][0] == "neutral" and len(matrix["matrix"]) == 7
    correct = sum(matrix["matrix"][k][k] for k in range(7))
    assert metrics["test_accuracy"] == [pytest.approx(correct / sum(map(sum, matrix["matrix"])))]
    with zipfile.ZipFile(path) as archive:
        assert json.loads(archive.read("experiment.json"))["workspace"] == "team"


def test_tensorboard_shows_the_scores_of_every_epoch(train):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    out_dir = train()
    train()
    runs = sorted((out_dir / "tensorboard" / "KEMDy19_at_tmp").iterdir())
    assert [run.name for run in runs] == ["version_0", "version_1"]
    events = EventAccumulator(str(runs[0])).Reload()
    history = (out_dir / "model_checkpoints/KEMDy19_best_dev_f1_model_at_tmp.csv").read_text().splitlines()
    for name, *values in zip(*(line.split(",") for line in history), strict=True):
        if name != "epoch":
            scalars = events.Scalars(name)
            assert [scalar.step for scalar in scalars] == [1, 2]
            assert [scalar.value for scalar in scalars] == pytest.approx(list(map(float, values)))
    assert len(events.Scalars("test_weighted_f1")) == 1


def work_without_them(*arguments):
    """In a child, in which no other test has imported them."""
    import mirai.training.fit  # noqa: F401 (stage 1's)

    load_script("COGMEN_code/tune.py")
    load_script("COGMEN_code/train.py").main([*map(str, arguments)])
    imported = {"comet_ml", "optuna"} & set(sys.modules)
    assert not imported, imported


def test_comet_and_optuna_are_imported_only_when_asked_for(preprocessed, tmp_path):
    run_child(partial(work_without_them, "--preprocessed_feature", preprocessed, "--out_dir", tmp_path, *QUICK))
    assert not (tmp_path / "comet").exists()


def test_the_key_goes_to_comet_and_nowhere_else(train, monkeypatch, capsys):
    comet_ml = pytest.importorskip("comet_ml")
    asked, start = [], comet_ml.start

    def recorded(**settings):
        asked.append(settings)
        if settings["online"]:
            return type("Unreachable", (), {"alive": False})()
        return start(**settings)

    monkeypatch.setattr(comet_ml, "start", recorded)
    out_dir = train("--log_in_comet", "--comet_api_key", KEY, "--comet_workspace", "team")
    assert (asked[0]["api_key"], asked[0]["workspace"], asked[0]["online"]) == (KEY, "team", True)
    shown = capsys.readouterr()
    assert "Comet cannot be reached, or refuses the key; an offline archive is written instead" in shown.out
    (path,) = (out_dir / "comet").glob("*.zip")
    with zipfile.ZipFile(path) as archive:
        assert not any(KEY.encode() in archive.read(name) for name in archive.namelist())
    files = [file for file in out_dir.rglob("*") if file.is_file()]
    assert len(files) >= 4 and not any(KEY.encode() in file.read_bytes() for file in files)
    assert KEY not in shown.out + shown.err
    monkeypatch.setenv("COMET_API_KEY", "FromTheEnvironment")
    train("--log_in_comet")
    assert asked[2]["api_key"] == "FromTheEnvironment"


def test_trouble_with_comet_does_not_end_a_training(train, monkeypatch, capsys):
    comet_ml = pytest.importorskip("comet_ml")

    def fail(*_, **__):
        raise RuntimeError("the server is on fire\nin several places")

    monkeypatch.setattr(comet_ml, "start", fail)
    out_dir = train("--log_in_comet")
    shown = capsys.readouterr().out
    assert shown.count("note: Comet: the server is on fire; nothing more is logged there") == 1
    assert len(list((out_dir / "model_checkpoints").glob("*.pt"))) == 1


@pytest.mark.parametrize("flag", ["--comet_api_key", "--comet_workspace"])
def test_comets_options_alone_would_do_nothing(train, flag, capsys):
    with pytest.raises(SystemExit) as error:
        train(flag, "x")
    assert error.value.code == 2 and f"{flag}: needs --log_in_comet" in capsys.readouterr().err
