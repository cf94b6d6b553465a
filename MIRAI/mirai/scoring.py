"""Scoring checkpoints on what their training held out: one, or every experiment under a directory."""

import sys

from erc.corpus.metrics import summary
from erc.corpus.splits import check_unseen, has_split, held_out, split
from erc.files import write_table
from erc.options import UserError, printable
from erc.scoring.evaluation import write_evaluation
from mirai.checkpoint import check_emotions, load_extractor
from mirai.prediction import predict
from mirai.training.targets import ratings_of

COLUMNS = ("model", "loss", "accuracy", "weighted_f1", "macro_f1")


def score(path, utterances, corpus, test_sessions, options, device, out_dir):
    """Score a checkpoint, and write metrics.json, predictions.csv and confusion_matrix.png into `out_dir`.

    Args:
        utterances, corpus: of the whole table.
        test_sessions: the sessions to score; None: the random 20%; "own": those or that of the checkpoint's training.
        options: `PredictionOptions`.
    Returns:
        dict: model, loss and the scores, as in `metrics.json`.
    Raises:
        UserError: the checkpoint cannot be read, or was trained on some of these utterances.
    """
    extractor, kept = load_extractor(path)
    check_emotions(path, extractor, corpus)
    trained_with = kept["options"]
    if test_sessions == "own":
        test_sessions = trained_with["test_sessions"] if trained_with["test_1920"] else None
    is_random = test_sessions is None and not has_split(utterances)
    test = split(utterances, False, []).test if is_random else held_out(utterances, test_sessions)
    advice = "Score what its training held out: give the same table, --test_1920 and --test_sessions"
    check_unseen(test, kept["trained_on"], path, advice)
    probabilities, felt = predict(extractor, test, options, device)
    felt = None if felt is None else (ratings_of(test), felt)
    turns = ((row.segment_id, row.dialogue, row.speaker, row.label) for row in test)
    record = {
        "selected_on": "dev loss",
        "epoch": kept.get("validation", {}).get("epoch"),
        "test_scored": "by inference.py alone, with the chosen weights; training reads no held-out utterance",
    }
    result = write_evaluation(out_dir, turns, probabilities, corpus.emotions, record, felt)
    return {"model": extractor.variant, "loss": trained_with["loss"], **result}


def score_all(folder, utterances, corpus, options, device, out_dir):
    """Score every `best.ckpt` under a folder, each on its own split, into `out_dir`/result.csv, and each experiment's
    evaluation into a folder of its name beside it; prints a line for each, on stderr for one that cannot be scored.

    Returns:
        int: how many could not be scored.
    Raises:
        UserError: there is none.
    """
    paths = sorted(folder.rglob("best.ckpt"))
    if not paths:
        raise UserError(f"--all {folder}: no <experiment>/best.ckpt in it; expected such as models_zoo/checkpoint")
    rows, failed = [], 0
    for path in paths:
        experiment = path.parent.relative_to(folder)
        try:
            result = score(path, utterances, corpus, "own", options, device, out_dir / experiment)
        except (UserError, OSError) as error:
            print(printable(f"error: {experiment} is not scored: {error}"), file=sys.stderr)
            failed += 1
            continue
        print(f"{experiment}: {result['model']}, {result['loss']}: {summary(result, corpus.headline)}", flush=True)
        rows.append([result[name] for name in COLUMNS])
    write_table(out_dir / "result.csv", COLUMNS, rows)
    return failed
