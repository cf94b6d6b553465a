"""The server of app/demo.py, as programs, browsers and hostile pages ask it; and the worker behind it."""

import asyncio
import io
import json
import socket
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from erc.options import UserError, parse
from tests.conversation.conftest import RATE, TURNS, tones, write_sound

pytest.importorskip("fastapi", reason="fastapi of requirements-app.txt is not installed")
pytest.importorskip("python_multipart", reason="python-multipart of requirements-app.txt is not installed")

from starlette.testclient import TestClient

from conversation.server.app import make_app
from conversation.server.form import display_name
from conversation.server.jobs import RESULTS, Jobs
from conversation.server.options import DemoOptions
from conversation.server.runner import Runner
from conversation.server.worker import OncePerKind, work

TOKEN = "a token that nobody guesses"
HOSTILE = "../../<img src=x onerror=alert(1)>=HYPERLINK(1)"


class FakeRunner:
    """Ends a conversation at once, or when it is let go on."""

    def __init__(self):
        self.asked, self.stopped = [], 0
        self.waits = False
        self.answer = {"result": {"turns": 1, "speakers": ["M"], "dialogue": "call"}}

    async def start(self):
        self.go_on = asyncio.Event()

    async def run(self, request, folder, tell):
        self.asked.append(request)
        tell({"stage": "listening", "done": 0, "total": 2})
        if self.waits:
            await self.go_on.wait()
        result = folder / "result"
        result.mkdir(exist_ok=True)
        for name in RESULTS:
            (result / name).write_text(name)
        return self.answer

    def stop(self):
        self.stopped += 1
        self.go_on.set()

    async def close(self):
        pass


@pytest.fixture
def serve(tmp_path):
    """`serve(max_mb=1)`: a client of a server with a runner that the test holds, and a clock that it sets."""
    opened = []

    def call(**settings):
        options = DemoOptions(**settings)
        folder = tmp_path / "server"
        folder.mkdir(mode=0o700)
        runner, clock = FakeRunner(), SimpleNamespace(now=1000.0)
        jobs = Jobs(folder, runner, options.max_queue, 60 * options.keep, lambda: clock.now)
        client = TestClient(make_app(jobs, options), base_url="http://127.0.0.1:8000", follow_redirects=False)
        client.__enter__()
        opened.append(client)
        client.runner, client.clock, client.folder = runner, clock, folder
        return client

    yield call
    for client in opened:
        client.__exit__(None, None, None)
        assert list(client.folder.iterdir()) == []


def sound(seconds=0.5, channels=2, rate=RATE):
    """The bytes of a WAV file."""
    import soundfile

    file = io.BytesIO()
    soundfile.write(file, np.full((int(seconds * rate), channels), 0.1, np.float32), rate, format="WAV")
    return file.getvalue()


def post(client, name="call.wav", content=None, data=(("channels", "M,F"),), more=(), **keywords):
    files = [("recording", (name, sound() if content is None else content)), *more] if name else list(more)
    return client.post("/conversations", files=files or None, data=dict(data), **keywords)


def finished(client, answer):
    """The status of a conversation, once it is worked on no more."""
    while (status := client.get(answer.headers["location"]).json())["status"] in ("queued", "running"):
        pass
    return status


def files(folder):
    return [path for path in folder.rglob("*") if path.is_file()]


def test_a_conversation_from_upload_to_deletion(serve):
    client = serve()
    assert 'data-word="sample"' in client.get("/").text  # the sample models answer, which it says
    answer = post(client)
    assert answer.status_code == 202 and answer.headers["location"] == f"/conversations/{answer.json()['id']}"
    status = finished(client, answer)
    assert status["status"] == "done" and status["sources"] == ["call.wav"] and status["seconds_left"] == 3600
    assert client.get(status["files"]["report"]).text == "report.html"
    assert "sandbox" not in client.get(status["files"]["report"]).headers["content-security-policy"]
    assert client.get(status["files"]["turns.csv"]).headers["content-type"].startswith("text/csv")
    (asked,) = client.runner.asked
    assert asked.options["channels"] == ["M", "F"] and "recording" in asked.options
    assert client.delete(answer.headers["location"]).status_code == 204
    assert client.get(status["files"]["report"]).status_code == 404 and list(client.folder.iterdir()) == []


def test_text_alone(serve):
    client = serve()
    client.runner.waits = True
    part = '--x\r\nContent-Disposition: form-data; name="{}"{}\r\n\r\n{}\r\n'
    body = part.format("recording", '; filename=""', "") + part.format("text", "", "M: 안녕\nF: =1+1 <b>") + "--x--\r\n"
    kind = {"Content-Type": "multipart/form-data; boundary=x"}  # as a browser sends it that was given no file
    answer = client.post("/conversations", content=body.encode(), headers=kind)
    assert answer.status_code == 202 and answer.json()["sources"] == ["text.txt"]
    while not client.runner.asked:
        client.get(answer.headers["location"])
    (path,) = files(client.folder)
    assert client.runner.asked[0].options["text"] == str(path) and path.suffix == ".txt"
    assert path.read_text() == "M: 안녕\nF: =1+1 <b>\n"


def test_models_are_found_from_where_the_user_is(serve, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a.ckpt", "b.pt"):
        (tmp_path / name).touch()
    client = serve(extractor=Path("a.ckpt"), cgnn=Path("b.pt"), unsure=0.7)
    finished(client, post(client))
    (asked,) = client.runner.asked
    assert asked.options["extractor"] == str(tmp_path / "a.ckpt") and asked.options["unsure"] == 0.7
    assert 'data-word="sample"' not in client.get("/").text


def test_a_folder_of_models_goes_to_the_worker(serve, tmp_path):
    (tmp_path / "exported").mkdir()
    client = serve(model=tmp_path / "exported")
    assert 'data-word="sample"' not in client.get("/").text
    finished(client, post(client))
    assert client.runner.asked[0].options["model"] == str(tmp_path / "exported")


def zipped():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.wav", b"0" * 10000)
    return file.getvalue()


def ten_hours():
    """A WAV file whose header claims ten hours, with as many zeros as a compressed upload might carry."""
    header = bytearray(sound(0.1, 1))
    size = 10 * 3600 * RATE * 2
    header[4:8], header[40:44] = (size + 36).to_bytes(4, "little"), size.to_bytes(4, "little")
    return bytes(header)


@pytest.mark.parametrize(
    ("content", "status", "message"),
    [
        (zipped(), 422, "call.wav: not a sound file"),
        (ten_hours(), 422, "call.wav: truncated"),
        (b"", 422, "call.wav: 0 bytes"),
        (sound(4), 422, "minutes long, the limit here is 0.05"),
        (sound(0.1, 9), 422, "9 channels, expected at most 8"),
        (sound(2.9, 8, 48000), 422, "are too much"),
        (sound(7), 413, "larger than 0.4 MB"),
    ],
    ids=["zip", "ten hours", "empty", "long", "channels", "rate", "large"],
)
def test_wrong_recordings_are_refused_and_leave_nothing(serve, content, status, message):
    client = serve(max_minutes=0.05, max_mb=3 if status == 422 else 0.4)
    answer = post(client, content=content)
    assert answer.status_code == status and message in answer.json()["error"]
    assert str(client.folder) not in answer.text and list(client.folder.iterdir()) == []
    assert client.runner.asked == []


def test_a_long_recording_in_few_bytes_is_refused(serve):
    import soundfile

    file = io.BytesIO()
    soundfile.write(file, np.zeros(8000 * 60 * 40, np.int16), 8000, format="FLAC")
    assert len(file.getvalue()) < 300_000
    answer = post(serve(), "call.flac", file.getvalue())
    assert answer.status_code == 422 and "call.flac: 40 minutes long, the limit here is 30" in answer.json()["error"]


def test_an_upload_without_a_length_is_ended_where_it_is_too_large(serve):
    client = serve(max_mb=0.1)
    sent = []

    def body():
        yield b'--x\r\nContent-Disposition: form-data; name="recording"; filename="a.wav"\r\n\r\n'
        for number in range(1000):
            sent.append(number)
            yield bytes(10_000)

    answer = client.post("/conversations", content=body(), headers={"Content-Type": "multipart/form-data; boundary=x"})
    assert answer.status_code == 413 and list(client.folder.iterdir()) == []


@pytest.mark.parametrize(
    ("body", "kind", "status", "message"),
    [
        (b'--x\r\nContent-Disposition: form-data; name="recording"; filename="a.wav"\r\n\r\nRIFF', "x", 400, "cut off"),
        (b"nothing of the kind", "x", 400, "not a form"),
        (b"{}", None, 415, "expected multipart/form-data"),
    ],
)
def test_broken_forms(serve, body, kind, status, message):
    kind = f"multipart/form-data; boundary={kind}" if kind else "application/json"
    client = serve()
    answer = client.post("/conversations", content=body, headers={"Content-Type": kind})
    assert answer.status_code == status and message in answer.json()["error"] and list(client.folder.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ({"name": "call.exe"}, 415, "call.exe: of a kind that `recording` does not take"),
        ({"name": "call"}, 415, "of a kind"),
        ({"data": {"csv_path": "/etc/passwd"}}, 400, "unknown field 'csv_path'"),
        ({"data": {"channels": "=cmd(),F"}}, 422, "is no name of a speaker"),
        ({"data": {"channels": "M,M"}}, 422, "expected a name of its own"),
        ({"data": {"speakers": "two"}}, 422, "speakers: 'two', expected a number"),
        ({"data": {"speakers": "9"}}, 422, "speakers 9: expected 2 to 8"),
        ({"data": {"channels": "M,F", "speakers": "2"}}, 422, "speakers: guesses who speaks; channels says it"),
        ({"data": {"channels": "M,F", "pause": "nan"}}, 422, "pause: 'nan', expected seconds"),
        ({"data": {"channels": "M,F", "transcribe": "<b>"}}, 422, "expected true or false"),
        ({"name": None, "more": [("turns", ("a.csv", b"x"))]}, 422, "send a file as `recording`"),
        ({"more": [("out", ("a.csv", b"x"))]}, 400, "unknown file field 'out'"),
        ({"more": [("turns", ("a.csv", b"x" * 9_000_000))]}, 413, "a.csv: larger than 8 MB"),
        ({"data": {"text": "M: 안녕"}}, 422, "give one of them"),
        ({"name": None, "data": {"text": "x" * 300_000}, "more": [("text", ("", b""))]}, 413, "of plain values"),
    ],
)
def test_wrong_forms(serve, arguments, status, message):
    client = serve()
    answer = post(client, **arguments)
    assert answer.status_code == status and message in answer.json()["error"], answer.text
    assert list(client.folder.iterdir()) == [] and "--" not in answer.json()["error"]


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("call.wav", "call.wav"),
        ("../../x.wav", "x.wav"),
        ("C:\\calls\\통화 1.WAV", "통화_1.wav"),
        ("/etc/passwd", "passwd"),
        (HOSTILE + ".wav", "img_src_x_onerror_alert_1_HYPERLINK_1.wav"),
        ("..", "recording."),
        ("=1+1.csv", "1_1.csv"),
        ("x" * 500 + ".wav", "x" * 60 + ".wav"),
    ],
)
def test_names_are_for_display(sent, shown):
    assert display_name(sent) == shown


def test_names_are_never_paths(serve, tmp_path):
    client = serve()
    client.runner.waits = True
    answer = post(client, "../../outside.wav")
    assert answer.json()["sources"] == ["outside.wav"]
    (kept,) = files(tmp_path)
    assert kept.is_relative_to(client.folder) and "outside" not in str(kept)
    assert kept.parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8000", "127.0.0.1", "127.0.0.1:80", "localhost:9", "@:8000", ""]
)
def test_another_name_of_the_server_is_refused(serve, host):
    answer = serve().get("/", headers={"Host": host})
    assert answer.status_code == 421 and "error" in answer.json()


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost:8000", "[::1]:8000"])
def test_own_names(serve, host):
    assert serve().get("/", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:9000"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_other_sites_change_nothing(serve, headers):
    client = serve()
    made = post(client)
    finished(client, made)
    assert post(client, headers=headers).status_code == 403
    answer = client.delete(made.headers["location"], headers=headers)
    assert answer.status_code == 403 and client.get(made.headers["location"]).status_code == 200
    assert len(client.runner.asked) == 1


def test_the_own_page_may(serve):
    headers = {"Origin": "http://127.0.0.1:8000", "Sec-Fetch-Site": "same-origin"}
    assert post(serve(), headers=headers).status_code == 202


def test_every_answer_has_its_headers(serve):
    client = serve()
    for path in ("/", "/docs", "/openapi.json", "/page.js", "/words.json", "/nothing", "/conversations/x"):
        headers = client.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff" and headers["referrer-policy"] == "same-origin"
        assert not [name for name in headers if name.startswith("access-control")]
    assert client.options("/conversations", headers={"Origin": "http://evil.example"}).status_code == 403


def test_the_pages_name_no_other_address(serve):
    client = serve()
    for path in ("/", "/docs", "/login", "/page.css", "/report.css", "/page.js", "/microphone.js", "/recorder.js"):
        text = client.get(path).text
        found = [one for one in text.split("http")[1:] if not one.startswith(("s.", "://127.0.0.1"))]
        assert not [one for one in found if one.startswith(("://", "s://"))], path
    described = client.get("/openapi.json").json()
    assert "multipart/form-data" in described["paths"]["/conversations"]["post"]["requestBody"]["content"]
    for path in described["paths"]:
        assert path in client.get("/docs").text
    words = client.get("/words.json").json()
    assert words["en"].keys() == words["ko"].keys()


def test_a_token_is_asked_for(serve):
    client = serve(host="0.0.0.0", token=TOKEN)
    client.base_url = "http://192.0.2.7:8000"
    for path in ("/", "/docs", "/openapi.json", "/words.json", "/conversations/x"):
        assert client.get(path).status_code == 401
    assert post(client).status_code == 401 and client.runner.asked == []
    assert client.get("/", headers={"Authorization": "Bearer wrong"}).status_code == 401
    assert client.get("/", headers={"Cookie": f"session_8000={TOKEN}"}).status_code == 401
    assert post(client, headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 202
    page = client.get("/", headers={"Accept": "text/html"})
    assert page.status_code == 303 and page.headers["location"] == "/login"
    assert client.get("/login").status_code == client.get("/page.css").status_code == 200
    assert client.post("/login", data={"token": "wrong"}).status_code == 403
    foreign = client.post("/login", data={"token": TOKEN}, headers={"Origin": "http://evil.example"})
    assert foreign.status_code == 403 and "set-cookie" not in foreign.headers
    answer = client.post("/login", data={"token": TOKEN})
    cookie = answer.headers["set-cookie"].lower()
    assert answer.status_code == 303 and "httponly" in cookie and "samesite=strict" in cookie and TOKEN not in cookie
    assert client.get("/").status_code == 200
    assert client.get("/", headers={"Host": "evil.example:8000"}).status_code == 421


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--host", "0.0.0.0"], "others can reach this address"),
        (["--host", "example.org"], "others can reach this address"),
        (["--host", "0.0.0.0", "--token", "short"], "expected 16 or more"),
        (["--extractor", "a.ckpt"], "needs --cgnn too"),
        (["--model", "none"], "--model none: no such folder"),
        (["--max_minutes", "1000"], "expected at most 180"),
        (["--keep", "0"], "expected more than 0"),
    ],
)
def test_wrong_options(arguments, message, capsys):
    with pytest.raises(SystemExit) as end:
        parse(DemoOptions, arguments)
    assert end.value.code == 2 and message in capsys.readouterr().err


def test_an_address_in_use_is_told():
    pytest.importorskip("uvicorn")
    from conversation.server.serve import serve as run_server

    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(UserError, match=f"--port {port}: Address already in use"):
            run_server(DemoOptions(port=port))


def test_the_queue_has_an_end(serve):
    client = serve(max_queue=2)
    client.runner.waits = True
    first = post(client)
    while client.get(first.headers["location"]).json()["status"] != "running":
        pass
    second, third = post(client), post(client)
    places = [client.get(one.headers["location"]).json()["position"] for one in (first, second, third)]
    assert places == [0, 1, 2]
    full = post(client)
    assert full.status_code == 503 and full.headers["retry-after"] == "60" and len(list(client.folder.iterdir())) == 3
    assert client.get(second.headers["location"] + "/report").status_code == 409
    client.delete(second.headers["location"])
    assert client.get(third.headers["location"]).json()["position"] == 1
    client.delete(first.headers["location"])  # which is worked on
    assert client.runner.stopped == 1
    assert finished(client, third)["status"] == "done" and len(client.runner.asked) == 2
    assert [path.name for path in client.folder.iterdir()] == [third.json()["id"]]


def test_uploads_go_when_judged_and_results_when_their_time_is_over(serve):
    client = serve(keep=5)
    answer = post(client)
    assert finished(client, answer)["status"] == "done"
    assert sorted(path.name for path in files(client.folder)) == sorted(RESULTS)
    client.clock.now += 299
    assert client.get(answer.headers["location"]).json()["seconds_left"] == 1
    client.clock.now += 1
    assert client.get(answer.headers["location"]).status_code == 404 and list(client.folder.iterdir()) == []


def test_what_waits_too_long_is_deleted_too(serve):
    client = serve(keep=5)
    client.runner.waits = True
    post(client)
    waiting = post(client)
    client.clock.now += 300
    status = client.get(waiting.headers["location"]).json()
    assert status["status"] == "failed" and "waited longer than 5 minutes" in status["error"]
    assert not (client.folder / waiting.json()["id"]).exists()


def test_failed_work_says_why_and_leaves_nothing(serve):
    client = serve()
    client.runner.answer = {"error": "call.wav: silent"}
    status = finished(client, post(client))
    assert status["status"] == "failed" and status["error"] == "call.wav: silent" and status["files"] == {}
    assert list(client.folder.iterdir()) == []


# ---- the worker ----

WORKER = """
import json, os, sys, time
for line in sys.stdin:
    mode = json.loads(line)["options"]["mode"]
    if mode == "dies": os.abort()
    if mode == "hangs": time.sleep(1000)
    if mode == "babbles": print("what a library prints"); sys.stdout.flush()
    print(json.dumps({"progress": {"stage": "listening", "done": 1, "total": 2}}))
    print(json.dumps({"result": {"process": os.getpid()}}), flush=True)
"""


def test_a_worker_that_hangs_or_dies_is_replaced(tmp_path):
    async def try_it():
        runner = Runner(30, (sys.executable, "-S", "-c", WORKER))
        told = []

        async def ask(mode):
            return await runner.run(SimpleNamespace(options={"mode": mode}, names={}), tmp_path, told.append)

        first, second = await ask("works"), await ask("works")
        assert first == second and told[0]["done"] == 1
        assert "SIGABRT" in (await ask("dies"))["error"]
        third = await ask("works")
        assert third != first
        assert "no answer that can be read" in (await ask("babbles"))["error"]
        runner.limit = 0.3
        assert "took longer than" in (await ask("hangs"))["error"]
        runner.limit = 30
        assert (await ask("works"))["result"]["process"] not in (first["result"]["process"], third["result"]["process"])
        process = runner.process
        await runner.close()
        assert process.returncode is not None

    asyncio.run(try_it())


def asked(folder, models, names, **options):
    named = {name.strip("-"): str(value) for name, value in zip(models[::2], models[1::2], strict=True)}
    return {
        "folder": str(folder),
        "names": names,
        "options": {**named, "out": str(folder / "result"), "quiet": True, **options},
    }


def test_the_worker_writes_a_report_with_peoples_names_for_files(models, call):
    from conversation.models import load_models

    folder, loads = call.folder, []

    def load(*arguments):
        loads.append(arguments)
        return load_models(*arguments)

    call.wav.rename(folder / "a1b2.wav")
    hostile = call.csv.read_text().replace("call.wav", "/etc/passwd")  # which is not opened
    (folder / "c3d4.csv").write_text(hostile)
    told, loader = [], OncePerKind(load)
    options = {"recording": [str(folder / "a1b2.wav")], "turns": str(folder / "c3d4.csv")}
    request = asked(folder, models, {"a1b2": "통화", "c3d4": "turns"}, **options)
    assert work(request, lambda **progress: told.append(progress), loader) == {
        "result": {"turns": 5, "speakers": ["M", "F"], "dialogue": "call"}
    }
    stages = list(dict.fromkeys(one["stage"] for one in told))
    reasons = [f"without the {name}" for name in ("voice", "words", "conversation")]
    assert stages == ["features", *reasons, "report"]
    data = json.loads((folder / "result/turns.json").read_text())
    assert data["sources"] == ["통화.wav", "turns.csv"] and data["turns"][0]["file_name"] == "통화.wav"
    assert [turn["text"] for turn in data["turns"]] == [turn[3] for turn in TURNS]
    page = (folder / "result/report.html").read_text()
    assert "data:audio/mpeg;base64," in page and "a1b2" not in page and str(folder) not in page and "<b>" not in page
    request["options"]["out"] = str(folder / "again")
    assert "result" in work(request, lambda **_: None, loader) and len(loads) == 1


def test_the_workers_errors_show_no_path_of_the_server(models, tmp_path):
    from conversation.models import load_models

    write_sound(tmp_path / "a1b2.wav", 0 * tones())
    request = asked(
        tmp_path, models, {"a1b2": "call"}, recording=[str(tmp_path / "a1b2.wav")], channels=["M", "F"], reasons=False
    )
    answer = work(request, lambda **_: None, load_models)
    assert answer["error"].startswith("call.wav: silent") and str(tmp_path) not in answer["error"]
    write_sound(tmp_path / "a1b2.wav", tones())
    (tmp_path / "c3d4.rttm").write_text("SPEAKER call 1 0.5 1 <NA> <NA> M <NA> <NA>\n")
    request["options"] |= {"turns": str(tmp_path / "c3d4.rttm")}
    answer = work(request, lambda **_: None, load_models)  # models that need text, and no text
    assert str(tmp_path) not in json.dumps(answer) and "a1b2" not in json.dumps(answer)
