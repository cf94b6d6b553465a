"""Writing the sample corpus: a tree with KEMDy19's folders, file names and formats, or KEMDy20's."""

import csv
import io
import multiprocessing
import os
import random
from concurrent.futures import ProcessPoolExecutor, as_completed

import soundfile
from tqdm import tqdm

from erc.files import new_folder, write_text
from mirai.sample.actors import cast
from mirai.sample.annotation import annotation_csv, kemdy20_csv
from mirai.sample.conversation import plan_corpus
from mirai.sample.readme import readme
from mirai.sample.voice import SAMPLE_RATE

SHAPES = ("KEMDy19", "KEMDy20")
_TITLE = "# Sample corpus"
_MILLISECOND = SAMPLE_RATE // 1000


def write_corpus(
    out,
    sessions=20,
    seed=0,
    scripts=2,
    impros=2,
    turns=(16, 24),
    test_sessions=(),
    workers=None,
    shape=SHAPES[0],
    guessed=0.0,
):
    """Make the corpus and its two encoders in the new directory `out`. The same arguments give the same bytes,
    whatever the number of processes.

    Args:
        out: directory; see `new_directory`
        sessions, seed, scripts, impros, turns: see `mirai.sample.conversation.plan_corpus`
        test_sessions: sessions whose transcripts the tokenizer must not see
        workers: processes; default: one per CPU
        shape: one of `SHAPES`
        guessed: share of the turns whose emotion most raters guess; all but the annotation is the same without it

    Returns:
        `{session: number of utterances}`
    """
    plan = plan_corpus(sessions, seed, scripts, impros, turns)
    if shape == "KEMDy20":  # where a session's dialogues are numbered, and none is called improvised
        plan = {
            session: {f"script{n:02d}": turns for n, turns in enumerate(dialogues.values(), start=1)}
            for session, dialogues in plan.items()
        }
    # eSpeak keeps state from one utterance to the next: a fresh process for every session makes each independent
    pool = ProcessPoolExecutor(workers or os.cpu_count(), multiprocessing.get_context("spawn"), max_tasks_per_child=1)
    try:
        jobs = [
            pool.submit(_write_session, out, session, dialogues, seed, shape, guessed)
            for session, dialogues in plan.items()
        ]
        for job in tqdm(as_completed(jobs), total=len(jobs), desc="sessions", unit="session"):
            job.result()
    finally:
        pool.shutdown(cancel_futures=True)
    for signal in ("ECG", "EDA", "TEMP") if shape == "KEMDy19" else ():
        note = f"The sample corpus holds no {signal} recordings; their times in annotation/ are made up.\n"
        write_text(out / signal / "README.txt", note)
    write_text(out / "planted.csv", _planted_csv(plan, shape))

    from mirai.sample.encoders import write_encoders  # imports torch, which the processes above do not need

    training = [
        turn.words
        for session, dialogues in plan.items()
        if session not in test_sessions
        for dialogue in dialogues.values()
        for turn in dialogue
    ]
    write_encoders(out / "encoders", training, seed)
    counts = {session: sum(map(len, dialogues.values())) for session, dialogues in plan.items()}
    write_text(
        out / "README.md", readme(_TITLE, sessions, seed, scripts, impros, turns, test_sessions, counts, shape, guessed)
    )
    return counts


def new_directory(out, overwrite=False):
    """`erc.files.new_folder` for a sample corpus."""
    return new_folder(out, overwrite, _is_sample, "a sample corpus")


def _is_sample(path):
    try:
        return (path / "README.md").read_text().startswith(_TITLE)
    except (OSError, UnicodeDecodeError):
        return False


def _write_session(out, session, dialogues, seed, shape, guessed):
    rng = random.Random(f"{seed} sound {session}")
    actors = cast(session, seed)
    clocks = {}
    for dialogue, turns in dialogues.items():
        name = f"Sess{session:02d}_{dialogue}"
        folder = out / "wav" / f"Session{session:02d}" / (name if shape == "KEMDy19" else "")
        folder.mkdir(parents=True, exist_ok=True)
        now = rng.randint(800, 4000)  # milliseconds
        clocks[name] = []
        for turn in turns:
            segment_id = segment(session, dialogue, turn, shape)
            emotion = turn.emotion if turn.shown == "voice" else "neutral"
            samples = actors[turn.speaker].say(turn.words, emotion, rng)
            soundfile.write(folder / f"{segment_id}.wav", samples, SAMPLE_RATE)
            text = turn.transcript + "\n" if turn.transcript else ""
            (folder / f"{segment_id}.txt").write_bytes(text.encode("utf-8" if shape == "KEMDy19" else "cp949"))
            end = now + len(samples) // _MILLISECOND
            clocks[name].append((segment_id, turn, now / 1000, end / 1000))
            now = end + rng.randint(120, 1300)
    if shape == "KEMDy20":
        path = out / "annotation" / f"Sess{session:02d}_eval.csv"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(kemdy20_csv(clocks, rng, guessed).encode("cp949"))
        return
    for subject in "FM":
        text = annotation_csv(clocks, subject, rng, guessed)
        write_text(out / "annotation" / f"Session{session:02d}_{subject}_res.csv", text)


def segment(session, dialogue, turn, shape):
    if shape == "KEMDy19":
        return f"Sess{session:02d}_{dialogue}_{turn.speaker}{turn.number:03d}"
    user = 2 * session - (turn.speaker == "F")  # two in each session
    return f"Sess{session:02d}_{dialogue}_User{user:03d}{turn.speaker}_{turn.number:03d}"


def _planted_csv(plan, shape):
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["segment_id", "emotion", "shown"])
    for session, dialogues in plan.items():
        for dialogue, turns in dialogues.items():
            for turn in turns:
                writer.writerow([segment(session, dialogue, turn, shape), turn.emotion, turn.shown])
    return file.getvalue()
