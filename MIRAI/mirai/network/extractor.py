"""The extractor: an embedding of the text and of the speech of one utterance, and the logits of its emotion.

    text   = pooler(RoBERTa(tokens))
    h      = Linear(dropout(wav2vec2(speech)))    as wide as the text, in the place of the CTC head
    audio  = mean of h over the frames of the utterance, padding excluded
    logits = Linear [text; audio]

With the fusion "mmer", text = mean of z over the tokens, where z is what the cross-modal network of
`mirai.network.fusion` makes of h and of RoBERTa's last hidden state. With one modality, the other is left out.

With the recipe "improved", `mirai.network.pooling` takes the place of the pooler, of wav2vec2's last layer and of the
mean: the layers of each encoder are summed with learnt weights, its tokens or frames pooled by learnt attention.

Shapes: `B` utterances, `T` tokens, `W` windows of speech, `S` samples, `F` frames of a window, `L` frames of an
utterance, `H` the audio encoder's width, `D` the text encoder's width, `C` emotions.
"""

import torch
from torch import nn
from torch.nn.utils.rnn import pad_sequence

from mirai.network.encoders import Normalizer, empty_encoder, frames_of, make_tokenizer, pretrained_encoders
from mirai.network.front_end import FrontEnd
from mirai.network.fusion import CrossModalFusion, masked_mean
from mirai.network.pooling import AttentivePooling, LayerSum
from mirai.options import USING_MODEL
from mirai.recipes import RECIPES


class Extractor(nn.Module):
    """The network of a description, in training mode.

    Args:
        description: plain values, as `mirai.network.encoders.describe` returns them.
        text, audio: encoders with pretrained weights; without them, the weights are random.
    """

    def __init__(self, description, text=None, audio=None):
        super().__init__()
        self.description = description
        self.modalities = USING_MODEL[description["using_model"]]
        self.recipe = RECIPES[description["recipe"]]
        fused, width = description["fusion"] == "mmer", description["width"]
        if "text" in self.modalities:
            self.text = text if text is not None else empty_encoder(description["text"])
            if fused or self.recipe.pools_layers:
                self.text.pooler = None  # it would be trained by nothing
        if "audio" in self.modalities:
            self.audio = audio if audio is not None else empty_encoder(description["audio"])
            self.audio.feature_extractor = FrontEnd(self.audio.feature_extractor)
            self.audio_dropout = nn.Dropout(self.audio.config.final_dropout)
            self.audio_width = nn.Linear(self.audio.config.hidden_size, width)
        self.fusion = CrossModalFusion(width) if fused else None
        self.classifier = nn.Linear(width * len(self.modalities), len(description["emotions"]))
        if self.recipe.pools_layers:
            layers = {name: getattr(self, name).config.num_hidden_layers + 1 for name in self.modalities}
            self.layer_sums = nn.ModuleDict({name: LayerSum(count) for name, count in layers.items()})
            self.poolings = nn.ModuleDict({name: AttentivePooling(width) for name in self.modalities})
            if "audio" in self.modalities:
                self._prepare_speech()
        if description["valence_arousal"]:  # last, so that the other weights are drawn as without it
            self.feelings = nn.Linear(width * len(self.modalities), 2)
        self.train()  # pretrained encoders come in evaluation mode

    @classmethod
    def from_pretrained(cls, description, text_encoder, audio_encoder):
        """The network with the weights of pretrained encoders: hub names or directories."""
        return cls(description, **pretrained_encoders(description, text_encoder, audio_encoder))

    @property
    def variant(self):
        """Its modalities, fusion and recipe as results name them: audio, text, both, both+mmer, both+improved."""
        more = "+mmer" if self.fusion else "" if self.description["recipe"] == "published" else "+improved"
        return self.description["using_model"] + more

    def dataset_settings(self):
        """The arguments of a `UtteranceDataset` that prepares this network's input."""
        text, audio = self.description["text"], self.description["audio"]
        return {
            "tokenize": make_tokenizer(text) if text else None,
            "pad_token": text["tokenizer"]["pad_token"] if text else 0,
            "normalize": Normalizer(audio) if audio else None,
        }

    def forward(self, batch, feelings=False):
        """`UtteranceBatch` -> logits (B, C); with `feelings` these and (B, 2), as `feel` gives them."""
        embeddings = self.embed(batch)
        if self.training and self.recipe.modality_drop and len(embeddings) > 1:
            embeddings = leave_out(embeddings, self.recipe.modality_drop)
        logits = self.classify(embeddings)
        return (logits, self.feel(embeddings)) if feelings else logits

    def embed(self, batch):
        """`UtteranceBatch` -> {"text": (B, D), "audio": (B, D)}, those in use, in this order. Without
        fusion, a modality that the batch lacks is left out."""
        embeddings = {}
        if "text" in self.modalities and batch.tokens is not None:
            inputs = {"input_ids": batch.tokens, "attention_mask": batch.token_mask.long()}
            if self.recipe.pools_layers:
                embeddings["text"] = self.poolings["text"](self._sum_layers("text", inputs), batch.token_mask)  # (B, D)
            else:
                text = self.text(**inputs)
                embeddings["text"] = text.pooler_output  # (B, D); None with the fusion
        if "audio" in self.modalities and batch.windows is not None:
            h, frame_mask = self._encode_speech(batch)  # (B, L, D), (B, L)
            pool = self.poolings["audio"] if self.recipe.pools_layers else masked_mean
            embeddings["audio"] = pool(h, frame_mask)  # (B, D)
        if self.fusion:
            z = self.fusion(h, frame_mask, text.last_hidden_state.float(), batch.token_mask)  # (B, T, D)
            embeddings["text"] = masked_mean(z.float(), batch.token_mask)  # (B, D)
        return embeddings

    def classify(self, embeddings):
        """Embeddings, as `embed` returns them -> logits (B, C)."""
        return self.classifier(self._join(embeddings))

    def feel(self, embeddings):
        """Embeddings -> (B, 2) valence and arousal, on a scale of -1 to 1."""
        return self.feelings(self._join(embeddings))

    def _join(self, embeddings):
        return torch.cat([embeddings[modality] for modality in self.modalities], dim=1)

    def _encode_speech(self, batch):
        """h (B, L, D), the windows of an utterance joined, and its mask (B, L): True where there is a frame."""
        device, length = batch.windows.device, batch.windows.shape[1]
        sample_mask = torch.arange(length, device=device) < batch.samples[:, None]  # (W, S)
        frames = frames_of(self.audio.config, batch.samples)  # (W,)
        inputs = {"input_values": batch.windows, "attention_mask": sample_mask.long()}
        inputs["mask_time_indices"] = self._no_masking(frames, length)
        if self.recipe.pools_layers:
            hidden = self._sum_layers("audio", inputs)  # (W, F, H)
        else:
            hidden = self.audio(**inputs).last_hidden_state  # (W, F, H)
        h = self.audio_width(self.audio_dropout(hidden)).float()  # (W, F, D)
        frame_mask = torch.arange(h.shape[1], device=device) < frames[:, None]  # (W, F)
        if len(frames) == len(batch):  # a window each: nothing to join, which would wait for the GPU
            return h, frame_mask
        counts = frames.new_zeros(len(batch)).index_add(0, batch.owner, frames)  # (B,) frames of each utterance
        joined = pad_sequence(h[frame_mask].split(counts.tolist()), batch_first=True)  # (B, L, D)
        return joined, torch.arange(joined.shape[1], device=device) < counts[:, None]

    def _sum_layers(self, modality, inputs):
        """(B, N, H) the learnt sum of an encoder's layers; the last one is that which the encoder has normalised."""
        output = getattr(self, modality)(**inputs, output_hidden_states=True)
        return self.layer_sums[modality]([*output.hidden_states[:-1], output.last_hidden_state])

    def _prepare_speech(self):
        """Give the audio encoder the recipe's SpecAugment. No layer is left out, as their sum needs all of them."""
        config, width = self.audio.config, self.audio.config.hidden_size
        config.layerdrop, config.apply_spec_augment = 0.0, True
        for name, value in self.recipe.masks:
            setattr(config, name, value)
        config.mask_feature_length = max(1, round(self.recipe.feature_mask * width))
        if not hasattr(self.audio, "masked_spec_embed"):  # of an encoder that came without masks
            self.audio.masked_spec_embed = nn.Parameter(torch.empty(width).uniform_())

    def _no_masking(self, frames, length):
        """An empty SpecAugment mask (W, F) where even the longest window, of `length` samples, is too short for one;
        else None: masks are drawn as usual."""
        config = self.audio.config
        longest = frames_of(config, length)
        if self.training and config.mask_time_prob > 0 and longest < config.mask_time_length:
            return torch.zeros(len(frames), longest, dtype=torch.bool, device=frames.device)
        return None


def leave_out(embeddings, rate):
    """Embeddings {modality: (B, D)} where of this share of the utterances one modality, drawn for each, is all 0 (as in
    ModDrop, arXiv 1501.00102)."""
    first = next(iter(embeddings.values()))
    number = torch.randint(len(embeddings), (len(first), 1), device=first.device)
    dropped = torch.rand(len(first), 1, device=first.device) < rate
    return {name: rows * ~(dropped & (number == k)) for k, (name, rows) in enumerate(embeddings.items())}
