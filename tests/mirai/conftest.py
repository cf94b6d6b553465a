"""A tiny corpus in KEMDy19's shape and tiny random encoders, both written by the tests themselves."""

import csv
import random
import shutil
import signal
import wave
from types import SimpleNamespace

import numpy as np
import pytest

from erc.corpus.annotations import Utterance
from erc.corpus.corpora import KEMDY19
from tests.children import run_together, script_at
from tests.pictures import blank, blank_pictures, real_pictures  # noqa: F401 (fixtures)

SESSIONS = (1, 2, 19, 20)
TURNS = 7  # of a dialogue
_TOP = ["Numb", "Wav", "", "ECG", "", "E4-EDA", "", "E4-TEMP", "", "Segment ID", "Total Evaluation", "", ""]
_BELOW = ["", "start", "end", "start", "end", "start", "end", "start", "end", "", "Emotion", "Valence", "Arousal"]
_WORDS = ["좋아요", "싫어", "정말", "어제", "b/ 그래", "(네+아니)", "오늘은", "무서워", "c/ 뭐라고?"]


def run_killed(name, count, path, *arguments):
    """Run a script, which is killed when it calls `os.<name>` for the `count`th time."""
    ((code, _, error),) = run_together(script_at(path, *arguments, kill_at=(name, count)))
    assert code == -signal.SIGKILL, error


def write_wav(path, sound, rate=16_000):
    """Mono 16-bit; `sound` in -1 .. 1."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, rate, 0, "NONE", ""))
        file.writeframes((np.asarray(sound) * 32767).astype("<i2").tobytes())


def speak(folder, sounds):
    """Write speech and a transcript of k words for each k-th sound (samples in -1 .. 1); returns the `Utterance`s."""
    rows = []
    for k, sound in enumerate(sounds):
        label, name = k % 7, f"Sess01_impro01_F{k:03}"
        rows.append(Utterance(name, KEMDY19.emotions[label], label, 1, "Sess01_impro01", "F", 0.0, len(sound) / 16_000))
        write_wav(folder / f"{name}.wav", sound)
        (folder / f"{name}.txt").write_text("좋아요 " * k, encoding="utf-8")
    return rows


def weights(path):
    """The weights of an extractor's checkpoint."""
    import torch

    return torch.load(path, weights_only=True)["state_dict"]


def same(one, other):
    """Whether two networks' weights are equal, bit by bit."""
    return one.keys() == other.keys() and all((one[name] == other[name]).all() for name in one)


def shuffled_copy(data, folder):
    """The table with its rows in another order, the speech and transcripts linked."""
    folder.mkdir()
    header, *rows = (data / "annotation_speaker_only.csv").read_text().splitlines()
    random.Random(3).shuffle(rows)
    (folder / "table.csv").write_text("\n".join([header, *rows]) + "\n")
    (folder / "txt_wav").symlink_to(data / "txt_wav")
    return folder / "table.csv"


def annotation_rows(session, ties=()):
    """The rows that both files of a session share: (segment id, start, end, emotion by the F and by the M file)."""
    rows = []
    for d, dialogue in enumerate((f"Sess{session:02}_impro01", f"Sess{session:02}_script01")):
        count = {"F": 0, "M": 0}
        for turn in range(TURNS):
            speaker = "FM"[(turn + turn // 3) % 2]
            count[speaker] += 1
            name = f"{dialogue}_{speaker}{count[speaker]:03}"
            label = KEMDY19.emotions[(turn * 3 + d + session) % 7]
            heard = "neutral" if turn % 4 == 0 else label
            labels = {"F": label, "M": heard} if speaker == "F" else {"F": heard, "M": label}
            if name in ties:
                labels[speaker] = "angry;disgust"
            rows.append((name, turn * 2.0, turn * 2.0 + 0.5 + 0.1 * turn, labels))
    return rows


def write_annotation(path, rows, subject):
    """One file of a session: all F turns first, then all M turns, as KEMDy19 lists them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    raters = [f"Eval{k:02}{subject}" if part == 0 else "" for k in range(1, 11) for part in range(3)]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(_TOP + raters)
        writer.writerow(_BELOW + ["Emotion", "Valence", "Arousal"] * 10)
        ordered = [row for speaker in "FM" for row in rows if f"_{speaker}" in row[0]]
        for number, (name, start, end, labels) in enumerate(ordered, start=1):
            signals = [number, start, end, "", "", 1.5, 2.5, "", ""]
            writer.writerow([*signals, name, labels[subject], 3.1, 2.9, *["neutral", 3, 3] * 10])


@pytest.fixture(scope="session")
def corpus_made(tmp_path_factory):
    """Four sessions of two dialogues of seven turns: 56 utterances, 112 rows, one tie in the file of its speaker."""
    root = tmp_path_factory.mktemp("raw") / "corpus"
    generator = np.random.default_rng(0)
    for session in SESSIONS:
        rows = annotation_rows(session, ties={"Sess01_impro01_F001"})
        for subject in "FM":
            write_annotation(root / "annotation" / f"Session{session:02}_{subject}_res.csv", rows, subject)
        for name, start, end, labels in rows:
            folder = root / "wav" / f"Session{session:02}" / name.rsplit("_", 1)[0]
            label = KEMDY19.label(labels[name.split("_")[2][0]].split(";")[0])
            time = np.arange(int((end - start) * 16_000)) / 16_000
            sound = 0.3 * np.sin(2 * np.pi * (150 + 60 * label) * time) + 0.05 * generator.normal(size=len(time))
            write_wav(folder / f"{name}.wav", sound)
            words = " ".join(generator.choice(_WORDS, size=4))
            (folder / f"{name}.txt").write_text(f"{words} {_WORDS[label]}\n", encoding="utf-8")
    return root


@pytest.fixture
def corpus(corpus_made, tmp_path):
    """The same, for a test that changes it."""
    return shutil.copytree(corpus_made, tmp_path / "corpus")


@pytest.fixture
def preprocess(run_script, tmp_path):
    """`preprocess(root, "--files", "copy", ...)` runs preprocess.py; gives the folder that it wrote to."""

    def call(root, *arguments):
        run_script("MIRAI/preprocess.py", "--root_path", root, "--save_path", tmp_path / "data", *arguments)
        return tmp_path / "data"

    return call


def tree(folder):
    """Every path in a folder, with its content or where it links to."""
    paths = {str(path.relative_to(folder)): path for path in sorted(folder.rglob("*"))}
    return {
        name: path.readlink() if path.is_symlink() else path.is_file() and path.read_bytes()
        for name, path in paths.items()
    }


@pytest.fixture(scope="session")
def data(corpus_made, tmp_path_factory, run_script):
    """What preprocess.py makes of the corpus."""
    folder = tmp_path_factory.mktemp("made") / "data"
    run_script("MIRAI/preprocess.py", "--root_path", corpus_made, "--save_path", folder)
    return folder


@pytest.fixture(scope="session")
def encoders(tmp_path_factory):
    """`text` (24 wide) and `audio` (12 wide), random, as transformers directories; dropout on, SpecAugment on."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import (
        PreTrainedTokenizerFast,
        RobertaConfig,
        RobertaModel,
        Wav2Vec2Config,
        Wav2Vec2FeatureExtractor,
        Wav2Vec2ForCTC,
    )

    folder = tmp_path_factory.mktemp("encoders")
    torch.manual_seed(0)
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    vocabulary = [*special, *sorted(set("".join(_WORDS)) - set(" "))]
    tokenizer = Tokenizer(models.WordLevel({token: k for k, token in enumerate(vocabulary)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    names = {"bos_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names).save_pretrained(folder / "text")
    size = {"num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    text = RobertaConfig(
        vocab_size=len(vocabulary),
        hidden_size=24,
        max_position_embeddings=66,
        type_vocab_size=1,
        pad_token_id=1,
        **size,
    )
    RobertaModel(text).save_pretrained(folder / "text")
    audio = Wav2Vec2Config(
        hidden_size=12,
        conv_dim=(8,) * 7,
        feat_extract_norm="layer",
        do_stable_layer_norm=True,
        num_conv_pos_embeddings=8,
        num_conv_pos_embedding_groups=2,
        mask_time_prob=0.1,
        **size,
    )
    Wav2Vec2ForCTC(audio).save_pretrained(folder / "audio")
    Wav2Vec2FeatureExtractor(return_attention_mask=True).save_pretrained(folder / "audio")
    return SimpleNamespace(text=folder / "text", audio=folder / "audio")


def training(encoders, table, out_dir, name="run", epochs=2):
    """The arguments of a trainer that holds out sessions 19 and 20."""
    return (
        *("--exp_name", name, "--csv_path", table, "--out_dir", out_dir, "--max_epochs", epochs),
        *("--text_encoder", encoders.text, "--audio_encoder", encoders.audio, "--test_1920=True"),
        *("--batch_size", 4, "--accumulate_grad", 1, "--lr", 0.003, "--device", "cpu"),
    )


@pytest.fixture(scope="session")
def train(run_script, encoders):
    """`train(table, out_dir, "--lr", 0.1, ...)`: trains for a few epochs; gives the folder."""

    def call(table, out_dir, *arguments, name="run", epochs=2, script="MIRAI/trainer_hf.py"):
        run_script(script, *training(encoders, table, out_dir, name, epochs), *arguments)
        return out_dir / "checkpoint" / name

    return call


@pytest.fixture(scope="session")
def trained(train, data, tmp_path_factory):
    """The folder of a trained extractor of speech and text."""
    with blank():
        return train(data / "annotation_speaker_only.csv", tmp_path_factory.mktemp("trained"))


VARIANTS = {
    "audio": ("MIRAI/trainer_hf.py", "--using_model", "audio", "--loss", "cs_and_ce"),
    "text": ("MIRAI/trainer_hf.py", "--using_model", "text", "--loss", "ce", "--test_1920=False"),
    "both": ("MIRAI/trainer_hf.py", "--using_model", "both", "--loss", "cs_and_ce"),
    "both+mmer": ("MIRAI/trainer_hf_MMER.py", "--loss", "cs_and_ce"),
}


@pytest.fixture(scope="session")
def experiments(train, data, tmp_path_factory):
    """A directory with an experiment of every variant; that of text with the random split, the others by session."""
    zoo = tmp_path_factory.mktemp("zoo")
    for name, (script, *arguments) in VARIANTS.items():
        with blank():
            train(data / "annotation_speaker_only.csv", zoo, *arguments, name=name, epochs=1, script=script)
    return zoo / "checkpoint"
