"""preprocess.py --corpus manifest: what a manifest may say, what it may not, and what becomes of the recordings."""

import re
import sys
import unicodedata

import numpy as np
import pytest
import soundfile

from erc.corpus.annotations import read_annotations, table_corpus
from erc.corpus.formatting import format_dialogues
from erc.options import UserError
from mirai.speech import read_speech
from tests.conftest import load_script
from tests.manifests import make_turns, record, write_manifest
from tests.tables import read_rows

from .conftest import tree, write_wav


@pytest.fixture
def rows(tmp_path):
    """Six dialogues of six turns, two channels at 22,050 Hz."""
    own = make_turns()
    record(tmp_path / "recordings", own)
    return own


@pytest.fixture
def read(run_script, tmp_path):
    """`read(rows, "--folds", 2)`: writes them as a manifest and runs preprocess.py; gives the folder that it wrote."""

    def call(rows, *arguments, columns=None, name="calls.csv"):
        manifest = write_manifest(tmp_path / name, rows, columns)
        return run(manifest, *arguments)

    def run(manifest, *arguments):
        save = () if "--check" in arguments else ("--save_path", tmp_path / "data")
        run_script("MIRAI/preprocess.py", "--corpus", "manifest", "--root_path", manifest, *save, *arguments)
        return tmp_path / "data"

    call.file = run
    return call


def sides(path):
    """{dialogue: split} of a table."""
    return {row["dialogue"]: row["split"] for row in read_rows(path)}


def test_each_turn_is_cut_out_of_its_channel(read, rows):
    data = read(list(reversed(rows)))
    found = read_rows(data / "annotation.csv")
    assert [row["segment_id"] for row in found][:7] == [f"call 0_00{k}" for k in range(1, 7)] + ["call 1_001"]
    for row, said in zip(found, rows, strict=True):
        assert (row["speaker"], row["emotion"], float(row["wav_start"])) == (
            said["speaker"],
            said["emotion"],
            pytest.approx(said["start"]),
        )
        info = soundfile.info(data / f"txt_wav/{row['segment_id']}.wav")
        assert (info.samplerate, info.channels, info.subtype) == (16_000, 1, "PCM_16")
        sound = read_speech(data / f"txt_wav/{row['segment_id']}.wav")
        assert len(sound) == pytest.approx(16_000 * (said["end"] - said["start"]), abs=2)
        pitch = np.abs(np.fft.rfft(sound)).argmax() * 16_000 / len(sound)
        assert pitch == pytest.approx(200 + 250 * ["기쁨", "슬픔", "anger"].index(said["said"]), abs=5)
        assert np.abs(sound).max() > 0.3  # of its own channel; the other one is silent there
        assert (data / f"txt_wav/{row['segment_id']}.txt").read_text(encoding="utf-8") == said["text"]
    assert read_annotations(data / "annotation.csv")[2].label == -1


def test_a_file_for_each_turn_is_linked_where_it_is_plain(read, tmp_path):
    rows = make_turns(dialogues=3, turns=3)
    for k, row in enumerate(rows):
        row["file_name"] = f"{k}.wav"
        write_wav(tmp_path / f"{k}.wav", 0.1 * np.sin(np.arange(4_000 + k)), rate=16_000 if k % 2 else 8_000)
    data = read(rows)
    for k, row in enumerate(read_rows(data / "annotation.csv")):
        place = data / f"txt_wav/{row['segment_id']}.wav"
        assert place.is_symlink() == bool(k % 2) and place.stat().st_size > 4_000
    own = [row for row in read_rows(data / "annotation.csv") if row["dialogue"] == "call 0"]
    assert [row["segment_id"] for row in own] == ["call 0_001", "call 0_002", "call 0_003"]  # in the order of the rows
    assert [float(row["wav_start"]) for row in own] == [0.0, 0.5, pytest.approx(0.5 + 4_001 / 16_000, abs=1e-3)]


@pytest.mark.parametrize("times", [{}, {"start": 1}])
def test_turns_of_text_keep_the_order_of_their_rows(read, times):
    """Ids of one's own whose order is another; no times, or the same, such as whole seconds of a chat."""
    rows = [{**row, "segment_id": f"u{k}", **times} for k, row in enumerate(make_turns(dialogues=3, turns=12))]
    data = read(rows)
    utterances = read_annotations(data / "annotation.csv")
    dialogues = format_dialogues(utterances, [""] * len(utterances), [], table_corpus(data / "annotation.csv"))
    found = [name for dialogue in dialogues.dialogues for name in dialogue.segment_ids]
    assert found == [row["segment_id"] for row in rows]


def test_decomposed_korean_is_the_same(read, rows, tmp_path):
    """Half of the rows, the file of emotions and a recording's name, as macOS writes them."""
    plain = tree(read(rows))
    for row in rows[::2]:
        row |= {name: unicodedata.normalize("NFD", row[name]) for name in ("speaker", "text", "emotion", "dialogue")}
    assert tree(read(rows)) == plain
    recording = tmp_path / "recordings" / unicodedata.normalize("NFD", "통화.flac")
    (tmp_path / "recordings/call 0.flac").rename(recording)
    for row in rows[:6]:
        row["file_name"] = "recordings/통화.flac"
    (tmp_path / "calls.toml").write_text(unicodedata.normalize("NFD", 'emotions = ["anger", "기쁨", "슬픔"]'))
    assert tree(read(rows)) == plain


def test_the_same_again_changes_nothing_and_less_removes_what_is_left(read, rows):
    data = read(rows)
    times = {path: path.stat().st_mtime_ns for path in (data / "txt_wav").iterdir()}
    before = tree(data)
    assert tree(read(rows)) == before
    assert {path: path.stat().st_mtime_ns for path in (data / "txt_wav").iterdir()} == times
    read(rows, "--folds", 3)
    assert sorted(path.name for path in data.glob("*.csv")) == [f"annotation_fold{k}.csv" for k in (1, 2, 3)]
    read(rows, columns=["dialogue", "speaker", "text", "emotion"])
    assert [path.name for path in data.glob("*.csv")] == ["annotation.csv"]
    assert {path.suffix for path in (data / "txt_wav").iterdir()} == {".txt"}


def test_emotions_and_name_of_a_file_beside_it(read, rows, tmp_path):
    (tmp_path / "calls.toml").write_text(
        'name = "상담"\nemotions = ["anger", "joy", "sad"]\n[aliases]\n"기쁨" = "joy"\n'
        '[names]\nko = ["분노", "기쁨!", "슬픔"]\nen = ["Anger", "Joy", "Sadness"]\n',
        encoding="utf-8",
    )
    rows[0]["emotion"] = "Sadness"  # what people call it is a label, too
    data = read(rows)
    corpus = table_corpus(data / "annotation.csv")
    assert (corpus.name, corpus.emotions) == ("상담", ("anger", "joy", "sad"))
    assert corpus.emotion_names["ko"] == ("분노", "기쁨!", "슬픔")
    assert {row["emotion"] for row in read_rows(data / "annotation.csv")} == {"", "anger", "joy", "sad"}
    assert read_rows(data / "annotation.csv")[0]["emotion"] == "sad"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("emotions = [", "calls.toml: not TOML, or damaged: "),
        ("emotion = 3", "'emotion' = 3; expected name"),
        ('emotions = "joy"', "'emotions' = 'joy'; expected"),
        ("emotions = [1, 2]", "1 cannot name a corpus or an emotion"),
        ('emotions = ["a", "a"]', "expected a name of its own"),
        ('emotions = ["a", "=1+1"]', "emotion '=1\\+1' would be a formula"),
        ('name = "KEMDy19"\nemotions = ["a", "b"]', "the corpus KEMDy19 is known"),
        ('name = "../x"\nemotions = ["a", "b"]', "'../x' cannot name a corpus, whose folder"),
        ('emotions = ["a", "b"]\n[aliases]\nc = "d"', "alias 'c' = 'd', which is none"),
        ('emotions = ["a", "b"]\n[aliases]\nc = 1', "1; expected an emotion for an alias"),
        ('emotions = ["a", "b"]\n[names]\nen = "ab"', "'ab'; expected an emotion for an alias, lists"),
        ('emotions = ["a", "b"]\n[names]\nfr = ["c", "d"]', "names.fr; expected ko or en"),
        ('emotions = ["a", "b"]\n[names]\nen = ["c"]', "expected a name of its own for each of 2"),
        ('[names]\nen = ["c"]', "names without emotions"),
    ],
)
def test_a_wrong_file_of_emotions(read, tmp_path, text, message):
    (tmp_path / "calls.toml").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=message):
        read(make_turns(), "--check")


def row_2(**cells):
    return lambda rows, folder: rows[0].update(cells)


def no_file(rows, folder):
    (folder / "recordings/call 1.flac").unlink()


def cut_off(rows, folder):
    path = folder / "recordings/call 1.flac"
    path.write_bytes(path.read_bytes()[:3_000])


def long_recording(rows, folder):
    soundfile.write(folder / "recordings/day.wav", np.zeros(1_900 * 4_000, np.int16), 4_000)
    rows[0] |= {"file_name": "recordings/day.wav", "dialogue": "day", "start": "", "end": "", "channel": ""}


def with_hash(rows, folder):
    rows[0] |= {"file_name": "recordings/call 0.flac#1", "channel": ""}


def twice(rows, folder):
    rows.insert(1, dict(rows[0]))


def both_sides(rows, folder):
    for row in rows:
        row["split"] = "train" if row["dialogue"] < "call 3" else "test"
    rows[0]["split"] = "test"


def some_without_split(rows, folder):
    both_sides(rows, folder)
    rows[0]["split"] = ""


def one_emotion(rows, folder):
    for row in rows:
        row["emotion"] = "기쁨"


def without(column):
    def change(rows, folder):
        for row in rows:
            row.pop(column, None)

    return change


WRONG = {
    "unknown column": (row_2(feeling="joy"), "1 x unknown column, expected some of file_name, .*: row 1: 'feeling'"),
    "no dialogue column": (without("dialogue"), "1 x column that is missing: row 1: dialogue"),
    "no speaker column": (without("speaker"), "1 x column that is missing: row 1: speaker"),
    "no file": (no_file, r"1 x recording that cannot be read: {}, row 8: .*call 1\.flac: no such file"),
    "cut off": (cut_off, r"x recording that cannot be read: {}, row [0-9]+: .*call 1\.flac: "),
    "hash": (with_hash, r"no such file; for channel 1 of call 0\.flac the manifest needs the column channel"),
    "no time": (row_2(start="0:01"), "start that is no time in seconds, such as 75.2: {}, row 2: '0:01'"),
    "not finite": (row_2(end="nan"), "end that is no time in seconds, such as 75.2: {}, row 2: 'nan'"),
    "negative": (row_2(start="-1"), "start that is no time in seconds, such as 75.2: {}, row 2: '-1'"),
    "backwards": (row_2(start=0.5, end=0.2), "end that does not come after its start: {}, row 2: 0.5 to 0.2"),
    "beyond": (row_2(end=4), "times beyond the end of the recording: {}, row 2: 0 to 4 s, the recording has 3.6 s"),
    "after it": (row_2(start=9, end=""), "times beyond the end of the recording: {}, row 2: 9 to its end s"),
    "no end": (row_2(end=""), "turn without an end, in whose recording another begins later: {}, row 2"),
    "no times": (row_2(start="", end=""), "turn without times in a dialogue whose other turns have them: {}, row 2"),
    "long": (long_recording, "turn longer than 30 minutes; give the start and end.*: {}, row 2: 1900 s"),
    "channel": (row_2(channel=3), "channel that the recording does not have: {}, row 2: 3, it has 2"),
    "channel 0": (row_2(channel=0), "channel that is no number from 1 on, or has no file_name: {}, row 2: '0'"),
    "channel L": (row_2(channel="L"), "channel that is no number from 1 on, or has no file_name: {}, row 2: 'L'"),
    "same id": (
        lambda rows, folder: [row.update(segment_id="x" if k in (2, 5) else "") for k, row in enumerate(rows)],
        "1 x segment id that is there already: {}, row 7: x, is in {}, row 4",
    ),
    "id of another": (
        row_2(segment_id="call 3_001"),
        "segment id that is there already: {}, row 20: call 3_001, is in",
    ),
    "path": (row_2(segment_id="../x"), "segment_id with a path separator, or a dot .*: {}, row 2: '../x'"),
    "dialogue path": (row_2(dialogue="a\\b"), r"dialogue with a path separator.*: {}, row 2: 'a\\\\b'"),
    "long id": (row_2(segment_id="한" * 99), "segment_id of more than 200 bytes; files get this name: {}, row 2: "),
    "formula": (row_2(speaker="=1+1"), "speaker that would be a formula in a spreadsheet.*: {}, row 2: '=1\\+1'"),
    "formula as id": (row_2(segment_id="@x"), "segment_id that would be a formula in a spreadsheet.*: {}, row 2: '@x'"),
    "lines": (row_2(speaker="a\nb"), r"speaker that is no name: text on one line.*: {}, row 2: 'a\\nb'"),
    "no speaker": (row_2(speaker=""), "speaker that is no name.*: {}, row 2: ''"),
    "nothing said": (row_2(text="", file_name="", channel=""), "neither file_name nor text: {}, row 2"),
    "split": (row_2(split="valid"), "unknown split, expected train, dev, test: {}, row 2: 'valid'"),
    "both sides": (both_sides, "dialogue on both sides: a turn of another split.*: {}, row 3: call 0 is in test"),
    "no split": (some_without_split, "turn without a split, which others have: {}, row 2"),
    "twice": (
        twice,
        "turn that is there twice: the same dialogue, speaker and times: {}, row 3: 0 to 0.55, and {}, row 2",
    ),
    "one emotion": (one_emotion, "emotions: .*expected at least two"),
    "no emotion column": (without("emotion"), "emotions: .*expected at least two"),
}


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recorded")
    rows = make_turns()
    record(folder / "recordings", rows)
    return folder, rows


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_named_with_its_row(read, recorded, tmp_path, case):
    change, message = WRONG[case]
    folder, rows = recorded
    rows = [dict(row) for row in rows]
    (tmp_path / "recordings").mkdir()
    for path in (folder / "recordings").iterdir():
        (tmp_path / "recordings" / path.name).write_bytes(path.read_bytes())
    change(rows, tmp_path)
    with pytest.raises(UserError, match=f"(?s)nothing is written.*{message.replace('{}', 'calls.csv')}"):
        read(rows)
    assert not (tmp_path / "data").exists()


def test_check_lists_all_at_once_and_writes_nothing(read, rows, tmp_path, capsys):
    for k, row in enumerate(rows[:5]):
        row["start"] = f"soon {k}"
    rows[6] |= {"speaker": "=x"}
    rows[7] |= {"file_name": "gone.wav"}
    rows[8] |= {"end": 99, "split": "x"}
    rows[9] |= {"channel": 7}
    before = tree(tmp_path)
    with pytest.raises(UserError, match=r"calls\.csv: 10 errors, 0 left out; preprocess\.py would stop"):
        read(rows, "--check")
    shown = capsys.readouterr().out
    assert shown.startswith("errors (10):\n")
    for k in range(5):
        assert f"calls.csv, row {k + 2}: 'soon {k}'" in shown  # every place, not the first three
    for text in (
        "1 x speaker that would be",
        "1 x recording that cannot be read: calls.csv, row 9: ",
        "1 x unknown split",
    ):
        assert text in shown
    assert {name: content for name, content in tree(tmp_path).items() if name != "calls.csv"} == before


def test_other_separators_and_files_that_are_none(read, tmp_path):
    (tmp_path / "calls.csv").write_text("dialogue;speaker;text\na;b;c\n")
    with pytest.raises(UserError, match="columns that are not separated by commas: row 1: by ';'"):
        read.file(tmp_path / "calls.csv")
    (tmp_path / "calls.csv").write_bytes(b"")
    for path, message in ((tmp_path / "calls.csv", "empty"), (tmp_path / "none.csv", "no such file; give a manifest")):
        with pytest.raises(UserError, match=message):
            read.file(path)


def test_what_may_be_meant_is_noted(read, rows, tmp_path, capsys):
    for path, level in (("silent", 0), ("loud", 3)):
        wave = np.clip(level * np.sin(np.arange(8_000)), -1, 1)
        soundfile.write(tmp_path / f"recordings/{path}.wav", wave, 16_000)
    extra = {"dialogue": "extra", "speaker": "민지", "emotion": "anger", "text": ""}
    for name, start, end in (("silent", 0, 0.3), ("silent", 0.2, 0.5), ("loud", 0.5, ""), ("loud", 0, 0.01)):
        rows.append({**extra, "file_name": f"recordings/{name}.wav", "start": start, "end": end})
    rows.append({**extra, "text": "말"})
    rows[0]["emotion"] = "angr"
    with pytest.raises(UserError):
        read(rows, "--check")  # loud.wav ends at 0.5 s
    rows[-3]["start"] = 0.4
    capsys.readouterr()
    read(rows)
    shown = capsys.readouterr().out
    for text in (
        "1 x turn without speech, which other turns of the manifest have: calls.csv, row 42",
        "2 x turn that is silent: calls.csv, row 38; calls.csv, row 39",
        "turn whose sound is clipped: calls.csv, row 40",
        "1 x turn shorter than 400 samples; padded when it is read: calls.csv, row 41",
        "3 x two turns of one speaker at once; both have the sound they share: ",
        "calls.csv, row 39: 0.2 to 0.5, and calls.csv, row 38",
        "1 x emotion of fewer than 5 turns: angr, 1",
        "4 x turn without text: calls.csv, row 41",
    ):
        assert text in shown, text


def test_the_split(read):
    rows = make_turns(turns=2)
    data = read(rows)
    drawn = sides(data / "annotation.csv")
    assert sorted(drawn.values()) == ["dev", "test", "train", "train", "train", "train"]
    assert sides(read(rows) / "annotation.csv") == drawn
    assert any(sides(read(rows, "--seed", seed) / "annotation.csv") != drawn for seed in range(3))
    read(rows, "--test_dialogues", "call 5", "call 2")
    named = sides(data / "annotation.csv")
    assert {name for name, side in named.items() if side == "test"} == {"call 2", "call 5"}
    assert sorted(named.values()).count("dev") == 1
    with pytest.raises(UserError, match="--test_dialogues that has no labelled turn, or is not there: 'call 9'"):
        read(rows, "--test_dialogues", "call 9")
    for row in rows:
        row["split"] = ["train", "dev", "test"][int(row["dialogue"][-1]) % 3]
    read(rows)
    assert sides(data / "annotation.csv")["call 1"] == sides(data / "annotation.csv")["call 4"] == "dev"
    for arguments in (("--folds", 2), ("--test_dialogues", "call 1")):
        with pytest.raises(UserError, match="though the manifest has a column split"):
            read(rows, *arguments)


def test_what_is_on_both_sides_is_counted(read, rows, capsys):
    rows[0]["text"] = rows[-1]["text"] = "네, (같은) 말"
    read(rows, "--test_dialogues", "call 5")
    shown = capsys.readouterr().out
    for text, count in (("turns held out", 6), ("the speaker trains too", 6), ("the recording trains too", 0)):
        assert re.search(rf"{text} +{count}\n", shown)
    assert re.search(r"the text trains too +1\n", shown)


def test_folds_hold_out_every_dialogue_once(read):
    rows = make_turns(turns=2)
    data = read(rows, "--folds", 4)
    folds = [sides(data / f"annotation_fold{k}.csv") for k in (1, 2, 3, 4)]
    held_out = [name for fold in folds for name, side in fold.items() if side == "test"]
    assert sorted(held_out) == sorted({row["dialogue"] for row in rows})
    assert all({"train", "dev", "test"} == set(fold.values()) for fold in folds)


def test_folds_by_speaker_share_no_speaker(read):
    rows = make_turns(turns=2)
    with pytest.raises(UserError, match="too few groups of dialogues that share no speaker .*: 1, expected 3"):
        read(rows, "--folds", 3, "--fold_by", "speaker")
    for row in rows:
        row["speaker"] += row["dialogue"][-1] if row["dialogue"] != "call 5" else "4"  # 4 and 5 have the same ones
    data = read(rows, "--folds", 3, "--fold_by", "speaker")
    for k in (1, 2, 3):
        found = read_rows(data / f"annotation_fold{k}.csv")
        speakers = {
            side: {row["speaker"] for row in found if row["split"] == side} for side in ("train", "dev", "test")
        }
        assert not speakers["test"] & (speakers["train"] | speakers["dev"]) and all(speakers.values())


@pytest.mark.parametrize(("dialogues", "arguments"), [(2, ()), (1, ()), (3, ("--folds", 2))])
def test_too_few_dialogues(read, dialogues, arguments):
    with pytest.raises(
        UserError, match="expected at least three|too few dialogues with labels for --folds 2.*: 3, expected"
    ):
        read(make_turns(dialogues=dialogues), *arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--root_path", "."), "--root_path .: is a directory, expected the manifest"),
        (("--folds", 1), "--folds 1: expected 2 to 100"),
        (("--folds", 2, "--test_dialogues", "a"), "give one of them"),
        (("--fold_by", "speaker"), "--fold_by: needs --folds"),
        (("--corpus", "KEMDy19", "--folds", 2), "--folds: goes with --corpus manifest"),
        (("--corpus", "KEMDy19", "--seed", 0), "--seed: goes with --corpus manifest"),
    ],
)
def test_flags_that_do_not_go_together(read, capsys, arguments, message):
    with pytest.raises(SystemExit):
        read(make_turns(), *arguments)
    assert message in capsys.readouterr().err


def test_where_other_things_are(read, rows, preprocess, corpus_made, tmp_path):
    """The manifest itself is not replaced, nor are the tables of another corpus."""
    with pytest.raises(UserError, match=r"a table might replace .*annotation_fold1\.csv"):
        read.file(write_manifest(tmp_path / "data/annotation_fold1.csv", make_turns()))
    (tmp_path / "data/annotation_fold1.csv").unlink()
    preprocess(corpus_made)
    before = tree(tmp_path / "data")
    with pytest.raises(UserError, match="data: has the tables of the corpus KEMDy19; give another folder"):
        read(rows)
    assert tree(tmp_path / "data") == before


def test_without_a_save_path_it_goes_to_a_folder_of_its_name(run_script, rows, tmp_path, monkeypatch):
    monkeypatch.setattr(load_script("MIRAI/preprocess.py"), "REPOSITORY", tmp_path / "repository")
    manifest = write_manifest(tmp_path / "calls.csv", rows)
    run_script("MIRAI/preprocess.py", "--corpus", "manifest", "--root_path", manifest)
    assert (tmp_path / "repository/data/calls/annotation.csv").is_file()


def encode(path, sound, rate):
    """Stereo (samples, 2) as a video's or phone's file has it."""
    av = pytest.importorskip("av")
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=rate, layout="stereo")
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(sound.T, np.float32), format="fltp", layout="stereo")
        frame.rate = rate
        for part in (frame, None):
            container.mux(stream.encode(part))


def tones(rate=44_100):
    """3 s: 300 Hz in the left channel's first half, 1000 Hz in the right one's second."""
    time = np.arange(3 * rate) / rate
    left, right = 0.5 * np.sin(2 * np.pi * 300 * time), 0.5 * np.sin(2 * np.pi * 1000 * time)
    return np.stack([left * (time < 1.5), right * (time >= 1.5)], axis=1)


@pytest.mark.parametrize("suffix", ["m4a", "mp4", "mkv"])
def test_the_sound_of_a_video(read, tmp_path, suffix):
    encode(tmp_path / f"call.{suffix}", tones(), 44_100)
    rows = make_turns(dialogues=3, turns=2)
    for k, row in enumerate(rows):
        row |= {"file_name": f"call.{suffix}", "channel": k % 2 + 1, "start": 1.5 * (k % 2), "end": 1.4 + 1.5 * (k % 2)}
    data = read(rows)
    for k, pitch in ((1, 300), (2, 1000)):
        sound = read_speech(data / f"txt_wav/call 0_00{k}.wav")
        assert len(sound) == pytest.approx(1.4 * 16_000, abs=2) and np.abs(sound[2_000:-2_000]).max() > 0.4
        assert np.abs(np.fft.rfft(sound)).argmax() / 1.4 == pytest.approx(pitch, abs=2)
    path = tmp_path / f"call.{suffix}"
    path.write_bytes(path.read_bytes()[:3_000])
    with pytest.raises(UserError, match=rf"recording that cannot be read: calls\.csv, row 2: .*call\.{suffix}"):
        read(rows)


def test_without_the_library_for_videos_it_says_so(read, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    (tmp_path / "call.m4a").write_bytes(b"\0\0\0\x1cftypM4A ")
    rows = make_turns(dialogues=3, turns=2)
    for row in rows:
        row["file_name"] = "call.m4a"
    with pytest.raises(UserError, match=r"call\.m4a: not a sound file .*; m4a and video need PyAV: pip install av"):
        read(rows)


def test_a_playlist_opens_no_other_file(read, tmp_path):
    pytest.importorskip("av")
    soundfile.write(tmp_path / "secret.wav", tones(), 44_100)
    (tmp_path / "call.m3u8").write_text("#EXTM3U\n#EXTINF:3,\nsecret.wav\n#EXT-X-ENDLIST\n")
    rows = make_turns(dialogues=3, turns=2)
    for row in rows:
        row["file_name"] = "call.m3u8"
    with pytest.raises(UserError, match="neither a sound file nor a video with sound that can be read"):
        read(rows)
