"""`train.py --ablate`: what each network without a part can no longer see, and that its checkpoints are scored."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from cogmen.network.improved import ImprovedArchitecture, MaskedAttentionNetwork
from cogmen.network.model import CGNN, Architecture
from cogmen.options import TrainOptions
from cogmen.recipes import ABLATIONS
from cogmen.training import dialogue_set, predict
from erc.ablations import NAMES
from erc.corpus.corpora import KEMDY19
from erc.corpus.dialogues import write_dialogues
from tests.cogmen.conftest import make_dialogues

LENGTH, TURN = 30, 12


def make_dialogue():
    dialogue = make_dialogues(sessions=1, turns=(LENGTH, LENGTH + 1)).dialogues[0]
    assert len(dialogue) == LENGTH
    return dialogue


def changes_of(recipe, ablate, change, **options):
    """By how much a change of the dialogue moves the log-probabilities of turn `TURN`; of its own features excepted."""
    options = TrainOptions(from_begin=True, recipe=recipe, ablate=ablate, **options)
    torch.manual_seed(0)
    if recipe == "improved":
        network = MaskedAttentionNetwork(ImprovedArchitecture.from_options(options, {"a": 8, "t": 16}, 7))
    else:
        network = CGNN(Architecture.from_options(options, 24, 7, 2))
    for parameter in network.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.1)  # so that far turns count as much as near ones
    before, after = make_dialogue(), make_dialogue()
    change(after)
    rows = [
        predict(network, dialogue_set([one], network, KEMDY19, options, torch.device("cpu")), 1)[0][TURN]
        for one in (before, after)
    ]
    return (rows[0] - rows[1]).abs().max().item()


def other_features(*turns):
    def change(dialogue):
        for turn in turns:
            dialogue.features["t"][turn, ::2] += 5.0

    return change


def swap_speakers(dialogue):
    swapped = [dialogue.speakers[k] if k == TURN else "FM"[k % 2] for k in range(LENGTH)]
    assert swapped != dialogue.speakers
    dialogue.speakers = swapped


NEAR, FAR = other_features(TURN + 1), other_features(TURN + 11, TURN + 12)


@pytest.mark.parametrize(
    ("recipe", "ablate", "sees", "blind"),
    [
        ("published", None, (NEAR, FAR, swap_speakers), ()),
        ("published", "no_graph", (NEAR, FAR), (swap_speakers,)),
        ("published", "no_context", (NEAR, swap_speakers), (FAR,)),  # two layers of a window of 5
        ("published", "no_speaker", (NEAR, FAR), (swap_speakers,)),
        ("published", "window_0", (NEAR, FAR), (swap_speakers,)),  # what others said comes through the context alone
        ("improved", None, (NEAR, FAR, swap_speakers), ()),
        ("improved", "no_context", (), (NEAR, FAR, swap_speakers)),
        ("improved", "no_mask", (NEAR, FAR), (swap_speakers,)),
        ("improved", "no_speaker", (NEAR, FAR), (swap_speakers,)),
    ],
)
def test_what_a_turn_can_no_longer_see(recipe, ablate, sees, blind):
    for change in sees:
        assert changes_of(recipe, ablate, change) > 1e-5
    for change in blind:
        assert changes_of(recipe, ablate, change) < 1e-6


def test_windows_do_nothing_where_no_part_has_any():
    for recipe, ablate in (("published", "no_graph"), ("improved", "no_mask")):
        first, second = (changes_of(recipe, ablate, NEAR, wp=turns, wf=turns) for turns in (0, 9))
        assert first == pytest.approx(second, abs=1e-7)


def test_every_ablation_has_a_name_and_sets_what_there_is():
    assert {name for parts in ABLATIONS.values() for name in parts} == NAMES.keys()
    for recipe, parts in ABLATIONS.items():
        architecture = ImprovedArchitecture if recipe == "improved" else Architecture
        known = {field.name for one in (architecture, TrainOptions) for field in dataclasses.fields(one)}
        assert all(values.keys() <= known for values in parts.values())
        for turns, name in ((0, "window_0"), (2, "window_2"), (10, "window_10"), (-1, "window_all")):
            options = TrainOptions(from_begin=True, recipe=recipe, ablate=name)
            assert (options.wp, options.wf) == (turns, turns)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ablate": "no_mask"}, "--ablate no_mask: --recipe published has no_graph"),
        ({"ablate": "no_graph", "recipe": "improved"}, "--ablate no_graph: --recipe improved has no_context"),
        ({"ablate": "window_2", "wp": 7}, "--wp 7: --ablate window_2 makes it 2; leave one of them out"),
        ({"ablate": "window_2", "wf": 0}, "--wf 0: --ablate window_2 makes it 2; leave one of them out"),
        ({"ablate": "no_speaker", "relations": "speakers"}, "--relations speakers: --ablate no_speaker makes it time"),
        ({"ablate": "no_context", "seqcontext_nlayer": 3}, "--seqcontext_nlayer 3: --ablate no_context makes it 0"),
        ({"ablate": "no_context", "rnn": "gru"}, "needs --rnn transformer"),
        ({"ablate": "no_graph", "tuning": True}, "--ablate: --tuning searches whole networks"),
        *(
            ({"ablate": name, "online": True}, f"--ablate {name}: --online sees no future turns; leave it out")
            for name in ("window_2", "window_10", "window_all")
        ),
        ({"ablate": "window_2", "online": True, "recipe": "improved"}, "--ablate window_2: --online sees no future"),
    ],
)
def test_ablations_that_do_not_go_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        TrainOptions(from_begin=True, **options)


def test_an_online_network_can_lack_what_is_not_ahead():
    for name in ("window_0", "no_speaker"):
        assert TrainOptions(from_begin=True, ablate=name, online=True).wf == 0


def test_trained_and_scored_with_the_record_of_how_it_was_chosen(tmp_path, run_script):
    write_dialogues(tmp_path / "feat.pkl", make_dialogues())
    run_script("COGMEN_code/preprocess.py", "--feat_dir", tmp_path / "feat.pkl", "--res_dir", tmp_path / "p.pkl")
    found = {}
    for recipe, ablate in (("published", "no_context"), ("published", "no_graph"), ("improved", "no_mask")):
        shared = ("--preprocessed_feature", tmp_path / "p.pkl", "--out_dir", tmp_path, "--from_begin", "--epochs", 2)
        run_script("COGMEN_code/train.py", *shared, "--recipe", recipe, "--ablate", ablate, "--tag", ablate)
        path = tmp_path / f"model_checkpoints/KEMDy19_best_dev_f1_model_at_{ablate}.pt"
        out = tmp_path / recipe / ablate
        run_script("COGMEN_code/eval.py", "--pt_dir", path, "--data_dir", tmp_path / "p.pkl", "--out_dir", out)
        found[ablate] = json.loads((out / "metrics.json").read_text())["record"]
    assert found["no_graph"]["selected_on"] == "dev weighted F1" and found["no_graph"]["epoch"] in (1, 2)
    assert found["no_mask"]["selected_on"] == "nothing: the last epoch" and found["no_mask"]["epoch"] == 2
    assert all(one["test_scored"].startswith("once by train.py") for one in found.values())
    assert np.isfinite(found["no_context"]["dev_weighted_f1"])
