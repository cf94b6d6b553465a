"""Feed a reader of files from elsewhere with broken files, for as long as told; what hurts it is kept.

    python -m tests.fuzz.attack --reader pickle --minutes 10
    python -m tests.fuzz.attack --reader zip --runs 1000 --seed 7
    python -m tests.fuzz.attack --reader wav --replay build/fuzz/wav-0123456789ab.wav

Good files are made here and broken over and over; a broken one that is accepted becomes a good one. A file may be read,
or refused with a `UserError`. Anything else is a failure and ends the attack: another exception, the end of the
process, more memory than --memory_mb, more time than --hang_s. The file that did it is kept in --out_dir, and the exit
code is 1.
"""

import multiprocessing
import os
import resource
import sys
import tempfile
import time
import traceback
import warnings
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from random import Random

from tqdm import tqdm

from erc.options import UserError, option, parse, run
from tests.fuzz.readers import READERS

_MAX_POOL = 300  # good files at most
_START = 120  # seconds that the reading process may take to be ready
_PROCESSES = multiprocessing.get_context("forkserver")  # a fork of a process with threads may wait for ever


@dataclass
class Options:
    reader: str = option(help="what is attacked", choices=sorted(READERS))
    minutes: float = option(10.0, "how long")
    runs: int | None = option(None, "stop after so many files instead")
    seed: int = option(0, "of the files that are made")
    memory_mb: int = option(1024, "memory (MiB) that reading may take beside what the process has")
    hang_s: float = option(30.0, "seconds that one file may take")
    out_dir: Path = option("build/fuzz", "where a file that does harm is kept")
    replay: Path | None = option(None, "read only this file")


def main(argv=None):
    options = parse(Options, argv, __doc__)
    if options.replay:
        READERS[options.reader]().read(options.replay)
        print("accepted")
        return
    result = attack(options)
    print(result.line())
    if result.failure:
        raise UserError(f"{result.kept}: {result.failure}")


@dataclass
class Result:
    """Files of an attack by outcome, the longest time (seconds), the most memory (MiB) beyond the start."""

    reader: str
    refused: int = 0
    accepted: int = 0
    seconds: float = 0.0
    memory: float = 0.0
    failure: str | None = None
    kept: Path | None = None

    def line(self):
        return (
            f"{self.reader}: {self.refused + self.accepted:,} files, {self.refused:,} refused, "
            f"{self.accepted:,} accepted, at most {self.seconds:.2f} s and {self.memory:.0f} MiB for one"
        )


def attack(options):
    """Let a process of its own read broken files until the time is up or one does harm.

    Returns:
        Result: with `failure` and the path of the file, `kept`, if one did.
    """
    reader, result = READERS[options.reader](), Result(options.reader)
    end = time.monotonic() + 60 * options.minutes
    with tempfile.TemporaryDirectory() as folder, tqdm(desc=options.reader, unit=" files", disable=None) as bar:
        current = Path(folder) / f"input{reader.suffix}"
        ours, theirs = _PROCESSES.Pipe()
        process = _PROCESSES.Process(target=_work, args=(reader, options, current, theirs), daemon=True)
        process.start()
        theirs.close()
        try:
            result.failure = _receive(ours, _START)
            while result.failure is None and (options.runs or time.monotonic() < end):
                message = _receive(ours, options.hang_s)
                if message == "done":
                    return result
                if isinstance(message, str):
                    result.failure = message
                else:
                    accepted, seconds, memory = message
                    result.accepted += accepted
                    result.refused += not accepted
                    result.seconds, result.memory = max(result.seconds, seconds), max(result.memory, memory)
                    bar.update()
        finally:
            process.kill()
            process.join(60)
        if result.failure:
            data = current.read_bytes()
            options.out_dir.mkdir(parents=True, exist_ok=True)
            result.kept = options.out_dir / f"{options.reader}-{sha256(data).hexdigest()[:12]}{reader.suffix}"
            result.kept.write_bytes(data)
    return result


def _receive(connection, limit):
    if not connection.poll(limit):
        return f"hangs: more than {limit:g} s"
    try:
        return connection.recv()
    except (EOFError, OSError):
        return "ended the process"


def inputs(reader, seed):
    """Broken files without end, the same for the same seed; `send(True)` tells that the last one was accepted."""
    random = Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        pool = reader.seeds(Path(folder))
    good = len(pool)
    for data in list(pool):
        yield data
    while True:
        data = reader.mutate(random, random.choice(pool), pool)
        if (yield data) and len(data) < 1 << 20:
            if len(pool) == _MAX_POOL:
                del pool[random.randrange(good, len(pool))]
            pool.append(data)


def _work(reader, options, current, connection):
    warnings.simplefilter("ignore")
    source, accepted, data = inputs(reader, options.seed), None, None
    start = _resident()
    address_space = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    limit = address_space + options.memory_mb * (1 << 20)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))  # what asks for more gets a MemoryError
    connection.send(None)  # ready
    for _ in range(options.runs or sys.maxsize):
        data = source.send(accepted)
        current.write_bytes(data)
        began = time.perf_counter()
        accepted, failure = judge(reader, current)
        connection.send(failure or (accepted, time.perf_counter() - began, _resident() - start))
        if failure:
            return
    connection.send("done")


def judge(reader, path):
    """(was the file accepted?, what it did wrong or None)."""
    try:
        reader.read(path)
    except UserError as error:
        text = str(error)
        if "more memory than there is" in text:
            return False, text
        if "\n" in text or len(text) > 2000 or str(path.parent) not in text:
            return False, f"the message is not one short line that names the file: {text[:3000]!r}"
        return False, None
    except BaseException:
        return False, traceback.format_exc()
    return True, None


def _resident():
    """The most memory (MiB) that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    run(main)
