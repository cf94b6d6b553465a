"""The scripts from an extractor's checkpoint to the scores of both networks, as tests of a whole corpus run them."""

from types import SimpleNamespace


def run_stages(run_script, table, checkpoint, folder, modalities="at", held_out=(), train=()):
    """Score the extractor and embed the table's utterances with it; train the graph network on these and score it.

    Args:
        folder: gets all that is made, `results/extractor` and `results/cgnn` in it.
        held_out: flags of what is held out, for the extractor's scores and for the dialogues.
        train: further flags of train.py.
    Returns:
        namespace: `preprocessed` and `network`, the paths of the file of dialogues and of the graph network.
    """
    utterances, dialogues, preprocessed = ("--csv_path", table), folder / "d.pkl", folder / "p.pkl"
    one, two = (folder / f"results/{method}/{modalities}" for method in ("extractor", "cgnn"))
    scoring = ("--test_1920=True", *held_out) if held_out else ()
    run_script("MIRAI/inference.py", "--ckpt_path", checkpoint, *utterances, *scoring, "--out_dir", one)
    run_script("COGMEN_code/cogmen_formatting.py", *utterances, *held_out, "--out", dialogues)
    extraction = ("--model_save_path", checkpoint, *utterances, "--features_format_path", dialogues)
    run_script("MIRAI/feature_extractor_cogmen_format.py", *extraction)
    run_script("COGMEN_code/preprocess.py", "--feat_dir", folder / "d_feat.pkl", "--res_dir", preprocessed)
    training = ("--preprocessed_feature", preprocessed, "--modalities", modalities, "--from_begin", "--epochs", 2)
    run_script("COGMEN_code/train.py", *training, "--out_dir", folder, *train)
    (network,) = folder.glob("model_checkpoints/*.pt")
    run_script("COGMEN_code/eval.py", "--pt_dir", network, "--data_dir", preprocessed, "--out_dir", two)
    return SimpleNamespace(preprocessed=preprocessed, network=network)
