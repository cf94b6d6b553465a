"""The sample corpus: KEMDy19's tree and formats, planted effects, encoders that load offline."""

import csv
import importlib.util
import subprocess
import sys
import time
import wave
from collections import Counter, defaultdict
from itertools import chain, pairwise
from pathlib import Path
from random import Random

import pytest

from erc.options import REPOSITORY, UserError
from mirai.sample.actors import cast
from mirai.sample.annotation import annotation_csv
from mirai.sample.conversation import SHARES, plan_corpus
from mirai.sample.corpus import new_directory
from mirai.sample.lines import EMOTIONAL, TOPICS

spec = importlib.util.spec_from_file_location("make_sample_corpus", REPOSITORY / "MIRAI" / "make_sample_corpus.py")
script = importlib.util.module_from_spec(spec)
spec.loader.exec_module(script)

SESSIONS = 2
DIALOGUES = ["impro01", "impro02", "script01", "script02"]


def make(out, *flags):
    script.main(["--out", str(out), "--sessions", str(SESSIONS), "--turns", "4", "6", *flags])
    return out


@pytest.fixture(scope="session")
def corpus(tmp_path_factory):
    return make(tmp_path_factory.mktemp("sample") / "corpus", "--workers", "1")


@pytest.fixture(scope="session")
def large_plan():
    return plan_corpus(60, seed=3)


def planted(corpus):
    with (corpus / "planted.csv").open() as file:
        return {row["segment_id"]: row for row in csv.DictReader(file)}


def annotation(corpus, session, subject):
    with (corpus / "annotation" / f"Session{session:02d}_{subject}_res.csv").open(encoding="utf-8") as file:
        return list(csv.reader(file))


def all_rows(corpus):
    for session in range(1, SESSIONS + 1):
        for subject in "FM":
            for row in annotation(corpus, session, subject)[2:]:
                yield session, subject, row


def tree(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def turns_of(plan):
    return [turn for dialogues in plan.values() for turns in dialogues.values() for turn in turns]


# --- files


def test_tree_and_names(corpus):
    assert sorted(path.name for path in corpus.iterdir()) == sorted(
        ["annotation", "wav", "ECG", "EDA", "TEMP", "encoders", "planted.csv", "README.md"]
    )
    assert sorted(path.name for path in (corpus / "annotation").iterdir()) == [
        f"Session{session:02d}_{subject}_res.csv" for session in (1, 2) for subject in "FM"
    ]
    for session in range(1, SESSIONS + 1):
        folder = corpus / "wav" / f"Session{session:02d}"
        assert sorted(path.name for path in folder.iterdir()) == [f"Sess{session:02d}_{name}" for name in DIALOGUES]
        for dialogue in folder.iterdir():
            for speaker in "FM":
                found = sorted(path.name for path in dialogue.glob(f"*_{speaker}*"))
                names = [f"{dialogue.name}_{speaker}{n + 1:03d}" for n in range(len(found) // 2)]
                assert found == [f"{name}.{suffix}" for name in names for suffix in ("txt", "wav")]
            assert 4 <= len(list(dialogue.glob("*.wav"))) <= 6


def test_two_header_rows_and_43_columns(corpus):
    for session in (1, 2):
        for subject in "FM":
            rows = annotation(corpus, session, subject)
            assert {len(row) for row in rows} == {43}
            assert rows[0][:13] == [
                *["Numb", "Wav", "", "ECG", "", "E4-EDA", "", "E4-TEMP", "", "Segment ID", "Total Evaluation", "", ""]
            ]
            assert all(rows[0][13::3]) and not any(rows[0][14::3]) and not any(rows[0][15::3])
            assert rows[1][10:] == ["Emotion", "Valence", "Arousal"] * 11


def test_both_files_list_both_speakers_in_the_order_of_numb(corpus):
    for session in (1, 2):
        ids = {subject: [row[9] for row in annotation(corpus, session, subject)[2:]] for subject in "FM"}
        assert ids["F"] == ids["M"]
        assert set(ids["F"]) == {name for name in planted(corpus) if name.startswith(f"Sess{session:02d}_")}
        speakers = "".join(name[-4] for name in ids["F"])
        assert speakers == "F" * speakers.count("F") + "M" * speakers.count("M") and "FM" in speakers
        assert [row[0] for row in annotation(corpus, session, "F")[2:]] == [str(n + 1) for n in range(len(ids["F"]))]


def test_the_label_is_the_majority_or_a_tie(corpus):
    for _, _, row in all_rows(corpus):
        votes = Counter(row[13::3])
        assert sum(votes.values()) == 10
        most = max(votes.values())
        assert sorted(row[10].split(";")) == sorted(emotion for emotion, n in votes.items() if n == most)
        for total, cells in ((row[11], row[14::3]), (row[12], row[15::3])):
            grades = list(map(int, cells))
            assert set(grades) <= {1, 2, 3, 4, 5} and float(total) == pytest.approx(sum(grades) / 10)


def test_the_speakers_file_carries_the_planted_emotion(corpus):
    emotions = planted(corpus)
    for _, subject, row in all_rows(corpus):
        if row[9][-4] == subject:
            assert emotions[row[9]]["emotion"] in row[10].split(";")


def test_share_of_ties_and_of_other_reactions():
    plan = plan_corpus(40, seed=1)
    clocks = {
        f"{session} {name}": [(f"{name}_{n}", turn, n, n + 1) for n, turn in enumerate(turns)]
        for session, dialogues in plan.items()
        for name, turns in dialogues.items()
    }
    rows = list(csv.reader(annotation_csv(clocks, "F", Random(0)).splitlines()))[2:]
    assert 0.05 < sum(";" in row[10] for row in rows) / len(rows) < 0.075
    turns = [
        turn for speaker in "FM" for turns in clocks.values() for _, turn, _, _ in turns if turn.speaker == speaker
    ]
    other = [row[10] != turn.emotion for row, turn in zip(rows, turns, strict=True) if turn.speaker == "M"]
    assert 0.45 < sum(other) / len(other) < 0.6
    for column in (3, 5, 7):
        assert 0 < sum(row[column] == "" for row in rows) < len(rows) / 4


def test_sound_is_16_khz_mono_16_bit_and_as_long_as_the_annotation_says(corpus):
    clocks = defaultdict(set)
    for session, _, row in all_rows(corpus):
        name, start, end = row[9], float(row[1]), float(row[2])
        dialogue = name.rsplit("_", 1)[0]
        with wave.open(str(corpus / "wav" / f"Session{session:02d}" / dialogue / f"{name}.wav")) as file:
            assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 16000)
            assert file.getnframes() / 16000 == pytest.approx(end - start, abs=1e-6)
            assert 0.3 < end - start < 8
        clocks[dialogue].add((start, end, name[-4]))
    for turns in clocks.values():
        turns = sorted(turns)
        assert all(before[1] < after[0] for before, after in pairwise(turns))


def test_same_seed_same_bytes_whatever_the_processes(corpus, tmp_path):
    assert tree(make(tmp_path / "again", "--workers", "2")) == tree(corpus)


def test_breathy_voices_do_not_depend_on_the_time_of_day():
    """eSpeak seeds their noise with the second in which it starts: started again until the second is another one."""
    program = "import hashlib; from mirai.sample.voice import speak; "
    program += "print(hashlib.md5(speak('정말 화가 나요', 'f2', 200, 50, 45).tobytes()).hexdigest())"
    said, seconds = set(), set()
    while len(seconds) < 2:
        seconds.add(int(time.time()))
        said.add(subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, timeout=240).stdout)
    assert len(said) == 1


def test_other_seed_other_corpus(corpus, tmp_path):
    other = make(tmp_path / "other", "--seed", "1")
    assert tree(other)["planted.csv"] != tree(corpus)["planted.csv"]


# --- what is planted


def test_class_shares_and_thirds(large_plan):
    turns = turns_of(large_plan)
    felt, shown = Counter(turn.emotion for turn in turns), Counter(turn.shown for turn in turns)
    for emotion, share in SHARES.items():
        assert 100 * felt[emotion] / len(turns) == pytest.approx(share, abs=2)
    emotional = len(turns) - shown["neutral"]
    for way in ("words", "voice", "context"):
        assert shown[way] / emotional == pytest.approx(1 / 3, abs=0.02)
    assert all((turn.emotion == "neutral") == (turn.shown == "neutral") for turn in turns)


def test_the_default_test_sessions_hold_every_emotion():
    plan = plan_corpus(20, seed=0)
    assert {turn.emotion for session in (19, 20) for turns in plan[session].values() for turn in turns} == set(SHARES)


def stem(text):
    """The line without what `vary` may change: fillers, order and politeness leave most characters alone."""
    return set(text.replace(" ", ""))


def test_neutral_sounding_lines_do_not_tell_the_emotion(large_plan):
    """A classifier that reads them guesses held-out sessions no better than one that does not read."""
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.naive_bayes import MultinomialNB

    def sample(sessions, shown):
        turns = turns_of({session: large_plan[session] for session in sessions})
        turns = [turn for turn in turns if turn.shown in shown]
        return [turn.transcript for turn in turns], [turn.emotion for turn in turns]

    def gain(shown):
        (texts, emotions), (held_out, truth) = sample(range(1, 41), shown), sample(range(41, 61), shown)
        words = CountVectorizer(analyzer="char_wb", ngram_range=(1, 3)).fit(texts)
        guess = MultinomialNB().fit(words.transform(texts), emotions).predict(words.transform(held_out))
        right = sum(a == b for a, b in zip(guess, truth, strict=True)) / len(truth)
        return right - Counter(truth).most_common(1)[0][1] / len(truth)

    assert gain(["voice", "context", "neutral"]) < 0.02
    assert gain(["words"]) > 0.5


def test_the_place_in_a_script_does_not_tell_the_emotion(large_plan):
    at = defaultdict(Counter)
    for dialogues in large_plan.values():
        for n, turn in enumerate(dialogues["script01"]):
            at[n][turn.emotion == "neutral"] += 1
    assert all(0.15 < counts[True] / sum(counts.values()) < 0.65 for counts in at.values())


def test_script_lines_stay_but_vary(large_plan):
    sessions = [dialogues["script01"] for dialogues in large_plan.values()]
    assert len({len(turns) for turns in sessions}) == 1
    for place in zip(*sessions, strict=True):
        assert len({turn.speaker for turn in place}) == 1
        plain = [turn.words for turn in place if turn.shown != "words"]
        assert len(set(plain)) > 3
        common = set.intersection(*map(stem, plain))
        assert len(common) >= 4, plain


def test_improvised_lines_differ_between_sessions(large_plan):
    openings = {dialogues["impro01"][0].words for dialogues in large_plan.values()}
    assert len(openings) > 20


def test_there_are_enough_lines():
    assert len(set(chain.from_iterable(TOPICS.values()))) >= 120
    assert all(len(set(lines)) >= 40 for lines in EMOTIONAL.values())


def test_a_longer_corpus_begins_like_a_shorter_one():
    assert plan_corpus(3, seed=5) == {n: plan_corpus(6, seed=5)[n] for n in (1, 2, 3)}


def test_transcripts_carry_markers_at_kemdy19s_rates(large_plan):
    texts = [turn.transcript for turn in turns_of(large_plan)]
    for marker, rate in (("b/", 0.21), ("o/", 0.155), ("n/", 0.073), ("l/", 0.064), ("u/", 0.051), ("(", 0.156)):
        assert sum(marker in text for text in texts) / len(texts) == pytest.approx(rate, abs=0.03)
    assert sum("+" in text for text in texts) / len(texts) == pytest.approx(0.094, abs=0.02)
    assert any("  " in text for text in texts)


def test_forty_actors_differ():
    actors = [cast(session, seed=0)[speaker] for session in range(1, 21) for speaker in "FM"]
    assert len(set(actors)) == 40


# --- encoders


def test_encoders_load_offline_and_run(corpus):
    import torch
    from transformers import AutoFeatureExtractor, AutoModel, AutoModelForCTC, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(corpus / "encoders" / "text")
    text = AutoModel.from_pretrained(corpus / "encoders" / "text").eval()
    assert tokenizer.model_max_length == 512
    batch = tokenizer(
        ["회의는 몇 시에 시작해요?", "너무 화가 나요 " * 400], padding=True, truncation=True, return_tensors="pt"
    )
    assert batch["input_ids"].shape[1] == 512
    ids = batch["input_ids"][0][batch["attention_mask"][0] == 1].tolist()
    assert tokenizer.convert_ids_to_tokens([ids[0], ids[-1]]) == ["<s>", "</s>"]
    assert tokenizer.decode(ids, skip_special_tokens=True) == "회의는 몇 시에 시작해요?"
    assert tokenizer("쀍").input_ids.count(tokenizer.unk_token_id) == 1
    with torch.no_grad():
        assert text(**batch).pooler_output.shape == (2, 96)

    feature_extractor = AutoFeatureExtractor.from_pretrained(corpus / "encoders" / "audio")
    sound = [torch.randn(16000).numpy(), torch.randn(9000).numpy()]
    batch = feature_extractor(sound, sampling_rate=16000, padding=True, return_tensors="pt")
    for kind in (AutoModel, AutoModelForCTC):
        audio = kind.from_pretrained(corpus / "encoders" / "audio").eval()
        assert audio.config.feat_extract_norm == "layer"
        assert audio.config.conv_stride == [5, 2, 2, 2, 2, 2, 2] and audio.config.conv_kernel == [10, 3, 3, 3, 3, 2, 2]
        with torch.no_grad():
            assert torch.isfinite(audio(**batch)[0]).all()


def test_the_tokenizer_has_not_seen_the_test_sessions(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr("mirai.sample.encoders.write_encoders", lambda folder, texts, seed: seen.extend(texts))
    script.main(["--out", str(tmp_path / "c"), "--sessions", "2", "--turns", "3", "3", "--test_sessions", "1"])
    plan = plan_corpus(2, seed=0, turns=(3, 3))
    assert sorted(seen) == sorted(turn.words for turn in turns_of({2: plan[2]}))


# --- refusals


def test_an_existing_directory_is_kept(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    for flags in ([], ["--overwrite"]):
        with pytest.raises(UserError, match="--out"):
            make(tmp_path, *flags)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_overwrite_replaces_a_sample_corpus_and_an_interruption_does_not(tmp_path):
    out = tmp_path / "corpus"
    for text in ("# Sample corpus one", "# Sample corpus two"):
        with new_directory(out, overwrite=True) as folder:
            (folder / "README.md").write_text(text)
    with pytest.raises(KeyboardInterrupt), new_directory(out, overwrite=True) as folder:
        (folder / "README.md").write_text("# Sample corpus three")
        raise KeyboardInterrupt
    assert (out / "README.md").read_text() == "# Sample corpus two"
    assert [path.name for path in Path(tmp_path).iterdir()] == ["corpus"]


@pytest.mark.parametrize(
    "flags", [["--sessions", "100"], ["--turns", "5", "4"], ["--test_sessions", "3"], ["--test_sessions", "1", "2"]]
)
def test_wrong_options_name_the_flag(tmp_path, flags, capsys):
    with pytest.raises(SystemExit) as error:
        make(tmp_path / "corpus", *flags)
    assert error.value.code == 2 and flags[0] in capsys.readouterr().err
