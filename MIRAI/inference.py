"""Stage 1, step 3: score a trained extractor on the utterances that were held out from its training.

    python MIRAI/inference.py --ckpt_path CKPT --test_1920=True --csv_path ./data/annotation_speaker_only.csv

Writes metrics.json, predictions.csv and the pictures of COGMEN_code/eval.py to OUT_DIR. Utterances of any length are
scored.

    python MIRAI/inference.py --all models_zoo/checkpoint --csv_path ./data/annotation.csv

does so for every experiment (*/best.ckpt) under a directory, each with the split that it was trained with, and writes
OUT_DIR/result.csv with a row for each: model, loss, accuracy, weighted_f1, macro_f1.
"""

from dataclasses import dataclass
from pathlib import Path

from erc.corpus.annotations import read_annotations, table_corpus
from erc.corpus.feelings import feeling_summary
from erc.corpus.metrics import summary
from erc.files import claim
from erc.options import UserError, option, parse, run
from mirai.options import PredictionOptions, check_test_sessions


@dataclass
class InferenceOptions(PredictionOptions):
    ckpt_path: Path | None = option(None, "checkpoint that MIRAI/trainer_hf.py or trainer_hf_MMER.py wrote")
    all: Path | None = option(None, "instead of --ckpt_path: directory whose experiments are all scored")
    test_1920: bool = option(False, "score the sessions of --test_sessions; otherwise the random 20% of training")
    test_sessions: list[int] = option([], "sessions scored with --test_1920 (default: the corpus's; KEMDy19: 19 20)")
    out_dir: Path | None = option(None, "where the results go, if not evaluation/ beside the checkpoint or in ALL")

    def __post_init__(self):
        if (self.ckpt_path is None) == (self.all is None):
            raise ValueError("--ckpt_path, --all: expected one of them")
        if self.all and self.test_1920:
            raise ValueError("--test_1920: --all scores each experiment with the split that it was trained with")
        super().__post_init__()
        check_test_sessions(self)
        self.out_dir = self.out_dir or (self.all or self.ckpt_path.parent) / "evaluation"


def main(argv=None):
    options = parse(InferenceOptions, argv, __doc__)
    with claim(options.out_dir, folder=True):
        infer(options)


def infer(options):
    from erc.runtime import find_device
    from erc.scoring.evaluation import FILES
    from mirai.scoring import score, score_all

    device = find_device(options.device)
    corpus = table_corpus(options.csv_path)
    utterances = read_annotations(options.csv_path, corpus)
    if options.all:
        failed = score_all(options.all, utterances, corpus, options, device, options.out_dir)
        print(f"wrote {options.out_dir}/result.csv")
        if failed:
            raise UserError(f"--all {options.all}: {failed} of its experiments could not be scored")
        return
    test_sessions = options.test_sessions if options.test_1920 else None
    result = score(options.ckpt_path, utterances, corpus, test_sessions, options, device, options.out_dir)
    print(f"{result['model']}: {summary(result, corpus.headline)}")
    if "ccc" in result:
        print(f"{result['model']}: {feeling_summary(result['ccc'])}")
    print(f"wrote {FILES} to {options.out_dir}")


if __name__ == "__main__":
    run(main)
