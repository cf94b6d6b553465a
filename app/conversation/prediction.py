"""From turns to probabilities: embeddings of every turn, then the graph network over the conversation.

L turns, D features of a modality, C emotions.
"""

from types import SimpleNamespace

import numpy as np

from cogmen.training import predict
from conversation.turns import Note
from erc.corpus.annotations import Utterance
from erc.corpus.corpora import MODALITIES
from erc.corpus.dialogues import Dialogue, check_dialogues
from erc.corpus.transcripts import clean
from erc.options import UserError
from mirai.dataset import UtteranceDataset
from mirai.prediction import plan_batches, run_batches

_BATCH = 16  # dialogues at once


class TurnDataset(UtteranceDataset):
    """The turns of a conversation, whose speech is in memory, as the extractor's input.

    Args:
        turns: list of `conversation.turns.Turn`.
        tokenize, normalize, pad_token: as `UtteranceDataset` has them; None leaves text or speech out.
    """

    def __init__(self, turns, tokenize=None, normalize=None, pad_token=0):
        self.utterances = [
            Utterance(turn.segment_id, "", -1, None, "", turn.speaker, 0.0, turn.seconds) for turn in turns
        ]
        self.normalize, self.pad_token = normalize, pad_token
        self.speech = [turn.wave for turn in turns] if normalize else None
        self.tokens = tokenize([clean(turn.text) for turn in turns]) if tokenize else None

    def wave(self, index):
        return self.speech[index]


def embed(turns, models, device, quiet, progress=None):
    """By modality of the graph network, the (L, D) embeddings of L turns.

    Args:
        progress: a function that wraps the list of batches, where the extractor's own bar is not wanted.
    Raises:
        UserError: a turn has no speech.
    """
    extractor = models.extractor
    used = {MODALITIES[modality] for modality in models.checkpoint.modalities}
    if extractor.fusion:
        used = set(extractor.modalities)
    settings = extractor.dataset_settings()
    for name, key in (("text", "tokenize"), ("audio", "normalize")):
        if name not in used:
            settings[key] = None
    if "audio" in used and (without := [turn for turn in turns if turn.wave is None]):
        if not without[0].segment_id:  # a line of --watch
            raise UserError("the turn has no speech, which these networks hear; expected a file_name")
        raise UserError(f"{without[0].segment_id}: has no speech, other turns have; expected it for all or for none")
    dataset = TurnDataset(turns, **settings)
    running = SimpleNamespace(batch_size=models.batch_size, batch_seconds=None, precision="32-true", num_workers=0)
    batches = plan_batches(dataset, range(len(dataset)), running, device)
    tables = {}
    results = run_batches(extractor, dataset, batches, device, running, quiet=quiet)
    for batch, result in zip(progress(batches) if progress else batches, results, strict=True):
        for name in used:
            table = tables.setdefault(name, np.empty((len(turns), result[name].shape[1]), np.float32))
            table[batch] = result[name]
    return {modality: tables[MODALITIES[modality]] for modality in models.checkpoint.modalities}


def make_dialogue(conversation, models, device, quiet, progress=None):
    """The conversation as a `Dialogue` with the features of the graph network's modalities."""
    turns = conversation.turns
    features = embed(turns, models, device, quiet, progress)
    speakers, notes = name_speakers(conversation, models)
    conversation.notes += notes
    dialogue = Dialogue(
        conversation.name,
        [turn.segment_id for turn in turns],
        speakers,
        np.zeros(len(turns), dtype=np.int64),  # which no prediction looks at
        [clean(turn.text) for turn in turns],
        features,
    )
    check_dialogues([dialogue], models.corpus)
    return dialogue


def name_speakers(conversation, models):
    """The speaker of each turn as the network knows speakers, and what should be said of that.

    Raises:
        UserError: there are more speakers than the network tells apart.
    """
    names, known = conversation.speakers, models.corpus.speakers
    count = models.checkpoint.network.architecture.num_speakers
    if count is not None and len(names) > count:
        raise UserError(
            f"{conversation.sources[0]}: {len(names)} speakers ({', '.join(names[:10])}), the graph network was "
            f"trained with {count}; give one that was trained with as many, or only the turns of {count}"
        )
    own = [turn.speaker for turn in conversation.turns]
    if not known or set(names) <= set(known):
        return own, []
    foreign, free = [name for name in names if name not in known], [name for name in known if name not in names]
    roles = {name: name for name in names} | dict(zip(foreign, free, strict=False))
    shown = ", ".join(f"{name} = {role}" for name, role in roles.items())
    note = Note(
        f"The graph network knows the speakers {' and '.join(known)}; taken here: {shown}. Name them so to choose.",
        f"그래프 신경망이 아는 화자는 {', '.join(known)}입니다. 여기서는 {shown}(으)로 보았습니다. 화자 이름을 그렇게 "
        "지정하면 바꿀 수 있습니다.",
    )
    return [roles[name] for name in own], [note]


def probabilities(dialogues, models, device):
    """(N, C) of all turns of some dialogues, in their order."""
    dialogues = models.checkpoint.dialogue_set(dialogues, models.corpus, device)
    log_probs, _ = predict(models.checkpoint.network.to(device), dialogues, _BATCH)
    return models.checkpoint.probabilities(log_probs)
