#!/usr/bin/env bash
#SBATCH --job-name=erc-extract
#SBATCH --array=1-16
#SBATCH --time=04:00:00
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --gpus=1
#SBATCH --cpus-per-task=8
#SBATCH --mem=64G
#SBATCH --output=slurm/%x-%A_%a.log
# The embeddings of all utterances, a sixteenth of them in each job: sbatch tools/slurm/extract.sh, from the
# repository's root. Some that did not finish are started again with sbatch --array=<numbers> --export=ALL,JOBS=16.
set -euo pipefail
cd "${SLURM_SUBMIT_DIR:-.}"
source tools/slurm/environment.sh
export HF_HUB_OFFLINE=1
srun python MIRAI/feature_extractor_cogmen_format.py --model_save_path "$checkpoint" --csv_path "$table" \
    --features_format_path "$dialogues" --num_workers 7 --shard "$SLURM_ARRAY_TASK_ID/${JOBS:-$SLURM_ARRAY_TASK_COUNT}"
