"""From a form to what is asked of `conversation.predict`: checked before anything is decoded."""

import re
from dataclasses import dataclass, field
from pathlib import Path

from conversation.options import PredictOptions
from conversation.server.form import Refused, Upload
from erc.corpus.annotations import as_number
from erc.files import write_text
from erc.options import UserError, printable

_OF_MODELS = ("extractor", "cgnn", "model", "unsure", "device")  # of `DemoOptions`, where they are given
_CHANNELS = 8
_FULL = 2 * 48_000  # samples a second of stereo at 48 kHz: of so many, a recording of the longest duration is read
_FOLDERS = re.compile(r"(?<![^\s('\"])/(?:[^\s/]+/)+")  # of an absolute path
_TRUE, _FALSE = ("1", "true", "on", "yes"), ("0", "false", "off", "no", "")


@dataclass
class Request:
    """What the worker is asked for.

    Attributes:
        options: those of `PredictOptions`, as plain values.
        names: of the files on the disk, without their endings: what people call them, without endings too.
        sources: what people call the files, for display.
    """

    options: dict
    names: dict = field(default_factory=dict)
    sources: list = field(default_factory=list)

    def shown(self, text):
        """Text in which the files have people's names."""
        for own, name in self.names.items():
            text = text.replace(own, name)
        return text


def make_request(form, folder, settings):
    """The `Request` of a form whose files are in `folder`; `settings`: `DemoOptions`.

    Raises:
        Refused: parts are missing or do not fit each other, or a recording is none, or too long.
    """
    recordings, turns = form.files.get("recording", []), form.files.get("turns", [])
    texts = form.files.get("text", [])
    if (plain := (form.last("text") or "").strip()) and not texts:
        texts = [_written(folder, plain)]
    if not recordings and not texts:
        raise Refused(422, "nothing to judge: send a file as `recording`, or lines `speaker: text` as `text`")
    if turns and not recordings:
        raise Refused(422, "`turns` says when a recording's turns are; send its `recording` too")
    uploads = [*recordings, *turns, *texts]
    options = {name: value for name in _OF_MODELS if (value := getattr(settings, name)) is not None}
    options |= {name: _flag(form, name) for name in ("transcribe", "reasons") if form.last(name) is not None}
    options |= {"quiet": True, "out": folder / "result", "recording": [one.path for one in recordings]}
    options |= {name: files[0].path for name, files in (("turns", turns), ("text", texts)) if files}
    if channels := _channels(form.values.get("channels", [])):
        options["channels"] = channels
    if speakers := form.last("speakers"):
        if not (speakers.isascii() and speakers.isdecimal() and len(speakers) < 3):
            raise Refused(422, f"speakers: {printable(speakers[:40])!r}, expected a number")
        options["speakers"] = int(speakers)
    if dialogue := form.last("dialogue"):
        options["dialogue"] = dialogue[:200]
    if pause := form.last("pause"):
        options["pause"] = _number(pause)
    asked = Request({}, {one.path.stem: one.name.rpartition(".")[0] for one in uploads}, [one.name for one in uploads])
    try:
        PredictOptions(**options)
        for one in recordings:
            _check_recording(one.path, settings.max_minutes)
    except (ValueError, UserError) as error:
        raise Refused(422, asked.shown(message_of(error, folder))) from None
    asked.options = {name: _plain(value) for name, value in options.items()}
    return asked


def message_of(error, folder):
    """An error as its sender may read it: no path of this machine, no control characters."""
    lines = _FOLDERS.sub("", str(error).replace(f"{folder}/", "")).replace("--", "")[:4000].splitlines()
    return "\n".join(printable(line) for line in lines)


def _check_recording(path, minutes):
    """Refuse what is no sound or would take too much to decode; only the header is read."""
    from mirai.speech import probe

    info = probe(path)
    if (found := info.frames / info.samplerate / 60) > minutes:
        raise UserError(f"{path}: {found:.0f} minutes long, the limit here is {minutes:g}; send a piece of it")
    if info.channels > _CHANNELS:
        raise UserError(f"{path}: has {info.channels} channels, expected at most {_CHANNELS}")
    if info.frames * info.channels > minutes * 60 * _FULL:
        raise UserError(f"{path}: {info.channels} channels at {info.samplerate} Hz are too much; send 48 kHz or less")


def _written(folder, text):
    """Text that came as a plain value, as the file that it could have been."""
    path = folder / f"{folder.name}text.txt"
    write_text(path, text + "\n")
    return Upload(path, "text.txt")


def _channels(values):
    """Names that came one by one, or several with commas between them."""
    names = [name.strip() for value in values for name in value.split(",")]
    names = [name for name in names if name]
    for name in names:
        if len(name) > 60 or printable(name) != name or set(name) & set("/\\") or name[0] in "=+-@":
            raise Refused(422, f"channels: {printable(name[:60])!r} is no name of a speaker")
    return names


def _flag(form, name):
    value = form.last(name).strip().lower()
    if value not in (*_TRUE, *_FALSE):
        raise Refused(422, f"{name}: {printable(value[:40])!r}, expected true or false")
    return value in _TRUE


def _number(text):
    value = as_number(text)
    if value is None or not 0 <= value <= 60:
        raise Refused(422, f"pause: {printable(text[:40])!r}, expected seconds, 0 to 60")
    return value


def _plain(value):
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, Path):
        return str(value.absolute())  # the worker has another working directory
    return value
