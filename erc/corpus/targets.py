"""What can be learnt of a corpus whose labels are numbers: its tasks, from thresholds to classes.

CMU-MOSEI as COGMEN has it gives each turn a sentiment of -3 to 3, or how much of each emotion it has. Its dialogue and
preprocessed files keep these numbers; `--emotion` chooses a `Task` of the corpus's entry when a network is trained.
"""

from dataclasses import dataclass

import numpy as np

from erc.options import UserError, errors_in
from erc.untrusted import shown


@dataclass(frozen=True)
class Task:
    """Classes made from the numbers of a turn.

    Attributes:
        classes: their names; several emotions at once if `multilabel`.
        steps: (comparison `>=` or `>`, number) by rising numbers; the class is how many of them a number passes.
        bounds: the lowest and the highest number that the task can mean.
        column: the place of the emotion in a vector of several; None: such a vector is not what the task takes.
        multilabel: each of the vector's numbers is a yes or no of its own.
    """

    classes: tuple[str, ...]
    steps: tuple[tuple[str, float], ...]
    bounds: tuple[float, float]
    column: int | None = None
    multilabel: bool = False

    def labels(self, values):
        """(...) classes of (...) numbers, int64."""
        passed = [values >= number if comparison == ">=" else values > number for comparison, number in self.steps]
        return np.sum(passed, axis=0, dtype=np.int64)


def presence(emotions):
    """The tasks of an intensity for each emotion: its presence, alone, and that of all at once (`multilabel`)."""
    steps, bounds = ((">", 0),), (0, np.inf)
    tasks = {name: Task((f"no {name}", name), steps, bounds, column) for column, name in enumerate(emotions)}
    return {**tasks, "multilabel": Task(tuple(emotions), steps, bounds, multilabel=True)}


def numbers_fault(label, width):
    """What is wrong with the label of a turn, which is to be a number, or a vector of `width`; None if nothing is."""
    try:
        values = np.asarray(label, dtype=np.float64)
        is_number = np.asarray(label).dtype.kind in "fiu"
    except (TypeError, ValueError, OverflowError):
        is_number = False
    if not is_number or values.shape not in ((), (1,), (width,)) or not np.isfinite(values).all():
        return f"label {shown(label)}, expected a number, or {width} of them"
    return None


def stack_numbers(labels, dialogue, width):
    """(L,) or (L, `width`) float64 of the labels of a dialogue's turns.

    Raises:
        UserError: names the dialogue and the turn of the first thing that is wrong.
    """
    for turn, label in enumerate(labels):
        if fault := numbers_fault(label, width):
            raise UserError(f"dialogue {dialogue}, turn {turn}: {fault}")
        if np.size(label) != np.size(labels[0]):
            found = f"{np.size(label)} numbers as its label, the turns before it {np.size(labels[0])}"
            raise UserError(f"dialogue {dialogue}, turn {turn}: {found}")
    rows = np.array([np.ravel(label) for label in labels], dtype=np.float64)
    return rows[:, 0] if rows.shape[1] == 1 else rows


def take_task(path, splits, corpus, name):
    """Replace the numbers of all turns by the classes of a task; of a corpus without tasks, nothing changes.

    Args:
        path: the file of the dialogues, which messages name.
        splits: {split: list of `Dialogue`}, changed in place.
        name: of the task, as the user gave it or None.
    Returns:
        Corpus: whose emotions are the task's classes.
    Raises:
        UserError: no task or another corpus's was named, or it does not fit the numbers that the file has.
    """
    if name not in corpus.tasks:
        if not corpus.tasks and name is None:
            return corpus
        tasks = ", ".join(corpus.tasks)
        expected = f"{corpus.name} has a choice: {tasks}" if tasks else f"{corpus.name} has only its emotions"
        raise UserError(f"--emotion {name}: {expected}" if name else f"{path}: {expected}; give --emotion")
    task, of_task = corpus.tasks[name], corpus.of_task(name)
    for dialogue in (one for split in splits.values() for one in split):
        with errors_in(f"{path}: --emotion {name}"):
            dialogue.labels = task.labels(_values(task, dialogue))
    found = np.unique(np.concatenate([dialogue.labels for dialogue in splits["train"]])) if splits["train"] else ()
    if len(found) == 1:
        what = ("of no emotion", "of every emotion")[found[0]] if task.multilabel else of_task.emotions[found[0]]
        raise UserError(
            f"{path}: --emotion {name}: every training turn is {what}; are these labels the numbers of another task?"
        )
    return of_task


def _values(task, dialogue):
    """The numbers of a dialogue that the task is about: (L,), or (L, emotions)."""
    values = dialogue.labels
    if values.ndim == 2 and task.column is not None:
        values = values[:, task.column]
    expected = f"{len(task.classes)} numbers" if task.multilabel else "a number"
    if values.ndim != 1 + task.multilabel:
        found = f"{values.shape[1]} numbers" if values.ndim == 2 else "one"
        raise UserError(f"takes {expected} as the label of a turn, the file has {found} (dialogue {dialogue.id})")
    low, high = task.bounds
    if (bad := ((values < low) | (values > high)).reshape(len(values), -1).any(axis=1)).any():
        turn = int(bad.argmax())
        raise UserError(
            f"dialogue {dialogue.id}, turn {turn}: label {shown(values[turn].tolist())}, expected {low:g} to {high:g}"
        )
    return values
