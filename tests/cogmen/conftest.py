"""Small dialogues whose emotions can be learnt."""

import numpy as np
import pytest

from erc.corpus.corpora import KEMDY19
from erc.corpus.dialogues import Dialogue, DialogueFile
from tests.pictures import blank_pictures, real_pictures  # noqa: F401 (fixtures)


def make_dialogues(sessions=6, turns=(3, 9), seed=0, noise=0.3):
    """Dialogues of `sessions` sessions, the last of them held out; audio tells half of the emotions, text the rest."""
    generator = np.random.default_rng(seed)
    signal = generator.normal(size=(len(KEMDY19.emotions), 24)).astype(np.float32)
    dialogues = []
    ids = [f"Sess{s:02}_{kind}" for s in range(1, sessions + 1) for kind in ("impro01", "script01")]
    for dialogue in ids:
        n = int(generator.integers(*turns))
        speakers = generator.choice(["F", "M"], size=n).tolist()
        labels = generator.integers(len(KEMDY19.emotions), size=n)
        count = {"F": 0, "M": 0}
        segment_ids = []
        for speaker in speakers:
            count[speaker] += 1
            segment_ids.append(f"{dialogue}_{speaker}{count[speaker]:03}")
        rows = signal[labels] + noise * generator.normal(size=(n, 24)).astype(np.float32)
        features = {"a": rows[:, :8].copy(), "t": rows[:, 8:].copy()}
        sentences = [f"문장 {segment_id}" for segment_id in segment_ids]
        dialogues.append(Dialogue(dialogue, segment_ids, speakers, labels, sentences, features))
    test = [dialogue for dialogue in ids if dialogue.startswith(f"Sess{sessions:02}")]
    return DialogueFile(dialogues, train_ids=[d for d in ids if d not in test], test_ids=test)


@pytest.fixture
def dialogues():
    return make_dialogues()
