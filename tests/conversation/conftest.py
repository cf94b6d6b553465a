"""A tiny extractor, a tiny graph network that fits it, and recordings in which every turn has a tone of its own."""

from types import SimpleNamespace

import numpy as np
import pytest

from erc.corpus.corpora import KEMDY19
from tests.mirai.conftest import corpus_made, data, encoders, train, trained  # noqa: F401 (fixtures)
from tests.pictures import blank_pictures  # noqa: F401 (a fixture)

RATE = 16_000
# (start, end, speaker, text, tone in Hz); the third and the fourth overlap
TURNS = [
    (0.5, 1.5, "M", "어제 정말 좋아요", 300),
    (1.8, 2.8, "F", "싫어 =무서워", 500),
    (3.0, 4.2, "M", "그래 <b>오늘은</b> 뭐라고?", 700),
    (3.8, 4.8, "F", "정말", 900),
    (5.2, 6.0, "M", "어제 싫어", 1100),
]
SECONDS = 6.5


def tones(turns=TURNS, seconds=SECONDS):
    """(samples, 2) float32: M on the first channel, F on the second."""
    sound = np.zeros((int(seconds * RATE), 2), dtype=np.float32)
    for start, end, speaker, _, hertz in turns:
        time = np.arange(int((end - start) * RATE)) / RATE
        first = int(start * RATE)
        sound[first : first + len(time), "MF".index(speaker)] += 0.4 * np.sin(2 * np.pi * hertz * time)
    return sound


def write_sound(path, sound, rate=RATE):
    import soundfile

    soundfile.write(path, sound, rate)
    return path


def write_manifest(path, rows, columns=("file_name", "dialogue", "speaker", "start", "end", "text")):
    from erc.files import write_table

    write_table(path, columns, rows)
    return path


@pytest.fixture
def call(tmp_path):
    """A stereo recording, `call.wav`, and its turns, `call.csv`."""
    path = write_sound(tmp_path / "call.wav", tones())
    rows = [("call.wav", "call", speaker, start, end, text) for start, end, speaker, text, _ in TURNS]
    return SimpleNamespace(wav=path, csv=write_manifest(tmp_path / "call.csv", rows), folder=tmp_path)


@pytest.fixture(scope="session")
def make_network(tmp_path_factory):
    """`make_network("at", width=24)`: the checkpoint of a graph network with random weights."""

    def make(modalities, width=24, corpus=KEMDY19, num_speakers=2):
        import torch

        from cogmen.checkpoints import Checkpoint, save_checkpoint
        from cogmen.network.model import CGNN, Architecture

        torch.manual_seed(3)
        sizes = dict.fromkeys(modalities, width)
        network = CGNN(Architecture(sum(sizes.values()), len(corpus.emotions), num_speakers, hidden_size=16))
        windows = {"wp": 5, "wf": 5}
        path = tmp_path_factory.mktemp("network") / f"{modalities}.pt"
        checkpoint = Checkpoint(network, corpus.name, modalities, list(corpus.emotions), sizes, windows, {}, 1, 0.5)
        save_checkpoint(path, checkpoint)
        return path

    return make


@pytest.fixture(scope="session")
def models(trained, make_network):  # noqa: F811
    """The arguments that name the tiny models."""
    return ("--extractor", trained / "best.ckpt", "--cgnn", make_network("at"), "--device", "cpu")
