"""What comes out: `turns.csv` for tables, `turns.json` with everything, both also what the report shows."""

from erc.files import write_json, write_table

FORMAT, VERSION = "erc-conversation", 1


def as_data(conversation, emotions, emotion_names, probabilities, losses, unsure_below, models, temperature):
    """The emotion of every turn as plain values, as `turns.json` and the report have it. Times in seconds.

    Args:
        conversation: `Conversation` of L turns.
        emotions: C names; `emotion_names`: by language, what people call them.
        probabilities: (L, C).
        losses: by reason, (L,), as `conversation.reasons.explain` gives them; empty: not asked for.
        unsure_below: a turn whose largest probability is lower is marked; None: none is.
        models: what the networks are called.
        temperature: at which the probabilities are; 1: the network's own.
    """
    turns = []
    for k, (turn, row) in enumerate(zip(conversation.turns, probabilities, strict=True)):
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
                "emotion": emotions[row.argmax()],
                "probabilities": [round(float(p), 6) for p in row],
                "unsure": bool(row.max() < (unsure_below or 0)),
                "reasons": {name: round(float(values[k]), 4) for name, values in losses.items()},
            }
        )
    return {
        "format": FORMAT,
        "version": VERSION,
        "dialogue": conversation.name,
        "sources": conversation.sources,
        "speakers": conversation.speakers,
        "emotions": list(emotions),
        "emotion_names": {language: list(names) for language, names in emotion_names.items()},
        "unsure_below": unsure_below,
        "temperature": temperature,
        "file_times": conversation.file_times,
        "models": models,
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
