# shellcheck shell=bash disable=SC2034 # variables of the jobs that source it
# What the jobs of this folder share: where things are, and how Python runs. Sourced from the repository's root; a
# variable that is set before sbatch (which hands the environment on) wins over the value here.
table=${TABLE:-data/annotation_speaker_only.csv}      # what MIRAI/preprocess.py wrote
dialogues=${DIALOGUES:-data/cluster/dialogues}        # folder of dialogue files
features=${dialogues}_feat                            # what the extraction makes beside it
preprocessed=${features}_preprocessed
name=${NAME:-cluster}                                 # of the extractor's training
checkpoint=models_zoo/checkpoint/$name/best.ckpt
shards=${SHARDS:-16}                                  # dialogue files; 125 hours of speech in one make half a GB of features
export PATH="$PWD/.venv/bin:$PATH"
export HF_HOME=${HF_HOME:-$PWD/data/cluster/hub}      # which every node sees
export OMP_NUM_THREADS=${SLURM_CPUS_PER_TASK:-1}
