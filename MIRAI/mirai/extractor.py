"""The extractor: speech and text of one utterance to an embedding of each and the logits of the emotions.

Text: the encoder's pooled output. Speech: the Wav2Vec2's hidden states, through its final dropout and a Linear as wide
as the text, then the mean over the frames of the utterance, padding excluded. With the fusion "mmer" the text is
instead the mean over what the cross-modal network of `mirai.fusion` makes of the tokens and the frames.

Shapes: `B` utterances, `T` tokens, `W` windows of speech, `S` samples, `F` frames of a window, `L` frames of an
utterance, `H` the audio encoder's width, `D` the text encoder's width, `C` emotions.
"""

import torch
from torch import nn
from torch.nn.utils.rnn import pad_sequence

from cogmen.checkpoints import check_weights
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
from mirai.fusion import HEADS, CrossModalFusion, masked_mean
from mirai.names import FUSIONS, MODALITIES

FORMAT = "mirai-extractor"
VERSION = 1
_MAX_SIZE, _MAX_LAYERS = 1 << 22, 500  # of an encoder
# All that a checkpoint may hold: Lightning's parts (MixedPrecision: the scale of 16-bit gradients), and its
# hyper-parameters. Lightning itself would import and call what some other keys name, such as `_instantiator`.
_PARTS = {
    *("epoch", "global_step", "pytorch-lightning_version", "state_dict", "loops", "callbacks", "optimizer_states"),
    *("lr_schedulers", "MixedPrecision", "hyper_parameters"),
}
_HYPER_PARAMETERS = {"format", "version", "options", "description", "trained_on", "validation"}


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


def read_checkpoint(path):
    """The content of a checkpoint of `trainer_hf.py` or `trainer_hf_MMER.py`, its keys checked against the lists of
    those that may be there. Nothing in it is run.

    Raises:
        UserError: the file is missing, damaged, holds more than plain values and known keys, or is something else.
    """
    content = read_torch(path)
    hyper_parameters = content.get("hyper_parameters") if isinstance(content, dict) else None
    if not isinstance(hyper_parameters, dict) or hyper_parameters.get("format") != FORMAT:
        raise UserError(f"{path}: not a checkpoint of MIRAI/trainer_hf.py or MIRAI/trainer_hf_MMER.py")
    if hyper_parameters.get("version") != VERSION:
        found = hyper_parameters.get("version")
        raise UserError(
            f"{path}: of version {found}, this program reads version {VERSION}; use the program that wrote it"
        )
    missing = [name for name in ("options", "description", "trained_on") if name not in hyper_parameters]
    if missing:
        raise UserError(f"{path}: damaged, its hyper-parameters lack {', '.join(missing)}")
    if "state_dict" not in content:
        raise UserError(f"{path}: damaged, it holds no weights")
    foreign = [str(name) for name in [*(content.keys() - _PARTS), *(hyper_parameters.keys() - _HYPER_PARAMETERS)]]
    if foreign:
        raise UserError(
            f"{path}: refused: it holds {', '.join(sorted(foreign))}, which no checkpoint of this program does; take "
            "one that MIRAI/trainer_hf.py or MIRAI/trainer_hf_MMER.py wrote"
        )
    return content


def load_extractor(path):
    """Read a checkpoint of `trainer_hf.py` or `trainer_hf_MMER.py`. Nothing in it is run, and neither hub nor encoder
    directory is needed.

    Returns:
        (Extractor, dict): the network on the CPU, as float32, in evaluation mode; and the checkpoint's
        hyper-parameters: `options`, `description`, `trained_on` (segment ids).
    Raises:
        UserError: as `read_checkpoint`, or its parts do not fit together.
    """
    content = read_checkpoint(path)
    hyper_parameters = content["hyper_parameters"]
    description = hyper_parameters["description"]
    if tuple(description["emotions"]) != KEMDY19.emotions:
        raise UserError(f"{path}: its emotions are {', '.join(description['emotions'])}; {KEMDY19.name} has others")
    if fusion_of(description) not in FUSIONS:
        raise UserError(f"{path}: of fusion {fusion_of(description)!r}, expected {' or '.join(FUSIONS)}")
    weights = {str(name).removeprefix("extractor."): value for name, value in content["state_dict"].items()}
    try:
        _check_sizes(
            [description["width"], *(description[part]["config"] for part in MODALITIES[description["using_model"]])]
        )
        check_weights(path, weights, lambda: Extractor(description))
        extractor = Extractor(description)
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{path}: damaged: its description makes no network ({reason})") from None
    extractor.load_state_dict(weights)  # 16-bit floats become 32-bit ones
    return extractor.eval(), hyper_parameters


def _check_sizes(part):
    """Before a network is made, even one without memory: no number of a configuration is larger than an encoder's."""
    for name, value in part.items() if isinstance(part, dict) else enumerate(part):
        if isinstance(value, dict | list | tuple):
            _check_sizes(value)
        elif isinstance(value, int) and value > (_MAX_LAYERS if "layers" in str(name) else _MAX_SIZE):
            raise ValueError(f"{name} {value} is larger than that of any encoder")


def slim_checkpoint(source, target, half):
    """Copy a checkpoint without what only a resumed training needs; `half`: as 16-bit floats, which are read as 32."""
    content = read_torch(source)
    kept = {name: content[name] for name in ("hyper_parameters", "pytorch-lightning_version")}
    state = content["state_dict"]
    if half:
        state = {name: value.half() if value.is_floating_point() else value for name, value in state.items()}
    write_torch(target, {**kept, "state_dict": state})
