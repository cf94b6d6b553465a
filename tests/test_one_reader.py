"""Files from elsewhere are read, and files are written, in one place: looked for in the syntax of every module."""

import ast
import functools

import pytest

from erc.options import REPOSITORY

MODULES = sorted(
    path.relative_to(REPOSITORY).as_posix()
    for folder in ("COGMEN_code", "MIRAI", "benchmarks")
    for path in (REPOSITORY / folder).rglob("*.py")
)
CORE = "COGMEN_code/cogmen/"

# By dotted name, or by a method's name after a dot: the modules that may use it.
UNPICKLE = {
    **dict.fromkeys(("pickle.load", "pickle.loads", "pickle.Unpickler", "marshal.*", "shelve.*", "dill.*"), ()),
    **dict.fromkeys(("joblib.*", "cloudpickle.*", "torch.load", "torch.jit.load", "pandas.read_pickle"), ()),
    **dict.fromkeys(("numpy.loadtxt", "numpy.genfromtxt", "yaml.*"), ()),
    **dict.fromkeys(("builtins.eval", "builtins.exec"), ()),
    ".load_from_checkpoint": (),
    "numpy.load": ("MIRAI/mirai/extraction.py",),  # the extraction's own finished parts, allow_pickle=False
}
ARCHIVES = {
    "zipfile.*": (
        CORE + "archives.py",
        CORE + "split_zip.py",
        CORE + "inert_checkpoints.py",
        "MIRAI/mirai/extraction.py",
    ),
    "tarfile.*": (),
    "shutil.unpack_archive": (),
    "shutil.make_archive": (),
}
WRITE = {
    "pickle.dump": (CORE + "safe_files.py",),
    "torch.save": (CORE + "safe_files.py",),
    **dict.fromkeys(("pickle.dumps", "json.dump", "numpy.save", "numpy.savetxt", "soundfile.write"), ()),
    **dict.fromkeys((".write_bytes", ".to_csv", ".to_pickle", ".to_json", ".tofile"), ()),
    "os.fdopen": (CORE + "safe_files.py",),
    "tempfile.NamedTemporaryFile": (),
    "shutil.copy": (),
    "shutil.copyfile": (),
    "shutil.copy2": (),
    "shutil.copytree": (),
    "shutil.move": (),
    # a whole corpus is made in a folder of its own, which is then renamed
    ".write_text": ("MIRAI/mirai/sample/corpus.py",),
    "numpy.savez": ("MIRAI/mirai/extraction.py",),  # into an atomic_writer
    "open to write": (
        CORE + "claims.py",  # a lock file, which holds nothing
        CORE + "locks.py",
        CORE + "study.py",  # Optuna's journal, of which a cut last line is taken off
        CORE + "archives.py",  # what is unpacked goes to a folder of its own first
        CORE + "split_zip.py",  # and so do the parts of an archive that is made
        "MIRAI/mirai/sample/corpus.py",
    ),
}
READERS = "read_pickle, read_torch (erc.files), unpack (erc.split_zip)"
WRITERS = "atomic_writer, write_text, write_json, write_pickle, write_torch (erc.files)"


@functools.cache
def uses(module):
    """[(what, line)] of everything in a module that a rule could be about."""
    return list(_uses(module))


def _uses(module):
    tree = ast.parse((REPOSITORY / module).read_text())
    names = {"open": "builtins.open", "eval": "builtins.eval", "exec": "builtins.exec"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for item in node.names:
                names[item.asname or item.name.split(".")[0]] = item.name if item.asname else item.name.split(".")[0]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.update({item.asname or item.name: f"{node.module}.{item.name}" for item in node.names})

    def dotted(node):
        if isinstance(node, ast.Name):
            return names.get(node.id)
        base = dotted(node.value) if isinstance(node, ast.Attribute) else None
        return f"{base}.{node.attr}" if base else None

    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.Attribute) and (name := dotted(node)):
            yield name, node.lineno
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and not dotted(node.func):
            yield f".{node.func.attr}", node.lineno
        if isinstance(node, ast.Call) and _opens_to_write(node, dotted(node.func)):
            yield "open to write", node.lineno


def _opens_to_write(call, name):
    """`open(path, "wb")`, `path.open("w")`, `wave.open(path, "wb")`; of a function, any mode that is no literal."""
    is_method = name is None and isinstance(call.func, ast.Attribute) and call.func.attr == "open"
    if not is_method and name not in ("builtins.open", "io.open", "wave.open", "codecs.open", "gzip.open"):
        return False
    modes = [argument.value for argument in call.keywords if argument.arg == "mode"]
    if not is_method:
        modes = modes or call.args[1:2]
        return any(not isinstance(mode, ast.Constant) or _is_write(mode.value) for mode in modes)
    return any(isinstance(mode, ast.Constant) and _is_write(mode.value) for mode in modes + call.args[:2])


def _is_write(mode):
    return isinstance(mode, str) and set(mode) <= set("rwaxbt+") and bool(set(mode) & set("wax+"))


def broken(module, rules):
    for name, line in uses(module):
        for rule, allowed in rules.items():
            package = rule.removesuffix(".*")
            if (name == rule or (rule.endswith(".*") and name.split(".")[0] == package)) and module not in allowed:
                yield f"{module}:{line}: {name}"


@pytest.mark.parametrize(
    ("rules", "instead"),
    [(UNPICKLE, READERS), (ARCHIVES, READERS), (WRITE, WRITERS)],
    ids=["unpickle", "archives", "write"],
)
def test_nothing_goes_around_the_safe_readers_and_writers(rules, instead):
    assert len(MODULES) > 40
    # what a benchmark writes is its own input, in a temporary folder
    modules = [module for module in MODULES if rules is not WRITE or not module.startswith("benchmarks/")]
    found = sorted({place for module in modules for place in broken(module, rules)})
    assert not found, f"use {instead} instead of\n" + "\n".join(found)


@pytest.mark.parametrize("rules", [UNPICKLE, ARCHIVES, WRITE], ids=["unpickle", "archives", "write"])
def test_every_exception_is_needed(rules):
    for rule, allowed in rules.items():
        for module in allowed:
            assert list(broken(module, {rule: ()})), f"{module} does not use {rule} any more: remove the exception"


@pytest.mark.parametrize(
    ("source", "rule"),
    [
        ("import pickle as p\np.loads(x)", "pickle.loads"),
        ("from pickle import Unpickler\nclass A(Unpickler): pass", "pickle.Unpickler"),
        ("import torch\ndef f():\n    torch.load(p)", "torch.load"),
        ("import numpy as np\nnp.load(p)", "numpy.load"),
        ("from joblib import load\nload(p)", "joblib.*"),
        ("from zipfile import ZipFile\nZipFile(p)", "zipfile.*"),
        ("open(p, 'wb')", "open to write"),
        ("open(p, mode='a')", "open to write"),
        ("open(p, mode)", "open to write"),
        ("from pathlib import Path\nPath(p).open('w')", "open to write"),
        ("path.write_bytes(b'')", ".write_bytes"),
        ("frame.to_csv(path)", ".to_csv"),
        ("eval(text)", "builtins.eval"),
    ],
)
def test_the_search_finds(tmp_path, source, rule):
    (tmp_path / "module.py").write_text(source)
    assert list(broken(str(tmp_path / "module.py"), {rule: ()}))


@pytest.mark.parametrize(
    "source", ["open(p)", "path.open('rb')", "archive.open(info)", "pattern.compile('x')", "load(p)", "import pickle"]
)
def test_the_search_leaves_alone(tmp_path, source):
    (tmp_path / "module.py").write_text(source)
    assert not list(broken(str(tmp_path / "module.py"), UNPICKLE | ARCHIVES | WRITE))
