"""What comes out: `turns.csv` for tables, `turns.json` with everything, both also what the report shows."""

from dataclasses import dataclass

import numpy as np

from erc.files import write_json, write_table

FORMAT, VERSION = "erc-conversation", 1


@dataclass
class Results:
    """The emotion of every turn of a conversation.

    Attributes:
        conversation: `Conversation` of L turns.
        emotions: C names; `emotion_names`: by language, what people call them.
        probabilities: (L, C).
        losses: by reason, (L,), as `conversation.reasons.explain` gives them; empty: not asked for.
        unsure_below: a turn whose largest probability is lower is marked; None: none is.
        models: what the networks are called.
        temperature: at which the probabilities are; 1: the network's own.
    """

    conversation: object
    emotions: tuple
    emotion_names: dict
    probabilities: np.ndarray
    losses: dict
    unsure_below: float | None
    models: dict
    temperature: float

    @property
    def labels(self):
        return self.probabilities.argmax(axis=1)

    @property
    def unsure(self):
        """(L,) bool."""
        return self.probabilities.max(axis=1) < (self.unsure_below or 0)


def as_data(results):
    """Everything as plain values, as `turns.json` and the report have it. Times in seconds."""
    turns = []
    for k, turn in enumerate(results.conversation.turns):
        turns.append(
            {
                "segment_id": turn.segment_id,
                "start": _rounded(turn.start),
                "end": _rounded(turn.end),
                "speaker": turn.speaker,
                "speaker_source": turn.speaker_source,
                "text": turn.text,
                "text_source": turn.text_source,
                "text_confidence": _rounded(turn.text_confidence),
                "file_name": turn.file_name,
                "channel": turn.channel,
                "given_emotion": turn.emotion,
                "emotion": results.emotions[results.labels[k]],
                "probabilities": [round(float(p), 6) for p in results.probabilities[k]],
                "unsure": bool(results.unsure[k]),
                "reasons": {name: round(float(values[k]), 4) for name, values in results.losses.items()},
            }
        )
    conversation = results.conversation
    return {
        "format": FORMAT,
        "version": VERSION,
        "dialogue": conversation.name,
        "sources": conversation.sources,
        "speakers": conversation.speakers,
        "emotions": list(results.emotions),
        "emotion_names": {language: list(names) for language, names in results.emotion_names.items()},
        "unsure_below": results.unsure_below,
        "temperature": results.temperature,
        "models": results.models,
        "notes": [{"en": note.en, "ko": note.ko} for note in conversation.notes],
        "turns": turns,
    }


def write_results(folder, data):
    """`turns.csv` and `turns.json` of what `as_data` gives."""
    write_json(folder / "turns.json", data)
    emotions = data["emotions"]
    header = ["start", "end", "speaker", "text", "emotion", *(f"p_{name}" for name in emotions), "unsure"]
    rows = [
        [
            *(turn[name] for name in ("start", "end", "speaker", "text", "emotion")),
            *(f"{p:.6f}" for p in turn["probabilities"]),
            turn["unsure"],
        ]
        for turn in data["turns"]
    ]
    write_table(folder / "turns.csv", header, rows)


def _rounded(number):
    return None if number is None else round(number, 3)
