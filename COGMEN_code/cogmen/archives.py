"""Split zip archives, so that features and checkpoints travel in files small enough for a repository.

    pack("data/sample/zip.zip", ["features.pkl", "folder"], part_size=10 << 20)
    unpack("data/sample/zip.zip", "somewhere")

They are what Info-ZIP's `zip -s` makes: NAME.z01, NAME.z02, ..., NAME.zip, and where all fits in one part an ordinary
zip. An archive to be unpacked may come from anyone: what could harm is refused before anything is written.
"""

import os
import re
import shutil
import stat
import tempfile
import unicodedata
import zipfile
from pathlib import Path

from tqdm import tqdm

from cogmen.claims import claim
from cogmen.options import UserError
from cogmen.safe_files import errors_name, sync_directory
from cogmen.split_zip import DAMAGE, MIN_PART_SIZE, advice, archive_path, neighbours, open_split, split
from cogmen.untrusted import shown

MAX_MEMBERS = 10_000
MAX_TOTAL_SIZE = 16 << 30  # bytes, of all members of an archive to be unpacked
MAX_RATIO = 100  # unpacked bytes per byte of the archive, where an archive unpacks to more than the next line
RATIO_FREE_SIZE = 64 << 20  # bytes
_CHUNK = 1 << 20
_MAX_NAME, _MAX_PART, _MAX_DEPTH = 500, 255, 32  # characters; bytes that file systems allow between slashes; slashes


# ---- packing ----


def pack(target_zip, files, part_size, base=None):
    """Write files into a split zip; the same content gives the same bytes (with the same zlib).

    Args:
        target_zip: the last part, `NAME.zip`. An archive of that name is replaced, left-over parts of it are removed.
        files: files, and folders of which all files are taken.
        part_size: bytes in a part at most, `MIN_PART_SIZE` or more.
        base: folder that the members' names are relative to; default: the folder around each of `files`.

    Returns:
        The paths of the parts, `NAME.zip` last.

    Raises:
        UserError: nothing to pack, a missing or special file, a name that `unpack` would refuse, a name twice; or
            another run is packing the same archive.
    """
    target = archive_path(target_zip)
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
        parts = [whole] if whole.stat().st_size <= part_size else split(whole, Path(folder) / "parts", part_size)
        for part in parts:  # the .zip comes last: until then a reader finds the old end record, or none
            with part.open("rb") as file:
                os.fsync(file.fileno())
            os.replace(part, target.with_name(part.name))
        parts = [target.with_name(part.name) for part in parts]
        for stale in set(neighbours(target)) - set(parts):
            stale.unlink()
    return parts


def _members(files, base, target):
    """{member name: path}, sorted by name."""
    members = {}
    for given in map(Path, files):
        found = [given]
        if given.is_dir():
            found = [path for path in given.rglob("*") if path.is_symlink() or not path.is_dir()]
            links = [path for path in found if path.is_symlink()]
            if links:
                raise UserError(f"{links[0]}: is a symbolic link; put the file itself there, or name it on its own")
        for path in found:
            if not path.is_file():
                raise UserError(f"{path}: {'is not a plain file' if path.exists() else 'no such file or folder'}")
            if path.resolve() in {part.resolve() for part in (target, *neighbours(target))}:
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


# ---- unpacking ----


def unpack(zip_path, folder):
    """Unpack a split or an ordinary zip, which may come from anyone, into a folder.

    Everything is decompressed and verified in a folder `.unpack.<name of the folder>` on the same file system before
    the first file is put in place, so that a refused or damaged archive, or a full disk, leaves nothing behind. A
    folder that is not there yet then appears in one step, with all of its files. In one that is there every file is
    replaced in one step, but a run that is killed meanwhile may have put only some of them in place. Then
    `.unpack.<name>` is still there, in the folder or beside it; unpacking again removes it and puts all in place.
    Times and permissions are not restored.

    Args:
        zip_path: the last part, `NAME.zip`; the others lie beside it.
        folder: where to, made if missing.

    Returns:
        The paths of the files.

    Raises:
        UserError: a part is missing, damaged or swapped; or a member is refused: a name that leads elsewhere, a link
            or special file, a name twice, an encrypted member, more than `MAX_MEMBERS`, `MAX_TOTAL_SIZE` or
            `MAX_RATIO`; or another run is unpacking into the folder.
    """
    zip_path, folder = archive_path(zip_path), Path(folder).resolve()
    with open_split(zip_path) as (joined, archive):
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
                    _extract(zip_path, joined, archive, info, staging / info.filename, bar)
                _check_target(folder, infos)
                _install(staging, folder, infos)
            finally:
                shutil.rmtree(staging, ignore_errors=True)
    return [folder / info.filename for info in infos if not info.is_dir()]


def _install(staging, folder, infos):
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        os.rename(staging, folder)
        sync_directory(folder.parent)
        return
    changed = {folder}
    for info in infos:
        target = folder / info.filename
        if info.is_dir():
            target.mkdir(parents=True, exist_ok=True)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(staging / info.filename, target)
            changed.add(target.parent)
    for place in changed:
        sync_directory(place)


def _extract(zip_path, joined, archive, info, target, bar):
    (target if info.is_dir() else target.parent).mkdir(parents=True, exist_ok=True)
    if info.is_dir():
        return
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
    except DAMAGE as error:
        end = info.header_offset + 30 + len(info.orig_filename.encode()) + info.compress_size
        first, last = (joined.part_at(position).name for position in (info.header_offset, end - 1))
        where = first if first == last else f"{first} to {last}"
        raise UserError(
            f"{zip_path}: member {info.filename!r}, in {where}, is damaged: {error}. {advice(zip_path)}"
        ) from error


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
