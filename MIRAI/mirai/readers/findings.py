"""What was found while a corpus was read: every problem, by its reason, so that one run tells them all."""

from collections import defaultdict
from dataclasses import dataclass, field
from functools import partial

SHOWN = 3  # places that are named of each reason; the rest is counted


_PLACES = partial(defaultdict, list)


@dataclass
class Findings:
    """Each a dict of lists of places (a file and row, or a segment id, and what was found there) by reason.

    Attributes:
        errors: what stops the work, because no rule says what is meant.
        left_out: rows and utterances that are not used.
        notes: what was read by another than the usual rule, and what else the user should know.
    """

    errors: dict = field(default_factory=_PLACES)
    left_out: dict = field(default_factory=_PLACES)
    notes: dict = field(default_factory=_PLACES)

    def report(self):
        """All of it as lines of text, errors first; empty if there is nothing to tell."""
        titles = ("errors", self.errors), ("left out", self.left_out), ("notes", self.notes)
        return "\n".join(f"{title} ({_count(found)}):\n{_lines(found)}" for title, found in titles if found)

    def summary(self):
        """Such as `2 errors, 14 left out`."""
        return f"{_count(self.errors)} error{'s' * (_count(self.errors) != 1)}, {_count(self.left_out)} left out"


def shown(text):
    """A cell in quotes, without control characters, cut where it is endless."""
    return repr(text if len(text) <= 40 else f"{text[:40]}...")


def _count(found):
    return sum(map(len, found.values()))


def _lines(found):
    lines = []
    for reason, places in found.items():
        more = f" and {len(places) - SHOWN} more" if len(places) > SHOWN else ""
        lines.append(f"  {len(places)} x {reason}: {'; '.join(places[:SHOWN])}{more}")
    return "\n".join(lines)
