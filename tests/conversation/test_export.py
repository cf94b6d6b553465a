"""`tools/export.py`, what `app/predict.py --model` makes of its folder, and what of one that is damaged."""

import json

import numpy as np
import pytest
import torch

from cogmen.checkpoints import load_checkpoint
from erc.options import UserError

EXPORT, PREDICT = "tools/export.py", "app/predict.py"


@pytest.fixture
def exported(models, run_script, tmp_path):
    """`exported("--onnx")`: the folder."""

    def call(*arguments, out=tmp_path / "models"):
        run_script(EXPORT, *models[:4], "--out", out, *arguments)
        return out

    return call


def test_the_folder_answers_as_the_checkpoints_do(exported, models, call, run_script, tmp_path):
    (tmp_path / "metrics.json").write_text(json.dumps(METRICS))
    folder = exported("--metrics", tmp_path / "metrics.json", "--license", "cc-by-nc-4.0")
    names = ["README.md", "config.json", "extractor.safetensors", "graph_network.safetensors", "tokenizer.json"]
    assert sorted(path.name for path in folder.iterdir()) == names
    answers = []
    for number, chosen in enumerate((models[:4], ("--model", folder))):
        out = tmp_path / f"report{number}"
        run_script(PREDICT, call.wav, "--turns", call.csv, "--out", out, "--quiet", "--device", "cpu", *chosen)
        answers.append([turn["probabilities"] for turn in json.loads((out / "turns.json").read_text())["turns"]])
    assert np.allclose(*answers, atol=2e-6, rtol=0)  # they are written with six decimals
    card = (folder / "README.md").read_text()
    assert card.startswith("---\nlanguage: ko\nlicense: cc-by-nc-4.0\n")
    assert "own, not calibrated" in card  # as these networks have no temperature
    assert "Sessions 19 20 were held out of both networks' training; a random tenth" in card
    assert "weighted F1 50.00" in card and "must not be used for" in card and "neutral, angry, happy" in card


METRICS = {
    "accuracy": 0.5,
    "weighted_f1": 0.5,
    "macro_f1": 0.5,
    "uar": 0.5,
    "n": 4,
    "per_class": {"neutral": {"precision": 0.5, "recall": 0.5, "f1": 0.5, "support": 4}},
}


def test_nothing_of_the_data_and_the_machine_is_in_it(exported, models, tmp_path):
    content = (exported() / "config.json").read_text()
    assert "Sess0" not in content and "/tmp" not in content and str(tmp_path) not in content
    assert json.loads(content)["graph_network"]["temperature"] == load_checkpoint(models[3]).temperature


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda c: c.update(format="x"), "not of a folder that tools/export.py made"),
        (lambda c: c.update(version=9), "of another version"),
        (lambda c: c.pop("graph_network"), "damaged, or not ours"),
        (lambda c: c["graph_network"]["architecture"].update(hidden_size=10**9), "hidden_size 1000000000, expected"),
        (lambda c: c["graph_network"].update(temperature=0), "its temperature is 0, expected more than 0"),
        (lambda c: c["extractor"].update(width=7), "has the wrong shape"),
        (lambda c: c["extractor"].update(emotions=["a", "b"]), "has the wrong shape"),
        (lambda c: c["extractor"]["text"].update(tokenizer=3), "damaged, or not ours"),
    ],
)
def test_a_damaged_description_is_named(exported, call, run_script, damage, message, tmp_path):
    path = exported() / "config.json"
    content = json.loads(path.read_text())
    damage(content)
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match=message):
        run_script(PREDICT, call.wav, "--turns", call.csv, "--out", tmp_path / "r", "--quiet", "--model", path.parent)
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    "name", ["extractor.safetensors", "graph_network.safetensors", "tokenizer.json", "config.json"]
)
def test_a_file_that_is_cut_short_or_missing_is_named(exported, call, run_script, name, tmp_path):
    path = exported() / name
    command = (PREDICT, call.wav, "--turns", call.csv, "--out", tmp_path / "r", "--quiet", "--model", path.parent)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(UserError, match=r"damaged|tokenizer"):
        run_script(*command)
    path.unlink()
    with pytest.raises(UserError, match=f"{name}: no such file"):
        run_script(*command)


def test_networks_that_do_not_fit_each_other_are_not_exported(models, make_network, run_script, tmp_path):
    with pytest.raises(UserError, match=r"features of 8 values, .* makes 24"):
        run_script(EXPORT, *models[:2], "--cgnn", make_network("at", width=8), "--out", tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_pushing_is_asked_for_and_says_what_goes_wrong(exported, monkeypatch, tmp_path, capsys):
    import huggingface_hub

    sent = []

    class Hub:
        def create_repo(self, name, **settings):
            sent.append((name, settings))
            if name == "a/refused":
                raise OSError("401 Unauthorized")

        def upload_folder(self, folder_path, repo_id):
            sent.append((repo_id, sorted(path.name for path in folder_path.iterdir())))

    monkeypatch.setattr(huggingface_hub, "HfApi", Hub)
    exported()
    with pytest.raises(UserError, match="HF_HUB_OFFLINE is set, so nothing is sent"):
        exported("--push", "a/b", "--overwrite")
    assert not sent
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    with pytest.raises(UserError, match=r"--push a/refused: 401 Unauthorized; the folder is .* `hf auth login`"):
        exported("--push", "a/refused", "--overwrite")
    exported("--push", "a/b", "--overwrite")
    assert sent[1] == ("a/b", {"private": True, "exist_ok": True}) and "config.json" in sent[2][1]
    assert "sent to https://huggingface.co/a/b" in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["online", "improved"])
def test_onnx_gives_the_same_for_dialogues_of_any_length(kind, make_network, tmp_path):
    """Computed by ONNX's own reference, operator by operator; onnxruntime would start threads where it is imported."""
    from onnx.reference import ReferenceEvaluator

    from cogmen.network.improved import ImprovedArchitecture, MaskedAttentionNetwork
    from cogmen.network.model import CGNN, Architecture
    from conversation.onnx_export import inputs, write_onnx
    from erc.corpus.corpora import KEMDY19
    from erc.corpus.dialogues import Dialogue

    checkpoint = load_checkpoint(make_network("at"))
    architecture = Architecture(48, 7, 2, hidden_size=16, concat_gin_gout=True, use_highway=True, online=True)
    checkpoint.network = CGNN(architecture).eval()
    if kind == "improved":
        checkpoint.network = MaskedAttentionNetwork(ImprovedArchitecture({"a": 24, "t": 24}, 7, hidden_size=16)).eval()
    write_onnx(tmp_path / "g.onnx", checkpoint)
    session = ReferenceEvaluator(str(tmp_path / "g.onnx"))
    generator = np.random.default_rng(0)
    for turns in (1, 2, 7, 50):
        features = generator.normal(size=(turns, 48)).astype(np.float32)
        speakers = generator.integers(0, 2, turns)
        names = [KEMDY19.speakers[k] for k in speakers]
        parts = {"a": features[:, :24].copy(), "t": features[:, 24:].copy()}
        dialogue = Dialogue("d", [str(k) for k in range(turns)], names, np.zeros(turns, np.int64), names, parts)
        with torch.no_grad():
            expected = checkpoint.network(checkpoint.dialogue_set([dialogue], KEMDY19, "cpu").batch([0])).numpy()
        given = (value.numpy() for value in inputs(checkpoint, features, speakers))
        named = dict(zip(session.input_names, given, strict=True))
        assert np.allclose(session.run(None, named)[0], expected, atol=1e-4, rtol=0)
