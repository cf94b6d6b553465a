"""Turn by turn: the emotion of each turn as soon as it is said, which nothing that is said later changes.

A line of JSON for each turn comes in: `speaker`, and what the network needs of `text` and `file_name` (a sound file,
of which ten minutes are heard; with `start` and `end`, in seconds, a piece of it). A line of JSON goes out for each:
`turn` (from 1 on), `speaker`, `emotion`, `probabilities`, `unsure`, and how long the answer took, in milliseconds,
`encoder_ms` and `network_ms`; or `error`, and then the turn is not part of the conversation.
"""

import json
import math
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from conversation.models import load_models
from conversation.options import clean_name
from conversation.prediction import embed, probabilities
from conversation.turns import Turn
from erc.corpus.dialogues import Dialogue
from erc.corpus.transcripts import clean
from erc.options import UserError
from erc.runtime import find_device
from erc.untrusted import is_name, is_text, parse_json
from mirai.speech import read_piece, resample

MAX_LINE = 1 << 20  # bytes
LONGEST = 600.0  # seconds that are heard of a turn
_LATEST = 1e6  # seconds of a time: 11 days
_FIELDS = {"speaker": str, "text": str, "file_name": str, "start": float, "end": float}


def watch(options, lines, answers):
    """Answer the turns of `PredictOptions`' models until the input ends, or Ctrl-C.

    Args:
        lines: a binary stream, such as `sys.stdin.buffer`.
        answers: a text stream.
    Raises:
        UserError: the models do not fit, or the network sees later turns, too.
    """
    device = find_device(options.device)
    models = load_models(options, SimpleNamespace(has_speech=True, has_text=True, sources=["standard input"]))
    listener = Listener(models, device, options.unsure)
    try:
        for number, line in enumerate(_lines(lines), start=1):
            if line is not None and not line.strip():
                continue
            try:
                answer = listener.answer(_read(line, f"line {number}"))
            except UserError as error:
                answer = {"error": str(error)}
            except OSError as error:  # a name that is too long, a file that may not be read
                answer = {"error": f"line {number}: {error.strerror or error}"}
            answers.write(json.dumps(answer, ensure_ascii=False) + "\n")
            answers.flush()
    except KeyboardInterrupt:
        pass


class Listener:
    """A conversation as far as it has come.

    Args:
        models: `conversation.models.Models`, of a network that sees the past only.
        unsure: a turn whose largest probability is below this is marked; None: as the checkpoint says.
    """

    def __init__(self, models, device, unsure=None):
        architecture = models.checkpoint.network.architecture
        if not architecture.online:
            raise UserError(
                f"{models.names['graph network']}: sees later turns, too, which would change what was answered before; "
                "give a network of COGMEN_code/train.py --online"
            )
        self.models, self.device = models, device
        self.unsure = (models.checkpoint.unsure if unsure is None else unsure) or 0
        self.places = {}  # by speaker, as which of the network's speakers they count
        self.dialogue = None

    def answer(self, turn):
        """The answer to the next turn, as plain values.

        Args:
            turn: `conversation.turns.Turn` with what the network needs.
        """
        started = time.perf_counter()
        place = self._place(turn.speaker)
        if not turn.text and "a" not in self.models.checkpoint.modalities:
            raise UserError("no text, which is all that this network knows of a turn")
        features = embed([turn], self.models, self.device, quiet=True)
        embedded = time.perf_counter()
        said = self._with(turn, place, features)
        rows = probabilities([said], self.models, self.device)
        answered = time.perf_counter()
        self.places[turn.speaker], self.dialogue = place, said
        emotions, p = self.models.checkpoint.emotions, rows[-1]
        return {
            "turn": len(said),
            "speaker": turn.speaker,
            "emotion": emotions[int(p.argmax())],
            "probabilities": {name: round(float(value), 6) for name, value in zip(emotions, p, strict=True)},
            "unsure": bool(p.max() < self.unsure),
            "encoder_ms": round(1000 * (embedded - started), 1),
            "network_ms": round(1000 * (answered - embedded), 1),
        }

    def _place(self, speaker):
        """As which of the network's speakers someone counts: by name, or the first that is free; then for good."""
        known = self.models.corpus.speakers
        if speaker in self.places or not known:
            count = self.models.checkpoint.network.architecture.num_speakers
            if speaker not in self.places and count is not None and len(self.places) == count:
                raise UserError(f"{speaker}: one speaker more than the {count} whom the network was trained with")
            return self.places.get(speaker, speaker)
        free = [name for name in known if name not in self.places.values()]
        if not free:
            raise UserError(f"{speaker}: one speaker more than the {len(known)} whom the network was trained with")
        return speaker if speaker in free else free[0]

    def _with(self, turn, place, features):
        """The conversation and its next turn."""
        before = self.dialogue or Dialogue("watched", [], [], np.zeros(0, np.int64), [])
        number = len(before) + 1
        return Dialogue(
            before.id,
            [*before.segment_ids, f"watched{number:05}"],
            [*before.speakers, place],
            np.zeros(number, dtype=np.int64),
            [*before.sentences, clean(turn.text)],
            {
                m: np.concatenate([before.features[m], rows]) if before.features else rows
                for m, rows in features.items()
            },
        )


def _lines(stream):
    """The lines of a stream; None for one that is too long."""
    while line := stream.readline(MAX_LINE):
        whole = line.endswith(b"\n") or len(line) < MAX_LINE
        while not whole:
            rest = stream.readline(MAX_LINE)
            whole, line = rest.endswith(b"\n") or len(rest) < MAX_LINE, None
        yield line


def _read(line, source):
    """The `Turn` of a line."""
    if line is None:
        raise UserError(f"{source}: more than {MAX_LINE:,} bytes")
    content = parse_json(line, source)
    if not isinstance(content, dict) or not set(content) <= set(_FIELDS):
        raise UserError(f"{source}: expected an object of some of {', '.join(_FIELDS)}")
    content = {name: value for name, value in content.items() if value is not None}
    for name, value in content.items():
        kinds = (float, int) if _FIELDS[name] is float else str
        if not isinstance(value, kinds) or isinstance(value, bool):
            raise UserError(f"{source}: {name} is {json.dumps(value)[:60]}, expected {_FIELDS[name].__name__}")
        if kinds is str and not is_text(value):
            raise UserError(f"{source}: {name} has a character that no text has: {json.dumps(value)[:60]}")
        if kinds is not str and value > _LATEST:
            raise UserError(f"{source}: {name} is {json.dumps(value)[:60]}, expected seconds, at most {_LATEST:g}")
    if not is_name(speaker := clean_name(content.get("speaker", ""))):
        raise UserError(f"{source}: speaker {speaker!r:.60}; expected a name")
    turn = Turn(None, None, speaker, text=content.get("text", ""), file_name=content.get("file_name", ""))
    if turn.file_name:
        start, end = content.get("start", 0.0), content.get("end", math.inf)
        if not 0 <= start < end:
            raise UserError(f"{source}: from {start:g} to {end:g} s; expected 0 <= start < end")
        turn.wave = resample(*read_piece(Path(turn.file_name), start, min(end, start + LONGEST)))
    elif {"start", "end"} & set(content):
        raise UserError(f"{source}: start and end are of a file_name; there is none")
    return turn
