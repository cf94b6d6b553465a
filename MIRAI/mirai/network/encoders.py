"""The pretrained encoders: from a hub name or a directory to a description, and from a description to a network.

A description holds only plain values (configuration, tokenizer, settings of the audio front end), so that a checkpoint
can carry it and needs neither hub nor directory when it is read again.
"""

import functools
import json
import socket
import urllib.parse
import urllib.request
from pathlib import Path

from erc.corpus.corpora import KEMDY19
from erc.options import UserError
from mirai.dataset import RECEPTIVE_FIELD
from mirai.network.fusion import HEADS
from mirai.options import TEXT_ENCODER, USING_MODEL
from mirai.recipes import RECIPES
from mirai.speech import SAMPLE_RATE

MAX_TOKENS = 512
# So that speech alone needs nothing of the default text encoder.
_KNOWN_WIDTHS = {TEXT_ENCODER: 768}
# Not part of what a network is: where it came from, by which version, with whose code it is computed.
_NOT_KEPT = (
    *("_name_or_path", "transformers_version", "dtype", "torch_dtype", "architectures", "auto_map"),
    *("attn_implementation", "_attn_implementation", "_attn_implementation_internal", "quantization_config"),
)
# PyTorch's own attention, which never makes the matrix of all pairs; equal to the plain one up to rounding.
_ATTENTION = {"attn_implementation": "sdpa"}
_HUB_TIMEOUT = 5  # seconds to connect to the hub


def describe(
    using_model,
    text_encoder,
    audio_encoder,
    fusion="concat",
    emotions=KEMDY19.emotions,
    recipe="published",
    valence_arousal=False,
):
    """The description of an extractor: all that is needed to build it again, as plain values.

    Args:
        using_model: both, audio or text.
        text_encoder, audio_encoder: hub names or directories.
        fusion: concat, or (with both) mmer.
        emotions: the corpus's.
        recipe: one of `mirai.recipes.RECIPES`.
        valence_arousal: whether these are further outputs.
    Raises:
        UserError: an encoder cannot be found or does not fit.
    """
    used = USING_MODEL[using_model]
    width = text_width(text_encoder)
    if fusion == "mmer" and width % HEADS:
        raise UserError(
            f"--text_encoder {text_encoder}: is {width} wide, which the {HEADS} heads of the cross-modal network do "
            f"not divide; take one whose width is a multiple of {HEADS}"
        )
    return {
        "using_model": using_model,
        "fusion": fusion,
        "recipe": recipe,
        "valence_arousal": valence_arousal,
        "text": describe_text(text_encoder) if "text" in used else None,
        "audio": describe_audio(audio_encoder) if "audio" in used else None,
        "width": width,
        "emotions": list(emotions),
    }


def describe_text(name):
    """Configuration and tokenizer of a text encoder, as plain values.

    Raises:
        UserError: it cannot be found, or has no fast tokenizer, no word in it or no padding token.
    """
    from transformers import AutoConfig, AutoTokenizer

    flag = f"--text_encoder {name}"
    config = fetch(flag, name, AutoConfig.from_pretrained)
    tokenizer = fetch(flag, name, AutoTokenizer.from_pretrained)
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise UserError(f"{flag}: its tokenizer has no tokenizer.json form; convert it to a fast tokenizer first")
    if backend.get_vocab().keys() <= set(tokenizer.all_special_tokens):  # what transformers makes where there is none
        raise UserError(f"{flag}: its tokenizer knows no word; expected a tokenizer.json beside config.json")
    pad_token = config.pad_token_id if config.pad_token_id is not None else tokenizer.pad_token_id
    if pad_token is None:
        raise UserError(f"{flag}: neither config.json nor the tokenizer names a padding token (pad_token_id)")
    positions = getattr(config, "max_position_embeddings", MAX_TOKENS)
    if "roberta" in config.model_type:
        positions -= pad_token + 1  # RoBERTa counts positions from the padding token on
    return {
        "config": _plain(config),
        "tokenizer": {
            "json": backend.to_str(),
            "pad_token": pad_token,
            "max_length": int(min(MAX_TOKENS, positions, tokenizer.model_max_length)),
        },
    }


def describe_audio(name):
    """Configuration and front-end settings of an audio encoder, as plain values.

    Raises:
        UserError: it cannot be found, or a prediction of it would depend on the padding.
    """
    from transformers import AutoConfig, AutoFeatureExtractor

    flag = f"--audio_encoder {name}"
    config = fetch(flag, name, AutoConfig.from_pretrained)
    if config.model_type != "wav2vec2":
        raise UserError(f"{flag}: is a {config.model_type} model, expected wav2vec2")
    if config.feat_extract_norm != "layer":
        raise UserError(
            f"{flag}: feat_extract_norm is {config.feat_extract_norm!r}: it normalises over time, padding included, so "
            "that a prediction would depend on the rest of the batch. Take one with 'layer', such as XLS-R"
        )
    if config.add_adapter:
        raise UserError(f"{flag}: has an adapter, whose frames mix speech and padding; take one with add_adapter false")
    reach = _receptive_field(config)
    if reach > RECEPTIVE_FIELD:
        raise UserError(f"{flag}: a frame needs {reach} samples, expected at most {RECEPTIVE_FIELD}")
    front = fetch(flag, name, AutoFeatureExtractor.from_pretrained)
    if type(front).__name__ != "Wav2Vec2FeatureExtractor" or front.sampling_rate != SAMPLE_RATE:
        found = f"{type(front).__name__} at {front.sampling_rate} Hz"
        raise UserError(f"{flag}: its front end is {found}, expected Wav2Vec2FeatureExtractor at {SAMPLE_RATE} Hz")
    return {"config": _plain(config), "front_end": {"do_normalize": bool(front.do_normalize)}}


def text_width(name):
    """The width of a text encoder's embeddings, without loading its weights."""
    from transformers import AutoConfig

    if str(name) in _KNOWN_WIDTHS:
        return _KNOWN_WIDTHS[str(name)]
    return fetch(f"--text_encoder {name}", name, AutoConfig.from_pretrained).hidden_size


def pretrained_encoders(description, text_encoder, audio_encoder):
    """The encoders of a description with their weights, as the arguments `text` and `audio` of an `Extractor`.

    Raises:
        UserError: one cannot be found, or the text encoder lacks the pooler that the extractor without fusion needs.
    """
    used = USING_MODEL[description["using_model"]]
    encoders = {}
    if "text" in used:
        encoders["text"] = pretrained_text(text_encoder)
        if needs_pooler(description) and getattr(encoders["text"], "pooler", None) is None:
            raise UserError(f"--text_encoder {text_encoder}: has no pooler; expected a model like RoBERTa or BERT")
    if "audio" in used:
        encoders["audio"] = pretrained_audio(audio_encoder)
    return encoders


def needs_pooler(description):
    """Whether the text's embedding is that of its encoder's pooler."""
    return description["fusion"] == "concat" and not RECIPES[description["recipe"]].pools_layers


def pretrained_text(name):
    """A text encoder with its weights, as float32."""
    import torch
    from transformers import AutoModel

    return fetch(f"--text_encoder {name}", name, AutoModel.from_pretrained, dtype=torch.float32, **_ATTENTION)


def pretrained_audio(name):
    """The body of a Wav2Vec2 (CTC) model with its weights, as float32."""
    import torch
    from transformers import Wav2Vec2Model

    return fetch(f"--audio_encoder {name}", name, Wav2Vec2Model.from_pretrained, dtype=torch.float32, **_ATTENTION)


def empty_encoder(description):
    """The network of an encoder's description, with random weights."""
    from transformers import AutoConfig, AutoModel

    config = {key: value for key, value in description["config"].items() if key not in _NOT_KEPT}
    return AutoModel.from_config(AutoConfig.for_model(**config), **_ATTENTION)


def make_tokenizer(description):
    """A function from sentences to lists of token numbers, special tokens included, cut at the encoder's limit."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_str(description["tokenizer"]["json"])
    tokenizer.no_padding()
    tokenizer.enable_truncation(description["tokenizer"]["max_length"])
    return lambda sentences: [encoding.ids for encoding in tokenizer.encode_batch(sentences)]


class Normalizer:
    """A function from a waveform (samples,) to the audio encoder's input, computed by its own feature extractor."""

    def __init__(self, description):
        from transformers import Wav2Vec2FeatureExtractor

        self.front_end = Wav2Vec2FeatureExtractor(sampling_rate=SAMPLE_RATE, **description["front_end"])

    def __call__(self, wave):
        return self.front_end(wave, sampling_rate=SAMPLE_RATE)["input_values"][0].astype("float32")


def frames_of(config, samples):
    """The number of frames that a Wav2Vec2 makes of `samples` (a number or a tensor)."""
    for kernel, stride in zip(config.conv_kernel, config.conv_stride, strict=True):
        samples = (samples - kernel) // stride + 1
    return samples


def _receptive_field(config):
    """Samples that one frame of the convolutional front end sees."""
    reach = 1
    for kernel, stride in zip(reversed(config.conv_kernel), reversed(config.conv_stride), strict=True):
        reach = (reach - 1) * stride + kernel
    return reach


def _plain(config):
    """A configuration as JSON values, without names of places and versions."""
    values = json.loads(json.dumps(config.to_dict()))
    return {name: value for name, value in values.items() if name not in _NOT_KEPT}


@functools.cache  # one attempt to connect for all files of all encoders
def _why_offline():
    """The reason why the hub cannot be reached, found within seconds; None if it can, or if a proxy is configured."""
    from huggingface_hub.constants import ENDPOINT, HF_HUB_OFFLINE

    if HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set"
    if urllib.request.getproxies():
        return None
    hub = urllib.parse.urlsplit(ENDPOINT)
    try:
        port = hub.port or {"http": 80}.get(hub.scheme, 443)
        socket.create_connection((hub.hostname, port), timeout=_HUB_TIMEOUT).close()
    except OSError as error:
        return f"{hub.hostname} does not answer: {error}"
    return None


def fetch(flag, name, from_pretrained, **settings):
    """`from_pretrained` of a directory or a hub name; of a hub that cannot be reached, from the cache alone.

    Raises:
        UserError: it is not there; says how to get it.
    """
    from huggingface_hub.errors import StrictDataclassError

    folder = Path(name).expanduser()
    is_directory = folder.is_dir()
    if not is_directory and (str(name).count("/") > 1 or str(name).startswith((".", "/", "~"))):
        raise UserError(f"{flag}: no such directory")
    offline = None if is_directory else _why_offline()
    if offline:
        settings["local_files_only"] = True  # else transformers retries the hub for every file
    try:
        return from_pretrained(str(folder), **settings)
    except (OSError, ValueError, StrictDataclassError) as error:  # the last: config.json has a field of another type
        reason = str(error).strip().splitlines()[0].rstrip(":")
        if is_directory:
            found = ", ".join(sorted(path.name for path in folder.iterdir())) or "nothing"
            raise UserError(f"{flag}: not a transformers model directory: {reason}; found in it: {found}") from error
        reason = f"{offline}; {reason}" if offline else reason
        raise UserError(
            f"{flag}: neither in the local Hugging Face cache nor reachable ({reason}). Where there is a network, "
            f"fetch it with `hf download {name}`; or give a directory that holds the model"
        ) from error
