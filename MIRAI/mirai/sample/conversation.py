"""The plan of the sample corpus: who says what, with which emotion, and where the emotion shows. No sound yet.

**Emotions.** A turn takes the speaker's own last emotion with probability `INERTIA`, the partner's with probability
`CONTAGION`, and a new one, drawn with the probabilities `SHARES`, otherwise. Copying changes no share, so every turn
of every dialogue has the same distribution: the place in a script tells nothing about the emotion. Of `DRAWS` plans
of a session the one that brings the corpus so far nearest to `SHARES` is kept, so that rare emotions are neither
missing nor piled up.

**Where it shows.** Of each three emotional turns in a row, one (drawn) shows the emotion in its words, one in its
voice, one in neither.

**Words.** A script is a fixed course of neutral-sounding lines, drawn from the seed alone; an improvised dialogue
draws its course per session. Neither looks at the emotions. Only a turn that shows its emotion in its words leaves
the course: it says one of that emotion's lines instead.
"""

import random
from collections import Counter
from dataclasses import dataclass

from mirai.sample.lines import lines, vary

SHARES = {"neutral": 40, "angry": 19, "happy": 15, "surprise": 10, "sad": 8, "fear": 4, "disgust": 4}
EMOTIONS = list(SHARES)
INERTIA, CONTAGION = 0.55, 0.38
GOES_ON = 0.12  # probability that a speaker takes the next turn too
DRAWS = 32


@dataclass
class Turn:
    speaker: str  # F or M
    number: int  # among the speaker's turns of this dialogue, from 1
    emotion: str
    shown: str  # words, voice, context or neutral
    words: str  # what is said
    transcript: str  # the words with the markers of KEMDy19's transcripts


def plan_corpus(sessions, seed, scripts=2, impros=2, turns=(16, 24)):
    """The dialogues of every session: `{1: {"impro01": [Turn, ...], ...}, ...}`, turns in time order.

    Args:
        sessions: their number; a longer corpus begins with the same sessions as a shorter one
        seed: of the whole corpus
        scripts, impros: number of dialogues of each kind in a session
        turns: (fewest, most) turns of a dialogue
    """
    names = [f"impro{n:02d}" for n in range(1, impros + 1)] + [f"script{n:02d}" for n in range(1, scripts + 1)]
    plan, felt = {}, Counter()
    for session in range(1, sessions + 1):
        # a string seeds random.Random the same way on every machine
        rng = random.Random(f"{seed} session {session}")
        courses = {
            name: _draw_course(random.Random(f"{seed} {name}") if name.startswith("script") else rng, turns)
            for name in names
        }
        emotions = _draw_emotions(courses, rng, felt)
        felt.update(emotion for dialogue in emotions for emotion in dialogue)
        polite = {"F": rng.random() < 0.6, "M": rng.random() < 0.6}
        plan[session] = {
            name: _act(course, dialogue, polite, rng)
            for (name, course), dialogue in zip(courses.items(), emotions, strict=True)
        }
    return plan


def _draw_course(rng, turns):
    """Speakers and neutral-sounding lines of one dialogue: topic after topic, with continuations between."""
    length = rng.randint(*turns)
    first = rng.choice("FM")
    second = "M" if first == "F" else "F"
    course, topics, going_on = [], [], []
    while len(course) < length:
        topics = topics or _shuffled(lines()["topics"], rng)
        for n, line in enumerate(lines()["topics"][topics.pop()]):
            speaker = second if n % 2 else first
            course.append((speaker, line))
            if rng.random() < GOES_ON:
                going_on = going_on or _shuffled(lines()["continuations"], rng)
                course.append((speaker, going_on.pop()))
    return course[:length]


def _draw_emotions(courses, rng, felt):
    """An emotion for every turn of a session's dialogues; `felt` counts the emotions of the sessions before."""
    turns = felt.total() + sum(map(len, courses.values()))

    def distance(plan):
        count = felt + Counter(emotion for dialogue in plan for emotion in dialogue)
        wanted = {emotion: share * turns / 100 for emotion, share in SHARES.items()}
        return sum((count[emotion] - n) ** 2 / n for emotion, n in wanted.items())

    speakers = [[speaker for speaker, _ in course] for course in courses.values()]
    return min(([_feel(dialogue, rng) for dialogue in speakers] for _ in range(DRAWS)), key=distance)


def _feel(speakers, rng):
    last, emotions = {}, []
    for speaker in speakers:
        partner = "M" if speaker == "F" else "F"
        chance = rng.random()
        emotion = None
        if chance < INERTIA:
            emotion = last.get(speaker)
        elif chance < INERTIA + CONTAGION:
            emotion = last.get(partner)
        last[speaker] = emotion or rng.choices(EMOTIONS, list(SHARES.values()))[0]
        emotions.append(last[speaker])
    return emotions


def _act(course, emotions, polite, rng):
    """The turns of one dialogue: where each emotion shows, and the words as this actor says them."""
    numbers, ways, said, turns = {"F": 0, "M": 0}, [], {}, []
    for (speaker, line), emotion in zip(course, emotions, strict=True):
        shown = "neutral"
        if emotion != "neutral":
            ways = ways or _shuffled(["words", "voice", "context"], rng)
            shown = ways.pop()
        if shown == "words":
            said[emotion] = said.get(emotion) or _shuffled(lines()["emotional"][emotion], rng)
            line = said[emotion].pop()
        numbers[speaker] += 1
        words = vary(line, rng, polite[speaker])
        transcript = write_down(words, rng, may_be_lost=shown != "words")
        turns.append(Turn(speaker, numbers[speaker], emotion, shown, words, transcript))
    return turns


def _shuffled(values, rng):
    return rng.sample(list(values), len(values))


def write_down(words, rng, may_be_lost=False):
    """The words with KEMDy19's transcript markers at about KEMDy19's rates, whatever the emotion.

    `may_be_lost` allows the rare transcript that holds nothing but a marker, or nothing at all.
    """
    if may_be_lost and rng.random() < 0.004:
        return rng.choice(["b/", "l/", "n/", "b/ n/", ""])
    parts = words.split(" ")
    chance = rng.random()
    if chance < 0.095:  # (A+B): the partner speaks at the same time
        n = rng.randrange(len(parts))
        parts[n] = f"({parts[n]}+{rng.choice(lines()['backchannels'])})"
    elif chance < 0.156:
        n = rng.randrange(len(parts))
        parts[n] = f"({parts[n]})"
    for marker, rate in (("b/", 0.21), ("o/", 0.155), ("n/", 0.073), ("l/", 0.064), ("u/", 0.05), ("N/", 0.011)):
        if rng.random() < rate:
            parts.insert(rng.choice([0, 0, rng.randint(0, len(parts)), len(parts)]), marker)
    for marker, rate in (("c/", 0.005), ("s/", 0.004)):
        if rng.random() < rate:
            parts.insert(0, marker)
    text = " ".join(parts)
    if rng.random() < 0.02:
        text = text.replace(" ", "  ", 1)
    return text + " " if rng.random() < 0.01 else text
