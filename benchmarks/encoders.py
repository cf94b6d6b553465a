"""Extractors with random weights, in three sizes. Shared by the benchmarks of stage 1."""

from dataclasses import dataclass

from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import RobertaConfig, Wav2Vec2Config

from erc.corpus.corpora import KEMDY19
from mirai.network.extractor import Extractor

SYLLABLES = "가나다라마바사아자차"


@dataclass(frozen=True)
class Size:
    """Layers, attention heads and width of each encoder; the audio encoder's channels and positions; the vocabulary."""

    text: tuple
    audio: tuple
    channels: int
    positions: int
    groups: int
    words: int


SIZES = {
    "tiny": Size((2, 4, 64), (2, 4, 64), channels=32, positions=16, groups=4, words=100),
    "small": Size((4, 4, 256), (6, 4, 256), channels=256, positions=128, groups=16, words=32_000),
    # XLS-R 300m and KLUE RoBERTa base
    "full": Size((12, 12, 768), (24, 16, 1024), channels=512, positions=128, groups=16, words=32_000),
}


def make_extractor(name):
    """An extractor of speech and text; it reads `SYLLABLES`."""
    size = SIZES[name]
    text = RobertaConfig(
        **_transformer(*size.text),
        vocab_size=size.words,
        max_position_embeddings=514,
        type_vocab_size=1,
        pad_token_id=1,
    )
    audio = Wav2Vec2Config(
        **_transformer(*size.audio),
        conv_dim=(size.channels,) * 7,
        conv_bias=True,
        feat_extract_norm="layer",
        do_stable_layer_norm=True,
        num_conv_pos_embeddings=size.positions,
        num_conv_pos_embedding_groups=size.groups,
        mask_time_prob=0.05,
        layerdrop=0.0,
    )
    vocabulary = {token: k for k, token in enumerate(["<s>", "<pad>", "</s>", "<unk>", *SYLLABLES])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    return Extractor(
        {
            "using_model": "both",
            "fusion": "concat",
            "recipe": "published",
            "valence_arousal": False,
            "text": {
                "config": text.to_dict(),
                "tokenizer": {"json": tokenizer.to_str(), "pad_token": 1, "max_length": 512},
            },
            "audio": {"config": audio.to_dict(), "front_end": {"do_normalize": True}},
            "width": text.hidden_size,
            "emotions": list(KEMDY19.emotions),
        }
    )


def _transformer(layers, heads, width):
    return {
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "hidden_size": width,
        "intermediate_size": 4 * width,
    }
