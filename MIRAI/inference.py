"""Stage 1, step 3: score a trained extractor on the utterances that were held out from its training.

    python MIRAI/inference.py --ckpt_path CKPT --test_1920=True --csv_path ./data/annotation_speaker_only.csv

Writes metrics.json, predictions.csv and confusion_matrix.png to OUT_DIR. Utterances of any length are scored.
"""

from dataclasses import dataclass
from pathlib import Path

from cogmen.corpora import KEMDY19
from cogmen.metrics import summary, write_evaluation
from cogmen.options import option, parse, run
from mirai.annotations import read_annotations
from mirai.splits import check_unseen, held_out, split
from mirai.training_options import TEST_SESSIONS, check_test_sessions


@dataclass
class InferenceOptions:
    ckpt_path: Path = option(help="checkpoint that MIRAI/trainer_hf.py wrote")
    csv_path: Path = option("data/annotation_speaker_only.csv", "annotation table that MIRAI/preprocess.py wrote")
    txt_wav: Path | None = option(None, "folder of speech and transcripts, if not txt_wav/ beside the table")
    test_1920: bool = option(False, "score the sessions of --test_sessions; otherwise the random 20% of training")
    test_sessions: list[int] = option(TEST_SESSIONS, "sessions scored with --test_1920")
    batch_size: int = option(8, "utterances of a batch; changes time and memory only")
    device: str = option("auto", "auto, cpu, cuda or cuda:N")
    out_dir: Path | None = option(None, "where the results go, if not evaluation/ beside the checkpoint")

    def __post_init__(self):
        if self.batch_size < 1:
            raise ValueError(f"--batch_size {self.batch_size}: expected 1 or more")
        check_test_sessions(self)
        self.txt_wav = self.txt_wav or self.csv_path.parent / "txt_wav"
        self.out_dir = self.out_dir or self.ckpt_path.parent / "evaluation"


def main(argv=None):
    options = parse(InferenceOptions, argv, __doc__)
    from cogmen.devices import find_device
    from mirai.extractor import load_extractor
    from mirai.prediction import extract

    device = find_device(options.device)
    utterances = read_annotations(options.csv_path)
    test = held_out(utterances, options.test_sessions) if options.test_1920 else split(utterances, False, []).test
    extractor, kept = load_extractor(options.ckpt_path)
    check_unseen(test, kept["trained_on"], options.ckpt_path)
    probabilities = extract(extractor, test, options.txt_wav, options.batch_size, device)["probabilities"]
    names = ([getattr(row, name) for row in test] for name in ("segment_id", "dialogue", "speaker", "label"))
    result = write_evaluation(options.out_dir, *names, probabilities, KEMDY19.emotions)
    print(f"{kept['description']['using_model']}: {summary(result)}")
    print(f"wrote {options.out_dir}/metrics.json, predictions.csv, confusion_matrix.png")


if __name__ == "__main__":
    run(main)
