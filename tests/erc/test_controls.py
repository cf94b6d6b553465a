"""Controls on dialogues that show which of them can be right, and alterations against what must stay."""

import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import soundfile

from erc.controls import ALTERATIONS, CONTROLS, alter, describe_voice, predict
from erc.corpus.corpora import KEMDY19, UNLABELLED
from erc.corpus.dialogues import Dialogue, read_preprocessed, write_preprocessed
from erc.corpus.splits import divide
from erc.options import UserError
from tests.cogmen.conftest import make_dialogues
from tests.pictures import blank_pictures  # noqa: F401 (a fixture)

ANGRY, HAPPY, SAD = (KEMDY19.label(name) for name in ("angry", "happy", "sad"))


def dialogue(name, labels, sentences=None, features=None):
    count = len(labels)
    ids, speakers = [f"{name}_{'FM'[k % 2]}{k:03}" for k in range(count)], ["FM"[k % 2] for k in range(count)]
    rows = np.zeros((count, 2), np.float32) if features is None else np.array(features, np.float32)
    return Dialogue(name, ids, speakers, np.array(labels), sentences or [""] * count, {"t": rows})


def chosen(control, train, test, **more):
    splits = {"train": train[:-1], "dev": train[-1:], "test": test}
    return predict(control, splits, KEMDY19, **more).argmax(axis=1).tolist()


def test_majority_is_the_commonest_emotion_of_the_labelled_turns():
    train = [dialogue("Sess01_impro01", [SAD, SAD, ANGRY] + 9 * [UNLABELLED]), dialogue("Sess02_impro01", [SAD])]
    splits = {"train": train[:1], "dev": train[1:], "test": [dialogue("Sess19_impro01", [HAPPY, HAPPY])]}
    probabilities = predict("majority", splits, KEMDY19)
    assert probabilities[0].tolist() == [0, 0.25, 0, 0, 0.75, 0, 0] == probabilities[1].tolist()


def test_position_looks_the_turn_up_in_the_same_script():
    played = [ANGRY, HAPPY] * 5 + [SAD, SAD] * 20
    train = [dialogue(f"Sess{k:02}_script01", played) for k in range(1, 12)]
    train += [dialogue(f"Sess{k:02}_script02", [HAPPY] * 50) for k in range(1, 12)]
    assert chosen("position", train, [dialogue("Sess19_script01", [0] * 50)]) == played
    assert chosen("position", train, [dialogue("Sess19_script02", [0] * 4)]) == [HAPPY] * 4
    # A script that nobody has played: what stands at such places anywhere.
    assert set(chosen("position", train, [dialogue("Sess19_impro01", [0] * 4)])) <= {ANGRY, HAPPY}


@pytest.mark.parametrize("control", ["position", "nearest_sentences", "nearest_features"])
@pytest.mark.parametrize("order", [[ANGRY] * 7 + [SAD] * 8, [SAD] * 8 + [ANGRY] * 7])
def test_no_order_decides_between_training_turns_that_are_as_near(control, order):
    """Fifteen turns for ten places: seven of the emotion with the lower number, eight of the other."""
    train = [dialogue(f"Sess{k:02}_script01", [label], ["가자"], [[1, 2]]) for k, label in enumerate(order, start=1)]
    train.append(dialogue("Sess16_impro09", [HAPPY], ["아니"], [[-2, 1]]))
    splits = {"train": train[:-1], "dev": train[-1:], "test": [dialogue("Sess19_script01", [0], ["가자"], [[2, 4]])]}
    assert np.allclose(predict(control, splits, KEMDY19)[0, [ANGRY, SAD]], [7 / 15, 8 / 15])


def test_turns_nearer_than_the_tenth_count_whole():
    """F's turns are 0, 2 and 4: six at the place itself, and twelve at both sides of it for the other four places."""
    train = [dialogue(f"Sess{k:02}_script01", [ANGRY, HAPPY, SAD, HAPPY, HAPPY]) for k in range(1, 7)]
    splits = {"train": train[:-1], "dev": train[-1:], "test": [dialogue("Sess19_script01", [0] * 3)]}
    found = predict("position", splits, KEMDY19)[2]
    assert np.allclose(found[[ANGRY, HAPPY, SAD]], [0.2, 0.2, 0.6]) and np.isclose(found.sum(), 1)


@pytest.mark.parametrize("control", ["nearest_sentences", "words"])
def test_words_alone(control):
    said = ["너무 화가 나", "정말 기뻐", "슬퍼서 울었어"]
    train = [dialogue(f"Sess{k:02}_impro01", [ANGRY, HAPPY, SAD] * 4, said * 4) for k in range(1, 5)]
    test = [dialogue("Sess19_impro01", [0, 0, 0], ["슬퍼서 울었지", "너무 화가 난다", "정말 기뻐요"])]
    assert chosen(control, train, test) == [SAD, ANGRY, HAPPY]


@pytest.mark.parametrize("control", ["nearest_features", "features"])
def test_features_alone(control):
    points = [[1.0, 0.1], [0.1, 1.0], [-1.0, -1.0]]
    train = [dialogue(f"Sess{k:02}_impro01", [ANGRY, HAPPY, SAD] * 4, None, points * 4) for k in range(1, 5)]
    test = [dialogue("Sess19_impro01", [0, 0, 0], None, [[-0.9, -1.1], [1.1, 0.0], [0.0, 0.9]])]
    assert chosen(control, train, test) == [SAD, ANGRY, HAPPY]


def test_prosody_hears_pitch_and_loudness(tmp_path):
    rng = np.random.default_rng(0)
    train = [dialogue(f"Sess{k:02}_impro01", [ANGRY, SAD] * 3) for k in range(1, 4)]
    test = [dialogue("Sess19_impro01", [SAD, ANGRY, ANGRY, SAD])]
    for one in train + test:
        for name, label in zip(one.segment_ids, one.labels, strict=True):
            pitch, loudness = (300, 0.5) if label == ANGRY else (110, 0.05)
            wave = loudness * np.sin(2 * math.pi * pitch * np.arange(8000) / 16_000) + 1e-3 * rng.normal(size=8000)
            soundfile.write(tmp_path / f"{name}.wav", wave, 16_000)
    assert chosen("prosody", train, test, txt_wav=tmp_path) == [SAD, ANGRY, ANGRY, SAD]


def turns(dialogues):
    """All that belongs to a turn, as one value."""
    return Counter(
        (segment_id, speaker, label, sentence, *one.features["a"][k].tolist(), *one.features["t"][k].tolist())
        for one in dialogues
        for k, (segment_id, speaker, label, sentence) in enumerate(
            zip(one.segment_ids, one.speakers, one.labels.tolist(), one.sentences, strict=True)
        )
    )


@pytest.fixture
def splits():
    return divide(make_dialogues(sessions=6, turns=(4, 9)), KEMDY19)


def test_alterations_change_what_they_say_and_nothing_else(splits, tmp_path):
    for name in ALTERATIONS:
        altered = alter(name, splits)
        for split in splits:
            before, after = splits[split], altered[split]
            assert [(one.id, len(one)) for one in before] == [(one.id, len(one)) for one in after]
            same = [one.segment_ids == other.segment_ids for one, other in zip(before, after, strict=True)]
            if name in ("turns_shuffled", "neighbours_of_others"):
                assert turns(before) == turns(after) and not all(same)
            else:
                assert all(same)
                column = "labels" if name == "labels_shuffled" else "speakers"
                pairs = [
                    (list(getattr(a, column)), list(getattr(b, column))) for a, b in zip(before, after, strict=True)
                ]
                assert (split == "test" and name == "labels_shuffled") == all(one == other for one, other in pairs)
                assert Counter(x for a, _ in pairs for x in a) == Counter(x for _, b in pairs for x in b)
        write_preprocessed(tmp_path / "p.pkl", altered)
        read_preprocessed(tmp_path / "p.pkl")  # which checks them


def test_turns_are_shuffled_within_their_dialogue_or_over_all(splits):
    for one, other in zip(splits["train"], alter("turns_shuffled", splits)["train"], strict=True):
        assert sorted(one.segment_ids) == sorted(other.segment_ids)
    mixed = alter("neighbours_of_others", splits)["train"]
    assert max(len({name[:14] for name in one.segment_ids}) for one in mixed) > 2


@pytest.mark.parametrize("alteration", ["turns_shuffled", "neighbours_of_others"])
def test_altered_dialogues_are_scored_as_turns_of_their_own_dialogue(splits, alteration, tmp_path):
    """Or intervals would be over dialogues that were made up."""
    write_preprocessed(tmp_path / "p.pkl", alter(alteration, splits))
    test = read_preprocessed(tmp_path / "p.pkl")[0]["test"]
    test[0] = test[0].part(slice(1, None))
    before = {turn[0]: turn for dialogue in splits["test"] for turn in dialogue.turns()}
    found = [turn for dialogue in test for turn in dialogue.turns()]
    assert len(found) == len(before) - 1 and all(turn == before[turn[0]] for turn in found)


@pytest.mark.parametrize("sources", [["Sess19_impro01"], "Sess19_impro01", [3] * 4])
def test_sources_that_are_none_are_named(splits, sources, tmp_path):
    splits["test"][0] = replace(splits["test"][0], sources=sources)
    write_preprocessed(tmp_path / "p.pkl", splits)
    with pytest.raises(UserError, match=r"p\.pkl: dialogue .*: sources .*, expected a dialogue id for each turn"):
        read_preprocessed(tmp_path / "p.pkl")


def test_the_script_scores_every_control(run_script, splits, tmp_path, capsys):
    write_preprocessed(tmp_path / "p.pkl", splits)
    run_script("tools/controls.py", "--data_dir", tmp_path / "p.pkl", "--out_dir", tmp_path / "c")
    shown = capsys.readouterr().out
    for control in CONTROLS.keys() - {"prosody"}:
        assert control in shown and (tmp_path / "c" / control / "at" / "predictions.csv").is_file()
    altered = ("--alter", "turns_shuffled", "--res_dir", tmp_path / "q.pkl")
    run_script("tools/controls.py", "--data_dir", tmp_path / "p.pkl", *altered)
    assert turns(read_preprocessed(tmp_path / "q.pkl")[0]["test"]) == turns(splits["test"])


def test_speech_that_is_missing_is_named_before_the_work(run_script, splits, tmp_path, capsys):
    write_preprocessed(tmp_path / "p.pkl", splits)
    command = ("tools/controls.py", "--data_dir", tmp_path / "p.pkl", "--out_dir", tmp_path / "c")
    with pytest.raises(UserError, match=rf"--txt_wav: {tmp_path}/none/Sess.*\.wav: no such file; expected the speech"):
        run_script(*command, "--txt_wav", tmp_path / "none")
    assert "majority" not in capsys.readouterr().out
    (tmp_path / "x.wav").write_bytes(b"no sound")
    with pytest.raises(UserError, match=r"x\.wav: no speech that can be read"):
        describe_voice(tmp_path / "x.wav")
