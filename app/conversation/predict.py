"""The whole way: a conversation in, a folder with its tables and its report out."""

import functools

from tqdm import tqdm

from conversation.models import load_models
from conversation.recognition import recognise
from conversation.report.page import write_report
from conversation.results import FORMAT, as_data, write_results
from conversation.sources import read_conversation
from conversation.turns import Note
from erc.files import new_folder
from erc.untrusted import has_format


def predict_into(options):
    """Write the report that `PredictOptions` ask for into --out; on failure nothing is left of it.

    Returns:
        dict: what turns.json holds.
    """

    def is_report(out):
        return has_format(out / "turns.json", FORMAT)

    with new_folder(options.out, options.overwrite, is_report, "a report") as folder:
        conversation, data = predict_conversation(options)
        write_results(folder, data)
        write_report(folder, data, conversation, options.page_mb)
    return data


def predict_conversation(options, bar=None, load=load_models):
    """The `Conversation` that the options ask for, and what `as_data` gives of it.

    Args:
        bar: `bar(name, unit)` is a function that wraps a list and shows how much of it is done; default: tqdm.
        load: loads the models, as `load_models` does.
    """
    features = bar and bar("features", "batch")  # by default the extractor shows a bar of its own
    bar = bar or functools.partial(_bar, options.quiet)
    conversation = read_conversation(options, bar("listening", "channel"))

    from conversation.prediction import make_dialogue, probabilities
    from conversation.reasons import explain
    from erc.runtime import find_device

    device = find_device(options.device)
    if options.transcribe:
        recognise(conversation, options.asr, device, bar("writing down", "turn"))
    models = load(options, conversation)
    conversation.notes = models.notes + conversation.notes + _text_notes(conversation, models)
    dialogue = make_dialogue(conversation, models, device, options.quiet, features)
    rows = probabilities([dialogue], models, device)
    losses = {}
    if options.reasons:
        labels, best = rows.argmax(axis=1), rows.max(axis=1)
        losses = explain(
            dialogue, labels, best, models, device, lambda items, name: bar(f"without the {name}", "batch")(items)
        )
    emotions = tuple(models.checkpoint.emotions)
    names = {language: models.corpus.called(language) for language in ("en", "ko")}
    unsure = models.checkpoint.unsure if options.unsure is None else options.unsure
    settings = unsure, models.names, models.checkpoint.temperature
    return conversation, as_data(conversation, emotions, names, rows, losses, *settings)


def summary(data):
    """What is printed: how often each emotion is, how many turns are unsure."""
    labels = [turn["emotion"] for turn in data["turns"]]
    counts = {name: labels.count(name) for name in data["emotions"]}
    found = ", ".join(f"{name} {count}" for name, count in sorted(counts.items(), key=lambda one: -one[1]) if count)
    lines = [f"{len(labels)} turns of {', '.join(data['speakers'])}: {found}"]
    if count := sum(turn["unsure"] for turn in data["turns"]):
        lines.append(f"{count} of them unsure: no probability of {data['unsure_below']:.2g} or more")
    return "\n".join(lines)


def _text_notes(conversation, models):
    """What should be said of missing text."""
    without = sum(not turn.text for turn in conversation.turns)
    if "t" not in models.checkpoint.modalities:
        if without < len(conversation.turns):
            return []
        return [
            Note(
                "There is no text; the turns are judged by their sound and the conversation alone.",
                "텍스트가 없어 목소리와 대화 흐름만으로 판단했습니다.",
            )
        ]
    if not without:
        return []
    return [
        Note(
            f"{without} of {len(conversation.turns)} turns have no text and are judged as if nothing were said.",
            f"발화 {len(conversation.turns)}개 중 {without}개는 텍스트가 없어 말이 없는 것으로 보았습니다.",
        )
    ]


def _bar(quiet, name, unit):
    return functools.partial(tqdm, desc=name, unit=unit, disable=quiet or None, leave=False)
