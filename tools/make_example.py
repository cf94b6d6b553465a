"""Make a stereo recording of one dialogue of a corpus, a speaker on each channel, and a manifest of its turns.

    python tools/make_example.py --csv_path data/annotation_speaker_only.csv --dialogue Sess02_impro01 --out examples

Writes call.flac and call.csv. The shipped ones are of a draw of the sample corpus that no shipped model has met:
MIRAI/make_sample_corpus.py with --sessions 3 --seed 7 --turns 12 16, then MIRAI/preprocess.py with --keep_unlabelled.
"""

from dataclasses import dataclass
from pathlib import Path

from erc.files import atomic_writer, claim, write_table
from erc.options import UserError, option, parse, run

COLUMNS = ("file_name", "dialogue", "speaker", "channel", "start", "end", "text", "emotion")


@dataclass
class Options:
    dialogue: str = option(help="which dialogue of the table")
    csv_path: Path = option("data/annotation_speaker_only.csv", "annotation table, with txt_wav/ beside it")
    out: Path = option("examples", "folder of the two files")


def main(argv=None):
    options = parse(Options, argv, __doc__)
    with claim(options.out / "call.flac"):
        turns, seconds = make_example(options)
    print(f"{turns} turns, {seconds:.0f} s: {options.out}/call.flac, call.csv")


def make_example(options):
    """Write the two files; the number of turns, and the recording's duration."""
    import numpy as np
    import soundfile

    from erc.corpus.annotations import read_annotations
    from erc.corpus.transcripts import clean, read_transcript
    from mirai.speech import SAMPLE_RATE, read_speech

    turns = [turn for turn in read_annotations(options.csv_path) if turn.dialogue == options.dialogue]
    if not turns:
        raise UserError(f"--dialogue {options.dialogue}: not in {options.csv_path}")
    turns.sort(key=lambda turn: turn.wav_start)
    speakers = sorted({turn.speaker for turn in turns}, reverse=True)  # M, F
    before = turns[0].wav_start - 0.5  # s of the recording that are left out
    seconds = max(turn.wav_end for turn in turns) - before + 0.5
    sound, rows = np.zeros((round(seconds * SAMPLE_RATE), len(speakers))), []
    for turn in turns:
        path = options.csv_path.parent / "txt_wav" / f"{turn.segment_id}.wav"
        start, channel, wave = turn.wav_start - before, speakers.index(turn.speaker), read_speech(path)
        first = round(start * SAMPLE_RATE)
        sound[first : first + len(wave), channel] += wave[: len(sound) - first]
        text = clean(read_transcript(path.with_suffix(".txt")))
        times = (f"{start:.3f}", f"{turn.wav_end - before:.3f}")
        rows.append(("call.flac", "call", turn.speaker, channel + 1, *times, text, turn.emotion))
    with atomic_writer(options.out / "call.flac") as file:
        soundfile.write(file, sound, SAMPLE_RATE, format="FLAC", subtype="PCM_16")  # noqa: TID251 (whole or not at all)
    write_table(options.out / "call.csv", COLUMNS, rows)
    return len(turns), seconds


if __name__ == "__main__":
    run(main)
