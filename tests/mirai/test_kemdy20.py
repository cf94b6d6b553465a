"""KEMDy20's raw directory, written here by hand, and the tables that preprocess.py makes of it."""

import csv
import json
import re
from collections import Counter

import numpy as np
import pytest

from erc.corpus.annotations import COLUMNS, read_annotations
from erc.corpus.corpora import CORPORA
from erc.corpus.ratings import read_ratings
from erc.corpus.transcripts import read_sentences, read_transcript
from erc.options import UserError
from tests.tables import read_rows

from .conftest import write_wav

CORPUS = CORPORA["KEMDy20"]
# Rater 3 has the other spelling, rater 9 said nothing, rater 10 nothing that is known.
VOTES = ["neutral", "neutral", "disqust", "sad", "neutral", "angry", "neutral", "neutral", "", "bored"]
# segment id, start, end, label; each user's turns in a row, as numbers count them, not in the order of time
ROWS = [
    ("Sess01_script01_User001F_001", 4.0, 5.5, "happy"),
    ("Sess01_script01_User001F_002", 12.25, 13.0, "angry;disqust"),
    ("Sess01_script02_User001F_001", 1.0, 2.0, "disqust"),
    ("Sess01_script01_User002M_001", 1.5, 3.0, "neutral"),
    ("Sess01_script01_User002M_002", 6.0, 32.5, "sad"),
    ("Sess01_script02_User002M_001", 3.0, 4.0, ""),
]


def write_session(root, session, rows):
    """The annotation file of a session, cp949 with blank header cells of a space, and its speech and transcripts."""
    top = ["Numb", "Wav", " ", "Segment ID", "Total Evaluation", " ", " "]
    top += [name for rater in range(1, 11) for name in (f"Eval{rater:02}", " ", " ")]
    below = [" ", "시작", "끝", " ", *["Emotion", "Valence", "Arousal"] * 11]
    path = root / f"annotation/Sess{session:02}_eval.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="cp949") as file:
        writer = csv.writer(file)
        writer.writerows([top, below])
        for number, (name, start, end, label) in enumerate(rows, start=1):
            raters = [cell for vote in VOTES for cell in (vote, 4, 2)]
            writer.writerow([number, start, end, name, label, 3.6, 2.2, *raters])
    for name, *_ in rows:
        wav = root / f"wav/Session{session:02}/{name}.wav"
        write_wav(wav, 0.1 * np.ones(800))
        wav.with_suffix(".txt").write_bytes(f"b/ 안녕하세요 {name[-3:]}\n".encode("cp949"))
    return path


@pytest.fixture(scope="module")
def corpus_made(tmp_path_factory):
    root = tmp_path_factory.mktemp("kemdy20") / "KEMDy20_v1_1"
    write_session(root, 1, ROWS)
    other = [(name.replace("Sess01", "Sess02").replace("User00", "User01"), *more) for name, *more in ROWS[:1]]
    write_session(root, 2, other)
    return root


@pytest.fixture
def read(preprocess):
    """`read(root, *flags)`: the folder of the tables."""
    return lambda root, *flags: preprocess(root, "--corpus", "KEMDy20", *flags)


def test_the_table_speech_and_transcripts(read, corpus_made, capsys):
    data = read(corpus_made)
    shown = capsys.readouterr().out
    assert "all rows                                             7" in shown
    assert "  1 x no label: Sess01_eval.csv, row 8 (Sess01_script02_User002M_001)\n" in shown
    assert "without ties                                         5" in shown
    assert "with both wav and txt -> annotation.csv              5" in shown
    assert "  of these at most 25 s                              4" in shown
    assert "2 x label 'disqust', read as 'disgust': Sess01_eval.csv, row 4 " in shown  # one of the tie, too
    assert "cp949" not in shown and "UTF-8" not in shown  # that is how this corpus is
    assert sorted(path.name for path in data.iterdir()) == [
        *("annotation.csv", "annotation_ratings.csv", "corpus.json", "txt_wav")
    ]
    assert json.loads((data / "corpus.json").read_text()) == "KEMDy20"
    rows = read_rows(data / "annotation.csv")
    assert tuple(rows[0]) == COLUMNS
    found = [(row["segment_id"], row["emotion"], row["wav_start"], row["ecg_start"], row["valence"]) for row in rows]
    assert found == [  # in the order of time
        ("Sess01_script01_User002M_001", "neutral", "1.5", "", "3.6"),
        ("Sess01_script01_User001F_001", "happy", "4.0", "", "3.6"),
        ("Sess01_script01_User002M_002", "sad", "6.0", "", "3.6"),
        ("Sess01_script02_User001F_001", "disgust", "1.0", "", "3.6"),
        ("Sess02_script01_User011F_001", "happy", "4.0", "", "3.6"),
    ]
    utterances = read_annotations(data / "annotation.csv")
    assert {u.speaker for u in utterances} == {"User001F", "User002M", "User011F"}
    assert [u.session for u in utterances] == [1, 1, 1, 1, 2]
    sentences = read_sentences(utterances, data / "txt_wav")
    assert sentences[0] == "안녕하세요 001" and len(list((data / "txt_wav").glob("*.wav"))) == 5


def test_a_word_that_would_be_greek_in_utf8(read, corpus, tmp_path):
    name = ROWS[0][0]
    path = corpus / f"wav/Session01/{name}.txt"
    path.write_bytes("치킨".encode("cp949"))
    for more in ((), ("--files", "copy")):
        data = read(corpus, *more)
        assert read_transcript(data / f"txt_wav/{name}.txt") == "치킨"


def test_ties_and_unrated_rows_are_kept_on_demand(read, corpus_made, capsys):
    kept = read_rows(read(corpus_made, "--keep_unlabelled") / "annotation.csv")
    shown = capsys.readouterr().out
    assert "no label" not in shown and "  of these with one label                            5" in shown
    assert "  of these without a label                           2" in shown
    assert len(kept) == 7 and {row["segment_id"] for row in kept if not row["emotion"]} == {
        "Sess01_script01_User001F_002",
        "Sess01_script02_User002M_001",
    }
    rest = read_rows(read(corpus_made) / "annotation.csv")
    assert [row for row in kept if row["emotion"]] == rest and len(rest) == 5


def test_raters_are_counted_by_position(read, corpus_made, capsys):
    data = read(corpus_made, "--keep_unlabelled")
    counts = read_ratings(data / "annotation.csv", CORPUS)
    votes = Counter("disgust" if vote == "disqust" else vote for vote in VOTES)
    for row in read_rows(data / "annotation.csv"):
        assert counts[row["segment_id"]].tolist() == [votes[emotion] for emotion in CORPUS.emotions]
    shown = capsys.readouterr().out
    place = r"Sess01_eval\.csv, row 3 \(Sess01_script01_User001F_001\), column 35: 'bored'"
    assert re.search(rf"7 x rater's emotion that is unknown; not counted: {place}", shown)  # 7 columns, 9 raters of 3


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (",happy,", ",furious,", r"unknown emotion, expected one of neutral.*: {}, row 3 \({}\): 'furious'"),
        ("{}", "Sess01_script01_F001", r"malformed segment id, expected one like .*: {}, row 3: 'Sess01_script01_F001"),
        ("{}", "Sess02_script01_User001F_001", r"segment id of another session than its file: {}, row 3 \(Sess02_"),
        ("Segment ID", "Segment", "column 4 is not 'Segment ID', as it has to be: {}, row 1: 'Segment'"),
        ("Emotion,Valence", "Valence,Emotion", "column 5 is not 'Emotion', as it has to be: {}, row 2: 'Valence'"),
        ("{},happy,", "{},", r"a cell too many or too few: {}, row 3 \({}\)"),
        ("{},", "{},extra,", r"a cell too many or too few: {}, row 3 \({}\)"),
        ("\n1,", '\n"1,', "annotation file that cannot be read: .*{}: not a CSV file: unexpected end"),
        ("Wav, ,Seg", "Wav, ,ECG, ,E4-EDA, ,E4-TEMP, ,Seg", "column 4 is not 'Segment ID', .*: {}, row 1: 'ECG'"),
    ],
)
def test_nonsense_is_named_with_file_and_row(read, corpus, old, new, message):
    path, segment = corpus / "annotation/Sess01_eval.csv", ROWS[0][0]
    text = path.read_bytes().decode("cp949")
    assert old.format(segment) in text
    path.write_bytes(text.replace(old.format(segment), new.format(segment), 1).encode("cp949"))
    message = message.replace("{}", path.name, 1).replace("{}", segment)
    with pytest.raises(UserError, match=f"; nothing is written(?s:.*)1 x {message}"):
        read(corpus)


def test_another_directory(preprocess, read, corpus_made, tmp_path):
    with pytest.raises(UserError, match=r"annotation: no annotation file named like Session01_F_res\.csv"):
        preprocess(corpus_made)  # as KEMDy19
    with pytest.raises(UserError, match=r"expected KEMDy20's directory, with annotation/Sess01_eval\.csv \.\.\. and"):
        read(corpus_made.parent)
    (tmp_path / "annotation").mkdir()
    (tmp_path / "annotation/Session01_F_res.csv").touch()
    with pytest.raises(UserError, match=r"annotation: no annotation file named like Sess01_eval\.csv"):
        read(tmp_path)


def test_what_is_not_usable_is_left_out(read, corpus, capsys):
    (corpus / "wav/Session01/Sess01_script01_User001F_001.wav").unlink()
    (corpus / "wav/Session01/Sess01_script02_User001F_001.txt").write_bytes("안녕".encode("utf-16"))
    (corpus / "annotation/Sess02_eval.csv").unlink()
    (corpus / "annotation/Sess04_eval.csv").write_bytes((corpus / "annotation/Sess01_eval.csv").read_bytes()[:900])
    (corpus / "annotation/notes.txt").touch()
    with pytest.raises(UserError, match=r"x segment id of another session than its file: Sess04_eval\.csv, row 3"):
        read(corpus)
    (corpus / "annotation/Sess04_eval.csv").unlink()
    assert len(read_rows(read(corpus) / "annotation.csv")) == 3
    shown = capsys.readouterr().out
    assert "1 x wav missing: Sess01_script01_User001F_001\n" in shown
    assert "1 x transcript in UTF-16: Sess01_script02_User001F_001\n" in shown
    assert "1 x file in annotation/ that is not read, for its name: notes.txt\n" in shown
