"""Figures of matplotlib as files: PNG and SVG, with a font for Korean names, the same bytes from the same numbers."""

import functools
import importlib.util
import re
import sys
import warnings
from pathlib import Path

from erc.files import atomic_writer

# Told apart by the colour-blind too (M. Okabe and K. Ito, Color Universal Design, 2008); grey first.
COLOURS = ("#bbbbbb", "#d55e00", "#f0e442", "#cc79a7", "#0072b2", "#56b4e9", "#009e73", "#e69f00", "#000000")
LINES = tuple(COLOURS[k] for k in (4, 1, 6, 3, 7, 5))  # without those that are faint on white
# Those of Linux, Windows and macOS, in this order. Of a collection, matplotlib knows the first face: Noto's is the JP.
_KOREAN_FONTS = (
    *("Noto Sans CJK KR", "Noto Sans CJK JP", "Noto Sans KR", "NanumGothic", "UnDotum"),
    *("Malgun Gothic", "Apple SD Gothic Neo"),
)
_KOREAN_FILES = {"NotoSansCJK", "NotoSansCJKkr", "NotoSansKR", "NanumGothic", "UnDotum", "malgun", "AppleSDGothicNeo"}


_HANGUL = re.compile("[가-힣]")


def new_figure(width, height):
    """An empty figure of this size in inches, which no window shows."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure, path, dpi=120):
    """Write a figure as `path`.png and `path`.svg."""
    import matplotlib.text

    for text in figure.findobj(matplotlib.text.Text):
        text.set_fontfamily(["DejaVu Sans", *korean_fonts()])
        if _HANGUL.search(text.get_text()) and not korean_fonts():
            _say_how_to_get_one()
    settings = {
        "svg.hashsalt": "erc",  # names of parts, else drawn at random
        "svg.fonttype": "none",  # text stays text: the reader's own fonts, and a fifth of the size
    }
    with matplotlib.rc_context(settings), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # without any such font: boxes
        for kind, metadata in (("png", {"Software": None}), ("svg", {"Date": None})):
            with atomic_writer(f"{path}.{kind}") as file:
                figure.savefig(file, format=kind, dpi=dpi, metadata=metadata)


@functools.cache
def _say_how_to_get_one():
    print(
        "pictures: no font with Korean letters is installed, boxes stand for them; install one, such as "
        "fonts-noto-cjk, or pip install pylopdf-fonts-ko",
        file=sys.stderr,
    )


@functools.cache
def korean_fonts():
    """The installed fonts that have Korean letters, those of `pip install pylopdf-fonts-ko` among them."""
    from matplotlib import font_manager

    def known():
        names = {font.name for font in font_manager.fontManager.ttflist}
        return tuple(name for name in _KOREAN_FONTS if name in names)

    if not known():  # matplotlib remembers what was there when it first looked
        package = importlib.util.find_spec("pylopdf_fonts_ko")
        folders = [Path(place) for place in package.submodule_search_locations] if package else []
        found = [*map(Path, font_manager.findSystemFonts()), *(p for place in folders for p in place.rglob("*.[ot]tf"))]
        for path in found:
            if path.stem.replace("-Regular", "").replace(" ", "") in _KOREAN_FILES:
                font_manager.fontManager.addfont(path)
    return known()
