"""Figures as files: Korean names have a font where one is installed, the same numbers give the same bytes."""

import warnings
from xml.etree import ElementTree

import numpy as np
import pytest

from erc.figures import korean_fonts, new_figure, save_figure
from erc.scoring.evaluation import write_evaluation
from erc.scoring.pictures import draw_learning_curves

NAMES = ["중립", "$분노$", "기쁨"]


def write(folder, dialogues=3):
    generator = np.random.default_rng(0)
    turns = [
        (f"d{d}_{k}", f"d{d}", "MF"[k % 2], int(generator.integers(-1, 3))) for d in range(dialogues) for k in range(9)
    ]
    write_evaluation(folder, turns, generator.dirichlet(np.ones(3), len(turns)), NAMES)


def words(path):
    return [text.text for text in ElementTree.parse(path).iter("{http://www.w3.org/2000/svg}text")]


def test_pictures_of_an_evaluation(tmp_path):
    for folder in ("once", "again"):
        (tmp_path / folder).mkdir()
        write(tmp_path / folder)
    for name in ("confusion_matrix", "confidence", "timelines"):
        png, svg = (tmp_path / "once" / f"{name}.{kind}" for kind in ("png", "svg"))
        assert png.read_bytes().startswith(b"\x89PNG")
        for path in (png, svg):
            assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes()
    for name in ("confusion_matrix", "timelines"):
        assert set(NAMES) <= set(words(tmp_path / "once" / f"{name}.svg"))
    assert any(text.startswith("d2: 9 turns, ") for text in words(tmp_path / "once/timelines.svg"))
    assert any("Reliability, " in text for text in words(tmp_path / "once/confidence.svg"))


def test_timelines_of_many_dialogues_are_cut(tmp_path):
    write(tmp_path, dialogues=45)
    found = words(tmp_path / "timelines.svg")
    assert any("the first 40 of 45 dialogues" in text for text in found)
    assert not any(text.startswith("d40:") for text in found)


def test_learning_curves(tmp_path):
    history = [{"epoch": k, "train_loss": 1 / k, "dev_loss": 2 / k, "dev_weighted_f1": 0.5} for k in range(1, 30)]
    draw_learning_curves(tmp_path / "curves", history, 7)
    assert {"train loss", "dev weighted f1", "kept: epoch 7"} <= set(words(tmp_path / "curves.svg"))
    assert (tmp_path / "curves.png").exists()


@pytest.mark.skipif(not korean_fonts(), reason="no font with Korean letters is installed")
def test_korean_letters_are_drawn(tmp_path, monkeypatch):
    figure = new_figure(2, 1)
    figure.text(0.5, 0.5, NAMES[0])
    monkeypatch.setattr(warnings, "filterwarnings", lambda *_: None)  # which hides what the next line looks for
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        save_figure(figure, tmp_path / "a")
    assert not [one for one in told if "missing from font" in str(one.message)]


def test_without_such_a_font_it_says_how_to_get_one(tmp_path, monkeypatch, capsys):
    import erc.figures

    monkeypatch.setattr(erc.figures, "korean_fonts", lambda: ())
    erc.figures._say_how_to_get_one.cache_clear()
    for text in ("angry", NAMES[0], NAMES[2]):
        figure = new_figure(2, 1)
        figure.text(0.5, 0.5, text)
        save_figure(figure, tmp_path / "a")
        told = capsys.readouterr().err
        assert ("pip install pylopdf-fonts-ko" in told) == (text == NAMES[0])  # once
