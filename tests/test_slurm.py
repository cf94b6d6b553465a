"""The job files of tools/slurm: what SLURM reads of them, and the commands that they start, as bash expands them."""

import os
import re
import shutil
import subprocess

import pytest

from erc.options import REPOSITORY
from tests.test_commands import check

FOLDER = REPOSITORY / "tools/slurm"
JOBS = ("train", "extract", "merge", "graph", "tune")
# What SLURM takes, of which the files use a part.
FORMS = {
    "job-name": r"[a-z-]+",
    "time": r"\d\d:\d\d:\d\d",
    "nodes": r"[1-9]\d*",
    "ntasks": r"[1-9]\d*",
    "ntasks-per-node": r"[1-9]\d*",
    "cpus-per-task": r"[1-9]\d*",
    "gpus": r"[1-9]\d*",
    "gpus-per-node": r"[1-9]\d*",
    "mem": r"[1-9]\d*[MG]",
    "array": r"\d+-\d+",
    "signal": r"(B:)?TERM@\d+",
    "output": r"slurm/(%[xjAa]|[-_.a-z])+",
}
STORAGE = "postgresql+psycopg://user@host/optuna"


def settings(job):
    """What the `#SBATCH` lines say; they stand together, right below the shebang, where SLURM looks for them."""
    first, *lines = (FOLDER / f"{job}.sh").read_text().splitlines()
    assert first == "#!/usr/bin/env bash"
    count = next(k for k, line in enumerate(lines) if not line.startswith("#SBATCH "))
    assert not any("#SBATCH" in line for line in lines[count:])
    found = {}
    for line in lines[:count]:
        option, value = re.fullmatch(r"#SBATCH --([a-z-]+)=(\S+)", line).groups()
        assert option not in found and re.fullmatch(FORMS[option], value), line
        found[option] = value
    return found


@pytest.fixture
def started(tmp_path):
    """Runs a job in a copy of the folder, whose programs only write down how they were called; gives the calls."""
    shutil.copytree(FOLDER, tmp_path / "tools/slurm")
    shutil.copy(REPOSITORY / "tools/steps.sh", tmp_path / "tools")
    programs, calls = tmp_path / ".venv/bin", tmp_path / "calls"
    programs.mkdir(parents=True)
    for name, body in (("python", 'printf "%q " python "$@"'), ("hf", 'echo hf "$@"')):
        (programs / name).write_text(f"#!/bin/sh\nexec bash -c '{{ {body}; echo; }} >>{calls}' - \"$@\"\n")
    (programs / "srun").write_text('#!/bin/sh\nexec "$@"\n')
    for program in programs.iterdir():
        program.chmod(0o755)

    def call(job, *arguments, **environment):
        calls.unlink(missing_ok=True)
        settings = {"PATH": os.environ["PATH"], "SLURM_SUBMIT_DIR": str(tmp_path), **environment}
        command = ["bash", tmp_path / f"tools/slurm/{job}.sh", *arguments]
        subprocess.run(command, env=settings, cwd=tmp_path, check=True, timeout=60)
        found = calls.read_text().replace("\\\n", "").splitlines()
        return [line for line in found if line.strip() and " -c " not in line]

    return call


@pytest.mark.parametrize("job", JOBS)
def test_what_slurm_reads(job):
    found, text = settings(job), (FOLDER / f"{job}.sh").read_text()
    assert {"job-name", "time", "cpus-per-task", "mem", "output", "nodes"} <= found.keys()
    assert ("gpus" in found or "gpus-per-node" in found) == (job != "merge")
    assert "\nset -euo pipefail\n" in text and "\nexport HF_HUB_OFFLINE=1\n" in text
    assert os.access(FOLDER / f"{job}.sh", os.X_OK)


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.sh")), ids=lambda path: path.stem)
def test_bash_reads_them(path):
    subprocess.run(["bash", "-n", path], check=True)


@pytest.mark.parametrize(
    ("job", "arguments", "environment", "number"),
    [
        ("setup", (), {"PYTHON": "python"}, 3),
        ("train", ("--resume",), {}, 1),
        ("extract", (), {"SLURM_ARRAY_TASK_ID": "3", "SLURM_ARRAY_TASK_COUNT": "16"}, 1),
        ("merge", (), {}, 2),
        ("graph", (), {}, 1),
        ("tune", (), {"STORAGE": STORAGE}, 1),
    ],
)
def test_the_commands_of_a_job(started, monkeypatch, tmp_path, job, arguments, environment, number):
    if job == "setup":
        environment["PYTHON"] = str(tmp_path / ".venv/bin/python")
    calls = started(job, *arguments, **environment)
    assert len(calls) == number
    for call in calls:
        if call.startswith("python "):
            check(call, monkeypatch, tmp_path)
        else:
            assert re.fullmatch(r"hf download [\w-]+/[\w-]+", call)


def test_each_job_reads_what_the_one_before_it_wrote(started, tmp_path):
    place = {"DIALOGUES": "d/x", "NAME": "run", "TABLE": "t.csv"}
    made = started("setup", PYTHON=str(tmp_path / ".venv/bin/python"), **place)
    assert "--out d/x " in made[-1] and "--csv_path t.csv" in made[-1]
    assert "--exp_name run " in started("train", **place)[0]
    again = started("extract", SLURM_ARRAY_TASK_ID="3", SLURM_ARRAY_TASK_COUNT="1", JOBS="16", **place)[0]
    assert "--shard 3/16" in again and "--features_format_path d/x " in again and "checkpoint/run/best.ckpt" in again
    merge, preprocess = started("merge", **place)
    assert "--features_format_path d/x " in merge and "--feat_dir d/x_feat " in preprocess
    assert "--preprocessed_feature d/x_feat_preprocessed " in started("graph", **place)[0]
    assert "--preprocessed_feature d/x_feat_preprocessed " in started("tune", STORAGE=STORAGE, **place)[0]


def test_processes_fit_the_machines(started):
    found = settings("train")
    assert found["ntasks-per-node"] == found["gpus-per-node"]
    command = started("train")[0]
    assert f"--devices {found['gpus-per-node']} " in command and f"--num_nodes {found['nodes']} " in command
    for job in ("train", "extract"):  # a core for the process itself
        workers = re.search(r"--num_workers (\d+)", (FOLDER / f"{job}.sh").read_text())[1]
        assert int(workers) == int(settings(job)["cpus-per-task"]) - 1


def test_a_search_without_a_database_is_refused(started):
    with pytest.raises(subprocess.CalledProcessError):
        started("tune")
