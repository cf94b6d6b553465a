"""The model card of an export, as the Hugging Face hub shows it: what the networks are, and what they are not for."""

from erc.corpus.corpora import CORPORA, Corpus
from erc.corpus.metrics import report
from erc.options import printable

_CARD = """---
language: {language}
license: {license}
pipeline_tag: audio-classification
tags: [emotion-recognition-in-conversation, multimodal, korean-merc]
---

# Emotion of every turn of a conversation: {dataset}, {modalities}

Speech and text of a conversation in, the emotion of every turn out ({emotions}). Two networks: an extractor of one
embedding per modality and utterance ({variant}), and a graph network over the whole conversation ({recipe} recipe,
{parameters:,} weights, COGMEN, arXiv 2205.02455).

    python app/predict.py call.wav --channels M F --model THIS_FOLDER --out report

## Data and selection

Trained on {dataset}. The graph network is of epoch {epoch}; its weighted F1 on the dev dialogues was {dev}.
{calibrated} {online}

{split} Who the speakers are, and of what age and language: complete this line.

## Scores on held-out dialogues

{scores}

## What it is for

Research on emotion in conversation: comparing methods, exploring one's own recordings of people who agreed to it. A
label is what raters would call the impression of a turn, in the corpus's words; it is not what someone feels.

## What it must not be used for

Decisions about people: hiring, grading, credit, insurance, policing, border control, health. Watching employees,
pupils or customers: in the European Union, inferring emotions at work or in education is prohibited but for safety
or medicine (Regulation 2024/1689, article 5). People who do not know of it. Languages, ages, voices and situations
that the corpus does not have: there the answers mean nothing, however sure they look.
"""


def model_card(extractor, trained_with, checkpoint, metrics, licence):
    """The card's text.

    Args:
        trained_with: the options of the extractor's training.
        metrics: the content of `metrics.json`, or None.
    """
    corpus = CORPORA.get(checkpoint.dataset, Corpus(checkpoint.dataset, tuple(checkpoint.emotions)))
    words = "none was given (`--metrics metrics.json`)"
    if isinstance(metrics, dict):
        words = "\n".join(f"    {line}" for line in report(metrics, corpus.headline).splitlines())
    dev = checkpoint.dev_weighted_f1
    return _CARD.format(
        language=corpus.language,
        license=printable(licence),
        dataset=printable(checkpoint.dataset),
        modalities=checkpoint.modalities,
        emotions=printable(", ".join(checkpoint.emotions)),
        variant=extractor.variant,
        recipe=getattr(checkpoint.network.architecture, "recipe", "published"),
        parameters=sum(weights.numel() for weights in checkpoint.network.parameters()),
        epoch="unknown" if checkpoint.epoch is None else checkpoint.epoch,
        dev="unknown" if dev is None else f"{100 * dev:.2f}%",
        calibrated=_calibrated(checkpoint),
        online="It sees the past only."
        if checkpoint.network.architecture.online
        else "A turn's answer rests on later turns, too.",
        scores=words,
        split=_split(trained_with),
    )


def _calibrated(checkpoint):
    if checkpoint.temperature == 1:
        return "The probabilities are the network's own, not calibrated."
    limit = "no limit was found from which on 90% are right"
    if checkpoint.unsure is not None:
        limit = f"90% are right from {checkpoint.unsure:.2f} on"
    return f"Log-probabilities are divided by the temperature {checkpoint.temperature:.3f}, fitted on these; {limit}."


def _split(options):
    """What the extractor's training, and so the graph network's test, held out."""
    if not options.get("test_1920"):
        return "The extractor held out a part of the table (its column `split`, or a random fifth)."
    test, dev = (" ".join(map(str, options.get(name) or ())) for name in ("test_sessions", "dev_sessions"))
    chosen = f"sessions {dev} chose the epochs" if dev else "a random tenth of the rest chose the extractor's epoch"
    return f"Sessions {test} were held out of both networks' training; {chosen}."
