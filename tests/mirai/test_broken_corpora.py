"""Corpora and tables broken at random: a clear error or a result that accounts for every row, never anything else."""

import csv
import io
import re
import shutil
import tempfile
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from erc.corpus.annotations import read_annotations
from erc.corpus.corpora import KEMDY19
from erc.corpus.transcripts import decode
from erc.options import UserError
from mirai.readers.kemdy19 import read_corpus
from tests.conftest import load_script
from tests.tables import read_rows

from .conftest import annotation_rows, tree, write_annotation, write_wav

CELLS = ["", "nan", "inf", "-1", "1e400", "1_0", "0", "\n", "\r", ",,,", '"', "\0", "한"]
CELLS += ["angry", "angry;sad", ";", "disqust", "Sad"]
CELLS += ["Sess01_impro01_F001", "Sess01_impro01_M001", "Sess02_impro01_F001", "Sess٠١_impro01_F001", "../x"]
KINDS = ["cell", "cell", "cell", "extra", "missing", "cut", "repeat", "delete", "swap", "blank"]
ENCODINGS = ["utf-8-sig", "utf-16", "utf-16-le", "cp949", "utf-32"]


@cache
def good():
    """The files of a corpus of one session with 14 utterances: `{relative path: bytes}`."""
    with tempfile.TemporaryDirectory() as folder:
        root, rows = Path(folder), annotation_rows(1, ties={"Sess01_impro01_F001"})
        for subject in "FM":
            write_annotation(root / "annotation" / f"Session01_{subject}_res.csv", rows, subject)
        for name, *_ in rows:
            path = root / "wav" / "Session01" / name.rsplit("_", 1)[0] / f"{name}.wav"
            write_wav(path, np.zeros(500))
            path.with_suffix(".txt").write_text("안녕 b/ 하세요\n", encoding="utf-8")
        return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*.*"))}


def break_table(draw, data):
    """A CSV file with a cell, row or column that is another."""
    table = list(csv.reader(io.StringIO(data.decode(errors="replace"), newline="")))
    if not table:
        return data
    row, other = (draw(st.integers(0, len(table) - 1)) for _ in range(2))
    column = draw(st.integers(0, min(13, max(len(table[row]) - 1, 0))))
    cell = draw(st.sampled_from(CELLS) | st.text(max_size=6))
    kind = draw(st.sampled_from(KINDS))
    if kind in ("cell", "extra", "missing"):
        table[row][column : column + (kind != "extra")] = [] if kind == "missing" else [cell]
    elif kind == "cut":
        del table[row][column:]
    elif kind == "swap":
        table[row], table[other] = table[other], table[row]
    elif kind == "delete":
        del table[row]
    else:
        table.insert(other, [" ", ""] if kind == "blank" else list(table[row]))
    text = io.StringIO()
    csv.writer(text, lineterminator=draw(st.sampled_from(["\n", "\r\n", "\r"]))).writerows(table)
    return text.getvalue().encode(errors="surrogatepass")


def break_bytes(draw, data):
    kind = draw(st.sampled_from(["cut", "replace", "insert", "encode"]))
    place = draw(st.integers(0, len(data)))
    if kind == "cut":
        return data[:place]
    if kind == "encode":
        return data.decode(errors="ignore").encode(draw(st.sampled_from(ENCODINGS)), errors="ignore")
    junk = draw(st.binary(min_size=1, max_size=8))
    return data[:place] + junk + data[place + (len(junk) if kind == "replace" else 0) :]


@st.composite
def changes(draw, files):
    """`{path: new bytes, or None (missing), "directory" or "link"}` for one to four of the files."""
    changed = {}
    for _ in range(draw(st.integers(1, 4))):
        tables = [name for name in files if name.endswith(".csv")]
        name = draw(st.sampled_from(tables) | st.sampled_from(sorted(files)))
        data = changed.get(name, files[name])
        if not isinstance(data, bytes) or draw(st.integers(0, 7)) == 0:
            changed[name] = draw(st.sampled_from([None, "directory", "link"]))
        elif name.endswith(".csv") and draw(st.booleans()):
            changed[name] = break_table(draw, data)
        else:
            changed[name] = break_bytes(draw, data)
    return changed


def write(root, files):
    for name, data in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if data == "directory":
            path.mkdir()
        elif data == "link":
            path.symlink_to("gone")
        elif data is not None:
            path.write_bytes(data)


def outcome(*arguments):
    """The message of the error that preprocess.py ends with, or None."""
    try:
        load_script("MIRAI/preprocess.py").main([str(argument) for argument in arguments])
    except UserError as error:
        return str(error)
    return None


def check_accounts(root, data, keep_unlabelled):
    """Every row is used or listed with its reason; every utterance is in the table or listed; of ratings there are as
    many as rows."""
    corpus = read_corpus(SimpleNamespace(root_path=root, keep_unlabelled=keep_unlabelled))
    assert not corpus.findings.errors
    counts = {step: rows for step, rows, _ in corpus.funnel}
    places = [place for places in corpus.findings.left_out.values() for place in places]
    rows = [place for place in places if re.match(r"Session01_[FM]_res\.csv, row ", place)]
    assert counts["all rows"] == counts.get("with a readable row", counts["all rows"]) + len(rows)
    used = [row["segment_id"] for row in read_rows(data / "annotation.csv")]
    assert all(
        list(ratings) == [row["segment_id"] for row in corpus.tables[name]] for name, ratings in corpus.ratings.items()
    )
    assert all(0 <= sum(counts) <= 10 for ratings in corpus.ratings.values() for counts in ratings.values())
    left_out = [place.split(":")[0] for place in places if place not in rows]
    assert len({*used, *left_out}) == len(used) + len(left_out) == counts["first row kept per segment id"]
    assert all((data / "txt_wav" / f"{name}.{kind}").is_file() for name in used for kind in ("wav", "txt"))


@given(choice=st.data())
def test_a_broken_corpus_is_an_error_or_accounted_for(choice):
    changed = choice.draw(changes(good()))
    with tempfile.TemporaryDirectory() as folder:
        root, data = Path(folder) / "corpus", Path(folder) / "data"
        write(root, good())
        keep_unlabelled = choice.draw(st.booleans())
        arguments = ("--root_path", root, "--save_path", data, f"--keep_unlabelled={keep_unlabelled}")
        assert outcome(*arguments) is None
        before = tree(data)
        shutil.rmtree(root)
        write(root, {**good(), **changed})
        all_before = tree(Path(folder))

        verdict = outcome(*arguments, "--check")
        assert tree(Path(folder)) == all_before

        error = outcome(*arguments)
        assert (error is None) == (verdict is None)
        if error is None:
            check_accounts(root, data, keep_unlabelled)
        else:
            assert str(root) in error and tree(data) == before
            if "; nothing is written" in error:
                assert re.search(r"\d+ errors?, \d+ left out", error).group() in verdict


TABLE = "segment_id,emotion,valence,wav_start,wav_end\n" + "".join(
    f"Sess{session:02}_impro01_{speaker}001,{emotion},3.0,{1.5 * k},{1.5 * k + 1}\n"
    for k, (session, speaker, emotion) in enumerate([(1, "F", "sad"), (1, "M", "angry"), (19, "F", "neutral")])
)


@given(choice=st.data())
def test_a_broken_table_is_an_error_or_read_whole(choice):
    """The table that every later stage reads: all rows that hold text, each with sane values, or an error."""
    data = break_table(choice.draw, TABLE.encode())
    for _ in range(choice.draw(st.integers(0, 2))):
        data = choice.draw(st.sampled_from([break_table, break_bytes]))(choice.draw, data)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.csv"
        path.write_bytes(data)
        try:
            utterances = read_annotations(path)
        except UserError as error:
            assert str(error).startswith(f"{path}")
            return
    rows = [row for row in csv.reader(io.StringIO(decode(data, path)[0], newline="")) if "".join(row).strip()]
    assert len(utterances) == len(rows) - 1
    for utterance in utterances:
        assert KEMDY19.parse_segment_id(utterance.segment_id).session == utterance.session
        assert utterance.emotion == KEMDY19.emotions[utterance.label]
        assert 0 <= utterance.wav_start <= utterance.wav_end < float("inf")
