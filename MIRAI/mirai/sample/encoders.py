"""Small encoders in the usual transformers format, so that the pipeline runs offline and on a CPU.

They are untrained: the extractor trains them from scratch together with its classifier. Their starts are chosen
so that 1,300 utterances are enough: see `text_encoder` and `mirai.sample.front_end`.
"""

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaModel,
    Wav2Vec2Config,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2ForCTC,
)

from mirai.sample.front_end import CHANNELS, initialise_front_end

HIDDEN = 96  # 12 attention heads divide it, as the cross-modal network needs
_SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]  # in RoBERTa's order: ids 0 to 4
_MAX_TOKENS = 512


def write_encoders(folder, transcripts, seed):
    """Write `folder/text` and `folder/audio`.

    Args:
        folder: `pathlib.Path`
        transcripts: cleaned Korean sentences, of training sessions only: the tokenizer learns from them
        seed: of the weights
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        tokenizer = train_tokenizer(transcripts)
        tokenizer.save_pretrained(folder / "text")
        text_encoder(len(tokenizer)).save_pretrained(folder / "text")
        feature_extractor = Wav2Vec2FeatureExtractor(
            feature_size=1, sampling_rate=16000, padding_value=0.0, do_normalize=True, return_attention_mask=True
        )
        feature_extractor.save_pretrained(folder / "audio")
        audio_encoder().save_pretrained(folder / "audio")
    for path in folder.glob("*/*"):
        path.chmod(0o644)  # safetensors files come out readable by their owner only


def train_tokenizer(transcripts, vocabulary=900):
    """Byte-pair encoding over syllables; a word begins with `▁`. Stems of a verb become tokens of their own, so that
    its other forms are understood too."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Metaspace(), pre_tokenizers.Punctuation("isolated")]
    )
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.BpeTrainer(vocab_size=vocabulary, special_tokens=_SPECIAL, show_progress=False)
    tokenizer.train_from_iterator(transcripts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in ("<s>", "</s>")],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=_MAX_TOKENS,
        bos_token="<s>",
        eos_token="</s>",
        cls_token="<s>",
        sep_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        mask_token="<mask>",
        model_input_names=["input_ids", "attention_mask"],
    )


def text_encoder(vocabulary):
    """A RoBERTa that starts as a bag of words: every token takes in the mean of all tokens, positions hardly count,
    and the feed-forward layers say little. From an ordinary random start it learns the training sentences by heart
    instead of the words that matter."""
    config = RobertaConfig(
        vocab_size=vocabulary,
        hidden_size=HIDDEN,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=2 * HIDDEN,
        max_position_embeddings=_MAX_TOKENS + 2,  # RoBERTa counts positions from 2
        type_vocab_size=1,
        hidden_dropout_prob=0.3,
        attention_probs_dropout_prob=0.3,
        bos_token_id=0,
        pad_token_id=1,
        eos_token_id=2,
    )
    model = RobertaModel(config)
    with torch.no_grad():
        model.embeddings.word_embeddings.weight *= 15  # against positions of the usual 0.02
        for layer in model.encoder.layer:
            torch.nn.init.eye_(layer.attention.self.value.weight)
            torch.nn.init.eye_(layer.attention.output.dense.weight)
            layer.output.dense.weight *= 0.3
    return model


def audio_encoder():
    config = Wav2Vec2Config(
        vocab_size=8,
        hidden_size=HIDDEN,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=2 * HIDDEN,
        conv_dim=CHANNELS,
        conv_bias=True,
        feat_extract_norm="layer",
        feat_extract_activation="relu",
        do_stable_layer_norm=True,
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=8,
        mask_time_prob=0.0,  # SpecAugment would hide too much of utterances this short
        layerdrop=0.0,
        attention_dropout=0.0,
        hidden_dropout=0.2,
        activation_dropout=0.1,
        feat_proj_dropout=0.1,
        final_dropout=0.2,
        pad_token_id=0,
        ctc_loss_reduction="mean",
    )
    model = Wav2Vec2ForCTC(config)
    initialise_front_end(model.wav2vec2.feature_extractor)
    return model
