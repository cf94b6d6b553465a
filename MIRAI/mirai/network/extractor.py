"""The extractor: speech and text of one utterance to an embedding of each and the logits of the emotions.

Text: the encoder's pooled output. Speech: the Wav2Vec2's hidden states, through its final dropout and a Linear as wide
as the text, then the mean over the frames of the utterance, padding excluded. With the fusion "mmer" the text is
instead the mean over what the cross-modal network of `mirai.network.fusion` makes of the tokens and the frames.

Shapes: `B` utterances, `T` tokens, `W` windows of speech, `S` samples, `F` frames of a window, `L` frames of an
utterance, `H` the audio encoder's width, `D` the text encoder's width, `C` emotions.
"""

import torch
from torch import nn
from torch.nn.utils.rnn import pad_sequence

from erc.corpus.corpora import KEMDY19
from erc.options import UserError
from mirai.network.encoders import (
    Normalizer,
    describe_audio,
    describe_text,
    empty_encoder,
    frames_of,
    make_tokenizer,
    pretrained_audio,
    pretrained_text,
    text_width,
)
from mirai.network.front_end import FrontEnd
from mirai.network.fusion import HEADS, CrossModalFusion, masked_mean
from mirai.options import MODALITIES


def describe(using_model, text_encoder, audio_encoder, fusion="concat"):
    """All that is needed to build an extractor again, as plain values.

    Args:
        using_model: both, audio or text.
        text_encoder, audio_encoder: hub names or directories.
        fusion: concat, or (with both) mmer.
    Raises:
        UserError: an encoder cannot be found or does not fit.
    """
    used = MODALITIES[using_model]
    width = text_width(text_encoder)
    if fusion == "mmer" and width % HEADS:
        raise UserError(
            f"--text_encoder {text_encoder}: is {width} wide, which the {HEADS} heads of the cross-modal network do "
            f"not divide; take one whose width is a multiple of {HEADS}"
        )
    return {
        "using_model": using_model,
        "fusion": fusion,
        "text": describe_text(text_encoder) if "text" in used else None,
        "audio": describe_audio(audio_encoder) if "audio" in used else None,
        "width": width,
        "emotions": list(KEMDY19.emotions),
    }


class Extractor(nn.Module):
    """The network of a description.

    Args:
        description: as `describe` gives it.
        text, audio: encoders with pretrained weights; without them, the weights are random.
    """

    def __init__(self, description, text=None, audio=None):
        super().__init__()
        self.description = description
        self.modalities = MODALITIES[description["using_model"]]
        fused = fusion_of(description) == "mmer"
        width = description["width"]
        if "text" in self.modalities:
            self.text = text if text is not None else empty_encoder(description["text"])
            if fused:
                self.text.pooler = None  # it would be trained by nothing
            elif getattr(self.text, "pooler", None) is None:
                raise UserError("--text_encoder: the model has no pooler; expected one like RoBERTa or BERT")
        if "audio" in self.modalities:
            self.audio = audio if audio is not None else empty_encoder(description["audio"])
            self.audio.feature_extractor = FrontEnd(self.audio.feature_extractor)
            self.audio_dropout = nn.Dropout(self.audio.config.final_dropout)
            self.audio_width = nn.Linear(self.audio.config.hidden_size, width)
        self.fusion = CrossModalFusion(width) if fused else None
        self.classifier = nn.Linear(width * len(self.modalities), len(description["emotions"]))

    @classmethod
    def from_pretrained(cls, description, text_encoder, audio_encoder):
        used = MODALITIES[description["using_model"]]
        return cls(
            description,
            text=pretrained_text(text_encoder) if "text" in used else None,
            audio=pretrained_audio(audio_encoder) if "audio" in used else None,
        ).train()  # pretrained encoders come in evaluation mode

    @property
    def variant(self):
        """What it is made of, for people: audio, text, both, or both+mmer."""
        return self.description["using_model"] + ("+mmer" if self.fusion else "")

    def forward(self, batch):
        """`Batch` -> logits (B, C)."""
        return self.classify(self.embed(batch))

    def embed(self, batch):
        """`Batch` -> {"text": (B, D), "audio": (B, D)}, those in use, in this order."""
        embeddings = {}
        if "text" in self.modalities:
            text = self._encode_text(batch)
            embeddings["text"] = text.pooler_output  # None with the fusion
        if "audio" in self.modalities:
            frames, frame_mask = self._encode_audio(batch)
            embeddings["audio"] = masked_mean(frames, frame_mask)
        if self.fusion:
            tokens = self.fusion(frames, frame_mask, text.last_hidden_state.float(), batch.token_mask)  # (B, T, D)
            embeddings["text"] = masked_mean(tokens.float(), batch.token_mask)
        return embeddings

    def classify(self, embeddings):
        return self.classifier(torch.cat([embeddings[modality] for modality in self.modalities], dim=1))

    def _encode_text(self, batch):
        return self.text(input_ids=batch.tokens, attention_mask=batch.token_mask.long())

    def _encode_audio(self, batch):
        """The frames (B, L, D) of each utterance, its windows joined, and where there is one (B, L)."""
        device, length = batch.windows.device, batch.windows.shape[1]
        sample_mask = torch.arange(length, device=device) < batch.samples[:, None]  # (W, S)
        frames = frames_of(self.audio.config, batch.samples)  # (W,)
        hidden = self.audio(
            batch.windows, attention_mask=sample_mask.long(), mask_time_indices=self._no_masking(frames, length)
        ).last_hidden_state  # (W, F, H)
        hidden = self.audio_width(self.audio_dropout(hidden)).float()  # (W, F, D)
        frame_mask = torch.arange(hidden.shape[1], device=device) < frames[:, None]  # (W, F)
        if len(frames) == len(batch):  # a window each: nothing to join, which would wait for the GPU
            return hidden, frame_mask
        counts = frames.new_zeros(len(batch)).index_add(0, batch.owner, frames)  # (B,)
        joined = pad_sequence(hidden[frame_mask].split(counts.tolist()), batch_first=True)  # (B, L, D)
        return joined, torch.arange(joined.shape[1], device=device) < counts[:, None]

    def _no_masking(self, frames, length):
        """A mask (W, F) of nothing where even the longest window, of `length` samples, is too short for SpecAugment;
        else None: as usual."""
        config = self.audio.config
        longest = frames_of(config, length)
        if self.training and config.mask_time_prob > 0 and longest < config.mask_time_length:
            return torch.zeros(len(frames), longest, dtype=torch.bool, device=frames.device)
        return None

    def prepare(self, options):
        """For training, as `TrainingOptions` say."""
        if options.freeze_feature_encoder:
            self.freeze_feature_encoder()
        if options.gradient_checkpointing:
            self.checkpoint_gradients()
        if options.compile:
            self.compile_layers()

    def freeze_feature_encoder(self):
        """Train all but the convolutional front end."""
        self.audio.feature_extractor.requires_grad_(False)

    def checkpoint_gradients(self):
        """Keep only the input of each encoder layer for the gradients, and compute the layer again when it is needed.

        Raises:
            UserError: an encoder cannot do so.
        """
        for modality in self.modalities:
            encoder = getattr(self, modality)
            if not encoder.supports_gradient_checkpointing:
                raise UserError(f"--gradient_checkpointing: {type(encoder).__name__} cannot; leave it out")
            settings = {"use_reentrant": False}  # the other kind and DDP do not mix
            if hasattr(encoder, "activation_checkpointing_enable"):  # its name in newer versions of transformers 5
                encoder.activation_checkpointing_enable(activation_checkpointing_kwargs=settings)
            else:
                encoder.gradient_checkpointing_enable(settings)

    def compile_layers(self):
        """Compile every layer of the encoders when it is first used, for input of any length."""
        from transformers.modeling_layers import GradientCheckpointingLayer  # the base class of encoder layers

        for module in self.modules():
            if isinstance(module, GradientCheckpointingLayer):
                module.compile(dynamic=True)

    def dataset_settings(self):
        """What a `UtteranceDataset` needs to prepare this network's input."""
        text, audio = self.description["text"], self.description["audio"]
        return {
            "tokenize": make_tokenizer(text) if text else None,
            "pad_token": text["tokenizer"]["pad_token"] if text else 0,
            "normalize": Normalizer(audio) if audio else None,
        }


def fusion_of(description):
    """How a description joins the modalities; the first checkpoints, all of them "concat", do not say."""
    return description.get("fusion", "concat")
