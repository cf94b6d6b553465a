"""Pack files into a split zip (NAME.z01, NAME.z02, ..., NAME.zip), or unpack one.

    python COGMEN_code/archive.py pack --out data/sample/zip.zip --part_size_mb 10 --files A.pkl B.pkl --manifest
    python COGMEN_code/archive.py unpack --archive data/sample/zip.zip --out_dir data/sample --manifest

The archives are those of Info-ZIP's `zip -s`, whose tools are not needed. `--help` after `pack` or `unpack` lists its
options. An archive is verified whole before its first file is put in place. `unpack` makes a folder that is new in one
step; in one that is there it replaces file after file, each in one step. If it was killed between two of them, a folder
`.unpack.<name>` is left in it: run it again, which completes the work.
"""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

from erc.options import option, parse, run
from erc.split_zip import MIN_PART_SIZE, check_manifest, pack, unpack, write_manifest

MB = 1 << 20


@dataclass
class PackOptions:
    out: Path = option(help="the archive, named by its last part: NAME.zip")
    files: list[Path] = option(help="files, and folders of which all files are taken")
    part_size_mb: float = option(10.0, "largest size of a part, in MiB")
    base: Path | None = option(
        None, "folder that names in the archive are relative to; none: the one around each of FILES"
    )
    manifest: bool = option(False, "write SHA256SUMS of all archive parts in the folder of the archive")

    def __post_init__(self):
        if not MIN_PART_SIZE <= self.part_size_mb * MB < 1 << 32:
            raise ValueError(f"--part_size_mb: expected {MIN_PART_SIZE / MB} to 4095, found {self.part_size_mb}")


@dataclass
class UnpackOptions:
    archive: Path = option(help="the archive, named by its last part: NAME.zip")
    out_dir: Path = option(help="where the files go; made if missing, files there are replaced")
    manifest: bool = option(False, "compare the folder of the archive with its SHA256SUMS first")


def main(argv=None):
    argv = sys.argv[1:] if argv is None else argv
    commands = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, usage="archive.py {pack,unpack} ..."
    )
    commands.add_argument("command", choices=["pack", "unpack"], help="what to do")
    command = commands.parse_args(argv[:1]).command
    if command == "pack":
        options = parse(PackOptions, argv[1:], "archive.py pack: put files into a split zip.")
        paths = pack(options.out, options.files, int(options.part_size_mb * MB), options.base)
        if options.manifest:
            paths.append(write_manifest(options.out.parent))
    else:
        options = parse(UnpackOptions, argv[1:], "archive.py unpack: take the files out of a split zip.")
        if options.manifest:
            check_manifest(options.archive.parent)
        paths = unpack(options.archive, options.out_dir)
    for path in paths:
        print(f"{path.stat().st_size:>13,}  {path}")


if __name__ == "__main__":
    run(main)
