"""Cross-fitting: which extractor embeds which utterances, so that none embeds what it was trained on.

An extractor knows the utterances of its training better than any others, so their embeddings say more than those of
test utterances ever will. Cross-fitted, the embeddings of a training session are those of an extractor whose training
had left that session out.
"""

from collections import defaultdict

from erc.corpus.splits import check_unseen
from erc.options import UserError
from mirai.checkpoint import check_emotions, load_extractor

_ADVICE = "Take a checkpoint of a training with this table, or --test_1920 and cogmen_formatting.py's --test_sessions"


def share_out(checkpoint, others, utterances, test_ids, corpus):
    """Share the utterances of a table out to extractors.

    Args:
        checkpoint: of the extractor that embeds everything, or what no other one is needed for: all sessions that it
            was not trained on.
        others: checkpoints for the sessions that it was trained on; none: it embeds these, too.
        utterances: list of `Utterance`.
        test_ids: of the test dialogues.
    Returns:
        list of (path, list of `Utterance`), of those that embed any.
    Raises:
        UserError: one was trained on a test utterance; all of `others` have seen a session; they do not fit together.
    """
    test = [utterance for utterance in utterances if utterance.dialogue in test_ids]
    trained_on, forms = {}, {}
    for path in [checkpoint, *others]:
        extractor, kept = load_extractor(path)
        check_emotions(path, extractor, corpus)
        check_unseen(test, kept["trained_on"], path, _ADVICE)
        trained_on[path] = set(kept["trained_on"])
        forms[path] = list(extractor.modalities), extractor.description["width"]
        if forms[path] != forms[checkpoint]:
            (found, width), (expected, expected_width) = forms[path], forms[checkpoint]
            found, expected = f"{' and '.join(found)}, {width} wide", f"{' and '.join(expected)}, {expected_width} wide"
            raise UserError(f"--cross_fit: {path}: embeds {found}; expected {expected}, as {checkpoint} does")
    if not others:
        return [(checkpoint, utterances)]
    groups = defaultdict(list)
    for utterance in utterances:
        groups[_unit(utterance)].append(utterance)
    shares = {path: [] for path in [checkpoint, *others]}
    for unit, own in groups.items():
        names = {utterance.segment_id for utterance in own}
        fresh = [path for path in shares if not names & trained_on[path]]
        if not fresh:
            raise UserError(
                f"--cross_fit: every checkpoint was trained on {unit}; for each session that {checkpoint} was trained "
                "on give one whose --test_sessions had it"
            )
        shares[fresh[0]] += own
    return [(path, own) for path, own in shares.items() if own]


def _unit(utterance):
    """What is left out as a whole: the session, or the dialogue of a corpus without."""
    return f"dialogue {utterance.dialogue}" if utterance.session is None else f"session {utterance.session}"
