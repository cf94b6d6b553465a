"""The server: its pages, its HTTP interface and its answers to what is wrong."""

import asyncio
import contextlib
from importlib.util import find_spec
from urllib.parse import parse_qs

from fastapi import FastAPI, Request
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, HTMLResponse, RedirectResponse, Response

from conversation.report.page import fill, read
from conversation.server.form import ENDINGS, Refused, read_form
from conversation.server.guard import Guard, error
from conversation.server.interface import SCHEMAS, UPLOAD, render_interface
from conversation.server.jobs import DONE
from conversation.server.request import make_request

_PAGE = {  # the headers of the server's own pages
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src data:; media-src blob:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
}
# The page itself says what its script, style and sound may do; a header can only forbid more.
_REPORT_POLICY = "connect-src 'none'; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
_FILES = {
    "page.css": ("server", "text/css"),
    "page.js": ("server", "text/javascript"),
    "microphone.js": ("server", "text/javascript"),
    "recorder.js": ("server", "text/javascript"),
    "words.json": ("server", "application/json"),
    "report.css": ("report", "text/css"),
    "common.js": ("report", "text/javascript"),
}
_RESULTS = {"report": ("report.html", "text/html"), "turns.json": ("turns.json", "application/json"),
            "turns.csv": ("turns.csv", "text/csv")}  # fmt: skip
_AGAIN = {"Retry-After": "60"}
_LOGIN = 4096  # bytes of the form of the login page


def make_app(jobs, settings):
    """The ASGI application.

    Args:
        jobs: `conversation.server.jobs.Jobs`.
        settings: `DemoOptions`.
    """

    @contextlib.asynccontextmanager
    async def lifespan(_):
        tasks = [asyncio.create_task(jobs.work()), asyncio.create_task(jobs.sweep_for_ever())]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await jobs.close()

    title = "Emotions in a conversation"
    app = FastAPI(title=title, version="1", docs_url=None, redoc_url=None, lifespan=lifespan)
    _add_pages(app, settings)
    _add_conversations(app, jobs, settings)

    @app.exception_handler(Refused)
    async def refused(request, wrong):
        return error(wrong.status, wrong.message, **(_AGAIN if wrong.status == 503 else {}))

    @app.exception_handler(HTTPException)
    async def wrong_address(request, wrong):
        return error(wrong.status_code, f"{request.method} {request.url.path}: {wrong.detail}")

    return Guard(app, settings.host, settings.port, settings.token)


def _add_conversations(app, jobs, settings):
    @app.post("/conversations", status_code=202, openapi_extra=UPLOAD, responses=SCHEMAS["made"])
    async def post_conversation(request: Request, response: Response):
        """Send a conversation. It is queued; its status is at the address in the header `Location`."""
        with jobs.receive() as folder:
            form = await read_form(request, folder, settings.max_mb * 1e6)
            job = jobs.add(folder, await run_in_threadpool(make_request, form, folder, settings))
        response.headers["Location"] = f"/conversations/{job.id}"
        return status(job)

    @app.get("/conversations/{name}", responses=SCHEMAS["status"])
    async def get_conversation(name: str):
        """How far a conversation is: `queued`, `running`, `done` or `failed`."""
        return status(jobs.get(name))

    @app.delete("/conversations/{name}", status_code=204, responses=SCHEMAS["status"])
    async def delete_conversation(name: str):
        """Delete a conversation with all its files; work on it ends."""
        jobs.delete(jobs.get(name))

    def add(what, file, kind):
        async def get_result(name: str):
            job = jobs.get(name)
            if job.status != DONE:
                raise Refused(409, job.error or f"not yet: {job.status}")
            policy = {"Content-Security-Policy": _REPORT_POLICY} if kind == "text/html" else {}
            return FileResponse(job.folder / "result" / file, media_type=kind, headers=policy)

        get_result.__doc__ = {
            "report": "The report: one page with its sound in it, which can be saved, and corrected in a browser.",
            "turns.json": "Everything that was found, as `predict.py` writes it.",
            "turns.csv": "A row for each turn: start, end, speaker, text, emotion, probabilities, unsure.",
        }[what]
        settings = {"response_class": Response, "responses": SCHEMAS["file"], "name": f"get {what}"}
        app.get(f"/conversations/{{name}}/{what}", **settings)(get_result)

    for what, (file, kind) in _RESULTS.items():
        add(what, file, kind)

    def status(job):
        address = f"/conversations/{job.id}"
        return {
            "id": job.id,
            "status": job.status,
            "position": jobs.position(job),
            "progress": job.progress,
            "sources": job.request.sources,
            "error": job.error,
            "result": job.result or None,
            "files": {what: f"{address}/{what}" for what in _RESULTS} if job.status == DONE else {},
            "seconds_left": jobs.seconds_left(job),
        }


def _add_pages(app, settings):
    def add(path, file, folder, kind):
        text = read(f"{folder}/{file}")

        async def get_file():
            return Response(text, media_type=kind, headers=_PAGE)

        app.get(path, include_in_schema=False)(get_file)

    for name, (folder, kind) in _FILES.items():
        add(f"/{name}", name, folder, kind)
    offered = {"sounds": ",".join(ENDINGS["recording"]), "turns": ",".join(ENDINGS["turns"])}
    page = fill("server/page.html", settings=settings, transcribes=find_spec("vosk") is not None, **offered)
    login = [fill("server/login.html", wrong=wrong) for wrong in (False, True)]

    @app.get("/", include_in_schema=False)
    async def get_page():
        return HTMLResponse(page, headers=_PAGE)

    @app.get("/docs", include_in_schema=False)
    async def get_interface():
        return HTMLResponse(render_interface(app.openapi(), settings), headers=_PAGE)

    @app.get("/login", include_in_schema=False)
    async def get_login():
        return HTMLResponse(login[False], headers=_PAGE)

    @app.post("/login", include_in_schema=False)
    async def post_login(request: Request):
        guard, body = request.scope["guard"], b""
        async for piece in request.stream():
            body += piece
            if len(body) > _LOGIN:
                raise Refused(413, "too much for a token")
        (token,) = parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True).get("token", [""])[:1]
        if not guard.is_token(token.strip()):
            return HTMLResponse(login[True], 403, headers=_PAGE)
        answer = RedirectResponse("/", 303)
        answer.set_cookie(guard.cookie, guard.session, httponly=True, samesite="strict", path="/")
        return answer
