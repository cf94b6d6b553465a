"""The result of reading a raw corpus: tables, speech files, the funnel, and every problem by its reason.

Reading never stops at the first problem: all are collected, so that one run shows them all.
"""

from collections import defaultdict
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from erc.corpus.corpora import Corpus
from erc.options import printable

_PLACES = partial(defaultdict, list)
_NAMED = 3  # places that are named of each reason; the rest is counted
_PUBLISHED_SHARE = 0.7  # of the published rows: how many a corpus has beside whose counts these are of interest


@dataclass
class Findings:
    """Places (a file and row, or a segment id, and what was found there) by reason."""

    errors: dict = field(default_factory=_PLACES)  # what stops the work, because no rule says what is meant
    left_out: dict = field(default_factory=_PLACES)  # rows and utterances that are not used
    notes: dict = field(default_factory=_PLACES)  # what is read by another than the usual rule, and what else matters

    def report(self, every_error=False):
        """All findings as lines of text, errors first; empty if there are none.

        Args:
            every_error: name the place of every error, however many there are.
        """
        titles = ("errors", self.errors, every_error), ("left out", self.left_out, False), ("notes", self.notes, False)
        return "\n".join(
            f"{title} ({_count(found)}):\n{_lines(found, every)}" for title, found, every in titles if found
        )

    def summary(self):
        """Such as `2 errors, 14 left out`."""
        return f"{_count(self.errors)} error{'s' * (_count(self.errors) != 1)}, {_count(self.left_out)} left out"


@dataclass(frozen=True)
class Cut:
    """Speech that has to be made: a piece of a recording, or a whole one of another form, as 16 kHz mono 16-bit wav.

    Attributes:
        start, end: seconds; end None: that of the recording.
        channel: 1, 2, ...; None: the mean of all.
    """

    path: Path
    start: float = 0.0
    end: float | None = None
    channel: int | None = None


@dataclass(frozen=True)
class RawCorpus:
    """The usable part of a raw corpus; incomplete if its findings have errors.

    Attributes:
        tables: {file name: rows}, the annotation tables; a row is a dict by column name.
        speech: {segment id: the file's path, or a `Cut`}, of every utterance of the tables; empty: text alone.
        transcripts: {segment id: the file's path, or the text}, of every utterance; "" for speech alone.
        funnel: list of (step, rows left, rows left of the published corpus or None).
        ratings: {table: {segment id: how many raters named each emotion}}, of the tables that have them.
    """

    corpus: Corpus
    tables: dict
    speech: dict
    transcripts: dict
    funnel: list
    findings: Findings
    ratings: dict = field(default_factory=dict)

    def show_funnel(self):
        """The funnel as aligned lines, beside the published counts if the corpus is as large."""
        _, total, published = self.funnel[0]
        with_published = published and total >= _PUBLISHED_SHARE * published
        lines = [f"{'step':<46}{'rows':>8}{'published':>12}" if with_published else f"{'step':<46}{'rows':>8}"]
        for step, count, published in self.funnel:
            line = f"{step:<46}{count:>8,}"
            lines.append(f"{line}{published:>12,}" if with_published and published else line)
        return "\n".join(lines)


def shown(text):
    """A cell in quotes, without control characters, cut where it is endless."""
    return repr(text if len(text) <= 40 else f"{text[:40]}...")


def _count(found):
    return sum(map(len, found.values()))


def _lines(found, every):
    lines = []
    for reason, places in found.items():
        named = len(places) if every else _NAMED
        more = f" and {len(places) - named} more" if len(places) > named else ""
        lines.append(printable(f"  {len(places)} x {reason}: {'; '.join(places[:named])}{more}"))
    return "\n".join(lines)
