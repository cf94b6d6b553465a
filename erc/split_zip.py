"""Split zips, as Info-ZIP's `zip -s` writes them: NAME.z01, NAME.z02, ..., and NAME.zip as the last part.

`pack` and `unpack` are all that is needed; `write_manifest` and `check_manifest` keep checksums of the parts. An
archive may come from anyone: it is checked whole before its first file is put in place.

The format (PKWARE APPNOTE 6.3, section 8): the first part begins with a spanning marker; every offset counts from the
start of the part that it lies in; the central directory and the end record give part ("disk") numbers from 0; the data
of a member may run over parts, a header or a directory record never does. The compression, the checksums and the
records are those of the standard library's `zipfile`: `_split` lays an ordinary zip out over parts, `_open` shows the
parts to `zipfile` as one ordinary zip. Zip64 is not supported.
"""

import contextlib
import io
import itertools
import os
import re
import shutil
import stat
import struct
import tempfile
import unicodedata
import zipfile
import zlib
from bisect import bisect_right
from pathlib import Path

from tqdm import tqdm

from erc.files import claim, errors_name, sha256, sync_directory, write_text
from erc.options import UserError
from erc.untrusted import plain_file, shown

MIN_PART_SIZE = 64 << 10  # bytes, Info-ZIP's own minimum
MAX_MEMBERS = 10_000
MAX_TOTAL_SIZE = 16 << 30  # bytes, of all members of an archive to be unpacked
MAX_RATIO = 100  # unpacked bytes per byte of the archive, where an archive unpacks to more than the next line
RATIO_FREE_SIZE = 64 << 20  # bytes
MANIFEST = "SHA256SUMS"
_MAX_NAME, _MAX_PART, _MAX_DEPTH = 500, 255, 32  # characters; bytes that file systems allow between slashes; slashes
_MAX_DIRECTORY = 64 << 20  # bytes
_CHUNK = 1 << 20  # bytes
_DAMAGE = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError, RuntimeError, ValueError)

_SPANNING = b"PK\7\x08"
_END = struct.Struct("<4s4H2LH")  # signature, disk, directory's disk, records here, records, size, offset, comment size
_LOCAL = struct.Struct("<4s22x2H")  # signature, sizes of name and extra field
_RECORD = struct.Struct("<4s16x2L4H6xL")  # signature, packed size, size, sizes of name, extra, comment; disk, offset
_RECORD_DISK, _RECORD_OFFSET = 34, 42  # where a central directory record has them
_ZIP64_MARK = 0xFFFFFFFF


# ---- packing ----


def pack(target_zip, files, part_size, base=None):
    """Write files into a split zip; the same content gives the same bytes (with the same zlib).

    Args:
        target_zip: the last part, `NAME.zip`. An archive of that name is replaced, left-over parts of it are removed.
        files: files, and folders of which all files are taken.
        part_size: bytes in a part at most, `MIN_PART_SIZE` or more.
        base: folder that the members' names are relative to; default: the folder around each of `files`.
    Returns:
        list: the paths of the parts, `NAME.zip` last.
    Raises:
        UserError: a file is missing or special, its name is there twice or one that `unpack` would refuse, or another
            run is packing the same archive.
    """
    target = _archive_path(target_zip)
    if not MIN_PART_SIZE <= part_size < 1 << 32:
        raise UserError(f"{target}: the part size is {part_size} bytes; expected {MIN_PART_SIZE} to {(1 << 32) - 1}")
    members = _members(files, base, target)
    with (
        claim(target),
        errors_name(target),
        tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as folder,
    ):
        whole = Path(folder) / target.name
        _write_ordinary(whole, members)
        parts = [whole] if whole.stat().st_size <= part_size else _split(whole, Path(folder) / "parts", part_size)
        for part in parts:  # the .zip comes last: until then a reader finds the old end record, or none
            with part.open("rb") as file:
                os.fsync(file.fileno())
            os.replace(part, target.with_name(part.name))
        parts = [target.with_name(part.name) for part in parts]
        for stale in set(_neighbours(target)) - set(parts):
            stale.unlink()
    return parts


def _members(files, base, target):
    """{member name: path}, sorted by name."""
    members = {}
    for given in map(Path, files):
        found = [given]
        if given.is_dir():
            found = [path for path in given.rglob("*") if path.is_symlink() or not path.is_dir()]
        for path in found:
            if path.is_symlink() and path != given:
                raise UserError(f"{path}: is a symbolic link; put the file itself there, or name it on its own")
            if not path.is_file():
                raise UserError(f"{path}: {'is not a plain file' if path.exists() else 'no such file or folder'}")
            if path.resolve() in {part.resolve() for part in _neighbours(target)}:
                raise UserError(f"{path}: is a part of the archive that is being made; put the archive elsewhere")
            try:
                name = path.absolute().relative_to(Path(base or given.absolute().parent).absolute()).as_posix()
            except ValueError:
                raise UserError(f"{path}: lies outside the base folder {base}") from None
            if reason := _bad_name(name):
                raise UserError(f"{path}: its name {name!r} {reason}; rename it")
            if name in members:
                raise UserError(f"{path}: would have the same name as {members[name]}; give a common base folder")
            members[name] = path
    if not members:
        raise UserError(f"{target}: there are no files to pack")
    return dict(sorted(members.items()))


def _write_ordinary(whole, members):
    total = sum(path.stat().st_size for path in members.values())
    try:
        with (
            zipfile.ZipFile(whole, "x", allowZip64=False) as archive,
            tqdm(total=total, desc="packing", unit="B", unit_scale=True, disable=None, leave=False) as bar,
        ):
            for name, path in members.items():
                info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
                info.create_system = 3  # Unix, wherever it is made, so that the permissions below count
                info.external_attr = (stat.S_IFREG | 0o644) << 16
                info.compress_type = zipfile.ZIP_DEFLATED
                info.file_size = path.stat().st_size
                with path.open("rb") as source, archive.open(info, "w") as member:
                    while chunk := source.read(_CHUNK):
                        member.write(chunk)
                        bar.update(len(chunk))
    except zipfile.LargeZipFile as error:
        raise UserError(f"too large for one archive without Zip64: {error}. Pack fewer files into each") from None


def _split(whole, folder, part_size):
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


# ---- unpacking ----


def unpack(zip_path, folder):
    """Unpack a split or an ordinary zip, which may come from anyone, into a folder, which is made if missing.

    Everything is decompressed and verified in a folder `.unpack.<name of the folder>` on the same file system before
    the first file is put in place, so that a refused or damaged archive, or a full disk, leaves nothing behind. A
    folder that is not there yet then appears in one step. In one that is there every file is replaced in one step, but
    a run that is killed meanwhile may have put only some of them in place: then `.unpack.<name>` is still there, and
    unpacking again completes the work. Times and permissions are not restored.

    Returns:
        list: the paths of the files.
    Raises:
        UserError: a part is missing, damaged or swapped; or a member is refused: a name that leads elsewhere, a link
            or special file, a name twice, an encrypted member, more than `MAX_MEMBERS`, `MAX_TOTAL_SIZE` or
            `MAX_RATIO`; or another run is unpacking into the folder.
    """
    zip_path, folder = _archive_path(zip_path), Path(folder).resolve()
    with _open(zip_path) as (joined, archive):
        infos = archive.infolist()
        _check_members(zip_path, infos, joined.starts[-1])
        _check_target(folder, infos)
        total = sum(info.file_size for info in infos)
        around = next(path for path in (folder, *folder.parents) if path.exists())
        if total > (free := shutil.disk_usage(around).free):
            raise UserError(f"{folder}: {zip_path} needs {total} bytes, but the disk has {free} free")
        staging = around / f".unpack.{folder.name}"
        with (
            claim(staging, folder=True),
            tqdm(total=total, desc="unpacking", unit="B", unit_scale=True, disable=None, leave=False) as bar,
        ):
            shutil.rmtree(staging, ignore_errors=True)  # what a killed run left
            try:
                for info in infos:
                    target = staging / info.filename
                    (target if info.is_dir() else target.parent).mkdir(parents=True, exist_ok=True)
                    if not info.is_dir():
                        _extract(zip_path, joined, archive, info, target, bar)
                _check_target(folder, infos)
                _install(staging, folder, infos)
            finally:
                shutil.rmtree(staging, ignore_errors=True)
    return [folder / info.filename for info in infos if not info.is_dir()]


def _extract(zip_path, joined, archive, info, target, bar):
    size = 0
    try:
        with errors_name(target), archive.open(info) as source, target.open("xb") as file:
            while chunk := source.read(_CHUNK):  # zipfile stops at the declared size, which was checked
                size += file.write(chunk)
                bar.update(len(chunk))
            file.flush()
            os.fsync(file.fileno())
        if size != info.file_size:
            raise zipfile.BadZipFile(f"{size} bytes found, {info.file_size} announced")
    except _DAMAGE as error:
        end = info.header_offset + 30 + len(info.orig_filename.encode()) + info.compress_size
        first, last = (joined.part_at(position).name for position in (info.header_offset, end - 1))
        where = first if first == last else f"{first} to {last}"
        raise UserError(
            f"{zip_path}: member {info.filename!r}, in {where}, is damaged: {error}. {_advice(zip_path)}"
        ) from error


def _install(staging, folder, infos):
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        os.rename(staging, folder)
        sync_directory(folder.parent)
        return
    for info in infos:
        target = folder / info.filename
        if info.is_dir():
            target.mkdir(parents=True, exist_ok=True)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(staging / info.filename, target)
    for place in {folder, *((folder / info.filename).parent for info in infos)}:
        sync_directory(place)


def _check_members(zip_path, infos, archive_size):
    def refuse(what):
        raise UserError(f"{zip_path}: refused: {what}. Nothing was unpacked")

    if len(infos) > MAX_MEMBERS:
        refuse(f"it holds {len(infos):,} members, more than {MAX_MEMBERS:,}")
    names = set()
    for info in infos:
        name = info.filename
        if reason := _bad_name(info.orig_filename) or _bad_name(name):
            refuse(f"member name {shown(info.orig_filename)} {reason}")
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind not in (0, stat.S_IFDIR if info.is_dir() else stat.S_IFREG):
            refuse(f"member {name!r} is {'a symbolic link' if stat.S_ISLNK(kind) else 'not a plain file'}")
        if info.flag_bits & 0x2041:
            refuse(f"member {name!r} is encrypted")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            refuse(f"member {name!r} has compression method {info.compress_type}; expected 0 (stored) or 8 (deflate)")
        if name.rstrip("/") in names:
            refuse(f"two members are named {name!r}")
        names.add(name.rstrip("/"))
    files = {info.filename for info in infos if not info.is_dir()}
    for name in names:
        if both := files.intersection(map(str, Path(name).parents)):
            refuse(f"member {both.pop()!r} is a file and the folder of {name!r}")
    if not files:
        refuse("it holds no files")
    total = sum(info.file_size for info in infos)
    if total > MAX_TOTAL_SIZE:
        refuse(f"it unpacks to {total} bytes, more than {MAX_TOTAL_SIZE}")
    if total > RATIO_FREE_SIZE and total > MAX_RATIO * archive_size:
        refuse(f"its {archive_size} bytes unpack to {total}, more than {MAX_RATIO} times as many (a zip bomb?)")


def _check_target(folder, infos):
    """Refuse what is in the way, and symbolic links, through which a member would land outside the folder."""
    for info in infos:
        inside = Path(info.filename)
        for path in [folder / part for part in (inside, *inside.parents)]:
            is_folder = info.is_dir() or path != folder / inside
            if path.is_symlink():
                raise UserError(f"{path}: is a symbolic link in the way of member {info.filename!r}; move it")
            if path.exists() and not (path.is_dir() if is_folder else path.is_file()):
                raise UserError(f"{path}: is in the way of member {info.filename!r}; move it")


def _bad_name(name):
    """Why a member's name is refused, or None."""
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in name):
        return "holds control characters or is not text"
    if "\\" in name or re.match("[A-Za-z]:", name):
        return "is a Windows path (backslash or drive letter)"
    if (
        len(name) > _MAX_NAME
        or name.count("/") > _MAX_DEPTH
        or len(max(name.encode().split(b"/"), key=len)) > _MAX_PART
    ):
        return f"is too long or more than {_MAX_DEPTH} folders deep"
    if name.startswith("/"):
        return "is an absolute path"
    if set(name.removesuffix("/").split("/")) & {"", ".", ".."}:
        return "leads elsewhere ('..', '.' or an empty part)"
    return None


# ---- the parts of an archive ----


def _archive_path(path):
    """The path of an archive, which is that of its last part."""
    path = Path(path)
    if path.suffix != ".zip":
        raise UserError(f"{path}: an archive is named by its last part; expected NAME.zip")
    return path


def _neighbours(zip_path):
    """The files beside `zip_path`, itself included, that are named as parts of it, in order."""
    pattern = re.compile(re.escape(zip_path.stem) + r"\.z([0-9]{2,})")
    found = [path for path in zip_path.parent.glob("*") if pattern.fullmatch(path.name)]
    return sorted(found, key=lambda path: int(pattern.fullmatch(path.name)[1])) + [zip_path] * zip_path.exists()


def _part_name(stem, number):
    return f"{stem}.z{number:02d}"


def _find_parts(zip_path):
    beside = _neighbours(zip_path)
    found = "found " + (", ".join(path.name for path in beside) or "none of its parts")
    if not zip_path.exists():
        raise UserError(f"{zip_path}: no such file; {found}. An archive cannot be read without its last part, the .zip")
    for part in beside:
        plain_file(part)
    last = _read_end(zip_path)[1]
    parts = [zip_path.with_name(_part_name(zip_path.stem, number)) for number in range(1, last + 1)] + [zip_path]
    missing = [part.name for part in parts if part not in beside]
    if missing:
        names = ", ".join(missing[:5]) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
        raise UserError(f"missing beside {zip_path}: {names}; {found}. Copy all {last + 1} parts into one folder")
    if surplus := [part.name for part in beside if part not in parts]:
        raise UserError(
            f"{zip_path}: is the last of {last + 1} parts, but {', '.join(surplus)} of another archive lies beside it. "
            "Copy the parts of one archive, and only those, into one folder"
        )
    return parts


@contextlib.contextmanager
def _open(zip_path):
    """(`_Joined`, `ZipFile`) of a split or an ordinary zip, for reading. Nothing has been decompressed yet.

    Raises:
        UserError: parts are missing or too many, their directory is damaged, or it is a Zip64 archive.
    """
    parts = _find_parts(zip_path)
    records, start = _read_directory(parts)
    end = _END.pack(b"PK\5\6", 0, 0, len(records), len(records), sum(map(len, records)), start, 0)
    with _Joined(parts, start, b"".join(records) + end) as joined:
        if len(parts) > 1 and joined.read(4) != _SPANNING:
            raise UserError(f"{parts[0]}: does not begin as the first part of a split zip. {_advice(zip_path)}")
        try:
            archive = zipfile.ZipFile(io.BufferedReader(joined, 1 << 16), metadata_encoding="utf-8")
        except UnicodeDecodeError as error:
            raise UserError(f"{zip_path}: refused: member name {error.object!r} is not UTF-8") from None
        except _DAMAGE as error:
            raise UserError(f"{zip_path}: its directory is damaged: {error}. {_advice(zip_path)}") from error
        with archive:
            yield joined, archive


class _Joined(io.RawIOBase):
    """The parts one after the other as a read-only file; from `cut` on, `tail` stands in their place."""

    def __init__(self, parts, cut=None, tail=b""):
        self.parts, self.tail = parts, tail
        self.starts = list(itertools.accumulate((part.stat().st_size for part in parts), initial=0))
        self.cut = self.starts[-1] if cut is None else cut
        self._at = 0

    def part_at(self, position):
        return self.parts[min(bisect_right(self.starts, position), len(self.parts)) - 1]

    def readable(self):
        return True

    seekable = readable

    def seek(self, offset, whence=os.SEEK_SET):
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self.cut + len(self.tail)}[whence]
        if self._at < 0:
            raise OSError("seek before the start of the archive")
        return self._at

    def readinto(self, buffer):
        if self._at < self.cut:
            number = bisect_right(self.starts, self._at) - 1
            with self.parts[number].open("rb") as file:
                file.seek(self._at - self.starts[number])
                data = file.read(min(len(buffer), min(self.cut, self.starts[number + 1]) - self._at))
        else:
            data = self.tail[self._at - self.cut :][: len(buffer)]
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


def _read_directory(parts):
    """(central directory records with offsets in the joined parts, the directory's offset in them)."""
    end_at, last, first, count, size, offset = _read_end(parts[-1])

    def damaged(what):
        return UserError(f"{parts[-1]}: its directory is damaged: {what}. {_advice(parts[-1])}")

    with _Joined(parts) as raw, io.BufferedReader(raw) as joined:
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
        if disk > last or raw.starts[disk] + offset >= start:
            raise damaged(f"record {len(records) + 1} points outside the archive")
        if max(packed_size, full_size, raw.starts[disk] + offset) >= _ZIP64_MARK:
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


def _set_place(record, disk, offset):
    struct.pack_into("<H", record, _RECORD_DISK, disk)
    struct.pack_into("<L", record, _RECORD_OFFSET, offset)


def _zip64(path):
    return UserError(f"{path}: is a Zip64 archive (over 4 GiB or 65534 members), which is not supported")


def _advice(zip_path):
    """What to do about a damaged archive; the manifest, where there is one, tells which part it is."""
    if not (zip_path.parent / MANIFEST).exists():
        return "Parts are damaged, swapped or from different archives: copy them again"
    try:
        check_manifest(zip_path.parent)
    except UserError as error:
        return str(error)
    return f"The parts match {MANIFEST}, so it was made like this: make the archive again"


# ---- checksums ----


def write_manifest(folder):
    """Write `SHA256SUMS` for all archive parts in a folder; lines for other files in it are kept. Returns its path.

    Raises:
        UserError: there are no parts, or the manifest that is there already is not sha256sum's.
    """
    folder = Path(folder)
    if not (parts := _parts_in(folder)):
        raise UserError(f"{folder}: holds no archive parts (*.zip, *.z01, ...)")
    sums = _read_manifest(folder) if (folder / MANIFEST).exists() else {}
    sums = {name: digest for name, digest in sums.items() if not _is_part(name)}
    sums.update((part.name, sha256(part)) for part in parts)
    write_text(folder / MANIFEST, "".join(f"{digest}  {name}\n" for name, digest in sorted(sums.items())))
    return folder / MANIFEST


def check_manifest(folder):
    """Compare a folder with its `SHA256SUMS`; returns the paths of the files that were compared.

    Raises:
        UserError: names every file that is missing, that differs, or that is an archive part without a line.
    """
    folder = Path(folder)
    sums = _read_manifest(folder)
    faults = [f"{part.name} has no line in it" for part in _parts_in(folder) if part.name not in sums]
    for name, digest in sums.items():
        if not (folder / name).is_file():
            faults.append(f"{name} is missing")
        elif (found := sha256(folder / name)) != digest:
            same = [other for other, one in sums.items() if one == found]
            faults.append(f"{name} differs" + (f" (it is {same[0]})" if same else ""))
    if faults:
        raise UserError(f"{folder / MANIFEST}: {', '.join(faults)}. Copy the files again from where they came")
    return [folder / name for name in sums]


def _read_manifest(folder):
    """{file name: SHA-256 in hexadecimal}."""
    path, sums = folder / MANIFEST, {}
    if not path.exists():
        raise UserError(f"{path}: no such file; `python COGMEN_code/archive.py pack ... --manifest` writes it")
    plain_file(path, _MAX_DIRECTORY)
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        match = re.fullmatch(r"([0-9a-f]{64}) [ *](?!\.\.?$)([^/\\]+)", line)
        if not match:
            raise UserError(f"{path}: line {number} is not '<64 hexadecimal digits>  <file name>': {line[:100]!r}")
        sums[match[2]] = match[1]
    return sums


def _parts_in(folder):
    return sorted(path for path in folder.glob("*") if path.is_file() and _is_part(path.name))


def _is_part(name):
    return re.fullmatch(r".+\.(zip|z[0-9]{2,})", name) is not None
