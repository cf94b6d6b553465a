"""The README that goes with a sample corpus."""

from mirai.sample.actors import EFFECTS
from mirai.sample.annotation import CLEAR, HEARD, OTHER_REACTION, TIES, TYPOS
from mirai.sample.conversation import CONTAGION, INERTIA, SHARES

_KEMDY19_LABELS = f"""In the file of the speaker the
emotion is the planted one, in the file of the listener another one in {OTHER_REACTION:.0%} of the rows. Bio-signals
are not there; their times in `annotation/` are made up and have gaps."""
_KEMDY20_LABELS = f"""The emotion is the
planted one. {TYPOS:.0%} of the rows spell disgust as `disqust`. Annotation and transcripts are in cp949."""


def readme(title, sessions, seed, scripts, impros, turns, test_sessions, counts, shape, guessed=0.0):
    """The text of README.md; `counts` holds the utterances of each session."""
    effects = "\n".join(f"| {name} | x {f:g} | {p:+d} | {r} |" for name, (f, p, r) in EFFECTS.items())
    shares = ", ".join(f"{name} {share}%" for name, share in SHARES.items())
    held_out = " ".join(map(str, test_sessions)) or "none"
    labels, option = _KEMDY19_LABELS, ""
    if shape == "KEMDy20":
        labels, option = _KEMDY20_LABELS, " --shape KEMDy20"
    raters = f"The label is the majority's, {TIES:.1%} of the rows are ties (`a;b`)."
    if guessed:
        option += f" --guessed_turns {guessed:g}"
        raters = f"""In {1 - guessed:.0%} of the rows {CLEAR[0]} or {CLEAR[1]} of them hear the emotion.
In the others each hears it with probability {HEARD:g} and names any other one otherwise. The label is the majority's,
which there is often another one, or a tie (`a;b`)."""
    return f"""{title}, in the shape of {shape}

Synthetic. {sessions} sessions, {sum(counts.values())} utterances of made-up conversations, spoken by eSpeak NG's Korean
voice. It exists to try and to test the pipeline without a {shape} licence. **Scores on it say nothing about {shape}**
or about people. No recording, line or label of {shape} is in it.

Made by

    python MIRAI/make_sample_corpus.py --out DIR --sessions {sessions} --seed {seed} --turns {turns[0]} {turns[1]} \\
        --scripts {scripts} --impros {impros} --test_sessions {held_out}{option}

## What is planted
Emotions: {shares} (about). A turn takes the speaker's own last emotion with probability
{INERTIA:g} (inertia), the partner's last one with {CONTAGION:g} (contagion), otherwise a new one with the shares above.
Neutral turns look neutral. Of each three emotional turns in a row, one shows the emotion in its words only, one in
its voice only, one in neither: only the conversation tells. Neutral-sounding lines and their order are drawn without
a look at the emotions. `planted.csv` says for every utterance: `emotion`, and `shown` = words, voice, context or
neutral.

| voice | speech rate | pitch (0-99) | pitch range (0-99) |
| --- | --- | --- | --- |
{effects}

Rate is a factor on the actor's own, pitch is added to the actor's own, range is set; all on eSpeak's scales.

## Labels
Ten raters a row. {raters} {labels}

## Encoders
`encoders/text` (RoBERTa) and `encoders/audio` (Wav2Vec2) are small, untrained networks in the usual transformers
format, to be trained from scratch with the classifier; the audio network's first layers start as a filter bank. The
tokenizer has read the transcripts of the training sessions only (held out: {held_out}).

## Licence
Apache-2.0, like the program that makes it. The lines were written for it. The voice was made with eSpeak NG
(GPL-3.0-or-later), a program that puts no condition on the speech it makes.
"""
