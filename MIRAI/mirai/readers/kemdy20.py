"""KEMDy20's raw directory, its texts in cp949.

    annotation/Sess01_eval.csv, ...                   each with both speakers' turns
    wav/Session01/Sess01_script01_User002M_001.wav    and its transcript, .txt, beside it

An annotation file has 37 columns. Raters judged each turn once, so there is one table: nobody's label is a listener's.
What is read, left out and refused: `mirai.readers.kemdy`.
"""

from erc.corpus.corpora import CORPORA
from mirai.readers.kemdy import EVERY, read_directory
from mirai.readers.kemdy_rows import Layout

TABLES = (EVERY,)
LAYOUT = Layout(CORPORA["KEMDy20"], segment_id=3, file="Sess{session:02d}_eval.csv", encoding="cp949")


def read_corpus(options):
    """The `RawCorpus` in `options.root_path`."""
    return read_directory(LAYOUT, options.root_path, options.keep_unlabelled)
