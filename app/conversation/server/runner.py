"""Runs the worker, a process of its own: a file that hangs it or makes it fall ends with it, and not the server."""

import asyncio
import contextlib
import json
import os
import signal
import sys

from erc.options import REPOSITORY

WORKER = (sys.executable, "-m", "conversation.server.worker")
_LINE = 1 << 20  # bytes of an answer
_ENDED = "the work on it ended unexpectedly ({}); perhaps it needs more memory than there is: send a piece of it"


class Runner:
    """A worker that is started when it is needed, and again after it was ended.

    Args:
        limit: seconds that the work on a conversation may take.
        command: of the worker.
    """

    def __init__(self, limit, command=WORKER):
        self.limit, self.command = limit, command
        self.process = self.ending = None

    async def start(self):
        """Have a worker, so that the first conversation does not wait for it."""
        if self.process is not None and self.process.returncode is None:
            return
        self.process = await asyncio.create_subprocess_exec(
            *self.command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            cwd=REPOSITORY,
            limit=_LINE,
            start_new_session=True,  # Ctrl-C is for the server, which ends the worker itself
            env={**os.environ, "TOKENIZERS_PARALLELISM": "false"},
        )

    async def run(self, request, folder, tell):
        """The worker's answer to a request, `{"result": ...}` or `{"error": ...}`.

        Args:
            request: `conversation.server.request.Request`.
            folder: of its files.
            tell: is called with the progress, a dict, whenever there is some.
        """
        asked = {"folder": str(folder), "options": request.options, "names": request.names}
        try:
            async with asyncio.timeout(self.limit):
                await self.start()
                process = self.process
                process.stdin.write(json.dumps(asked).encode() + b"\n")
                with contextlib.suppress(ConnectionError):  # it has ended: so has its output
                    await process.stdin.drain()
                async for line in process.stdout:
                    answer = json.loads(line)
                    if "progress" in answer:
                        tell(answer["progress"])
                    elif "result" in answer or "error" in answer:
                        return answer
                code = await process.wait()
        except TimeoutError:
            self.stop()
            return {"error": f"took longer than {self.limit / 60:g} minutes, the limit here; send a piece of it"}
        except ValueError:  # a line that is no JSON, or has no end
            self.stop()
            return {"error": _ENDED.format("no answer that can be read")}
        return {"error": _ENDED.format(signal.Signals(-code).name if code < 0 else f"exit code {code}")}

    def stop(self):
        """End the worker at once; the next conversation gets another."""
        if self.process is not None and self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self.process.kill()
            self.ending, self.process = self.process, None

    async def close(self):
        """End the worker and wait for its end."""
        self.stop()
        if self.ending is not None:
            await self.ending.wait()
