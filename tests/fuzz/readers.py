"""The readers that are attacked: their good files, how these are broken, and what has to hold after reading."""

import contextlib
import io
import os
import pickle
import struct
import tempfile
import wave
from argparse import Namespace
from dataclasses import replace
from functools import partial
from pathlib import Path
from unittest import mock

import numpy as np
import torch

from cogmen.checkpoints import Checkpoint, load_checkpoint, save_checkpoint
from cogmen.network.model import CGNN, Architecture
from cogmen.published_checkpoints import convert
from erc import split_zip
from erc.corpus.corpora import CORPORA, KEMDY19
from erc.corpus.dialogues import read_dialogues, read_preprocessed, write_dialogues, write_preprocessed
from erc.corpus.splits import divide
from erc.options import UserError
from erc.split_zip import pack, unpack
from erc.untrusted import read_pickle
from mirai.speech import read_speech
from tests.cogmen.conftest import make_dialogues
from tests.cogmen.test_published_checkpoints import write as write_published
from tests.fuzz.mutations import mutate, mutate_pickle, mutate_zip


def refused_by_all(*readings):
    """Raises the last `UserError` if every reading ends with one."""
    for reading in readings[:-1]:
        with contextlib.suppress(UserError):
            return reading()
    return readings[-1]()


class PickleReader:
    """Dialogue files of ten and of nine items, also with numbers as labels, preprocessed files."""

    suffix = ".pkl"

    def seeds(self, folder):
        dialogues = make_dialogues(sessions=3, turns=(1, 4))
        write_dialogues(folder / "d", dialogues)
        write_preprocessed(folder / "p", divide(dialogues, KEMDY19))
        ten = read_pickle(folder / "d")
        nine = [ten[0], ten[1], {name: [label % 6 for label in labels] for name, labels in ten[2].items()}, *ten[3:9]]
        seeds = [pickle.dumps(ten, protocol=protocol) for protocol in (2, 4, 5)]
        numbers = [*nine[:2], {name: [label / 2 for label in labels] for name, labels in nine[2].items()}, *nine[3:]]
        return [*seeds, *(pickle.dumps(tuple(items)) for items in (nine, numbers)), (folder / "p").read_bytes()]

    def mutate(self, random, data, others):
        return (mutate if random.random() < 0.3 else mutate_pickle)(random, data, others)

    def read(self, path):
        refused_by_all(
            lambda: divide(read_dialogues(path, KEMDY19), KEMDY19),
            *(partial(self._divide, path, CORPORA[name]) for name in ("iemocap", "mosei")),
            lambda: read_preprocessed(path, KEMDY19),
        )

    def _divide(self, path, corpus):
        return divide(read_dialogues(path, corpus), corpus)


class CheckpointReader:
    """Checkpoints of `train.py`, and published ones, which hold whole modules."""

    suffix = ".pt"

    def seeds(self, folder):
        sizes = {"feature_size": 6, "num_emotions": 7, "num_speakers": 2, "hidden_size": 4, "seqcontext_nlayer": 1}
        network = CGNN(Architecture(**sizes, rnn="gru"))
        checkpoint = Checkpoint(
            network, "KEMDy19", "at", list(KEMDY19.emotions), {"a": 4, "t": 2}, {"wp": 5, "wf": 5}, {"tag": "x"}, 1, 0.5
        )
        save_checkpoint(folder / "gru", checkpoint)
        save_checkpoint(folder / "half", replace(checkpoint), half=True)
        write_published(folder / "published")
        torch.save({"args": Namespace(dataset="KEMDy19"), "state_dict": torch.nn.Linear(2, 2)}, folder / "module")
        return [(folder / name).read_bytes() for name in ("gru", "half", "published", "module")]

    def mutate(self, random, data, others):
        def change(name, content):
            if name.endswith("data.pkl"):
                return mutate_pickle(random, content, others)
            return mutate(random, content, others) if content else b"x"

        if random.random() < 0.7:
            return mutate_zip(random, data, others, change)
        return mutate(random, data, others, near=zip_places(data))

    def read(self, path):
        refused_by_all(lambda: load_checkpoint(path), lambda: convert(path))


class ZipReader:
    """An archive in one part or in several, each preceded by its length in the input."""

    suffix = ".bin"

    def seeds(self, folder):
        noise = np.random.default_rng(0).bytes(1500)
        for name, data in (("a.txt", b"text " * 50), ("b/c.bin", noise[:200]), ("b/d/e.bin", b"")):
            (folder / "s" / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / "s" / name).write_bytes(data)
        small = pack(folder / "small.zip", [folder / "s/a.txt", folder / "s/b"], 1 << 20, base=folder / "s")
        (folder / "s/big.bin").write_bytes(noise)
        with mock.patch.object(split_zip, "MIN_PART_SIZE", 1):
            split = pack(folder / "split.zip", [folder / "s"], 500, base=folder / "s")
        return [self.join([part.read_bytes() for part in parts]) for parts in (small, split)]

    def join(self, parts):
        return b"".join(struct.pack("<I", len(part)) + part for part in parts)

    def parts(self, data):
        parts = []
        while data and len(parts) < 20:
            size = struct.unpack("<I", data[:4].ljust(4, b"\0"))[0]
            parts.append(data[4 : 4 + size])
            data = data[4 + size :]
        return parts

    def mutate(self, random, data, others):
        parts = self.parts(data)
        if len(parts) == 1 and random.random() < 0.5:
            return self.join([mutate_zip(random, parts[0], others, lambda _, content: mutate(random, content, others))])
        if random.random() < 0.1:
            random.shuffle(parts)
        elif random.random() < 0.1:
            del parts[random.randrange(len(parts))]
        else:
            at = random.randrange(len(parts))
            parts[at] = mutate(random, parts[at], others, near=zip_places(parts[at]))
        return self.join(parts)

    def read(self, path):
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            folder = Path(folder)
            (folder / "archive").mkdir()
            parts = self.parts(path.read_bytes())
            for number, part in enumerate(parts, 1):
                name = "zip.zip" if number == len(parts) else f"zip.z{number:02d}"
                (folder / "archive" / name).write_bytes(part)
            try:
                with mock.patch.object(os, "fsync"):  # the disk would take most of the time
                    files = unpack(folder / "archive/zip.zip", folder / "x/out")
                for file in files:
                    assert file.is_file() and not file.is_symlink() and file.is_relative_to(folder.resolve() / "x/out")
            except UserError:
                assert not (folder / "x/out").exists(), "a refused archive left something"
                raise
            finally:
                left = {item.name for item in (*folder.iterdir(), *folder.glob("x/*"))}
                assert left <= {"archive", "x", "out"}, f"something lies beside: {left}"


class WavReader:
    """Plain, 24-bit stereo, float and extensible wav files, and flac."""

    suffix = ".wav"

    def seeds(self, folder):
        import soundfile

        sound = (np.sin(np.arange(800)) / 2).astype(np.float32)
        with wave.open(str(folder / "plain"), "wb") as file:
            file.setparams((1, 2, 16_000, 0, "NONE", ""))
            file.writeframes((sound * 30_000).astype("<i2").tobytes())
        seeds = [(folder / "plain").read_bytes()]
        stereo = np.stack([sound, sound], axis=1)
        for kind, data, rate in (("PCM_24", stereo, 44_100), ("FLOAT", sound, 8_000), ("PCM_U8", sound, 22_050)):
            for container in [name for name in ("WAV", "WAVEX", "FLAC") if soundfile.check_format(name, kind)]:
                target = io.BytesIO()
                soundfile.write(target, data, rate, subtype=kind, format=container)
                seeds.append(target.getvalue())
        return seeds

    def mutate(self, random, data, others):
        return mutate(random, data, others, near=range(0, 64, 2))

    def read(self, path):
        sound = read_speech(path)
        assert sound.ndim == 1 and sound.dtype == np.float32 and len(sound) and np.isfinite(sound).all()


READERS = {"pickle": PickleReader, "checkpoint": CheckpointReader, "zip": ZipReader, "wav": WavReader}


def zip_places(data):
    """Where the records of a zip begin."""
    places, at = [], data.find(b"PK")
    while at >= 0 and len(places) < 1000:
        places.append(at)
        at = data.find(b"PK", at + 1)
    return places
