"""Shared by all tests: no network, one thread, and a way to run the project's scripts."""

import importlib.util
import os
import sys

import pytest
from hypothesis import HealthCheck, settings

from erc.options import REPOSITORY
from tests.warm_python import start

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["OMP_NUM_THREADS"] = "1"

# HYPOTHESIS_PROFILE=nightly tries many more examples, other ones every time.
_SLOW = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
settings.register_profile("normal", max_examples=25, derandomize=True, deadline=None, suppress_health_check=_SLOW)
settings.register_profile("nightly", max_examples=2000, print_blob=True, deadline=None, suppress_health_check=_SLOW)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "normal"))


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    import torch

    torch.set_num_threads(1)


def load_script(path):
    """A script of the repository as a module, under a name of its own (two of them are called preprocess).

    As when it is run, it can import the modules beside it."""
    name = "script_" + path.replace("/", "_").removesuffix(".py")
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, REPOSITORY / path)
        sys.modules[name] = importlib.util.module_from_spec(spec)
        sys.path.insert(0, str((REPOSITORY / path).parent))
        spec.loader.exec_module(sys.modules[name])
        sys.path.pop(0)
    return sys.modules[name]


@pytest.fixture(scope="session")
def warm_python(tmp_path_factory):
    """The path of a program that is called as `python` is, and starts a script in a tenth of a second."""
    with start(tmp_path_factory.mktemp("warm")) as program:
        yield program


@pytest.fixture(scope="session")
def run_script():
    """`run_script("COGMEN_code/train.py", "--epochs", 3, ...)` calls the script's `main` in this process."""

    def call(path, *arguments):
        return load_script(path).main([str(argument) for argument in arguments])

    return call


def pytest_collection_modifyitems(items):
    """Put the file that takes longest first, so that no worker waits for the other one in the end."""
    items.sort(key=lambda item: item.path.name != "test_shell_scripts.py")
