"""Every command in the documents, and the commands and flags that users of the published tools know, are accepted."""

import re
import shlex
import subprocess
import sys

import pytest

from erc.options import REPOSITORY, parse
from tests.conftest import load_script

KNOWN = """
python MIRAI/preprocess.py --root_path KEMDy19 --save_path ./data/
python MIRAI/trainer_hf.py --exp_name both_test_1920_speakeronly --using_model both --batch_size 2 \
    --accumulate_grad 8 --test_1920=True --csv_path ./data/annotation_speaker_only.csv --loss ce
python MIRAI/trainer_hf_MMER.py --exp_name both_ce_MMI --batch_size 2 --accumulate_grad 8
python MIRAI/trainer_hf_MMER.py --exp_name both_cs_and_ce_MMI --batch_size 2 --accumulate_grad 8 --loss cs_and_ce
python MIRAI/inference.py --ckpt_path CKPT --test_1920=True --csv_path ./data/annotation_speaker_only.csv
python MIRAI/inference.py --all ./models_zoo/checkpoint --csv_path ./data/annotation.csv
python COGMEN_code/cogmen_formatting.py
python MIRAI/feature_extractor_cogmen_format.py --model_save_path CKPT --csv_path A.csv --features_format_path D.pkl
python COGMEN_code/preprocess.py --dataset KEMDy19 --feat_dir F.pkl --res_dir P.pkl
python COGMEN_code/train.py --tag tmp --dataset KEMDy19 --modalities at --from_begin --epochs 100 \
    --preprocessed_feature P.pkl
python COGMEN_code/eval.py --dataset KEMDy19 --modalities at --pt_dir CKPT.pt --data_dir P.pkl
"""
_TRAINER = (
    "exp_name batch_size accumulate_grad test_1920 csv_path loss clip_length text_encoder audio_encoder lr max_epochs "
    "test_sessions device resume log_in_comet comet_api_key comet_workspace"
)
KEPT = {
    "MIRAI/preprocess.py": "root_path save_path",
    "MIRAI/trainer_hf.py": f"{_TRAINER} using_model",
    "MIRAI/trainer_hf_MMER.py": _TRAINER,
    "MIRAI/inference.py": "ckpt_path all test_1920 csv_path test_sessions device out_dir",
    "MIRAI/feature_extractor_cogmen_format.py": "model_save_path csv_path features_format_path device",
    "COGMEN_code/preprocess.py": "dataset feat_dir res_dir split_utterances seed text_feature dev_sessions",
    "COGMEN_code/train.py": "tag dataset modalities from_begin epochs preprocessed_feature batch_size optimizer "
    "scheduler learning_rate weight_decay max_grad_value drop_rate wp wf hidden_size rnn class_weight "
    "concat_gin_gout seqcontext_nlayer gnn_nheads use_highway seed device model_ckpt log_in_comet comet_api_key "
    "comet_workspace tuning resume options recipe",
    "COGMEN_code/eval.py": "dataset modalities pt_dir data_dir device out_dir",
}
DOCUMENTS = ["README.md", "README.ko.md", *(str(path.relative_to(REPOSITORY)) for path in REPOSITORY.glob("docs/*.md"))]
DOCUMENTS += [f"{place}/sample/README.md" for place in ("data", "models_zoo")]


def commands(text):
    """The `python ...` commands in a document: between backquotes, or on lines of their own."""
    text = re.sub(r" +# .*$", "", text.replace("\\\n", " ").replace(".venv/bin/python ", "python "), flags=re.MULTILINE)
    found = re.findall(r"`(python [^`]+\.py[^`]*)`", text) + re.findall(r"^ *(python \S+\.py.*)$", text, re.MULTILINE)
    return [command for command in found if "|" not in command]


class Parsed(Exception):
    pass


def check(command, monkeypatch, tmp_path):
    """The options as which a script takes a command, without running it."""
    _, path, *arguments = shlex.split(command)
    module = load_script(path)
    if "--options" in arguments:  # what a search leaves
        (tmp_path / "best_options.json").write_text('{"from_begin": true}')
        arguments[arguments.index("--options") + 1] = str(tmp_path / "best_options.json")

    def stop_after_parsing(cls, argv, description):
        raise Parsed(parse(cls, argv, description))

    monkeypatch.setattr(module, "parse", stop_after_parsing)
    with pytest.raises(Parsed) as parsed:
        module.main(arguments)
    return parsed.value.args[0]


def test_the_known_commands(monkeypatch, tmp_path):
    found = commands(KNOWN)
    assert len(found) == 11
    for command in found:
        check(command, monkeypatch, tmp_path)


def test_help_waits_for_no_library():
    """What takes seconds to import is imported when it is used: --help and a wrong flag are answered at once."""
    scripts = [
        str(path) for folder in ("MIRAI", "COGMEN_code", "tools", "app") for path in REPOSITORY.glob(f"{folder}/*.py")
    ]
    assert len(scripts) > 20
    program = """if True:
        import pathlib, runpy, sys
        import cogmen, erc.corpus.annotations, erc.corpus.splits, mirai.readers.kemdy19
        assert "soundfile" not in sys.modules
        for script in sys.argv[1:]:
            sys.path[0] = str(pathlib.Path(script).parent)
            runpy.run_path(script, run_name="script")
            heavy = {"torch", "sklearn", "transformers", "pandas", "librosa", "pytorch_lightning"}
            heavy |= {"comet_ml", "optuna", "sentence_transformers"}
            assert not heavy & set(sys.modules), (script, heavy & set(sys.modules))
    """
    subprocess.run([sys.executable, "-c", program, *scripts], check=True, timeout=120)


@pytest.mark.parametrize("script", KEPT)
def test_known_flags_are_taken(script, capsys):
    with pytest.raises(SystemExit) as end:
        load_script(script).main(["--help"])
    assert end.value.code == 0
    words = capsys.readouterr().out.replace(",", " ").replace("[", " ").replace("]", " ").split()
    assert not {f"--{flag}" for flag in KEPT[script].split()} - set(words)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_the_documents_commands(document, monkeypatch, tmp_path):
    for command in commands((REPOSITORY / document).read_text()):
        check(command, monkeypatch, tmp_path)


def test_the_scripts_own_commands(monkeypatch, tmp_path):
    """The command that each script's docstring begins with."""
    scripts = [
        *REPOSITORY.glob("MIRAI/*.py"),
        *REPOSITORY.glob("COGMEN_code/*.py"),
        *REPOSITORY.glob("tools/*.py"),
        *REPOSITORY.glob("benchmarks/*.py"),
        *REPOSITORY.glob("app/*.py"),
    ]
    assert len(scripts) > 10
    for script in scripts:
        module = load_script(str(script.relative_to(REPOSITORY)))
        if not hasattr(module, "main"):
            continue  # shared by scripts
        found = commands(module.__doc__)
        assert found, f"{script.name} does not say how it is used"
        for command in found:
            check(command, monkeypatch, tmp_path)
