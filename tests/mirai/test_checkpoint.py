"""Reading a checkpoint of the extractor: what is damaged, hostile or something else ends in one clear error."""

import pytest
import torch

from erc.options import UserError
from mirai.checkpoint import load_extractor
from tests.edits import Call, survives


@pytest.fixture
def edited(experiments, tmp_path):
    """`edited(change, of="both")`: the path of a checkpoint whose content `change` has edited."""

    def call(change, of="both"):
        content = torch.load(experiments / of / "best.ckpt", weights_only=True)
        change(content)
        torch.save(content, tmp_path / "x.ckpt")
        return tmp_path / "x.ckpt"

    return call


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"state_dict": {}}, "not a checkpoint of MIRAI/trainer_hf.py"),
        (torch.zeros(2), "not a checkpoint of MIRAI/trainer_hf.py"),
        (
            {"hyper_parameters": {"format": "mirai-extractor", "version": 99}},
            "of version 99, this program reads version 1",
        ),
        ({"hyper_parameters": {"_instantiator": Call(print, "this must not run")}}, r"x\.ckpt: .*__builtin__\.print"),
    ],
)
def test_what_is_not_such_a_checkpoint_is_refused(tmp_path, capsys, content, message):
    torch.save(content, tmp_path / "x.ckpt")
    with pytest.raises(UserError, match=message):
        load_extractor(tmp_path / "x.ckpt")
    assert "must not run" not in capsys.readouterr().out


def test_damaged_and_missing_checkpoints(tmp_path, experiments):
    (tmp_path / "half.ckpt").write_bytes((experiments / "both" / "best.ckpt").read_bytes()[:5000])
    with pytest.raises(UserError, match=r"half\.ckpt: "):
        load_extractor(tmp_path / "half.ckpt")
    with pytest.raises(UserError, match=r"none\.ckpt: no such checkpoint"):
        load_extractor(tmp_path / "none.ckpt")


def test_weights_of_another_network_are_refused(edited):
    path = edited(lambda content: content["state_dict"].update({"extractor.classifier.bias": torch.zeros(6)}))
    with pytest.raises(UserError, match=r"classifier\.bias has the wrong shape \(6,\)"):
        load_extractor(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda kept: kept["description"].update(fusion="sum"), "of fusion 'sum', expected concat or mmer"),
        (lambda kept: kept["description"].update(fusion="concat"), "do not fit its network: it has no layer text"),
        (lambda kept: kept.pop("options"), "damaged, its hyper-parameters lack options"),
    ],
)
def test_checkpoints_that_contradict_themselves(edited, change, message):
    path = edited(lambda content: change(content["hyper_parameters"]), of="both+mmer")
    with pytest.raises(UserError, match=message):
        load_extractor(path)


def test_checkpoints_from_before_there_was_a_fusion(edited):
    extractor, _ = load_extractor(edited(lambda content: content["hyper_parameters"]["description"].pop("fusion")))
    assert extractor.variant == "both" and extractor.fusion is None


def test_description_cannot_name_whose_code_computes_attention(edited):
    def change(content):
        for encoder in ("text", "audio"):
            content["hyper_parameters"]["description"][encoder]["config"]["attn_implementation"] = "someone/kernels"

    extractor, _ = load_extractor(edited(change))
    assert {extractor.text.config._attn_implementation, extractor.audio.config._attn_implementation} == {"sdpa"}


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content["hyper_parameters"].update(_instantiator="marker.run"),
        lambda content: content.update(datamodule_hyper_parameters={"_instantiator": "marker.run"}),
    ],
)
def test_foreign_keys_are_refused_before_lightning_sees_them(train, data, trained, tmp_path, monkeypatch, change):
    """Lightning would import and call what some of them name."""
    (tmp_path / "marker.py").write_text(f"open({str(tmp_path / 'seen')!r}, 'w')")
    monkeypatch.syspath_prepend(tmp_path)
    folder = tmp_path / "checkpoint" / "run"
    folder.mkdir(parents=True)
    content = torch.load(trained / "last.ckpt", weights_only=True)
    change(content)
    torch.save(content, folder / "last.ckpt")
    for read in (
        lambda: load_extractor(folder / "last.ckpt"),
        lambda: train(data / "annotation_speaker_only.csv", tmp_path, "--resume", epochs=3),
    ):
        with pytest.raises(UserError, match=r"last\.ckpt: refused: it holds \w+, which no checkpoint of this program"):
            read()
    assert not (tmp_path / "seen").exists()


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("hidden_size", 3_000_000, "its network has .* bytes, more than"),
        ("hidden_size", 10**9, "hidden_size 1000000000 is larger than that of any encoder"),
        ("num_hidden_layers", 10**6, "num_hidden_layers 1000000 is larger"),
        ("num_labels", 10**6, "num_labels 1000000 is larger"),  # a name is made for each
        ("hidden_act", "nothing", "its description makes no network"),
    ],
)
def test_a_description_that_asks_for_too_much_is_refused(edited, key, value, message):
    path = edited(lambda content: content["hyper_parameters"]["description"]["text"]["config"].update({key: value}))
    with pytest.raises(UserError, match=message):
        load_extractor(path)


@pytest.mark.filterwarnings("ignore")
def test_no_single_value_hurts(tmp_path, trained):
    """Whatever single value in a checkpoint is another, it is read, or refused with one line."""
    content = torch.load(trained / "best.ckpt", weights_only=True)
    content = {name: content[name] for name in ("hyper_parameters", "state_dict")}
    content["state_dict"] = dict(content["state_dict"])

    def read():
        torch.save(content, tmp_path / "x.ckpt")
        load_extractor(tmp_path / "x.ckpt")

    read_in, refused = survives(content, read, every=23)
    assert read_in > 5 and refused > 20
