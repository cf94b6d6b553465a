"""Conversations of one's own, made by the tests: recordings of tones, and the manifest of their turns."""

import csv
import itertools

import numpy as np
import soundfile

WORDS = {"기쁨": "좋아요 정말", "슬픔": "싫어 어제", "anger": "무서워 뭐라고"}
SPEAKERS = ("민지", "Alex", "김 선생")


def sound_of(emotion, seconds, rate, generator):
    """A tone whose pitch tells the emotion."""
    pitch = 200 + 250 * list(WORDS).index(emotion)
    time = np.arange(round(seconds * rate)) / rate
    return 0.4 * np.sin(2 * np.pi * pitch * time) + 0.02 * generator.normal(size=len(time))


def make_turns(dialogues=6, turns=6, unlabelled=2):
    """Rows of a manifest without recordings. Of each dialogue, the turn of the number `unlabelled` has no label."""
    rows = []
    for d, k in itertools.product(range(dialogues), range(turns)):
        emotion = list(WORDS)[(k + k // 3 + d) % 3]
        row = {"dialogue": f"call {d}", "speaker": SPEAKERS[k % 3], "text": f"{WORDS[emotion]} {d}{k}"}
        rows.append({**row, "emotion": "" if k == unlabelled else emotion, "said": emotion})
    return rows


def record(folder, rows, rate=22_050, seconds=0.6):
    """A stereo recording of each dialogue: its first speaker in the left channel, the others in the right one. The rows
    get where they are in it."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(0)
    for dialogue, group in itertools.groupby(rows, key=lambda row: row["dialogue"]):
        own = list(group)
        recording = np.zeros((round(rate * seconds * len(own)), 2), np.float32)
        for k, row in enumerate(own):
            channel = 1 if row["speaker"] == SPEAKERS[0] else 2
            sound = sound_of(row["said"], seconds, rate, generator)
            start = round(k * seconds * rate)
            recording[start : start + len(sound), channel - 1] = sound
            row |= {"file_name": f"{folder.name}/{dialogue}.flac", "channel": channel}
            row |= {"start": round(k * seconds, 3), "end": round((k + 1) * seconds - 0.05, 3)}
        soundfile.write(folder / f"{dialogue}.flac", recording, rate)


def write_manifest(path, rows, columns=None):
    """The CSV file of some rows; without `columns` it has all that they have."""
    columns = columns or list(dict.fromkeys(name for row in rows for name in row if name != "said"))
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore", restval="")
        writer.writeheader()
        writer.writerows(rows)
    return path
