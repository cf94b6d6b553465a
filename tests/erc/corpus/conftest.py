import pytest

from erc.corpus.annotations import Utterance
from erc.corpus.corpora import KEMDY19
from tests.cogmen.conftest import dialogues  # noqa: F401 (a fixture)


@pytest.fixture
def utterances():
    """Four sessions of two dialogues of seven turns, of 0.5 to 1.1 s, sorted by segment id."""
    rows = []
    for session in (1, 2, 19, 20):
        for dialogue in (f"Sess{session:02}_impro01", f"Sess{session:02}_script01"):
            for turn in range(7):
                speaker, label = "FM"[turn % 2], (turn + session) % 7
                name = f"{dialogue}_{speaker}{turn // 2 + 1:03}"
                times = (2.0 * turn, 2.0 * turn + 0.5 + 0.1 * turn)
                rows.append(Utterance(name, KEMDY19.emotions[label], label, session, dialogue, speaker, *times))
    return sorted(rows, key=lambda row: row.segment_id)
