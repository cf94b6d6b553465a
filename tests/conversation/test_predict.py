"""app/predict.py as a user runs it, on a tiny extractor and network, and what it says of wrong input."""

import csv
import json
import os
import unicodedata

import numpy as np
import pytest

from erc.options import UserError
from tests.conversation.conftest import RATE, TURNS, tones, write_manifest, write_sound

PREDICT = "app/predict.py"


@pytest.fixture
def predict(run_script, models, tmp_path):
    """`predict(...)` runs the script; gives what it wrote to turns.json."""

    def call(*arguments, models=models):
        run_script(PREDICT, *arguments, *models, "--out", tmp_path / "report", "--overwrite", "--quiet")
        return json.loads((tmp_path / "report/turns.json").read_text())

    return call


def refused(predict, *arguments, message, **keywords):
    """The call is refused with this message, and nothing is left of it."""
    with pytest.raises(UserError, match=message) as error:
        predict(*arguments, **keywords)
    return str(error.value)


def test_a_recording_with_a_manifest(predict, call, tmp_path):
    data = predict(call.wav, "--turns", call.csv)
    assert [(turn["start"], turn["end"], turn["speaker"], turn["text"]) for turn in data["turns"]] == [
        turn[:4] for turn in TURNS
    ]
    assert sorted(path.name for path in (tmp_path / "report").iterdir()) == ["report.html", "turns.csv", "turns.json"]
    assert not [path.name for path in tmp_path.iterdir() if path.name.startswith(".report")]
    rows = list(csv.DictReader((tmp_path / "report/turns.csv").open(encoding="utf-8", newline="")))
    emotions = data["emotions"]
    assert list(rows[0]) == ["start", "end", "speaker", "text", "emotion", *(f"p_{e}" for e in emotions), "unsure"]
    for row, turn in zip(rows, data["turns"], strict=True):
        p = [float(row[f"p_{emotion}"]) for emotion in emotions]
        assert row["emotion"] == turn["emotion"] == emotions[int(np.argmax(p))]
        assert sum(p) == pytest.approx(1, abs=1e-4) and p == turn["probabilities"]
        assert turn["unsure"] is False and row["unsure"] == "False"  # training found no limit on these few turns
        assert turn["reasons"].keys() == {"voice", "words", "conversation"}


def test_probabilities_are_those_of_the_pipeline(predict, data, models, run_script, tmp_path):
    """What stages 1 to 3 give for a dialogue of a corpus, script by script."""
    from cogmen.checkpoints import load_checkpoint
    from cogmen.network.batching import DialogueSet
    from cogmen.training import predict as run_network
    from erc.corpus.dialogues import read_dialogues

    table, name = data / "annotation_speaker_only.csv", "Sess19_impro01"
    found = predict("--csv_path", table, "--dialogue", name)
    run_script("COGMEN_code/cogmen_formatting.py", "--csv_path", table, "--out", tmp_path / "d.pkl")
    files = ("--csv_path", table, "--features_format_path", tmp_path / "d.pkl", "--device", "cpu")
    run_script("MIRAI/feature_extractor_cogmen_format.py", "--model_save_path", models[1], *files)
    file = read_dialogues(tmp_path / "d_feat.pkl")
    (dialogue,) = [one for one in file.dialogues if one.id == name]
    network = load_checkpoint(models[3]).network
    log_probs, _ = run_network(network, DialogueSet([dialogue], "at", file.corpus, 5, 5, 2), 1)
    assert [turn["segment_id"] for turn in found["turns"]] == dialogue.segment_ids
    assert [turn["given_emotion"] for turn in found["turns"]] == [file.corpus.emotions[k] for k in dialogue.labels]
    assert np.allclose([turn["probabilities"] for turn in found["turns"]], log_probs.exp().numpy(), atol=2e-5)


def test_reasons_are_what_the_label_loses(predict, call, models):
    """Against the plain way: each turn and each reason for itself."""
    import torch

    device = torch.device("cpu")
    from conversation.models import load_models
    from conversation.prediction import make_dialogue, probabilities
    from conversation.reasons import explain
    from conversation.sources import read_conversation
    from tests.conftest import load_script

    script = load_script(PREDICT)
    options = script.parse(
        script.PredictOptions, [str(one) for one in (call.wav, "--turns", call.csv, *models, "--out", "x")]
    )
    conversation = read_conversation(options, list)
    loaded = load_models(options, conversation)
    dialogue = make_dialogue(conversation, loaded, device, True)
    rows = probabilities([dialogue], loaded, device)
    labels = rows.argmax(axis=1)
    losses = explain(dialogue, labels, rows.max(axis=1), loaded, device, lambda items, _: items)
    for k in range(len(dialogue)):
        for reason, modality in (("voice", "a"), ("words", "t")):
            kept = dialogue.features[modality].copy()
            dialogue.features[modality][k] = 0
            left = probabilities([dialogue], loaded, device)[k, labels[k]]
            dialogue.features[modality][:] = kept
            assert losses[reason][k] == pytest.approx(rows[k, labels[k]] - left, abs=1e-5)
        (alone,) = [part for number, part in enumerate(dialogue.chunks(1)) if number == k]
        left = probabilities([alone], loaded, device)[0, labels[k]]
        assert losses["conversation"][k] == pytest.approx(rows[k, labels[k]] - left, abs=1e-5)


def test_channels_give_each_turn_its_own_speech(predict, call):
    """Where two speak at once, each is judged by their own channel."""
    apart = predict(call.wav, "--turns", call.csv, "--channels", "M", "F")
    mixed = predict(call.wav, "--turns", call.csv)
    assert [turn["channel"] for turn in apart["turns"]] == [1, 2, 1, 2, 1]
    changed = [a["probabilities"] != b["probabilities"] for a, b in zip(apart["turns"], mixed["turns"], strict=True)]
    assert any(changed)


def test_a_manifest_says_on_which_channel_someone_is(predict, call):
    columns = ("file_name", "dialogue", "speaker", "start", "end", "text", "channel")
    rows = [("call.wav", "call", s, start, end, text, "MF".index(s) + 1) for start, end, s, text, _ in TURNS]
    path = write_manifest(call.csv, rows, columns)
    alone, given, named = predict("--turns", path), predict(call.wav, "--turns", path), ("--channels", "M", "F")
    assert given["turns"] == alone["turns"] == predict(call.wav, "--turns", path, *named)["turns"]
    assert [turn["channel"] for turn in given["turns"]] == [1, 2, 1, 2, 1]
    other = ("--channels", "F", "M")
    refused(predict, call.wav, "--turns", path, *other, message=r"channel 1; by --channels M is on channel 2 \(M\)")
    write_manifest(path, [*rows[:4], (*rows[4][:-1], 3)], columns)
    refused(predict, call.wav, "--turns", path, message=r"turn 5 \(M\): channel 3; call\.wav has 2")


def test_a_manifest_of_other_recordings_is_refused(predict, call, tmp_path):
    rows = [(name, "call", "M", k, k + 1, "정말") for k, name in enumerate(("a.wav", "b.wav"))]
    path = write_manifest(tmp_path / "two.csv", rows)
    refused(predict, call.wav, "--turns", path, message=r"has turns of 2 recordings, a\.wav, b\.wav; .* is one")


def test_a_name_in_either_spelling_of_hangul_is_one_speaker(predict, call):
    names = {"M": unicodedata.normalize("NFD", "민수"), "F": " 영희"}
    rows = [("call.wav", "call", names[s], start, end, text) for start, end, s, text, _ in TURNS]
    data = predict(call.wav, "--turns", write_manifest(call.csv, rows), "--channels", "민수", "영희")
    assert data["speakers"] == ["민수", "영희"]


def test_two_recordings(predict, call, tmp_path):
    sound = tones()
    files = [write_sound(tmp_path / f"{name}.wav", sound[:, k]) for k, name in enumerate("MF")]
    two = predict(*files, "--channels", "M", "F", "--turns", call.csv)
    one = predict(call.wav, "--channels", "M", "F", "--turns", call.csv)
    assert [turn["probabilities"] for turn in two["turns"]] == [turn["probabilities"] for turn in one["turns"]]
    assert [turn["file_name"] for turn in two["turns"]] == [f"{turn[2]}.wav" for turn in TURNS]


def test_a_manifest_that_names_its_recording(predict, call):
    assert predict("--turns", call.csv) == {
        **predict(call.wav, "--turns", call.csv),
        "sources": ["call.csv", "call.wav"],
    }


def test_a_file_name_that_is_not_utf8_is_refused_before_anything_is_read(predict, call, tmp_path):
    path = tmp_path / os.fsdecode(b"\xc5\xeb\xc8\xad.wav")
    os.rename(call.wav, path)
    refused(predict, path, "--turns", call.csv, message=r"\.wav': a file's name that is not UTF-8, .* rename")


def test_times_of_a_manifest_that_make_no_sense_are_refused(predict, call):
    rows = [("call.wav", "call", s, start, end, text) for start, end, s, text, _ in TURNS]
    write_manifest(call.csv, [*rows[:4], (*rows[4][:3], "", "", "정말")])
    message = r"turn without times in a dialogue whose other turns have them: call\.csv, row 6"
    for arguments in (("--turns", call.csv), (call.wav, "--turns", call.csv), ("--text", call.csv)):
        refused(predict, *arguments, message=message)
    write_manifest(call.csv, [*rows[:4], (*rows[4][:4], 9999, "정말")])
    refused(predict, "--turns", call.csv, message=r"turn 5 \(M\): from 5\.2 to 9999 s; call\.wav has 6\.5 s")


def test_a_turn_at_the_very_end_has_sound(predict, call):
    rows = [("call.wav", "call", s, start, end, text) for start, end, s, text, _ in TURNS]
    write_manifest(call.csv, [*rows, ("call.wav", "call", "F", 6.49999, 6.5, "정말")])
    for arguments in (("--turns", call.csv), (call.wav, "--turns", call.csv)):
        assert sum(predict(*arguments)["turns"][-1]["probabilities"]) == pytest.approx(1, abs=1e-4)


def test_a_manifest_of_single_files(predict, tmp_path):
    sound = tones()
    for k, (start, end, speaker, *_) in enumerate(TURNS):
        write_sound(tmp_path / f"{k}.wav", sound[int(start * RATE) : int(end * RATE), "MF".index(speaker)])
    rows = [(f"{k}.wav", "call", turn[2], turn[3]) for k, turn in enumerate(TURNS)]
    path = write_manifest(tmp_path / "one.csv", rows, ("file_name", "dialogue", "speaker", "text"))
    data = predict("--turns", path)
    assert [turn["start"] for turn in data["turns"]] == [0, 1, 2, 3.2, 4.2] and data["dialogue"] == "call"


def test_text_alone(predict, trained, make_network, tmp_path):
    path = tmp_path / "talk.txt"
    path.write_text("\n".join(f"{turn[2]}: {turn[3]}" for turn in TURNS), encoding="utf-8")
    text_only = ("--extractor", trained / "best.ckpt", "--cgnn", make_network("t"))
    data = predict("--text", path, models=text_only)
    assert [turn["start"] for turn in data["turns"]] == [None] * 5
    assert [turn["reasons"].keys() for turn in data["turns"]] == [{"conversation"}] * 5
    both = predict("--turns", write_call(tmp_path), models=text_only)
    assert np.allclose(*([turn["probabilities"] for turn in one["turns"]] for one in (data, both)), atol=1e-5)
    refused(predict, "--text", path, message=r"talk\.txt: these models need speech; give a recording")


def write_call(folder):
    write_sound(folder / "call.wav", tones())
    return write_manifest(folder / "call.csv", [("call.wav", "call", s, a, b, text) for a, b, s, text, _ in TURNS])


def test_models_that_need_text_say_so(predict, call, tmp_path, trained, make_network):
    path = tmp_path / "who.rttm"
    path.write_text("\n".join(f"SPEAKER x 1 {a} {b - a} <NA> <NA> {s} <NA> <NA>" for a, b, s, *_ in TURNS))
    refused(
        predict, call.wav, "--turns", path, message=r"call\.wav: these models need text; give it with --turns FILE, or"
    )
    audio_only = ("--extractor", trained / "best.ckpt", "--cgnn", make_network("a"))
    data = predict(call.wav, "--turns", path, models=audio_only)
    assert data["notes"][0]["en"].startswith("There is no text") and "텍스트가 없어" in data["notes"][0]["ko"]


def test_speakers_of_other_names_take_the_networks_places(predict, call, tmp_path):
    names = {"M": "F", "F": "Anna"}
    rows = [("call.wav", "call", names[s], a, b, text) for a, b, s, text, _ in TURNS]
    data = predict(call.wav, "--turns", write_manifest(tmp_path / "other.csv", rows))
    assert data["speakers"] == ["F", "Anna"] and "Anna = M" in data["notes"][0]["en"]
    swapped = [("call.wav", "call", {"M": "F", "F": "M"}[s], a, b, text) for a, b, s, text, _ in TURNS]
    same = predict(call.wav, "--turns", write_manifest(tmp_path / "same.csv", swapped))
    ours, theirs = ([turn["probabilities"] for turn in one["turns"]] for one in (same, data))
    assert np.allclose(ours, theirs, atol=2e-6)


def test_a_third_speaker_is_too_many(predict, call, tmp_path):
    rows = [("call.wav", "call", speaker, k, k + 1, "정말") for k, speaker in enumerate(("A", "B", "C"))]
    path = write_manifest(tmp_path / "three.csv", rows)
    refused(predict, call.wav, "--turns", path, message="3 speakers .A, B, C., the graph network was trained with 2")


def test_unsure_turns_are_marked(predict, call):
    all_, none = (predict(call.wav, "--turns", call.csv, "--unsure", p) for p in ("1", "0"))
    assert all(turn["unsure"] for turn in all_["turns"]) and not any(turn["unsure"] for turn in none["turns"])


def test_what_the_checkpoint_says_of_confidence_is_used(predict, call, models, tmp_path):
    from cogmen.checkpoints import load_checkpoint, save_checkpoint

    checkpoint, path = load_checkpoint(models[3]), tmp_path / "other.pt"
    answers = []
    for checkpoint.temperature, checkpoint.unsure in ((1.0, None), (3.0, 0.5)):
        save_checkpoint(path, checkpoint)
        answers.append(predict(call.wav, "--turns", call.csv, models=(*models[:3], path)))
    for own, calibrated in zip(*(data["turns"] for data in answers), strict=True):
        p = np.array(own["probabilities"]) ** (1 / 3)
        assert calibrated["probabilities"] == pytest.approx(p / p.sum(), abs=1e-4)
        assert calibrated["emotion"] == own["emotion"] and own["unsure"] is False
        assert calibrated["unsure"] == (max(calibrated["probabilities"]) < 0.5)


def test_networks_of_the_improved_recipe_answer_too(predict, call, models, data, run_script, tmp_path):
    """They know any number of speakers and have no graph."""
    table, files = data / "annotation_speaker_only.csv", ("--dataset", "KEMDy19")
    run_script("COGMEN_code/cogmen_formatting.py", "--csv_path", table, "--out", tmp_path / "d.pkl")
    extraction = ("--csv_path", table, "--features_format_path", tmp_path / "d.pkl", "--device", "cpu")
    run_script("MIRAI/feature_extractor_cogmen_format.py", "--model_save_path", models[1], *extraction)
    prepared = tmp_path / "p.pkl"
    run_script("COGMEN_code/preprocess.py", *files, "--feat_dir", tmp_path / "d_feat.pkl", "--res_dir", prepared)
    training = ("--recipe", "improved", "--from_begin", "--epochs", 1, "--preprocessed_feature", prepared)
    run_script("COGMEN_code/train.py", *files, *training, "--out_dir", tmp_path, "--tag", "new")
    path = tmp_path / "model_checkpoints/KEMDy19_best_dev_f1_model_at_new.pt"
    rows = [("call.wav", "call", name, k, k + 1, "정말") for k, name in enumerate(("A", "B", "C"))]
    turns = write_manifest(tmp_path / "three.csv", rows)
    answer = predict(call.wav, "--turns", turns, models=(*models[:3], path))
    assert [turn["speaker"] for turn in answer["turns"]] == ["A", "B", "C"]


def test_reasons_can_be_left_out(predict, call):
    assert all(turn["reasons"] == {} for turn in predict(call.wav, "--turns", call.csv, "--reasons=False")["turns"])


def test_silence_is_told(predict, tmp_path):
    path = write_sound(tmp_path / "silent.wav", np.zeros((3 * RATE, 2)))
    refused(predict, path, "--channels", "M", "F", message=r"silent\.wav: silent: no sample is louder than -60 dB")


def test_clipping_is_told(predict, tmp_path):
    write_sound(tmp_path / "call.wav", np.clip(9 * tones(), -1, 1))
    rows = [("call.wav", "call", s, a, b, text) for a, b, s, text, _ in TURNS]
    path = write_manifest(tmp_path / "call.csv", rows)
    data = predict(tmp_path / "call.wav", "--turns", path, "--channels", "M", "F")
    assert "channel 1 (M) is clipped" in data["notes"][0]["en"]


@pytest.mark.parametrize("name", ["call.wav", "call.m4a"])
def test_what_is_no_sound_is_refused(predict, call, tmp_path, name):
    path = tmp_path / "other" / name
    path.parent.mkdir()
    path.write_bytes(b"PK\x03\x04" + bytes(500))
    text = refused(predict, path, "--turns", call.csv, message=f"{name}: not a sound file that can be read")
    assert f"ffmpeg -i {name}" in text


def test_a_header_of_ten_hours_is_refused(predict, call, tmp_path):
    sound = bytearray(call.wav.read_bytes())
    place = sound.index(b"data") + 4
    sound[place : place + 4] = (10 * 3600 * RATE * 4).to_bytes(4, "little")
    (tmp_path / "long.wav").write_bytes(sound)
    refused(predict, tmp_path / "long.wav", "--turns", call.csv, message=r"long\.wav: truncated: 2304000000 bytes")


def test_a_recording_that_is_too_long_is_refused_before_it_is_read(predict, call, tmp_path):
    path = tmp_path / "long.wav"
    write_sound(path, np.zeros(0))
    sound = bytearray(path.read_bytes())
    size = 10 * 3600 * RATE * 2
    place = sound.index(b"data") + 4
    sound[place : place + 4], sound[4:8] = size.to_bytes(4, "little"), (size + 36).to_bytes(4, "little")
    path.write_bytes(sound)
    os.truncate(path, size + len(sound))  # a file of holes
    refused(predict, path, "--turns", call.csv, message=r"long\.wav: 10\.0 hours long, expected at most 3; cut it")


def test_turns_that_do_not_belong_to_the_recording(predict, call, tmp_path):
    late = write_manifest(tmp_path / "late.csv", [("call.wav", "call", "M", 60, 61, "정말")])
    refused(predict, call.wav, "--turns", late, message=r"turn 1 \(M\): from 60 to 61 s; call\.wav has 6\.5 s")
    rows = [("call.wav", "call", "M", 1, 3, "정말"), ("call.wav", "call", "M", 2, 4, "그래")]
    twice = write_manifest(tmp_path / "twice.csv", rows)
    refused(predict, call.wav, "--turns", twice, message="M speaks from 1 to 3 s and again from 2 s")
    refused(predict, call.wav, "--turns", call.csv, "--channels", "A", "B", message="--channels names A, B, not M")


def test_who_speaks_must_be_known(predict, call, tmp_path):
    refused(predict, call.wav, message=r"2 channels in call\.wav: say who speaks on each, such as --channels M F")
    refused(predict, call.wav, "--channels", "M", "F", "X", message="3 names for 2 channels")
    mono = write_sound(tmp_path / "mono.wav", tones().sum(axis=1))
    refused(predict, mono, message=r"mono\.wav: has one channel, and nothing says who speaks when. Give --turns FILE")


def test_models_that_do_not_fit_are_refused(predict, call, trained, make_network):
    wide = ("--extractor", trained / "best.ckpt", "--cgnn", make_network("at", width=32))
    refused(predict, call.wav, "--turns", call.csv, models=wide, message="features of 32 values, .* makes 24")
    seen = ("--extractor", trained / "best.ckpt", "--cgnn", make_network("atv"))
    refused(predict, call.wav, "--turns", call.csv, models=seen, message="visual features of 24 values, .* makes none")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "recording: give a recording"),
        (("--text", "a", "--csv_path", "b"), "--text: and --csv_path; give one of them"),
        (("--csv_path", "a"), "--csv_path: needs --dialogue"),
        (("a.wav", "--extractor", "x"), "--extractor: needs --cgnn too"),
        (("a.wav", "--unsure", "2"), "--unsure 2: expected a probability"),
        (("a.wav", "--channels", "", "F"), "--channels: '' is no name of a speaker"),
        (("a.wav", "--channels", " M", "M"), "--channels M M: expected a name of its own"),
        (("a.wav", "--channels", "M", "M"), "--channels M M: expected a name of its own for each channel"),
        (("--text", "a", "--channels", "M"), "--channels: names the speakers of a recording"),
        (("a.wav", "--speakers", "1"), "--speakers 1: expected 2 to 8"),
        (("a.wav", "b.wav", "--speakers", "2"), "--speakers: is of one recording in which all speak"),
        (("a.wav", "--speakers", "2", "--channels", "M", "F"), "--speakers: guesses who speaks; --channels says it"),
        (("--text", "a.txt", "--speakers", "2"), "--speakers: is of one recording"),
    ],
)
def test_wrong_usage(run_script, capsys, tmp_path, arguments, message):
    with pytest.raises(SystemExit):
        run_script(PREDICT, *arguments, "--out", tmp_path / "out")
    assert message in capsys.readouterr().err


def test_another_folder_is_not_replaced(predict, run_script, models, call, tmp_path):
    (tmp_path / "report").mkdir()
    (tmp_path / "report/mine.txt").write_text("mine")
    refused(predict, call.wav, "--turns", call.csv, message="is not a report, so --overwrite does not replace it")
    with pytest.raises(UserError, match="exists and is not empty; choose another directory or add --overwrite"):
        run_script(PREDICT, call.wav, "--turns", call.csv, *models, "--out", tmp_path / "report")
    assert (tmp_path / "report/mine.txt").read_text() == "mine"


def test_an_interrupt_leaves_nothing_half(predict, call, tmp_path, monkeypatch):
    """Ctrl-C when the tables are there and the page is not; an earlier report stays."""
    predict(call.wav, "--turns", call.csv)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    def interrupted(folder, *_):
        assert (folder / "turns.json").is_file()
        raise KeyboardInterrupt

    monkeypatch.setattr("conversation.predict.write_report", interrupted)
    with pytest.raises(KeyboardInterrupt):
        predict(call.wav, "--turns", call.csv, "--unsure", 1)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_the_sample_models_answer_with_a_warning(run_script, call, tmp_path, capsys):
    run_script(PREDICT, call.wav, "--turns", call.csv, "--out", tmp_path / "report", "--device", "cpu")
    printed = capsys.readouterr()
    assert "they know synthetic voices and made-up lines only" in printed.err
    assert "5 turns of M, F:" in printed.out and "wrote turns.csv, turns.json and report.html" in printed.out
    assert "합성 음성" in (tmp_path / "report/report.html").read_text(encoding="utf-8")


def test_turns_are_found_where_someone_speaks(run_script, tmp_path, capsys):
    """Synthetic voices on two channels; nobody on a third."""
    pytest.importorskip("silero_vad", reason="silero-vad of requirements-app.txt is not installed")
    from mirai.sample.voice import speak

    said = [(0.5, "M", "m3"), (4.0, "F", "f2"), (5.0, "M", "m3")]
    sound, expected = np.zeros((10 * RATE, 3), dtype=np.float32), []
    for start, speaker, variant in said:
        wave = speak("내일 회의는 오전 열 시에 시작해요.", variant, 200, 50, 50) / 32768
        first = int(start * RATE)
        sound[first : first + len(wave), "MF".index(speaker)] = wave
        expected.append((speaker, start, start + len(wave) / RATE))
    path = write_sound(tmp_path / "call.wav", sound)
    run_script(PREDICT, path, "--channels", "M", "F", "X", "--out", tmp_path / "report", "--device", "cpu", "--quiet")
    data = json.loads((tmp_path / "report/turns.json").read_text())
    found = [(turn["speaker"], turn["start"], turn["end"]) for turn in data["turns"]]
    assert [one[0] for one in found] == [one[0] for one in expected]  # the last two overlap
    assert np.allclose([one[1:] for one in found], [one[1:] for one in expected], atol=0.35)
    assert "Nobody speaks on channel 3 (X)" in capsys.readouterr().err


def test_encoders_in_8_bit_integers(predict, call):
    """Near to the exact ones, a turn's answer not touched by others, and the results say it."""
    exact, rounded = predict(call.wav, "--turns", call.csv), predict(call.wav, "--turns", call.csv, "--int8")
    pairs = [(a["probabilities"], b["probabilities"]) for a, b in zip(exact["turns"], rounded["turns"], strict=True)]
    assert exact["models"]["extractor"] == "best.ckpt" and rounded["models"]["extractor"] == "best.ckpt (int8)"
    assert 0 < max(np.abs(np.subtract(a, b)).max() for a, b in pairs) < 0.1
