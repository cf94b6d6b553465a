#!/usr/bin/env bash
#SBATCH --job-name=erc-graph
#SBATCH --time=08:00:00
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --gpus=1
#SBATCH --cpus-per-task=8
#SBATCH --mem=16G
#SBATCH --signal=B:TERM@300
#SBATCH --output=slurm/%x-%j.log
# The graph network: sbatch tools/slurm/graph.sh, from the repository's root. Five
# minutes before its time is up it is stopped; with --resume it goes on.
set -euo pipefail
cd "${SLURM_SUBMIT_DIR:-.}"
source tools/slurm/environment.sh
export HF_HUB_OFFLINE=1
exec python COGMEN_code/train.py --preprocessed_feature "$preprocessed" --modalities at --tag "$name" --from_begin "$@"
