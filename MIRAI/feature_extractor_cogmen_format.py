"""Stage 2, step 2: the trained extractor's embeddings for every turn of a dialogue file.

    python MIRAI/feature_extractor_cogmen_format.py --model_save_path CKPT \\
        --csv_path ./data/annotation_speaker_only.csv \\
        --features_format_path ./data/KEMDy19/new_2019cogmen_format_speaker_only.pkl

Writes <name>_feat.pkl beside the dialogue file, which stays as it is. Utterances of any length are extracted.
"""

from dataclasses import dataclass
from pathlib import Path

from cogmen.corpora import KEMDY19
from cogmen.dialogues import check_dialogues, read_dialogues, write_dialogues
from cogmen.options import option, parse, run
from mirai.annotations import read_annotations
from mirai.dialogue_format import check_join, join_embeddings


@dataclass
class ExtractionOptions:
    model_save_path: Path = option(help="checkpoint that MIRAI/trainer_hf.py or trainer_hf_MMER.py wrote")
    csv_path: Path = option("data/annotation_speaker_only.csv", "annotation table that MIRAI/preprocess.py wrote")
    features_format_path: Path = option(
        "data/KEMDy19/new_2019cogmen_format_speaker_only.pkl",
        "dialogue file of cogmen_formatting.py",
    )
    txt_wav: Path | None = option(None, "folder of speech and transcripts, if not txt_wav/ beside the table")
    batch_size: int = option(8, "utterances of a batch; changes time and memory only")
    device: str = option("auto", "auto, cpu, cuda or cuda:N")

    def __post_init__(self):
        if self.batch_size < 1:
            raise ValueError(f"--batch_size {self.batch_size}: expected 1 or more")
        self.txt_wav = self.txt_wav or self.csv_path.parent / "txt_wav"


def main(argv=None):
    options = parse(ExtractionOptions, argv, __doc__)
    from cogmen.devices import find_device
    from mirai.extractor import load_extractor
    from mirai.prediction import extract

    device = find_device(options.device)
    utterances = read_annotations(options.csv_path)
    segment_ids = [utterance.segment_id for utterance in utterances]
    dialogues = read_dialogues(options.features_format_path, KEMDY19)
    check_join(dialogues, segment_ids)  # before the long work
    extractor, _ = load_extractor(options.model_save_path)
    result = extract(extractor, utterances, options.txt_wav, options.batch_size, device)
    embeddings = {modality: result[modality] for modality in extractor.modalities}
    path = options.features_format_path
    path = path.with_name(f"{path.stem}_feat.pkl")
    write_dialogues(path, check_dialogues(join_embeddings(dialogues, segment_ids, embeddings), KEMDY19))
    sizes = ", ".join(f"{modality} {rows.shape[1]}" for modality, rows in embeddings.items())
    print(f"{len(segment_ids)} utterances in {len(dialogues.ids)} dialogues; embeddings: {sizes}")
    print(f"wrote {path}")


if __name__ == "__main__":
    run(main)
