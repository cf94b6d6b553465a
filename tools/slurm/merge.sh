#!/usr/bin/env bash
#SBATCH --job-name=erc-merge
#SBATCH --time=08:00:00
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=2
#SBATCH --mem=32G
#SBATCH --output=slurm/%x-%j.log
# Joins what the jobs of extract.sh made, and divides it into train, dev and test; needs no GPU.
#   sbatch --dependency=afterok:<job of extract.sh> tools/slurm/merge.sh
set -euo pipefail
cd "${SLURM_SUBMIT_DIR:-.}"
source tools/slurm/environment.sh
export HF_HUB_OFFLINE=1
python MIRAI/feature_extractor_cogmen_format.py --model_save_path "$checkpoint" --csv_path "$table" \
    --features_format_path "$dialogues" --device cpu --merge
python COGMEN_code/preprocess.py --feat_dir "$features" --res_dir "$preprocessed"
