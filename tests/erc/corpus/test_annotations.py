import os
import random
from dataclasses import replace

import pytest

from erc.corpus.annotations import COLUMNS, annotation_text, read_annotations
from erc.options import UserError

HEADER = "segment_id,emotion,wav_start,wav_end\n"


def test_a_table_is_read_whatever_the_order_of_its_rows(utterances, tmp_path):
    """As `MIRAI/preprocess.py` writes it, with the columns of the bio-signals."""
    names = ("segment_id", "emotion", "wav_start", "wav_end")
    rows = [{**dict.fromkeys(COLUMNS, ""), **{name: getattr(row, name) for name in names}} for row in utterances]
    for k in range(2):
        (tmp_path / "a.csv").write_text(annotation_text(random.Random(k).sample(rows, len(rows))))
        assert read_annotations(tmp_path / "a.csv") == utterances


def test_what_an_utterance_knows(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(HEADER + "Sess19_impro02_M014,sad,1.5,4.0\n")
    (row,) = read_annotations(path)
    assert (row.session, row.dialogue, row.speaker, row.label, row.seconds) == (19, "Sess19_impro02", "M", 4, 2.5)
    assert replace(row, wav_start=2.114, wav_end=2.914).seconds == 0.8  # 2.914 - 2.114 is more


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty"),
        (HEADER, "no utterances"),
        ("segment_id,wav_start,wav_end\na,1,2\n", "no column emotion; found segment_id, wav_start"),
        (HEADER + "Sess19_impro02_M14,sad,1,2\n", "row 2: malformed segment id 'Sess19_impro02_M14'"),
        (HEADER + "Sess19_impro02_M014,glad,1,2\n", "row 2 .*: emotion 'glad'; expected one of neutral"),
        (HEADER + "Sess19_impro02_M014,sad,x,2\n", "row 2 .*: wav_start is 'x', expected seconds"),
        (HEADER + "Sess19_impro02_M014,sad,1,2\n" * 2, "row 3: .* is already in row 2"),
        (HEADER + "Sess19_impro02_M014,sad,1\n", "row 2 .*: wav_end is '', expected seconds"),
        (HEADER + "Sess19_impro02_M014,sad,1,2,3\n", "row 2: 5 cells, expected 4"),
        (HEADER + "Sess19_impro02_M014,sad,1,inf\n", "row 2 .*: wav_end is 'inf', expected seconds"),
        (HEADER + "Sess19_impro02_M014,sad,-1,2\n", "row 2 .*: from -1 to 2 s, expected 0 <= wav_start <= wav_end"),
        (HEADER + "Sess19_impro02_M014,sad,3,2\n", "row 2 .*: from 3 to 2 s, expected 0 <= wav_start <= wav_end"),
        (HEADER + "../Sess19_impro02_M014,sad,1,2\n", r"row 2: malformed segment id '\.\./Sess19"),
        (HEADER[:-1] + ",emotion\nSess19_impro02_M014,sad,1,2,sad\n", "two columns emotion; found segment_id"),
        (HEADER + '"Sess19_impro02_M014,sad,1,2\n', "not a CSV file: unexpected end of data"),
        (HEADER + "Sess19_impro02_M014,sad\0,1,2\n", "holds NUL characters"),
    ],
)
def test_mistakes_are_named_with_file_and_row(tmp_path, text, message):
    path = tmp_path / "a.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=rf"a\.csv.*{message}"):
        read_annotations(path)


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r", ",\n", "\n\n", " \n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_other_ways_to_write_the_same_table(tmp_path, ending, encoding):
    text = HEADER + "Sess19_impro02_M014,sad,1,2\nSess19_impro02_M015,happy,3,4\n"
    (tmp_path / "a.csv").write_text(text)
    (tmp_path / "b.csv").write_bytes(text.replace("\n", ending).encode(encoding))
    assert read_annotations(tmp_path / "b.csv") == read_annotations(tmp_path / "a.csv")


def test_missing_table_names_the_script_that_makes_it(tmp_path):
    with pytest.raises(UserError, match=r"none\.csv: no such file; MIRAI/preprocess\.py"):
        read_annotations(tmp_path / "none.csv")
    with pytest.raises(UserError, match="is a directory, expected a CSV file"):
        read_annotations(tmp_path)
    os.mkfifo(tmp_path / "pipe.csv")  # from which reading might never end
    with pytest.raises(UserError, match=r"pipe\.csv: is no plain file, expected a CSV file"):
        read_annotations(tmp_path / "pipe.csv")
