"""The conversations that the server holds: who waits, who is worked on, what is finished, and when each is deleted.

One is worked on at a time. Everything of a conversation lies in a folder of its own, which only this user can open; its
uploads are deleted when the work ends, the folder with its results after `keep` seconds.
"""

import asyncio
import contextlib
import secrets
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path

from conversation.server.form import Refused

QUEUED, RUNNING, DONE, FAILED = "queued", "running", "done", "failed"
RESULTS = ("report.html", "turns.json", "turns.csv")
_FINISHED = 50  # conversations that are held after their end; of more, the oldest are deleted
_PRIVATE = 0o700


@dataclass
class Job:
    """A conversation on its way.

    Attributes:
        request: `conversation.server.request.Request`.
        added, ended: when it came, and when the work ended, by the jobs' clock; None: it has not.
        result: what the worker says of it, once it is done.
    """

    id: str
    folder: Path
    request: object
    status: str = QUEUED
    progress: dict = field(default_factory=dict)
    error: str | None = None
    result: dict = field(default_factory=dict)
    added: float = 0.0
    ended: float | None = None


class Jobs:
    """All conversations of a server.

    Args:
        folder: where their folders are made.
        runner: `await runner.run(request, folder, tell)` does the work and returns the worker's answer;
            `runner.stop()` ends it.
        waiting: how many may wait, uploads in progress among them.
        keep: seconds.
        clock: seconds, as `time.monotonic`.
    """

    def __init__(self, folder, runner, waiting, keep, clock=time.monotonic):
        self.folder, self.runner, self.waiting, self.keep, self.clock = Path(folder), runner, waiting, keep, clock
        self.jobs = {}  # by id, the oldest first
        self.uploads = 0
        self.arrived = asyncio.Event()

    @contextlib.contextmanager
    def receive(self):
        """A new folder for an upload; it is deleted unless `add` has taken it.

        Raises:
            Refused: too many wait.
        """
        self.sweep()
        if self.uploads + len(self.queue()) >= self.waiting:
            raise Refused(503, "too many conversations are waiting; try again in a minute")
        self.uploads += 1
        name = secrets.token_urlsafe(16)
        folder = self.folder / name
        try:
            folder.mkdir(_PRIVATE)
            yield folder
        finally:
            self.uploads -= 1
            if name not in self.jobs:
                remove(folder)

    def add(self, folder, request):
        """Queue the request whose files are in a folder that `receive` made; returns its `Job`."""
        job = self.jobs[folder.name] = Job(folder.name, folder, request, added=self.clock())
        self.arrived.set()
        return job

    def get(self, name):
        """The `Job` of an id.

        Raises:
            Refused: there is none, or none any more.
        """
        self.sweep()
        if name not in self.jobs:
            raise Refused(404, f"no such conversation; they are deleted after {self.keep / 60:g} minutes")
        return self.jobs[name]

    def queue(self):
        return [job for job in self.jobs.values() if job.status == QUEUED]

    def position(self, job):
        """1 for the next one to be worked on; 0 for one that does not wait."""
        return self.queue().index(job) + 1 if job.status == QUEUED else 0

    def seconds_left(self, job):
        """Until it is deleted; None: it has not ended."""
        return None if job.ended is None else max(0, round(job.ended + self.keep - self.clock()))

    def delete(self, job):
        """Delete a conversation; its work ends."""
        del self.jobs[job.id]
        if job.status == RUNNING:
            self.runner.stop()
        remove(job.folder)

    def sweep(self):
        """Delete what has been held long enough, and the uploads of what has waited as long."""
        for job in self.queue():
            if job.added + self.keep <= self.clock():
                self._fail(job, f"waited longer than {self.keep / 60:g} minutes for others; send it again")
        ended = [job for job in self.jobs.values() if job.ended is not None]
        for job in ended[: max(0, len(ended) - _FINISHED)]:
            self.delete(job)
        for job in ended:
            if job.id in self.jobs and job.ended + self.keep <= self.clock():
                self.delete(job)

    async def work(self):
        """Work on what is queued, until cancelled."""
        with contextlib.suppress(OSError):  # then the first conversation fails with it
            await self.runner.start()
        while True:
            queue = self.queue()
            if not queue:
                self.arrived.clear()
                await self.arrived.wait()
                continue
            await self._work_on(queue[0])

    async def _work_on(self, job):
        job.status = RUNNING
        try:
            answer = await self.runner.run(job.request, job.folder, job.progress.update)
        except Exception as error:  # the next one in the queue shall not suffer
            answer = {"error": f"unexpected {type(error).__name__}: the server could not have it worked on"}
        for path in job.folder.glob("*"):  # the uploads
            if path.is_file():
                path.unlink()
        if job.id not in self.jobs:  # deleted meanwhile
            remove(job.folder)
            return
        if "result" in answer and all((job.folder / "result" / name).is_file() for name in RESULTS):
            job.status, job.result, job.ended = DONE, answer["result"], self.clock()
        else:
            self._fail(job, answer.get("error", "the work ended without a result"))

    def _fail(self, job, error):
        job.status, job.error, job.ended = FAILED, error, self.clock()
        remove(job.folder)

    async def close(self):
        """End the work and delete everything."""
        await self.runner.close()
        for job in list(self.jobs.values()):
            remove(job.folder)
        self.jobs.clear()

    async def sweep_for_ever(self, pause=30):
        while True:
            await asyncio.sleep(pause)
            self.sweep()


def remove(folder):
    shutil.rmtree(folder, ignore_errors=True)
