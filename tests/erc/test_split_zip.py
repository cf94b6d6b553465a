"""Split zips: round trips, what is refused, what is said of damage, and Info-ZIP's own tools both ways."""

import os
import random
import re
import resource
import shutil
import signal
import struct
import subprocess
import sys
import warnings
import zipfile
import zlib

import pytest

from erc import split_zip
from erc.options import REPOSITORY, UserError
from erc.split_zip import check_manifest, pack, unpack, write_manifest

SCRIPT = "COGMEN_code/archive.py"
KIB = 1 << 10
needs_info_zip = pytest.mark.skipif(
    not (shutil.which("zip") and shutil.which("unzip")), reason="Info-ZIP's zip and unzip are not installed"
)


@pytest.fixture
def tiny_parts(monkeypatch):
    """Parts far below Info-ZIP's minimum, so that every boundary is met in a small archive."""
    monkeypatch.setattr(split_zip, "MIN_PART_SIZE", 1)
    monkeypatch.setattr(os, "fsync", lambda _: None)  # thousands of files: the disk would take most of the time


def noise(size, seed=0):
    return random.Random(seed).randbytes(size)


def make(folder, contents):
    for name, data in contents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def read(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def pack_all(tmp_path, contents, part_size, name="zip.zip"):
    source = make(tmp_path / "source", contents)
    (tmp_path / "parts").mkdir(exist_ok=True)
    return pack(tmp_path / "parts" / name, sorted(source.iterdir()), part_size)


def refused(zip_path, out, match):
    """Unpacking fails with that message and changes nothing, in the target or around it."""
    before = snapshot(out.parent)
    with pytest.raises(UserError, match=match) as caught:
        unpack(zip_path, out)
    assert snapshot(out.parent) == before
    assert len(str(caught.value)) < 500


def snapshot(folder):
    return {
        path: os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


# ---- round trips ----


CONTENTS = {
    "a.bin": noise(150_000),
    "empty": b"",
    "감정/대화 1/발화.txt": "안녕하세요".encode() * 1000,
    "nested/deeper/b.bin": noise(70_000, 1),
    "z\N{ZIPPER-MOUTH FACE}": b"z",
}


@pytest.mark.parametrize("part_size", [64 * KIB, 100_000, 1 << 20])
def test_round_trip(tmp_path, part_size):
    parts = pack_all(tmp_path, CONTENTS, part_size)
    files = unpack(parts[-1], tmp_path / "out")
    assert read(tmp_path / "out") == CONTENTS
    assert sorted(files) == sorted((tmp_path / "out").resolve() / name for name in CONTENTS)
    assert all(0 < part.stat().st_size <= part_size for part in parts)
    numbers = [f"zip.z{number:02d}" for number in range(1, len(parts))]
    assert [part.name for part in parts] == [*numbers, "zip.zip"]
    assert sorted(path.name for path in parts[0].parent.iterdir()) == sorted([*numbers, "zip.zip"])


def test_every_boundary(tmp_path, tiny_parts):
    """Whatever lies at the end of a part (a header, data, a record, the end record), nothing is lost."""
    contents = {"a": noise(90), "b/c": b"", "d": b"x" * 500, "e": noise(40, 1)}
    whole = pack_all(tmp_path, contents, 1 << 20)[0].stat().st_size
    for part_size in range(64, whole + 1):
        parts = pack_all(tmp_path, contents, part_size)
        unpack(parts[-1], tmp_path / "out")
        assert read(tmp_path / "out") == contents, part_size
        assert (len(parts) == 1) == (part_size >= whole)
        for part in parts:
            assert part.stat().st_size <= part_size
        for signature, size in ((b"PK\3\4", 30), (b"PK\1\2", 46), (b"PK\5\6", 22)):  # no fixed part is cut in two
            found = [part.read_bytes() for part in parts]
            assert sum(data.count(signature) for data in found) == (1 if size == 22 else len(contents))
            assert all(len(data) - data.rfind(signature) >= size for data in found if signature in data)
        last = parts[-1].read_bytes()
        assert struct.unpack_from("<2H", last, len(last) - 14) == (last.count(b"PK\1\2"), len(contents))
        shutil.rmtree(tmp_path / "out")


def test_one_part_is_an_ordinary_zip(tmp_path):
    (part,) = pack_all(tmp_path, CONTENTS, 1 << 20, "features.zip")
    with zipfile.ZipFile(part) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == sorted(CONTENTS)
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert {info.external_attr for info in archive.infolist()} == {0o100644 << 16}


def test_the_same_content_gives_the_same_bytes(tmp_path):
    first = pack_all(tmp_path / "1", CONTENTS, 64 * KIB)
    for path in make(tmp_path / "2" / "source", dict(reversed(CONTENTS.items()))).rglob("*"):
        path.chmod(0o755)
        os.utime(path, (1e9, 1e9))
    second = pack(tmp_path / "2" / "zip.zip", list((tmp_path / "2" / "source").iterdir())[::-1], 64 * KIB)
    assert [part.read_bytes() for part in first] == [part.read_bytes() for part in second]


def test_packing_again_replaces_and_clears_left_over_parts(tmp_path):
    pack_all(tmp_path, CONTENTS, 64 * KIB)
    parts = pack_all(tmp_path, {"a.bin": b"short"}, 128 * KIB)
    assert sorted(path.name for path in (tmp_path / "parts").iterdir()) == sorted(part.name for part in parts)
    unpack(parts[-1], tmp_path / "out")
    assert (tmp_path / "out" / "a.bin").read_bytes() == b"short"


# ---- packing refuses ----


def test_packing_refuses(tmp_path):
    source = make(tmp_path / "source", {"x/a": b"1", "y/a": b"2", "back\\slash": b""})
    (tmp_path / "empty").mkdir()
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "link").symlink_to(source / "x" / "a")
    os.mkfifo(tmp_path / "fifo")
    target = tmp_path / "t.zip"
    for files, settings_, match in [
        ([], {}, "no files to pack"),
        ([tmp_path / "empty"], {}, "no files to pack"),
        ([tmp_path / "gone"], {}, "gone: no such file"),
        ([tmp_path / "fifo"], {}, "not a plain file"),
        ([tmp_path / "linked"], {}, "link: is a symbolic link"),
        ([source / "back\\slash"], {}, "Windows path.*rename it"),
        ([source / "x" / "a", source / "y" / "a"], {}, "same name"),
        ([source / "x" / "a"], {"base": source / "y"}, "outside the base"),
        ([source / "x"], {"part_size": 1000}, "part size is 1000.*expected 65536"),
    ]:
        with pytest.raises(UserError, match=match):
            pack(target, files, **{"part_size": 64 * KIB, **settings_})
        assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "fifo", "linked", "source"]
    with pytest.raises(UserError, match=r"expected NAME\.zip"):
        pack(tmp_path / "t.tar", [source / "x"], 64 * KIB)
    pack(source / "x" / "t.zip", [source / "x"], 64 * KIB)
    with pytest.raises(UserError, match="part of the archive that is being made"):
        pack(source / "x" / "t.zip", [source / "x"], 64 * KIB)


def test_too_large_without_zip64(tmp_path):
    (tmp_path / "huge").touch()
    os.truncate(tmp_path / "huge", 5 << 30)  # sparse
    with pytest.raises(UserError, match="Zip64"):
        pack(tmp_path / "t.zip", [tmp_path / "huge"], 64 * KIB)
    assert [path.name for path in tmp_path.iterdir()] == ["huge"]


# ---- hostile archives ----


def hostile(tmp_path, *members):
    """An ordinary zip of (name or ZipInfo, data), as zipfile writes what it is told."""
    path = tmp_path / "hostile.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zipfile warns of a duplicate name
        for name, data in members:
            archive.writestr(name, data)
    return path


def patch(path, old, new, count=None):
    data = path.read_bytes()
    assert count is None or data.count(old) == count
    path.write_bytes(data.replace(old, new))
    return path


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("../evil", "leads elsewhere"),
        ("a/../../evil", "leads elsewhere"),
        ("./a", "leads elsewhere"),
        ("a//b", "leads elsewhere"),
        ("/etc/evil", "absolute"),
        ("C:evil", "drive letter"),
        ("..\\evil", "backslash"),
        ("a\nb", "control characters"),
        ("../evil/", "leads elsewhere"),
        ("a/" * 33 + "b", "more than 32 folders deep"),
        ("a" * 256, "too long"),
        ("aa/" * 31 + "a" * 250 + "/" + "b" * 250, "too long"),
    ],
)
def test_names_that_lead_elsewhere(tmp_path, name, match):
    refused(hostile(tmp_path, ("good", b"1"), (name, b"" if name.endswith("/") else b"2")), tmp_path / "out", match)


@pytest.mark.parametrize(("mode", "match"), [(0o120777, "symbolic link"), (0o020644, "plain"), (0o010644, "plain")])
def test_links_and_special_files(tmp_path, mode, match):
    info = zipfile.ZipInfo("link")
    info.create_system, info.external_attr = 3, mode << 16
    refused(hostile(tmp_path, ("good", b"1"), (info, b"/etc/passwd")), tmp_path / "out", match)


@pytest.mark.parametrize(
    ("members", "match"),
    [
        ([("a", b""), ("a/", b"")], "two members are named"),
        ([("a/b/c", b"1"), ("a/b", b"2")], "is a file and the folder of"),
        ([(zipfile.ZipInfo(""), b"1")], "leads elsewhere"),
        ([("folder/", b"")], "holds no files"),
        ([], "holds no files"),
    ],
)
def test_members_that_are_refused(tmp_path, members, match):
    refused(hostile(tmp_path, *members), tmp_path / "out", match)


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        (b"good.txtX", b"good.txt\0", "control characters"),
        (b"good.txtX", "감정감정x".encode("cp949"), "not UTF-8"),
        (struct.pack("<L", 1000), struct.pack("<L", 1001), "1000 bytes found, 1001 announced"),
    ],
)
def test_names_and_sizes_that_are_forged(tmp_path, old, new, match):
    refused(patch(hostile(tmp_path, ("good.txtX.exe", noise(1000))), old, new, 2), tmp_path / "out", match)


@pytest.mark.parametrize(
    ("field", "value", "match"), [(8, 1, "'a' is encrypted"), (10, zipfile.ZIP_LZMA, "'a' has compression method 14")]
)
def test_encrypted_or_compressed_in_another_way(tmp_path, field, value, match):
    path = hostile(tmp_path, ("a", b"1"))
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\1\2") + field] = value
    path.write_bytes(data)
    refused(path, tmp_path / "out", match)


def test_bomb_by_ratio(tmp_path, monkeypatch):
    monkeypatch.setattr(split_zip, "RATIO_FREE_SIZE", 1 << 20)
    unpack(hostile(tmp_path, ("zeros", bytes(1 << 20))), tmp_path / "small")
    refused(hostile(tmp_path, ("zeros", bytes((1 << 20) + 1))), tmp_path / "out", "100 times.*zip bomb")


@pytest.mark.parametrize(
    ("limit", "value", "match"),
    [
        ("MAX_TOTAL_SIZE", 1000, "unpacks to 1001 bytes, more than 1000"),
        ("MAX_MEMBERS", 1, "it holds 2 members, more than 1"),
        ("_MAX_DIRECTORY", 93, "its directory has 94 bytes, more than 93"),
    ],
)
def test_an_archive_that_is_too_large(tmp_path, monkeypatch, limit, value, match):
    monkeypatch.setattr(split_zip, limit, value)
    refused(hostile(tmp_path, ("a", noise(600)), ("b", noise(401))), tmp_path / "out", match)


def test_a_bomb_that_lies_about_its_size(tmp_path):
    """5 MiB announced as 1000 bytes, even with the checksum of these 1000: no more than 1000 bytes are ever made."""
    zeros = bytes(5 << 20)
    path = patch(hostile(tmp_path, ("zeros", zeros)), struct.pack("<L", len(zeros)), struct.pack("<L", 1000), 2)
    refused(path, tmp_path / "out", "'zeros', in hostile.zip, is damaged: Bad CRC")
    patch(path, struct.pack("<L", zlib.crc32(zeros)), struct.pack("<L", zlib.crc32(bytes(1000))), 2)
    (file,) = unpack(path, tmp_path / "out")
    assert file.stat().st_size == 1000


def test_more_than_the_disk_holds(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=10))
    refused(hostile(tmp_path, ("a", bytes(11))), tmp_path / "out", "needs 11 bytes, but the disk has 10 free")


def test_zip64_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "t.zip", "w") as archive, archive.open("a", "w", force_zip64=True) as member:
        member.write(b"1")
    path = tmp_path / "t.zip"
    unpack(path, tmp_path / "out")  # a Zip64 local header alone is no obstacle
    data = path.read_bytes()
    path.write_bytes(data[:-22] + b"PK\6\7" + bytes(16) + data[-22:])
    refused(path, tmp_path / "out2", "Zip64 archive")
    path.write_bytes(data[:-12] + b"\xff" * 8 + data[-4:])
    refused(path, tmp_path / "out2", "Zip64 archive")


# ---- the target ----


def test_nothing_goes_through_a_link_in_the_target(tmp_path):
    parts = pack_all(tmp_path, {"a": b"new", "d/b": b"new"}, 64 * KIB)
    outside = make(tmp_path / "outside", {"b": b"mine"})
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "d").symlink_to(outside)
    refused(parts[-1], tmp_path / "out", "out/d: is a symbolic link")
    (tmp_path / "out" / "d").unlink()
    (tmp_path / "out" / "a").symlink_to(outside / "b")
    refused(parts[-1], tmp_path / "out", "out/a: is a symbolic link")
    assert read(outside) == {"b": b"mine"}


def test_things_in_the_way(tmp_path):
    parts = pack_all(tmp_path, {"a": b"1", "d/b": b"1"}, 64 * KIB)
    make(tmp_path / "1", {"a/folder": b""})
    refused(parts[-1], tmp_path / "1", "1/a: is in the way")
    make(tmp_path / "2", {"d": b"file"})
    refused(parts[-1], tmp_path / "2", "2/d: is in the way")
    make(tmp_path, {"3": b"file"})
    refused(parts[-1], tmp_path / "3", "3: is in the way")


# ---- faults while unpacking ----


class Killed(BaseException):
    """Stands for the end of the process."""


def killed_at(monkeypatch, call, nth=1):
    """Unpacking ends at the nth call of a function of `os`, and nothing is cleaned up, as after `kill -9`."""
    real, calls = getattr(os, call), iter(range(1, 1000))

    def fail(*arguments, **named):
        if next(calls) == nth:
            raise Killed
        return real(*arguments, **named)

    monkeypatch.setattr(os, call, fail)
    rmtree = shutil.rmtree
    monkeypatch.setattr(shutil, "rmtree", lambda path, **_: None if sys.exc_info()[0] else rmtree(path, **_))


@pytest.mark.parametrize("nth", [1, 2, 3])
def test_a_killed_run_is_completed_by_the_next(tmp_path, monkeypatch, nth):
    new = {name: b"new" for name in ("a", "b", "d/c")}
    parts = pack_all(tmp_path, new, 64 * KIB)
    make(tmp_path / "out", dict.fromkeys(new, b"old"))
    with monkeypatch.context() as patch, pytest.raises(Killed):
        killed_at(patch, "replace", nth)
        unpack(parts[-1], tmp_path / "out")
    files = {name: (tmp_path / "out" / name).read_bytes() for name in new}
    assert sorted(files.values()) == sorted([b"new"] * (nth - 1) + [b"old"] * (4 - nth))
    assert (tmp_path / "out" / ".unpack.out").is_dir()  # tells that it was not finished
    unpack(parts[-1], tmp_path / "out")
    assert read(tmp_path / "out") == new


def test_a_folder_that_is_not_there_appears_in_one_step(tmp_path, monkeypatch):
    parts = pack_all(tmp_path, {"a": b"1", "d/b": b"2", "d/empty": b""}, 64 * KIB)
    for call, nth in (("fsync", 2), ("rename", 1)):
        with monkeypatch.context() as patch, pytest.raises(Killed):
            killed_at(patch, call, nth)
            unpack(parts[-1], tmp_path / "new" / "out")
        assert not (tmp_path / "new" / "out").exists()
    unpack(parts[-1], tmp_path / "new" / "out")
    assert read(tmp_path / "new") == {"out/a": b"1", "out/d/b": b"2", "out/d/empty": b""}


def test_a_second_run_into_the_same_folder_is_refused(tmp_path, monkeypatch):
    parts = pack_all(tmp_path, {"a": b"1"}, 64 * KIB)
    make(tmp_path / "out", {"old": b"kept"})
    replace = os.replace

    def meanwhile(*arguments):
        with pytest.raises(UserError, match="another run is writing it"):
            unpack(parts[-1], tmp_path / "out")
        return replace(*arguments)

    monkeypatch.setattr(os, "replace", meanwhile)
    unpack(parts[-1], tmp_path / "out")
    assert read(tmp_path / "out") == {"a": b"1", "old": b"kept"}


def test_a_full_disk_is_named_and_leaves_what_was_there(tmp_path):
    """RLIMIT_FSIZE stands for the disk; it holds for a whole process, so that the scripts run in their own."""
    parts = pack_all(tmp_path, {"a": noise(5000), "big": noise(50_000)}, 64 * KIB)
    make(tmp_path / "out", {"big": b"old"})
    make(tmp_path / "packed", {"zip.zip": b"old"})
    for arguments, named in (
        (["unpack", "--archive", parts[-1], "--out_dir", tmp_path / "out"], r"out/\.unpack\.out/big: File too large"),
        (["pack", "--out", tmp_path / "packed/zip.zip", "--files", tmp_path / "source"], r"zip\.zip: File too large"),
    ):
        before = snapshot(tmp_path)
        done = subprocess.run(
            [sys.executable, REPOSITORY / SCRIPT, *map(str, arguments)],
            capture_output=True,
            text=True,
            preexec_fn=lambda: (
                signal.signal(signal.SIGXFSZ, signal.SIG_IGN),
                resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000)),
            ),
            timeout=240,
        )
        assert done.returncode == 1 and re.search(f"^error: .*{named}\n$", done.stderr), done.stderr
        assert snapshot(tmp_path) == before


# ---- missing, damaged, swapped parts ----


@pytest.fixture
def parts(tmp_path):
    """zip.z01 to zip.z04 and zip.zip; big.bin begins in the first part and ends in the last."""
    return pack_all(tmp_path, {"a.txt": b"first", "big.bin": noise(4 * 64 * KIB + 1000)}, 64 * KIB)


def test_missing_parts(tmp_path, parts):
    parts[1].unlink()
    found = "zip.zip: zip.z02; found zip.z01, zip.z03, zip.z04.*Copy all 5 parts into one folder"
    refused(parts[-1], tmp_path / "out", f"missing beside .*{found}")
    parts[0].unlink()
    parts[-1].unlink()
    refused(parts[-1], tmp_path / "out", "zip.zip: no such file; found zip.z03, zip.z04. .*the .zip")
    refused(tmp_path / "nowhere" / "zip.zip", tmp_path / "out", "found none of its parts")
    refused(parts[2], tmp_path / "out", "expected NAME.zip")


def test_parts_that_do_not_belong(tmp_path, parts):
    shutil.copy(parts[0], parts[0].with_name("zip.z05"))
    refused(parts[-1], tmp_path / "out", "is the last of 5 parts, but zip.z05 of another archive")
    parts[0].with_name("zip.z05").unlink()
    first = parts[0].read_bytes()
    parts[0].write_bytes(b"XX" + first[2:])
    refused(parts[-1], tmp_path / "out", "zip.z01: does not begin as the first part of a split zip")
    parts[0].unlink()
    os.mkfifo(parts[0])  # to read it would wait for ever
    refused(parts[-1], tmp_path / "out", "zip.z01: is not a plain file")
    last = bytearray(parts[-1].read_bytes())
    last[-18:-16] = struct.pack("<H", 60_000)
    parts[-1].write_bytes(last)
    parts[0].unlink()
    refused(parts[-1], tmp_path / "out", "zip.z08 and 59992 more; found")


@pytest.mark.parametrize("number", range(5))
def test_a_corrupt_byte_in_every_part(tmp_path, parts, number):
    data = bytearray(parts[number].read_bytes())
    data[200] ^= 1
    parts[number].write_bytes(data)
    refused(parts[-1], tmp_path / "out", "member 'big.bin', in zip.z01 to zip.zip, is damaged.*copy them again")


@pytest.mark.parametrize("number", range(5))
@pytest.mark.parametrize("left", [0, 150, -1])
def test_a_truncated_part(tmp_path, parts, number, left):
    parts[number].write_bytes(parts[number].read_bytes()[:left])
    refused(parts[-1], tmp_path / "out", "damaged|does not begin|has no end record")


@pytest.mark.parametrize("pair", [(0, 1), (1, 2), (1, 4)])
def test_swapped_parts(tmp_path, parts, pair):
    write_manifest(parts[0].parent)
    one, other = (parts[number] for number in pair)
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)
    refused(parts[-1], tmp_path / "out", "is damaged|does not begin|has no end record")
    with pytest.raises(UserError, match=rf"{one.name} differs \(it is {other.name}\)"):
        check_manifest(one.parent)


def test_no_flipped_byte_changes_what_is_unpacked(tmp_path, tiny_parts):
    """Wherever the flip is, the archive is refused, or it was in a field (a time, a version) that does not matter."""
    contents = {"a": noise(60), "b/c": b"text " * 20}
    parts, refusals, total = pack_all(tmp_path, contents, 120), 0, 0
    assert len(parts) > 2
    for part in parts:
        good = part.read_bytes()
        for at in range(len(good)):
            part.write_bytes(good[:at] + bytes([good[at] ^ 0x11]) + good[at + 1 :])
            total += 1
            try:
                unpack(parts[-1], tmp_path / "out")
            except UserError:
                refusals += 1
                assert not (tmp_path / "out").exists()
            else:
                assert read(tmp_path / "out") == contents
                shutil.rmtree(tmp_path / "out")
        part.write_bytes(good)
    assert refusals > total / 2


# ---- the manifest ----


@pytest.mark.skipif(not shutil.which("sha256sum"), reason="sha256sum is not installed")
def test_sha256sum_reads_the_manifest(parts):
    folder = write_manifest(parts[0].parent).parent
    command = ["sha256sum", "-c", "--strict", "SHA256SUMS"]
    assert subprocess.run(command, cwd=folder, capture_output=True, check=True, timeout=240).stdout.count(b": OK") == 5


def test_manifest(tmp_path, parts):
    folder = parts[0].parent
    other = "0" * 64 + "  notes.txt\n"
    (folder / "SHA256SUMS").write_text(other + "1" * 64 + "  zip.z77\n")
    text = write_manifest(folder).read_text()
    assert other in text and "z77" not in text  # other files' lines stay, those of parts that are gone do not
    assert write_manifest(folder).read_text() == text
    (folder / "SHA256SUMS").write_text(text.replace(other, ""))
    assert check_manifest(folder) == sorted(parts)
    parts[3].unlink()
    shutil.copy(parts[0], folder / "new.zip")
    with pytest.raises(UserError, match="holds no archive parts"):
        write_manifest(tmp_path)
    with pytest.raises(UserError, match=r"new.zip has no line in it, zip.z04 is missing\. Copy"):
        check_manifest(folder)


@pytest.mark.parametrize("line", ["hello", "0" * 63 + "  a.zip", "0" * 64 + "  ../a.zip", "0" * 64 + "  .."])
def test_a_manifest_that_is_none(tmp_path, line):
    (tmp_path / "SHA256SUMS").write_text("0" * 64 + "  ok.zip\n" + line + "\n")
    with pytest.raises(UserError, match="SHA256SUMS: line 2 is not"):
        check_manifest(tmp_path)


# ---- Info-ZIP ----


@needs_info_zip
@pytest.mark.parametrize("part_size", ["64k", "100k", "1m"])
def test_what_zip_packs_is_unpacked(tmp_path, part_size):
    source = make(tmp_path / "source", CONTENTS)
    command = ["zip", "-q", "-r", "-s", part_size, str(tmp_path / "zip.zip"), "."]
    subprocess.run(command, cwd=source, check=True, timeout=240)
    unpack(tmp_path / "zip.zip", tmp_path / "out")
    assert read(tmp_path / "out") == CONTENTS


@needs_info_zip
@pytest.mark.parametrize("part_size", [64 * KIB, 70_000, 128 * KIB])
def test_what_is_packed_is_unpacked_by_zip_and_unzip(tmp_path, part_size):
    """At 64 and 128 KiB it is the part size of one byte less that keeps `zip -s 0` from losing data."""
    parts = pack_all(tmp_path, {**CONTENTS, "c.bin": noise(400_000, 2)}, part_size)
    assert len(parts) > 3
    joined, out = tmp_path / "joined.zip", tmp_path / "out"
    subprocess.run(["zip", "-q", "-s", "0", str(parts[-1]), "--out", str(joined)], check=True, timeout=240)
    subprocess.run(
        ["unzip", "-q", str(joined), "-d", str(out)], check=True, env={**os.environ, "LC_ALL": "C.UTF-8"}, timeout=240
    )
    assert read(out) == {**CONTENTS, "c.bin": noise(400_000, 2)}


# ---- the script ----


def test_script_packs_and_unpacks(tmp_path, run_script, capsys):
    source = make(tmp_path / "source", CONTENTS)
    out, files = tmp_path / "parts" / "zip.zip", [str(path) for path in source.iterdir()]
    run_script(
        SCRIPT, "pack", "--out", out, "--part_size_mb", 0.0625, "--base", source, "--files", *files, "--manifest"
    )
    names = ["SHA256SUMS", "zip.z01", "zip.z02", "zip.z03", "zip.zip"]
    assert sorted(path.name for path in out.parent.iterdir()) == names
    printed = capsys.readouterr().out
    assert all(name in printed for name in names)
    run_script(SCRIPT, "unpack", "--archive", out, "--out_dir", tmp_path / "out", "--manifest")
    assert read(tmp_path / "out") == CONTENTS
    assert "150,000  " in capsys.readouterr().out


def test_script_checks_the_manifest_first(tmp_path, run_script, parts):
    arguments = ("unpack", "--archive", parts[-1], "--out_dir", tmp_path / "out", "--manifest")
    with pytest.raises(UserError, match="SHA256SUMS: no such file"):
        run_script(SCRIPT, *arguments)
    write_manifest(parts[0].parent)
    parts[2].write_bytes(b"damaged")
    with pytest.raises(UserError, match=r"zip.z03 differs\."):
        run_script(SCRIPT, *arguments)
