"""Pictures that matplotlib is spared from rendering, which would take most of the time of training and scoring."""

import pytest

BLANK = {"png": b"\x89PNG\r\n\x1a\n", "svg": b"<svg xmlns='http://www.w3.org/2000/svg'/>"}


@pytest.fixture(scope="module", autouse=True)
def blank_pictures():
    """The program makes its figures as ever, but the files are blank; `real_pictures` is for a test that looks."""
    from matplotlib.figure import Figure

    with pytest.MonkeyPatch.context() as patch:
        rendered = Figure.savefig
        patch.setattr(Figure, "savefig", lambda self, file, **how: file.write(BLANK[how["format"]]))
        yield rendered


@pytest.fixture
def real_pictures(blank_pictures, monkeypatch):
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", blank_pictures)
