#!/usr/bin/env bash
#SBATCH --job-name=erc-tune
#SBATCH --array=1-8
#SBATCH --time=12:00:00
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --gpus=1
#SBATCH --cpus-per-task=4
#SBATCH --mem=16G
#SBATCH --signal=B:TERM@300
#SBATCH --output=slurm/%x-%A_%a.log
# A search of options that 8 jobs share through a PostgreSQL database, which all nodes reach:
#   STORAGE=postgresql+psycopg://<user>@<host>/<database> sbatch tools/slurm/tune.sh
# The password stands in ~/.pgpass, where PostgreSQL's library looks for it. More jobs may join at any time.
set -euo pipefail
cd "${SLURM_SUBMIT_DIR:-.}"
source tools/slurm/environment.sh
export HF_HUB_OFFLINE=1
: "${STORAGE:?give the database, as the head of this file says}"
exec python COGMEN_code/tune.py --preprocessed_feature "$preprocessed" --modalities at --tag "$name" --trials 200 \
    --storage "$STORAGE"
