"""The results of a study: trials.csv, the best trials as a table, a line for each trial."""

from optuna.trial import TrialState

from cogmen.tuning.space import METRIC
from erc.files import write_table
from erc.options import UserError
from erc.scoring.tables import markdown

SHOWN = 5  # trials of the table


def best_score(trial):
    """The best dev weighted F1 of its epochs, or None."""
    return max(trial.intermediate_values.values(), default=None)


def outcome(trial):
    """How a trial ended, for a person."""
    if best_score(trial) is None:
        return _reason(trial) or "nothing"
    pruned = f", pruned at epoch {trial.last_step}" if trial.state.name == "PRUNED" else ""
    return f"dev weighted F1 {100 * best_score(trial):.2f}{pruned}"


def _reason(trial):
    """Why a trial failed; of a trial that cannot say it, because its process was killed."""
    return trial.user_attrs.get("reason", "its process was killed" if trial.state == TrialState.FAIL else "")


def complete(study):
    """The trials that were trained to the end, the best first."""
    trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return sorted(trials, key=lambda trial: (-trial.value, trial.number))


def write_trials(path, study, names):
    """All trials of the study as CSV, a row each, with what was chosen for the options `names`."""
    header = ["trial", "state", METRIC, "epochs", "seconds", *names, "host", "pid", "reason"]
    rows = []
    for trial in study.get_trials(deepcopy=False):
        worker = trial.user_attrs.get("worker", {})
        seconds = f"{trial.duration.total_seconds():.1f}" if trial.duration else ""
        rows.append(
            [trial.number, trial.state.name.lower(), best_score(trial), trial.last_step or 0, seconds]
            + [trial.params.get(name, "") for name in names]
            + [worker.get("host", ""), worker.get("pid", ""), _reason(trial)]
        )
    write_table(path, header, rows)


def show(options, study, names):
    """Print the counts of trials, the best ones and the command that uses the best one's options.

    Raises:
        UserError: no trial was trained to the end.
    """
    best = complete(study)
    if not best:
        raise UserError(f"study {options.study}: no trial was trained to the end; see {options.folder}/trials.csv")
    trials = study.get_trials(deepcopy=False)
    states = [trial.state.name.lower() for trial in trials]
    counts = ", ".join(f"{states.count(state)} {state}" for state in ("complete", "pruned", "fail"))
    print(f"study {options.study}: {counts}; the best on the dev dialogues:")
    rows = [["trial", "dev F1", *names]]
    rows += [[str(t.number), f"{100 * t.value:.2f}", *(_in_word(t.params[n]) for n in names)] for t in best[:SHOWN]]
    print(markdown(rows))
    file = options.folder / "best_options.json"
    print(
        f"wrote {file} and, beside it, trials.csv\nnext: python COGMEN_code/train.py --options {file} --tag best "
        f"--preprocessed_feature {options.preprocessed_feature}"
    )


def in_words(values):
    """Options by name, for a person."""
    return " ".join(f"{name}={_in_word(value)}" for name, value in values.items())


def _in_word(value):
    return f"{value:.3g}" if isinstance(value, float) else str(value)
