"""The body of `POST /conversations`, multipart/form-data, written to files as it comes and never larger than allowed.

What the sender calls a file is for display alone: on the disk it has a random name in the conversation's own folder.
"""

import asyncio
import os
import re
import secrets
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from starlette.requests import ClientDisconnect

from conversation.extras import needs
from conversation.readers import READERS

with needs("python-multipart"):
    import python_multipart
    from python_multipart.exceptions import FormParserError
    from python_multipart.multipart import parse_options_header

SOUNDS = (".wav", ".flac", ".mp3", ".ogg", ".oga", ".opus", ".aif", ".aiff", ".au", ".w64", ".caf")
ENDINGS = {"recording": SOUNDS, "turns": tuple(READERS), "text": (".txt",)}
FIELDS = ("channels", "speakers", "text", "dialogue", "pause", "transcribe", "reasons")
_MOST = {"recording": 8, "turns": 1, "text": 1}  # files
_VALUES, _VALUE = 24, 200_000  # plain values, and the bytes of all of them
_SMALL = 8 << 20  # bytes of a file that is no sound
_PATIENCE = 600  # seconds that an upload may take
_UNUSUAL = re.compile(r"[^\w.-]+")
_LONGEST = 60  # characters of a name
_NOWHERE = Path(os.devnull)


class Refused(Exception):
    """What is wrong with a request, and the HTTP status of it."""

    def __init__(self, status, message):
        super().__init__(message)
        self.status, self.message = status, message


@dataclass
class Upload:
    """A file that was sent.

    Attributes:
        path: where it is; `name`: what people call it; harmless in a page, a table, a path and a segment id.
    """

    path: Path
    name: str


@dataclass
class Form:
    """The files and the plain values of a form, lists by field."""

    files: dict = field(default_factory=dict)
    values: dict = field(default_factory=dict)

    def last(self, name):
        return self.values.get(name, [None])[-1]


def display_name(sent):
    """What a file is called on pages and in tables: its last part, of letters, digits, dots and dashes."""
    name = PurePosixPath(unicodedata.normalize("NFC", sent).replace("\\", "/")).name
    stem, dot, ending = _UNUSUAL.sub("_", name).rpartition(".")
    return f"{(stem or ending).strip('._-')[:_LONGEST] or 'recording'}{dot and '.' + ending[:8].lower()}"


async def read_form(request, folder, max_bytes):
    """Write the files of a form into `folder`.

    Returns:
        Form
    Raises:
        Refused: it is no form, too large, cut off, or has a field or a kind of file that is unknown.
    """
    kind, parameters = parse_options_header(request.headers.get("content-type", ""))
    if kind != b"multipart/form-data" or not parameters.get(b"boundary"):
        raise Refused(415, "expected multipart/form-data with a file in the field `recording`, or text in `text`")
    declared = request.headers.get("content-length", "0")
    too_large = Refused(413, f"larger than {max_bytes / 1e6:g} MB, which is the limit here")
    if declared.isdecimal() and int(declared) > max_bytes:
        raise too_large
    reader = _Reader(folder)
    try:
        parser = python_multipart.MultipartParser(parameters[b"boundary"], reader.callbacks())
        async with asyncio.timeout(_PATIENCE):
            size = 0
            async for piece in request.stream():
                size += len(piece)
                if size > max_bytes:
                    raise too_large
                parser.write(piece)
        if not reader.ended:
            raise Refused(400, "the upload was cut off")
    except FormParserError:
        raise Refused(400, "not a form, or cut off") from None
    except (ClientDisconnect, TimeoutError):
        raise Refused(408, "the upload did not come to its end") from None
    except OSError as error:
        raise Refused(507, f"the server could not keep the upload: {error.strerror}") from None
    finally:
        reader.close()
    return reader.form


class _Reader:
    """Takes the parts of a form as the parser finds them."""

    def __init__(self, folder):
        self.folder, self.form, self.ended = folder, Form(), False
        self.file = None
        self.amount = self.count = 0

    def callbacks(self):
        names = ("part_begin", "part_data", "part_end", "header_field", "header_value", "header_end")
        return {f"on_{name}": getattr(self, name) for name in (*names, "headers_finished", "end")}

    def part_begin(self):
        self.headers, self.header, self.value, self.content = {}, b"", b"", bytearray()

    def header_field(self, data, start, end):
        self.header += data[start:end]

    def header_value(self, data, start, end):
        self.value += data[start:end]

    def header_end(self):
        self.headers[self.header.lower()] = self.value
        self.header, self.value = b"", b""

    def headers_finished(self):
        _, parameters = parse_options_header(self.headers.get(b"content-disposition", b""))
        self.name = parameters.get(b"name", b"").decode("utf-8", "replace")
        sent = parameters.get(b"filename")
        self.count += 1
        if self.count > _VALUES:
            raise Refused(400, f"more than {_VALUES} parts in the form")
        if sent is None:
            if self.name not in FIELDS:
                raise Refused(400, f"unknown field {self.name[:40]!r}; expected some of {', '.join(FIELDS)}")
            return
        self.open(display_name(sent.decode("utf-8", "replace")), empty=not sent)

    def open(self, name, empty):
        if self.name not in ENDINGS:
            raise Refused(400, f"unknown file field {self.name[:40]!r}; expected some of {', '.join(ENDINGS)}")
        if empty:  # the field of a page in which nothing was chosen
            self.limit = None
            self.file = _NOWHERE.open("wb")
            return
        ending = PurePosixPath(name).suffix
        if ending not in ENDINGS[self.name]:
            expected = ", ".join(ENDINGS[self.name])
            raise Refused(415, f"{name}: of a kind that `{self.name}` does not take; expected {expected}")
        own = self.form.files.setdefault(self.name, [])
        if len(own) == _MOST[self.name]:
            raise Refused(400, f"more than {len(own)} files in the field {self.name!r}")
        path = self.folder / f"{secrets.token_hex(16)}{ending}"
        own.append(Upload(path, name))
        self.limit = None if self.name == "recording" else _SMALL
        self.file = path.open("xb")

    def part_data(self, data, start, end):
        if self.file is None:
            self.amount += end - start
            if self.amount > _VALUE:
                raise Refused(413, f"more than {_VALUE} bytes of plain values")
            self.content += data[start:end]
            return
        self.file.write(data[start:end])
        if self.limit and self.file.tell() > self.limit:
            raise Refused(413, f"{self.form.files[self.name][-1].name}: larger than {self.limit / 1e6:.0f} MB")

    def part_end(self):
        if self.file is None:
            self.form.values.setdefault(self.name, []).append(self.content.decode("utf-8", "replace"))
        self.close()

    def end(self):
        self.ended = True

    def close(self):
        if self.file is not None:
            self.file.close()
            self.file = None
