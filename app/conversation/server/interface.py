"""What programs may ask of the server: the parts of its OpenAPI description that no type tells, and a page of it."""

from conversation.report.page import fill
from conversation.server.form import ENDINGS

_FILE = {"type": "string", "format": "binary"}
_PROPERTIES = {
    "recording": {
        "type": "array",
        "items": _FILE,
        "description": f"One recording, or one for each speaker: {', '.join(ENDINGS['recording'])}.",
    },
    "channels": {
        "type": "array",
        "items": {"type": "string"},
        "description": "Who speaks on each channel, or in each recording: a value for each, or one with commas.",
    },
    "speakers": {"type": "integer", "description": "In one channel, how many speak: who it is, is guessed by voice."},
    "turns": {
        **_FILE,
        "description": f"Who speaks when and says what in the recording: {', '.join(ENDINGS['turns'])}.",
    },
    "dialogue": {"type": "string", "description": "Which dialogue of a manifest that has several."},
    "text": {"type": "string", "description": "Instead of a recording: lines `speaker: text`, as a value or a .txt."},
    "transcribe": {"type": "boolean", "description": "Write down what is said where there is no text."},
    "reasons": {"type": "boolean", "description": "For each turn, what its label rests on (default: true)."},
    "pause": {"type": "number", "description": "Seconds of silence that end a turn, where turns are looked for."},
}
UPLOAD = {
    "requestBody": {
        "required": True,
        "content": {"multipart/form-data": {"schema": {"type": "object", "properties": _PROPERTIES}}},
    }
}


def _error(text):
    schema = {"type": "object", "properties": {"error": {"type": "string"}}}
    return {"description": text, "content": {"application/json": {"schema": schema}}}


_REFUSED = {401: _error("The token is missing or wrong."), 403: _error("Sent by a page of another site.")}
_GONE = {404: _error("There is no such conversation, or none any more.")}
SCHEMAS = {
    "made": {
        202: {"description": "It is queued."},
        **_REFUSED,
        400: _error("A broken form, or one with unknown fields."),
        413: _error("Too large."),
        415: _error("No form, or a file of a kind that is not taken."),
        422: _error("A recording that is none or too long, parts that do not fit each other."),
        503: _error("Too many are waiting; try again after the seconds in `Retry-After`."),
    },
    "status": {**_REFUSED, **_GONE},
    "file": {**_REFUSED, **_GONE, 409: _error("The work has not ended, or failed: the error says why.")},
}


def render_interface(description, settings):
    """The page of an OpenAPI description of the server with these `DemoOptions`."""
    routes = [
        {"method": method.upper(), "path": path, "fields": _fields(one), **one}
        for path, methods in description["paths"].items()
        for method, one in methods.items()
    ]
    return fill("server/interface.html", title=description["info"]["title"], routes=routes, settings=settings)


def _fields(route):
    content = route.get("requestBody", {}).get("content", {})
    return [
        {"name": name, "kind": one.get("format", one["type"]), "description": one.get("description", "")}
        for each in content.values()
        for name, one in each["schema"]["properties"].items()
    ]
