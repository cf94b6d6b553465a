"""Stage 3, step 2: train the graph network, keep the epoch with the best dev weighted F1, score it on the test set.

    python COGMEN_code/train.py --tag tmp --dataset KEMDy19 --modalities at --from_begin --epochs 100 \\
        --preprocessed_feature ./data/KEMDy19/new_2019cogmen_format_speaker_only_feat_preprocessed.pkl

The checkpoint is OUT_DIR/model_checkpoints/<dataset>_best_dev_f1_model_<modalities>_<tag>.pt; beside it, `.csv` holds
the scores of every epoch, which `tensorboard --logdir OUT_DIR/tensorboard` shows too; --log_in_comet logs to Comet.
SIGINT (Ctrl-C) and SIGTERM stop the training after the step in hand; the same command with --resume goes on, and ends
with the weights that it would have had. --tuning searches options instead, as COGMEN_code/tune.py does.
"""

from cogmen.options import TrainOptions
from cogmen.tuning.options import TuneOptions
from erc.files import claim
from erc.options import given, parse, run
from erc.tracking import Tracker

BYTES_PER_PARAMETER = 24  # the checkpoint, and twice the state of a running training: two moments, the best weights


def main(argv=None):
    options = parse(TrainOptions, argv, __doc__)
    if options.tuning:
        from cogmen.tuning.search import search

        search(TuneOptions.of(options), given(TrainOptions, argv))
        return
    train_and_score(options)


def train_and_score(options):
    import numpy as np

    from cogmen.feelings import predict_feelings, ratings_of
    from cogmen.run import build_network, checkpoint_path, prepare, run_name, save_best, state_path
    from cogmen.training import decide, dialogue_set, predict, train
    from erc.corpus.feelings import feeling_scores, feeling_summary
    from erc.corpus.metrics import scores, summary

    data = prepare(options)
    network = build_network(options, data)
    dialogues, device = data.dialogues, data.device
    counts = [len(dialogues[split]) for split in ("train", "dev", "test")]
    print("{} on {}: {} training, {} dev, {} test dialogues".format(network, device, *counts))

    needed = BYTES_PER_PARAMETER * sum(weights.numel() for weights in network.parameters())
    with claim(checkpoint_path(options), needed), Tracker(options, run_name(options)) as tracker:
        splits = (dialogues["train"], dialogues["dev"])
        epoch, dev_f1, history = train(
            network, *splits, data.corpus, options, device, tracker.epoch, state_path(options)
        )
        path = save_best(network, data, options, epoch, dev_f1, history)
        test = dialogue_set(dialogues["test"], network, data.corpus, options, device)
        log_probs, labels = predict(network, test, options.batch_size)
        result = scores(labels, decide(log_probs, data.corpus), data.corpus.emotions)
        tracker.result("test", result, data.corpus.emotions)
        if options.valence_arousal:
            felt = predict_feelings(network, test, options.batch_size)
            ccc = feeling_summary(feeling_scores(np.concatenate(ratings_of(dialogues["test"])), felt))
    print(f"best epoch {epoch}: dev weighted F1 {100 * dev_f1:.2f}")
    print(f"test: {summary(result, data.corpus.headline)}")
    if options.valence_arousal:
        print(f"test: {ccc}")
    print(f"wrote {path}")


if __name__ == "__main__":
    run(main)
