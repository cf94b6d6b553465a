"""preprocess.py, the raw corpus it reads and the tables it writes."""

import os
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile

from erc.corpus.annotations import COLUMNS, read_annotations
from erc.corpus.corpora import KEMDY19
from erc.options import UserError
from mirai.readers.findings import Findings, RawCorpus
from tests.tables import read_rows

from .conftest import annotation_rows, tree, write_wav

TABLES = ("annotation.csv", "annotation_speaker_only.csv")


@pytest.fixture
def annotation(corpus):
    """The F file of session 1."""
    return corpus / "annotation" / "Session01_F_res.csv"


def change_lines(path, changes):
    """Change lines of a file, by their numbers from 1."""
    lines = path.read_text().splitlines()
    for number, change in changes.items():
        lines[number - 1] = change(lines[number - 1])
    path.write_text("\n".join(lines))


def funnel(shown):
    """The counts of a printed funnel; of the two lines of the same name, the last."""
    lines = shown[shown.index("step  ") :].splitlines()
    return {line[:46].strip(): line.split()[-1] for line in lines[1:] if line[46:54].strip().replace(",", "").isdigit()}


def test_funnel_and_tables(preprocess, corpus_made, capsys):
    data = preprocess(corpus_made, "--check")
    assert not data.exists() and "corpus: 0 errors, 0 left out; preprocess.py can use it\n" in capsys.readouterr().out
    preprocess(corpus_made)
    assert funnel(capsys.readouterr().out) == {
        "all rows": "112",
        "without ties": "111",
        "first row kept per segment id": "56",
        "with both wav and txt -> annotation.csv": "56",
        "of these at most 25 s": "55",
        "speaker only -> annotation_speaker_only.csv": "55",
    }
    own = read_rows(data / "annotation_speaker_only.csv")
    assert tuple(own[0]) == COLUMNS and own[0]["ecg_start"] == "" and own[0]["eda_start"] == "1.5"
    assert {row["path_exist"] for row in own} == {"True"}
    assert len(read_rows(data / "annotation.csv")) == 56 and len(list((data / "txt_wav").iterdir())) == 112
    assert (data / "corpus.json").read_text() == '"KEMDy19"\n'


def test_speaker_only_takes_the_label_of_the_speakers_own_file(data):
    labels = {name: labels for name, *_, labels in annotation_rows(1) if name != "Sess01_impro01_F001"}  # a tie
    own = {row["segment_id"]: row["emotion"] for row in read_rows(data / "annotation_speaker_only.csv")}
    first = {row["segment_id"]: row["emotion"] for row in read_rows(data / "annotation.csv")}
    assert all(own[name] == both[name.split("_")[2][0]] for name, both in labels.items())
    assert all(first[name] == both["F"] for name, both in labels.items())  # an M turn with the label of the F file
    assert any(first[name] != own[name] for name in labels)


def test_rows_are_in_session_dialogue_and_time_order(data):
    rows = read_annotations(data / "annotation_speaker_only.csv")
    expected = sorted(rows, key=lambda row: (row.session, row.dialogue, row.wav_start))
    found = [row["segment_id"] for row in read_rows(data / "annotation_speaker_only.csv")]
    assert found == [row.segment_id for row in expected]


def test_links_then_copies_then_links(preprocess, corpus):
    data = preprocess(corpus)
    place = data / "txt_wav" / "Sess19_impro01_F001.wav"
    source = corpus / "wav" / "Session19" / "Sess19_impro01" / place.name
    assert place.is_symlink() and place.readlink().is_absolute() and place.resolve() == source.resolve()
    preprocess(corpus, "--files", "copy")
    assert not place.is_symlink() and place.read_bytes() == source.read_bytes()
    preprocess(corpus, "--files", "link")
    assert place.is_symlink() and source.is_file()


def test_again_on_a_smaller_corpus_removes_only_stale_links(preprocess, corpus):
    data = preprocess(corpus)
    (data / "txt_wav" / "notes.txt").symlink_to(corpus)
    (data / "txt_wav" / "Sess20_script09_F001.wav").write_bytes(b"mine")
    for subject in "FM":
        (corpus / "annotation" / f"Session20_{subject}_res.csv").unlink()
    preprocess(corpus)
    names = {path.name for path in (data / "txt_wav").iterdir()}
    assert {name for name in names if not name.startswith(("Sess01", "Sess02", "Sess19"))} == {
        "notes.txt",
        "Sess20_script09_F001.wav",
    }
    assert len(names) == 2 * 42 + 2


def test_an_utterance_without_its_files_is_left_out_with_its_reason(preprocess, corpus, capsys):
    wav = sorted(corpus.glob("wav/Session02/*/*.wav"))
    data = wav[0].read_bytes()
    contents = {
        "wav: 0 bytes": b"",
        "wav: no sound in it, only a header": data[:40] + bytes(4),
        "wav: truncated": data[:3000],
        "wav: not a sound file that can be read": b"ID3" + data,
        "wav missing": None,
        "txt missing": None,
        "wav is not a file": Path.mkdir,
        "txt is not a file": os.mkfifo,
    }
    for path, (reason, content) in zip(wav, contents.items(), strict=False):
        path = path.with_suffix(f".{reason[:3]}")
        path.unlink()
        if isinstance(content, bytes):
            path.write_bytes(content)
        elif content:
            content(path)
    wav[8].unlink()
    wav[8].symlink_to("gone")
    data = preprocess(corpus)
    shown = capsys.readouterr().out
    assert "left out (9):\n" in shown and f"2 x wav missing: {wav[4].stem}; {wav[8].stem}\n" in shown
    for path, reason in zip(wav, contents, strict=False):
        assert re.search(rf"[12] x {reason}: {path.stem}\b", shown)
    assert funnel(shown)["with both wav and txt -> annotation.csv"] == "47"
    left = {row["segment_id"] for row in read_rows(data / "annotation.csv")}
    assert left == {path.stem for path in (data / "txt_wav").iterdir()} and not left & {path.stem for path in wav[:9]}


def test_unusual_transcripts_are_counted(preprocess, corpus, capsys):
    contents = {
        "in cp949": "안녕".encode("cp949"),
        "of several lines; they are joined": "하나\r\n둘".encode(),
        "in UTF-16": "안녕".encode("utf-16"),
        "that begins with a byte order mark": "안녕".encode("utf-8-sig"),
        "that is empty": b" \n",
        "that is empty once cleaned": b"b/ (l/)",
        "": "끝에 줄바꿈 없음".encode(),
    }
    paths = sorted(corpus.glob("wav/Session01/Sess01_script01/*.txt"))
    for path, content in zip(paths, contents.values(), strict=True):
        path.write_bytes(content)
    preprocess(corpus)
    shown = capsys.readouterr().out
    for path, note in zip(paths[:-1], contents, strict=False):
        assert re.search(rf"[12] x transcript {note}: .*{path.stem}\b", shown)
    assert paths[-1].stem not in shown and funnel(shown)["with both wav and txt -> annotation.csv"] == "56"


def test_undecodable_transcript_is_an_error(preprocess, corpus):
    path = corpus / "wav" / "Session01" / "Sess01_script01" / "Sess01_script01_F001.txt"
    path.write_bytes(b"\xff\xff\xff")
    with pytest.raises(UserError, match=r"1 x transcript that cannot be decoded: .*Sess01_script01_F001\.txt: "):
        preprocess(corpus)


def test_other_sounds_are_counted(preprocess, corpus, capsys):
    folder = corpus / "wav" / "Session01" / "Sess01_script01"
    sound = 0.5 * np.sin(np.arange(8000))
    for name, rate, channels, subtype in (
        ("F001", 16_000, 1, "PCM_U8"),
        ("F002", 16_000, 1, "FLOAT"),
        ("M001", 44_100, 2, "PCM_16"),
    ):
        soundfile.write(folder / f"Sess01_script01_{name}.wav", np.stack([sound] * channels, axis=1), rate, subtype)
    write_wav(folder / "Sess01_script01_F003.wav", sound[:399])
    write_wav(folder / "Sess01_script01_F004.wav", sound[:1200], rate=48_000)  # 400 samples at 16 kHz
    write_wav(folder / "Sess01_script01_M002.wav", sound[:1199], rate=48_000)
    data = preprocess(corpus)
    shown = capsys.readouterr().out
    assert "5 x wav that is not 16 kHz mono 16-bit; converted when it is read: " in shown
    assert (
        "2 x wav shorter than 400 samples; padded when it is read: Sess01_script01_F003; Sess01_script01_M002" in shown
    )
    assert len(read_rows(data / "annotation.csv")) == 56


def test_a_tie_takes_no_labelled_rows_place(preprocess, corpus, annotation):
    """The same segment id twice in a file, first as a tie of its raters."""
    lines = annotation.read_text().splitlines()
    k = next(k for k, line in enumerate(lines) if ",Sess01_impro01_F002," in line)
    cells = lines[k].split(",")
    label = cells[10]
    tie = [*cells[:10], "angry;disgust", *cells[11:]]
    annotation.write_text("\n".join([*lines[:k], ",".join(tie), lines[k], *lines[k + 1 :]]) + "\n")
    for more in ((), ("--keep_unlabelled",)):
        rows = read_rows(preprocess(corpus, *more) / "annotation_speaker_only.csv")
        assert [row["emotion"] for row in rows if row["segment_id"] == "Sess01_impro01_F002"] == [label]


def test_rows_that_cannot_be_used_are_listed_with_file_and_row(preprocess, corpus, annotation, capsys):
    annotation.write_text(annotation.read_text().replace(",disgust,", ",disqust,"))
    start = "^([0-9]+),[^,]*,"
    change_lines(
        annotation,
        {
            3: lambda line: line.replace(",angry;disgust,", ",,", 1),
            4: lambda line: re.sub(start, r"\1,soon,", line),
            5: lambda line: re.sub(start, r"\1,nan,", line),
            7: lambda line: re.sub(start, r"\1,-1,", line),
            8: lambda line: re.sub(start, r"\1,1e9,", line),
            16: lambda line: f"{line}\n{annotation.read_text().splitlines()[5]}",
        },
    )
    preprocess(corpus)
    shown = capsys.readouterr().out
    assert "1 x no label: Session01_F_res.csv, row 3 (Sess01_impro01_F001)\n" in shown
    times = "4 x wav start and end are not seconds with 0 <= start <= end: Session01_F_res.csv, row 4 (Sess01_"
    assert times in shown and "'soon'" in shown and "'nan'" in shown and "and 1 more" in shown
    assert re.search(
        r"1 x segment id that is in the file already: Session01_F_res\.csv, row 17 .* is in row 6\n", shown
    )
    assert "x label 'disqust', read as 'disgust': Session01_F_res.csv, row " in shown
    assert funnel(shown)["all rows"] == "113" and funnel(shown)["with a readable row"] == "107"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (",angry;disgust,", ",furious,", r"unknown emotion, expected one of neutral.*: {}, row 3 \({}\): 'furious'"),
        (",angry;disgust,", ",angry;,", r"unknown emotion, expected one of neutral.*: {}, row 3 \({}\): ''"),
        ("{}", "../../Sess01_impro01_F001", r"malformed segment id, .*: {}, row 3: '\.\./\.\./Sess01_impro01_F001'"),
        ("{}", "Sess02_impro01_F001", r"segment id of another session than its file: {}, row 3 \(Sess02_"),
        ("Segment ID", "Name", "column 10 is not 'Segment ID', as it has to be: {}, row 1: 'Name'"),
        ("Emotion,Valence", "Valence,Emotion", "column 11 is not 'Emotion'.*: {}, row 2: 'Valence'"),
        ("{},angry;disgust,", "{},", r"a cell too many or too few: {}, row 3 \({}\)"),
        ("{},", "{},extra,", r"a cell too many or too few: {}, row 3 \({}\)"),
        ("1,0.0,", "1,", "malformed segment id.*: {}, row 3: 'angry;disgust'"),
        ("\n1,", '\n"1,', "annotation file that cannot be read: .*{}: not a CSV file: unexpected end"),
    ],
)
def test_nonsense_is_named_with_file_and_row(preprocess, corpus, annotation, old, new, message):
    segment = "Sess01_impro01_F001"
    old, new = old.format(segment), new.format(segment)
    assert old in annotation.read_text()
    annotation.write_text(annotation.read_text().replace(old, new, 1))
    message = message.replace("{}", annotation.name, 1).replace("{}", segment)
    with pytest.raises(UserError, match=f"; nothing is written(?s:.*)1 x {message}"):
        preprocess(corpus)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("Numb", "번호").encode("cp949"),
        lambda text: re.sub("Eval10F,,", "Eval10F", text).encode(),  # blank cells at the end of the first row
        lambda text: text.replace(",neutral,3,3\r\n", ",,,\r\n").replace(",,,\r\n", "\r\n").encode(),
        lambda text: text.replace("\r\n", ",,\r\n").encode(),
    ],
)
def test_other_ways_to_write_the_same_table(preprocess, corpus, annotation, data, change):
    content = change(annotation.read_bytes().decode())
    assert content != annotation.read_bytes()
    annotation.write_bytes(content)
    made = preprocess(corpus)
    for name in TABLES:
        assert (made / name).read_text() == (data / name).read_text()


def test_ragged_rows_and_other_columns_of_raters_are_noted(preprocess, corpus, annotation, capsys):
    changes = {4: lambda line: ",".join(line.split(",")[:13]), 5: lambda line: line + ",,"}
    change_lines(annotation, changes)
    other = annotation.with_name("Session01_M_res.csv")
    change_lines(other, dict.fromkeys(range(1, 17), lambda line: ",".join(line.split(",")[:40])))
    preprocess(corpus)
    shown = capsys.readouterr().out
    assert "2 x row with other than its file's number of cells; missing trailing ones" in shown
    assert "without KEMDy19's 43 columns; the first 13 are used: Session01_M_res.csv: 40\n" in shown


def test_annotation_files_that_are_missing_or_no_files(preprocess, corpus, annotation, capsys):
    for subject in "FM":
        path = annotation.with_name(f"Session02_{subject}_res.csv")
        path.rename(path.with_name(f"Session2_{subject}.csv"))
    (corpus / "encoders").mkdir()
    preprocess(corpus)
    shown = capsys.readouterr().out
    assert "2 x file in annotation/ that is not read, for its name: Session2_F.csv; Session2_M.csv" in shown
    assert "x session without annotation files: 2; 3; 4 and 14 more" in shown
    annotation.with_name("Session01_M_res.csv").unlink()
    for subject in "FM":
        os.mkfifo(annotation.with_name(f"Session03_{subject}_res.csv"))
    with pytest.raises(UserError) as error:
        preprocess(corpus)
    for found in (
        r"1 x annotation file that is missing, .* is there: Session01_M_res\.csv",
        "2 x not a file: .*Session03_F",
    ):
        assert re.search(found, str(error.value))


def test_wrong_directory_says_what_was_expected_and_what_is_there(preprocess, corpus, tmp_path):
    for arguments in ((), ("--check",)):
        with pytest.raises(UserError, match=r"expected KEMDy19's directory.*; found corpus"):
            preprocess(corpus.parent, *arguments)
        with pytest.raises(UserError, match="no such directory"):
            preprocess(tmp_path / "nothing", *arguments)
    (corpus / "wav").rename(tmp_path / "sound")
    with pytest.raises(UserError, match="has annotation/ but no wav/"):
        preprocess(corpus)


def test_the_run_shows_all_errors_and_leaves_what_was_there(preprocess, corpus, annotation, capsys):
    """Four errors and fifteen utterances without speech."""
    before = tree(preprocess(corpus))
    annotation.with_name("Session02_M_res.csv").unlink()
    text = annotation.read_text().replace(",angry;disgust,", ",furious,").replace("Sess01_impro01_M001", "Sess1")
    annotation.write_text(text)
    (corpus / "wav" / "Session01" / "Sess01_script01" / "Sess01_script01_F001.txt").write_bytes(b"\xff\xff\xff")
    for wav in [*corpus.glob("wav/*/Sess19_impro01/*.wav"), *corpus.glob("wav/*/Sess20_impro01/*.wav")]:
        wav.unlink()
    (corpus / "wav" / "Session19" / "Sess19_script01" / "Sess19_script01_F001.wav").write_bytes(b"")
    capsys.readouterr()
    with pytest.raises(UserError, match=r"corpus: 4 errors, 15 left out; preprocess\.py would stop$"):
        preprocess(corpus, "--check")
    shown = capsys.readouterr().out
    assert shown.startswith("errors (4):\n  1 x annotation file that is missing")
    for text in (
        "1 x unknown emotion",
        "1 x malformed segment id",
        "1 x transcript that cannot be decoded",
        "14 x wav missing: Sess19_impro01_F001; Sess19_impro01_F002; Sess19_impro01_F003 and 11 more\n",
        "1 x wav: 0 bytes: Sess19_script01_F001\n",
    ):
        assert f"\n  {text}" in shown
    assert funnel(shown)["all rows"] == "98"
    with pytest.raises(UserError, match="4 errors, 15 left out; nothing is written\nerrors") as error:
        preprocess(corpus)
    assert str(error.value).count("\n") < 30
    assert tree(corpus.parent / "data") == before


def test_published_counts_stand_beside_those_of_a_corpus_of_that_size():
    funnel = [("all rows", 20_566, 20_566), ("without ties", 19_000, 19_268)]
    shown = RawCorpus(KEMDY19, {}, {}, {}, funnel, Findings()).show_funnel()
    assert re.search(r"published\nall rows +20,566 +20,566\nwithout ties +19,000 +19,268$", shown)
