"""A page and an HTTP interface for one's own conversations, on this machine only: docs/demo.md.

    python app/demo.py --port 8000

Then open http://127.0.0.1:8000 in a browser. Recordings are uploaded or made there; the emotion of every turn is shown
in a report that can be corrected. Uploads and results are deleted after --keep minutes and when the program ends.
Another address than this machine's own (--host) needs --token.
"""

from conversation.server.options import DemoOptions
from erc.options import parse, run


def main(argv=None):
    options = parse(DemoOptions, argv, __doc__)
    from conversation.server.serve import serve

    serve(options)


if __name__ == "__main__":
    run(main)
