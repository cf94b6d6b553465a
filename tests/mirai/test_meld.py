"""MELD's files, of their exact format, through all stages; and what is said of those that are wrong."""

import csv
import json

import numpy as np
import pytest
import soundfile

import mirai.readers.meld
from cogmen.checkpoints import load_checkpoint
from erc.corpus.annotations import read_annotations
from erc.corpus.corpora import CORPORA
from erc.corpus.dialogues import read_dialogues, read_preprocessed
from erc.options import UserError
from tests.cogmen.test_sbert import model as sbert_model  # noqa: F401 (a fixture)
from tests.mirai.conftest import write_wav
from tests.stages import run_stages
from tests.tables import read_rows

HEADER = "Sr No.,Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID,Season,Episode,StartTime,EndTime"
MELD = CORPORA["MELD"]
SPEAKERS = ["Ross", "Monica", "Joey", "Chandler", "Phoebe", "Rachel", "Dr. Green, Sr.", "All", "Joey's Sister"]
WORDS = ["Oh my God!", "“Hi”, there", "You\x92re kidding\x85 right?", "No way", "Okay, 3 0", "What?", "Fine."]


def rows_of(split):
    """A dialogue of nine speakers, one of one turn, one with a gap; the dialogues begin anew in each set."""
    sizes = {"train": (18, 1, 6, 7, 5, 4), "dev": (3, 4), "test": (9, 5)}[split]
    number = 0
    for dialogue, size in enumerate(sizes):
        for turn in range(size):
            emotion = (turn + dialogue) % len(MELD.emotions)
            place = turn + (dialogue == 2 and turn > 2)  # utterance 3 of dialogue 2 is not there
            speaker = SPEAKERS[turn % (9 if dialogue == 0 else 2)]
            number += 1
            end = "0:16:1" if turn % 2 else "0:16:9"  # half of them before the start
            yield [number, WORDS[emotion], speaker, MELD.emotions[emotion], "neutral", dialogue, place, 8, 21] + [
                f"0:16:{turn + 10},059",
                f"{end},731",
            ]


def write_set(root, split, rows):
    root.mkdir(exist_ok=True)
    with (root / f"{split}_sent_emo.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(HEADER.split(","))
        writer.writerows(rows)


@pytest.fixture
def meld(tmp_path):
    root = tmp_path / "MELD.Raw"
    for split in ("train", "dev", "test"):
        rows = list(rows_of(split))
        write_set(root, split, rows[:3] + rows[:2:-1] if split == "train" else rows)  # their order says nothing
    return root


@pytest.fixture
def preprocess_meld(preprocess, meld):
    return lambda *more: preprocess(meld, "--corpus", "MELD", *more)


def test_the_table(preprocess_meld, capsys):
    data = preprocess_meld()
    assert json.loads((data / "corpus.json").read_text()) == "MELD"
    table = read_rows(data / "annotation.csv")
    expected = []
    for split in ("train", "dev", "test"):
        for _, _, speaker, emotion, _, dialogue, turn, *_ in rows_of(split):
            name = f"{split}_dia{dialogue}"
            expected.append((f"{name}_utt{turn}", emotion, name, speaker, split, str(turn)))
    columns = ("segment_id", "emotion", "dialogue", "speaker", "split", "wav_start")
    assert [tuple(row[name] for name in columns) for row in table] == expected
    said = (data / "txt_wav/train_dia0_utt2.txt").read_text(encoding="utf-8")
    assert said == "You’re kidding… right?"  # what Windows means by these two bytes
    assert len(list((data / "txt_wav").iterdir())) == len(table)
    printed = capsys.readouterr().out
    assert "dialogues of train" in printed and "published" not in printed and "text alone" in printed
    assert len(read_annotations(data / "annotation.csv")) == len(table)


def test_published_counts_beside_ones_own(preprocess, tmp_path, capsys):
    counts = {"train": (1_038, 9_989), "dev": (114, 1_109), "test": (280, 2_609)}
    for split, (dialogues, turns) in counts.items():
        places = (divmod(turn, dialogues)[::-1] for turn in range(turns))
        write_set(tmp_path / "MELD", split, [[0, "Hi", "Ross", "joy", "", *place, 1, 1, "", ""] for place in places])
    preprocess(tmp_path / "MELD", "--corpus", "MELD", "--check")
    lines = {line[:40].strip(): line[40:].split() for line in capsys.readouterr().out.splitlines()}
    assert lines["dialogues of train"] == ["1,038", "1,038"] and lines["turns of dev"] == ["1,109", "1,109"]
    assert lines["turns of test"] == ["2,609", "2,610"] and lines["turns of all sets"] == ["13,707", "13,708"]


def add_speech(root, folders):
    generator = np.random.default_rng(0)
    for split, folder in folders.items():
        for _, _, _, _, _, dialogue, turn, *_ in rows_of(split):
            sound = 0.1 * generator.normal(size=800 * (turn + 2))
            write_wav(root / folder / f"dia{dialogue}_utt{turn}.wav", sound)


PUBLISHED = {"train": "train_splits", "dev": "dev_splits_complete", "test": "output_repeated_splits_test"}


@pytest.mark.parametrize("folders", [PUBLISHED, {"train": "train", "dev": "dev", "test": "test"}])
def test_speech(preprocess_meld, meld, folders):
    add_speech(meld, folders)
    (meld / folders["dev"] / "dia1_utt3.wav").unlink()
    (meld / folders["test"] / "dia0_utt1.wav").write_bytes(b"RIFF")
    data = preprocess_meld()
    utterances = {utterance.segment_id: utterance for utterance in read_annotations(data / "annotation.csv")}
    assert utterances["train_dia0_utt11"].seconds == pytest.approx(13 * 0.05)
    assert len(utterances) == 41 + 7 + 14 - 2 and not {"dev_dia1_utt3", "test_dia0_utt1"} & utterances.keys()
    link = data / "txt_wav/test_dia1_utt0.wav"
    assert link.readlink() == meld.resolve() / folders["test"] / "dia1_utt0.wav"


def test_speech_of_one_set_only(preprocess_meld, meld, monkeypatch, capsys):
    monkeypatch.setattr("mirai.readers.meld.find_spec", lambda _: None)  # without PyAV, whether it is there or not
    (meld / "dev").mkdir()
    (meld / "dev" / "dia0_utt0.mp4").write_bytes(b"video")
    add_speech(meld, {"train": "train"})
    with pytest.raises(UserError, match="set without speech, though another has it: dev; test"):
        preprocess_meld()
    with pytest.raises(UserError, match="would stop"):
        preprocess_meld("--check")
    assert "pip install av; or make wav files: ffmpeg -i dia0_utt0.mp4" in capsys.readouterr().out


def test_speech_of_which_nothing_can_be_read(preprocess_meld, meld):
    """It is no corpus of text then."""
    for folder in PUBLISHED.values():
        write_wav(meld / folder / "dia0_utt77.wav", np.zeros(800))
    with pytest.raises(UserError, match="no speech that can be read, though there are files: .*MELD"):
        preprocess_meld()


def test_speech_of_videos(preprocess_meld, meld, monkeypatch):
    """With PyAV; here files that libsndfile reads by another name, so that it need not be there."""
    add_speech(meld, PUBLISHED)
    for path in meld.glob("*/*.wav"):
        path.rename(path.with_suffix(".mp4"))
    write_wav(meld / "train_splits" / "dia0_utt0.wav", np.zeros(8000), rate=8000)
    monkeypatch.setattr(mirai.readers.meld, "find_spec", lambda name: name == "av")
    data = preprocess_meld()
    assert len(read_annotations(data / "annotation.csv")) == 62
    assert (data / "txt_wav/train_dia0_utt1.wav").readlink().name == "dia0_utt1.mp4"
    made = data / "txt_wav/train_dia0_utt0.wav"  # the wav file before the video, and at 16 kHz
    assert soundfile.info(made).samplerate == 16_000 and soundfile.info(made).duration == pytest.approx(1)


def edit(name, text, row=2):
    def change(root):
        path = root / "dev_sent_emo.csv"
        with path.open(newline="", encoding="utf-8") as file:
            table = list(csv.reader(file))
        table[row - 1][table[0].index(name)] = text
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(table)

    return change


def replaced(old, new):
    def change(root):
        path = root / "dev_sent_emo.csv"
        path.write_bytes(path.read_bytes().replace(old, new, 1))

    return change


def in_cp949(root):
    path = root / "dev_sent_emo.csv"
    text = path.read_text(encoding="utf-8").replace("\x92", "’").replace("\x85", "…")
    path.write_bytes(text.encode("cp949"))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda root: (root / "test_sent_emo.csv").unlink(), r"test_sent_emo\.csv: no such file; MELD's directory has"),
        (
            edit("Emotion", "happy", 4),
            r"dev_sent_emo\.csv, row 4 \(dev_dia0_utt2\): emotion 'happy'; expected one of neu",
        ),
        (edit("Speaker", ""), r"dev_sent_emo\.csv, row 2: speaker '', expected a name"),
        (edit("Utterance_ID", "1.0", 3), r"no numbers: dev_sent_emo\.csv, row 3: '0, 1\.0'"),
        (edit("Dialogue_ID", "-1", 3), r"no numbers: dev_sent_emo\.csv, row 3: '-1, 1'"),
        (edit("Speaker", "Who", 1), r"file without one column Speaker: dev_sent_emo\.csv"),
        (replaced(b"neutral,0", b"0"), r"a cell too many or too few: dev_sent_emo\.csv, row 2"),
        (in_cp949, r"file that is not UTF-8: dev_sent_emo\.csv"),
        (replaced(b'059"', b'059"x'), r"dev_sent_emo\.csv: not a CSV file"),
    ],
)
def test_wrong_files_are_named(preprocess_meld, meld, damage, message):
    damage(meld)
    with pytest.raises(UserError, match=message):
        preprocess_meld()


def test_a_turn_that_is_there_twice(preprocess_meld, meld, capsys):
    edit("Utterance_ID", "0", 3)(meld)
    table = read_annotations(preprocess_meld() / "annotation.csv")
    assert [utterance.emotion for utterance in table if utterance.segment_id == "dev_dia0_utt0"] == ["neutral"]
    assert "turn that is in the file already: dev_sent_emo.csv, row 3 (dev_dia0_utt0)" in capsys.readouterr().out


def test_another_directory(preprocess, corpus_made):
    with pytest.raises(UserError, match=r"train_sent_emo\.csv: no such file; MELD's directory has"):
        preprocess(corpus_made, "--corpus", "MELD")


QUICK = ("--from_begin", "--epochs", 2, "--rnn", "gru", "--hidden_size", 8, "--batch_size", 4)


def test_text_alone_without_stage_1(preprocess_meld, run_script, sbert_model, tmp_path):  # noqa: F811
    data, made = preprocess_meld(), tmp_path / "p.pkl"
    run_script("COGMEN_code/cogmen_formatting.py", "--csv_path", data / "annotation.csv", "--out", data / "d.pkl")
    file = read_dialogues(data / "d.pkl")
    assert file.corpus is MELD and file.dev_ids == ["dev_dia0", "dev_dia1"] and file.test_ids[0] == "test_dia0"
    nine = next(dialogue for dialogue in file.dialogues if dialogue.id == "train_dia0")
    assert nine.segment_ids == [f"train_dia0_utt{turn}" for turn in range(18)]  # utt10 after utt9
    assert nine.speakers == SPEAKERS * 2
    paths = ("--feat_dir", data / "d.pkl", "--res_dir", made)
    with pytest.raises(UserError, match="no embeddings; .* or give --text_feature sbert"):
        run_script("COGMEN_code/preprocess.py", *paths)
    run_script("COGMEN_code/preprocess.py", *paths, "--text_feature", "sbert", "--sbert", sbert_model)
    splits, _ = read_preprocessed(made)
    assert [len(splits[name]) for name in ("train", "dev", "test")] == [6, 2, 2]
    train = ("COGMEN_code/train.py", "--preprocessed_feature", made, "--out_dir", tmp_path, "--modalities", "t", *QUICK)
    run_script(*train)
    checkpoint = tmp_path / "model_checkpoints/MELD_best_dev_f1_model_t_tmp.pt"
    network = load_checkpoint(checkpoint).network
    assert network.architecture.relations == "same_other" and len(network.gcn.conv1.weight) == 4
    run_script("COGMEN_code/eval.py", "--pt_dir", checkpoint, "--data_dir", made, "--out_dir", tmp_path / "result")
    result = json.loads((tmp_path / "result/metrics.json").read_text())
    assert result["n"] == 14 and list(result["per_class"]) == list(MELD.emotions)
    run_script(*train, "--relations", "speakers")
    assert len(load_checkpoint(checkpoint).network.gcn.conv1.weight) == 2 * 9**2
    with pytest.raises(UserError, match="trained with --relations speakers, here --relations same_other"):
        run_script(*(flag for flag in train if flag != "--from_begin"), "--model_ckpt", checkpoint)


def test_speech_and_text_with_stage_1(preprocess_meld, meld, run_script, encoders, tmp_path):
    add_speech(meld, PUBLISHED)
    table = preprocess_meld("--files", "copy") / "annotation.csv"
    models = ("--text_encoder", encoders.text, "--audio_encoder", encoders.audio, "--device", "cpu")
    training = ("--exp_name", "run", "--csv_path", table, "--out_dir", tmp_path, "--max_epochs", 1)
    run_script("MIRAI/trainer_hf.py", *training, *models)
    made = run_stages(run_script, table, tmp_path / "checkpoint/run/best.ckpt", tmp_path, train=QUICK)
    assert made.network.name == "MELD_best_dev_f1_model_at_tmp.pt"
    assert load_checkpoint(made.network).feature_sizes == {"a": 24, "t": 24}
    for method in ("extractor", "cgnn"):
        rows = read_rows(tmp_path / f"results/{method}/at/predictions.csv")
        found = {(row["segment_id"], row["label"]) for row in rows}
        expected = [(f"test_dia{row[5]}_utt{row[6]}", row[3]) for row in rows_of("test")]
        assert found == set(expected)
