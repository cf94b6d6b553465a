"""What is installed: the lock files have everything that the requirements ask for, each with hashes."""

import os
import re
import shutil
import subprocess
import tomllib
from importlib.metadata import distributions

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from erc.options import REPOSITORY

PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]


def requirements(path):
    """The requirements in a file, without comments and options, by canonical name."""
    lines = [line.split(" #")[0].strip() for line in (REPOSITORY / path).read_text().splitlines()]
    found = [Requirement(line) for line in lines if line and not line.startswith(("#", "-"))]
    return {canonicalize_name(one.name): one for one in found}


def locked(path):
    """What a lock file holds, pins with hashes and no addresses: `{canonical name: (requirement, its hashes)}`."""
    text = re.sub(r"(?m)^ *#.*\n", "", (REPOSITORY / path).read_text()).replace("\\\n", " ")
    entries = {}
    for line in text.splitlines():
        words = re.fullmatch(r"(\S+==[^\s*]+(?: ; .+?)?)((?: +--hash=sha256:[0-9a-f]{64})+) *", line)
        assert words, f"{path}: {line[:100]}"
        one = Requirement(words[1])
        assert canonicalize_name(one.name) not in entries, f"{one.name} is in {path} twice"
        entries[canonicalize_name(one.name)] = one, words[2].split()
    return entries


@pytest.mark.parametrize("folder", ["", "tests/"])
def test_lock_agrees_with_the_requirements(folder):
    lock = locked(f"{folder}requirements.lock")
    wanted = requirements(f"{folder}requirements.txt")
    assert wanted and all(lock[name][0].specifier == one.specifier for name, one in wanted.items() if name != "torch")


def test_both_locks_can_be_installed_together():
    lock, more = locked("requirements.lock"), locked("tests/requirements.lock")
    # Where they are installed may differ: the markers. The version and its hashes may not.
    pins = [{name: (one.specifier, hashes) for name, (one, hashes) in each.items()} for each in (lock, more)]
    assert [name for name in lock.keys() & more if pins[0][name] != pins[1][name]] == []
    assert "torch" not in lock.keys() | more


def test_a_lock_is_complete():
    """It is installed without looking at dependencies, so all those of the packages in it must be in it too."""
    lock = {**locked("requirements.lock"), **locked("tests/requirements.lock")}
    extras = {name: one.extras for name, one in requirements("requirements.txt").items()}
    looked_at = 0
    for name, (one, _) in lock.items():
        found = next(iter(distributions(name=name)), None)
        if found is None or not one.specifier.contains(found.version, prereleases=True):
            continue
        chosen = ["", *extras.get(name, ())]
        needed = [Requirement(text) for text in found.requires or []]
        needed = [need for need in needed if not need.marker or any(need.marker.evaluate({"extra": e}) for e in chosen)]
        missing = [need.name for need in needed if canonicalize_name(need.name) not in lock.keys() | {"torch"}]
        assert not missing, f"{name} needs {missing}"
        looked_at += 1
    assert looked_at > 40


def test_pins_lie_in_the_ranges():
    pins = requirements("requirements.txt")
    for one in map(Requirement, PROJECT["dependencies"]):
        (pin,) = pins[canonicalize_name(one.name)].specifier
        assert one.specifier.contains(pin.version), f"{one}, but {pin.version} is pinned"


@pytest.mark.parametrize(
    ("name", "version"), [("pytorch-lightning", "2.6.2"), ("pytorch-lightning", "2.6.3"), ("torch", "2.9.1")]
)
def test_versions_known_to_be_bad_are_excluded(name, version):
    (one,) = (one for one in map(Requirement, PROJECT["dependencies"]) if one.name == name)
    assert not one.specifier.contains(version)


PYTHON = """#!/usr/bin/env bash
# Stands in for Python: notes what pip is asked for.
case "$*" in
*import*) ;;
"-m venv"*) mkdir -p "${@: -1}/bin" && cp "$0" "${@: -1}/bin/python" ;;
*) echo "$*" >>"$LOG" && ! grep -qx broken requirements.lock ;;
esac
"""


def test_set_up_installs_the_locks_with_hashes_and_torch_by_name(tmp_path):
    root, log, stub = tmp_path / "root", tmp_path / "log", tmp_path / "bin" / "python3"
    locks = ("requirements.lock", "tests/requirements.lock")
    for name in ("requirements.txt", "pyproject.toml", "tools/steps.sh", *locks):
        (root / name).parent.mkdir(exist_ok=True, parents=True)
        shutil.copy(REPOSITORY / name, root / name)
    stub.parent.mkdir()
    stub.write_text(PYTHON)
    stub.chmod(0o755)

    def set_up(*locks):
        """What pip was asked to install."""
        log.write_text("")
        command = f'set -e; source "{root}/tools/steps.sh"; set_up {" ".join(map(str, locks))}; echo "$python"'
        environment = {**os.environ, "PATH": f"{stub.parent}:{os.environ['PATH']}", "LOG": str(log), "PYTHON": ""}
        settings = {"env": environment, "capture_output": True, "text": True, "check": True, "timeout": 240}
        result = subprocess.run(["bash", "-c", command], **settings)
        assert result.stdout.splitlines()[-1] == str(root / ".venv/bin/python")
        lines = log.read_text().splitlines()
        assert all(line.startswith(f"-m pip --python {root}/.venv/bin/python ") for line in lines)
        return [line.split(" install --quiet ")[1] for line in lines]

    with_hashes = f"--no-deps --require-hashes --requirement={root}/requirements.lock"
    torch = f"torch{requirements('requirements.txt')['torch'].specifier}"
    ours = "--no-deps --no-build-isolation --editable ."
    assert set_up() == [with_hashes, torch, ours]
    assert set_up() == []  # done already
    more = root / "tests/requirements.lock"
    assert set_up(more) == [f"{with_hashes} --requirement={more}", torch, ours]
    assert set_up(more) == []
    content = (root / "requirements.lock").read_text()
    (root / "requirements.lock").write_text("broken")
    with pytest.raises(subprocess.CalledProcessError):
        set_up(more)
    (root / "requirements.lock").write_text(content)
    assert set_up(more) != []  # what is there may be half of that
