#!/usr/bin/env bash
# Stage 3 alone, from the shipped features and checkpoints of the sample corpus, or from your own files.
#
#   bash run_eval.sh                                   score the three shipped graph networks (1 minute on 2 cores)
#   bash run_eval.sh --train [--seeds N]               train them first, from the shipped features
#   bash run_eval.sh --features FILE --checkpoint FILE score your own checkpoint on your own features
#   bash run_eval.sh --features FILE --train           train and score on your own features
#
#   --features FILE    a dialogue file with embeddings (*_feat.pkl), or a (split) zip that holds one
#   --checkpoint FILE  a checkpoint of COGMEN_code/train.py; may be given several times
#   --train            train the graph network for a, t and at; --seeds N: with N seeds, mean and standard deviation
#   --epochs N         with --train: passes over the training dialogues
#   --published        with --train: the published training options instead of those for the small sample
#   --work DIR         where the unpacked and made files go (default: data/sample/run_eval)
#   --force            repeat steps that are finished already
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$ROOT/tools/steps.sh"

features='' checkpoints=() train='' seeds=1 epochs='' published='' work=''
while (($#)); do
    needs_value "$1" $#
    case $1 in
    --features) features=$(realpath -m "$2") && shift 2 ;;
    --checkpoint) checkpoints+=("$(realpath -m "$2")") && shift 2 ;;
    --train) train=1 && shift ;;
    --seeds) seeds=$2 && shift 2 ;;
    --epochs) epochs=$2 && shift 2 ;;
    --published) published=1 && shift ;;
    --work) work=$(realpath -m "$2") && shift 2 ;;
    --force) FORCE=1 && shift ;;
    -h | --help) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}" && exit ;;
    *) stop "unknown argument $1; see bash run_eval.sh --help" ;;
    esac
done
[[ $seeds =~ ^[1-9][0-9]*$ ]] || stop "--seeds $seeds: expected a number of at least 1"
[[ $seeds == 1 || -n $train ]] || stop "--seeds goes with --train"
[[ -z $epochs || -n $train ]] || stop "--epochs goes with --train"
[[ -z $published || -n $train ]] || stop "--published goes with --train"
[[ -z $features || -n $train || ${#checkpoints[@]} -gt 0 ]] || stop "--features needs --checkpoint FILE or --train"
[[ -z $train || ${#checkpoints[@]} == 0 ]] || stop "give either --train or --checkpoint"

set_up
cd "$ROOT"
export HF_HUB_OFFLINE=1
work=${work:-data/sample/run_eval}
STEPS=$work/steps results=$work/results
preprocessed=$work/preprocessed.pkl
DEV_SESSIONS=''
graph=()

# unpack NAME ARCHIVE FOLDER [OPTION]: a (split) zip into a folder
unpack() {
    step "unpack_$1" "Unpack $2" --in "$2" --out "$3" -- \
        "$python" COGMEN_code/archive.py unpack --archive "$2" --out_dir "$3" "${@:4}"
}

# modalities_of CHECKPOINT: from the name that train.py gives (eval.py refuses one that lies), else from the inside
modalities_of() {
    if [[ $1 =~ _model_([atv]+)_[^/]*$ ]]; then echo "${BASH_REMATCH[1]}" && return; fi
    "$python" -c 'import sys; from cogmen.checkpoints import load_checkpoint; from erc.options import run
run(lambda: print(load_checkpoint(sys.argv[1]).modalities))' "$1"
}

if [[ -z $features ]]; then
    unpack features data/sample/zip.zip "$work/features" --manifest
    features=$work/features/new_2019cogmen_format_speaker_only_feat.pkl
    DEV_SESSIONS='1 2' # as the shipped features were made
    [[ -n $published ]] || graph=("${SAMPLE_GRAPH_OPTIONS[@]}")
elif [[ $features == *.zip ]]; then
    rm -rf "$work/own_features"
    unpack own_features "$features" "$work/own_features"
    found=("$work"/own_features/*.pkl)
    [[ ${#found[@]} == 1 && -f ${found[0]} ]] || stop "$features: expected one .pkl file in it"
    features=${found[0]}
fi
if [[ -n $train ]]; then
    stage3 "$features" "$preprocessed" "$work" "$results" "$seeds" "${graph[@]}" ${epochs:+--epochs "$epochs"}
else
    if [[ ${#checkpoints[@]} == 0 ]]; then
        unpack models models_zoo/sample/zip.zip "$work/models" --manifest
        checkpoints=("$work"/models/KEMDy19_best_dev_f1_model_*.pt)
    fi
    preprocess_features "$features" "$preprocessed"
    results=$work/scored # apart from those of --train
    rm -rf "$results"
    for checkpoint in "${checkpoints[@]}"; do
        echo "== Score $checkpoint"
        modalities=$(modalities_of "$checkpoint")
        "$python" COGMEN_code/eval.py --modalities "$modalities" --pt_dir "$checkpoint" --data_dir "$preprocessed" \
            --out_dir "$results/cgnn/$modalities/$(basename "$checkpoint" .pt)"
    done
fi

echo
"$python" tools/results_table.py --results_dir "$results" --out "$results/table.md"
