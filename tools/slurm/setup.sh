#!/usr/bin/env bash
# On a login node, which has a network: the Python environment and both encoders, and the dialogue files.
#
#   bash tools/slurm/setup.sh
#
# The table comes from MIRAI/preprocess.py. The environment's torch is what pip's index offers; for GPUs, PyPI's.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
source tools/steps.sh
# shellcheck disable=SC2119 # no further lock
set_up
source tools/slurm/environment.sh
hf download klue/roberta-base
hf download w11wo/wav2vec2-xls-r-300m-korean
mkdir -p slurm
python COGMEN_code/cogmen_formatting.py --csv_path "$table" --out "$dialogues" --shards "$shards"
