"""report.html as text: what is in it whatever a name or a text holds, and where the sound goes."""

import base64
import io
import json
import re
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from conversation.report.page import as_json, render, write_report
from conversation.results import as_data
from conversation.turns import Conversation, Note, Turn
from tests.conversation.conftest import RATE, TURNS, tones

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&<!--\u2028"


def results(hostile="", file_times=True):
    """Results that were made up, for the turns of `TURNS`."""
    sound = tones()
    turns = []
    for start, end, speaker, text, _ in TURNS:
        wave = sound[int(start * RATE) : int(end * RATE), "MF".index(speaker)]
        source = "given" if text else "none"
        turns.append(Turn(start, end, speaker + hostile, text + hostile, source, file_name="call.wav", wave=wave))
    conversation = Conversation(f"call{hostile}", ["call.wav"], turns, [Note(f"A note{hostile}", "메모")], file_times)
    conversation.sort()
    emotions = ("neutral", "angry", f"happy{hostile}", "sad", "surprise")
    names = {"en": emotions, "ko": ("중립", "분노", "기쁨", "슬픔", "놀람")}
    p = np.array([[0.6, 0.1, 0.1, 0.1, 0.1], [0.1, 0.5, 0.2, 0.1, 0.1], [0.1, 0.1, 0.6, 0.1, 0.1]] + 2 * [5 * [0.2]])
    losses = {"voice": np.array([0.5, 0, 0, 0, 0.01]), "words": np.zeros(5), "conversation": np.full(5, -0.1)}
    more = (emotions, names, p, losses, 0.5, {"extractor": "best.ckpt"}, 1.0)
    return SimpleNamespace(conversation=conversation, data=lambda: as_data(conversation, *more))


def make_report(folder, made=None, page_mb=20):
    made = made or results()
    folder.mkdir(exist_ok=True)
    write_report(folder, made.data(), made.conversation, page_mb)
    return folder / "report.html"


def parts(text):
    """{id: text} of the page's data, and its scripts that run."""
    data, scripts = {}, []
    for attributes, content in re.findall(r"<script([^>]*)>(.*?)</script>", text, re.DOTALL):
        name = re.search('id="(.*?)"', attributes)
        if name:
            data[name[1]] = content
        else:
            scripts.append(content)
    return data, scripts


def test_the_data_in_the_page_are_those_of_turns_json(tmp_path):
    made = results()
    data, scripts = parts(make_report(tmp_path / "r", made).read_text(encoding="utf-8"))
    found = json.loads(data["data"])
    assert len(found.pop("id")) == 32 and found == json.loads(json.dumps(made.data())) and len(scripts) == 1


def test_sound_in_the_page_is_that_of_the_turns(tmp_path):
    data, _ = parts(make_report(tmp_path / "r").read_text(encoding="utf-8"))
    for place, (start, end, _, _, hertz) in zip(json.loads(data["sounds"]), TURNS, strict=True):
        kind, _, content = place.partition(",")
        assert kind == "data:audio/mpeg;base64"
        sound, rate = soundfile.read(io.BytesIO(base64.b64decode(content)))
        assert len(sound) / rate == pytest.approx(end - start, abs=0.1)
        spectrum = np.abs(np.fft.rfft(sound))
        assert np.fft.rfftfreq(len(sound), 1 / rate)[spectrum.argmax()] == pytest.approx(hertz, abs=3)
    assert [path.name for path in (tmp_path / "r").iterdir()] == ["report.html"]


def test_much_sound_is_put_beside_the_page(tmp_path):
    text = make_report(tmp_path / "r", page_mb=0.001).read_text(encoding="utf-8")
    data, _ = parts(text)
    places = json.loads(data["sounds"])
    assert places == [f"audio/{k:05}.mp3" for k in range(1, 6)] and "base64" not in data["sounds"]
    assert all(soundfile.info(tmp_path / "r" / place).format == "MP3" for place in places)


def test_text_is_never_markup(tmp_path):
    """Whatever is in names, labels, transcripts and notes, the page has the same elements."""

    class Tags(HTMLParser):
        def __init__(self, text):
            super().__init__()
            self.found = []
            self.feed(text)

        def handle_starttag(self, tag, attrs):
            self.found.append((tag, sorted(name for name, _ in attrs)))

    plain = make_report(tmp_path / "plain").read_text(encoding="utf-8")
    text = make_report(tmp_path / "hostile", results(HOSTILE)).read_text(encoding="utf-8")
    assert Tags(text).found == Tags(plain).found
    data, scripts = parts(text)
    assert json.loads(data["data"])["dialogue"] == f"call{HOSTILE}" and scripts == parts(plain)[1]
    assert json.loads(as_json(HOSTILE)) == HOSTILE and not set("<>&\u2028") & set(as_json(HOSTILE))


@pytest.mark.parametrize(("inside", "media"), [(True, "media-src data:;"), (False, "media-src data: file:;")])
def test_the_page_may_ask_no_network(inside, media):
    text = render(results().data(), [None] * 5, inside)
    policy = re.search('Content-Security-Policy" content="(.*?)"', text)[1].replace("&#39;", "'")
    assert policy.startswith("default-src 'none';") and media in policy
    assert not re.search(r"https?:|\*|unsafe|connect-src|'self'", policy)
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", text)
