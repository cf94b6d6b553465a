"""KEMDy19's raw directory: which of its utterances the two tables get, and the funnel that leads there.

    annotation/Session01_F_res.csv, Session01_M_res.csv, ...   see mirai.readers.kemdy19
    wav/Session01/Sess01_script01/Sess01_script01_F001.wav     and .txt beside it: see mirai.readers.txt_wav

Reading never stops at the first problem: all of them are collected, and nothing is written.
"""

from dataclasses import dataclass

from mirai.readers.findings import Findings
from mirai.readers.kemdy19 import read_rows
from mirai.readers.txt_wav import usable_files

CLIP_LENGTH = 25.0  # seconds
_KEMDY19_SIZED = 15_000  # rows; the sample corpus has fewer


@dataclass(frozen=True)
class RawCorpus:
    """What can be used of a corpus.

    Attributes:
        every: the rows of `annotation.csv`: of those without a tie, the first of each segment id.
        speaker_only: the rows of `annotation_speaker_only.csv`: those where the speaker is the file's subject.
        funnel: list of (step, rows, rows of KEMDy19 as published).
        findings: errors, what is left out, what was read by another than the usual rule.
    """

    every: list
    speaker_only: list
    funnel: list
    findings: Findings


def read_corpus(root):
    """Read KEMDy19's directory `root`.

    Returns:
        RawCorpus: if its findings have errors, its rows are incomplete.
    Raises:
        UserError: `root` is another directory.
    """
    findings = Findings()
    total, rows = read_rows(root, findings)
    untied = [row for row in rows if not row.is_tie]
    first = {}
    for row in untied:
        first.setdefault(row.segment_id, row)
    present = usable_files(root, first.values(), findings)
    every = [row for row in first.values() if row.segment_id in present]
    own = [row for row in untied if row.segment.speaker == row.subject and row.segment_id in present]
    short = f"  of these at most {CLIP_LENGTH:g} s"
    funnel = [
        ("all rows", total, 20_566),
        *([("with a readable row", len(rows), None)] if len(rows) < total else []),
        ("without ties", len(untied), 19_268),
        ("first row kept per segment id", len(first), 10_245),
        ("with both wav and txt -> annotation.csv", len(every), 10_238),
        (short, sum(row.seconds <= CLIP_LENGTH for row in every), 10_135),
        ("speaker only -> annotation_speaker_only.csv", len(own), 9_627),
        (short, sum(row.seconds <= CLIP_LENGTH for row in own), 9_529),
    ]
    return RawCorpus(_sorted(every), _sorted(own), funnel, findings)


def show_funnel(funnel):
    """The funnel as aligned lines, beside the published counts if the corpus is as large as KEMDy19."""
    with_published = funnel[0][1] >= _KEMDY19_SIZED
    lines = [f"{'step':<46}{'rows':>8}{'published':>12}" if with_published else f"{'step':<46}{'rows':>8}"]
    for step, count, published in funnel:
        line = f"{step:<46}{count:>8,}"
        lines.append(f"{line}{published:>12,}" if with_published and published else line)
    return "\n".join(lines)


def _sorted(rows):
    def key(row):
        return row.segment.session, row.segment.dialogue, float(row.cells["wav_start"]), row.segment_id

    return sorted(rows, key=key)
