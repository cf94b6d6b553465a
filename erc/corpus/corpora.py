"""What is known of each corpus, as data: an entry of `CORPORA` for each, and no other place knows a corpus's name.

A further corpus is a further entry; code asks the entry and never which corpus it is. Someone's own corpus
(`own_corpus`) has a name and emotions, and travels with its files: `to_data`, `corpus_from`.
"""

import re
from dataclasses import dataclass, field, replace

from erc.corpus.targets import Task, presence
from erc.options import UserError
from erc.untrusted import damaged, is_name, shown

# The order in which the features of a turn are joined.
MODALITIES = {"a": "audio", "t": "text", "v": "visual"}
SPLITS = ("train", "dev", "test")
# Of a classifier, in the order of tables, and how these call them.
SCORES = {"accuracy": "accuracy", "weighted_f1": "weighted F1", "macro_f1": "macro F1", "uar": "UAR"}
UNLABELLED = -1  # the label of a turn that is context only: no loss and no score counts it


@dataclass(frozen=True)
class Corpus:
    """A corpus's constants.

    Attributes:
        emotions: their names; a label is a place among them.
        label_aliases: spellings in the raw files, and the emotions that they stand for.
        speakers: the names of all speakers, numbered in this order. Empty: any names, numbered in each dialogue by
            their first turns.
        session: pattern of the beginning of a dialogue id, its group the session's number; None: sessions have none.
        segment_id: pattern of a segment id, its groups `session`, `dialogue` and `speaker`; None: ids are any
            names, and the annotation table has the columns `dialogue` and `speaker`.
        segment_id_example: a segment id, for messages.
        turn_id: pattern of the ids of turns in predictions, with the groups `dialogue` and `speaker`, where segment ids
            have no pattern.
        kinds: pattern whose named groups are the kinds of dialogues, one of which is found in a dialogue's id.
        test_sessions: the sessions that are held out whole; empty: dialogue files name any test dialogues.
        test_dialogues, test_turns: the dialogues of these sessions in the full corpus, and how many turns they have by
            the annotation table that they are taken from; empty: no split is published.
        has_segment_ids: the tenth item of a dialogue file is there; otherwise turns are named by dialogue and number.
        has_dev_ids: a tenth item, which may be missing, is the ids of the dev dialogues.
        has_frames: features of a turn may be rows of frames, whose mean is taken.
        tasks: by name, what can be learnt where labels are numbers: one for each turn, or one for each of `emotions`.
            Once a task is chosen (`of_task`), the emotions are its classes. Empty: labels are emotions.
        multilabel: a turn has any number of the emotions.
        text_feature: the text features that the published results rest on: `extractor` or `sbert`.
        headline: the score that leads its tables.
        emotion_names: by language (`ko`, `en`), what people call the emotions, in their order.
        reader: the module of `mirai.readers` that reads the raw corpus; None: there is none.
        language: its code, as a model card has it; `und`: not known.
    """

    name: str
    emotions: tuple[str, ...]
    label_aliases: dict[str, str] = field(default_factory=dict, hash=False)
    speakers: tuple[str, ...] = ()
    session: str | None = None
    segment_id: str | None = None
    segment_id_example: str = ""
    turn_id: str | None = None
    kinds: str | None = None
    test_sessions: tuple[int, ...] = ()
    test_dialogues: tuple[str, ...] = ()
    test_turns: dict[str, int] = field(default_factory=dict, hash=False)
    has_segment_ids: bool = True
    has_dev_ids: bool = False
    has_frames: bool = False
    tasks: dict[str, Task] = field(default_factory=dict, hash=False)
    multilabel: bool = False
    text_feature: str = "extractor"
    headline: str = "weighted_f1"
    emotion_names: dict[str, tuple[str, ...]] = field(default_factory=dict, hash=False)
    reader: str | None = None
    language: str = "und"

    def label(self, emotion):
        """The number of an emotion; `UNLABELLED` for none."""
        return self.emotions.index(emotion) if emotion else UNLABELLED

    def parse_segment_id(self, text):
        """The `SegmentId` that a text is.

        Raises:
            UserError: it is malformed.
        """
        match = re.fullmatch(self.segment_id, text)
        if match is None:
            raise UserError(f"malformed segment id {text!r}, expected one like {self.segment_id_example}")
        return SegmentId(int(match["session"]), match["dialogue"], match["speaker"])

    def session_of(self, dialogue):
        """The number of the session that a dialogue id names; None if it names none."""
        match = re.match(self.session, dialogue) if self.session else None
        return int(match[1]) if match else None

    def script_of(self, dialogue):
        """What a dialogue id names beside its session: every session plays the same scripts. None without sessions."""
        return re.sub(self.session, "", dialogue, count=1) if self.session else None

    def kind_of(self, dialogue):
        """What kind of dialogue an id names (scripted, improvised); None if it does not say."""
        match = re.search(self.kinds, dialogue) if self.kinds else None
        return match.lastgroup if match else None

    def speaker_numbers(self, speakers):
        """The numbers of a dialogue's speakers.

        Args:
            speakers: the name of each turn's speaker.
        Returns:
            list[int]: as many.
        """
        order = self.speakers or tuple(dict.fromkeys(speakers))
        number = {name: k for k, name in enumerate(order)}
        return [number[name] for name in speakers]

    def of_task(self, name):
        """The corpus whose emotions are the classes of one of its tasks."""
        task = self.tasks[name]
        return replace(self, emotions=task.classes, multilabel=task.multilabel, tasks={})

    def task_of(self, emotions):
        """The name of the task whose classes are these; None if there is none."""
        return next((name for name, task in self.tasks.items() if list(task.classes) == emotions), None)

    def called(self, language):
        """What people call the emotions in a language, `ko` or `en`; where nothing says it, their own names."""
        usual = _KOREAN if language == "ko" else {}
        return self.emotion_names.get(language) or tuple(usual.get(name, name) for name in self.emotions)

    def to_data(self):
        """Plain values by which `corpus_from` finds or makes the corpus again."""
        if self.name in CORPORA:
            return self.name
        return {
            "name": self.name,
            "emotions": list(self.emotions),
            "emotion_names": {language: list(names) for language, names in self.emotion_names.items()},
        }

    def count_speakers(self, dialogues):
        """How many speakers a network has to tell apart: the corpus's, else the most of any of the dialogues."""
        return len(self.speakers) or max(len(set(dialogue.speakers)) for dialogue in dialogues)


@dataclass(frozen=True)
class SegmentId:
    """What `Sess19_impro02_M014` tells: session 19, dialogue `Sess19_impro02`, speaker M.

    The number counts one speaker's utterances; it says nothing about the order of the two speakers' turns.
    """

    session: int
    dialogue: str
    speaker: str


def in_order(scores, headline):
    """Names of scores as they are shown: a corpus's `headline` first, but weighted F1 in its published place, behind
    accuracy."""
    return sorted(scores, key=lambda score: score != headline or headline == Corpus.headline)


def asked_corpus(name):
    """What `--dataset` names: None for none; of an unknown name, a corpus without emotions, which files of their own
    corpus then have to give."""
    return CORPORA.get(name) or (Corpus(name, ()) if name else None)


def own_corpus(source, name, emotions, emotion_names=None):
    """Someone's own corpus: any speakers, dialogues and turns, no sessions.

    Args:
        source: the file that says so, which messages name.
    Raises:
        UserError: a name is no text on one line, or stands for two emotions.
    """
    names = emotion_names or {}
    for one in (name, *emotions, *names, *(n for own in names.values() for n in own)):
        if not is_name(one):
            raise UserError(f"{source}: {shown(one)} cannot name a corpus or an emotion, expected text on one line")
    for own in (emotions, *names.values()):
        if len(set(own)) < len(own) or len(own) != len(emotions):
            raise UserError(
                f"{source}: emotions {shown(list(own))}: expected a name of its own for each of {len(emotions)}"
            )
    if name in CORPORA:
        raise UserError(f"{source}: the corpus {name} is known and has emotions of its own; give yours another name")
    if len(emotions) < 2:
        raise UserError(f"{source}: emotions {shown(list(emotions))}: expected at least two")
    return Corpus(name, tuple(emotions), emotion_names={language: tuple(own) for language, own in names.items()})


def corpus_from(data, path):
    """The corpus of which `Corpus.to_data` wrote the values into the file `path`, which may come from anyone.

    Raises:
        UserError: they make none, or name one that is not known.
    """
    if isinstance(data, str):
        if data not in CORPORA:
            raise UserError(f"{path}: of the corpus {shown(data)}, expected one of {', '.join(sorted(CORPORA))}")
        return CORPORA[data]
    with damaged(path, "what it says of its corpus is damaged, or not ours"):
        return own_corpus(path, data["name"], list(data["emotions"]), dict(data["emotion_names"]))


_KOREAN = {
    "neutral": "중립",
    "angry": "분노",
    "happy": "기쁨",
    "surprise": "놀람",
    "sad": "슬픔",
    "fear": "두려움",
    "disgust": "혐오",
    "excited": "신남",
    "frustrated": "답답함",
    "anger": "분노",
    "joy": "기쁨",
    "sadness": "슬픔",
}
# In patterns [0-9], not \d, which takes the digits of other scripts too: two spellings of one session.
_KINDS = "_(?:(?P<scripted>script)|(?P<improvised>impro))[0-9]"
_KEMDY19 = Corpus(
    name="KEMDy19",
    language="ko",
    emotions=("neutral", "angry", "happy", "surprise", "sad", "fear", "disgust"),
    label_aliases={"disqust": "disgust"},
    speakers=("M", "F"),
    session=r"Sess([0-9]{2})_",
    segment_id=r"(?P<dialogue>Sess(?P<session>[0-9]{2})_[A-Za-z]+[0-9]{2})_(?P<speaker>[FM])[0-9]{3}",
    segment_id_example="Sess19_impro02_M014",
    kinds=_KINDS,
    test_sessions=(19, 20),
    test_dialogues=tuple(
        f"Sess{session}_{kind}{number:02}"
        for session in (19, 20)
        for kind, count in (("impro", 4), ("script", 6))
        for number in range(1, count + 1)
    ),
    test_turns={"annotation_speaker_only.csv": 978, "annotation.csv": 1045},
    reader="kemdy19",
)
_KEMDY20 = Corpus(
    name="KEMDy20",
    language="ko",
    emotions=_KEMDY19.emotions,
    label_aliases=_KEMDY19.label_aliases,
    session=_KEMDY19.session,
    segment_id=r"(?P<dialogue>Sess(?P<session>[0-9]{2})_[A-Za-z]+[0-9]{2})_(?P<speaker>User[0-9]{3}[FM])_[0-9]{3}",
    segment_id_example="Sess01_script01_User002M_001",
    test_sessions=tuple(range(33, 41)),  # the last fifth: our choice, none is published
    headline="macro_f1",  # of a corpus that is mostly neutral, where "neutral" alone has a high weighted F1
    reader="kemdy20",
)
_IEMOCAP = Corpus(
    name="iemocap",
    language="en",
    emotions=("happy", "sad", "neutral", "angry", "excited", "frustrated"),
    speakers=("M", "F"),
    session=r"Ses([0-9]{2})[FM]_",
    # The dialogue's own letter says whose movements were recorded. Dialogue files name no speaker in an id.
    turn_id=r"(?P<dialogue>Ses(?P<session>[0-9]{2})[FM]_[A-Za-z0-9_]+?)_(?P<speaker>[FM])?(?:XX)?[0-9]{1,3}",
    kinds=_KINDS,
    has_segment_ids=False,
    text_feature="sbert",
)
_IEMOCAP_4 = replace(_IEMOCAP, name="iemocap_4", emotions=_IEMOCAP.emotions[:4])
_MELD = Corpus(
    name="MELD",
    language="en",
    emotions=("neutral", "surprise", "fear", "sadness", "joy", "disgust", "anger"),
    reader="meld",
)
_MOSEI_EMOTIONS = ("happiness", "sadness", "anger", "surprise", "disgust", "fear")
_MOSEI = Corpus(
    name="mosei",
    language="en",
    emotions=_MOSEI_EMOTIONS,
    has_segment_ids=False,
    has_dev_ids=True,
    has_frames=True,
    text_feature="sbert",
    tasks={
        "2class": Task(("negative", "positive"), ((">=", 0),), (-3, 3)),
        "7class": Task(
            (
                *("highly negative", "negative", "weakly negative", "neutral"),
                *("weakly positive", "positive", "highly positive"),
            ),
            ((">=", -2), (">=", -1), (">=", 0), (">", 0), (">", 1), (">", 2)),
            (-3, 3),
        ),
        **presence(_MOSEI_EMOTIONS),
    },
)

CORPORA = {corpus.name: corpus for corpus in (_KEMDY19, _KEMDY20, _IEMOCAP, _IEMOCAP_4, _MELD, _MOSEI)}
TASKS = tuple(dict.fromkeys(name for corpus in CORPORA.values() for name in corpus.tasks))  # what `--emotion` may name
KEMDY19 = CORPORA["KEMDy19"]  # the corpus of stage 1
