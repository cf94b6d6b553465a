"""Checksums of archive parts: a file `SHA256SUMS` beside them, in sha256sum's format.

    write_manifest("data/sample"), check_manifest("data/sample")

`sha256sum -c SHA256SUMS`, started in that folder, checks it too.
"""

import hashlib
import re
from pathlib import Path

from cogmen.options import UserError
from cogmen.safe_files import write_text

MANIFEST = "SHA256SUMS"


def write_manifest(folder):
    """Write `SHA256SUMS` for all archive parts in a folder; lines for other files in it are kept.

    Returns:
        The path of the manifest.

    Raises:
        UserError: there are no parts, or the manifest that is there already is not sha256sum's.
    """
    folder = Path(folder)
    if not (parts := _parts_in(folder)):
        raise UserError(f"{folder}: holds no archive parts (*.zip, *.z01, ...)")
    sums = _read_manifest(folder) if (folder / MANIFEST).exists() else {}
    sums = {name: digest for name, digest in sums.items() if not _is_part(name)}
    sums.update((part.name, _sha256(part)) for part in parts)
    write_text(folder / MANIFEST, "".join(f"{digest}  {name}\n" for name, digest in sorted(sums.items())))
    return folder / MANIFEST


def check_manifest(folder):
    """Compare a folder with its `SHA256SUMS`.

    Returns:
        The paths of the files that were compared.

    Raises:
        UserError: names every file that is missing, that differs, or that is an archive part without a line.
    """
    folder = Path(folder)
    sums = _read_manifest(folder)
    faults = [f"{part.name} has no line in it" for part in _parts_in(folder) if part.name not in sums]
    for name, digest in sums.items():
        if not (folder / name).is_file():
            faults.append(f"{name} is missing")
        elif (found := _sha256(folder / name)) != digest:
            same = [other for other, one in sums.items() if one == found]
            faults.append(f"{name} differs" + (f" (it is {same[0]})" if same else ""))
    if faults:
        raise UserError(f"{folder / MANIFEST}: {', '.join(faults)}. Copy the files again from where they came")
    return [folder / name for name in sums]


def _read_manifest(folder):
    """{file name: SHA-256 in hexadecimal}."""
    path, sums = folder / MANIFEST, {}
    if not path.is_file():
        raise UserError(f"{path}: no such file; `python COGMEN_code/archive.py pack ... --manifest` writes it")
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


def _sha256(path):
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
