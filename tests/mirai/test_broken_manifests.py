"""Manifests of any cells: an error, or tables that every later stage reads."""

import csv
import io
import shutil
import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from erc.corpus.annotations import read_annotations, table_corpus
from erc.corpus.dialogues import read_dialogues, write_dialogues
from erc.corpus.formatting import format_dialogues
from erc.corpus.splits import split
from erc.corpus.transcripts import read_sentences
from erc.options import UserError
from tests.conftest import load_script

COLUMNS = ("dialogue", "speaker", "text", "emotion", "split", "start", "end", "segment_id", "channel", "file_name", "x")
CELLS = [
    "",
    " ",
    "a",
    "b",
    "1",
    "0",
    "2.5",
    "-1",
    "nan",
    "1e400",
    "=1+1",
    "@x",
    "'a",
    "../a",
    ".",
    "a/b",
    "\n",
    "\r",
    "\0",
]
CELLS += [
    "train",
    "dev",
    "test",
    "한국어",
    "한" * 150,
    "\u202e",
    "\ud83d\ude00",
    "x" * 300,
    '"',
    ",",
    "a_001",
    "none.wav",
]
GOOD = {
    "dialogue": ["a", "b", "c", "d"],
    "speaker": ["M", "민지"],
    "text": ["네", "뭐?"],
    "emotion": ["joy", "sad", ""],
}


@st.composite
def manifests(draw):
    """The text of a manifest: good cells, some of them replaced, columns added or left out."""
    columns = draw(st.lists(st.sampled_from(COLUMNS[4:]), max_size=2, unique=True))
    columns += draw(st.sampled_from([COLUMNS[:4]] * 8 + [COLUMNS[1:4], COLUMNS[:3]]))
    rows = []
    for k in range(draw(st.integers(0, 12))):
        rows.append([GOOD[name][k % len(GOOD[name])] if name in GOOD else "" for name in columns])
    for _ in range(draw(st.integers(0, 3)) if rows else 0):
        row = draw(st.sampled_from(rows))
        row[draw(st.integers(0, len(columns) - 1))] = draw(st.sampled_from(CELLS))
    text = io.StringIO()
    csv.writer(text).writerows([columns, *rows])
    return text.getvalue().encode("utf-8", "replace")


@given(content=manifests(), folds=st.sampled_from([(), (), ("--folds", "2"), ("--folds", "3", "--fold_by", "speaker")]))
def test_a_manifest_is_an_error_or_can_be_used(content, folds):
    folder = Path(tempfile.mkdtemp())
    try:
        (folder / "own.csv").write_bytes(content)
        arguments = [
            "--corpus",
            "manifest",
            "--root_path",
            str(folder / "own.csv"),
            "--save_path",
            str(folder / "data"),
        ]
        try:
            load_script("MIRAI/preprocess.py").main([*arguments, *folds])
        except UserError as error:
            assert "own.csv" in str(error) and not (folder / "data/txt_wav").exists()
            return
        tables = sorted((folder / "data").glob("annotation*.csv"))
        assert len(tables) == (int(folds[1]) if folds else 1)
        for table in tables:
            utterances = read_annotations(table)
            parts = split(utterances, False, ())
            assert parts.train and parts.dev and parts.test
            sentences = read_sentences(utterances, folder / "data/txt_wav")
            write_dialogues(folder / "d.pkl", format_dialogues(utterances, sentences, (), table_corpus(table)))
            assert len(read_dialogues(folder / "d.pkl").dialogues) == len({one.dialogue for one in utterances})
    finally:
        shutil.rmtree(folder)
