"""Pictures that matplotlib is spared from rendering, which would take most of the time of training and scoring."""

import contextlib

import pytest

BLANK = {"png": b"\x89PNG\r\n\x1a\n", "svg": b"<svg xmlns='http://www.w3.org/2000/svg'/>"}


@contextlib.contextmanager
def blank():
    """In this context the program makes its figures as ever, but the files are blank; gives what would draw them."""
    from matplotlib.figure import Figure

    rendered = Figure.savefig
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", lambda self, file, **how: file.write(BLANK[how["format"]]))
        yield rendered


@pytest.fixture(scope="module", autouse=True)
def blank_pictures():
    """For every test of the module, or below a conftest.py, that does not ask for `real_pictures`."""
    with blank() as rendered:
        yield rendered


@pytest.fixture
def real_pictures(blank_pictures, monkeypatch):
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", blank_pictures)
