"""The cross-modal extractor and the losses: against naive computations, and each variant through the scripts."""

import csv
import json
import shutil

import numpy as np
import pytest
import torch

from erc.corpus.annotations import Utterance
from erc.corpus.corpora import KEMDY19
from erc.corpus.dialogues import read_dialogues
from erc.options import UserError
from mirai import dataset as dataset_module
from mirai.checkpoint import load_extractor
from mirai.dataset import UtteranceDataset
from mirai.network.encoders import pretrained_audio, pretrained_text
from mirai.network.extractor import Extractor, describe
from mirai.training.module import cosine_and_cross_entropy

from .conftest import write_wav

SAMPLES = [0, 720, 24_000, 8000, 50_001]


@pytest.fixture(scope="module")
def extractor(encoders):
    torch.manual_seed(0)
    description = describe("both", encoders.text, encoders.audio, "mmer")
    return Extractor.from_pretrained(description, encoders.text, encoders.audio).eval()


@pytest.fixture(scope="module")
def dataset(extractor, tmp_path_factory):
    """Utterances of very different lengths; the first has neither speech nor words."""
    folder = tmp_path_factory.mktemp("spoken")
    generator = np.random.default_rng(0)
    rows = []
    for k, samples in enumerate(SAMPLES):
        rows.append(Utterance(f"Sess01_impro01_F{k:03}", "sad", 4, 1, "Sess01_impro01", "F", 0.0, 1.0))
        write_wav(folder / f"{rows[-1].segment_id}.wav", 0.1 * generator.normal(size=max(samples, 1)))
        (folder / f"{rows[-1].segment_id}.txt").write_text("좋아요 " * (k % 3 * k), encoding="utf-8")
    return UtteranceDataset(rows, folder, **extractor.dataset_settings())


@torch.no_grad()
def embed(extractor, dataset, places):
    embeddings = extractor.embed(dataset.collate([dataset[k] for k in places]))
    return torch.cat([embeddings["text"], embeddings["audio"], extractor.classify(embeddings)], dim=1)


def naive(extractor, encoders, item):
    """DESIGN's formulas for one utterance: transformers' own encoders, PyTorch's own attention, no batch, no mask."""
    weights = extractor.state_dict()
    linear = torch.nn.functional.linear

    def block(name, x, memory):
        attention = torch.nn.MultiheadAttention(24, 12)
        own = {key: weights[f"fusion.{name}.attention.{key}"] for key in attention.state_dict()}
        attention.load_state_dict(own)
        weight = {key.removeprefix(f"fusion.{name}."): value for key, value in weights.items()}

        def norm(rows, part):
            return torch.nn.functional.layer_norm(rows, (24,), weight[f"{part}.weight"], weight[f"{part}.bias"])

        x = norm(x + attention(x, memory, memory)[0], "attention_norm")
        inner = torch.nn.functional.gelu(linear(x, weight["feed_forward.0.weight"], weight["feed_forward.0.bias"]))
        outer = linear(inner, weight["feed_forward.2.weight"], weight["feed_forward.2.bias"])
        return norm(x + outer, "feed_forward_norm")

    _, _, tokens, windows = item
    audio, text = pretrained_audio(encoders.audio).eval(), pretrained_text(encoders.text).eval()
    frames = torch.cat([audio(window[None]).last_hidden_state[0] for window in windows])
    h = linear(frames, weights["audio_width.weight"], weights["audio_width.bias"])
    e = text(tokens[None]).last_hidden_state[0]
    p = block("speech_asks_text", h, e)
    r = block("text_asks_that", e, p)
    q = block("text_asks_speech", e, h)
    g = torch.sigmoid(linear(torch.cat([r, q], 1), weights["fusion.gate.weight"], weights["fusion.gate.bias"]))
    z = linear(torch.cat([r, g], 1), weights["fusion.join.weight"])
    joined = torch.cat([z.mean(0), h.mean(0)])
    return torch.cat([joined, linear(joined, weights["classifier.weight"], weights["classifier.bias"])])


@pytest.mark.parametrize("window", [10**6, 9000])
def test_against_a_naive_computation(extractor, encoders, dataset, monkeypatch, window):
    """All in one batch, and each alone; 24,000, 8,000 and 50,001 samples make 3, 1 and 6 windows of at most 9,000."""
    places = range(len(SAMPLES))
    if window == 9000:
        monkeypatch.setattr(dataset_module, "split_windows", lambda wave: torch.from_numpy(wave).split(window))
        places = [2, 3, 4]
        assert dataset.collate([dataset[k] for k in places]).owner.tolist() == [0] * 3 + [1] + [2] * 6
    together = embed(extractor, dataset, places)
    for row, k in enumerate(places):
        with torch.no_grad():
            expected = naive(extractor, encoders, dataset[k])
        torch.testing.assert_close(together[row], expected, atol=1e-5, rtol=0)
        torch.testing.assert_close(embed(extractor, dataset, [k])[0], expected, atol=1e-5, rtol=0)


def test_speech_changes_the_text_embedding(extractor, dataset):
    """And not only the other way round; in the plain extractor it does not."""
    batch = dataset.collate([dataset[2]])
    one = extractor.embed(batch)["text"]
    batch.windows = batch.windows.flip(1)
    assert not torch.allclose(one, extractor.embed(batch)["text"], atol=1e-4)


def test_every_weight_is_trained(encoders, dataset):
    torch.manual_seed(1)
    fresh = Extractor.from_pretrained(
        describe("both", encoders.text, encoders.audio, "mmer"), encoders.text, encoders.audio
    )
    fresh.audio.config.layerdrop = 0.0
    batch = dataset.collate([dataset[k] for k in range(len(SAMPLES))])
    cosine_and_cross_entropy(fresh(batch), batch.labels).backward()
    without = [
        name
        for name, weights in fresh.named_parameters()
        if weights.grad is None or not torch.isfinite(weights.grad).all() or not weights.grad.any()
    ]
    assert without == []


def test_sixteen_bits(extractor, dataset):
    """Mixed precision, as on a GPU, gives nearly the same."""
    places = range(len(SAMPLES))
    with torch.autocast("cpu", torch.bfloat16):
        mixed = embed(extractor, dataset, places)
    torch.testing.assert_close(mixed.float(), embed(extractor, dataset, places), atol=0.05, rtol=0.05)


def test_width_that_the_heads_do_not_divide(encoders, tmp_path):
    text = shutil.copytree(encoders.text, tmp_path / "text")
    config = json.loads((text / "config.json").read_text())
    (text / "config.json").write_text(json.dumps({**config, "hidden_size": 20}))
    with pytest.raises(UserError, match="--text_encoder .*: is 20 wide, which the 12 heads .*a multiple of 12"):
        describe("both", text, encoders.audio, "mmer")
    assert describe("both", text, encoders.audio)["width"] == 20


def test_text_encoder_without_pooler_will_do(encoders, dataset):
    text = pretrained_text(encoders.text)
    text.pooler = None
    description = describe("both", encoders.text, encoders.audio, "mmer")
    bare = Extractor(description, text=text, audio=pretrained_audio(encoders.audio)).eval()
    assert embed(bare, dataset, [0, 1]).shape == (2, 24 + 24 + 7)


def test_cosine_and_cross_entropy_by_hand():
    logits = torch.tensor([[3.0, 4.0, 0.0], [0.0, 2.0, 0.0]])
    loss = cosine_and_cross_entropy(logits, torch.tensor([0, 1]))
    first = -np.log(np.exp(3) / (np.exp(3) + np.exp(4) + 1))
    second = -np.log(np.exp(2) / (np.exp(2) + 2))
    expected = 0.1 * (first + second) / 2 + ((1 - 3 / 5) + (1 - 1)) / 2
    assert loss.item() == pytest.approx(expected, abs=1e-6)


# Experiments through the scripts.

VARIANTS = {
    "audio": ("MIRAI/trainer_hf.py", "--using_model", "audio", "--loss", "cs_and_ce"),
    "text": ("MIRAI/trainer_hf.py", "--using_model", "text", "--loss", "ce", "--test_1920=False"),
    "both": ("MIRAI/trainer_hf.py", "--using_model", "both", "--loss", "cs_and_ce"),
    "both+mmer": ("MIRAI/trainer_hf_MMER.py", "--loss", "cs_and_ce"),
}


@pytest.fixture(scope="module")
def experiments(train, data, tmp_path_factory):
    """A directory with an experiment of every variant; that of text with the random split, the others by session."""
    zoo = tmp_path_factory.mktemp("zoo")
    for name, (script, *arguments) in VARIANTS.items():
        table = data / "annotation_speaker_only.csv"
        train(table, zoo, *arguments, name=name, epochs=1, script=script)
    return zoo / "checkpoint"


@pytest.fixture
def score(run_script, data, tmp_path):
    def call(*arguments):
        table = data / "annotation_speaker_only.csv"
        run_script("MIRAI/inference.py", "--csv_path", table, "--out_dir", tmp_path / "out", *arguments)
        return tmp_path / "out"

    return call


@pytest.fixture(scope="module")
def scored(experiments, run_script, data, tmp_path_factory):
    """What `--all` writes."""
    out = tmp_path_factory.mktemp("scored")
    table = data / "annotation_speaker_only.csv"
    run_script("MIRAI/inference.py", "--all", experiments, "--csv_path", table, "--out_dir", out)
    return out


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def rows_array(path):
    """Without the header, every cell as text."""
    return [list(row.values()) for row in rows_of(path)]


def test_all_experiments_in_one_table(scored):
    rows = rows_of(scored / "result.csv")
    assert list(rows[0]) == ["model", "loss", "accuracy", "weighted_f1", "macro_f1"]
    expected = [("audio", "cs_and_ce"), ("both", "cs_and_ce"), ("both+mmer", "cs_and_ce"), ("text", "ce")]
    assert [(row["model"], row["loss"]) for row in rows] == expected
    for row in rows:
        metrics = json.loads((scored / row["model"] / "metrics.json").read_text())
        assert {name: float(row[name]) for name in list(row)[2:]} == {name: metrics[name] for name in list(row)[2:]}
        assert metrics["n"] == (11 if row["model"] == "text" else 28)  # the random 20%, or sessions 19 and 20


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_checkpoint_alone_gives_what_all_gives(experiments, scored, score, capsys, variant):
    """And one utterance at a time what batches give."""
    by_session = f"--test_1920={variant != 'text'}"
    alone = score("--ckpt_path", experiments / variant / "best.ckpt", by_session, "--batch_size", 1)
    assert f"{variant}: accuracy" in capsys.readouterr().out
    tables = [np.array(rows_array(place / "predictions.csv")) for place in (alone, scored / variant)]
    assert (tables[0][:, :5] == tables[1][:, :5]).all()
    np.testing.assert_allclose(tables[0][:, 5:].astype(float), tables[1][:, 5:].astype(float), atol=1e-5)


def test_embeddings_of_the_cross_modal_extractor(experiments, data, run_script, tmp_path):
    """For every turn, whatever the batch, those that its checkpoint gives to the utterance alone."""
    from erc.corpus.annotations import read_annotations

    table, dialogue_file = data / "annotation_speaker_only.csv", tmp_path / "format.pkl"
    checkpoint = experiments / "both+mmer" / "best.ckpt"
    run_script("COGMEN_code/cogmen_formatting.py", "--csv_path", table, "--out", dialogue_file)
    run_script(
        "MIRAI/feature_extractor_cogmen_format.py",
        *("--model_save_path", checkpoint, "--csv_path", table, "--features_format_path", dialogue_file),
    )
    dialogues = read_dialogues(tmp_path / "format_feat.pkl", KEMDY19).dialogues
    extractor, kept = load_extractor(checkpoint)
    assert kept["description"]["fusion"] == "mmer" and kept["options"]["loss"] == "cs_and_ce"
    utterances = {row.segment_id: row for row in read_annotations(table)}
    for dialogue in dialogues[::3]:
        for name, found in zip(dialogue.segment_ids, dialogue.joined("ta"), strict=True):
            dataset = UtteranceDataset([utterances[name]], data / "txt_wav", **extractor.dataset_settings())
            expected = embed(extractor, dataset, [0])[0]
            np.testing.assert_allclose(found, expected[:48], atol=1e-5)


def test_what_cannot_be_scored_is_told_and_the_others_are_scored(experiments, score, tmp_path, capsys):
    zoo = tmp_path / "zoo"
    for name in ("audio", "text"):
        shutil.copytree(experiments / name, zoo / name)
    (zoo / "broken").mkdir()
    (zoo / "broken" / "best.ckpt").write_bytes(b"no checkpoint")
    seen = torch.load(zoo / "text" / "best.ckpt", weights_only=True)
    seen["hyper_parameters"]["options"].update(test_1920=True, test_sessions=[2])
    (zoo / "seen").mkdir()
    torch.save(seen, zoo / "seen" / "best.ckpt")
    with pytest.raises(UserError, match=r"--all .*zoo: 2 of its experiments could not be scored"):
        score("--all", zoo)
    error = capsys.readouterr().err
    assert "broken is not scored: " in error and "refused" in error
    assert "seen is not scored: " in error and "was trained on" in error
    assert [row["model"] for row in rows_of(tmp_path / "out" / "result.csv")] == ["audio", "text"]


def test_no_experiment(score, tmp_path):
    with pytest.raises(UserError, match="--all .*: no <experiment>/best.ckpt in it"):
        score("--all", tmp_path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--ckpt_path, --all: expected one of them"),
        (["--all", "zoo", "--ckpt_path", "x.ckpt"], "--ckpt_path, --all: expected one of them"),
        (["--all", "zoo", "--test_1920"], "--test_1920: --all scores each experiment with the split"),
    ],
)
def test_inference_flags_that_make_no_sense(run_script, capsys, arguments, message):
    with pytest.raises(SystemExit) as stop:
        run_script("MIRAI/inference.py", *arguments)
    assert stop.value.code == 2 and message in capsys.readouterr().err


def test_the_cross_modal_trainer_has_no_choice_of_modalities(run_script, capsys):
    with pytest.raises(SystemExit) as stop:
        run_script("MIRAI/trainer_hf_MMER.py", "--exp_name", "x", "--using_model", "both")
    assert stop.value.code == 2 and "--using_model" in capsys.readouterr().err


def test_checkpoints_from_before_there_was_a_fusion(experiments, score, tmp_path):
    content = torch.load(experiments / "both" / "best.ckpt", weights_only=True)
    del content["hyper_parameters"]["description"]["fusion"]
    torch.save(content, tmp_path / "old.ckpt")
    extractor, _ = load_extractor(tmp_path / "old.ckpt")
    assert extractor.variant == "both" and extractor.fusion is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"description": {"fusion": "sum"}}, "of fusion 'sum', expected concat or mmer"),
        ({"description": {"fusion": "concat"}}, "its weights do not fit its network: it has no layer text"),
        ({"options": None}, "damaged, its hyper-parameters lack options"),
    ],
)
def test_checkpoints_that_contradict_themselves(experiments, tmp_path, change, message):
    content = torch.load(experiments / "both+mmer" / "best.ckpt", weights_only=True)
    for name, values in change.items():
        if values is None:
            del content["hyper_parameters"][name]
        else:
            content["hyper_parameters"][name].update(values)
    torch.save(content, tmp_path / "x.ckpt")
    with pytest.raises(UserError, match=message):
        load_extractor(tmp_path / "x.ckpt")


@pytest.mark.filterwarnings("ignore:The dirpath has changed")
def test_an_experiment_is_resumed_by_its_own_trainer(experiments, train, data, tmp_path):
    name = "both+mmer"
    shutil.copytree(experiments / name, tmp_path / "checkpoint" / name)
    table = data / "annotation_speaker_only.csv"
    with pytest.raises(UserError, match=r"begun with the other of MIRAI/trainer_hf\.py and trainer_hf_MMER\.py"):
        train(table, tmp_path, "--resume", "--loss", "cs_and_ce", name=name)
    folder = train(table, tmp_path, "--resume", "--loss", "cs_and_ce", name=name, script="MIRAI/trainer_hf_MMER.py")
    assert torch.load(folder / "last.ckpt", weights_only=True)["epoch"] == 1
