"""Checkpoints as the published trainers pickle them, whole modules: made here from stand-in classes at their paths."""

import io
import os
import pickle
import sys
import types
import zipfile
from argparse import Namespace
from collections import OrderedDict
from unittest import mock

import pytest
import torch
from torch import nn

from cogmen import published_checkpoints
from cogmen.checkpoints import load_checkpoint
from cogmen.network.batching import DialogueSet
from cogmen.published_checkpoints import convert
from erc.corpus.corpora import KEMDY19
from erc.corpus.dialogues import write_dialogues
from erc.options import UserError
from erc.untrusted import read_module
from tests.cogmen.conftest import make_dialogues
from tests.cogmen.test_model import CASES, dialogue_of, golden, network_of
from tests.edits import Call, survives


def published_class(module, name):
    return type(name, (nn.Module,), {"__module__": f"cogmen.model.{module}", "__qualname__": name})


COGMEN = published_class("COGMEN", "COGMEN")
SeqContext = published_class("SeqContext", "SeqContext")
GNN = published_class("GNN", "GNN")
Classifier = published_class("Classifier", "Classifier")
MaskedEmotionAtt = published_class("Classifier", "MaskedEmotionAtt")
HighwayNet = published_class("Classifier", "HighwayNet")


def published_options(name, **changes):
    case = CASES[name]
    options = {
        "dataset": "KEMDy19",
        "modalities": "t",
        "rnn": case["rnn"],
        "hidden_size": case["hidden"],
        "gnn_nheads": case["heads"],
        "seqcontext_nlayer": case["layers"],
        "concat_gin_gout": case["concat"],
        "use_highway": case["highway"],
        "wp": case["wp"],
        "wf": case["wf"],
        "drop_rate": 0.5,
        "class_weight": False,
        "emotion": None,
        "comet_api_key": "a secret",
        "dataset_embedding_dims": {"KEMDy19": {"t": case["D"]}},
    }
    return Namespace(**{key: value for key, value in (options | changes).items() if value is not ...})


def published_network(name):
    """The published module with the golden weights, its unused layers included."""
    case, ours = CASES[name], network_of(name)
    network = COGMEN()
    network.edge_type_to_idx = {f"{i}{j}{k}": 4 * i + 2 * j + k for i in (0, 1) for j in (0, 1) for k in (0, 1)}
    network.rnn = SeqContext()
    network.rnn.encoding_layer, network.rnn.LayerNorm = nn.Embedding(110, case["D"]), nn.LayerNorm(case["D"])
    if case["rnn"] == "transformer":
        layer = nn.TransformerEncoderLayer(case["D"], case["nhead_transformer"], 2048, 0.5, batch_first=True)
        network.rnn.transformer_encoder = nn.TransformerEncoder(layer, case["layers"], enable_nested_tensor=False)
        network.rnn.transformer_encoder.load_state_dict(ours.rnn.transformer_encoder.state_dict())
        network.rnn.transformer_out = ours.rnn.transformer_out
    else:
        network.rnn.rnn = ours.rnn.rnn
    network.gcn = GNN()
    for child, layer in ours.gcn.named_children():
        setattr(network.gcn, child, layer)
    network.clf = Classifier()
    width = ours.clf.lin1.in_features
    network.clf.emotion_att = MaskedEmotionAtt()
    network.clf.emotion_att.lin = nn.Linear(width, width)
    network.clf.highway = HighwayNet() if case["highway"] else nn.Identity()
    for child, layer in ours.clf.highway.named_children():
        setattr(network.clf.highway, child, layer)
    network.clf.lin1, network.clf.lin2 = ours.clf.lin1, ours.clf.lin2
    network.clf.lin_7, network.clf.linear = nn.Linear(case["hidden"], 7), nn.Linear(width, 7)
    network.clf.nll_loss = nn.NLLLoss()
    return network


def write(path, name="gru", network=None, **changes):
    modules = {}  # that the classes are pickled from; they are there only while one is written
    for cls in (COGMEN, SeqContext, GNN, Classifier, MaskedEmotionAtt, HighwayNet):
        setattr(modules.setdefault(cls.__module__, types.ModuleType(cls.__module__)), cls.__name__, cls)
    content = {"args": published_options(name, **changes), "state_dict": network or published_network(name)}
    with mock.patch.dict(sys.modules, modules):
        torch.save(content, path)
    return path


def assert_golden(name, checkpoint, atol=1e-5):
    for k in range(len(CASES[name]["lengths"])):
        batch = DialogueSet([dialogue_of(name, k)], "t", KEMDY19, **checkpoint.windows, num_speakers=2).batch([0])
        with torch.no_grad():
            torch.testing.assert_close(checkpoint.network(batch), golden(name, k, "log_probs"), atol=atol, rtol=0)


@pytest.mark.parametrize("name", CASES)
def test_golden_outputs(name, tmp_path, run_script, capsys):
    write(tmp_path / "old.pt", name)
    run_script("COGMEN_code/convert_checkpoint.py", tmp_path / "old.pt", tmp_path / "new.pt")
    checkpoint = load_checkpoint(tmp_path / "new.pt")
    assert_golden(name, checkpoint)
    case = CASES[name]
    windows = {"wp": case["wf"], "wf": case["wp"]}
    assert checkpoint.windows == {key: checkpoint.options[key] for key in ("wp", "wf")} == windows
    assert (checkpoint.dataset, checkpoint.modalities, checkpoint.feature_sizes) == ("KEMDy19", "t", {"t": case["D"]})
    assert checkpoint.network.architecture == network_of(name).architecture
    assert checkpoint.epoch is None and checkpoint.dev_weighted_f1 is None
    assert "a secret" not in str(checkpoint.options)
    printed = capsys.readouterr().out
    assert f"a turn sees {windows['wp']} past and {windows['wf']} future turns" in printed
    assert "clf.emotion_att.lin.weight" in printed and "epoch and dev score: unknown" in printed


def test_it_is_scored_and_trained_on(tmp_path, run_script, capsys):
    write_dialogues(tmp_path / "feat.pkl", make_dialogues(sessions=6))  # text features of size 16
    data = tmp_path / "data.pkl"
    run_script("COGMEN_code/preprocess.py", "--feat_dir", tmp_path / "feat.pkl", "--res_dir", data)
    new = tmp_path / "new.pt"
    run_script("COGMEN_code/convert_checkpoint.py", write(tmp_path / "old.pt"), new)
    capsys.readouterr()
    run_script("COGMEN_code/eval.py", "--modalities", "t", "--pt_dir", new, "--data_dir", data)
    assert "weighted F1" in capsys.readouterr().out
    structure = ("--rnn", "gru", "--hidden_size", 12, "--gnn_nheads", 2, "--seqcontext_nlayer", 1, "--concat_gin_gout")
    paths = ("--model_ckpt", new, "--preprocessed_feature", data, "--out_dir", tmp_path)
    run_script("COGMEN_code/train.py", "--modalities", "t", "--epochs", 1, *paths, *structure)
    with pytest.raises(UserError, match="trained with --modalities t, here --modalities a"):
        run_script("COGMEN_code/eval.py", "--modalities", "a", "--pt_dir", new, "--data_dir", data)


def test_weights_from_a_gpu_in_other_types_and_with_class_weights(tmp_path):
    network = published_network("gru")
    flat = torch.cat([weight.data.flatten() for weight in network.rnn.rnn.parameters()])  # as cuDNN lays them out
    start = 0
    for weight in network.rnn.rnn.parameters():
        weight.data = flat[start : start + weight.numel()].view(weight.shape)
        start += weight.numel()
    network.clf.nll_loss = nn.NLLLoss(torch.arange(7.0))
    network.gcn.double()
    checkpoint, unused = convert(write(tmp_path / "old.pt", network=network, class_weight=True))
    assert_golden("gru", checkpoint)
    assert "clf.nll_loss.weight" in unused and checkpoint.options["class_weight"] is True
    assert_golden("gru", convert(write(tmp_path / "half.pt", network=network.half()))[0], atol=1e-2)


def test_sizes_of_several_modalities(tmp_path, run_script):
    path = write(tmp_path / "old.pt", modalities="at", dataset_embedding_dims={"KEMDy19": {"a": 10, "t": 6, "at": 16}})
    assert convert(path)[0].feature_sizes == {"a": 10, "t": 6}
    for dims in ({"at": 16}, {"a": 10, "t": 10}, {"a": 16, "t": 0}, {"a": "10", "t": 6}, 16, None):
        path = write(tmp_path / "old.pt", modalities="at", dataset_embedding_dims={"KEMDy19": dims})
        with pytest.raises(UserError, match=r"16 features .* give --feature_sizes a=N t=N"):
            convert(path)
    script = ("COGMEN_code/convert_checkpoint.py", path, tmp_path / "new.pt", "--feature_sizes")
    run_script(*script, "t=6", "a=10")
    assert load_checkpoint(tmp_path / "new.pt").feature_sizes == {"a": 10, "t": 6}
    for sizes in (["a=16"], ["a=10", "t=7"], ["a=10", "v=6"], ["a=16", "t=0"]):
        with pytest.raises(UserError, match="give --feature_sizes a=N t=N"):
            run_script(*script, *sizes)


def test_wrong_arguments(tmp_path, run_script, capsys):
    old, script = write(tmp_path / "old.pt"), "COGMEN_code/convert_checkpoint.py"
    for arguments, message in (
        ([], "OLD, NEW"),
        ([old, old], "is OLD itself"),
        ([old, tmp_path / "new.pt", "--feature_sizes", "audio=3"], "expected one like a=768"),
        ([old, tmp_path / "new.pt", "--feature_sizes", "a=many"], "expected one like a=768"),
    ):
        with pytest.raises(SystemExit):
            run_script(script, *arguments)
        assert message in capsys.readouterr().err
    with pytest.raises(UserError, match=r"none\.pt: no such checkpoint"):
        run_script(script, tmp_path / "none.pt", tmp_path / "new.pt")
    assert not (tmp_path / "new.pt").exists()


def test_what_the_options_lack_can_be_given(tmp_path, run_script):
    path = write(tmp_path / "old.pt", dataset=..., modalities=None, drop_rate=...)
    convert = ("COGMEN_code/convert_checkpoint.py", path, tmp_path / "new.pt")
    with pytest.raises(UserError, match="do not tell the dataset; give --dataset"):
        run_script(*convert)
    with pytest.raises(UserError, match="do not tell the modalities; give --modalities"):
        run_script(*convert, "--dataset", "KEMDy19")
    run_script(*convert, "--dataset", "KEMDy19", "--modalities", "a")
    checkpoint = load_checkpoint(tmp_path / "new.pt")
    assert (checkpoint.dataset, checkpoint.feature_sizes) == ("KEMDy19", {"a": 16})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dataset": "mosi"}, "its dataset is 'mosi', expected one of KEMDy19"),
        ({"dataset": "iemocap"}, "7 emotions .* iemocap has 6"),
        ({"modalities": "ta"}, "its modalities is 'ta', expected one of"),
        ({"hidden_size": 100}, "its options say hidden_size 100, its weights 12"),
        ({"hidden_size": torch.ones(3)}, r"hidden_size tensor\(.*, its weights 12"),
        ({"gnn_nheads": 1}, "gnn_nheads 1, its weights 2"),
        ({"rnn": "lstm"}, "rnn 'lstm', its weights gru"),
        ({"use_highway": True}, "use_highway True, its weights False"),
        ({"concat_gin_gout": False}, "concat_gin_gout False, its weights True"),
        ({"seqcontext_nlayer": 10**9}, "seqcontext_nlayer 1000000000, its weights 1"),
        ({"drop_rate": 2}, "drop_rate 2, expected"),
        ({"wp": ...}, "wp None, expected"),
        ({"wf": "5"}, "wf '5', expected"),
    ],
)
def test_options_that_do_not_fit_are_named(changes, message, tmp_path):
    with pytest.raises(UserError, match=message):
        convert(write(tmp_path / "old.pt", **changes))


def set_weight(layer, name, *shape):
    layer._parameters[name] = nn.Parameter(torch.zeros(shape))


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("gru", lambda n: n.clf.add_module("extra", nn.Linear(2, 2)), r"unknown layer clf\.extra\.bias, clf\.extra\.w"),
        ("gru", lambda n: n.add_module("lin_7", nn.Linear(2, 2)), r"unknown layer lin_7\.bias"),
        ("gru", lambda n: n.gcn.__delattr__("bn"), r"damaged .*gcn\.bn\.weight"),
        ("gru", lambda n: n.__delattr__("clf"), r"damaged .*clf\.lin1\.weight"),
        ("gru", lambda n: n.gcn.conv2.lin_key._parameters.pop("bias"), r"no layer gcn\.conv2\.lin_key\.bias"),
        ("gru", lambda n: set_weight(n.clf.lin1, "bias", 13), r"clf\.lin1\.bias has the wrong shape \(13,\) .*\(12,\)"),
        ("gru", lambda n: set_weight(n.gcn.conv1, "weight", 12), "not a published checkpoint, or damaged"),
        ("gru", lambda n: set_weight(n.gcn.conv1, "weight", 3, 200, 12), "over 3 relations .* has 7 and 8"),
        ("gru", lambda n: set_weight(n.clf.lin1, "bias", 0), r"clf\.lin1\.bias is not a tensor, or an empty one"),
        ("gru", lambda n: n.gcn.bn.__setattr__("running_var", torch.ones(24).long()), "has the wrong shape .* or type"),
        ("gru", lambda n: n.gcn.conv2.__setattr__("beta", True), r"gcn\.conv2\.beta is True, expected False"),
        ("gru", lambda n: n.gcn.conv1.__setattr__("aggr", "max"), r"gcn\.conv1\.aggr is 'max', expected mean"),
        ("gru", lambda n: n.edge_type_to_idx.update({"000": 1, "001": 0}), "edge_type_to_idx is .*'000': 1"),
        (
            "transformer",
            lambda n: n.rnn.transformer_encoder.layers[1].self_attn.__setattr__("num_heads", 4),
            r"layers\.1\.self_attn\.num_heads is 4, expected 8",
        ),
        (
            "transformer",
            lambda n: n.rnn.transformer_encoder.layers.__delitem__(1),
            "seqcontext_nlayer 2, its weights 1",
        ),
    ],
)
def test_layers_that_do_not_fit_are_named(name, change, message, tmp_path):
    network = published_network(name)
    change(network)
    with pytest.raises(UserError, match=message):
        convert(write(tmp_path / "old.pt", name, network))


def test_other_things_than_a_published_checkpoint(tmp_path):
    for content in (nn.Linear(2, 2), {"args": 1, "state_dict": 2}, [1], {"args": Namespace(), "state_dict": {}}):
        torch.save(content, tmp_path / "old.pt")
        with pytest.raises(UserError, match=r"old\.pt: not a published checkpoint"):
            convert(tmp_path / "old.pt")
    broken, looped, dotted, shared = (published_network("gru") for _ in range(4))
    broken._modules["gcn"] = 3
    looped.gcn._modules["again"] = looped
    dotted.gcn._modules["a.b"] = nn.Linear(2, 2)
    shared._buffers.update({f"b{k}": shared.clf.lin2.weight for k in range(500)})
    doubled = deep = nn.Module()
    for _ in range(40):
        deep._modules["left"] = deep._modules["right"] = deep = nn.Module()
    for network, message in (
        (broken, "not a published checkpoint, or damaged"),
        (looped, "more than 4000 layers and weights"),
        (doubled, "more than 4000 layers and weights"),
        (dotted, "malformed name in gcn"),
        (shared, "several weights share their numbers"),
    ):
        with pytest.raises(UserError, match=message):
            convert(write(tmp_path / "old.pt", network=network))


# Hostile files


class Storage:
    def __init__(self, key="0", numel=4, kind=torch.FloatStorage):
        self.reference = ("storage", kind, key, "cpu", numel)


class Pickler(pickle.Pickler):
    def persistent_id(self, value):
        return value.reference if isinstance(value, Storage) else None


def pickled(value, protocol=2):
    file = io.BytesIO()
    Pickler(file, protocol).dump(value)
    return file.getvalue()


def tensor(size, stride, offset=0, storage=None):
    return Call(torch._utils._rebuild_tensor_v2, storage or Storage(), offset, size, stride, False, OrderedDict())


def write_zip(path, data, members=(("data/0", bytes(16)),), compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in (("data.pkl", data), *members):
            archive.writestr(f"old/{name}", content)
    return path


def test_a_small_file_made_by_hand(tmp_path):
    """The files below are refused for what they are, not for how they are made."""
    value = read_module(write_zip(tmp_path / "old.pt", pickled([tensor((2, 2), (2, 1)), {"a": (1, None, 2.5)}])))
    assert torch.equal(value[0], torch.zeros(2, 2)) and value[1] == {"a": (1, None, 2.5)}


def dotted(protocol):
    """`torch.serialization.os.system`, by a name that leads out of its module."""
    if protocol == 2:
        return b"\x80\x02ctorch\nserialization.os.system\nX\x04\x00\x00\x00true\x85R."
    return b"\x80\x04X\x05\x00\x00\x00torchX\x17\x00\x00\x00serialization.os.system\x93X\x04\x00\x00\x00true\x85R."


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (pickled(Call(os.system, "touch ran")), "it asks for posix.system"),
        (pickled(Call(getattr, nn.Module, "forward")), "it asks for __builtin__.getattr"),
        (pickled({"args": Call(exec, "open('ran', 'w')")}), "it asks for __builtin__.exec"),
        (dotted(2), "it asks for torch.serialization.os.system"),
        (dotted(4), "it asks for torch.serialization.os.system"),
        (b"\x80\x02ctorch_evil\nrun\n)R.", "it asks for torch_evil.run"),
        (pickled(Call(torch.load, "ran")), "it asks to call torch.serialization.load"),
        (pickled(Call(torch.hub.load, "a/b", "c")), "it asks to call torch.hub.load"),
        (pickled(Call(nn.Linear, 2, 2)), "it asks to call torch.nn.modules.linear.Linear"),
        (pickled(Call(Namespace)), "it asks to call argparse.Namespace"),
        (pickled(Call(OrderedDict, [(1, 2)])), "it is damaged"),
        (b"\x80\x02]q\x00h\x00)\x81.", "it is damaged"),
        (b"\x80\x02c__builtin__\nset\n]R.", "malformed arguments"),
        (b"\x80\x02ctorch.nn\nModule\n}b.", "sets attributes of what is not an object"),
        (b"\x80\x02ctorch.nn\nModule\n)\x81]b.", "sets attributes of what is not an object"),
        (b"\x80\x02ctorch.nn\nModule\n)\x81}b}b.", "sets attributes of what is not an object"),
        (
            pickled(Call(torch._utils._rebuild_tensor_v2, *tensor((1,), (1,)).parts[1], state={"__class__": 1})),
            "sets attributes of what is not an object",
        ),
        (pickled(tensor((2, 2), (2, 1), storage=[1.0])), "it is damaged"),
        (pickled(tensor((2, 2), (2,))), "it is damaged"),
        (pickled(tensor((1,) * 9, (1,) * 9)), "malformed tensor"),
        (pickled(tensor((2, True), (2, 1))), "malformed tensor size"),
        (pickled(tensor((2, 2), (-2, 1))), "malformed tensor size"),
        (pickled(tensor((2,), (1,), offset=-1)), "malformed tensor size"),
        (pickled(tensor((0, 2**60), (1, 1))), "malformed tensor size"),
        (pickled(tensor((3, 2), (2, 1))), r"shape \(3, 2\) does not fit its storage of 4 numbers"),
        (pickled(tensor((2, 2), (2, 1), offset=1)), "does not fit its storage"),
        (pickled(tensor((10**6, 10**6), (0, 0))), "does not fit its storage"),
        (pickled(tensor((5,), (0,))), "does not fit its storage"),
        (pickled(Storage(numel=5)), "storage 0 is to have 20 bytes, there are 16"),
        (pickled(Storage(numel=-4)), "storage 0 is to have"),
        (pickled(Storage(kind=torch.DoubleStorage)), "storage 0 is to have 32 bytes"),
        (pickled(Storage("1")), "it is damaged .*data/1"),
        (pickled(Storage(kind=torch.nn.Module)), "not a storage of plain numbers"),
        (pickled(Storage(0)), "not a storage of plain numbers"),
        (b"\x80\x02K\x01Q.", "it is damaged"),
        (b"\x80\x02)K\x01a.", "it is damaged"),
        (b"", "cut short"),
        (b"\x80\x02" + b"}" * (2**22 - 10) + b".", "a pickle bomb"),
        (b"\x80\x02" + b"]" * 2**22 + b".", "its data.pkl has more than"),
    ],
)
def test_hostile_pickles_are_refused(data, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_zip(tmp_path / "old.pt", data)
    with pytest.raises(UserError, match=rf"^{tmp_path}/old\.pt: refused: .*{message}") as error:
        convert(tmp_path / "old.pt")
    assert "\n" not in str(error.value) and len(str(error.value)) < 500
    assert os.listdir(tmp_path) == ["old.pt"]


@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x02" + b"]" * 300_000 + b"a" * 299_999 + b".",
        b"\x80\x02)" + b"\x85" * 300_000 + b".",
        b"\x80\x02(]q\x00" + b"".join(b"]q%c(h%ch%ce" % (k + 1, k, k) for k in range(100)) + b"t.",  # 2^100 if copied
        b"\x80\x02]q\x00h\x00a.",  # a list that holds itself
    ],
)
def test_deep_and_tangled_pickles_do_not_hurt(data, tmp_path):
    with pytest.raises(UserError, match="not a published checkpoint"):
        convert(write_zip(tmp_path / "old.pt", data))


def test_nothing_is_imported(tmp_path, monkeypatch):
    """An object of a class of its own in an unused place is an inert record; its module is not looked for."""
    (tmp_path / "torch_scatter.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    network, cls = published_network("gru"), type("Evil", (), {"__module__": "torch_scatter"})
    monkeypatch.setitem(sys.modules, "torch_scatter", types.SimpleNamespace(Evil=cls))
    network.gcn.note = cls()
    network.gcn.note.value = 1
    write(tmp_path / "old.pt", network=network)
    monkeypatch.delitem(sys.modules, "torch_scatter")
    assert_golden("gru", convert(tmp_path / "old.pt")[0])
    assert "torch_scatter" not in sys.modules


def test_hostile_and_damaged_zips_are_refused(tmp_path):
    good = write(tmp_path / "old.pt").read_bytes()
    path, data = tmp_path / "bad.pt", pickled([1])

    def assert_refused(message):
        with pytest.raises(UserError, match=rf"bad\.pt: refused: .*{message}"):
            convert(path)

    for content in (b"", b"junk", good[:30], good[:5000], good[: len(good) // 2], good[:-10], good[-5000:]):
        path.write_bytes(content)
        assert_refused("")
    path.write_bytes(good[:3000] + b"x" * 100 + good[3100:])  # a changed byte: the checksum tells
    assert_refused("damaged")
    torch.save([1], path, _use_new_zipfile_serialization=False)
    assert_refused("the format of torch before 1.6")
    for members, message in (
        ([("code/network.py", b"")], "old/code/network.py"),
        ([("../evil", b"")], r"old/\.\./evil"),
        ([("data/0/x", b"")], "old/data/0/x"),
        ([("byteorder", b"big")], "not little-endian"),
        ([(f"data/{k}", b"") for k in range(10_001)], "10002 members"),
    ):
        write_zip(path, data, members)
        assert_refused(message)
    write_zip(path, data, compression=zipfile.ZIP_DEFLATED)
    assert_refused("is compressed")
    with zipfile.ZipFile(path, "w") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("old/data.pkl", data)
        archive.writestr("old/data/0", b"1")
        archive.writestr("old/data/0", b"2")
    assert_refused("or twice")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("old/data.pkl", data)
        archive.writestr("elsewhere/data.pkl", data)
    assert_refused("the zip holds elsewhere/data.pkl")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("old/version", data)
    assert_refused("data.pkl")
    with zipfile.ZipFile(path, "w") as archive:  # thousands of members that are the same megabyte
        archive.writestr("old/data.pkl", data)
        archive.writestr("old/data/0", bytes(2**20))
        for k in range(1, 100):
            archive.filelist.append(shared := zipfile.ZipInfo(f"old/data/{k}"))
            shared.file_size = shared.compress_size = 2**20
            shared.header_offset, shared.CRC = archive.filelist[1].header_offset, archive.filelist[1].CRC
    assert_refused("overlap")


def test_no_single_value_hurts(tmp_path, monkeypatch):
    """In the options and in what every module has; the file itself is made once."""
    content = read_module(write(tmp_path / "old.pt"))
    monkeypatch.setattr(published_checkpoints, "read_module", lambda _: content)
    read, refused = survives(content, lambda: convert(tmp_path / "old.pt"), every=37)
    assert read > 20 and refused > 20
