"""Who speaks in a mono recording: the share of the speech for which app/predict.py --speakers 2 guesses the right one.

    python MIRAI/make_sample_corpus.py --out build/speakers/corpus --sessions 8 --seed 11
    python MIRAI/preprocess.py --root_path build/speakers/corpus --save_path build/speakers
    python benchmarks/speakers.py --csv_path build/speakers/annotation_speaker_only.csv

Each dialogue of a woman and a man is mixed into one channel, turns at their times; and the turns of two women, or two
men, of neighbouring sessions are put one after another, with pauses of 0.1 to 0.5 s. Counted is the time in which
someone speaks, whether speech was found there or not, by the better naming of the two voices.
"""

import random
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from conversation.activity import find_speech
from conversation.diarisation import PAUSE, guess_speakers
from erc.corpus.annotations import read_annotations
from erc.options import option, parse, run
from erc.scoring.tables import markdown
from mirai.speech import SAMPLE_RATE, read_speech

STEP = 0.01  # seconds in which time is counted
PAUSE_OF_TURN = 0.6  # as app/predict.py's --pause


@dataclass
class Options:
    csv_path: Path = option("build/speakers/annotation_speaker_only.csv", "annotation table of a sample corpus")


def main(argv=None):
    options = parse(Options, argv, __doc__)
    dialogues, spoken = defaultdict(list), defaultdict(list)
    for one in read_annotations(options.csv_path):
        wave = read_speech(options.csv_path.parent / "txt_wav" / f"{one.segment_id}.wav")
        dialogues[one.dialogue].append((one.wav_start, one.speaker, wave))
        spoken[one.session, one.speaker].append(wave)
    pairs = [
        alternating(own, spoken[session + 1, sex])
        for (session, sex), own in sorted(spoken.items())
        if (session + 1, sex) in spoken
    ]
    kinds = {"a woman and a man": [turns for _, turns in sorted(dialogues.items())], "two of one sex": pairs}
    rows = []
    for kind, recordings in kinds.items():
        scores = np.array([score(turns) for turns in tqdm(recordings, desc=kind, disable=None)])  # right, all; seconds
        shares = scores[:, 0] / scores[:, 1]
        right = f"{scores[:, 0].sum() / scores[:, 1].sum():.1%}"
        few = (f"{np.median(shares):.1%}", f"{shares.min():.1%}")
        rows.append((kind, str(len(scores)), f"{scores[:, 1].sum() / 60:.1f}", right, *few))
    print(markdown([("voices", "recordings", "minutes of speech", "right", "median", "worst recording"), *rows]))


def alternating(first, second, turns=24):
    """[(start, speaker, wave)]: the turns of two speakers in turn, at most so many."""
    generator, found, clock = random.Random(0), [], 0.5
    for waves in zip(first, second, strict=False):
        for speaker, wave in zip("AB", waves, strict=True):
            found.append((clock, speaker, wave))
            clock += len(wave) / SAMPLE_RATE + generator.uniform(0.1, 0.5)
    return found[:turns]


def score(turns):
    """(seconds with the right speaker, seconds in which someone speaks)."""
    spans = [(start, start + len(wave) / SAMPLE_RATE, speaker) for start, speaker, wave in turns]
    sound = np.zeros(round((max(end for _, end, _ in spans) + 1) * SAMPLE_RATE), np.float32)
    for start, _, wave in turns:
        first = round(start * SAMPLE_RATE)
        sound[first : first + len(wave)] += wave
    (stretches,) = find_speech([sound], PAUSE, list)
    found = guess_speakers(sound, stretches, 2, PAUSE_OF_TURN)
    truth, guess = (np.zeros((round(len(sound) / SAMPLE_RATE / STEP), 2), bool) for _ in range(2))
    names = sorted({speaker for _, _, speaker in spans})
    for table, some in ((truth, [(a, b, names.index(name)) for a, b, name in spans]), (guess, found)):
        for start, end, number in some:
            table[round(start / STEP) : round(end / STEP), number] = True
    right = max((truth & guess[:, order]).any(axis=1).sum() for order in ([0, 1], [1, 0]))
    return right * STEP, truth.any(axis=1).sum() * STEP


if __name__ == "__main__":
    run(main)
