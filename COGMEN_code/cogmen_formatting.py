"""Stage 2, step 1: the utterances of an annotation table as dialogues, turns in time order.

    python COGMEN_code/cogmen_formatting.py

Writes the dialogue file, without embeddings; MIRAI/feature_extractor_cogmen_format.py adds those. With --shards N, for
a corpus too large for one file, OUT is a folder of N such files, which the next scripts take in the file's place.
"""

from dataclasses import dataclass
from pathlib import Path

from erc.corpus.annotations import read_annotations, table_corpus
from erc.corpus.dialogue_shards import write_dialogue_shards
from erc.corpus.dialogues import write_dialogues
from erc.corpus.formatting import format_dialogues
from erc.corpus.ratings import read_ratings
from erc.corpus.shards import shard_folder
from erc.corpus.transcripts import read_sentences
from erc.files import claim
from erc.options import option, parse, run


@dataclass
class FormattingOptions:
    csv_path: Path = option("data/annotation_speaker_only.csv", "annotation table that MIRAI/preprocess.py wrote")
    txt_wav: Path | None = option(None, "folder of the transcripts, if not txt_wav/ beside the table")
    test_sessions: list[int] = option(
        [], "sessions whose dialogues are the test set (default: the corpus's; KEMDy19: 19 20)"
    )
    out: Path = option("data/KEMDy19/new_2019cogmen_format_speaker_only.pkl", "the dialogue file to write")
    shards: int | None = option(None, "write a folder of so many dialogue files of about as many turns each")

    def __post_init__(self):
        if self.shards is not None and self.shards < 1:
            raise ValueError(f"--shards {self.shards}: expected at least 1")
        self.txt_wav = self.txt_wav or self.csv_path.parent / "txt_wav"


def main(argv=None):
    options = parse(FormattingOptions, argv, __doc__)
    with (shard_folder if options.shards else claim)(options.out) as folder:
        corpus = table_corpus(options.csv_path)
        utterances = read_annotations(options.csv_path, corpus)
        sentences = read_sentences(utterances, options.txt_wav)
        ratings = read_ratings(options.csv_path, corpus)
        test_sessions = options.test_sessions or corpus.test_sessions
        formatted = format_dialogues(utterances, sentences, test_sessions, corpus, ratings)
        if options.shards:
            write_dialogue_shards(folder, formatted, options.shards)
        else:
            write_dialogues(options.out, formatted)
    lengths = [len(dialogue) for dialogue in formatted.dialogues]
    print(
        f"{len(formatted.train_ids)} training and {len(formatted.test_ids)} test dialogues, {sum(lengths)} turns "
        f"(of a dialogue: {min(lengths)} to {max(lengths)}, mean {sum(lengths) / len(lengths):.1f})"
    )
    print(f"wrote {options.out}")


if __name__ == "__main__":
    run(main)
