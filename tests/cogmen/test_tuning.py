"""tune.py and train.py --tuning: what is searched, by how many processes, and what is left behind."""

import csv
import glob
import json
import os
import pwd
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import torch

import cogmen.run
import cogmen.tuning.search
from cogmen.checkpoints import load_checkpoint
from cogmen.training import TrainOptions
from cogmen.tuning.space import SPACE, comet_config
from erc.corpus.corpora import KEMDY19
from erc.corpus.dialogues import write_dialogues
from erc.corpus.preprocessed import read_preprocessed
from erc.options import REPOSITORY, UserError
from tests.cogmen.conftest import make_dialogues
from tests.erc.test_tracking import read_archive

QUICK = ("--epochs", 4, "--batch_size", 8, "--rnn", "gru", "--hidden_size", 8)


@pytest.fixture(scope="module")
def preprocessed(tmp_path_factory, run_script):
    folder = tmp_path_factory.mktemp("tuning")
    write_dialogues(folder / "feat.pkl", make_dialogues(sessions=12))
    paths = ("--feat_dir", folder / "feat.pkl", "--res_dir", folder / "preprocessed.pkl")
    run_script("COGMEN_code/preprocess.py", *paths)
    return folder / "preprocessed.pkl"


@pytest.fixture
def tune(run_script, preprocessed, tmp_path):
    """`tune("--trials", 3, ...)`: the study's folder."""

    def call(*arguments, script="COGMEN_code/tune.py", name="KEMDy19_at_tmp"):
        run_script(script, "--preprocessed_feature", preprocessed, "--out_dir", tmp_path, *QUICK, *arguments)
        return tmp_path / "tuning" / name

    return call


def made_up(network, train_dialogues, dev_dialogues, options, device, on_epoch):
    """A training that takes no time; its score depends on the dropout alone."""
    scores = [options.drop_rate * epoch / options.epochs for epoch in range(1, options.epochs + 1)]
    for epoch, score in enumerate(scores, 1):
        on_epoch({"epoch": epoch, "dev_weighted_f1": score})
    return len(scores), scores[-1], []


@pytest.fixture
def no_training(monkeypatch):
    monkeypatch.setattr(cogmen.tuning.search, "train", made_up)


def trials_of(folder):
    with (folder / "trials.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def ended(folder):
    return [row for row in trials_of(folder) if row["state"] in ("complete", "pruned")]


def test_the_space_holds_the_published_options():
    published = TrainOptions(from_begin=True)
    for name, values in SPACE.items():
        value = getattr(published, name)
        assert value in (False, True) if isinstance(value, bool) else values.low <= value <= values.high
        assert values.from_comet(str(value) if isinstance(value, bool) else value) == value
    config = comet_config(list(SPACE))
    assert config["parameters"]["learning_rate"] == {
        "type": "float",
        "scalingType": "loguniform",
        "min": 1e-5,
        "max": 1e-3,
    }
    assert config["parameters"]["wp"]["type"] == "integer" and config["spec"]["objective"] == "maximize"


def test_train_takes_the_best_options_and_reaches_the_same_score(tune, run_script, preprocessed, tmp_path, capsys):
    folder = tune("--trials", 2, "--tag", "x", "--class_weight", "False", name="KEMDy19_at_x")
    shown = capsys.readouterr().out
    best = max(trials_of(folder), key=lambda row: float(row["dev_weighted_f1"]))
    options = json.loads((folder / "best_options.json").read_text())
    assert options["epochs"] == 4 and options["rnn"] == "gru" and options["class_weight"] is False
    assert options["drop_rate"] == float(best["drop_rate"]) and "class_weight" not in best
    (command,) = (line.removeprefix("next: ") for line in shown.splitlines() if line.startswith("next: "))
    _, script, *arguments = shlex.split(command)
    assert script == "COGMEN_code/train.py" and arguments[:2] == ["--options", str(folder / "best_options.json")]
    run_script(script, *arguments, "--out_dir", tmp_path)
    checkpoint = load_checkpoint(tmp_path / "model_checkpoints/KEMDy19_best_dev_f1_model_at_best.pt")
    assert checkpoint.dev_weighted_f1 == float(best["dev_weighted_f1"])
    assert checkpoint.options["wp"] == options["wp"]


def test_train_tuning_searches_with_its_other_options_fixed(tune, no_training, capsys):
    given = ("--tuning", "--from_begin", "--wp", 5, "--wf", 3, "--epochs", 1, "--seed", 7)
    folder = tune(*given, script="COGMEN_code/train.py")
    assert "fixed: wf, wp" in capsys.readouterr().out
    rows = trials_of(folder)
    assert len(rows) == 50 and "wp" not in rows[0]
    assert (rows[0]["seqcontext_nlayer"], rows[0]["learning_rate"], rows[0]["drop_rate"]) == ("2", "0.0001", "0.5")
    best = json.loads((folder / "best_options.json").read_text())
    assert (best["wp"], best["wf"], best["epochs"], best["seed"]) == (5, 3, 1, 7)
    assert best["drop_rate"] == max(float(row["drop_rate"]) for row in rows) > 0.65  # what the made-up score rewards
    assert not (folder.parents[1] / "model_checkpoints").exists()


def test_what_is_given_holds_for_every_trial(tune, monkeypatch, tmp_path):
    given = {"--modalities": "a", "--dataset": "KEMDy19", "--batch_size": 3, "--optimizer": "sgd", "--rnn": "lstm"}
    given |= {"--scheduler": "expLR", "--weight_decay": 0.1, "--max_grad_value": 0.5, "--hidden_size": 12, "--seed": 3}
    given |= {"--concat_gin_gout": True, "--learning_rate": 0.01, "--drop_rate": 0.25, "--seqcontext_nlayer": 3}
    given |= {"--gnn_nheads": 2, "--use_highway": True, "--wf": 7, "--epochs": 2, "--device": "cpu", "--tf32": True}
    (tmp_path / "file.json").write_text(json.dumps({"class_weight": True, "epochs": 9}))
    seen = []

    def recorded(network, train_dialogues, dev_dialogues, options, device, on_epoch):
        seen.append((options, network.architecture, device.type))
        return made_up(network, train_dialogues, dev_dialogues, options, device, on_epoch)

    monkeypatch.setattr(cogmen.tuning.search, "train", recorded)
    arguments = [part for pair in given.items() for part in pair]
    tune("--options", tmp_path / "file.json", "--trials", 3, *arguments, name="KEMDy19_a_tmp")
    for options, architecture, device in seen:
        assert all(getattr(options, flag.removeprefix("--")) == value for flag, value in given.items())
        assert options.class_weight and options.from_begin and not options.tuning and device == "cpu"
        assert (architecture.rnn, architecture.gnn_nheads, architecture.feature_size) == ("lstm", 2, 8)
    assert len({options.wp for options, _, _ in seen}) > 1 and len(seen) == 3


def test_trials_are_logged_in_comet(tune, no_training, tmp_path, monkeypatch):
    pytest.importorskip("comet_ml")
    monkeypatch.delenv("COMET_API_KEY", raising=False)
    tune("--trials", 2, "--log_in_comet", "--comet_workspace", "team")
    archives = [read_archive(path) for path in (tmp_path / "comet").glob("*.zip")]
    assert len(archives) == 2 and all(len(metrics["dev_weighted_f1"]) == 4 for _, metrics, _ in archives)
    assert len({parameters["learning_rate"] for parameters, _, _ in archives}) == 2


def test_the_test_dialogues_do_not_reach_the_search(tune, no_training, preprocessed, monkeypatch):
    made = []

    def recorded(records, modalities):
        made.extend(record["id"] for record in records)
        return as_tensors(records, modalities)

    as_tensors = cogmen.run.as_tensors
    monkeypatch.setattr(cogmen.run, "as_tensors", recorded)
    tune("--trials", 1)
    splits = read_preprocessed(preprocessed, KEMDY19)
    assert made == [record["id"] for split in ("train", "dev") for record in splits[split]]


def test_a_study_goes_on_and_stops_at_its_trials(tune, no_training):
    assert len(trials_of(tune("--trials", 2))) == 2
    before = trials_of(tune("--trials", 2))
    rows = trials_of(tune("--trials", 5))
    assert len(rows) == 5 and rows[:2] == before
    assert len({row["learning_rate"] for row in rows}) == 5


def test_a_study_is_not_mixed_with_another(tune, no_training):
    tune("--trials", 1)
    with pytest.raises(UserError, match=r"--study KEMDy19_at_tmp: .* --epochs 5 \(it was 4\); give the same"):
        tune("--trials", 2, "--epochs", 5)
    with pytest.raises(UserError, match="options searched"):
        tune("--trials", 2, "--wp", 5)
    tune("--trials", 1, "--wp", 5, "--study", "other", name="other")


@pytest.mark.parametrize("pruner", ["median", "hyperband", "none"])
def test_bad_trials_end_early(tune, no_training, pruner):
    rows = trials_of(tune("--trials", 25, "--epochs", 9, "--pruner", pruner))
    pruned = [row for row in rows if row["state"] == "pruned"]
    assert len(rows) == 25 and bool(pruned) == (pruner != "none")
    assert all(int(row["epochs"]) < 9 for row in pruned)


def test_options_that_do_not_fit_into_memory_are_not_tried_again(tune, monkeypatch):
    def too_big(network, train_dialogues, dev_dialogues, options, device, on_epoch):
        if options.seqcontext_nlayer > 2:
            try:
                raise torch.OutOfMemoryError("no room")
            except torch.OutOfMemoryError:
                raise UserError("the GPU's memory does not suffice") from None
        return made_up(network, train_dialogues, dev_dialogues, options, device, on_epoch)

    monkeypatch.setattr(cogmen.tuning.search, "train", too_big)
    rows = trials_of(tune("--trials", 6))
    failed = [row for row in rows if row["reason"] == "out of GPU memory"]
    assert len(rows) == 6 and failed and all(int(row["seqcontext_nlayer"]) > 2 for row in failed)


def test_an_interrupted_trial_is_tried_again(tune, monkeypatch):
    def interrupted(*arguments):
        raise UserError("stopped by SIGTERM in epoch 1 of 4")

    monkeypatch.setattr(cogmen.tuning.search, "train", interrupted)
    with pytest.raises(UserError, match="trial 0: stopped by SIGTERM in epoch 1 of 4; the same command goes on"):
        tune("--trials", 2)
    monkeypatch.setattr(cogmen.tuning.search, "train", made_up)
    rows = trials_of(tune("--trials", 2))
    assert [row["state"] for row in rows] == ["fail", "complete", "complete"]
    assert all(rows[0][name] == rows[1][name] for name in SPACE)


def test_a_half_written_journal_line_does_not_end_the_study(tune, no_training):
    journal = tune("--trials", 2) / "journal.log"
    journal.write_bytes(journal.read_bytes() + b'{"op_code": 4, "worker')
    assert len(ended(tune("--trials", 3))) == 3
    journal.write_text("not a journal\n")
    with pytest.raises(UserError, match=r"journal\.log: not a journal file"):
        tune("--trials", 4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--trials", "0"], "--trials 0: expected at least 1"),
        (["--study", "a/b"], "--study a/b: expected a name without slashes"),
        (["--storage", "sqlite:///x.db"], "expected a journal file or postgresql+psycopg://..., found sqlite://"),
        (["--pruner", "best"], "--pruner"),
        (["--stale_minutes", "0"], "--stale_minutes 0: expected more than 0"),
        (["--model_ckpt", "x.pt"], "unrecognized arguments: --model_ckpt"),
        (["--comet_workspace", "w"], "--comet_workspace: needs --log_in_comet"),
    ],
)
def test_wrong_options_are_refused(tune, arguments, message, capsys):
    with pytest.raises(SystemExit) as error:
        tune(*arguments)
    assert error.value.code == 2 and message in capsys.readouterr().err


def test_a_journal_file_elsewhere(tune, no_training, tmp_path):
    folder = tune("--trials", 1, "--storage", tmp_path / "shared/x.log")
    assert (tmp_path / "shared/x.log").stat().st_size and not (folder / "journal.log").exists()


def test_nothing_left_to_search(tune, tmp_path):
    chosen = {"seqcontext_nlayer": 1, "gnn_nheads": 1, "learning_rate": 1e-4, "wp": 5, "wf": 5}
    chosen |= {"use_highway": False, "class_weight": True, "drop_rate": 0.5}
    (tmp_path / "all.json").write_text(json.dumps(chosen))
    with pytest.raises(UserError, match="every option that a search varies is given"):
        tune("--options", tmp_path / "all.json")


def test_an_unreachable_server_is_told_without_its_password(tune, tmp_path):
    storage = f"postgresql+psycopg://user:hidden_word@/x?host={tmp_path}"
    with pytest.raises(UserError, match="--storage .*: cannot be reached: ") as error:
        tune("--storage", storage)
    assert "hidden_word" not in str(error.value)


# ---- several processes


@pytest.fixture
def start(preprocessed, tmp_path):
    """`start(hang_after, ...)`: a process of `tuning_worker`; ended with the test."""
    processes = []
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}

    def call(hang_after, *arguments):
        shared = ("--preprocessed_feature", preprocessed, "--out_dir", tmp_path, *QUICK, "--pruner", "none")
        command = [sys.executable, "-m", "tests.cogmen.tuning_worker", hang_after, *shared, *arguments]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        processes.append(subprocess.Popen(list(map(str, command)), cwd=REPOSITORY, env=environment, **pipes))
        return processes[-1]

    yield call
    for process in processes:
        process.kill()
        process.communicate(timeout=240)


def wait_for(process, line):
    for shown in process.stdout:
        if shown.strip() == line:
            return
    pytest.fail(f"no line {line!r}: {process.stderr.read()}")


def finish(process):
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    return out


def work_together(start, folder, *arguments):
    """Three processes share 12 trials; one of them is killed in its second, the other two rush for what it leaves."""
    arguments = ("--trials", 12, *arguments)
    killed = start(1, *arguments)
    wait_for(killed, "hanging")  # has one trial done and another begun
    survivors = [start(-1, *arguments) for _ in range(2)]
    for process in survivors:
        wait_for(process, "waiting for trials that run in other processes")
    killed.kill()
    shown = [finish(process) for process in survivors]
    assert all("12 complete" in text for text in shown)

    rows = trials_of(folder)
    done = ended(folder)
    assert len(done) == 12 and [row["trial"] for row in rows] == [str(k) for k in range(len(rows))]
    pids = {row["pid"] for row in done}
    assert str(killed.pid) in pids and len(pids) > 1
    (lost,) = (row for row in rows if row["reason"] == "its process was killed")
    assert lost["pid"] == str(killed.pid) and lost["state"] == "fail"
    again = [row for row in done if all(row[name] == lost[name] for name in SPACE)]
    assert len(again) == 1 and again[0]["pid"] != lost["pid"]
    assert len({tuple(row[name] for name in SPACE) for row in done}) == 12
    told = f"trial {lost['trial']}: its process was killed"
    assert [told in text for text in shown].count(True) == 1


def test_several_processes_and_one_journal_file(start, tmp_path):
    work_together(start, tmp_path / "tuning/KEMDy19_at_tmp")


def test_several_processes_and_one_postgresql_server(start, postgresql, tmp_path):
    folder = tmp_path / "tuning/KEMDy19_at_tmp"
    work_together(start, folder, "--storage", postgresql)
    assert not (folder / "journal.log").exists()


@pytest.fixture
def postgresql():
    """The URL of a PostgreSQL server of this test's own: its data and its socket in a temporary directory, no port."""
    programs = sorted(glob.glob("/usr/lib/postgresql/*/bin"), key=lambda path: int(path.split("/")[-2]))
    if not programs and not shutil.which("initdb"):
        pytest.skip("PostgreSQL's server is not installed (Debian: postgresql)")
    programs = Path(programs[-1] if programs else Path(shutil.which("initdb")).resolve().parent)
    who = {}
    if os.geteuid() == 0:  # the server refuses to run as root
        try:
            pwd.getpwnam("postgres")
        except KeyError:
            pytest.skip("these tests run as root, and there is no user postgres to run PostgreSQL's server")
        who = {"user": "postgres", "group": "postgres", "extra_groups": []}
    with tempfile.TemporaryDirectory(prefix="pg") as folder:  # a socket's path may have 107 characters only
        if who:
            shutil.chown(folder, "postgres", "postgres")
        data = f"{folder}/data"

        def call(program, *arguments):
            command = [programs / program, "-D", data, *arguments]
            log = {"stdout": subprocess.DEVNULL, "stderr": subprocess.STDOUT, "stdin": subprocess.DEVNULL}
            subprocess.run(command, check=True, cwd=folder, **log, **who, timeout=240)

        call("initdb", "-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C", "--no-sync")
        settings = f"-c listen_addresses='' -c unix_socket_directories='{folder}' -c fsync=off"
        call("pg_ctl", "-w", "-l", f"{folder}/log", "-o", settings, "start")
        try:
            yield f"postgresql+psycopg://postgres@/postgres?host={folder}"
        finally:
            call("pg_ctl", "-m", "immediate", "stop")


# ---- a trial on another machine, as the storage shows it


def test_how_long_a_silent_trial_is_waited_for(tune, no_training, monkeypatch):
    from cogmen.tuning import study as module

    asked, workers = [], module.Workers
    monkeypatch.setattr(module, "Workers", lambda *a: asked.append(a[2]) or workers(*a))
    tune("--trials", 1, "--stale_minutes", 3)
    assert asked == [3.0]


def test_a_trial_of_another_machine_is_left_alone_until_it_is_stale(tmp_path, monkeypatch):
    from cogmen.tuning import study as module

    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    study = module.open_study(tmp_path / "journal.log", "s", {"--epochs": 4}, None)
    with module.Workers(study, tmp_path / "workers", stale_minutes=10) as here:
        elsewhere = here.take(2)
        elsewhere.set_user_attr("worker", {"host": "elsewhere", "pid": 1, "claim": "/nowhere/x"})
        elsewhere.suggest_float("drop_rate", 0.1, 0.7)
        elsewhere.report(0.1, 1)
        assert here.recover() == []
        now[0] += 599
        elsewhere.report(0.2, 2)
        assert here.recover() == []
        now[0] += 599
        assert here.recover() == []
        now[0] += 1
        assert here.recover() == [0] and here.recover() == []
        again = here.take(2)
        assert again.suggest_float("drop_rate", 0.1, 0.7) == elsewhere.params["drop_rate"]
        assert here.take(1) is None and not here.finished(1)
        study.tell(again, 0.5)
        assert here.finished(1)


def test_a_trial_is_put_back_only_so_often(tmp_path):
    from cogmen.tuning import study as module

    study = module.open_study(tmp_path / "journal.log", "s", {}, None)
    with module.Workers(study, tmp_path / "workers", stale_minutes=10) as here:
        for _ in range(1 + module.MAX_RETRIES):
            trial = here.take(1)
            trial.suggest_float("drop_rate", 0.1, 0.7)
            here.give_up(trial, "killed")
        values = {trial.params["drop_rate"] for trial in study.trials}
        assert len(study.trials) == 3 and len(values) == 1
        fresh = here.take(1)
        assert fresh.number == 3 and fresh.suggest_float("drop_rate", 0.1, 0.7) not in values
        assert fresh.user_attrs["worker"]["host"] == socket.gethostname()


# ---- Comet's Optimizer, of which only a stand-in can be had without an account


class StandIn:
    """What `comet_ml.Optimizer` is documented to do."""

    made = []

    def __init__(self, config, api_key=None, verbose=1):
        self.id, self.experiments = "optimizer-1", []
        StandIn.made.append((config, api_key))

    def next(self, **more):
        if len(self.experiments) == 2:
            return None
        self.experiments.append(Experiment())
        return self.experiments[-1]


class Experiment:
    url, alive = None, True

    def __init__(self):
        self.metrics, self.ended = [], False

    def get_parameter(self, name):
        return {"use_highway": "True", "class_weight": "False", "learning_rate": 3e-4}.get(name, 0.25)

    def log_metrics(self, metrics, epoch, step):
        self.metrics.append((epoch, metrics["dev_weighted_f1"]))

    def log_parameters(self, values):
        assert values["learning_rate"] == 3e-4

    def end(self):
        self.ended = True

    def get_key(self):
        return "key"


def test_comets_optimizer_suggests_where_a_key_is_given(tune, no_training, monkeypatch, capsys):
    comet_ml = pytest.importorskip("comet_ml")
    optimizers = []
    monkeypatch.setattr(comet_ml, "Optimizer", lambda *a, **b: optimizers.append(StandIn(*a, **b)) or optimizers[-1])
    monkeypatch.setattr(
        comet_ml, "start", lambda **_: type("Own", (Experiment,), {"log_parameters": lambda *a: None})()
    )
    folder = tune("--trials", 4, "--comet_api_key", "SECRET", "--pruner", "none")
    (optimizer,) = optimizers
    assert StandIn.made[-1][0]["algorithm"] == "bayes" and StandIn.made[-1][1] == "SECRET"
    rows = trials_of(folder)
    assert [row["learning_rate"] == "0.0003" for row in rows] == [False, True, True, False]  # trial 0: published
    assert rows[1]["use_highway"] == "True" and rows[1]["gnn_nheads"] == "1"  # 0.25, clipped into the space
    for experiment in optimizer.experiments:
        assert experiment.ended and [epoch for epoch, _ in experiment.metrics] == [1, 2, 3, 4]
    tune("--trials", 5, "--comet_api_key", "SECRET", "--pruner", "none")
    assert StandIn.made[-1][0] == "optimizer-1"  # the next process joins
    assert "SECRET" not in capsys.readouterr().out
    assert not any(b"SECRET" in path.read_bytes() for path in folder.rglob("*") if path.is_file())
