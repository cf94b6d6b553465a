"""Stage 1, step 2, another way: fine-tune the extractor whose text and speech meet in a cross-modal network.

    python MIRAI/trainer_hf_MMER.py --exp_name both_ce_MMI --batch_size 2 --accumulate_grad 8 \\
        --csv_path ./data/annotation.csv

Takes the options of trainer_hf.py, and writes the same files; it always uses both modalities. Its checkpoints go
wherever those of trainer_hf.py go.
"""

from erc.options import parse, run
from mirai.options import FusionTrainingOptions


def main(argv=None):
    options = parse(FusionTrainingOptions, argv, __doc__)
    from mirai.training.fit import fit  # loads Lightning, which --help need not wait for

    fit(options)


if __name__ == "__main__":
    run(main)
