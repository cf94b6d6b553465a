"""The Korean lines of the sample corpus (`lines.toml`), and how an actor varies them."""

import functools
import re
import tomllib
from importlib.resources import files

_CASUAL = [
    (r"아니에요(?=[.?!,]|$)", "아니야"),
    (r"이에요(?=[.?!,]|$)", "이야"),
    (r"예요(?=[.?!,]|$)", "야"),
    (r"(?<!세)요(?=[.?!,]|$)", ""),
    (r"지요(?=[.?!,]|$)|죠(?=[.?!,]|$)", "지"),
    (r"(?<!\S)네(?=,)", "응"),
]


@functools.cache
def lines():
    """The tables of `lines.toml`: `topics` and `emotional` by name, `continuations`, `fillers`, `backchannels`."""
    return tomllib.loads(files("mirai.sample").joinpath("lines.toml").read_text(encoding="utf-8"))


def vary(line, rng, polite=True):
    """The line as one actor says it: word order, a filler now and then, the politeness he or she keeps.

    Args:
        line: of `lines()`, with its `{a~b}` marks.
        rng: `random.Random`.
        polite: False drops the polite endings.
    """
    if rng.random() < 0.5:
        line = re.sub(r"{(.+)~(.+)}", r"{\2~\1}", line)
    line = re.sub(r"{(.+)~(.+)}", r"\1 \2", line)
    if not polite:
        for pattern, casual in _CASUAL:
            line = re.sub(pattern, casual, line)
    if rng.random() < 0.3:
        line = f"{rng.choice(lines()['fillers'])} {line}"
    return line
