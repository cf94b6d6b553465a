#!/usr/bin/env bash
#SBATCH --job-name=erc-train
#SBATCH --time=24:00:00
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=4
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=8
#SBATCH --mem=240G
#SBATCH --signal=TERM@300
#SBATCH --output=slurm/%x-%j.log
# The extractor, on 2 machines of 4 GPUs: sbatch tools/slurm/train.sh, from the repository's root. Five minutes before
# its time is up it is stopped and leaves a checkpoint; sbatch tools/slurm/train.sh --resume goes on from it.
set -euo pipefail
cd "${SLURM_SUBMIT_DIR:-.}"
source tools/slurm/environment.sh
export HF_HUB_OFFLINE=1
export SLURM_KILL_BAD_EXIT=1 # a process that is refused, which only the first can be, ends the others, too
srun python MIRAI/trainer_hf.py --exp_name "$name" --using_model both --test_1920=True --csv_path "$table" \
    --max_batch_seconds 160 --accumulate_grad 1 --num_workers 7 --devices 4 --num_nodes 2 "$@"
