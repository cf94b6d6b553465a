"""app/demo.py in headless Chromium, from an upload or the microphone to the report; and what it leaves when it ends."""

import os
import random
import shutil
import socket
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from erc.options import REPOSITORY
from tests.conversation.conftest import RATE, write_sound
from tests.conversation.test_browser import chromium, find, requests  # noqa: F401 (a fixture)

for package in ("selenium", "fastapi", "uvicorn", "python_multipart", "silero_vad"):
    pytest.importorskip(package, reason=f"{package} of tests/requirements.txt is not installed")
pytestmark = pytest.mark.skipif(
    not (shutil.which("chromium") and shutil.which("chromedriver")),
    reason="no chromium and chromedriver (Debian: apt-get install chromium chromium-driver)",
)
TOKEN = "a token that nobody guesses"
LINES = [
    ("M", "오늘 면접 결과가 나왔어", "neutral"),
    ("F", "정말요 어떻게 됐어요", "surprise"),
    ("M", "합격했대 너무 기뻐", "happy"),
]


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The script in a process of its own, with the sample models; `folder` is where it may put things."""
    folder = tmp_path_factory.mktemp("demo")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, REPOSITORY / "app/demo.py", "--port", str(port), "--device", "cpu", "--token", TOKEN]
    environment = {**os.environ, "TMPDIR": str(folder)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline().startswith(f"http://127.0.0.1:{port}")
            yield SimpleNamespace(url=f"http://127.0.0.1:{port}", folder=folder, process=process)
        finally:
            process.terminate()
            process.wait(60)
    assert [path.name for path in folder.iterdir() if path.name.startswith("conversations-")] == []


@pytest.fixture
def page(chromium, demo):  # noqa: F811
    """The page in a browser that knows nothing; in the end, nothing was complained of or asked for elsewhere."""
    chromium.get(demo.url + "/words.json")  # no page, whose script could store something again
    chromium.execute_script("localStorage.clear(); sessionStorage.clear()")
    for log in ("browser", "performance"):
        chromium.get_log(log)
    chromium.get(demo.url)
    if chromium.current_url == demo.url + "/login":  # the first time
        find(chromium, "[name=token]")[0].send_keys(TOKEN)
        find(chromium, "button")[0].click()
        (cookie,) = wait(chromium, chromium.get_cookies)  # once the answer is there
        assert cookie["httpOnly"] and cookie["sameSite"] == "Strict"
    wait(chromium, lambda: find(chromium, "#upload .strong") and find(chromium, "#upload .strong")[0].text)
    yield chromium
    assert [entry for entry in chromium.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")] == []
    assert [url for url in requests(chromium) if not url.startswith((demo.url, "data:", "blob:"))] == []
    left = [path.name for path in demo.folder.glob("conversations-*/*/*")]
    assert set(left) <= {"result"}  # the uploads are gone


def wait(driver, condition):
    from selenium.webdriver.support.ui import WebDriverWait

    return WebDriverWait(driver, 120, 0.1).until(lambda _: condition())


def report_of(driver):
    """Wait for the report; gives what it shows."""
    wait(
        driver,
        lambda: driver.current_url.endswith("/report") or find(driver, '[data-status="failed"], .wrong:not([hidden])'),
    )
    assert driver.current_url.endswith("/report"), find(driver, "main")[0].text
    return driver.execute_script("return DATA")


def test_from_an_upload_to_a_corrected_report(page, tmp_path):
    from selenium.webdriver.support.ui import Select

    from mirai.sample.actors import cast

    actors, rng, clock, parts = cast(50, 9), random.Random(1), 0.4, []
    for speaker, text, emotion in LINES:
        samples = actors[speaker].say(text, emotion, rng) / np.float32(32768)
        parts.append((speaker, clock, samples))
        clock += len(samples) / RATE + 0.9
    sound = np.zeros((int(clock * RATE), 2), np.float32)
    for speaker, start, samples in parts:
        sound[int(start * RATE) : int(start * RATE) + len(samples), "MF".index(speaker)] += samples
    path = write_sound(tmp_path / "통화 <b>1.wav", sound)
    find(page, "#recording")[0].send_keys(str(path))
    assert find(page, "#chosen")[0].text == path.name
    find(page, "#upload .strong")[0].click()
    wait(page, lambda: find(page, "progress") or page.current_url.endswith("/report"))
    data = report_of(page)
    assert data["sources"] == ["통화_b_1.wav"] and [turn["speaker"] for turn in data["turns"]] == ["M", "F", "M"]
    starts = [start for _, start, _ in parts]
    assert np.allclose([turn["start"] for turn in data["turns"]], starts, atol=0.3)
    find(page, '[data-turn="1"] .play')[0].click()
    page.execute_async_script(
        "const done = arguments[0], told = () => audio.currentTime > 0 ? done() : setTimeout(told, 20); told();"
    )
    find(page, '[data-turn="1"] .edit')[0].click()
    Select(find(page, '[data-turn="1"] select[data-f="emotion"]')[0]).select_by_value("disgust")
    page.refresh()
    assert find(page, '[data-turn="1"] .badge')[0].text.endswith("disgust")
    page.back()
    wait(page, lambda: find(page, '[data-status="done"]'))
    find(page, '[data-status="done"] button')[0].click()  # delete
    wait(page, lambda: not find(page, ".item"))


def test_from_the_microphone_to_the_report(page):
    from selenium.webdriver.common.action_chains import ActionChains

    find(page, "#tab-record")[0].click()
    find(page, "#turn-on")[0].click()
    wait(page, lambda: find(page, "#holds")[0].is_displayed())
    for number in (0, 1):
        hold = find(page, ".hold")[number]
        ActionChains(page).click_and_hold(hold).perform()
        wait(page, lambda: page.execute_script("return microphone.current.pieces.length * 128 / microphone.rate > 0.6"))
        ActionChains(page).release().perform()
        wait(page, lambda number=number: len(find(page, ".take")) == number + 1)
    find(page, ".take input")[1].send_keys('=정말, "그래"')
    find(page, "#judge-record")[0].click()
    data = report_of(page)
    assert [turn["speaker"] for turn in data["turns"]] == ["M", "F"] and data["sources"][0] == "recording.wav"
    assert [turn["text"] for turn in data["turns"]] == ["", '=정말, "그래"']
    assert all(0.6 < turn["end"] - turn["start"] < 10 for turn in data["turns"])
    assert [turn["channel"] for turn in data["turns"]] == [1, 2]


def test_what_is_wrong_is_said(page, tmp_path):
    find(page, "#upload .strong")[0].click()
    assert find(page, "#upload .wrong")[0].text == "Choose a recording first."
    path = tmp_path / "call.wav"
    path.write_bytes(b"PK\3\4 no sound at all")
    find(page, "#recording")[0].send_keys(str(path))
    find(page, '[data-language="ko"]')[0].click()
    find(page, "#upload .strong")[0].click()
    wait(page, lambda: "call.wav: not a sound file" in find(page, "#upload .wrong")[0].text)
    assert find(page, "h1")[0].text == "대화 속 감정" and find(page, ".item") == []
    complaints = page.get_log("browser")  # Chromium's own, of the answer 422
    assert [one for one in complaints if one["level"] != "DEBUG" and "422" not in one["message"]] == []


@pytest.mark.parametrize("width", [360, 768])
def test_nothing_is_wider_than_the_screen(page, width):
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    page.execute_script("microphone.takes.push({speaker: 0, pieces: [], text: '', seconds: 12.3}); showTakes()")
    for tab in ("upload", "record", "text"):
        find(page, f"#tab-{tab}")[0].click()
        assert page.execute_script("return document.documentElement.scrollWidth <= innerWidth && innerWidth") == width
    nameless = "return [...document.querySelectorAll('button, input, textarea')].filter("
    nameless += "(one) => !(one.textContent || one.ariaLabel || one.labels?.length)).length"
    assert page.execute_script(nameless) == 0
    page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
