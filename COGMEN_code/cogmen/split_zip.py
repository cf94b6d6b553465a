"""The split zip format of Info-ZIP's `zip -s`: NAME.z01, NAME.z02, ..., and NAME.zip as the last part.

PKWARE APPNOTE 6.3, section 8: the first part begins with a spanning marker; every offset counts from the start of the
part that it lies in; the central directory and the end record give part ("disk") numbers from 0; the data of a member
may run over parts, a header or a directory record never does.

The compression, the checksums and the records are those of the standard library's `zipfile`: `split` lays an ordinary
zip out over parts, `open_split` shows the parts to `zipfile` as one ordinary zip. Zip64 is not supported.
"""

import contextlib
import errno
import io
import itertools
import os
import re
import struct
import zipfile
import zlib
from bisect import bisect_right
from pathlib import Path

from cogmen.manifests import MANIFEST, check_manifest
from cogmen.options import UserError

MIN_PART_SIZE = 64 << 10  # bytes, Info-ZIP's own minimum
DAMAGE = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError, RuntimeError, ValueError)

_CHUNK = 1 << 20
_MAX_DIRECTORY = 64 << 20  # bytes
_SPANNING = b"PK\7\x08"
_END = struct.Struct("<4s4H2LH")  # signature, disk, directory's disk, records here, records, size, offset, comment size
_LOCAL = struct.Struct("<4s22x2H")  # signature, sizes of name and extra field
_RECORD = struct.Struct("<4s16x2L4H6xL")  # signature, packed size, size, sizes of name, extra, comment; disk, offset
_RECORD_DISK, _RECORD_OFFSET = 34, 42  # where a central directory record has them
_ZIP64_MARK = 0xFFFFFFFF


def archive_path(path):
    """The path of an archive, which is that of its last part."""
    path = Path(path)
    if path.suffix != ".zip":
        raise UserError(f"{path}: an archive is named by its last part; expected NAME.zip")
    return path


def neighbours(zip_path):
    """The files beside `zip_path`, itself included, that are named as parts of it, in order."""
    pattern = re.compile(re.escape(zip_path.stem) + r"\.z([0-9]{2,})")
    found = [path for path in zip_path.parent.glob("*") if pattern.fullmatch(path.name)]
    return sorted(found, key=lambda path: int(pattern.fullmatch(path.name)[1])) + [zip_path] * zip_path.exists()


def advice(zip_path):
    """What to do about a damaged archive; the manifest, where there is one, tells which part it is."""
    if not (zip_path.parent / MANIFEST).exists():
        return "Parts are damaged, swapped or from different archives: copy them again"
    try:
        check_manifest(zip_path.parent)
    except UserError as error:
        return str(error)
    return f"The parts match {MANIFEST}, so it was made like this: make the archive again"


# ---- writing ----


def split(whole, folder, part_size):
    """Lay an ordinary zip, as `zipfile` writes it, out over parts of at most `part_size` bytes in a new folder; their
    paths."""
    # `zip -s 0` of Info-ZIP 3.0 loses what follows a part that holds nothing but a member's data, if the part's size
    # is a multiple of its 64 KiB buffer.
    part_size -= part_size % (64 << 10) == 0
    folder.mkdir()
    records, _ = _read_directory([whole])
    with whole.open("rb") as source, _PartWriter(folder / whole.stem, part_size) as out:
        out.write(_SPANNING)
        for record in records:
            _, packed_size, *_, offset = _RECORD.unpack_from(record)
            source.seek(offset)
            header = source.read(_LOCAL.size)
            header += source.read(sum(_LOCAL.unpack(header)[1:]))
            _set_place(record, *out.write(header))
            out.copy(source, packed_size)
        places = [out.write(record) for record in records]
        end_disk, _ = out.place(_END.size)
        here = sum(disk == end_disk for disk, _ in places)
        size = sum(map(len, records))
        out.write(_END.pack(b"PK\5\6", end_disk, places[0][0], here, len(records), size, places[0][1], 0))
    return out.paths[:-1] + [out.paths[-1].rename(folder / whole.name)]


class _PartWriter:
    """Files `stem.z01`, `stem.z02`, ... of at most `part_size` bytes, written one after the other."""

    def __init__(self, stem, part_size):
        self.stem, self.part_size = stem, part_size
        self.paths, self.file = [], None
        self._next()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()

    def _next(self):
        if self.file:
            self.file.close()
        self.paths.append(self.stem.with_name(_part_name(self.stem.name, len(self.paths) + 1)))
        self.file = self.paths[-1].open("xb")

    def place(self, size):
        """(disk, offset) where a record of that size comes; it begins a new part rather than being cut."""
        if self.file.tell() + size > self.part_size:
            self._next()
        return len(self.paths) - 1, self.file.tell()

    def write(self, record):
        place = self.place(len(record))
        self.file.write(record)
        return place

    def copy(self, source, size):
        while size:
            if self.file.tell() == self.part_size:
                self._next()
            size -= self.file.write(source.read(min(size, _CHUNK, self.part_size - self.file.tell())))


# ---- reading ----


@contextlib.contextmanager
def open_split(zip_path):
    """(`Joined`, `ZipFile`) of a split or an ordinary zip, for reading. Nothing has been decompressed yet.

    Raises:
        UserError: parts are missing or too many, their directory is damaged, or it is a Zip64 archive.
    """
    parts = _find_parts(zip_path)
    records, start = _read_directory(parts)
    end = _END.pack(b"PK\5\6", 0, 0, len(records), len(records), sum(map(len, records)), start, 0)
    with Joined(parts, start, b"".join(records) + end) as joined:
        if len(parts) > 1 and joined.read(4) != _SPANNING:
            raise UserError(f"{parts[0]}: does not begin as the first part of a split zip. {advice(zip_path)}")
        try:
            archive = zipfile.ZipFile(io.BufferedReader(joined, 1 << 16), metadata_encoding="utf-8")
        except UnicodeDecodeError as error:
            raise UserError(f"{zip_path}: refused: member name {error.object!r} is not UTF-8") from None
        except DAMAGE as error:
            raise UserError(f"{zip_path}: its directory is damaged: {error}. {advice(zip_path)}") from error
        with archive:
            yield joined, archive


class Joined(io.RawIOBase):
    """The parts one after the other as a read-only file; from `cut` on, `tail` stands in their place."""

    def __init__(self, parts, cut=None, tail=b""):
        self.parts, self.tail = parts, tail
        self.starts = list(itertools.accumulate((part.stat().st_size for part in parts), initial=0))
        self.cut = self.starts[-1] if cut is None else cut
        self._at, self._number, self._file = 0, None, None

    def part_at(self, position):
        return self.parts[min(bisect_right(self.starts, position), len(self.parts)) - 1]

    def readable(self):
        return True

    def seekable(self):
        return True

    def seek(self, offset, whence=os.SEEK_SET):
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self.cut + len(self.tail)}[whence]
        if self._at < 0:
            raise OSError(errno.EINVAL, "seek before the start of the archive")
        return self._at

    def readinto(self, buffer):
        if self._at < self.cut:
            number = bisect_right(self.starts, self._at) - 1
            if number != self._number:
                self._close_part()
                self._file, self._number = self.parts[number].open("rb"), number
            self._file.seek(self._at - self.starts[number])
            data = self._file.read(min(len(buffer), min(self.cut, self.starts[number + 1]) - self._at))
        else:
            begin = self._at - self.cut
            data = self.tail[begin : begin + len(buffer)]
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def _close_part(self):
        if self._file:
            self._file.close()

    def close(self):
        self._close_part()
        super().close()


def _find_parts(zip_path):
    beside = neighbours(zip_path)
    found = "found " + (", ".join(path.name for path in beside) or "none of its parts")
    if not zip_path.exists():
        raise UserError(f"{zip_path}: no such file; {found}. An archive cannot be read without its last part, the .zip")
    last = _read_end(zip_path)[1]
    parts = [zip_path.with_name(_part_name(zip_path.stem, number)) for number in range(1, last + 1)] + [zip_path]
    missing = [part.name for part in parts if part not in beside]
    if missing:
        names = ", ".join(missing[:5]) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
        are = "is" if len(missing) == 1 else "are"
        raise UserError(f"{names} {are} missing beside {zip_path}; {found}. Copy all {last + 1} parts into one folder")
    if surplus := [part.name for part in beside if part not in parts]:
        raise UserError(
            f"{zip_path}: is the last of {last + 1} parts, but {', '.join(surplus)} of another archive lies beside it. "
            "Copy the parts of one archive, and only those, into one folder"
        )
    return parts


def _read_directory(parts):
    """(central directory records with offsets in the joined parts, the directory's offset in them)."""
    end_at, last, first, count, size, offset = _read_end(parts[-1])

    def damaged(what):
        return UserError(f"{parts[-1]}: its directory is damaged: {what}. {advice(parts[-1])}")

    with Joined(parts) as raw, io.BufferedReader(raw) as joined:
        if first > last or raw.starts[first] + offset + size != raw.starts[last] + end_at:
            raise damaged("it is not where the end record says")
        if size > _MAX_DIRECTORY:
            raise UserError(f"{parts[-1]}: refused: its directory has {size:,} bytes, more than {_MAX_DIRECTORY:,}")
        start = joined.seek(raw.starts[first] + offset)
        directory = joined.read(size)
    records, at = [], 0
    while directory.startswith(b"PK\1\2", at) and at + _RECORD.size <= size and len(records) < count:
        _, packed_size, full_size, *lengths, disk, offset = _RECORD.unpack_from(directory, at)
        record = bytearray(directory[at : at + _RECORD.size + sum(lengths)])
        if _ZIP64_MARK in (packed_size, full_size, offset):
            raise _zip64(parts[-1])
        if disk > last or raw.starts[disk] + offset >= start:
            raise damaged(f"record {len(records) + 1} points outside the archive")
        if raw.starts[disk] + offset >= _ZIP64_MARK:
            raise _zip64(parts[-1])
        _set_place(record, 0, raw.starts[disk] + offset)
        records.append(record)
        at += _RECORD.size + sum(lengths)
    if at != size or len(records) != count:
        raise damaged(f"it does not hold the {count} records that are announced")
    return records, start


def _read_end(path):
    """From the last part: offset of the end record; last disk, directory's disk, records, directory's size, offset."""
    with path.open("rb") as file:
        length = file.seek(0, os.SEEK_END)
        file.seek(max(0, length - _END.size - 0xFFFF))
        tail = file.read()
    at = len(tail)
    while (at := tail.rfind(b"PK\5\6", 0, at)) >= 0:
        if len(tail) - at < _END.size:
            continue
        _, last, first, _, count, size, offset, comment = _END.unpack_from(tail, at)
        if at + _END.size + comment == len(tail):
            if tail.startswith(b"PK\6\7", max(0, at - 20)) or 0xFFFF in (last, count) or _ZIP64_MARK in (size, offset):
                raise _zip64(path)
            return length - len(tail) + at, last, first, count, size, offset
    raise UserError(f"{path}: has no end record: not a zip archive, or cut short; copy it again")


def _zip64(path):
    return UserError(f"{path}: is a Zip64 archive (over 4 GiB or 65534 members), which is not supported")


def _part_name(stem, number):
    return f"{stem}.z{number:02d}"


def _set_place(record, disk, offset):
    struct.pack_into("<H", record, _RECORD_DISK, disk)
    struct.pack_into("<L", record, _RECORD_OFFSET, offset)
