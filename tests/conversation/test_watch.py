"""`app/predict.py --watch`: a line in, a line out."""

import io
import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from erc.options import UserError
from tests.conversation.conftest import TURNS

PREDICT = "app/predict.py"


@pytest.fixture(scope="session")
def online(make_network, tmp_path_factory):
    """`online("at")`: the checkpoint of a network with random weights that sees the past only."""
    import torch

    from cogmen.checkpoints import load_checkpoint, save_checkpoint
    from cogmen.network.model import CGNN

    def make(modalities):
        import dataclasses

        checkpoint = load_checkpoint(make_network(modalities))
        checkpoint.network = CGNN(dataclasses.replace(checkpoint.network.architecture, online=True)).eval()
        torch.manual_seed(4)
        checkpoint.windows, checkpoint.unsure = {"wp": 2, "wf": 0}, 0.3
        path = tmp_path_factory.mktemp("online") / f"{modalities}.pt"
        save_checkpoint(path, checkpoint)
        return path

    return make


@pytest.fixture
def watch(trained, online, run_script, monkeypatch, capsys):
    """`watch(lines, "at")`: what is answered to lines of JSON (dicts or bytes), as a list of dicts."""

    def call(lines, modalities="at"):
        data = b"".join(
            line if isinstance(line, bytes) else json.dumps(line, ensure_ascii=False).encode() + b"\n" for line in lines
        )
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(data)))
        capsys.readouterr()
        models = ("--extractor", trained / "best.ckpt", "--cgnn", online(modalities), "--device", "cpu")
        run_script(PREDICT, "--watch", *models)
        return [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    return call


def said(call):
    """The turns of the recording, as lines."""
    return [
        {"speaker": speaker, "text": text, "file_name": str(call.wav), "start": start, "end": end}
        for start, end, speaker, text, _ in TURNS
    ]


def test_each_answer_is_that_of_the_whole_conversation_so_far(watch, online, trained, run_script, call, tmp_path):
    answers = watch(said(call))
    assert [(one["turn"], one["speaker"]) for one in answers] == list(enumerate("MFMFM", start=1))
    for one in answers:
        assert one["emotion"] == max(one["probabilities"], key=one["probabilities"].get)
        assert one["unsure"] == (max(one["probabilities"].values()) < 0.3)
        assert one["encoder_ms"] > 0 and one["network_ms"] > 0
    assert watch(said(call)[:3])[-1]["probabilities"] == pytest.approx(answers[2]["probabilities"], abs=1e-5)
    # the same turns as a conversation that is over: speech of both channels is mixed, as with --turns
    models = ("--extractor", trained / "best.ckpt", "--cgnn", online("at"), "--device", "cpu")
    run_script(PREDICT, call.wav, "--turns", call.csv, "--out", tmp_path / "report", "--quiet", *models)
    turns = json.loads((tmp_path / "report/turns.json").read_text())["turns"]
    for one, turn in zip(answers, turns, strict=True):
        assert np.allclose(list(one["probabilities"].values()), turn["probabilities"], atol=1e-5)


def test_speakers_of_other_names_keep_their_places(watch):
    lines = [{"speaker": name, "text": "정말"} for name in ("Anna", "M", "Anna", "F")]
    *answers, last = watch(lines, "t")
    assert last == {"error": "F: one speaker more than the 2 whom the network was trained with"}
    assert watch([{"speaker": name, "text": "정말"} for name in (" M", "M")], "t")[1]["speaker"] == "M"
    named = watch([{"speaker": name, "text": "정말"} for name in "MFM"], "t")
    assert [one["probabilities"] for one in answers] == [one["probabilities"] for one in named]


def test_a_piece_far_into_a_long_recording_is_heard(watch, tmp_path):
    from conversation.watch import LONGEST
    from tests.conversation.conftest import RATE, write_sound

    sound = np.zeros(int((LONGEST + 3) * RATE), dtype=np.float32)
    sound[-2 * RATE :] = 0.3 * np.sin(np.arange(2 * RATE) / 9)
    path = str(write_sound(tmp_path / "long.wav", sound))
    (last,) = watch([{"speaker": "M", "text": "정말", "file_name": path, "start": LONGEST + 1}])
    (same,) = watch([{"speaker": "M", "text": "정말", "file_name": path, "start": LONGEST + 1, "end": LONGEST + 3}])
    assert last["probabilities"] == same["probabilities"]


def test_a_line_that_is_wrong_is_answered_and_the_next_is_heard(watch, call, tmp_path):
    wrong = {
        b"no json\n": "line 1: not JSON, or damaged",
        b"[1]\n": "expected an object of some of speaker, text",
        b'{"speaker": "M", "mood": 1}\n': "expected an object of some of speaker",
        b'{"text": "x"}\n': "speaker ''; expected a name",
        b'{"speaker": "a\\nb", "text": "x"}\n': "expected a name",
        b'{"speaker": "M", "text": 3}\n': "text is 3, expected str",
        b'{"speaker": "M", "text": "x", "start": 1}\n': "start and end are of a file_name; there is none",
        b'{"speaker": "M", "file_name": "none.wav"}\n': "none.wav: no such file",
        b'{"speaker": "M", "text": "x"}\n': "no speech, which these networks hear; expected a file_name",
        b'{"speaker": "M", "text": 1e999}\n': "not a finite number",
        b'{"speaker": "M", "text": "\\ud800"}\n': 'text has a character that no text has: "\\ud800"',
        b'{"speaker": "M", "file_name": "\\ud800.wav"}\n': "file_name has a character that no text has",
        json.dumps({"speaker": "M", "file_name": str(call.wav), "start": 1e308}).encode()
        + b"\n": "start is 1e+308, expected seconds, at most 1e+06",
        json.dumps({"speaker": "M", "file_name": str(call.wav), "end": 10**400}).encode() + b"\n": "expected seconds",
        json.dumps({"speaker": "M", "file_name": 5000 * "x"}).encode() + b"\n": "File name too long",
        b"[" * 100_000 + b"\n": "not JSON, or damaged",
        b"x" * (3 << 20) + b"\n": "more than 1,048,576 bytes",
        json.dumps({"speaker": "M", "file_name": str(call.wav), "start": 3, "end": 2}).encode()
        + b"\n": "from 3 to 2 s",
        json.dumps({"speaker": "M", "file_name": str(call.wav), "start": 90}).encode() + b"\n": "no sound from 90",
    }
    answers = watch([*wrong, b"\n", *said(call)[:1]])
    assert len(answers) == len(wrong) + 1
    for answer, expected in zip(answers, wrong.values(), strict=False):
        assert answer.keys() == {"error"} and expected in answer["error"] and len(answer["error"]) < 400
    assert answers[-1]["turn"] == 1


def test_models_that_see_later_turns_are_refused(trained, make_network, run_script):
    models = ("--extractor", trained / "best.ckpt", "--cgnn", make_network("at"))
    with pytest.raises(UserError, match=r"sees later turns, too, .* give a network of COGMEN_code/train.py --online"):
        run_script(PREDICT, "--watch", *models)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--watch",), "--watch: needs --extractor and --cgnn, or --model"),
        (("--watch", "--out", "x"), "--out: does not go with --watch"),
        (("a.wav",), "--out: give a folder"),
    ],
)
def test_wrong_arguments(arguments, message, run_script, capsys):
    with pytest.raises(SystemExit):
        run_script(PREDICT, *arguments)
    assert message in capsys.readouterr().err
