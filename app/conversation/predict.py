"""The whole way: a conversation in, a folder with its tables and its report out."""

import functools

from tqdm import tqdm

from conversation.models import load_models
from conversation.recognition import recognise
from conversation.report.page import write_report
from conversation.results import FORMAT, Results, as_data, write_results
from conversation.sources import read_conversation
from conversation.turns import Note
from erc.files import new_folder
from erc.untrusted import has_format


def predict_into(options):
    """Write the report that `PredictOptions` ask for into --out; on failure nothing is left of it.

    Returns:
        Results
    """

    def is_report(out):
        return has_format(out / "turns.json", FORMAT)

    with new_folder(options.out, options.overwrite, is_report, "a report") as folder:
        results, data = predict_conversation(options)
        write_results(folder, data)
        write_report(folder, data, results.conversation, options.page_mb)
    return results


def predict_conversation(options, bar=None, load=load_models):
    """(`Results`, the same as plain values) of the conversation that the options ask for.

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
    results = Results(conversation, emotions, names, rows, losses, unsure, models.names, models.checkpoint.temperature)
    return results, as_data(results)


def summary(results):
    """What is printed: how often each emotion is, how many turns are unsure, what should be known."""
    turns, labels = len(results.labels), results.labels.tolist()
    counts = {name: labels.count(k) for k, name in enumerate(results.emotions)}
    found = ", ".join(f"{name} {count}" for name, count in sorted(counts.items(), key=lambda one: -one[1]) if count)
    lines = [f"{turns} turns of {', '.join(results.conversation.speakers)}: {found}"]
    if count := int(results.unsure.sum()):
        lines.append(f"{count} of them unsure: no probability of {results.unsure_below:.2g} or more")
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
