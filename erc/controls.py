"""Controls: what is scored without the method, so that a method that does not beat them is seen not to be better.

`CONTROLS` predict the test turns from the training turns (dev among them) by one simple thing each. `ALTERATIONS` take
one thing away from the dialogues themselves, for the graph network to be trained and scored on what is left.

N test turns, C emotions.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np

from erc.corpus.corpora import UNLABELLED
from erc.corpus.dialogues import SPLITS
from erc.options import UserError

NEIGHBOURS = 10  # of a turn, of all that are compared
_PITCH = 65.0, 400.0  # Hz, lowest and highest of a voice


def predict(control, splits, corpus, txt_wav=None):
    """The probabilities that a control gives the test turns.

    Args:
        control: a name in `CONTROLS`.
        splits: {split: list of `Dialogue`}.
        txt_wav: the folder of the speech, for `prosody`.
    Returns:
        (N, C) float64, the turns in the order of the test dialogues.
    """
    train = [turn for name in ("train", "dev") for turn in _turns(splits[name], corpus)]
    train = [turn for turn in train if turn["label"] != UNLABELLED]
    test = _turns(splits["test"], corpus)
    probabilities = np.zeros((len(test), len(corpus.emotions)))
    labels = np.array([turn["label"] for turn in train])
    inputs = (txt_wav,) if control == "prosody" else ()
    known, found = CONTROLS[control](train, labels, test, *inputs)
    probabilities[:, known] = found.round(9)  # so that the order of a sum decides no draw between emotions
    return probabilities


def check_speech(splits, txt_wav):
    """Raise a `UserError` for a turn without a file of speech, before the work of other controls."""
    for name in (name for split in SPLITS for dialogue in splits[split] for name in dialogue.segment_ids):
        if not (path := Path(txt_wav) / f"{name}.wav").is_file():
            raise UserError(f"--txt_wav: {path}: no such file; expected the speech of every turn of --data_dir")


def _turns(dialogues, corpus):
    """What controls may look at, turn by turn."""
    return [
        {
            "segment_id": dialogue.segment_ids[k],
            "label": int(dialogue.labels[k]),
            "script": corpus.script_of(dialogue.id),
            "speaker": dialogue.speakers[k],
            "number": k,
            "sentence": dialogue.sentences[k],
            "features": np.concatenate([rows[k] for rows in dialogue.features.values()]),
        }
        for dialogue in dialogues
        for k in range(len(dialogue))
    ]


# ---- The controls: (train, labels, test) -> the emotions that training has, and (N, as many) probabilities


def majority(train, labels, test):
    """The emotions' shares in training, for every turn alike."""
    known, counts = np.unique(labels, return_counts=True)
    return known, np.tile(counts / counts.sum(), (len(test), 1))


def position(train, labels, test):
    """Script or scenario, speaker and the turn's number alone: the training turns at the same place of the same one."""
    known = np.unique(labels)
    groups = {}
    for turn, label in zip(train, labels, strict=True):
        for key in _places(turn):
            groups.setdefault(key, []).append((turn["number"], label))
    rows = []
    for turn in test:
        numbers, own = np.array(next(groups[key] for key in _places(turn) if key in groups)).T
        rows.append(_shares(np.abs(numbers - turn["number"])) @ (own[:, None] == known))
    return known, np.array(rows)


def _places(turn):
    """The groups of turns to compare with, the most alike first."""
    return (turn["script"], turn["speaker"]), (turn["script"],), ()


def nearest_sentences(train, labels, test):
    """The labels of the training sentences with the most alike words."""
    return _neighbours(*_words(train, test), labels)


def words(train, labels, test):
    """Logistic regression on the sentence's words (TF-IDF of letters in a row, which needs no tokenizer)."""
    return _regression(*_words(train, test), labels)


def nearest_features(train, labels, test):
    """The labels of the training turns whose features point the same way."""
    return _neighbours(*_features(train, test), labels)


def features(train, labels, test):
    """Logistic regression on the turn's own features, without any other turn."""
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler()
    before, after = _features(train, test)
    return _regression(scaler.fit_transform(before), scaler.transform(after), labels)


def prosody(train, labels, test, txt_wav):
    """A support vector machine on pitch, energy, rate and spectrum of the speech."""
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC
    from tqdm import tqdm

    def rows(turns):
        progress = tqdm(turns, desc="prosody", unit="turn", disable=None)
        return np.array([describe_voice(Path(txt_wav) / f"{turn['segment_id']}.wav") for turn in progress])

    machine = make_pipeline(StandardScaler(), SVC(random_state=0)).fit(rows(train), labels)
    chosen = machine.predict(rows(test))
    known = np.unique(labels)
    return known, (chosen[:, None] == known).astype(float)  # it chooses, and gives no probabilities


CONTROLS = {
    control.__name__: control
    for control in (majority, position, nearest_sentences, words, nearest_features, features, prosody)
}


def describe_voice(path):
    """(22,) of a file of speech: means and standard deviations of pitch, energy and spectrum over its frames; what part
    is voiced, and how often the voice sets in a second."""
    import librosa
    import soundfile

    try:
        sound, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise UserError(f"{path}: no speech that can be read ({error})") from None
    sound = np.pad(sound.mean(axis=1), (0, max(0, 2048 - len(sound))))
    pitch = librosa.yin(sound, fmin=_PITCH[0], fmax=_PITCH[1], sr=rate)
    energy = np.log(librosa.feature.rms(y=sound)[0] + 1e-6)
    voiced = energy[: len(pitch)] > energy.max() - 4.0  # within 35 dB of the loudest frame
    spectrum = [
        librosa.feature.spectral_centroid(y=sound, sr=rate)[0],
        librosa.feature.spectral_rolloff(y=sound, sr=rate)[0],
        librosa.feature.zero_crossing_rate(sound)[0],
        *librosa.feature.mfcc(y=sound, sr=rate, n_mfcc=5),
    ]
    found = [np.log(pitch[: len(voiced)][voiced]) if voiced.any() else np.zeros(1), energy, *spectrum]
    seconds = len(sound) / rate
    onsets = np.count_nonzero(np.diff(voiced.astype(int)) == 1) / seconds
    return np.array([f(values) for values in found for f in (np.mean, np.std)] + [voiced.mean(), onsets])


def _words(train, test):
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 4), sublinear_tf=True)
    vectorizer.fit([turn["sentence"] or " " for turn in train])
    return [vectorizer.transform([turn["sentence"] for turn in turns]) for turns in (train, test)]


def _features(train, test):
    return [np.array([turn["features"] for turn in turns]) for turns in (train, test)]


def _neighbours(before, after, labels):
    from sklearn.metrics import pairwise_distances_chunked

    known = np.unique(labels)
    own = labels[:, None] == known
    chunks = pairwise_distances_chunked(
        after,
        before,
        metric="cosine",
        # Rounded, as the same words or features are equally far, whatever the order of the sums.
        reduce_func=lambda distances, start: [_shares(row) @ own for row in distances.round(6)],
    )
    return known, np.array([row for chunk in chunks for row in chunk])


def _shares(distances):
    """What each training turn counts among the `NEIGHBOURS` nearest, in all 1. Those that are as far as the last of
    them share the places that are left, so that no order, of labels or of the file, decides between them."""
    places = min(NEIGHBOURS, len(distances))
    last = np.partition(distances, places - 1)[places - 1]
    nearer, tied = distances < last, distances == last
    return (nearer + tied * (places - nearer.sum()) / tied.sum()) / places


def _regression(before, after, labels):
    from sklearn.linear_model import LogisticRegression

    if len(np.unique(labels)) == 1:
        return np.unique(labels), np.ones((after.shape[0], 1))
    found = LogisticRegression(max_iter=1000, random_state=0).fit(before, labels)
    return found.classes_, found.predict_proba(after)


# ---- The alterations: dialogues -> dialogues, for the training, the dev and the test dialogues each


def alter(alteration, splits, seed=0):
    """{split: list of `Dialogue`} with something taken away; `alteration` is a name in `ALTERATIONS`. What the raters
    said is left out: it would tell the labels."""
    rng = np.random.default_rng(seed)
    bare = {split: [replace(dialogue, ratings={}) for dialogue in splits[split]] for split in SPLITS}
    return {split: ALTERATIONS[alteration](bare[split], rng, split) for split in SPLITS}


def labels_shuffled(dialogues, rng, split):
    """The labels to learn from are dealt out anew over all turns; those to score stay."""
    if split == "test":
        return dialogues
    labels = rng.permutation(np.concatenate([dialogue.labels for dialogue in dialogues]))
    parts = np.split(labels, np.cumsum([len(dialogue) for dialogue in dialogues])[:-1])
    return [replace(dialogue, labels=own) for dialogue, own in zip(dialogues, parts, strict=True)]


def speakers_shuffled(dialogues, rng, split):
    """Who says a turn is dealt out anew in each dialogue."""
    return [replace(dialogue, speakers=rng.permutation(dialogue.speakers).tolist()) for dialogue in dialogues]


def turns_shuffled(dialogues, rng, split):
    """The turns of each dialogue stand in a random order."""
    return [_gather([(dialogue, k) for k in rng.permutation(len(dialogue))], dialogue.id) for dialogue in dialogues]


def neighbours_of_others(dialogues, rng, split):
    """Each turn stands among turns of other dialogues: all turns of the split are dealt out anew. They are scored as
    turns of their own dialogue."""
    turns = [(dialogue, k) for dialogue in dialogues for k in range(len(dialogue))]
    order = iter(rng.permutation(len(turns)))
    return [_gather([turns[next(order)] for _ in range(len(dialogue))], dialogue.id) for dialogue in dialogues]


ALTERATIONS = {
    alteration.__name__: alteration
    for alteration in (labels_shuffled, speakers_shuffled, turns_shuffled, neighbours_of_others)
}


def _gather(turns, name):
    """A dialogue of some turns (dialogue, place), each with all that belongs to it."""
    first = turns[0][0]

    def column(field):
        return [getattr(dialogue, field)[k] for dialogue, k in turns]

    names = {field: column(field) for field in ("segment_ids", "speakers", "sentences")}
    features = {key: np.stack([dialogue.features[key][k] for dialogue, k in turns]) for key in first.features}
    labels, sources = np.array(column("labels"), dtype=np.int64), [dialogue.id for dialogue, _ in turns]
    return replace(first, id=name, labels=labels, features=features, sources=sources, **names)
