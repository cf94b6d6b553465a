"""The report in headless Chromium, as someone with a mouse, a keyboard or a phone uses it."""

import base64
import csv
import io
import json
import shutil

import numpy as np
import pytest
import soundfile

from conversation.readers import read_turns
from tests.conversation.conftest import TURNS
from tests.conversation.test_report import HOSTILE, make_report, results

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium of tests/requirements.txt is not installed")
pytestmark = pytest.mark.skipif(
    not (shutil.which("chromium") and shutil.which("chromedriver")),
    reason="no chromium and chromedriver (Debian: apt-get install chromium chromium-driver)",
)


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    profile, home = tmp_path_factory.mktemp("profile"), tmp_path_factory.mktemp("home")
    for argument in (
        *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1200,900"),
        *("--lang=en", "--mute-audio", f"--user-data-dir={profile}", "--disable-background-networking"),
        *("--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"),  # a microphone that beeps
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    options.add_experimental_option("prefs", {"download.default_directory": str(home)})
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    driver.set_script_timeout(120)
    driver.downloads = home
    yield driver
    driver.quit()


@pytest.fixture
def show(chromium, tmp_path):
    """`show(results, page_mb)` opens a report, as a file, in a browser that knows nothing; closing checks the console
    and that nothing but the page itself was asked for."""
    pages = []

    def call(made=None, page_mb=20, width=1200, dark=False):
        chromium.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600},
        )
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme})
        page = make_report(tmp_path / f"r{len(pages)}", made, page_mb)
        pages.append(page)
        chromium.get(page.as_uri())
        chromium.execute_script("localStorage.clear()")
        chromium.get_log("performance")
        chromium.get(page.as_uri())
        return chromium

    yield call
    assert [entry for entry in chromium.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")] == []
    folders = tuple(page.parent.as_uri() for page in pages)
    assert [url for url in requests(chromium) if not url.startswith((*folders, "data:", "blob:"))] == []


def requests(driver):
    """The addresses that the browser asked for since this was last looked at."""
    messages = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    return [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]


def find(driver, selector):
    return driver.find_elements("css selector", selector)


def turn(driver, number, selector):
    (found,) = find(driver, f'[data-turn="{number}"] {selector}')
    return found


def choose(driver, number, field, value):
    """Choose an option in the corrections of a turn, which are open."""
    from selenium.webdriver.support.ui import Select

    Select(turn(driver, number, f'select[data-f="{field}"]')).select_by_value(value)


def exported(driver, kind, ending, checked_only=False):
    """The file that the page makes."""
    from selenium.webdriver.support.ui import WebDriverWait

    for path in driver.downloads.iterdir():
        path.unlink()
    find(driver, "#export summary")[0].click()
    if checked_only:
        find(driver, "#only-checked")[0].click()
    find(driver, f'[data-export="{kind}"]')[0].click()
    path = driver.downloads / f"call.{ending}"
    WebDriverWait(driver, 120, 0.05).until(lambda _: path.exists())
    return path


def rows(path):
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))


def test_a_click_plays_the_turns_own_sound(show):
    driver = show()
    driver.execute_script("audio.defaultPlaybackRate = 0.1")  # a second's sound must outlast some questions
    for number in (3, 0):  # the fourth overlaps the third
        turn(driver, number, ".play").click()
        source = driver.execute_async_script(
            "const done = arguments[0], told = () => audio.currentTime > 0 ? done(audio.src) : setTimeout(told, 20);"
            "told();"
        )
        assert driver.execute_script("return [player.on, player.turn]") == [True, number]
        sound, rate = soundfile.read(io.BytesIO(base64.b64decode(source.partition(",")[2])))
        hertz = np.fft.rfftfreq(len(sound), 1 / rate)[np.abs(np.fft.rfft(sound)).argmax()]
        assert hertz == pytest.approx(TURNS[number][4], abs=3)
        assert "playing" in find(driver, f'[data-turn="{number}"]')[0].get_attribute("class")
    turn(driver, 0, ".play").click()
    assert driver.execute_script("return audio.paused")
    find(driver, '[data-block="4"]')[0].click()  # in the timeline
    assert driver.execute_script("return [player.on, player.turn, audio.src === SOUNDS[4]]") == [True, 4, True]


def test_all_turns_play_one_after_another(show):
    driver = show()
    driver.execute_script("audio.defaultPlaybackRate = 8")
    find(driver, "#play-all")[0].click()
    heard = driver.execute_async_script(
        "const done = arguments[0], heard = []; const look = () => { if (!player.on) return done(heard);"
        "if (heard.at(-1) !== player.turn) heard.push(player.turn); setTimeout(look, 5); }; look();"
    )
    assert heard == [0, 1, 2, 3, 4]


def test_sound_beside_the_page_plays_too(show):
    driver = show(page_mb=0.001)
    turn(driver, 1, ".play").click()
    driver.execute_async_script(
        "const done = arguments[0], told = () => audio.currentTime > 0 ? done() : setTimeout(told, 20); told();"
    )
    assert driver.execute_script("return audio.src").endswith("/audio/00002.mp3")


def test_corrections_are_in_every_export(show):
    from selenium.webdriver.common.keys import Keys

    driver = show()
    turn(driver, 1, ".edit").click()
    choose(driver, 1, "emotion", "sad")
    area = turn(driver, 1, "textarea")
    area.send_keys(Keys.CONTROL + "a")
    area.send_keys('=고친 말, "따옴표"')
    turn(driver, 2, ".edit").click()  # leaves the text, which keeps it
    choose(driver, 2, "speaker", "F")
    table = rows(exported(driver, "manifest", "csv"))
    assert [row["emotion"] for row in table] == ["neutral", "sad", "happy", "neutral", "neutral"]
    assert table[1]["text"] == '\'=고친 말, "따옴표"' and table[2]["speaker"] == "F"
    assert [row["file_name"] for row in table] == ["call.wav"] * 5
    for kind, ending, needed in (
        ("manifest", "csv", "csv"),
        ("textgrid", "TextGrid", "praatio"),
        ("elan", "eaf", "pympi"),
    ):
        pytest.importorskip(needed)
        turns = sorted(read_turns(exported(driver, kind, ending)), key=lambda one: one.start)
        assert [one.speaker for one in turns] == ["M", "F", "F", "F", "M"]
        assert turns[1].text == '=고친 말, "따옴표"' and turns[1].emotion == "sad"
        # Two turns of one speaker cannot overlap in a TextGrid: the second begins where the first ends.
        times = (
            [one[:2] for one in TURNS]
            if kind != "textgrid"
            else [*[one[:2] for one in TURNS[:3]], (4.2, 4.8), TURNS[4][:2]]
        )
        assert np.allclose([(one.start, one.end) for one in turns], times, atol=0.002)
    data = json.loads(exported(driver, "json", "json").read_text(encoding="utf-8"))
    assert [one["corrected"] for one in data["turns"]] == [False, True, True, False, False]
    assert data["turns"][1]["emotion"] == "sad" and data["format"] == "erc-conversation"
    unchecked = rows(exported(driver, "manifest", "csv", checked_only=True))
    assert [row["emotion"] for row in unchecked] == ["", "sad", "", "", ""]


def test_turns_are_joined_split_and_put_back(show):
    driver = show()
    turn(driver, 0, ".edit").click()
    turn(driver, 0, '[data-f="merge"]').click()  # with the speaker's next turn, which another one stands before
    assert len(find(driver, "[data-turn]")) == 4
    joined = driver.execute_script("return state.turns[0]")
    assert (joined["start"], joined["end"], joined["text"]) == (0.5, 4.2, f"{TURNS[0][3]} {TURNS[2][3]}")
    assert [part["turn"] for part in joined["parts"]] == [0, 2]
    area = turn(driver, 0, "textarea")
    driver.execute_script("arguments[0].focus(); arguments[0].setSelectionRange(3, 3)", area)
    turn(driver, 0, '[data-f="split"]').click()
    assert [one.text for one in find(driver, ".said")][:2] == [
        TURNS[0][3][:3].strip(),
        f"{TURNS[0][3][3:]} {TURNS[2][3]}".strip(),
    ]
    halves = driver.execute_script("return state.turns.slice(0, 2)")
    assert halves[0]["end"] == halves[1]["start"] and halves[0]["parts"][0]["to"] == halves[1]["parts"][0]["from"]
    for _ in range(2):
        find(driver, "#undo")[0].click()
    assert [one.text for one in find(driver, ".said")] == [one[3] for one in TURNS]
    assert not find(driver, "#undo")[0].is_enabled()


def test_a_joined_turn_is_split_where_its_sound_is(show):
    """The first (0.5 to 1.5 s) and third turn (3 to 4.2 s), between which someone else speaks."""

    def joined_and_split(place):
        turn(driver, 0, ".edit").click()
        turn(driver, 0, '[data-f="merge"]').click()
        split_at(place)
        return driver.execute_script("return state.turns.map((one) => [one.start, one.end, one.text])")

    def split_at(place):
        area = turn(driver, 0, "textarea")
        driver.execute_script("const [a, k] = arguments; a.focus(); a.setSelectionRange(k, k)", area, place)
        turn(driver, 0, '[data-f="split"]').click()

    driver = show()
    before = [[start, end, text] for start, end, _, text, _ in TURNS]
    joint, second = len(TURNS[0][3]), TURNS[2][3]
    for place in (joint, joint + 1):
        assert joined_and_split(place) == before
        for _ in range(2):
            find(driver, "#undo")[0].click()
    place = len(second) // 2
    found = joined_and_split(joint + 1 + place)
    middle = round(3 + 1.2 * place / len(second), 3)
    assert found[0] == [0.5, middle, f"{TURNS[0][3]} {second[:place].strip()}"]
    assert found[1:3] == [before[1], [middle, 4.2, second[place:].strip()]]
    find(driver, "#undo")[0].click()
    p = driver.execute_script("return [state.turns[0], ...[0, 2].map((k) => original()[k])].map(probabilities)")
    assert np.allclose(p[0], np.average(p[1:], axis=0, weights=[1, 1.2]))
    driver.execute_async_script(  # paused in the middle of the second part
        "const done = arguments[0]; Object.assign(player, { turn: 0, part: 1 }); audio.onseeked = () => done();"
        "audio.onloadeddata = () => { audio.currentTime = audio.duration / 2; }; audio.src = SOUNDS[2];"
    )
    assert driver.execute_script("return [heard(), heardTime()]") == pytest.approx([1.6 / 2.2, 3.6], abs=0.01)
    turn(driver, 0, ".edit").click()
    split_at(joint)
    ends = driver.execute_script("return [state.turns[0].end, state.turns[2].start]")
    assert ends[0] == ends[1] == pytest.approx(3.6, abs=0.01)


def test_no_manifest_of_turns_that_are_no_files(show):
    """Where every turn has a file of its own, a joined or split one has none; nor has one of two files."""

    driver = show(results(file_times=False))
    assert [row["start"] + row["end"] for row in rows(exported(driver, "manifest", "csv"))] == [""] * 5
    turn(driver, 0, ".edit").click()
    turn(driver, 0, '[data-f="merge"]').click()
    find(driver, "#export summary")[0].click()
    said, button = find(driver, "#no-manifest")[0], find(driver, '[data-export="manifest"]')[0]
    assert said.text.startswith("No manifest") and not button.is_enabled()
    assert find(driver, '[data-export="json"]')[0].is_enabled()
    find(driver, "#undo")[0].click()
    assert button.is_enabled() and not said.is_displayed()
    made = results()
    made.conversation.turns[2].file_name = "other.wav"
    driver = show(made)
    turn(driver, 0, ".edit").click()
    turn(driver, 0, '[data-f="merge"]').click()
    assert not find(driver, '[data-export="manifest"]')[0].is_enabled()


def test_a_reload_keeps_the_corrections(show):
    driver = show()
    turn(driver, 0, ".edit").click()
    choose(driver, 0, "emotion", "angry")
    driver.refresh()
    assert turn(driver, 0, ".badge").text.endswith("angry")
    assert rows(exported(driver, "manifest", "csv"))[0]["emotion"] == "angry"
    driver.execute_script("localStorage.setItem(KEPT, '[{}]')")  # which no version of the page stored
    driver.refresh()
    assert turn(driver, 0, ".badge").text.endswith("neutral")
    turn(driver, 0, ".edit").click()
    choose(driver, 0, "emotion", "angry")
    find(driver, "#export summary")[0].click()
    find(driver, "#discard")[0].click()
    driver.switch_to.alert.accept()
    assert turn(driver, 0, ".badge").text.endswith("neutral")
    driver.refresh()
    assert turn(driver, 0, ".badge").text.endswith("neutral")


def test_the_keyboard_is_enough(show):
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    driver = show()
    driver.execute_script("document.querySelector('[data-turn=\"0\"]').focus()")
    for keys in (Keys.ARROW_DOWN, "4", Keys.SPACE):
        ActionChains(driver).send_keys(keys).perform()
    assert driver.execute_script("return [current, state.turns[1].emotion, player.turn]") == [1, "sad", 1]
    ActionChains(driver).send_keys("z").perform()
    assert driver.execute_script("return state.turns[1].emotion") == "angry"
    assert driver.execute_script("return document.activeElement.dataset.turn") == "1"
    nameless = "return [...document.querySelectorAll('button, select, textarea, input, [role=group]')].filter("
    nameless += "(one) => !(one.textContent || one.ariaLabel || one.labels?.length)).length"
    turn(driver, 1, ".edit").click()
    assert driver.execute_script(nameless) == 0


def test_both_languages(show):
    driver = show()
    assert find(driver, "#overview-title")[0].text == "Overview"
    find(driver, '[data-language="ko"]')[0].click()
    assert find(driver, "#overview-title")[0].text == "한눈에 보기" and "분노" in turn(driver, 1, ".badge").text
    assert driver.execute_script("return document.documentElement.lang") == "ko"
    assert find(driver, "#notes")[0].text == "메모"
    driver.refresh()
    assert find(driver, "#overview-title")[0].text == "한눈에 보기"
    same = "const names = (one) => Object.keys(one).sort().join(); return names(WORDS.en) === names(WORDS.ko)"
    assert driver.execute_script(same)


def test_dark_and_light(show):
    def background():
        return driver.execute_script("return getComputedStyle(document.body).backgroundColor")

    driver = show()
    light = background()
    driver = show(dark=True)
    dark = background()
    assert sum(map(int, light[4:-1].split(","))) > 600 and sum(map(int, dark[4:-1].split(","))) < 150
    find(driver, "#theme")[0].click()  # system, then light, then dark
    assert background() == light
    find(driver, "#theme")[0].click()
    assert background() == dark


@pytest.mark.parametrize("width", [360, 768])
def test_nothing_is_wider_than_the_screen(show, width):
    driver = show(results(" with a rather long name that does not end"), width=width)
    for number in range(2):
        turn(driver, number, ".why").click()
        turn(driver, number, ".edit").click()
    find(driver, "#export summary")[0].click()
    assert driver.execute_script("return document.documentElement.scrollWidth <= innerWidth && innerWidth") == width
    outside = """
        const all = [...document.querySelectorAll("main button, main select, main p, main table")];
        const free = all.filter((one) => !one.closest(".scroller, .filters"));
        return free.filter((one) => one.getBoundingClientRect().right > innerWidth + 1).map((one) => one.outerHTML)
    """
    assert driver.execute_script(outside) == []


def test_markup_is_shown_as_text(show):
    driver = show(results(HOSTILE))
    said = driver.execute_script("return document.querySelector('.said').textContent")
    assert said == TURNS[0][3] + HOSTILE and find(driver, "img") == []
    turn(driver, 0, ".why").click()
    turn(driver, 0, ".edit").click()
    find(driver, "#filters button:last-child")[0].click()
    assert find(driver, "img") == [] and find(driver, "#turns script") == []


def test_a_conversation_without_times_and_sound(show):
    made = results()
    for one in made.conversation.turns:
        one.start = one.end = one.wave = None
    driver = show(made)
    assert find(driver, ".block") == [] and not turn(driver, 0, ".play").is_displayed()
    find(driver, "#export summary")[0].click()
    assert not find(driver, '[data-export="elan"]')[0].is_enabled()
    find(driver, "#export summary")[0].click()
    assert [row["start"] for row in rows(exported(driver, "manifest", "csv"))] == [""] * 5
