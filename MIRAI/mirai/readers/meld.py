"""MELD's raw directory: a CSV file for each set and, where they lie beside it, the turns' wav files or videos.

    train_sent_emo.csv, dev_sent_emo.csv, test_sent_emo.csv    columns by their names; the numbers of the dialogues
                                                               begin anew in each: turn train_dia0_utt3
    train/dia0_utt3.wav, dev/..., test/...                     or .mp4, or in the folders of the published archive

StartTime and EndTime, on the episode's clock and sometimes wrong, are not used. In the table a turn starts at its
Utterance_ID, which orders the turns of a dialogue and may have gaps, and lasts as long as its speech, or 0 s.

    left out   a row that repeats a turn of its file; if there is speech, a turn whose own is missing or damaged
    an error   a file that is missing, is not UTF-8 or lacks a column; a row with a cell too many or too few, an unknown
               emotion, no speaker, an id that is no number; a set without any speech, though another has it
"""

from importlib.util import find_spec

from tqdm import tqdm

from erc.corpus.annotations import COLUMNS, make_utterance, read_csv
from erc.corpus.corpora import CORPORA
from erc.options import UserError
from mirai.readers.findings import Cut, Findings, RawCorpus, shown
from mirai.readers.recordings import probe_recording

TABLES = ("annotation.csv",)
_MELD = CORPORA["MELD"]
# By set: the folder of the published archive, and how many dialogues and turns there are.
_SETS = {
    "train": ("train_splits", 1_038, 9_989),
    "dev": ("dev_splits_complete", 114, 1_109),
    "test": ("output_repeated_splits_test", 280, 2_610),
}
_NEEDED = ("Utterance", "Speaker", "Emotion", "Dialogue_ID", "Utterance_ID")
# Controls that are left of a Windows encoding, and the characters that they are there.
_LEFTOVERS = {code: bytes([code]).decode("cp1252", "ignore") for code in range(0x80, 0xA0)}
_VIDEO = "video that is not read: pip install av; or make wav files: ffmpeg -i dia0_utt0.mp4 -vn dia0_utt0.wav"


def read_corpus(options):
    """Read MELD's directory `options.root_path`; a `RawCorpus` of text alone if it has no speech that can be read."""
    findings, root, rows, funnel = Findings(), options.root_path.resolve(), {}, []
    for split, (_, *published) in _SETS.items():
        own = _rows(root / f"{split}_sent_emo.csv", split, findings)
        counts = len({row["dialogue"] for row in own}), len(own)
        for what, count, expected in zip(("dialogues", "turns"), counts, published, strict=True):
            funnel.append((f"{what} of {split}", count, expected))
        rows |= {row["segment_id"]: row for row in own}
    total = sum(turns for *_, turns in _SETS.values())
    speech = _speech(root, rows, findings)
    used = [row for name, row in rows.items() if name in speech or not speech]
    funnel = [("turns of all sets", len(rows), total), *funnel, ("-> annotation.csv", len(used), None)]
    transcripts = {row["segment_id"]: row["text"] for row in used}
    return RawCorpus(_MELD, {TABLES[0]: used}, speech, transcripts, funnel, findings)


def _rows(path, split, findings):
    """The rows of a set for the annotation table, with their `text`, in the order of dialogues and turns."""
    try:
        (header, *lines), encoding = read_csv(path, "MELD's directory has train_, dev_ and test_sent_emo.csv")
    except (UserError, OSError) as error:
        findings.errors["file that cannot be read"].append(str(error))
        return []
    missing = [name for name in _NEEDED if header.cells.count(name) != 1]
    if missing or encoding not in ("utf-8", "utf-8-sig"):
        reason = f"file without one column {', '.join(missing)}" if missing else "file that is not UTF-8"
        findings.errors[reason].append(path.name)
        return []
    rows = {}
    for line in lines:
        place = f"{path.name}, row {line.number}"
        if len(line.cells) != len(header.cells):
            findings.errors["a cell too many or too few"].append(place)
            continue
        cells = dict(zip(header.cells, (cell.translate(_LEFTOVERS) for cell in line.cells), strict=True))
        ids = cells["Dialogue_ID"], cells["Utterance_ID"]
        if not all(text.isascii() and text.isdecimal() and len(text) < 7 for text in ids):
            findings.errors["Dialogue_ID and Utterance_ID that are no numbers"].append(
                f"{place}: {shown(', '.join(ids))}"
            )
            continue
        key = dialogue, turn = tuple(map(int, ids))
        row = dict.fromkeys(COLUMNS, "") | {"dialogue": f"{split}_dia{dialogue}", "split": split, "path_exist": "True"}
        row |= {"segment_id": f"{row['dialogue']}_utt{turn}", "wav_start": str(turn), "wav_end": str(turn)}
        row |= {"emotion": cells["Emotion"], "speaker": cells["Speaker"], "text": cells["Utterance"]}
        try:
            make_utterance(row, place, _MELD)
        except UserError as error:
            findings.errors["row that cannot be used"].append(str(error))
        if rows.setdefault(key, row) is not row:
            findings.left_out["turn that is in the file already"].append(f"{place} ({row['segment_id']})")
    return [row for _, row in sorted(rows.items())]


def _speech(root, rows, findings):
    """{segment id: its file, or a `Cut` of it} of the turns whose own can be read; `rows` get its length."""
    folders, kinds = {}, (".wav", ".mp4") if find_spec("av") else (".wav",)
    for split, (published, *_) in _SETS.items():
        own = [path for path in (root / split, root / published) if path.is_dir()]
        folders[split] = next((path for path in own if any(any(path.glob(f"*{kind}")) for kind in kinds)), None)
        if not folders[split] and any(any(path.glob("*.mp4")) for path in own):
            findings.notes[_VIDEO].append(split)
    if without := [split for split, folder in folders.items() if not folder]:
        partly = len(without) < len(folders)
        found = findings.errors if partly else findings.notes
        found["set without speech" + (", though another has it" if partly else "; text alone")].extend(without)
        return {}
    speech = {}
    for name, row in tqdm(rows.items(), desc="checking files", unit="utterance", disable=None):
        stem = folders[row["split"]] / name.removeprefix(f"{row['split']}_")
        path = next((path for kind in kinds if (path := stem.with_suffix(kind)).exists()), stem.with_suffix(".wav"))
        try:
            recording = probe_recording(path)
        except (UserError, OSError) as error:
            findings.left_out["speech that cannot be read"].append(str(error))
            continue
        speech[name] = path if recording.plain else Cut(path)
        row["wav_end"] = f"{int(row['wav_start']) + recording.seconds:.3f}"
    if rows and not speech:
        findings.errors["no speech that can be read, though there are files"].append(str(root))
    return speech
