import codecs
import unicodedata

import pytest

from erc.corpus.transcripts import clean, decode, read_transcript
from erc.options import UserError

TEXT = "안녕하세요, 반갑습니다."


@pytest.mark.parametrize(
    ("data", "encoding"),
    [
        (TEXT.encode(), "utf-8"),
        (TEXT.encode("utf-8-sig"), "utf-8-sig"),
        (TEXT.encode("utf-16"), "utf-16"),
        (codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"), "utf-16"),
        (TEXT.encode("cp949"), "cp949"),
    ],
)
def test_every_encoding_gives_the_same_text(data, encoding):
    assert decode(data, "x.txt") == (TEXT, encoding)


@pytest.mark.parametrize("text", ["호", "크", "치킨", TEXT, "é · 네"])
def test_a_corpus_in_cp949_is_read_as_that(text):
    """ "호" in cp949 is "ȣ" in UTF-8; a text in UTF-8 that has Hangul is one."""
    encoding = "utf-8" if "é" in text else "cp949"
    assert decode(text.encode(encoding), "x.txt", "cp949") == (text, encoding)


def test_decomposed_korean_is_composed():
    assert clean(unicodedata.normalize("NFD", TEXT)) == TEXT


def test_what_no_rule_decodes_names_the_file():
    with pytest.raises(UserError, match=r"x\.txt: neither UTF-8"):
        decode(b"\xff\xff\xff", "x.txt")


def test_nul_characters_name_the_file():
    with pytest.raises(UserError, match=r"x\.txt: holds NUL characters"):
        decode("a b".encode("utf-16-le"), "x.txt")


@pytest.mark.parametrize(
    ("content", "text"),
    [("", ""), ("\n", ""), ("하나", "하나"), ("하나\n", "하나"), ("하나\r\n둘\n\n 셋", "하나 둘 셋")],
)
def test_any_number_of_lines(tmp_path, content, text):
    path = tmp_path / "a.txt"
    path.write_bytes(content.encode())
    assert read_transcript(path) == text


@pytest.mark.parametrize(
    ("raw", "cleaned"),
    [
        ("b/ 아니 l/ 그게", "아니 그게"),
        ("N/", ""),
        ("(왜+뭐가) 그래", "왜 뭐가 그래"),
        ("  여러   칸 ", "여러 칸"),
        ("시속 100 km/h 였어", "시속 100 km/h 였어"),
        ("오늘은 24/7 열어", "오늘은 24/7 열어"),
        ("(c/ 진짜?)", "진짜?"),
    ],
)
def test_cleaning(raw, cleaned):
    assert clean(raw) == cleaned
