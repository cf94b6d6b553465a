"""What is known of each corpus: emotions, speakers, segment ids, sessions. One table, used by every stage."""

import re
from dataclasses import dataclass

from erc.options import UserError


@dataclass(frozen=True)
class Corpus:
    """A corpus's constants; the number of a label (or speaker) is its place in `emotions` (or `speakers`).

    Attributes:
        test_sessions: the sessions that are held out.
        has_segment_ids: its dialogue file has the tenth item; otherwise turns are named by dialogue and number.
        text_feature: the text features that its published results rest on: `extractor` or `sbert`.
    """

    name: str
    emotions: tuple[str, ...]
    speakers: tuple[str, ...]
    test_sessions: tuple[int, ...] = ()
    has_segment_ids: bool = True
    text_feature: str = "extractor"

    def label(self, emotion):
        return self.emotions.index(emotion)


CORPORA = {
    corpus.name: corpus
    for corpus in (
        Corpus(
            name="KEMDy19",
            emotions=("neutral", "angry", "happy", "surprise", "sad", "fear", "disgust"),
            speakers=("M", "F"),
            test_sessions=(19, 20),
        ),
        Corpus(
            name="iemocap",
            emotions=("happy", "sad", "neutral", "angry", "excited", "frustrated"),
            speakers=("M", "F"),
            has_segment_ids=False,
            text_feature="sbert",
        ),
        Corpus(
            name="iemocap_4",
            emotions=("happy", "sad", "neutral", "angry"),
            speakers=("M", "F"),
            has_segment_ids=False,
            text_feature="sbert",
        ),
    )
}
KEMDY19 = CORPORA["KEMDy19"]

# Order in which a dialogue's columns are joined: audio, text, visual.
MODALITIES = ("a", "t", "v")
MODALITY_NAMES = {"a": "audio", "t": "text", "v": "visual"}

# [0-9], not \d, which takes the digits of other scripts too: two spellings of one session.
_SEGMENT_ID = re.compile(
    r"(?P<dialogue>Sess(?P<session>[0-9]{2})_[A-Za-z]+[0-9]{2})_(?P<speaker>[FM])(?P<number>[0-9]{3})"
)
_SESSION = re.compile(r"Sess([0-9]{2})_")


@dataclass(frozen=True)
class SegmentId:
    """The parts of `Sess19_impro02_M014`: session 19, dialogue `Sess19_impro02`, speaker M, his 14th utterance.

    The number counts one speaker's utterances; it says nothing about the order of the two speakers' turns.
    """

    session: int
    dialogue: str
    speaker: str
    number: int

    @classmethod
    def parse(cls, text):
        match = _SEGMENT_ID.fullmatch(text)
        if match is None:
            raise UserError(f"malformed segment id {text!r}, expected one like Sess19_impro02_M014")
        return cls(int(match["session"]), match["dialogue"], match["speaker"], int(match["number"]))


def session_of(dialogue):
    """The session number of a dialogue id such as `Sess19_impro02`."""
    match = _SESSION.match(dialogue)
    if match is None:
        raise UserError(f"malformed dialogue id {dialogue!r}, expected one like Sess19_impro02")
    return int(match[1])


def check_held_out(corpus, train_ids, test_ids):
    """Refuse a session that has dialogues on both sides, where the corpus holds out whole sessions. Ids that name no
    session, as those of someone's own conversations may be, are not compared.

    Raises:
        UserError: names the session and a dialogue of each side.
    """
    if not corpus.test_sessions:
        return
    train, test = (
        {match[1]: match.string for match in map(_SESSION.match, ids) if match} for ids in (train_ids, test_ids)
    )
    for session in sorted(train.keys() & test.keys()):
        raise UserError(
            f"session {int(session)} is in both the training set ({train[session]}) and the test set "
            f"({test[session]}); {corpus.name} holds out whole sessions, as COGMEN_code/cogmen_formatting.py does"
        )
