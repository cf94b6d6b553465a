"""A recording in which all speak on one channel: who speaks is guessed by the voices, and said to be a guess."""

import itertools
import json

import numpy as np
import pytest

from conversation.diarisation import guess_speakers
from erc.options import UserError
from tests.conversation.conftest import RATE, tones, write_sound

PREDICT = "app/predict.py"
LINES = ("내일 회의는 오전 열 시에 시작해요.", "정말 그렇게 생각하세요?", "어제는 하루 종일 비가 왔어요.")
VOICES = {"M": ("m3", 50), "F": ("f2", 60)}


def talk(speakers, gap=0.15):
    """(sound, [(start, end, speaker)]): each speaker of a text such as "MFM" says a line."""
    from mirai.sample.voice import speak

    sound, turns = [np.zeros(RATE // 2, np.float32)], []
    for k, speaker in enumerate(speakers):
        wave = speak(LINES[k % len(LINES)], VOICES[speaker][0], 200, VOICES[speaker][1], 50) / np.float32(32768)
        start = sum(map(len, sound)) / RATE
        turns.append((start, start + len(wave) / RATE, speaker))
        sound += [wave, np.zeros(round(gap * RATE), np.float32)]
    return np.concatenate(sound), turns


def right_share(turns, found):
    """The share of the time of `turns` with the right speaker, by the better naming of the two that are found."""
    last = round(100 * max(turn[1] for turn in (*turns, *found)))
    times = np.arange(last) / 100

    def at(some):
        owner = np.full(last, -1)
        for start, end, speaker in some:
            owner[(times >= start) & (times < end)] = speaker
        return owner

    truth, guess = at([(a, b, "MF".index(who)) for a, b, who in turns]), at(found)
    return max(np.mean(guess[truth >= 0] == (truth[truth >= 0] ^ swap)) for swap in (0, 1))


def test_one_stretch_is_cut_where_the_voice_changes():
    sound, turns = talk("MFMMFFM", gap=0.0)
    found = guess_speakers(sound, [(0.5, len(sound) / RATE)], 2, pause=0.6)
    assert [number for _, _, number in found] == [0, 1, 0, 1, 0]
    assert right_share(turns, found) > 0.93
    assert found[0][0] == 0.5 and found[-1][1] == len(sound) / RATE
    assert all(before[1] == after[0] for before, after in itertools.pairwise(found))


def test_a_speakers_stretches_are_a_turn_until_a_pause():
    sound, turns = talk("MMFF", gap=0.3)
    stretches = [(start, end) for start, end, _ in turns]
    spans = lambda found: [(round(start, 6), round(end, 6)) for start, end, _ in found]  # noqa: E731
    ends = [round(time, 6) for turn in turns for time in turn[:2]]
    assert spans(guess_speakers(sound, stretches, 2, pause=0.6)) == [(ends[0], ends[3]), (ends[4], ends[7])]
    assert len(guess_speakers(sound, stretches, 2, pause=0.2)) == 4


@pytest.mark.parametrize("changes", [(3.0,), (2.0, 4.4), (1.0, 2.0, 3.0, 6.0), (3.0, 6.0, 6.3)])
def test_the_cut_is_where_the_windows_say(changes):
    """With windows that say which of two speakers has how much of them: each piece longer than half a second is found
    to a fifth of a second, each shorter one is taken for an error."""
    times = np.arange(8 * RATE) / RATE
    wave = np.searchsorted(changes, times, side="right") % 2  # 0, 1, 0, ...

    def embed(waves):
        share = np.array([float(wave.mean()) for wave in waves])
        return np.stack([1 - share, share], axis=1) / np.hypot(share, 1 - share)[:, None]

    found = guess_speakers(wave.astype(np.float32), [(0.0, 8.0)], 2, pause=0.6, embed=embed)
    expected = [3.0] if 6.3 in changes else changes  # what lies between 6 and 6.3 s is too short
    assert np.allclose([start for start, _, _ in found], [0.0, *expected], atol=0.2)
    assert [number for _, _, number in found] == [k % 2 for k in range(len(expected) + 1)]


def test_nothing_and_next_to_nothing():
    wave = np.random.default_rng(0).normal(0, 0.1, RATE).astype(np.float32)
    assert guess_speakers(wave, [], 2, 0.6) == []
    assert guess_speakers(wave, [(0.1, 0.3)], 2, 0.6) == [(0.1, 0.3, 0)]
    assert len(guess_speakers(np.zeros(RATE, np.float32), [(0.0, 0.02), (0.9, 1.0)], 2, 0.1)) == 2


def test_a_mono_recording(run_script, tmp_path, capsys):
    pytest.importorskip("silero_vad", reason="silero-vad of requirements-app.txt is not installed")
    sound, turns = talk("MFMFM")
    path = write_sound(tmp_path / "call.wav", sound)
    arguments = ("--out", tmp_path / "report", "--device", "cpu", "--quiet", "--reasons=False")
    run_script(PREDICT, path, "--speakers", 2, *arguments)
    data = json.loads((tmp_path / "report/turns.json").read_text())
    assert [turn["speaker"] for turn in data["turns"]] == ["A", "B", "A", "B", "A"]
    assert {turn["speaker_source"] for turn in data["turns"]} == {"guessed"}
    found = [(turn["start"], turn["end"], "AB".index(turn["speaker"])) for turn in data["turns"]]
    assert right_share(turns, found) > 0.9
    (note,) = [note for note in data["notes"] if "Who speaks is a guess" in note["en"]]
    assert "추측" in note["ko"] and note["en"] in capsys.readouterr().err
    page = (tmp_path / "report/report.html").read_text(encoding="utf-8")
    assert "speaker guessed by the voice" in page and '"speaker_source":"guessed"' in page


def test_a_mono_recording_alone_says_what_may_be_done(run_script, tmp_path):
    mono = write_sound(tmp_path / "mono.wav", tones().sum(axis=1))
    with pytest.raises(UserError, match="nothing says who speaks when.*guessed by the voices: --speakers 2"):
        run_script(PREDICT, mono, "--out", tmp_path / "report")
