"""KEMDy19's raw directory.

    annotation/Session01_F_res.csv, Session01_M_res.csv, ...   each with both speakers' turns
    wav/Session01/Sess01_script01/Sess01_script01_F001.wav     and its transcript, .txt, beside it

An annotation file has 43 columns and holds the label and the signals of one actor, its subject. What is read, left out
and refused: `mirai.readers.kemdy`.
"""

from erc.corpus.corpora import KEMDY19
from mirai.readers.kemdy import EVERY, SPEAKER_ONLY, read_directory
from mirai.readers.kemdy_rows import Layout

TABLES = (EVERY, SPEAKER_ONLY)
LAYOUT = Layout(
    KEMDY19,
    segment_id=9,
    file="Session{session:02d}_{subject}_res.csv",
    encoding="utf-8",
    by_dialogue=True,
    published=(20_566, 19_268, 10_245, 10_238, 10_135, 9_627, 9_529),
)


def read_corpus(options):
    """The `RawCorpus` in `options.root_path`."""
    return read_directory(LAYOUT, options.root_path, options.keep_unlabelled)
