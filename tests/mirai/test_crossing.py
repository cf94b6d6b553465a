"""Cross-fitting: no session is embedded by an extractor that was trained on it."""

import numpy as np
import pytest

from erc.corpus.annotations import read_annotations
from erc.corpus.dialogues import read_dialogues
from erc.options import UserError
from mirai.checkpoint import load_extractor


@pytest.fixture(scope="module")
def checkpoints(train, trained, data, tmp_path_factory):
    """Of sessions 1 and 2, of 2 alone, of 1 alone, and one that has seen the test sessions; and the table."""
    table, zoo = data / "annotation_speaker_only.csv", tmp_path_factory.mktemp("crossing")
    held_out = {"without_1": (19, 20, 1), "without_2": (19, 20, 2), "without_1_and_2": (1, 2)}
    made = {
        name: train(table, zoo, "--test_sessions", *sessions, name=name, epochs=1) / "best.ckpt"
        for name, sessions in held_out.items()
    }
    return table, {"main": trained / "best.ckpt", **made}


@pytest.fixture
def extract(checkpoints, run_script, tmp_path):
    """`extract("main", "without_1", ...)`: the embeddings by segment id."""
    table, paths = checkpoints
    run_script("COGMEN_code/cogmen_formatting.py", "--csv_path", table, "--out", tmp_path / "d.pkl")
    named = ("--csv_path", table, "--features_format_path", tmp_path / "d.pkl", "--device", "cpu")

    def call(main, *others, more=()):
        others = ("--cross_fit", *(paths[name] for name in others)) if others else ()
        script = "MIRAI/feature_extractor_cogmen_format.py"
        run_script(script, "--model_save_path", paths[main], *named, *others, *more)
        if more and "--shard" in more:
            return None
        dialogues = read_dialogues(tmp_path / "d_feat.pkl").dialogues
        return {name: dialogue.joined("ta")[k] for dialogue in dialogues for k, name in enumerate(dialogue.segment_ids)}

    return call


def test_each_session_is_embedded_by_one_that_has_not_seen_it(extract, checkpoints):
    table, paths = checkpoints
    crossed = extract("main", "without_2", "without_1")
    alone = {name: extract(name) for name in ("main", "without_1", "without_2")}
    sessions = {utterance.segment_id: utterance.session for utterance in read_annotations(table)}
    assert sessions.keys() == crossed.keys()
    by = {1: "without_1", 2: "without_2", 19: "main", 20: "main"}
    seen = {name: set(load_extractor(paths[name])[1]["trained_on"]) for name in alone}
    for name, session in sessions.items():
        np.testing.assert_allclose(crossed[name], alone[by[session]][name], atol=1e-5)
        assert name not in seen[by[session]]
    changed = {
        session for name, session in sessions.items() if not np.allclose(crossed[name], alone["main"][name], atol=1e-5)
    }
    assert changed == {1, 2}
    for shard in ("1/2", "2/2"):
        extract("main", "without_1", "without_2", more=("--shard", shard))
    merged = extract("main", "without_1", "without_2", more=("--merge",))
    assert all(np.array_equal(merged[name], rows) for name, rows in crossed.items())


def test_a_checkpoint_that_has_seen_what_it_should_embed_is_refused(extract, checkpoints, experiments):
    with pytest.raises(
        UserError, match="--cross_fit: every checkpoint was trained on session 2; for each session that"
    ):
        extract("main", "without_1")
    with pytest.raises(UserError, match=r"without_1_and_2/best\.ckpt: was trained on .* held out here"):
        extract("main", "without_1", "without_2", "without_1_and_2")
    checkpoints[1]["text"] = experiments / "text/best.ckpt"
    with pytest.raises(UserError, match=r"was trained on|embeds text, 24 wide; expected"):
        extract("main", "text")
