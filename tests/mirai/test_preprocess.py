"""preprocess.py, the raw corpus it reads and the tables it writes."""

import csv

import pytest

from cogmen.options import UserError
from mirai.annotations import COLUMNS, read_annotations
from mirai.raw_corpus import show_funnel

from .conftest import annotation_rows, write_annotation


@pytest.fixture
def preprocess(run_script, tmp_path):
    def call(root, *arguments):
        run_script("MIRAI/preprocess.py", "--root_path", root, "--save_path", tmp_path / "data", *arguments)
        return tmp_path / "data"

    return call


def table(path):
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def rewrite(path, change):
    """Change the text of an annotation file."""
    path.write_text(change(path.read_text()))


def test_funnel_and_tables(preprocess, corpus_made, capsys):
    data = preprocess(corpus_made)
    lines = capsys.readouterr().out.splitlines()
    counts = {line[:46].strip(): line.split()[-1] for line in lines[1:8]}
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


def test_utterances_without_their_files_are_left_out_and_listed(preprocess, corpus, capsys):
    folder = corpus / "wav" / "Session02" / "Sess02_impro01"
    (folder / "Sess02_impro01_F001.wav").unlink()
    (folder / "Sess02_impro01_F002.wav").write_bytes(b"")
    (folder / "Sess02_impro01_M001.txt").unlink()
    wav = folder / "Sess02_impro01_M002.wav"
    wav.write_bytes(wav.read_bytes()[:3000])
    data = preprocess(corpus)
    shown = capsys.readouterr().out
    assert "left out (4):" in shown
    for reason in ("F001.wav: no such file", "F002.wav: 0 bytes", "M001.txt: no such file", "M002.wav: truncated"):
        assert f"Sess02_impro01_{reason}" in shown
    assert len(table(data / "annotation.csv")) == 52


def test_unusual_transcripts_and_sounds_are_counted(preprocess, corpus, capsys):
    folder = corpus / "wav" / "Session01" / "Sess01_script01"
    (folder / "Sess01_script01_F001.txt").write_bytes("안녕".encode("cp949"))
    (folder / "Sess01_script01_F002.txt").write_bytes("안녕".encode("utf-16"))
    (folder / "Sess01_script01_F003.txt").write_bytes("하나\n둘".encode("utf-8-sig"))
    (folder / "Sess01_script01_M001.txt").write_bytes(b"")
    preprocess(corpus)
    shown = capsys.readouterr().out
    for text in (
        "1 transcripts are cp949",
        "1 transcripts are UTF-16",
        "2 transcripts begin with",
        "1 transcripts have",
    ):
        assert f"note: {text}" in shown
    assert "note: 1 transcripts are empty\n" in shown


def test_undecodable_transcript_is_an_error(preprocess, corpus):
    path = corpus / "wav" / "Session01" / "Sess01_script01" / "Sess01_script01_F001.txt"
    path.write_bytes(b"\xff\xff\xff")
    with pytest.raises(UserError, match=r"Sess01_script01_F001\.txt: neither"):
        preprocess(corpus)


def test_other_directories_of_the_corpus_do_not_matter(preprocess, corpus):
    (corpus / "encoders").mkdir()
    (corpus / "planted.csv").write_text("x\n")
    (corpus / "annotation" / "notes.txt").write_text("x")
    assert len(table(preprocess(corpus) / "annotation.csv")) == 56


def test_rater_columns_may_have_other_names_and_numbers(preprocess, corpus, capsys):
    path = corpus / "annotation" / "Session01_F_res.csv"
    rewrite(path, lambda text: "\n".join(",".join(line.split(",")[:40]) for line in text.splitlines()))
    preprocess(corpus)
    assert "Session01_F_res.csv: 40 columns, KEMDy19 has 43" in capsys.readouterr().out


def test_rows_that_cannot_be_used_are_listed_with_file_and_row(preprocess, corpus, capsys):
    path = corpus / "annotation" / "Session01_F_res.csv"

    def damage(text):
        lines = text.splitlines()
        lines[2] = lines[2].replace(",angry;disgust,", ",,", 1)  # no label
        lines[3] = lines[3].replace(",4.0,", ",soon,", 1)  # no time
        lines.append(lines[5])  # a second time
        return "\n".join(lines).replace(",disgust,", ",disqust,")

    rewrite(path, damage)
    preprocess(corpus)
    shown = capsys.readouterr().out
    assert "Session01_F_res.csv, row 3 (Sess01_impro01_F001): no label" in shown
    assert "Session01_F_res.csv, row 4" in shown and "'soon', expected seconds" in shown
    assert "Session01_F_res.csv, row 17" in shown and "already in row 6" in shown
    assert "labels 'disqust' are read as 'disgust'" in shown


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (",angry;disgust,", ",furious,", r"row 3 \(Sess01_impro01_F001\): emotion 'furious'; expected one of neutral"),
        ("Sess01_impro01_F001", "Sess01impro01_F001", "row 3: malformed segment id"),
        ("Sess01_impro01_F001", "Sess02_impro01_F001", "of session 2, the file of session 1"),
        ("Segment ID", "Name", "row 1: column 10 is 'Name', expected 'Segment Id'"),
        ("Numb,", "Numb,New,", "row 2: 43 cells, expected 44"),
    ],
)
def test_nonsense_is_named_with_file_and_row(preprocess, corpus, old, new, message):
    rewrite(corpus / "annotation" / "Session01_F_res.csv", lambda text: text.replace(old, new, 1))
    with pytest.raises(UserError, match=rf"Session01_F_res\.csv.*{message}"):
        preprocess(corpus)


def test_session_with_one_file_is_refused(preprocess, corpus):
    (corpus / "annotation" / "Session02_M_res.csv").unlink()
    with pytest.raises(UserError, match=r"Session02_M_res\.csv is missing"):
        preprocess(corpus)


def test_wrong_directory_says_what_was_expected_and_what_is_there(preprocess, corpus, tmp_path):
    with pytest.raises(UserError, match=r"expected KEMDy19's directory.*; found corpus"):
        preprocess(corpus.parent)
    with pytest.raises(UserError, match="no such directory"):
        preprocess(tmp_path / "nothing")


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
