"""The extractor: speech and text of one utterance to an embedding of each and the logits of the emotions.

Text: the encoder's pooled output. Speech: the Wav2Vec2's hidden states, through its final dropout and a Linear as wide
as the text, then the mean over the frames of the utterance, padding excluded.

Shapes: `B` utterances, `T` tokens, `W` windows of speech, `S` samples, `F` frames of a window, `H` the audio encoder's
width, `D` the text encoder's width, `C` emotions.
"""

import torch
from torch import nn

from cogmen.corpora import KEMDY19
from cogmen.options import UserError
from cogmen.safe_files import read_torch, write_torch
from mirai.encoders import (
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
from mirai.front_end import FrontEnd
from mirai.names import MODALITIES

FORMAT = "mirai-extractor"
VERSION = 1


def describe(using_model, text_encoder, audio_encoder):
    """All that is needed to build an extractor again, as plain values; `using_model`: both, audio or text."""
    used = MODALITIES[using_model]
    return {
        "using_model": using_model,
        "text": describe_text(text_encoder) if "text" in used else None,
        "audio": describe_audio(audio_encoder) if "audio" in used else None,
        "width": text_width(text_encoder),
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
        width = description["width"]
        if "text" in self.modalities:
            self.text = text if text is not None else empty_encoder(description["text"])
            if getattr(self.text, "pooler", None) is None:
                raise UserError("--text_encoder: the model has no pooler; expected one like RoBERTa or BERT")
        if "audio" in self.modalities:
            self.audio = audio if audio is not None else empty_encoder(description["audio"])
            self.audio.feature_extractor = FrontEnd(self.audio.feature_extractor)
            self.audio_dropout = nn.Dropout(self.audio.config.final_dropout)
            self.audio_width = nn.Linear(self.audio.config.hidden_size, width)
        self.classifier = nn.Linear(width * len(self.modalities), len(description["emotions"]))

    @classmethod
    def from_pretrained(cls, description, text_encoder, audio_encoder):
        used = MODALITIES[description["using_model"]]
        return cls(
            description,
            text=pretrained_text(text_encoder) if "text" in used else None,
            audio=pretrained_audio(audio_encoder) if "audio" in used else None,
        ).train()  # pretrained encoders come in evaluation mode

    def forward(self, batch):
        """`Batch` -> logits (B, C)."""
        return self.classify(self.embed(batch))

    def embed(self, batch):
        """`Batch` -> {"text": (B, D), "audio": (B, D)}, those in use, in this order."""
        embed = {"text": self._embed_text, "audio": self._embed_audio}
        return {modality: embed[modality](batch) for modality in self.modalities}

    def classify(self, embeddings):
        return self.classifier(torch.cat([embeddings[modality] for modality in self.modalities], dim=1))

    def _embed_text(self, batch):
        return self.text(input_ids=batch.tokens, attention_mask=batch.token_mask.long()).pooler_output

    def _embed_audio(self, batch):
        device, length = batch.windows.device, batch.windows.shape[1]
        sample_mask = torch.arange(length, device=device) < batch.samples[:, None]  # (W, S)
        frames = frames_of(self.audio.config, batch.samples)  # (W,)
        hidden = self.audio(
            batch.windows, attention_mask=sample_mask.long(), mask_time_indices=self._no_masking(frames)
        ).last_hidden_state  # (W, F, H)
        hidden = self.audio_width(self.audio_dropout(hidden)).float()  # (W, F, D)
        frame_mask = torch.arange(hidden.shape[1], device=device) < frames[:, None]  # (W, F)
        window_sums = (hidden * frame_mask[:, :, None]).sum(1)  # (W, D)
        sums = hidden.new_zeros(len(batch), hidden.shape[2]).index_add(0, batch.owner, window_sums)  # (B, D)
        counts = frames.new_zeros(len(batch)).index_add(0, batch.owner, frames)  # (B,)
        return sums / counts[:, None]

    def _no_masking(self, frames):
        """A mask (W, F) of nothing where even the longest window is too short for SpecAugment; else None: as usual."""
        longest, config = int(frames.max()), self.audio.config
        if self.training and config.mask_time_prob > 0 and longest < config.mask_time_length:
            return torch.zeros(len(frames), longest, dtype=torch.bool, device=frames.device)
        return None

    def dataset_settings(self):
        """What a `UtteranceDataset` needs to prepare this network's input."""
        text, audio = self.description["text"], self.description["audio"]
        return {
            "tokenize": make_tokenizer(text) if text else None,
            "pad_token": text["tokenizer"]["pad_token"] if text else 0,
            "normalize": Normalizer(audio) if audio else None,
        }


def load_extractor(path):
    """Read a checkpoint of `trainer_hf.py`; nothing in it is run, and neither hub nor encoder directory is needed.

    Returns:
        (Extractor, dict): the network on the CPU, as float32, in evaluation mode; and the checkpoint's
        hyper-parameters: `options`, `description`, `trained_on` (segment ids).
    Raises:
        UserError: the file is missing, damaged, holds more than plain values, or is something else.
    """
    content = read_torch(path)
    hyper_parameters = content.get("hyper_parameters") if isinstance(content, dict) else None
    if not isinstance(hyper_parameters, dict) or hyper_parameters.get("format") != FORMAT:
        raise UserError(f"{path}: not a checkpoint of MIRAI/trainer_hf.py")
    if hyper_parameters.get("version") != VERSION:
        found = hyper_parameters.get("version")
        raise UserError(
            f"{path}: of version {found}, this program reads version {VERSION}; use the program that wrote it"
        )
    description = hyper_parameters["description"]
    if tuple(description["emotions"]) != KEMDY19.emotions:
        raise UserError(f"{path}: its emotions are {', '.join(description['emotions'])}; {KEMDY19.name} has others")
    extractor = Extractor(description)
    state = {
        name.removeprefix("extractor."): value.float() if value.is_floating_point() else value
        for name, value in content["state_dict"].items()
    }
    try:
        extractor.load_state_dict(state)
    except RuntimeError as error:
        raise UserError(f"{path}: its weights do not fit its own description: {str(error).splitlines()[1]}") from None
    return extractor.eval(), hyper_parameters


def slim_checkpoint(source, target, half):
    """Copy a checkpoint without what only a resumed training needs; `half`: as 16-bit floats, which are read as 32."""
    content = read_torch(source)
    kept = {name: content[name] for name in ("hyper_parameters", "pytorch-lightning_version")}
    state = content["state_dict"]
    if half:
        state = {name: value.half() if value.is_floating_point() else value for name, value in state.items()}
    write_torch(target, {**kept, "state_dict": state})
