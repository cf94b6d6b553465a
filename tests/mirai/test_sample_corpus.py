"""The sample corpus: KEMDy19's tree and formats, planted effects, encoders that load offline."""

import csv
import subprocess
import sys
import time
from collections import Counter, defaultdict
from itertools import pairwise
from random import Random
from types import SimpleNamespace

import pytest
import soundfile

from erc.options import UserError
from mirai.sample.actors import cast
from mirai.sample.annotation import annotation_csv
from mirai.sample.conversation import SHARES, plan_corpus
from mirai.sample.corpus import new_directory
from mirai.sample.encoders import train_tokenizer

from .conftest import tree

SESSIONS = (1, 2)
SIGNALS = ["Wav", "", "ECG", "", "E4-EDA", "", "E4-TEMP", ""]


@pytest.fixture(scope="session")
def make(run_script):
    """`make(folder, *flags)`: a corpus of two sessions of four short dialogues."""

    def call(out, *flags):
        size = ("--sessions", len(SESSIONS), "--turns", 4, 6, "--scripts", 1, "--impros", 3)
        run_script("MIRAI/make_sample_corpus.py", "--out", out, *size, *flags)
        return out

    return call


@pytest.fixture(scope="session")
def corpus(make, tmp_path_factory):
    return make(tmp_path_factory.mktemp("sample") / "corpus", "--workers", 1)


@pytest.fixture(scope="session")
def large_plan():
    return plan_corpus(60, seed=3)


def planted(corpus):
    with (corpus / "planted.csv").open() as file:
        return {row["segment_id"]: row["emotion"] for row in csv.DictReader(file)}


def annotations(corpus):
    """(session, subject, rows with both headers) of every annotation file."""
    for session in SESSIONS:
        for subject in "FM":
            with (corpus / "annotation" / f"Session{session:02d}_{subject}_res.csv").open(encoding="utf-8") as file:
                yield session, subject, list(csv.reader(file))


def turns_of(plan):
    return [turn for dialogues in plan.values() for turns in dialogues.values() for turn in turns]


# --- files


def test_tree_and_names(corpus):
    folders = ["ECG", "EDA", "README.md", "TEMP", "annotation", "encoders", "planted.csv", "wav"]
    assert sorted(path.name for path in corpus.iterdir()) == folders
    for session in SESSIONS:
        folder = corpus / "wav" / f"Session{session:02d}"
        names = [f"Sess{session:02d}_{name}" for name in ("impro01", "impro02", "impro03", "script01")]
        assert sorted(path.name for path in folder.iterdir()) == names
        for dialogue in folder.iterdir():
            for speaker in "FM":
                found = sorted(path.name for path in dialogue.glob(f"*_{speaker}*"))
                names = [f"{dialogue.name}_{speaker}{n + 1:03d}" for n in range(len(found) // 2)]
                assert found == [f"{name}.{suffix}" for name in names for suffix in ("txt", "wav")]
            assert 4 <= len(list(dialogue.glob("*.wav"))) <= 6


def test_an_annotation_file_has_two_headers_and_a_row_for_every_utterance_of_both_speakers(corpus):
    for session, _, rows in annotations(corpus):
        assert {len(row) for row in rows} == {43}
        assert rows[0][:13] == ["Numb", *SIGNALS, "Segment ID", "Total Evaluation", "", ""]
        assert all(rows[0][13::3]) and rows[1][10:] == ["Emotion", "Valence", "Arousal"] * 11
        ids = [row[9] for row in rows[2:]]
        assert sorted(ids) == sorted(name for name in planted(corpus) if name.startswith(f"Sess{session:02d}_"))
        speakers = "".join(name[-4] for name in ids)
        assert speakers == "".join(sorted(speakers)) and set(speakers) == {"F", "M"}
        assert [row[0] for row in rows[2:]] == [str(n + 1) for n in range(len(ids))]


def test_the_label_is_the_majority_or_a_tie_and_the_planted_emotion_in_the_speakers_file(corpus):
    emotions = planted(corpus)
    for _, subject, rows in annotations(corpus):
        for row in rows[2:]:
            votes = Counter(row[13::3])
            most = max(votes.values())
            assert sum(votes.values()) == 10
            assert sorted(row[10].split(";")) == sorted(emotion for emotion, n in votes.items() if n == most)
            assert row[9][-4] != subject or emotions[row[9]] in row[10].split(";")
            for total, cells in ((row[11], row[14::3]), (row[12], row[15::3])):
                grades = list(map(int, cells))
                assert set(grades) <= {1, 2, 3, 4, 5} and float(total) == pytest.approx(sum(grades) / 10)


def test_of_guessed_turns_the_label_is_often_another_and_the_votes_say_so():
    clocks = {"d": [(f"d_{n}", SimpleNamespace(speaker="F", emotion="sad"), n, n + 1) for n in range(2000)]}
    rows = list(csv.reader(annotation_csv(clocks, "F", Random(0), guessed=0.4).splitlines()))[2:]
    clear = [row for row in rows if row[13::3].count("sad") >= 9]
    guessed = [row for row in rows if row not in clear]
    assert 0.37 < len(guessed) / len(rows) < 0.43 and {row[10] for row in clear} == {"sad"}
    assert 0.4 < sum(row[10] != "sad" and ";" not in row[10] for row in guessed) / len(guessed) < 0.6
    assert 0.15 < sum(row[13::3].count("sad") for row in guessed) / (10 * len(guessed)) < 0.25
    for row in rows:
        votes = Counter(row[13::3])
        assert set(row[10].split(";")) == {vote for vote, count in votes.items() if count == max(votes.values())}


def test_share_of_ties_other_reactions_and_missing_signals():
    clocks = {
        f"{session} {name}": [(f"{name}_{n}", turn, n, n + 1) for n, turn in enumerate(turns)]
        for session, dialogues in plan_corpus(40, seed=1).items()
        for name, turns in dialogues.items()
    }
    rows = list(csv.reader(annotation_csv(clocks, "F", Random(0)).splitlines()))[2:]
    assert 0.05 < sum(";" in row[10] for row in rows) / len(rows) < 0.075
    listener = [turn.emotion for turns in clocks.values() for _, turn, _, _ in turns if turn.speaker == "M"]
    other = [row[10] != emotion for row, emotion in zip(rows[-len(listener) :], listener, strict=True)]
    assert 0.45 < sum(other) / len(other) < 0.6
    for column in (3, 5, 7):
        assert 0 < sum(row[column] == "" for row in rows) < len(rows) / 4


def test_sound_is_16_khz_mono_16_bit_and_as_long_as_the_annotation_says(corpus):
    clocks = defaultdict(set)
    for session, _, rows in annotations(corpus):
        for row in rows[2:]:
            name, start, end = row[9], float(row[1]), float(row[2])
            dialogue = name.rsplit("_", 1)[0]
            sound = soundfile.info(corpus / "wav" / f"Session{session:02d}" / dialogue / f"{name}.wav")
            assert (sound.channels, sound.subtype, sound.samplerate) == (1, "PCM_16", 16000)
            assert sound.frames / 16000 == pytest.approx(end - start, abs=1e-6) and 0.3 < end - start < 8
            clocks[dialogue].add((start, end))
    assert all(before[1] < after[0] for turns in clocks.values() for before, after in pairwise(sorted(turns)))


def test_the_seed_alone_decides_the_bytes(corpus, make, tmp_path):
    assert tree(make(tmp_path / "again", "--workers", 2)) == tree(corpus)
    assert planted(make(tmp_path / "other", "--seed", 1)) != planted(corpus)


def test_breathy_voices_do_not_depend_on_the_time_of_day():
    """eSpeak seeds their noise with the second in which it starts: started again until the second is another one."""
    program = "import hashlib; from mirai.sample.voice import speak; "
    program += "print(hashlib.md5(speak('정말 화가 나요', 'f2', 200, 50, 45).tobytes()).hexdigest())"
    said, seconds = set(), set()
    while len(seconds) < 2:
        seconds.add(int(time.time()))
        command = [sys.executable, "-c", program]
        said.add(subprocess.run(command, capture_output=True, check=True, timeout=60).stdout)
    assert len(said) == 1


# --- what is planted


def test_shares_of_the_emotions_and_of_where_they_show(large_plan):
    turns = turns_of(large_plan)
    felt, shown = Counter(turn.emotion for turn in turns), Counter(turn.shown for turn in turns)
    for emotion, share in SHARES.items():
        assert 100 * felt[emotion] / len(turns) == pytest.approx(share, abs=2)
    for way in ("words", "voice", "context"):
        assert shown[way] / (len(turns) - shown["neutral"]) == pytest.approx(1 / 3, abs=0.02)
    assert all((turn.emotion == "neutral") == (turn.shown == "neutral") for turn in turns)
    sample = plan_corpus(20, seed=0)
    assert {turn.emotion for turn in turns_of({session: sample[session] for session in (19, 20)})} == set(SHARES)


def test_neutral_sounding_lines_do_not_tell_the_emotion(large_plan):
    """A classifier that reads them guesses held-out sessions no better than one that does not read."""
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.naive_bayes import MultinomialNB

    def sample(sessions, shown):
        turns = turns_of({session: large_plan[session] for session in sessions})
        return zip(*((turn.transcript, turn.emotion) for turn in turns if turn.shown in shown), strict=True)

    def gain(*shown):
        (texts, emotions), (held_out, truth) = sample(range(1, 41), shown), sample(range(41, 61), shown)
        words = CountVectorizer(analyzer="char_wb", ngram_range=(1, 3)).fit(texts)
        guess = MultinomialNB().fit(words.transform(texts), emotions).predict(words.transform(held_out))
        right = sum(a == b for a, b in zip(guess, truth, strict=True)) / len(truth)
        return right - Counter(truth).most_common(1)[0][1] / len(truth)

    assert gain("voice", "context", "neutral") < 0.02
    assert gain("words") > 0.5


def test_a_script_keeps_its_lines_and_speakers_but_not_its_emotions(large_plan):
    scripts = [dialogues["script01"] for dialogues in large_plan.values()]
    for place in zip(*scripts, strict=True):
        assert len({turn.speaker for turn in place}) == 1
        assert 0.15 < sum(turn.emotion == "neutral" for turn in place) / len(place) < 0.65
        said = {turn.words for turn in place if turn.shown != "words"}
        # fillers, word order and politeness leave most syllables alone
        assert len(said) > 3 and len(set.intersection(*(set(words.replace(" ", "")) for words in said))) >= 4
    assert len({dialogues["impro01"][0].words for dialogues in large_plan.values()}) > 20


def test_a_longer_corpus_begins_like_a_shorter_one():
    assert plan_corpus(3, seed=5) == {n: plan_corpus(6, seed=5)[n] for n in (1, 2, 3)}


def test_transcripts_carry_markers_at_kemdy19s_rates(large_plan):
    texts = [turn.transcript for turn in turns_of(large_plan)]
    rates = {"b/": 0.21, "o/": 0.155, "n/": 0.073, "l/": 0.064, "u/": 0.051, "(": 0.156, "+": 0.094}
    for marker, rate in rates.items():
        assert sum(marker in text for text in texts) / len(texts) == pytest.approx(rate, abs=0.02)
    assert any("  " in text for text in texts)


def test_forty_actors_differ():
    assert len({cast(session, seed=0)[speaker] for session in range(1, 21) for speaker in "FM"}) == 40


# --- encoders


def test_encoders_load_offline_and_run(corpus):
    import torch
    from transformers import AutoFeatureExtractor, AutoModel, AutoModelForCTC, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(corpus / "encoders" / "text")
    text = AutoModel.from_pretrained(corpus / "encoders" / "text").eval()
    sentences = ["회의는 몇 시에 시작해요?", "너무 화가 나요 " * 400]
    batch = tokenizer(sentences, padding=True, truncation=True, return_tensors="pt")
    assert batch["input_ids"].shape[1] == 512
    ids = batch["input_ids"][0][batch["attention_mask"][0] == 1].tolist()
    assert tokenizer.convert_ids_to_tokens([ids[0], ids[-1]]) == ["<s>", "</s>"]
    assert tokenizer.decode(ids, skip_special_tokens=True) == sentences[0]
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


def test_the_tokenizer_has_not_seen_the_test_sessions(make, tmp_path):
    plan = plan_corpus(2, seed=0, scripts=1, impros=3, turns=(4, 6))
    written = (make(tmp_path / "corpus", "--test_sessions", 1) / "encoders/text/tokenizer.json").read_text()
    for sessions in ({2}, {1, 2}):
        words = [turn.words for turn in turns_of({session: plan[session] for session in sessions})]
        train_tokenizer(words).save_pretrained(tmp_path)
        assert ((tmp_path / "tokenizer.json").read_text() == written) == (sessions == {2})


# --- refusals


def test_an_existing_directory_is_kept(make, tmp_path):
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
    assert [path.name for path in tmp_path.iterdir()] == ["corpus"]
