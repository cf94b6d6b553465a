import random

import pytest

from cogmen.options import UserError
from mirai.annotations import read_annotations

HEADER = "segment_id,emotion,wav_start,wav_end\n"


def test_order_of_the_rows_does_not_matter(data, tmp_path):
    path = data / "annotation_speaker_only.csv"
    header, *rows = path.read_text().splitlines()
    random.Random(0).shuffle(rows)
    shuffled = tmp_path / "shuffled.csv"
    shuffled.write_text("\n".join([header, *rows]))
    assert read_annotations(shuffled) == read_annotations(path)


def test_what_an_utterance_knows(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(HEADER + "Sess19_impro02_M014,sad,1.5,4.0\n")
    (row,) = read_annotations(path)
    assert (row.session, row.dialogue, row.speaker, row.label, row.seconds) == (19, "Sess19_impro02", "M", 4, 2.5)


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
        (HEADER + "Sess19_impro02_M014,sad,1\n", "row 2: 3 cells, expected 4"),
    ],
)
def test_mistakes_are_named_with_file_and_row(tmp_path, text, message):
    path = tmp_path / "a.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=rf"a\.csv.*{message}"):
        read_annotations(path)


def test_missing_table_names_the_script_that_makes_it(tmp_path):
    with pytest.raises(UserError, match=r"none\.csv: no such file; MIRAI/preprocess\.py"):
        read_annotations(tmp_path / "none.csv")
