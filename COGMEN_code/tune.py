"""Stage 3, a step beside: search training options that do better on the dev dialogues.

    python COGMEN_code/tune.py --dataset KEMDy19 --modalities at --epochs 100 --trials 50 \\
        --preprocessed_feature ./data/KEMDy19/new_2019cogmen_format_speaker_only_feat_preprocessed.pkl

Varies --seqcontext_nlayer, --gnn_nheads, --learning_rate, --wp, --wf, --use_highway, --class_weight and --drop_rate,
but for those given; trial 0 has the published values. The same command, started again or several times at once, works
on the same study, on several machines too with --storage postgresql+psycopg://... Writes best_options.json, for
train.py --options, and trials.csv to OUT_DIR/tuning/STUDY/. The test dialogues are not used.
"""

from cogmen.tuning.options import TuneOptions
from erc.options import given, parse, run


def main(argv=None):
    options = parse(TuneOptions, argv, __doc__)
    from cogmen.tuning.search import search  # optuna

    search(options, given(TuneOptions, argv))


if __name__ == "__main__":
    run(main)
