"""Speech decoded once: the 16 kHz samples of many wav files in a few large files, read through memory maps.

A cache is a folder of packs. A pack is written whole or not at all, and never changed:

    samples of each utterance, at multiples of 64 bytes: int16 of a plain file, float32 of any other (`mirai.speech`)
    JSON: a list of {name, size, mtime_ns: of the wav file; offset, samples, dtype, crc: of what was decoded}
    8 bytes of a mark, 8 bytes: the length of the JSON

An utterance is found by name, size and modification time of its wav file, so a file that changed is decoded again. The
folder can be deleted at any time.
"""

import contextlib
import errno
import json
import math
import multiprocessing
import os
import shutil
import signal
import sys
import uuid
import zlib
from multiprocessing.connection import wait
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout
from tqdm import tqdm

from erc.files import atomic_writer
from erc.options import UserError
from mirai.speech import read_samples, read_wav, to_float

PACK_BYTES = 256 * 2**20  # of a pack; what a killed process loses at most
FILES_PER_PROCESS = 500  # fewer are decoded before another process has started
_MARK = b"MIRAIPCM"
_ALIGNMENT = 64  # bytes
_ROW = np.dtype([("pack", "i4"), ("offset", "i8"), ("samples", "i8"), ("float", "?"), ("crc", "u4")])


class Recordings:
    """The speech of some wav files.

    Args:
        paths: wav files.
        cache: folder of the decoded speech, made and filled where it lacks any of them; None: each is decoded when it
            is read.
        processes: that fill the cache; default: one for each CPU core, fewer where there is little to do.
    Raises:
        UserError: a file is missing, cannot be decoded, or the cache cannot be written.
    """

    def __init__(self, paths, cache=None, processes=None):
        self.paths = [Path(path) for path in paths]
        self.keys = [_key(path) for path in self.paths]  # (name, size in bytes, mtime_ns)
        self.packs = []
        self.table = np.zeros(len(self.paths), _ROW)  # small, and no object that worker processes would copy
        self.table["pack"] = -1
        if cache is not None:
            self._look_up(_filled(Path(cache), self.paths, self.keys, processes))

    def read(self, number):
        """(samples,) float32 at 16 kHz, full scale = 1; the same with and without a cache."""
        row = self.table[number]
        samples = self._mapped(row) if row["pack"] >= 0 else None
        return read_wav(self.paths[number]) if samples is None else to_float(samples)

    def _look_up(self, entries):
        numbers = {}
        for row, key in enumerate(self.keys):
            if key in entries:  # else the file changed just now, and is decoded when it is read
                pack, entry = entries[key]
                number = numbers.setdefault(pack, len(numbers))
                is_float = entry["dtype"] == "float32"
                self.table[row] = (number, entry["offset"], entry["samples"], is_float, entry["crc"])
        self.packs = list(numbers)

    def _mapped(self, row):
        """The samples of a row of the table as an array of its own; None if the pack is gone or damaged."""
        path = self.packs[row["pack"]]
        dtype = np.float32 if row["float"] else np.int16
        try:  # mapped for the copy only: nothing stays in this process's memory, and no file stays open
            samples = np.array(np.memmap(path, dtype, "r", row["offset"], (row["samples"],)))
        except (OSError, ValueError):
            return None
        if zlib.crc32(samples) != row["crc"]:
            print(f"{path}: damaged, removed; its speech is read from the wav files", file=sys.stderr, flush=True)
            self.table["pack"][self.table["pack"] == row["pack"]] = -1
            with contextlib.suppress(OSError):
                path.unlink()
            return None
        return samples


def _key(path):
    try:
        found = path.stat()
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    return path.name, found.st_size, found.st_mtime_ns


def _filled(folder, paths, keys, processes):
    """The entries of the cache in a folder, after what is missing has been decoded into it."""
    entries = _entries(folder)
    if all(key in entries for key in keys):
        return entries
    try:
        with _filling_alone(folder):
            entries = _entries(folder)
            missing = {path: key for path, key in zip(paths, keys, strict=True) if key not in entries}
            if missing:
                for left in folder.glob(".*.part"):  # of a process that was killed
                    left.unlink(missing_ok=True)
                before = list(folder.glob("*.pack"))
                _fill(folder, missing, len(keys), processes)
                _remove_outdated(before, {name for name, _, _ in missing.values()})
                entries = _entries(folder)
    except OSError as error:
        raise UserError(
            f"--cache {folder}: {error.strerror or error}; free space or make it writable, give --cache DIR with "
            "another folder, or --cache none to decode without a cache"
        ) from error
    return entries


@contextlib.contextmanager
def _filling_alone(folder):
    """Another process may be filling it, perhaps with the same speech."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / "lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print(f"waiting for another process that decodes into {folder}", flush=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _entries(folder):
    """{key: (pack, entry)} of every pack in a folder that is whole."""
    entries = {}
    for path in sorted(folder.glob("*.pack")):
        for entry in _read_index(path):
            entries[entry["name"], entry["size"], entry["mtime_ns"]] = path, entry
    return entries


def _read_index(path):
    """The entries of a pack; none if it is damaged."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 16))
            tail = file.read()
            length = int.from_bytes(tail[8:], "little")
            if tail[:8] != _MARK or length > size - 16:
                return []
            file.seek(size - 16 - length)
            return json.loads(file.read(length))
    except (OSError, ValueError):
        return []


def _remove_outdated(packs, names):
    """Remove the packs whose every utterance has been decoded again (or that are damaged)."""
    for path in packs:
        if all(entry["name"] in names for entry in _read_index(path)):
            path.unlink(missing_ok=True)


def _fill(folder, missing, total, processes):
    paths, size = list(missing), sum(size for _, size, _ in missing.values())
    free = shutil.disk_usage(folder).free
    if size > free:
        raise OSError(errno.ENOSPC, f"{size / 1e9:.1f} GB to decode into it, {free / 1e9:.1f} GB free")
    print(f"decoding {len(paths):,} of {total:,} wav files ({size / 1e6:,.1f} MB) into {folder}", flush=True)
    if processes is None:
        processes = min(usable_cores(), math.ceil(len(paths) / FILES_PER_PROCESS))
    with tqdm(total=len(paths), desc="decoding", unit="file", disable=None) as progress:
        if processes == 1:
            _write_packs(folder, paths, progress.update)
        else:
            _in_processes(folder, [paths[k::processes] for k in range(processes)], progress)


def usable_cores():
    """CPU cores that this process may use, which a scheduler may have restricted."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _in_processes(folder, shares, progress):
    # Started afresh rather than forked: this process may hold threads and a GPU.
    context = multiprocessing.get_context("spawn")
    readers, workers = [], []
    try:
        for share in shares:
            reader, writer = context.Pipe(duplex=False)
            workers.append(context.Process(target=_work, args=(folder, share, writer), daemon=True))
            workers[-1].start()
            writer.close()
            readers.append(reader)
        waiting = dict(zip(readers, workers, strict=True))
        while waiting:
            for reader in wait(list(waiting)):
                try:
                    message = reader.recv()
                except EOFError:
                    _check_ended(waiting.pop(reader))
                    continue
                if isinstance(message, Exception):
                    raise message
                progress.update(message)
    finally:
        for reader in readers:
            reader.close()  # a worker that still runs notices, and leaves nothing behind
        for worker in workers:
            worker.join()


def _check_ended(worker):
    worker.join()
    if worker.exitcode:
        raise UserError(f"a process that decodes wav files ended with exit code {worker.exitcode}; out of memory?")


def _work(folder, paths, writer):
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent is interrupted too, and closes the pipe
    with contextlib.suppress(BrokenPipeError):  # the parent is gone
        try:
            _write_packs(folder, paths, writer.send)
        except BrokenPipeError:
            raise
        except (UserError, OSError) as error:
            writer.send(error)


def _write_packs(folder, paths, report):
    """Decode some wav files into packs; `report(1)` after each. What was decoded before a bad one is kept."""
    todo = list(reversed(paths))
    problem = None
    while todo and problem is None:
        with atomic_writer(folder / f"{uuid.uuid4().hex}.pack") as file:
            index = []
            while todo and file.tell() < PACK_BYTES:
                path = todo.pop()
                try:
                    name, size, mtime_ns = _key(path)
                    samples = read_samples(path)
                except (UserError, OSError) as error:
                    problem = error if isinstance(error, UserError) else UserError(f"{path}: {error.strerror}")
                    break
                file.write(bytes(-file.tell() % _ALIGNMENT))
                entry = {"name": name, "size": size, "mtime_ns": mtime_ns, "offset": file.tell()}
                entry.update(samples=len(samples), dtype=samples.dtype.name, crc=zlib.crc32(samples))
                file.write(samples)
                index.append(entry)
                report(1)
            text = json.dumps(index).encode()
            file.write(text + _MARK + len(text).to_bytes(8, "little"))
    if problem is not None:
        raise problem
