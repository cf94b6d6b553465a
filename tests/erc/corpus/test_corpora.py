import pytest

from erc.corpus.corpora import CORPORA, KEMDY19, Corpus, SegmentId, own_corpus
from erc.options import UserError


def test_segment_ids():
    assert KEMDY19.parse_segment_id("Sess19_impro02_M014") == SegmentId(19, "Sess19_impro02", "M")
    other_digits = ("Sess١٩_impro02_M014", "Sess19_impro٠٢_M014", "Sess19_impro02_M０14")
    malformed = ("Sess19_impro02_X014", "Session19_impro02_M014", "Sess19_impro02_M14", "Sess19_impro02_M014 ")
    for wrong in (*malformed, *other_digits):
        with pytest.raises(UserError, match="malformed segment id .* expected one like Sess19_impro02_M014"):
            KEMDY19.parse_segment_id(wrong)


def test_segment_ids_of_kemdy20():
    corpus = CORPORA["KEMDy20"]
    assert corpus.parse_segment_id("Sess40_script06_User080F_123") == SegmentId(40, "Sess40_script06", "User080F")
    for wrong in ("Sess40_script06_F123", "Sess40_script06_User80F_123", "Sess40_script06_User080F123"):
        with pytest.raises(UserError, match="malformed segment id .* expected one like Sess01_script01_User002M_001"):
            corpus.parse_segment_id(wrong)


@pytest.mark.parametrize("corpus", CORPORA.values(), ids=CORPORA)
def test_an_entry_fits_together(corpus):
    assert CORPORA[corpus.name] is corpus
    assert [corpus.label(emotion) for emotion in corpus.emotions] == list(range(len(corpus.emotions)))
    assert set(corpus.label_aliases.values()) <= set(corpus.emotions)
    assert corpus.text_feature in ("extractor", "sbert")
    if corpus.segment_id:
        example = corpus.parse_segment_id(corpus.segment_id_example)
        assert corpus.session_of(example.dialogue) == example.session
        assert not corpus.speakers or example.speaker in corpus.speakers


def test_the_session_of_a_dialogue():
    assert KEMDY19.session_of("Sess19_impro02") == 19
    assert CORPORA["iemocap"].session_of("Ses05M_script01_1b") == 5
    for name in ("talk", "Sess١٩_impro02", "a Sess19_impro02"):
        assert KEMDY19.session_of(name) is None
    assert Corpus("own", ("sad",)).session_of("Sess19_impro02") is None


def test_the_kind_of_a_dialogue():
    assert [KEMDY19.kind_of(name) for name in ("Sess19_script02", "Sess19_impro02", "talk")] == [
        *("scripted", "improvised", None)
    ]
    assert CORPORA["iemocap"].kind_of("Ses05M_script01_1b") == "scripted"
    assert Corpus("own", ("sad",)).kind_of("Sess19_impro02") is None


def test_speakers_are_numbered_by_the_corpus_that_declares_them():
    assert KEMDY19.speaker_numbers(["F", "M", "F"]) == [1, 0, 1]
    assert KEMDY19.speaker_numbers(["F"]) == [1]
    assert KEMDY19.count_speakers([]) == 2


def test_other_speakers_are_numbered_by_their_first_turns_in_the_dialogue(dialogues):
    own = Corpus("own", KEMDY19.emotions)
    assert own.speaker_numbers(["Ross", "Joey", "Ross", "Monica"]) == [0, 1, 0, 2]
    assert own.speaker_numbers(["Monica", "Ross"]) == [0, 1]
    dialogues.dialogues[3].speakers[:3] = ["Ross", "Joey", "Monica"]
    assert own.count_speakers(dialogues.dialogues[:3]) == 2
    assert own.count_speakers(dialogues.dialogues) == len(set(dialogues.dialogues[3].speakers))


def test_what_people_call_the_emotions():
    own = own_corpus("calls.toml", "calls", ["joy", "hurt"], {"ko": ["기뻐요", "아파요"]})
    assert own.called("ko") == ("기뻐요", "아파요") and own.called("en") == ("joy", "hurt")
    assert KEMDY19.called("ko")[:2] == ("중립", "분노") and KEMDY19.called("en") == KEMDY19.emotions
    assert own_corpus("calls.csv", "calls", ["joy", "hurt"]).called("ko") == ("기쁨", "hurt")
