"""preprocess.py, the raw corpus it reads and the tables it writes."""

import csv
import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from erc.corpus.annotations import COLUMNS, read_annotations
from erc.options import REPOSITORY, UserError
from mirai.dataset import RECEPTIVE_FIELD
from mirai.readers import txt_wav as raw_files
from mirai.readers.funnel import show_funnel

from .conftest import annotation_rows, tree, write_annotation, write_wav


def table(path):
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def rewrite(path, change):
    """Change the text of an annotation file."""
    path.write_text(change(path.read_text()))


def funnel(shown):
    """The counts of a printed funnel; of the two lines of the same name, the last."""
    lines = shown[shown.index("step  ") :].splitlines()
    return {line[:46].strip(): line.split()[-1] for line in lines[1:] if line[46:54].strip().replace(",", "").isdigit()}


def test_funnel_and_tables(preprocess, corpus_made, capsys):
    data = preprocess(corpus_made)
    counts = funnel(capsys.readouterr().out)
    assert counts == {
        "all rows": "112",
        "without ties": "111",
        "first row kept per segment id": "56",
        "with both wav and txt -> annotation.csv": "56",
        "of these at most 25 s": "55",
        "speaker only -> annotation_speaker_only.csv": "55",
    }
    own = table(data / "annotation_speaker_only.csv")
    assert tuple(own[0]) == COLUMNS
    assert len(table(data / "annotation.csv")) == 56
    assert len(list((data / "txt_wav").iterdir())) == 112
    assert {row["path_exist"] for row in own} == {"True"}
    assert own[0]["ecg_start"] == "" and own[0]["eda_start"] == "1.5"


def test_speaker_only_takes_the_label_of_the_speakers_own_file(data):
    truth = {name: labels[name.split("_")[2][0]] for name, *_, labels in annotation_rows(1)}
    own = {row["segment_id"]: row["emotion"] for row in table(data / "annotation_speaker_only.csv")}
    first = {row["segment_id"]: row["emotion"] for row in table(data / "annotation.csv")}
    assert all(own[name] == label for name, label in truth.items() if name in own)
    assert any(first[name] != label for name, label in truth.items())  # an M turn, with the label of the F file


def test_rows_are_in_session_dialogue_and_time_order(data):
    rows = read_annotations(data / "annotation_speaker_only.csv")
    expected = sorted(rows, key=lambda row: (row.session, row.dialogue, row.wav_start))
    found = [row["segment_id"] for row in table(data / "annotation_speaker_only.csv")]
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
    for subject in "FM":
        (corpus / "annotation" / f"Session20_{subject}_res.csv").unlink()
    preprocess(corpus)
    names = {path.name for path in (data / "txt_wav").iterdir()}
    assert "notes.txt" in names and len(names) == 2 * 42 + 1
    assert not any(name.startswith("Sess20") for name in names)


@pytest.mark.parametrize(
    ("kind", "damage", "reason"),
    [
        ("wav", lambda data: None, "wav missing: {}"),
        ("wav", lambda data: b"", "wav: 0 bytes: {}"),
        ("wav", lambda data: data[:44], "wav: truncated: {}: "),
        ("wav", lambda data: data[:40] + bytes(4), "wav: no sound in it, only a header: {}"),
        ("wav", lambda data: data[:3000], "wav: truncated: {}: "),
        ("wav", lambda data: b"ID3" + data, "wav: not a wav file: {}"),
        ("txt", lambda data: None, "txt missing: {}"),
    ],
)
def test_an_utterance_without_its_files_is_left_out_with_its_reason(preprocess, corpus, capsys, kind, damage, reason):
    name = "Sess02_impro01_F001"
    path = corpus / "wav" / "Session02" / "Sess02_impro01" / f"{name}.{kind}"
    data = damage(path.read_bytes())
    path.unlink() if data is None else path.write_bytes(data)
    data = preprocess(corpus)
    shown = capsys.readouterr().out
    assert "left out (1):\n  1 x " + reason.format(name) in shown
    assert name not in {row["segment_id"] for row in table(data / "annotation.csv")}
    assert funnel(shown)["with both wav and txt -> annotation.csv"] == "55"
    assert not list((data / "txt_wav").glob(f"{name}.*"))


@pytest.mark.parametrize("kind", ["wav", "txt"])
def test_what_is_no_file_is_left_out(preprocess, corpus, capsys, kind):
    folder = corpus / "wav" / "Session02" / "Sess02_impro01"
    for number, make in ((1, lambda path: path.mkdir()), (2, os.mkfifo), (3, lambda path: path.symlink_to("gone"))):
        path = folder / f"Sess02_impro01_F00{number}.{kind}"
        path.unlink()
        make(path)
    preprocess(corpus)
    shown = capsys.readouterr().out
    assert f"2 x {kind} is not a file: Sess02_impro01_F001; Sess02_impro01_F002\n" in shown
    assert f"1 x {kind} missing: Sess02_impro01_F003\n" in shown


@pytest.mark.parametrize(
    ("content", "note"),
    [
        ("안녕".encode("cp949"), "transcript in cp949"),
        ("안녕".encode("utf-16"), "transcript in UTF-16"),
        ("안녕".encode("utf-8-sig"), "transcript that begins with a byte order mark"),
        ("하나\r\n둘".encode(), "transcript of several lines; they are joined"),
        (b"", "transcript that is empty"),
        (b" \n", "transcript that is empty"),
        (b"b/ (l/)", "transcript that is empty once cleaned"),
        ("끝에 줄바꿈 없음".encode(), None),
    ],
)
def test_unusual_transcripts_are_counted(preprocess, corpus, capsys, content, note):
    name = "Sess01_script01_F001"
    (corpus / "wav" / "Session01" / "Sess01_script01" / f"{name}.txt").write_bytes(content)
    preprocess(corpus)
    shown = capsys.readouterr().out
    assert f"1 x {note}: {name}\n" in shown if note else name not in shown
    assert funnel(shown)["with both wav and txt -> annotation.csv"] == "56"


@pytest.mark.parametrize("content", [b"\xff\xff\xff", "안녕 하세요".encode("utf-16-le"), b"a\0b"])
def test_undecodable_transcript_is_an_error(preprocess, corpus, content):
    path = corpus / "wav" / "Session01" / "Sess01_script01" / "Sess01_script01_F001.txt"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"1 x transcript that cannot be decoded: .*Sess01_script01_F001\.txt: "):
        preprocess(corpus)


def test_other_sounds_are_counted(preprocess, corpus, capsys):
    folder = corpus / "wav" / "Session01" / "Sess01_script01"
    tone = 0.5 * np.sin(np.arange(8000))
    for number, (rate, channels, subtype) in enumerate(
        [(16_000, 1, "PCM_U8"), (16_000, 1, "PCM_24"), (16_000, 1, "FLOAT"), (44_100, 2, "PCM_16")]
    ):
        name = f"Sess01_script01_{'FM'[number // 2]}00{number % 2 + 1}.wav"
        soundfile.write(folder / name, np.stack([tone] * channels, axis=1), rate, subtype=subtype)
    write_wav(folder / "Sess01_script01_F003.wav", tone[:399])
    write_wav(folder / "Sess01_script01_F004.wav", tone[:1200], rate=48_000)  # 400 samples at 16 kHz
    data = preprocess(corpus)
    shown = capsys.readouterr().out
    assert "5 x wav that is not 16 kHz mono 16-bit; converted when it is read: " in shown
    assert "1 x wav shorter than 400 samples; padded when it is read: Sess01_script01_F003\n" in shown
    assert len(table(data / "annotation.csv")) == 56


def test_short_means_shorter_than_the_encoders_receptive_field():
    assert raw_files._SHORT == RECEPTIVE_FIELD


def test_other_directories_of_the_corpus_do_not_matter(preprocess, corpus):
    (corpus / "encoders").mkdir()
    (corpus / "planted.csv").write_text("x\n")
    (corpus / "annotation" / "notes.txt").write_text("x")
    assert len(table(preprocess(corpus) / "annotation.csv")) == 56


def test_rater_columns_may_have_other_names_and_numbers(preprocess, corpus, capsys):
    path = corpus / "annotation" / "Session01_F_res.csv"
    rewrite(path, lambda text: "\n".join(",".join(line.split(",")[:40]) for line in text.splitlines()))
    preprocess(corpus)
    assert "without KEMDy19's 43 columns; the first 13 are used: Session01_F_res.csv: 40\n" in capsys.readouterr().out


def change_lines(path, changes):
    """Change lines of a file, by their numbers from 1."""
    lines = path.read_text().splitlines()
    for number, change in changes.items():
        lines[number - 1] = change(lines[number - 1])
    path.write_text("\n".join(lines))


def test_rows_that_cannot_be_used_are_listed_with_file_and_row(preprocess, corpus, capsys):
    path = corpus / "annotation" / "Session01_F_res.csv"
    rewrite(path, lambda text: text.replace(",disgust,", ",disqust,"))
    change_lines(
        path,
        {
            3: lambda line: line.replace(",angry;disgust,", ",,", 1),
            4: lambda line: re.sub("^([0-9]+),[^,]*,", r"\1,soon,", line),
            5: lambda line: re.sub("^([0-9]+),[^,]*,", r"\1,nan,", line),
            7: lambda line: re.sub("^([0-9]+),[^,]*,", r"\1,-1,", line),
            8: lambda line: re.sub("^([0-9]+),[^,]*,", r"\1,1e9,", line),
            16: lambda line: f"{line}\n{path.read_text().splitlines()[5]}",
        },
    )
    preprocess(corpus)
    shown = capsys.readouterr().out
    assert "1 x no label: Session01_F_res.csv, row 3 (Sess01_impro01_F001)\n" in shown
    times = "4 x wav start and end are not seconds with 0 <= start <= end: Session01_F_res.csv, row 4 (Sess01_"
    assert times in shown and "'soon'" in shown and "'nan'" in shown and "and 1 more" in shown
    assert "1 x segment id that is in the file already: Session01_F_res.csv, row 17 (" in shown
    assert "is in row 6\n" in shown
    assert "x label 'disqust', read as 'disgust': Session01_F_res.csv, row " in shown
    assert funnel(shown)["all rows"] == "113" and funnel(shown)["with a readable row"] == "107"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (",angry;disgust,", ",furious,", r"unknown emotion, expected one of neutral.*: {}, row 3 \({}\): 'furious'"),
        (",angry;disgust,", ",angry;,", r"unknown emotion, expected one of neutral.*: {}, row 3 \({}\): ''"),
        ("{}", "Sess01impro01_F001", "malformed segment id, expected .*: {}, row 3: 'Sess01impro01_F001'"),
        ("{}", "../../Sess01_impro01_F001", r"malformed segment id, .*: {}, row 3: '\.\./\.\./Sess01_impro01_F001'"),
        (
            "{}",
            "Sess02_impro01_F001",
            r"segment id of another session than its file: {}, row 3 \(Sess02_impro01_F001\)",
        ),
        ("Segment ID", "Name", "column 10 is not 'Segment ID', as it has to be: {}, row 1: 'Name'"),
        ("Numb,", "Numb,New,", "column 2 is not 'Wav'.*: {}, row 1: 'New'"),
        ("Wav,,", "Wav,", "column 10 is not 'Segment ID'.*: {}, row 1: 'Total Evaluation'"),
        ("Emotion,Valence", "Valence,Emotion", "column 11 is not 'Emotion'.*: {}, row 2: 'Valence'"),
        ("{},angry;disgust,", "{},", r"a cell too many or too few: {}, row 3 \({}\)"),
        ("{},", "{},extra,", r"a cell too many or too few: {}, row 3 \({}\)"),
        ("1,0.0,", "1,", "malformed segment id.*: {}, row 3: 'angry;disgust'"),
        ("1,0.0,", "1,0,0,", "malformed segment id.*: {}, row 3: ''"),
        ("\n1,", '\n"1,', "annotation file that cannot be read: .*{}: not a CSV file: unexpected end"),
        ("\n1,", "\n1\0,", "annotation file that cannot be read: .*{}: holds NUL characters"),
    ],
)
def test_nonsense_is_named_with_file_and_row(preprocess, corpus, old, new, message):
    name, segment = "Session01_F_res.csv", "Sess01_impro01_F001"
    path = corpus / "annotation" / name
    old, new = old.format(segment), new.format(segment)
    assert old in path.read_text()
    rewrite(path, lambda text: text.replace(old, new, 1))
    message = message.replace("{}", name, 1).replace("{}", segment)
    with pytest.raises(UserError, match=f"; nothing is written(?s:.*)1 x {message}"):
        preprocess(corpus)


def test_a_header_in_the_middle_is_an_error(preprocess, corpus):
    path = corpus / "annotation" / "Session01_F_res.csv"
    rewrite(path, lambda text: text + text)  # twice the same file
    with pytest.raises(UserError, match="2 x malformed segment id.*: Session01_F_res.csv, row 17: 'Segment ID'"):
        preprocess(corpus)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.encode("utf-8-sig"),
        lambda text: text.encode("utf-16"),
        lambda text: text.replace("Numb", "번호").encode("cp949"),
        lambda text: text.replace("\r\n", "\r").encode(),
        lambda text: text.replace("\r\n", "\n").encode(),
        lambda text: text.replace("\r\n", "\r\n\r\n").encode(),  # blank lines
        lambda text: text.replace("Numb", '"Numb\r\nof the turn"').encode(),
        lambda text: re.sub("Eval10F,,", "Eval10F", text).encode(),  # blank cells at the end of the first row
        lambda text: text.replace(",neutral,3,3\r\n", ",,,\r\n").replace(",,,\r\n", "\r\n").encode(),
        lambda text: text.replace("\r\n", ",,\r\n").encode(),
    ],
)
def test_other_ways_to_write_the_same_table(preprocess, corpus, data, change):
    path = corpus / "annotation" / "Session01_F_res.csv"
    content = change(path.read_bytes().decode())
    assert content != path.read_bytes()
    path.write_bytes(content)
    made = preprocess(corpus)
    for name in ("annotation.csv", "annotation_speaker_only.csv"):
        assert (made / name).read_text() == (data / name).read_text()


def test_ragged_rows_are_counted(preprocess, corpus, capsys):
    change_lines(
        corpus / "annotation" / "Session01_F_res.csv",
        {4: lambda line: ",".join(line.split(",")[:13]), 5: lambda line: line + ",,"},
    )
    preprocess(corpus)
    assert "2 x row with other than its file's number of cells; missing trailing ones" in capsys.readouterr().out


def test_session_with_one_file_is_refused(preprocess, corpus):
    (corpus / "annotation" / "Session02_M_res.csv").unlink()
    with pytest.raises(UserError, match=r"1 x annotation file that is missing, .* is there: Session02_M_res\.csv"):
        preprocess(corpus)


def test_what_else_lies_in_the_annotation_folder_is_told(preprocess, corpus, capsys):
    for subject in "FM":
        (corpus / "annotation" / f"Session02_{subject}_res.csv").rename(
            corpus / "annotation" / f"Session2_{subject}.csv"
        )
    preprocess(corpus)
    shown = capsys.readouterr().out
    assert "2 x file in annotation/ that is not read, for its name: Session2_F.csv; Session2_M.csv" in shown
    assert "x session without annotation files: 2; 3; 4 and 14 more" in shown


def test_annotation_file_that_is_a_directory(preprocess, corpus):
    path = corpus / "annotation" / "Session02_M_res.csv"
    path.unlink()
    path.mkdir()
    with pytest.raises(UserError, match=r"1 x not a file: .*Session02_M_res\.csv"):
        preprocess(corpus)


def test_wrong_directory_says_what_was_expected_and_what_is_there(preprocess, corpus, tmp_path):
    for arguments in ((), ("--check",)):
        with pytest.raises(UserError, match=r"expected KEMDy19's directory.*; found corpus"):
            preprocess(corpus.parent, *arguments)
        with pytest.raises(UserError, match="no such directory"):
            preprocess(tmp_path / "nothing", *arguments)
        with pytest.raises(UserError, match="expected KEMDy19's directory.*; found Session01"):
            preprocess(corpus / "wav", *arguments)
    (corpus / "wav").rename(tmp_path / "sound")
    with pytest.raises(UserError, match="has annotation/ but no wav/"):
        preprocess(corpus)


def break_in_many_ways(corpus):
    """Four errors and fifteen utterances without speech."""
    (corpus / "annotation" / "Session02_M_res.csv").unlink()
    path = corpus / "annotation" / "Session01_F_res.csv"
    rewrite(path, lambda text: text.replace(",angry;disgust,", ",furious,").replace("Sess01_impro01_M001", "Sess1"))
    (corpus / "wav" / "Session01" / "Sess01_script01" / "Sess01_script01_F001.txt").write_bytes(b"\xff\xff\xff")
    for session in (19, 20):
        folder = corpus / "wav" / f"Session{session}" / f"Sess{session}_impro01"
        for wav in folder.glob("*.wav"):
            wav.unlink()
    (corpus / "wav" / "Session19" / "Sess19_script01" / "Sess19_script01_F001.wav").write_bytes(b"")


def test_check_tells_every_problem_and_writes_nothing(preprocess, corpus, tmp_path, capsys):
    break_in_many_ways(corpus)
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
    assert not (tmp_path / "data").exists()


def test_check_of_a_good_corpus(corpus_made, tmp_path):
    command = [sys.executable, REPOSITORY / "MIRAI/preprocess.py", "--root_path", corpus_made, "--check"]
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, timeout=240)
    assert result.returncode == 0 and not result.stderr
    assert result.stdout.endswith("corpus: 0 errors, 0 left out; preprocess.py can use it\n")
    assert funnel(result.stdout)["all rows"] == "112"
    assert not any(tmp_path.iterdir())
    broken = shutil.copytree(corpus_made, tmp_path / "corpus")
    (broken / "annotation" / "Session01_F_res.csv").write_text("")
    result = subprocess.run([*command[:3], broken, "--check"], capture_output=True, text=True, check=False, timeout=240)
    assert result.returncode == 1 and "Traceback" not in result.stderr


def test_the_run_tells_all_errors_and_leaves_what_was_there(preprocess, corpus):
    before = tree(preprocess(corpus))
    break_in_many_ways(corpus)
    with pytest.raises(UserError, match="4 errors, 15 left out; nothing is written\nerrors") as error:
        preprocess(corpus)
    assert str(error.value).count("\n") < 30
    assert tree(corpus.parent / "data") == before


def test_published_counts_stand_beside_those_of_a_corpus_of_that_size():
    shown = show_funnel([("all rows", 20_566, 20_566), ("without ties", 19_000, 19_268)])
    assert shown.splitlines()[0].endswith("published")
    assert shown.splitlines()[2].split()[-2:] == ["19,000", "19,268"]


def test_session_numbers_have_two_digits_up_to_99(preprocess, tmp_path):
    root = tmp_path / "small"
    for subject in "FM":
        write_annotation(root / "annotation" / f"Session99_{subject}_res.csv", annotation_rows(99), subject)
    (root / "wav").mkdir()
    data = preprocess(root)
    assert table(data / "annotation.csv") == []  # no speech: every utterance is left out
