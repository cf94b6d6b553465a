#!/usr/bin/env bash
# One GPU's speed, memory and agreement with the CPU, as a table for docs/benchmarks.md, in less than nine minutes.
#
#   bash benchmarks/gpu.sh            on a GPU; without one, at a tiny size
#   bash benchmarks/gpu.sh --help     the options of benchmarks/gpu.py
#
# Takes .venv if that is there, else python3, or PYTHON=<interpreter>; installs nothing and needs no network.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=${PYTHON:-}
[[ -n $python ]] || { [[ -x .venv/bin/python ]] && python=.venv/bin/python || python=python3; }
export PYTHONPATH="$PWD:$PWD/MIRAI:$PWD/COGMEN_code" HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false
exec timeout 530 "$python" benchmarks/gpu.py "$@"
