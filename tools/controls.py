"""Score the controls: what is right without the method. A method that does not beat them is not better.

    python tools/controls.py --data_dir ./data/KEMDy19/new_2019cogmen_format_speaker_only_feat_preprocessed.pkl

Writes OUT_DIR/<control>/<modalities>/metrics.json, predictions.csv and confusion_matrix.png for each of `majority` (the
emotions' shares), `position` (script or scenario, speaker and turn number alone), `nearest_sentences` and
`nearest_features` (the labels of the ten most alike training turns), `words` and `features` (logistic regression on the
turn alone) and, with --txt_wav, `prosody` (a support vector machine on pitch, energy, rate and spectrum).

    python tools/controls.py --data_dir PREPROCESSED.pkl --alter turns_shuffled --res_dir ALTERED.pkl

instead writes a preprocessed file with something taken away, for train.py and eval.py: `labels_shuffled`,
`speakers_shuffled`, `turns_shuffled` or `neighbours_of_others`. `bash run_eval.sh --train --controls` does all of it.
"""

from dataclasses import dataclass
from pathlib import Path

from erc.controls import ALTERATIONS, CONTROLS, alter, check_speech, predict
from erc.corpus.corpora import asked_corpus
from erc.corpus.dialogues import SPLITS, read_preprocessed, use_modalities, write_preprocessed
from erc.files import claim
from erc.options import option, parse, run


@dataclass
class Options:
    data_dir: Path = option(
        "data/KEMDy19/new_2019cogmen_format_speaker_only_feat_preprocessed.pkl", "what COGMEN_code/preprocess.py wrote"
    )
    dataset: str | None = option(None, "corpus, where the file does not say (then KEMDy19)", name=True)
    modalities: str | None = option(None, "whose features `features` and `nearest_features` use, if not all")
    txt_wav: Path | None = option(None, "folder of the speech, for `prosody`")
    out_dir: Path = option("models_zoo/controls", "where the controls' scores go")
    alter: str | None = option(None, "write altered dialogues instead", choices=sorted(ALTERATIONS))
    res_dir: Path | None = option(None, "with --alter: the preprocessed file to write")
    seed: int = option(0, "of --alter")

    def __post_init__(self):
        if (self.alter is None) != (self.res_dir is None):
            raise ValueError("--alter, --res_dir: each needs the other")


def main(argv=None):
    options = parse(Options, argv, __doc__)
    from erc.corpus.metrics import summary
    from erc.scoring.evaluation import write_evaluation

    with claim(options.res_dir or options.out_dir, folder=options.res_dir is None):
        splits, corpus = read_preprocessed(options.data_dir, asked_corpus(options.dataset))
        modalities = options.modalities or "".join(splits["train"][0].features)
        use_modalities(options.data_dir, splits, modalities)
        if options.alter:
            write_preprocessed(options.res_dir, alter(options.alter, splits, options.seed), corpus)
            print(f"wrote {options.res_dir}: {sum(len(splits[name]) for name in SPLITS)} dialogues, {options.alter}")
            return
        if options.txt_wav:
            check_speech(splits, options.txt_wav)
        turns = [turn for dialogue in splits["test"] for turn in dialogue.turns()]
        for control in CONTROLS:
            if control == "prosody" and options.txt_wav is None:
                continue
            probabilities = predict(control, splits, corpus, options.txt_wav)
            result = write_evaluation(options.out_dir / control / modalities, turns, probabilities, corpus.emotions)
            print(f"{control:18} {summary(result, corpus.headline)}", flush=True)
    print(f"wrote {options.out_dir}/<control>/{modalities}/metrics.json, predictions.csv and pictures")


if __name__ == "__main__":
    run(main)
