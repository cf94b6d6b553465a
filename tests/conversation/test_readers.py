"""Who speaks when, from the files that people have, made here by their own libraries where there are such."""

import sys

import pytest

from conversation.readers import read_turns
from conversation.readers.plain import read_plain
from erc.options import UserError
from tests.conversation.conftest import write_manifest

TIMES = [(0.5, 1.25, "Anna", "좋아요"), (1.0, 2.5, "Ben", "싫어"), (3.0, 3.5, "Anna", "정말")]


def found(turns):
    return sorted((turn.start, turn.end, turn.speaker, turn.text) for turn in turns)


def test_textgrid(tmp_path):
    textgrid = pytest.importorskip("praatio.textgrid")
    grid, path = textgrid.Textgrid(), tmp_path / "a.TextGrid"
    for name in ("Anna", "Ben"):
        own = [(start, end, text) for start, end, speaker, text in TIMES if speaker == name]
        grid.addTier(textgrid.IntervalTier(name, own, 0, 4))
    grid.addTier(textgrid.IntervalTier("Anna emotion", [(0.5, 1.25, "happy")], 0, 4))
    grid.save(str(path), format="long_textgrid", includeBlankSpaces=True)
    turns = read_turns(path)
    assert found(turns) == TIMES
    assert [turn.emotion for turn in turns] == ["happy", "", ""]


def test_a_tier_without_a_name_is_refused(tmp_path):
    textgrid = pytest.importorskip("praatio.textgrid")
    grid, path = textgrid.Textgrid(), tmp_path / "a.TextGrid"
    grid.addTier(textgrid.IntervalTier("", [(0, 1, "x")], 0, 4))
    grid.save(str(path), format="long_textgrid", includeBlankSpaces=True)
    with pytest.raises(UserError, match=r"a\.TextGrid, turn 1: speaker ''; expected a name"):
        read_turns(path)


def test_a_textgrid_that_is_wrong_is_named(tmp_path):
    textgrid = pytest.importorskip("praatio.textgrid")
    grid, path = textgrid.Textgrid(), tmp_path / "a.TextGrid"
    for name, label in (("Anna", "좋아요"), ("Anna emotion", "=1+1")):
        grid.addTier(textgrid.IntervalTier(name, [(0, 1, label)], 0, 4))
    grid.save(str(path), format="long_textgrid", includeBlankSpaces=True)
    with pytest.raises(UserError, match=r"turn 1 \(Anna\): emotion '=1\+1' that would be a formula in a spreadsheet"):
        read_turns(path)
    path.write_bytes(path.read_text(encoding="utf-8").encode("cp949"))
    with pytest.raises(UserError, match=r"a\.TextGrid: is cp949 text, expected UTF-8 or UTF-16; save it again"):
        read_turns(path)


def test_elan(tmp_path):
    elan = pytest.importorskip("pympi.Elan")
    file, path = elan.Eaf(), tmp_path / "a.eaf"
    file.remove_tier("default")
    for name in ("Anna", "Ben", "Anna emotion"):
        file.add_tier(name)
    for start, end, speaker, text in TIMES:
        file.add_annotation(speaker, round(1000 * start), round(1000 * end), text)
    file.add_annotation("Anna emotion", 3000, 3500, "sad")
    file.to_file(str(path))
    turns = read_turns(path)
    assert found(turns) == TIMES
    assert {turn.start: turn.emotion for turn in turns} == {0.5: "", 3.0: "sad", 1.0: ""}


def test_rttm(tmp_path):
    path = tmp_path / "a.rttm"
    lines = [f"SPEAKER call 1 {start} {end - start} <NA> <NA> {speaker} <NA> <NA>" for start, end, speaker, _ in TIMES]
    path.write_text("\n".join([";; comment", *lines]) + "\n")
    assert found(read_turns(path)) == [(start, end, speaker, "") for start, end, speaker, _ in TIMES]


def test_an_rttm_of_several_recordings(tmp_path):
    path = tmp_path / "a.rttm"
    path.write_text("SPEAKER one 1 0 1 <NA> <NA> M <NA> <NA>\nSPEAKER two 1 0 2 <NA> <NA> F <NA> <NA>\n")
    assert found(read_turns(path, "two")) == found(read_turns(path, recording="two")) == [(0, 2, "F", "")]
    with pytest.raises(UserError, match=r"a\.rttm: has 2 dialogues \(one, two\); say which: --dialogue NAME"):
        read_turns(path, recording="three")
    with pytest.raises(UserError, match=r"--dialogue three: not in"):
        read_turns(path, "three")


def test_a_dialogue_of_a_file_that_has_one_is_refused(tmp_path):
    for name, read in (("a.srt", read_turns), ("a.txt", read_plain)):
        (tmp_path / name).write_text("M: x\n")
        with pytest.raises(UserError, match=rf"--dialogue one: is of a manifest .*; .*{name} has one, leave it out"):
            read(tmp_path / name, "one")


def test_webvtt(tmp_path):
    pytest.importorskip("webvtt")
    path = tmp_path / "a.vtt"
    path.write_text(
        "WEBVTT\n\n00:00.500 --> 00:01.250\n<v Anna>좋아요\n\n"
        "00:00:01.000 --> 00:00:02.500\nBen: 싫어\n\n00:03.000 --> 00:03.500\n<v Anna>정말</v>\n",
        encoding="utf-8",
    )
    assert found(read_turns(path)) == TIMES


def test_srt(tmp_path):
    pytest.importorskip("pysubs2")
    path, name = tmp_path / "a.srt", {"Anna": "[Anna] ", "Ben": "Ben: "}
    cues = [
        f"{k}\n00:00:0{start:.3f} --> 00:00:0{end:.3f}\n{name[speaker]}{text}\n".replace(".", ",")
        for k, (start, end, speaker, text) in enumerate(TIMES, start=1)
    ]
    path.write_text("\n".join(cues), encoding="cp949")
    assert found(read_turns(path)) == TIMES


@pytest.mark.parametrize(
    ("name", "cue", "message"),
    [
        ("a.vtt", "<v Anna>hi</v>\n<v Ben>yes</v>", "cue 1: has the voices Anna, Ben; expected a cue for each"),
        ("a.srt", "- 민수: 안녕\n- 영희: 그래", "cue 1: '- 민수: 안녕.* expected a cue for each, `NAME: text`"),
        ("a.srt", "내일 10:30에 만나요", "cue 1: says no speaker: '내일 10:30에 만나요'"),
    ],
)
def test_cues_of_several_or_of_nobody_are_refused(tmp_path, name, cue, message):
    for package in ("webvtt", "pysubs2"):
        pytest.importorskip(package)
    (tmp_path / name).write_text(f"WEBVTT\n\n1\n00:00:00.500 --> 00:00:01.250\n{cue}\n", encoding="utf-8")
    with pytest.raises(UserError, match=message):
        read_turns(tmp_path / name)


def test_marks_in_webvtt_are_text(tmp_path):
    pytest.importorskip("webvtt")
    path = tmp_path / "a.vtt"
    path.write_text(
        "WEBVTT\n\n00:00.500 --> 00:01.000\n<v.loud A&amp;B>1 &lt; 2</v>\n\n00:01.000 --> 00:02.000\nRoom 1: 10:30?\n",
        encoding="utf-8",
    )
    assert [(turn.speaker, turn.text) for turn in read_turns(path)] == [("A&B", "1 < 2"), ("Room 1", "10:30?")]


def test_subtitles_without_a_speaker_are_refused(tmp_path):
    pytest.importorskip("webvtt")
    path = tmp_path / "a.vtt"
    path.write_text("WEBVTT\n\n00:00.500 --> 00:01.250\n좋아요\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"a\.vtt, cue 1: says no speaker: '좋아요'"):
        read_turns(path)


def test_a_manifest_of_several_dialogues(tmp_path):
    rows = [("a", "M", 0, 1, "x"), ("b", "F", 0, 1, "y"), ("a", "F", 1, 2, "z")]
    path = write_manifest(tmp_path / "a.csv", rows, ("dialogue", "speaker", "start", "end", "text"))
    assert [turn.text for turn in read_turns(path, "a")] == ["x", "z"]
    with pytest.raises(UserError, match=r"has 2 dialogues \(a, b\); say which"):
        read_turns(path)
    with pytest.raises(UserError, match="--dialogue c: not in"):
        read_turns(path, "c")


def test_everything_wrong_in_a_manifest_is_named_at_once(tmp_path):
    columns = ("file_name", "dialogue", "speaker", "start", "end", "text", "emotion", "channel", "segment_id")
    rows = [
        ("a.wav", "d", "M", 1, 2, "fine", "sad", "", "one"),
        ("a.wav", "d", "", 1, 2, "", "", "", ""),
        ("a.wav", "d/e", "M", "soon", 2, "", "", "", ""),
        ("a.wav", "d", "M", 3, 2, "", "", "left", ""),
        ("a.wav", "d", "M", 3, "", "", "", "", "one"),
        ("", "d", "M", "", "", "", "", "", ""),
        ("a.wav", "d", "F", 5, 6, "", "", "", "one"),
    ]
    path = write_manifest(tmp_path / "a.csv", rows, columns)
    path.write_text(path.read_text() + "a.wav,d,=SUM(A1),4,5,,,,\n")
    with pytest.raises(UserError) as error:
        read_turns(path)
    text = str(error.value)
    for part in (
        *("1 x speaker that is no name: ", "row 3: ''", "row 4: 'd/e'", "row 4: 'soon'", "row 5: 3 to 2"),
        *("row 5: 'left'", "expected both or none: a.csv, row 6", "neither file_name nor text: a.csv, row 7"),
        *("row 8: one, is in a.csv, row 2", "row 9: '=SUM(A1)'", "errors (10):"),
    ):
        assert part in text
    assert "a.csv, row 2: " not in text


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("dialogue,speaker,mood,text", "unknown column, expected .*: row 1: 'mood'"),
        ("dialogue,text", "column that is missing: row 1: speaker, found dialogue, text"),
        ("dialogue,speaker", "column that is missing: row 1: file_name or text"),
        ("dialogue,speaker,text,text", "column that is there twice: row 1: text"),
    ],
)
def test_a_manifest_with_other_columns_is_refused(tmp_path, header, message):
    path = tmp_path / "a.csv"
    path.write_text(f"{header}\na,b,c,d\n")
    with pytest.raises(UserError, match=message):
        read_turns(path)


@pytest.mark.parametrize(
    ("ending", "package"), [(".textgrid", "praatio"), (".eaf", "pympi"), (".vtt", "webvtt"), (".srt", "pysubs2")]
)
def test_a_damaged_file_is_named(tmp_path, ending, package):
    pytest.importorskip(package)
    path = tmp_path / f"a{ending}"
    path.write_bytes(b"\x00\xff<broken" * 9)
    with pytest.raises(UserError, match=r"a\."):
        read_turns(path)


def test_other_kinds_are_refused(tmp_path):
    (tmp_path / "a.docx").write_text("x")
    with pytest.raises(UserError, match=r"of an unknown kind, expected one of \.textgrid, \.eaf"):
        read_turns(tmp_path / "a.docx")
    with pytest.raises(UserError, match="no such file"):
        read_turns(tmp_path / "none.rttm")
    (tmp_path / "empty.rttm").write_text("")
    with pytest.raises(UserError, match="no turns in it"):
        read_turns(tmp_path / "empty.rttm")
    (tmp_path / "bad.rttm").write_text("SPEAKER a 1 x 2 <NA> <NA> M\n")
    with pytest.raises(UserError, match=r"bad\.rttm, line 1: expected SPEAKER"):
        read_turns(tmp_path / "bad.rttm")


def test_text_alone(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("철수: 안녕: 반가워\n\n영희： 응\n", encoding="utf-8")
    turns = read_plain(path)
    assert [(turn.speaker, turn.text, turn.start) for turn in turns] == [
        ("철수", "안녕: 반가워", None),
        ("영희", "응", None),
    ]
    path.write_text("내일 10:30에\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"a\.txt, line 1: '내일 10:30에'; expected"):
        read_plain(path)
    path.write_text("no speaker here\n")
    with pytest.raises(UserError, match=r"a\.txt, line 1: 'no speaker here'; expected `speaker: what they say`"):
        read_plain(path)


@pytest.mark.parametrize(("ending", "module"), [(".textgrid", "praatio"), (".eaf", "pympi"), (".vtt", "webvtt")])
def test_a_missing_package_is_told(tmp_path, monkeypatch, ending, module):
    monkeypatch.setitem(sys.modules, module, None)
    (tmp_path / f"a{ending}").write_text("x")
    with pytest.raises(UserError, match=r"is not installed .*; pip install -r requirements-app\.txt"):
        read_turns(tmp_path / f"a{ending}")
