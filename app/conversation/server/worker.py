"""The process that does the work: it loads the models once, takes a conversation at a time and tells how far it is.

    python -m conversation.server.worker

Lines of JSON: a request on standard input, `{"folder", "options", "names"}`, is answered by any number of
`{"progress": {"stage", "done", "total"}}` and one `{"result": {...}}` or `{"error": text}`. JSON and not pickles:
whoever takes over the process that decodes a stranger's file shall not get the server too.
"""

import dataclasses
import functools
import json
import os
import sys
import typing
from pathlib import Path

from conversation.options import PredictOptions
from conversation.server.request import Request, message_of
from erc.options import UserError


def main():
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a library prints is no answer
    from conversation import predict, prediction, reasons  # noqa: F401 (their libraries, before the first request)
    from conversation.models import load_models

    load = OncePerKind(load_models)

    def say(**answer):
        print(json.dumps(answer), file=answers, flush=True)

    say(ready=True)
    for line in sys.stdin:
        say(**work(json.loads(line), lambda **progress: say(progress=progress), load))


def work(asked, tell, load):
    """Do what one request asks for; returns the answer.

    Args:
        tell: is called with `stage`, `done` and `total`.
        load: as `conversation.models.load_models`.
    """
    folder = Path(asked["folder"])
    request = Request(asked["options"], asked["names"])
    try:
        return {"result": _predict(request, tell, load)}
    except UserError as error:
        return {"error": request.shown(message_of(error, folder))}
    except MemoryError:
        return {"error": "too large for the memory of this machine; send a piece of it"}
    except Exception as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return {"error": f"unexpected {type(error).__name__}; the server's own output says more"}


def _predict(request, tell, load):
    from conversation.predict import predict_conversation
    from conversation.report.page import write_report
    from conversation.results import write_results

    options = _options(request.options)
    conversation, data = predict_conversation(options, functools.partial(_told, tell), load)
    data = json.loads(request.shown(json.dumps(data, ensure_ascii=False)))
    tell(stage="report", done=0, total=1)
    options.out.mkdir(mode=0o700)
    write_results(options.out, data)
    write_report(options.out, data, conversation, page_mb=float("inf"))
    return {"turns": len(data["turns"]), "speakers": data["speakers"], "dialogue": data["dialogue"]}


def _told(tell, stage, unit):
    """A function that wraps a list, as tqdm does, and tells how much of it was taken."""

    def wrap(items):
        items = list(items)
        for done, item in enumerate(items):
            tell(stage=stage, done=done, total=len(items))
            yield item
        tell(stage=stage, done=len(items), total=len(items))

    return wrap


def _options(values):
    """`PredictOptions` of plain values: which of them are paths, their types say."""
    hints = typing.get_type_hints(PredictOptions)
    made = {}
    for one in dataclasses.fields(PredictOptions):
        if one.name in values:
            value, is_path = values[one.name], "Path" in str(hints[one.name])
            if is_path:
                value = [Path(each) for each in value] if isinstance(value, list) else Path(value)
            made[one.name] = value
    return PredictOptions(**made)


class OncePerKind:
    """`load_models` that reads models once for each kind of conversation: with speech, with text, with both."""

    def __init__(self, load):
        self.load, self.loaded = load, {}

    def __call__(self, options, conversation):
        kind = conversation.has_speech, conversation.has_text
        if kind not in self.loaded:
            self.loaded[kind] = self.load(options, conversation)
        return self.loaded[kind]


if __name__ == "__main__":
    main()
