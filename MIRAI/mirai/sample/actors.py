"""The actors' voices, and what each emotion does to a voice.

The effects are large on purpose: they must be learnt by a small network from a few hundred utterances. They change
speech rate, pitch and pitch range. Loudness is left alone, because the encoder's input is normalised anyway.
"""

import random
from dataclasses import dataclass
from itertools import product

from mirai.sample.voice import speak

# variants of eSpeak NG's Korean voice without whisper, robot effects or missing formants
VARIANTS = {
    "F": ["f1", "f2", "f3", "f4", "f5", "steph", "steph2", "grandma"],
    "M": ["m1", "m3", "m4", "m5", "m6", "m7", "Michael", "Mario", "miguel", "Gene", "max"],
}
BASE_RATES = [200, 208, 216]  # words a minute, as eSpeak counts them
BASE_PITCHES = [44, 47, 50, 53, 56]  # eSpeak's scale, 50 is the variant's own
NEUTRAL_RANGE = 45

# rate (factor), pitch (added), range (set)
EFFECTS = {
    "neutral": (1.0, 0, NEUTRAL_RANGE),
    "angry": (1.6, -25, 99),
    "happy": (1.15, 43, 80),
    "surprise": (0.55, 43, 99),
    "sad": (0.55, -35, 0),
    "fear": (1.6, 43, 0),
    "disgust": (0.55, 0, 99),
}


@dataclass(frozen=True)
class Actor:
    variant: str
    rate: float
    pitch: float

    def say(self, words, emotion, rng):
        """int16 samples at 16 kHz of the words in the voice of `emotion`; `rng` varies each utterance a little."""
        factor, shift, pitch_range = EFFECTS[emotion]
        rate = self.rate * factor * rng.uniform(0.96, 1.04)
        pitch = self.pitch + shift + rng.uniform(-3, 3)
        pitch_range += rng.uniform(-5, 5)
        return speak(words, self.variant, rate, _clip(pitch), _clip(pitch_range))


def cast(session, seed):
    """The two actors of a session, by speaker letter. No two of up to 99 sessions' actors are alike."""
    rng = random.Random(f"{seed} actors")
    actors = {}
    for speaker, variants in VARIANTS.items():
        variants = rng.sample(variants, len(variants))
        bases = list(product(BASE_RATES, BASE_PITCHES))
        rng.shuffle(bases)
        # 15 bases and 8 or 11 variants have no common divisor, so the pairs repeat only after 120 or 165 sessions
        rate, pitch = bases[session % len(bases)]
        actors[speaker] = Actor(variants[session % len(variants)], rate, pitch)
    return actors


def _clip(value):
    return min(max(value, 0), 99)
