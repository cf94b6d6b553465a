"""`Dialogue`, the one shape of a conversation, and the check of dialogues that a file held."""

from dataclasses import dataclass, field
from numbers import Integral

import numpy as np

from erc.corpus.corpora import MODALITIES, UNLABELLED
from erc.corpus.shards import StoredRows
from erc.corpus.targets import stack_numbers
from erc.options import UserError
from erc.untrusted import is_name, shown

COLUMNS = ("segment_ids", "speakers", "labels", "sentences")
A_NAME = "a name: text on one line"


@dataclass(eq=False)
class Dialogue:
    """A dialogue of L turns, in time order.

    Attributes:
        id: a `part` of a dialogue keeps it.
        segment_ids, speakers, sentences: L strings each; a segment id is unique in its corpus.
        labels: (L,) int64, an emotion's place in `Corpus.emotions`, or `UNLABELLED`. Of a corpus with tasks the
            numbers of each turn, (L,) or (L, C) float64; of a `multilabel` one (L, C) int64 of 0 and 1.
        features: by modality `a`, `t`, `v`: (L, D) float32; empty before the extraction.
        ratings: what the raters said, where the corpus has it: `emotions` (L, C) float32, how many of them named each
            emotion; `valence`, `arousal` (L,) float32, their means, not a number where there is none.
        sources: the ids of the dialogues that the turns were taken from, where they are others (a control); else empty.
    """

    id: str
    segment_ids: list[str]
    speakers: list[str]
    labels: np.ndarray
    sentences: list[str]
    features: dict[str, np.ndarray] = field(default_factory=dict)
    ratings: dict[str, np.ndarray] = field(default_factory=dict)
    sources: list[str] = field(default_factory=list)

    def __len__(self):
        return len(self.labels)

    def joined(self, modalities):
        """(L, D) the features of some modalities side by side."""
        chosen = [self.features[modality] for modality in modalities]
        return chosen[0] if len(chosen) == 1 else np.concatenate(chosen, axis=1)

    def identity(self, modalities):
        """Bytes that tell these features from others: they themselves, joined; of features that are still on the disk,
        which would take long to read, the name of their set and where in it they are."""
        chosen = [self.features[modality] for modality in modalities]
        if any(isinstance(rows, StoredRows) for rows in chosen):
            return repr(chosen).encode()
        return np.ascontiguousarray(self.joined(modalities)).data.cast("B")

    def turns(self):
        """The segment id, dialogue id (the one that it was taken from), speaker and label (a list if `multilabel`) of
        each turn."""
        for turn, segment_id in enumerate(self.segment_ids):
            dialogue = self.sources[turn] if self.sources else self.id
            yield segment_id, dialogue, self.speakers[turn], self.labels[turn].tolist()

    def part(self, turns):
        """The turns of a slice as a dialogue."""
        features, ratings = ({name: rows[turns] for name, rows in own.items()} for own in (self.features, self.ratings))
        columns = (getattr(self, name)[turns] for name in COLUMNS)
        return Dialogue(self.id, *columns, features, ratings, self.sources[turns])

    def chunks(self, size):
        """The dialogue cut into consecutive dialogues of at most `size` turns."""
        return (self.part(slice(start, start + size)) for start in range(0, len(self), size))


def check_dialogues(dialogues, corpus):
    """Check dialogues whose fields hold whatever a file held, and give them the types of `Dialogue`.

    Raises:
        UserError: names the dialogue and the turn of the first thing that is wrong.
    """
    for dialogue in dialogues:
        columns = {name: getattr(dialogue, name) for name in COLUMNS}
        columns |= {MODALITIES[modality]: rows for modality, rows in dialogue.features.items()}
        for name, values in columns.items():
            if not is_list(values):
                raise UserError(f"dialogue {dialogue.id} has no list in `{name}`")
    modalities = [m for m in MODALITIES if any(len(dialogue.features.get(m, ())) for dialogue in dialogues)]
    _check_turns(dialogues, corpus)
    widths = {}
    for dialogue in dialogues:
        dialogue.features = {m: _matrix(dialogue, m, widths, corpus.has_frames) for m in modalities}
        dialogue.ratings = _ratings(dialogue, corpus)


def _ratings(dialogue, corpus):
    """What the raters said, checked."""
    shapes = {
        "emotions": (len(dialogue), len(corpus.emotions)),
        "valence": (len(dialogue),),
        "arousal": (len(dialogue),),
    }
    found = dialogue.ratings
    if not isinstance(found, dict) or not found.keys() <= shapes.keys():
        raise UserError(f"dialogue {dialogue.id}: ratings {shown(found)}, expected a dict of {', '.join(shapes)}")
    for name, rows in found.items():
        if not isinstance(rows, np.ndarray) or rows.shape != shapes[name] or rows.dtype != np.float32:
            raise UserError(f"dialogue {dialogue.id}: its ratings `{name}` are no array {shapes[name]} of float32")
        bad = ~np.isfinite(rows) | (rows < 0) if name == "emotions" else np.isinf(rows)
        if bad.any():
            raise UserError(f"dialogue {dialogue.id}: its ratings `{name}` hold a value that is none")
    return dict(found)


def is_list(value):
    return isinstance(value, list | tuple) or (isinstance(value, np.ndarray) and value.ndim > 0)


def _check_turns(dialogues, corpus):
    seen = set()
    for dialogue in dialogues:
        for name in COLUMNS:
            values = getattr(dialogue, name)
            setattr(dialogue, name, values.tolist() if isinstance(values, np.ndarray) else list(values))
        if not len(dialogue):
            raise UserError(f"dialogue {dialogue.id} has no turns")
        for name in COLUMNS:
            if (found := len(getattr(dialogue, name))) != len(dialogue):
                raise UserError(f"dialogue {dialogue.id} has {len(dialogue)} labels but {found} {name}")
        sources = dialogue.sources
        if not isinstance(sources, list) or len(sources) not in (0, len(dialogue)) or not all(map(is_name, sources)):
            raise UserError(f"dialogue {dialogue.id}: sources {shown(sources)}, expected a dialogue id for each turn")
        for turn, values in enumerate(zip(*(getattr(dialogue, name) for name in COLUMNS), strict=True)):
            if fault := _fault(*values, corpus, seen):
                raise UserError(f"dialogue {dialogue.id}, turn {turn}: {fault}")
            seen.add(values[0])
        if corpus.tasks:
            dialogue.labels = stack_numbers(dialogue.labels, dialogue.id, len(corpus.emotions))
            if (found := dialogue.labels.shape[1:]) != (first := dialogues[0].labels.shape[1:]):
                counts = [shape[0] if shape else 1 for shape in (found, first)]
                found = "has {} numbers as the label of a turn, the dialogues before it {}".format(*counts)
                raise UserError(f"dialogue {dialogue.id} {found}")
        else:
            dialogue.labels = np.array(dialogue.labels, dtype=np.int64)


def _fault(segment_id, speaker, label, sentence, corpus, seen):
    """What is wrong with a turn; None if nothing is."""
    is_label = isinstance(label, Integral) and not isinstance(label, bool)
    if not corpus.tasks and not (is_label and UNLABELLED <= label < len(corpus.emotions)):
        return f"label {shown(label)}; {corpus.name} has 0 to {len(corpus.emotions) - 1}, or {UNLABELLED} for none"
    if corpus.speakers and not (isinstance(speaker, str) and speaker in corpus.speakers):
        return f"speaker {shown(speaker)}; {corpus.name} has {', '.join(corpus.speakers)}"
    if not is_name(speaker):
        return f"speaker {shown(speaker)}, expected {A_NAME}"
    if not isinstance(sentence, str):
        return f"sentence {shown(sentence)}, expected text"
    if not is_name(segment_id):
        return f"segment id {shown(segment_id)}, expected {A_NAME}"
    if segment_id in seen:
        return f"segment id {segment_id} is that of a turn before it, too"
    return None


def _matrix(dialogue, modality, widths, has_frames):
    """(L, D) float32 features, with D as in `widths`, by modality, which the first dialogue sets; with `has_frames` a
    turn's may be the mean of (frames, D)."""
    rows, name = dialogue.features.get(modality, ()), MODALITIES[modality]
    if len(rows) != len(dialogue):
        raise UserError(f"dialogue {dialogue.id} has {len(dialogue)} labels but {len(rows)} {name} embeddings")

    def refuse(turn, fault):
        raise UserError(f"dialogue {dialogue.id}, turn {turn}: {name} embedding {fault}") from None

    def vector(turn):
        try:
            row = np.asarray(rows[turn], dtype=np.float32)
        except (TypeError, ValueError, OverflowError):
            refuse(turn, "is not a vector of numbers")
        if has_frames and row.ndim == 2 and len(row):
            row = row.mean(axis=0)
        if row.ndim != 1 or not row.size:
            refuse(turn, f"has shape {row.shape}, expected one vector")
        if row.size != widths.setdefault(modality, row.size):
            refuse(turn, f"has {row.size} values, the turns before it {widths[modality]}")
        return row

    with np.errstate(over="ignore"):  # a number too large for float32 is found below
        first = vector(0)
        if isinstance(rows, np.ndarray) and rows.dtype == np.float32 and rows.ndim == 2:
            matrix = rows
        else:
            matrix = np.empty((len(rows), first.size), dtype=np.float32)
            for turn in range(len(rows)):
                matrix[turn] = vector(turn)
    if not (finite := np.isfinite(matrix).all(axis=1)).all():
        refuse(finite.argmin(), "has a value that is not finite")
    return matrix
