"""tune.py and train.py --tuning: what is searched, by how many processes, and what is left behind."""

import contextlib
import glob
import json
import os
import pwd
import shlex
import shutil
import signal
import subprocess
import tempfile
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import numpy as np
import optuna
import pytest
import torch
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from cogmen.checkpoints import load_checkpoint
from cogmen.options import TrainOptions
from cogmen.training import Diverged, train
from cogmen.tuning.options import TuneOptions
from cogmen.tuning.search import search
from cogmen.tuning.space import SPACE, comet_config
from cogmen.tuning.study import MAX_RETRIES, Worker, open_study
from erc.corpus.corpora import KEMDY19
from erc.corpus.dialogues import read_preprocessed, write_preprocessed
from erc.corpus.splits import divide
from erc.options import UserError, given, parse
from tests.children import Child
from tests.cogmen.conftest import make_dialogues
from tests.cogmen.tuning_worker import made_up, work
from tests.erc.test_tracking import read_archive
from tests.tables import read_rows

QUICK = ("--epochs", 4, "--batch_size", 8, "--rnn", "gru", "--hidden_size", 8)


@pytest.fixture(scope="module")
def preprocessed(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "preprocessed.pkl"
    write_preprocessed(path, divide(make_dialogues(sessions=12), KEMDY19))
    return path


@pytest.fixture
def tune(preprocessed, tmp_path):
    """`tune("--trials", 3, ...)`: the study's folder."""

    def call(*arguments, trainer=made_up, data=preprocessed):
        argv = ["--preprocessed_feature", data, "--out_dir", tmp_path, *QUICK, *arguments]
        argv = [str(argument) for argument in argv]
        options = parse(TuneOptions, argv, "COGMEN_code/tune.py")
        search(options, given(TuneOptions, argv), trainer)
        return options.folder

    return call


def trials_of(folder):
    return read_rows(folder / "trials.csv")


def ended(folder):
    return [row for row in trials_of(folder) if row["state"] in ("complete", "pruned")]


def test_the_space_holds_the_published_options():
    published = TrainOptions(from_begin=True)
    for name, values in SPACE.items():
        value = getattr(published, name)
        assert value in (False, True) if isinstance(value, bool) else values.low <= value <= values.high
        assert values.from_comet(str(value) if isinstance(value, bool) else value) == value
    config = comet_config(list(SPACE))
    learning_rate = {"type": "float", "scalingType": "loguniform", "min": 1e-5, "max": 1e-3}
    assert config["parameters"]["learning_rate"] == learning_rate
    assert config["parameters"]["wp"]["type"] == "integer" and config["spec"]["objective"] == "maximize"


@pytest.mark.parametrize("script", ["tune.py", "train.py"])
def test_train_takes_the_best_options_and_reaches_the_same_score(run_script, script, preprocessed, tmp_path, capsys):
    arguments = ("--preprocessed_feature", preprocessed, "--out_dir", tmp_path, *QUICK, "--tag", "x", "--seed", 7)
    fixed = ("--class_weight", "False", "--wp", 5)
    more = ("--trials", 3) if script == "tune.py" else ("--tuning", "--from_begin", "--epochs", 1)
    run_script(f"COGMEN_code/{script}", *arguments, *fixed, *more)
    folder, shown = tmp_path / "tuning/KEMDy19_at_x", capsys.readouterr().out
    assert "fixed: class_weight, wp" in shown and not (tmp_path / "model_checkpoints").exists()
    rows = trials_of(folder)
    assert len(rows) == (3 if script == "tune.py" else 50) and not {"class_weight", "wp"} & set(rows[0])
    assert (rows[0]["seqcontext_nlayer"], rows[0]["learning_rate"], rows[0]["drop_rate"]) == ("2", "0.0001", "0.5")
    best = max((row for row in rows if row["state"] == "complete"), key=lambda row: float(row["dev_weighted_f1"]))
    options = json.loads((folder / "best_options.json").read_text())
    assert (options["seed"], options["rnn"], options["class_weight"], options["wp"]) == (7, "gru", False, 5)
    assert options["drop_rate"] == float(best["drop_rate"])

    (command,) = (line.removeprefix("next: ") for line in shown.splitlines() if line.startswith("next: "))
    _, script, *arguments = shlex.split(command)
    assert script == "COGMEN_code/train.py" and arguments[:2] == ["--options", str(folder / "best_options.json")]
    run_script(script, *arguments, "--out_dir", tmp_path)
    checkpoint = load_checkpoint(tmp_path / "model_checkpoints/KEMDy19_best_dev_f1_model_at_best.pt")
    assert checkpoint.dev_weighted_f1 == float(best["dev_weighted_f1"])
    assert checkpoint.options["wf"] == options["wf"]


def test_what_other_options_forbid_is_not_searched(tune, capsys):
    rows = trials_of(tune("--trials", 4, "--online", "--tag", "online"))
    assert "fixed: wf" in capsys.readouterr().out
    assert len(rows) == 4 and "wp" in rows[0] and "wf" not in rows[0]


def test_what_is_given_holds_for_every_trial(tune, tmp_path):
    given = {"--modalities": "a", "--dataset": "KEMDy19", "--batch_size": 3, "--optimizer": "sgd", "--rnn": "lstm"}
    given |= {"--scheduler": "expLR", "--weight_decay": 0.1, "--max_grad_value": 0.5, "--hidden_size": 12, "--seed": 3}
    given |= {"--concat_gin_gout": True, "--learning_rate": 0.01, "--drop_rate": 0.25, "--seqcontext_nlayer": 3}
    given |= {"--gnn_nheads": 2, "--use_highway": True, "--wf": 7, "--epochs": 2, "--device": "cpu", "--tf32": True}
    (tmp_path / "file.json").write_text(json.dumps({"class_weight": True, "epochs": 9}))
    seen = []

    def recorded(network, train_dialogues, dev_dialogues, corpus, options, device, on_epoch):
        seen.append((options, network.architecture, device.type))
        return made_up(network, train_dialogues, dev_dialogues, corpus, options, device, on_epoch)

    arguments = [part for pair in given.items() for part in pair]
    tune("--options", tmp_path / "file.json", "--trials", 3, *arguments, trainer=recorded)
    for options, architecture, device in seen:
        assert all(getattr(options, flag.removeprefix("--")) == value for flag, value in given.items())
        assert options.class_weight and options.from_begin and not options.tuning and device == "cpu"
        assert (architecture.rnn, architecture.gnn_nheads, architecture.feature_size) == ("lstm", 2, 8)
    assert len({options.wp for options, _, _ in seen}) > 1 and len(seen) == 3


def test_trials_are_logged_in_comet(tune, tmp_path, monkeypatch):
    pytest.importorskip("comet_ml")
    monkeypatch.delenv("COMET_API_KEY", raising=False)
    tune("--trials", 2, "--log_in_comet", "--comet_workspace", "team")
    archives = [read_archive(path) for path in (tmp_path / "comet").glob("*.zip")]
    assert len(archives) == 2 and all(len(metrics["dev_weighted_f1"]) == 4 for _, metrics, _ in archives)
    assert len({parameters["learning_rate"] for parameters, _, _ in archives}) == 2


def test_the_test_dialogues_do_not_change_the_search(run_script, preprocessed, tmp_path):
    splits, _ = read_preprocessed(preprocessed, KEMDY19)
    for dialogue in splits["test"]:
        dialogue.labels[:] = 0
        dialogue.features = {modality: np.ones_like(rows) for modality, rows in dialogue.features.items()}
    write_preprocessed(tmp_path / "other.pkl", splits)
    searches = []
    for name, data in (("as_they_are", preprocessed), ("others", tmp_path / "other.pkl")):
        folder = tmp_path / name
        run_script("COGMEN_code/tune.py", "--preprocessed_feature", data, "--out_dir", folder, *QUICK, "--trials", 2)
        searches.append([row["dev_weighted_f1"] for row in trials_of(folder / "tuning/KEMDy19_at_tmp")])
    assert searches[0] == searches[1]


def test_a_study_goes_on_and_stops_at_its_trials(tune, tmp_path):
    folder = tune("--trials", 2, "--storage", tmp_path / "shared/x.log")
    before = trials_of(folder)
    tune("--trials", 2, "--storage", tmp_path / "shared/x.log")
    assert trials_of(folder) == before and not (folder / "journal.log").exists()
    tune("--trials", 5, "--storage", tmp_path / "shared/x.log")
    rows = trials_of(folder)
    assert len(rows) == 5 and rows[:2] == before
    assert len({row["learning_rate"] for row in rows}) == 5


def test_a_study_is_not_mixed_with_another(tune, preprocessed, tmp_path):
    tune("--trials", 1)
    with pytest.raises(UserError, match=r"--study KEMDy19_at_tmp: .* --epochs 5 \(it was 4\); give the same"):
        tune("--trials", 2, "--epochs", 5)
    with pytest.raises(UserError, match="options searched"):
        tune("--trials", 2, "--wp", 5)
    tune("--trials", 1, "--wp", 5, "--study", "other")

    splits, _ = read_preprocessed(preprocessed, KEMDY19)
    write_preprocessed(tmp_path / "fewer.pkl", {**splits, "dev": splits["dev"][:1]})
    with pytest.raises(UserError, match="other options: dialogues"):
        tune("--trials", 2, data=tmp_path / "fewer.pkl")


@pytest.mark.parametrize("pruner", ["median", "hyperband", "none"])
def test_bad_trials_end_early(tune, pruner):
    rows = trials_of(tune("--trials", 25, "--epochs", 9, "--pruner", pruner))
    pruned = [row for row in rows if row["state"] == "pruned"]
    assert len(rows) == 25 and bool(pruned) == (pruner != "none")
    assert all(int(row["epochs"]) < 9 for row in pruned)


def test_options_that_do_not_fit_into_memory_are_not_tried_again(tune):
    def too_big(network, train_dialogues, dev_dialogues, corpus, options, device, on_epoch):
        if options.seqcontext_nlayer > 2:
            try:
                raise torch.OutOfMemoryError("no room")
            except torch.OutOfMemoryError:
                raise UserError("the GPU's memory does not suffice") from None
        return made_up(network, train_dialogues, dev_dialogues, corpus, options, device, on_epoch)

    rows = trials_of(tune("--trials", 6, trainer=too_big))
    failed = [row for row in rows if row["reason"] == "out of GPU memory"]
    assert len(rows) == 6 and failed and all(int(row["seqcontext_nlayer"]) > 2 for row in failed)


def test_an_interrupted_trial_is_tried_again(tune):
    def interrupted(network, train_dialogues, dev_dialogues, corpus, options, device, on_epoch):
        def report(row):
            on_epoch(row)
            os.kill(os.getpid(), signal.SIGTERM)

        return train(network, train_dialogues, dev_dialogues, corpus, options, device, report)

    with pytest.raises(UserError, match="trial 0: .*SIGTERM.* the same command goes on with the study"):
        tune("--trials", 2, trainer=interrupted)
    rows = trials_of(tune("--trials", 2))
    assert [row["state"] for row in rows] == ["fail", "complete", "complete"]
    assert all(rows[0][name] == rows[1][name] for name in SPACE)


def test_a_half_written_journal_line_does_not_end_the_study(tune):
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
        (["--study", "a/b"], "--study: expected a name of at most 100 bytes without slashes, found 'a/b'"),
        (["--storage", "sqlite:///x.db"], "expected a journal file or postgresql+psycopg://..., found sqlite://"),
        (["--pruner", "best"], "--pruner"),
        (["--stale_minutes", "0"], "--stale_minutes 0: expected more than 0"),
        (["--model_ckpt", "x.pt"], "unrecognized arguments: --model_ckpt"),
    ],
)
def test_wrong_options_are_refused(tune, arguments, message, capsys):
    with pytest.raises(SystemExit) as error:
        tune(*arguments)
    assert error.value.code == 2 and message in capsys.readouterr().err


def test_nothing_left_to_search(tune, tmp_path):
    published = {name: getattr(TrainOptions(from_begin=True), name) for name in SPACE}
    (tmp_path / "all.json").write_text(json.dumps(published))
    with pytest.raises(UserError, match="every option that a search varies is given"):
        tune("--options", tmp_path / "all.json")


def test_an_unreachable_server_is_named_without_its_password(tune, tmp_path):
    storage = f"postgresql+psycopg://user:hidden_word@/x?host={tmp_path}"
    with pytest.raises(UserError, match="--storage .*: cannot be reached: ") as error:
        tune("--storage", storage)
    assert "hidden_word" not in str(error.value)


# ---- several processes


@pytest.fixture
def start(preprocessed, tmp_path):
    """`start(hang_after, ...)`: a `Child` that works on the study, ended with the test."""
    with contextlib.ExitStack() as running:

        def call(hang_after, *arguments):
            shared = ("--preprocessed_feature", preprocessed, "--out_dir", tmp_path, *QUICK, "--pruner", "none")
            return running.enter_context(Child(partial(work, hang_after, [*map(str, (*shared, *arguments))])))

        yield call


def wait_for(child, line):
    for shown in child.out:
        if shown.strip() == line:
            return
    pytest.fail(f"no line {line!r}: {child.err.read()}")


def finish(child):
    code, out, err = child.finish()
    assert code == 0 and not err, err
    return out


@pytest.mark.parametrize("storage", ["journal_file", "postgresql"])
def test_several_processes_share_a_study_and_one_is_killed(start, storage, tmp_path, request):
    """Three processes share 12 trials; one of them is killed in its second, the other two rush for what it leaves."""
    arguments = ["--trials", 12]
    if storage == "postgresql":
        arguments += ["--storage", request.getfixturevalue("postgresql")]
    killed = start(1, *arguments)
    wait_for(killed, "hanging")  # has one trial done and another begun
    survivors = [start(-1, *arguments) for _ in range(2)]
    for process in survivors:
        wait_for(process, "waiting for trials that run in other processes")
    killed.kill()
    shown = [finish(process) for process in survivors]
    assert all("12 complete" in text for text in shown)

    folder = tmp_path / "tuning/KEMDy19_at_tmp"
    assert (folder / "journal.log").exists() == (storage == "journal_file")
    rows, done = trials_of(folder), ended(folder)
    assert len(done) == 12 and [row["trial"] for row in rows] == [str(k) for k in range(len(rows))]
    pids = {row["pid"] for row in done}
    assert str(killed.pid) in pids and len(pids) > 1
    (lost,) = (row for row in rows if row["reason"] == "its process was killed")
    assert lost["pid"] == str(killed.pid) and lost["state"] == "fail"
    again = [row for row in done if all(row[name] == lost[name] for name in SPACE)]
    assert len(again) == 1 and again[0]["pid"] != lost["pid"]
    assert len({tuple(row[name] for name in SPACE) for row in done}) == 12
    recovered = f"trial {lost['trial']}: its process was killed"
    assert [recovered in text for text in shown].count(True) == 1


@pytest.fixture
def postgresql():
    """The URL of a PostgreSQL server of this test's own: its data and its socket in a temporary directory, no port."""
    folders = [*glob.glob("/usr/lib/postgresql/*/bin"), os.environ["PATH"]]
    initdb = shutil.which("initdb", path=os.pathsep.join(folders))
    if not initdb:
        pytest.skip("PostgreSQL's server is not installed (Debian: postgresql)")
    programs = Path(initdb).resolve().parent
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
        try:
            call("pg_ctl", "-w", "-t", "200", "-l", f"{folder}/log", "-o", settings, "start")
            yield f"postgresql+psycopg://postgres@/postgres?host={folder}"
        finally:
            call("pg_ctl", "-m", "immediate", "stop")


# ---- a trial on another machine, as the storage shows it


def test_a_trial_of_another_machine_is_left_alone_until_it_is_stale(tmp_path, monkeypatch):
    now = 0.0
    monkeypatch.setattr("cogmen.tuning.study.time", SimpleNamespace(monotonic=lambda: now))
    study = open_study(tmp_path / "journal.log", "s", {"--epochs": 4}, None)
    elsewhere = Worker(study, "/nowhere/x", stale_minutes=10).take(2)
    elsewhere.set_user_attr("worker", {**elsewhere.user_attrs["worker"], "host": "elsewhere"})
    elsewhere.suggest_float("drop_rate", 0.1, 0.7)
    here = Worker(study, tmp_path / "here", stale_minutes=10)
    for epoch in (1, 2):
        elsewhere.report(0.1, epoch)
        assert here.recover() == []
        now += 599
    assert here.recover() == []
    now += 1
    assert here.recover() == [0] and here.recover() == []
    again = here.take(2)
    assert again.suggest_float("drop_rate", 0.1, 0.7) == elsewhere.params["drop_rate"]
    assert here.take(1) is None and not here.finished(1)
    study.tell(again, 0.5)
    assert here.finished(1)


def test_how_long_a_silent_trial_is_left_alone(tune):
    folder = tune("--trials", 1)
    storage = JournalStorage(JournalFileBackend(f"{folder}/journal.log"))
    study = optuna.load_study(study_name="KEMDy19_at_tmp", storage=storage)
    silent = study.ask().suggest_float("drop_rate", 0.1, 0.7)
    rows = trials_of(tune("--trials", 3, "--stale_minutes", 0.001))
    assert [row["state"] for row in rows] == ["complete", "fail", "complete", "complete"]
    assert str(silent) in [row["drop_rate"] for row in rows[2:]]


@pytest.mark.parametrize("end", [Diverged("the training loss is not finite"), torch.OutOfMemoryError("no room")])
def test_a_trial_that_was_taken_over_ends_without_a_word(tune, tmp_path, end):
    """It was silent for so long that another process marked it; then it fails here, too."""
    journal, failed = tmp_path / "tuning/KEMDy19_at_tmp/journal.log", []

    def trainer(*arguments):
        if failed:
            return made_up(*arguments)
        failed.append(True)
        study = optuna.load_study(study_name="KEMDy19_at_tmp", storage=JournalStorage(JournalFileBackend(str(journal))))
        study.tell(0, state=TrialState.FAIL)
        raise end

    rows = trials_of(tune("--trials", 2, trainer=trainer))
    assert [row["state"] for row in rows] == ["fail", "complete", "complete"]
    assert rows[1]["drop_rate"] == rows[0]["drop_rate"]  # whoever took it over tries its options again


def test_a_trial_is_put_back_only_so_often(tmp_path):
    study = open_study(tmp_path / "journal.log", "s", {}, None)
    worker = Worker(study, tmp_path / "here", stale_minutes=10)
    for _ in range(1 + MAX_RETRIES):
        trial = worker.take(1)
        trial.suggest_float("drop_rate", 0.1, 0.7)
        worker.give_up(trial, "killed")
    values = {trial.params["drop_rate"] for trial in study.trials}
    assert len(study.trials) == 1 + MAX_RETRIES and len(values) == 1
    assert worker.take(1).suggest_float("drop_rate", 0.1, 0.7) not in values


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("marking", ["recover", "give_up"])
def test_the_place_of_a_killed_trial_is_its_retrys(tmp_path, monkeypatch, moment, marking):
    """Whoever asks for a trial at the very moment when another process marks a dead one."""
    study = open_study(tmp_path / "journal.log", "s", {}, None)
    killed = Worker(study, tmp_path / "killed", stale_minutes=10)
    lost, kept = killed.take(2), Worker(study, tmp_path / "kept", stale_minutes=10).take(2)
    value = lost.suggest_float("drop_rate", 0.1, 0.7)
    first, second = (Worker(study, tmp_path / name, stale_minutes=10) for name in ("first", "second"))
    taken, tell = [], study.tell

    def rushed(*arguments, **options):
        monkeypatch.undo()
        for worker in (first, second) if moment == "before" else ():
            taken.append(worker.take(2))
        tell(*arguments, **options)
        for worker in (first, second) if moment == "after" else ():
            taken.append(worker.take(2))

    monkeypatch.setattr(study, "tell", rushed)
    monkeypatch.setattr("cogmen.tuning.study.is_claimed", lambda path: not str(path).endswith("killed"))
    assert first.recover() == [lost.number] if marking == "recover" else not killed.give_up(lost, "killed")
    taken += [first.take(2), second.take(2)]
    (again,) = (trial for trial in taken if trial)
    assert again.suggest_float("drop_rate", 0.1, 0.7) == value
    study.tell(again, 0.5)
    assert first.take(2) is None and not first.finished(2)
    study.tell(kept, 0.5)
    assert first.finished(2) and first.take(2) is None


def test_two_processes_queue_the_same_retry(tmp_path, monkeypatch):
    """Its options are tried once, and two further places are free."""
    study = open_study(tmp_path / "journal.log", "s", {}, None)
    value = Worker(study, tmp_path / "killed", stale_minutes=10).take(3).suggest_float("drop_rate", 0.1, 0.7)
    first, second = (Worker(study, tmp_path / name, stale_minutes=10) for name in ("first", "second"))
    monkeypatch.setattr("cogmen.tuning.study.is_claimed", lambda path: not str(path).endswith("killed"))
    assert first.recover() == [0] and second.recover() == []
    enqueue, taken = study.enqueue_trial, []

    def together(*arguments, **options):
        monkeypatch.setattr(study, "enqueue_trial", enqueue)
        taken.append(second.take(3))
        enqueue(*arguments, **options)

    monkeypatch.setattr(study, "enqueue_trial", together)
    taken += [worker.take(3) for worker in (first, second) * 4]
    values = [trial.suggest_float("drop_rate", 0.1, 0.7) for trial in taken if trial]
    assert len(values) == 3 and values.count(value) == 1
    for trial in filter(None, taken):
        study.tell(trial, 0.5)
    assert first.finished(3) and first.take(3) is None


# ---- Comet's Optimizer, of which only a stand-in can be had without an account


def test_comets_optimizer_suggests_where_a_key_is_given(tune, monkeypatch, capsys):
    comet_ml = pytest.importorskip("comet_ml")
    suggested = {"use_highway": "True", "class_weight": "False", "learning_rate": 3e-4}
    experiments = [Mock(url=None, get_parameter=lambda name: suggested.get(name, 0.25)) for _ in range(2)]
    made = Mock(return_value=Mock(id="optimizer-1", next=Mock(side_effect=[*experiments, None, None])))
    monkeypatch.setattr(comet_ml, "Optimizer", made)
    monkeypatch.setattr(comet_ml, "start", Mock(return_value=Mock(url=None)))
    arguments = ("--comet_api_key", "SECRET", "--pruner", "none")
    folder = tune("--trials", 4, *arguments)
    assert made.call_args.args[0]["algorithm"] == "bayes" and made.call_args.kwargs["api_key"] == "SECRET"
    rows = trials_of(folder)
    assert [row["learning_rate"] == "0.0003" for row in rows] == [False, True, True, False]  # trial 0: published
    assert rows[1]["use_highway"] == "True" and rows[1]["gnn_nheads"] == "1"  # 0.25, clipped into the space
    for experiment in experiments:
        experiment.end.assert_called_once()
        assert experiment.log_parameters.call_args.args[0]["learning_rate"] == 3e-4
        assert [call.kwargs["epoch"] for call in experiment.log_metrics.call_args_list] == [1, 2, 3, 4]
    tune("--trials", 5, *arguments)
    assert made.call_args.args[0] == "optimizer-1"  # the next process joins
    assert "SECRET" not in capsys.readouterr().out
    assert not any(b"SECRET" in path.read_bytes() for path in folder.rglob("*") if path.is_file())
