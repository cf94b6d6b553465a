"""The flags that users of the published tools know, and those promised beside, stay."""

import pytest

from tests.conftest import load_script

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
    "comet_workspace tuning resume options",
    "COGMEN_code/eval.py": "dataset modalities pt_dir data_dir device out_dir",
}


@pytest.mark.parametrize("script", KEPT)
def test_known_flags_are_taken(script, capsys):
    with pytest.raises(SystemExit) as end:
        load_script(script).main(["--help"])
    assert end.value.code == 0
    words = capsys.readouterr().out.replace(",", " ").replace("[", " ").replace("]", " ").split()
    assert not {f"--{flag}" for flag in KEPT[script].split()} - set(words)
