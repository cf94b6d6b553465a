"""`report.html`: one page with everything in it, that asks nothing of any network."""

import base64
import hashlib
import json
from importlib.resources import files

from conversation.sound import as_mp3
from erc.files import atomic_writer, write_text

SCRIPTS = ("common.js", "words.js", "model.js", "exports.js", "player.js", "overview.js", "turns.js", "main.js")
_ESCAPES = {ord(mark): f"\\u{ord(mark):04x}" for mark in "<>&\u2028\u2029"}
_FOLDER = "audio"  # beside the page


def write_report(folder, data, conversation, page_mb):
    """The page of a conversation, and beside it the sound that is too large to be inside.

    Args:
        data: as `conversation.results.as_data` gives it.
        page_mb: MB of MP3 that the page may hold.
    """
    sounds = [as_mp3(turn.wave) if turn.wave is not None else None for turn in conversation.turns]
    inside = sum(len(sound or b"") for sound in sounds) <= page_mb * 1e6
    if inside:
        places = [sound and f"data:audio/mpeg;base64,{base64.b64encode(sound).decode()}" for sound in sounds]
    else:
        places = [sound and f"{_FOLDER}/{number:05}.mp3" for number, sound in enumerate(sounds, start=1)]
        for sound, place in zip(sounds, places, strict=True):
            if sound:
                with atomic_writer(folder / place) as file:
                    file.write(sound)
    write_text(folder / "report.html", render(data, places, inside))


def render(data, sounds, inside):
    """The text of the page.

    Args:
        sounds: for each turn the address of its MP3, or None.
        inside: they are data: addresses.
    """
    style, script = read("report/report.css"), "\n".join(read(f"report/{name}") for name in SCRIPTS)
    return fill(
        "report/report.html",
        title=data["dialogue"],
        policy=_policy(style, script, inside),
        style=style,
        script=script,
        data=as_json({**data, "id": hashlib.sha256(as_json(data).encode()).hexdigest()[:32]}),
        sounds=as_json(sounds),
    )


def read(name):
    """The text of a file of this package, such as `report/report.css`."""
    return files("conversation").joinpath(name).read_text(encoding="utf-8")


def fill(name, **values):
    """The page of a template, in which every value is text, and no markup unless the template says so."""
    import jinja2

    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    return environment.from_string(read(name)).render(**values)


def as_json(value):
    """JSON that ends no script element, whatever text is in it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).translate(_ESCAPES)


def _policy(style, script, inside):
    """What the page may do: run its own script and style, play its own sound. No address of a network is allowed."""
    own = {name: base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for name, text in
           (("style", style), ("script", script))}  # fmt: skip
    return (
        f"default-src 'none'; style-src 'sha256-{own['style']}'; script-src 'sha256-{own['script']}'; img-src data:; "
        f"media-src data:{'' if inside else ' file:'}; base-uri 'none'; form-action 'none'"
    )
