"""preprocess.py at the paper's size: time and memory with extractor features; SBERT beside the published way.

    python benchmarks/preprocessing.py
    python benchmarks/preprocessing.py --sbert sentence-transformers/paraphrase-distilroberta-base-v1

The published way encodes each dialogue's sentences by a call of its own, in batches of 32. Without --sbert a BERT with
random weights stands in (6 layers, 384 wide); a part of the corpus is encoded.
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from measuring import hardware, make_dialogues, run_measured, show, timed

from cogmen.sbert import embed_sentences
from erc.corpus.dialogues import write_dialogues
from erc.options import REPOSITORY, option, parse, run

PREPROCESS = REPOSITORY / "COGMEN_code/preprocess.py"


@dataclass
class Options:
    dialogues: int = option(200, "dialogues of the corpus; 200 are the paper's size")
    sbert: Path | None = option(None, "directory of a sentence-transformers model")
    sbert_dialogues: int = option(40, "dialogues whose sentences are encoded in both ways")


def main(argv=None):
    options = parse(Options, argv, __doc__)
    print(hardware())
    with tempfile.TemporaryDirectory() as folder:
        rows = extractor_features(Path(folder), options.dialogues)
        rows += sbert(Path(folder), options)
    show(rows)


def extractor_features(folder, number):
    """Seconds and megabytes of preprocess.py, with the features' own size beside."""
    dialogues = make_dialogues(number, {"a": 768, "t": 768})
    turns = sum(map(len, dialogues.dialogues))
    write_dialogues(folder / "features.pkl", dialogues)
    whole, _ = run_measured(PREPROCESS, "--feat_dir", folder / "features.pkl", "--res_dir", folder / "result.pkl")
    what = f"preprocess.py, {turns:,} turns, features of {turns * 1536 * 4 / 1e6:.0f} MB"
    return [
        (what, f"{whole['seconds']:.1f} s", "under 5 s"),
        ("its peak memory", f"{whole['bytes'] / 1e6:.0f} MB", "under 600 MB"),
    ]


def sbert(folder, options):
    """How many times as long the published way takes, on the same sentences."""
    from sentence_transformers import SentenceTransformer

    dialogues = [dialogue.sentences for dialogue in make_dialogues(options.sbert_dialogues, {}).dialogues]
    sentences = [sentence for turns in dialogues for sentence in turns]
    model = options.sbert or random_model(folder)
    embed_sentences(["warm", "up"], model, "cpu")
    ours, vectors = timed(lambda: embed_sentences(sentences, model, "cpu"))
    encoder = SentenceTransformer(str(model), device="cpu")
    published, naive = timed(
        lambda: [encoder.encode(turns, batch_size=32, show_progress_bar=False) for turns in dialogues]
    )
    difference = np.abs(vectors - np.concatenate(naive)).max()
    return [
        (
            f"SBERT of {len(sentences):,} sentences, {len(set(sentences)):,} distinct",
            f"{ours:.1f} s; the published way {published:.1f} s",
            "",
        ),
        ("the published way takes", f"{published / ours:.2f} times as long", "at least 2"),
        ("largest difference of an embedding", f"{difference:.1e}", ""),
    ]


def random_model(folder):
    """A sentence-transformers model with random weights that reads the synthetic words."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    words = ["[PAD]", "[UNK]", *(f"w{number}" for number in range(2_000))]
    tokenizer = Tokenizer(models.WordLevel({word: k for k, word in enumerate(words)}, "[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]").save_pretrained(
        folder / "bert"
    )
    config = BertConfig(
        vocab_size=len(words), hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536
    )
    BertModel(config).save_pretrained(folder / "bert")
    transformer = Transformer(str(folder / "bert"))
    SentenceTransformer(modules=[transformer, Pooling(384)]).save(str(folder / "sbert"))
    return folder / "sbert"


if __name__ == "__main__":
    run(main)
