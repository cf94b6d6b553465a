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
#   --dataset NAME     corpus of your features, if the file does not say: KEMDy19 (the default), iemocap or iemocap_4
#   --text_feature F   extractor: the text embeddings that the features hold; sbert: new ones of the sentences
#   --train            train the graph network for a, t and at; --seeds N: with N seeds, mean and standard deviation
#   --modalities "M..." with --train: others than those of a, t and at that the features have, such as "t atv"
#   --epochs N         with --train: passes over the training dialogues
#   --published        with --train: the published training options instead of those for the small sample
#   --recipe NAME      with --train: published (the default) or improved, each with its own training options
#   --ablate           with --train: also train without one part after the other, and show what each is worth
#   --controls         with --train: also what scores without the method, and the network on altered dialogues
#   --device D         auto, cpu, cuda or cuda:N
#   --work DIR         where the unpacked and made files go (default: data/sample/run_eval); DIR/results holds the scores
#                      of one preprocessed file and one set of training options: others' are removed
#   --force            repeat steps that are finished already
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/tools/steps.sh"

# ---- Configuration

dataset='' text_feature=extractor modalities='' seeds=1 epochs='' device='' work='' features='' checkpoint=()
train='' published='' controls='' ablate='' recipe='' force=''
read_options "train published controls ablate force" \
    "dataset text_feature modalities seeds epochs recipe device work features checkpoint" "$@"

((${#arguments[@]} == 0)) || stop "unknown argument ${arguments[0]}; see bash run_eval.sh --help"
[[ $seeds =~ ^[1-9][0-9]*$ ]] || stop "--seeds $seeds: expected a number of at least 1"
for option in --seeds --modalities --epochs --published --recipe --ablate --controls; do
    [[ $given != *" $option "* || -n $train ]] || stop "$option goes with --train"
done
[[ -n $features || ! $given =~ \ (--dataset|--text_feature)\  ]] || stop "${BASH_REMATCH[1]} goes with --features"
[[ -z $features || -n $train || ${#checkpoint[@]} -gt 0 ]] || stop "--features needs --checkpoint FILE or --train"
[[ -z $train || ${#checkpoint[@]} == 0 ]] || stop "give either --train or --checkpoint"
features=$(absolute "$features") work=$(absolute "$work")
for k in "${!checkpoint[@]}"; do checkpoint[k]=$(absolute "${checkpoint[k]}"); done

work=${work:-data/sample/run_eval}
steps=$work/steps results=$work/results preprocessed=$work/preprocessed.pkl
on_device=(${device:+--device "$device"})
[[ $text_feature == sbert ]] || export HF_HUB_OFFLINE=1
preprocessing=() graph=()

set_up
cd "$ROOT"

# ---- The features

if [[ -z $features ]]; then
    unpack features data/sample/zip.zip "$work/features" --manifest
    features=$work/features/new_2019cogmen_format_speaker_only_feat.pkl
    dataset=KEMDy19 preprocessing=(--dev_sessions 1 2) # as the shipped features were made
    [[ -n $published ]] || graph=("${SAMPLE_GRAPH_OPTIONS[@]}")
elif [[ $features == *.zip ]]; then
    rm -rf "$work/own_features"
    unpack own_features "$features" "$work/own_features"
    found=("$work"/own_features/*.pkl)
    [[ ${#found[@]} == 1 && -f ${found[0]} ]] || stop "$features: expected one .pkl file in it"
    features=${found[0]}
fi
[[ -n $dataset ]] || dataset=$(corpus_in "$features")
dataset=${dataset:-KEMDy19}
if [[ $text_feature == sbert ]]; then
    preprocessing+=(--text_feature sbert "${on_device[@]}")
elif [[ $dataset != KEMDy19 ]]; then
    preprocessing+=(--text_feature "$text_feature")
fi
[[ $dataset != iemocap* ]] || graph=(--batch_size 32 --epochs 55) # as published for IEMOCAP
[[ $recipe != improved ]] || graph=() # which has its own
[[ -z $recipe ]] || graph+=(--recipe "$recipe") tag=${recipe}_ results+=_$recipe
graph+=(${epochs:+--epochs "$epochs"})
preprocess_features "$features" "$preprocessed" "${preprocessing[@]}"

# ---- Train and score, or score what there is

# one_table RESULTS: removes the scores that other features or training options have left there
one_table() {
    local made_of folder
    made_of=$(printf '%q ' "$dataset" "${graph[@]}" && cksum <"$preprocessed")
    if [[ -f $1/made_of && $(<"$1/made_of") != "$made_of" ]]; then
        for folder in "$1"/*/; do
            [[ $folder == */extractor/ ]] || rm -rf "$folder" # run_command.sh's, where both work in one folder
        done
    fi
    mkdir -p "$1"
    printf '%s\n' "$made_of" >"$1/made_of"
}

if [[ -n $train ]]; then
    modalities=${modalities:-$(modalities_in "$preprocessed")}
    fold=${tag:-} # so that the recipes' checkpoints lie beside each other
    one_table "$results"
    train_and_score "$preprocessed" "$work" "$results" "$modalities" "$seeds" "${graph[@]}"
    [[ -z $ablate ]] || train_ablated "$preprocessed" "$work" "$results" "$modalities" "$seeds" "${graph[@]}"
    if [[ -n $controls ]]; then
        for own in $modalities; do
            step "controls_$own" "Score the controls, $own" --in "$preprocessed" --out "$results/majority/$own/metrics.json" -- \
                "$python" tools/controls.py --data_dir "$preprocessed" --modalities "$own" --out_dir "$results"
        done
        for alteration in labels_shuffled speakers_shuffled turns_shuffled neighbours_of_others; do
            altered=$work/$alteration
            step "$alteration" "Alter the dialogues: $alteration" --in "$preprocessed" --out "$altered.pkl" -- \
                "$python" tools/controls.py --data_dir "$preprocessed" --alter "$alteration" --res_dir "$altered.pkl"
            one_table "$altered/results"
            steps=$altered/steps train_and_score "$altered.pkl" "$altered" "$altered/results" "$modalities" "$seeds" \
                "${graph[@]}"
            rm -rf "${results:?}/$alteration"
            cp -r "$altered/results/cgnn" "$results/$alteration"
        done
    fi
else
    if [[ ${#checkpoint[@]} == 0 ]]; then
        unpack models models_zoo/sample/zip.zip "$work/models" --manifest
        checkpoint=("$work"/models/KEMDy19_best_dev_f1_model_*.pt)
    fi
    results=$work/scored # apart from those of --train
    rm -rf "$results"
    for file in "${checkpoint[@]}"; do
        echo "== Score $file"
        modalities=$(modalities_of "$file")
        "$python" COGMEN_code/eval.py --dataset "$dataset" --modalities "$modalities" --pt_dir "$file" \
            --data_dir "$preprocessed" --out_dir "$results/cgnn/$modalities/$(basename "$file" .pt)" "${on_device[@]}"
    done
fi

echo
"$python" tools/results_table.py --results_dir "$results" --out "$results/table.md"
[[ -z $ablate ]] || show_ablations "$results" "$dataset"
