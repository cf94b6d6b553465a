"""The two networks of a prediction: an extractor and the graph network that was trained on its embeddings."""

import dataclasses
import tempfile
from dataclasses import dataclass
from pathlib import Path

from conversation.exported import read_models
from conversation.turns import Note
from erc.corpus.corpora import CORPORA, MODALITIES, Corpus, own_corpus
from erc.options import REPOSITORY, UserError

SAMPLE = "models_zoo/sample/zip.zip"
_SAMPLE_NOTE = Note(
    "These are the sample models: they know synthetic voices and made-up lines only. On real people their answers mean "
    "nothing. Train models on real speech and give them with --extractor and --cgnn.",
    "이 결과는 예제 모델의 것입니다. 예제 모델은 합성 음성과 지어낸 문장만 배웠으므로, 실제 사람의 말에 대한 결과는 "
    "의미가 없습니다. 실제 음성으로 학습한 모델을 --extractor와 --cgnn으로 지정하세요.",
)


@dataclass
class Models:
    """An extractor and a graph network that fit each other and the conversation.

    Attributes:
        extractor: `mirai.network.extractor.Extractor`.
        checkpoint: `cogmen.checkpoints.Checkpoint`.
        corpus: the `Corpus` that they were trained on.
        names: what the results call them.
        notes: list of `Note`.
        batch_size: utterances that the extractor gets at once, at most.
    """

    extractor: object
    checkpoint: object
    corpus: Corpus
    names: dict
    notes: list
    batch_size: int = 64


def load_models(options, conversation):
    """Read the models of --extractor and --cgnn, or the sample's for what the conversation has of speech and text.

    Raises:
        UserError: they do not fit each other, or need what the conversation lacks.
    """
    models = _read(options, conversation)
    if options.int8:
        from erc.runtime import find_device
        from mirai.network.quantisation import quantise

        quantise(models.extractor, find_device(options.device))
        models.names["extractor"] += " (int8)"
        models.batch_size = 1  # no answer depends on what else is in a batch
    return models


def _read(options, conversation):
    if options.model:
        return _fitting(options.model, options.model, *read_models(options.model), conversation, [])
    if options.extractor:
        return _load(options.extractor, options.cgnn, conversation, [])
    from erc.split_zip import unpack

    available = "".join(m for m, there in (("a", conversation.has_speech), ("t", conversation.has_text)) if there)
    with tempfile.TemporaryDirectory() as folder:
        paths = {path.name: path for path in unpack(REPOSITORY / SAMPLE, Path(folder) / "models")}
        network = [path for name, path in paths.items() if f"_model_{available}_" in name]
        if "extractor_both.ckpt" not in paths or not network:
            raise UserError(f"{SAMPLE}: holds no models for this; give --extractor and --cgnn")
        return _load(paths["extractor_both.ckpt"], network[0], conversation, [_SAMPLE_NOTE])


def _load(extractor_path, network_path, conversation, notes):
    from cogmen.checkpoints import load_checkpoint
    from mirai.checkpoint import load_extractor

    extractor, checkpoint = load_extractor(extractor_path)[0], load_checkpoint(network_path)
    return _fitting(extractor_path, network_path, extractor, checkpoint, conversation, notes)


def _fitting(extractor_path, network_path, extractor, checkpoint, conversation, notes):
    """The `Models` of both, if they fit each other and the conversation."""
    corpus = CORPORA.get(checkpoint.dataset) or own_corpus(network_path, checkpoint.dataset, checkpoint.emotions)
    if checkpoint.network.architecture.num_speakers is None:  # it tells speakers only from each other
        corpus = dataclasses.replace(corpus, speakers=())
    check_fit(extractor_path, network_path, extractor, checkpoint)
    needed = set(MODALITIES[modality] for modality in checkpoint.modalities)
    if extractor.fusion:
        needed |= {"text", "audio"}  # each embedding takes both
    for name, there, what in (
        ("text", conversation.has_text, "text; give it with --turns FILE, or have it written down with --transcribe"),
        ("audio", conversation.has_speech, "speech; give a recording"),
    ):
        if name in needed and not there:
            raise UserError(f"{conversation.sources[0]}: these models need {what}, or models that do without")
    names = {"extractor": extractor_path.name, "graph network": network_path.name}
    return Models(extractor, checkpoint, corpus, names, notes)


def check_fit(extractor_path, network_path, extractor, checkpoint):
    """Refuse an extractor whose features are not those that the graph network was trained on.

    Raises:
        UserError: names both and what differs.
    """
    if tuple(extractor.description["emotions"]) != tuple(checkpoint.emotions):
        raise UserError(
            f"{extractor_path} knows the emotions {', '.join(extractor.description['emotions'])}, {network_path} "
            f"{', '.join(checkpoint.emotions)}; give the extractor whose features it was trained on"
        )
    made = [modality for modality, name in MODALITIES.items() if name in extractor.modalities]
    for modality in checkpoint.modalities:
        size = checkpoint.feature_sizes[modality]
        if modality not in made or size != extractor.description["width"]:
            found = extractor.description["width"] if modality in made else "none"
            raise UserError(
                f"{network_path}: was trained on {MODALITIES[modality]} features of {size} values, {extractor_path} "
                f"makes {found}; give the extractor whose features it was trained on"
            )
