"""Stage 3, step 2: train the graph network, keep the epoch with the best dev weighted F1, score it on the test set.

    python COGMEN_code/train.py --tag tmp --dataset KEMDy19 --modalities at --from_begin --epochs 100 \\
        --preprocessed_feature ./data/KEMDy19/new_2019cogmen_format_speaker_only_feat_preprocessed.pkl

The checkpoint is OUT_DIR/model_checkpoints/<dataset>_best_dev_f1_model_<modalities>_<tag>.pt; beside it, `.csv` holds
the scores of every epoch.
"""

from cogmen.batching import as_tensors
from cogmen.checkpoints import Checkpoint, check_fits, load_checkpoint, save_checkpoint
from cogmen.corpora import CORPORA
from cogmen.devices import find_device
from cogmen.metrics import scores, summary
from cogmen.model import CGNN, Architecture
from cogmen.options import parse, run, to_dict
from cogmen.preprocessed import feature_sizes, read_preprocessed
from cogmen.training import TrainOptions, predict, seed_everything, train, write_history


def main(argv=None):
    options = parse(TrainOptions, argv, __doc__)
    corpus, device = CORPORA[options.dataset], find_device(options.device)
    splits = read_preprocessed(options.preprocessed_feature, corpus)
    sizes = feature_sizes(options.preprocessed_feature, splits, options.modalities)
    train_set, dev_set, test_set = (as_tensors(splits[split], options.modalities) for split in ("train", "dev", "test"))
    seed_everything(options.seed)
    network = CGNN(Architecture.from_options(options, sum(sizes.values()), corpus))
    if options.model_ckpt:
        start = load_checkpoint(options.model_ckpt)
        check_fits(options.model_ckpt, start, options.dataset, options.modalities, sizes)
        network.load_state_dict(start.network.state_dict())
    print(f"{network} on {device}: {len(train_set)} training, {len(dev_set)} dev, {len(test_set)} test dialogues")

    epoch, dev_f1, history = train(network, train_set, dev_set, options, device)
    name = f"{options.dataset}_best_dev_f1_model_{options.modalities}_{options.tag}"
    path = options.out_dir / "model_checkpoints" / f"{name}.pt"
    checkpoint = Checkpoint(
        network=network,
        dataset=corpus.name,
        modalities=options.modalities,
        emotions=list(corpus.emotions),
        feature_sizes=sizes,
        windows={"wp": options.wp, "wf": options.wf},
        options=to_dict(options),
        epoch=epoch,
        dev_weighted_f1=dev_f1,
    )
    save_checkpoint(path, checkpoint)
    write_history(path.with_suffix(".csv"), history)
    log_probs, labels = predict(network, test_set, options.batch_size, options.wp, options.wf, device)
    print(f"best epoch {epoch}: dev weighted F1 {100 * dev_f1:.2f}")
    print(f"test: {summary(scores(labels, log_probs.argmax(1), corpus.emotions))}")
    print(f"wrote {path}")


if __name__ == "__main__":
    run(main)
