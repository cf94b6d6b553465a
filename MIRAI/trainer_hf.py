"""Stage 1, step 2: fine-tune the extractor on single utterances.

    python MIRAI/trainer_hf.py --exp_name both_test_1920_speakeronly --using_model both --batch_size 2 \\
        --accumulate_grad 8 --test_1920=True --csv_path ./data/annotation_speaker_only.csv

Writes OUT_DIR/checkpoint/EXP_NAME/best.ckpt (lowest val_loss) and last.ckpt (for --resume), and TensorBoard and CSV
logs to OUT_DIR/tensorboard/EXP_NAME/. best.ckpt needs neither hub nor encoder directory when it is used.

On several GPUs: --devices N; on several machines also --num_nodes M, started by torchrun or srun. The gradient of a
step is the mean over its BATCH_SIZE x ACCUMULATE_GRAD x DEVICES x NUM_NODES utterances. Which they are depends on this
product alone, so dividing it otherwise changes rounding and what dropout and SpecAugment draw, and nothing else.
Attention is PyTorch's scaled_dot_product_attention and, on a GPU without 16-mixed, AdamW the fused one: both compute
the plain formulas and round otherwise. SIGINT and SIGTERM stop after the batch; --resume goes on from the last epoch.
"""

from erc.options import parse, run
from mirai.options import TrainingOptions


def main(argv=None):
    options = parse(TrainingOptions, argv, __doc__)
    from mirai.training.fit import fit  # loads Lightning, which --help need not wait for

    fit(options)


if __name__ == "__main__":
    run(main)
