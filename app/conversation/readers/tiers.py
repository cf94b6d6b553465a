"""Praat's TextGrid and ELAN: a tier is a speaker, an interval a turn, its label the text.

A tier `<speaker> emotion` holds the emotions of a speaker's turns, as the report writes them: the label of an interval
that begins and ends as a turn does.
"""

from conversation.extras import needs
from conversation.turns import Turn
from erc.corpus.transcripts import read_text
from erc.options import UserError

EMOTION_TIER = " emotion"  # the end of its name
_SAME = 0.01  # seconds between times that are one


def read_textgrid(path):
    with needs("praatio"):
        from praatio import textgrid
        from praatio.data_classes.interval_tier import IntervalTier
    if read_text(path, "a TextGrid", "give the file that Praat wrote")[1] == "cp949":
        raise UserError(f"{path}: is cp949 text, expected UTF-8 or UTF-16; save it again as UTF-8")
    grid = textgrid.openTextgrid(str(path), includeEmptyIntervals=False, reportingMode="silence")
    tiers = {tier.name: tier.entries for tier in grid.tiers if isinstance(tier, IntervalTier)}
    return _turns({name: [(start, end, label) for start, end, label in entries] for name, entries in tiers.items()})


def read_elan(path):
    with needs("pympi-ling"):
        from pympi import Elan
    file = Elan.Eaf(str(path), suppress_version_warning=True)
    tiers = {name: file.get_annotation_data_for_tier(name) for name in file.get_tier_names() if file.tiers[name][0]}
    return _turns({name: [(one[0] / 1000, one[1] / 1000, one[2]) for one in found] for name, found in tiers.items()})


def _turns(tiers):
    """{tier: [(start, end, label)]} as `Turn`s."""
    turns = []
    for name, intervals in tiers.items():
        if name.endswith(EMOTION_TIER) and name.removesuffix(EMOTION_TIER) in tiers:
            continue
        emotions = tiers.get(name + EMOTION_TIER, [])
        for start, end, label in intervals:
            text = " ".join(label.split())
            emotion = [one[2].strip() for one in emotions if abs(one[0] - start) < _SAME and abs(one[1] - end) < _SAME]
            found = emotion[0] if emotion else ""
            turns.append(Turn(start, end, name.strip(), text, "given" if text else "none", emotion=found))
    return turns
