"""Stage 2, step 2: the trained extractor's embeddings for every turn of a dialogue file.

    python MIRAI/feature_extractor_cogmen_format.py --model_save_path CKPT \\
        --csv_path ./data/annotation_speaker_only.csv \\
        --features_format_path ./data/KEMDy19/new_2019cogmen_format_speaker_only.pkl

Writes <name>_feat.pkl beside the dialogue file, which stays as it is. Utterances of any length are extracted. Finished
parts are kept in <name>_feat.parts/ until the end: a run that was stopped goes on when it is started again. With
--shard 1/4, 2/4, ... many processes or machines make the parts of one file; --merge then joins them. --cross_fit
CKPT... embeds each session that the checkpoint was trained on by one of these, which was not: docs/protocol.md.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from erc.corpus.annotations import read_annotations, table_corpus
from erc.corpus.dialogues import check_dialogues, read_dialogues, write_dialogues
from erc.corpus.formatting import check_join, join_embeddings
from erc.options import option, parse, run
from mirai.options import PredictionOptions


@dataclass
class ExtractionOptions(PredictionOptions):
    model_save_path: Path = option(help="checkpoint that MIRAI/trainer_hf.py or trainer_hf_MMER.py wrote")
    features_format_path: Path = option(
        "data/KEMDy19/new_2019cogmen_format_speaker_only.pkl",
        "dialogue file of cogmen_formatting.py",
    )
    cross_fit: list[Path] = option(
        [], "checkpoints for the training sessions: each is embedded by one that did not see it"
    )
    shard: str | None = option(None, "K/N: make only the K-th of N shares of the parts, and no file")
    merge: bool = option(False, "join the finished parts; extract nothing")

    def __post_init__(self):
        super().__post_init__()
        if self.shard is not None:
            found = re.fullmatch(r"([0-9]+)/([0-9]+)", self.shard)
            if not found or not 1 <= int(found[1]) <= int(found[2]):
                raise ValueError(f"--shard {self.shard}: expected K/N, such as 1/4, with K from 1 to N")
            if self.merge:
                raise ValueError("--shard: makes parts, --merge joins them; give one of them")
            self.shard = int(found[1]), int(found[2])


def main(argv=None):
    options = parse(ExtractionOptions, argv, __doc__)
    from erc.runtime import find_device
    from mirai.crossing import share_out
    from mirai.extraction import Extraction

    device = find_device(options.device)
    corpus = table_corpus(options.csv_path)
    utterances = read_annotations(options.csv_path, corpus)
    segment_ids = [utterance.segment_id for utterance in utterances]
    file = read_dialogues(options.features_format_path, corpus)
    check_join(file.dialogues, segment_ids)  # before the long work
    shares = share_out(options.model_save_path, options.cross_fit, utterances, set(file.test_ids), corpus)
    output = options.features_format_path.with_name(f"{options.features_format_path.stem}_feat.pkl")
    first, done, total = Extraction.of(*shares[0], options, output), 0, 0
    with first.alone(options.shard):
        tables, names = [], []
        for path, own in shares:
            extraction = Extraction.of(path, own, options, output)  # one extractor at a time is in memory
            if not options.merge:
                done += len(extraction.run(device, options.shard))
                total += len(extraction.parts)
            if not options.shard:
                tables.append(extraction.join())
                names += [utterance.segment_id for utterance in own]
        if options.shard:
            print("shard {} of {}: its {} parts of {} are in".format(*options.shard, done, total))
            print(f"{first.folder}; when all shards have finished, --merge instead of --shard joins them")
            return
        embeddings = {modality: np.concatenate([one[modality] for one in tables]) for modality in tables[0]}
        join_embeddings(file.dialogues, names, embeddings)
        check_dialogues(file.dialogues, corpus)  # an extractor may give values that are not finite
        write_dialogues(output, file)
        first.remove()
    sizes = ", ".join(f"{modality} {rows.shape[1]}" for modality, rows in embeddings.items())
    print(f"{len(segment_ids)} utterances in {len(file.dialogues)} dialogues; embeddings: {sizes}")
    print(f"wrote {output}")


if __name__ == "__main__":
    run(main)
