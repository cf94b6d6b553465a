"""The annotation files of a session: ten raters, a majority label, clocks; two header rows.

KEMDy20's form has 37 columns, and one file with the planted emotions. KEMDy19's has 43, with the clocks of bio-signals:
each of a session's two files lists the utterances of both speakers: labels and bio-signals were taken with the file's
actor as the subject. For the turns of the subject the label is the planted emotion. For the partner's turns it is the
subject's own reaction, another emotion in half of the cases, as in KEMDy19.

All of that unless some turns are made to be guessed: of these most raters have no idea, so that the majority is often
wrong, and their votes say so.
"""

import csv
import io
from collections import Counter

from mirai.sample.conversation import EMOTIONS, SHARES

RATERS = 10
TIES = 0.063  # share of the rows with two labels
OTHER_REACTION = 0.5  # of the rows of the listener
HEARD = 0.2  # probability that a rater hears the emotion of a turn that is guessed
CLEAR = (9, 10)  # fewest and most raters who hear that of another turn, where some are guessed
_NO_SIGNAL = 0.06  # share of dialogues in which one bio-signal was not recorded
_NO_CELL = 0.01
_SIGNALS = ["ECG", "E4-EDA", "E4-TEMP"]
TYPOS = 0.5  # share of KEMDy20's rows with its other spelling of disgust
# mean valence and arousal, 1 to 5
_FEELING = {
    "neutral": (3.0, 2.6),
    "angry": (1.7, 4.1),
    "happy": (4.3, 3.7),
    "surprise": (3.1, 4.0),
    "sad": (1.8, 2.2),
    "fear": (1.9, 3.9),
    "disgust": (1.8, 3.2),
}


def annotation_csv(clocks, subject, rng, guessed=0.0):
    """The text of `SessionNN_<subject>_res.csv`.

    Args:
        clocks: `{dialogue: [(segment id, Turn, start, end), ...]}` in time order; seconds on the dialogue's clock
        subject: F or M
        rng: `random.Random`
        guessed: share of the turns whose emotion most raters guess
    """
    raters = [name for n in range(1, RATERS + 1) for name in (f"Eval{n:02d}{'FM'[n % 2]}", "", "")]
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    signals = [name for signal in ["Wav", *_SIGNALS] for name in (signal, "")]
    writer.writerow(["Numb", *signals, "Segment ID", "Total Evaluation", "", "", *raters])
    writer.writerow(["", *["start", "end"] * 4, "", *["Emotion", "Valence", "Arousal"] * (RATERS + 1)])
    recorded = {dialogue: [rng.random() >= _NO_SIGNAL for _ in _SIGNALS] for dialogue in clocks}
    offsets = {dialogue: [rng.uniform(0, 2) for _ in _SIGNALS] for dialogue in clocks}
    numb = 0
    for speaker in "FM":
        for dialogue, turns in clocks.items():
            for segment_id, turn, start, end in turns:
                if turn.speaker != speaker:
                    continue
                numb += 1
                row = [numb, f"{start:.3f}", f"{end:.3f}"]
                for there, offset in zip(recorded[dialogue], offsets[dialogue], strict=True):
                    there = there and rng.random() >= _NO_CELL
                    row += [f"{start + offset:.3f}", f"{end + offset:.3f}"] if there else ["", ""]
                emotion = turn.emotion if speaker == subject else _reaction(turn.emotion, rng)
                writer.writerow([*row, segment_id, *_evaluate(emotion, rng, guessed)])
    return file.getvalue()


def kemdy20_csv(clocks, rng, guessed=0.0):
    """The text of `SessNN_eval.csv`; arguments as of `annotation_csv`. Blank cells of its header hold a space."""
    raters = [name for n in range(1, RATERS + 1) for name in (f"Eval{n:02d}", " ", " ")]
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["Numb", "Wav", " ", "Segment ID", "Total Evaluation", " ", " ", *raters])
    writer.writerow([" ", "start", "end", " ", *["Emotion", "Valence", "Arousal"] * (RATERS + 1)])
    rows = [row for turns in clocks.values() for row in turns]
    rows.sort(key=lambda row: row[1].speaker)  # in each speaker's part, dialogues and turns stay in order
    for numb, (segment_id, turn, start, end) in enumerate(rows, start=1):
        cells = [str(cell) for cell in _evaluate(turn.emotion, rng, guessed)]
        if rng.random() < TYPOS:
            cells = [cell.replace("disgust", "disqust") for cell in cells]
        writer.writerow([numb, f"{start:.3f}", f"{end:.3f}", segment_id, *cells])
    return file.getvalue()


def _reaction(emotion, rng):
    if rng.random() >= OTHER_REACTION:
        return emotion
    others = {other: share for other, share in SHARES.items() if other != emotion}
    return rng.choices(list(others), list(others.values()))[0]


def _evaluate(emotion, rng, guessed):
    """33 cells: emotion, valence and arousal in total, then of each rater. The total emotion has the most votes."""
    votes, total = _vote_by_guesses(emotion, rng, guessed) if guessed else _vote(emotion, rng)
    ratings = [tuple(_grade(mean, rng) for mean in _FEELING[vote]) for vote in votes]
    valence, arousal = (sum(grades) / RATERS for grades in zip(*ratings, strict=True))
    cells = [total, f"{valence:.1f}", f"{arousal:.1f}"]
    for vote, rating in zip(votes, ratings, strict=True):
        cells += [vote, *rating]
    return cells


def _vote(emotion, rng):
    """Each rater's emotion, and the total: the planted one, or a tie with another."""
    others = [other for other in EMOTIONS if other != emotion]
    if rng.random() < TIES:
        rival = rng.choice(others)
        most = rng.choice([3, 4, 4, 5])
        votes = [emotion] * most + [rival] * most
        others.remove(rival)
        total = ";".join(rng.sample([emotion, rival], 2))
    else:
        most = rng.choice([5, 6, 7, 8, 9, 10])
        votes = [emotion] * most
        total = emotion
    while len(votes) < RATERS:
        votes.append(rng.choice([other for other in others if votes.count(other) < most - 1]))
    rng.shuffle(votes)
    return votes, total


def _vote_by_guesses(emotion, rng, guessed):
    """Each rater's emotion, and the total, which in a share `guessed` of the turns is anyone's guess."""
    others = [other for other in EMOTIONS if other != emotion]
    heard = rng.randint(*CLEAR)
    votes = [emotion] * heard + rng.choices(others, k=RATERS - heard)
    if rng.random() < guessed:
        votes = [emotion if rng.random() < HEARD else rng.choice(others) for _ in range(RATERS)]
    rng.shuffle(votes)
    counts = Counter(votes)
    return votes, ";".join(vote for vote, count in counts.items() if count == max(counts.values()))


def _grade(mean, rng):
    return min(max(round(rng.gauss(mean, 0.7)), 1), 5)
