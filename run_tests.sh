#!/usr/bin/env bash
# Checks the code's style and its imports, and runs the tests. Arguments go to pytest: bash run_tests.sh tests/cogmen -k graph
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/tools/steps.sh"
set_up "$ROOT/tests/requirements.lock"
cd "$ROOT"
export HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1
"$python" -m ruff check .
"$python" -m ruff format --check .
"$python" -c 'import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True, no_logo=True))'
"$python" -m pytest -n 2 --dist loadfile --no-loadscope-reorder -q "$@"
