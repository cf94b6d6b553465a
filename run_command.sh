#!/usr/bin/env bash
# From a raw corpus directory to the results table, through all three stages.
#
#   bash run_command.sh                       the sample corpus, which it makes first (8 minutes on 2 cores)
#   bash run_command.sh <KEMDy19 directory>   the paper's configuration, with the published numbers beside ours
#   bash run_command.sh --extractor_table [<KEMDy19 directory>]   instead: the eight extractors of the published table,
#                                             trained on and scored with a random split of annotation.csv
#
#   --seeds N              train the graph network with N seeds; the table shows mean and standard deviation
#   --force                repeat steps that are finished already
#   --quick                only to see that everything works: 4 sessions, 1 epoch, scores without meaning
#   --device D             auto, cpu, cuda or cuda:N
#   --text_encoder NAME    hub name or directory (KEMDy19: klue/roberta-base)
#   --audio_encoder NAME   hub name or directory (KEMDy19: w11wo/wav2vec2-xls-r-300m-korean)
#   --max_epochs N         epochs of the extractor
#   --epochs N             epochs of the graph network
#   --sessions N           size of the sample corpus (20)
#   --dev_sessions "N..."  sessions that choose the best epoch, in every stage ("1 2")
#   --test_sessions "N..." sessions that are held out ("19 20")
#   --work DIR             put everything that is made under DIR instead of data/ and models_zoo/
#
# Finished steps are not repeated and an interrupted training is resumed, so a run goes on where it stopped.
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$ROOT/tools/steps.sh"

corpus='' sessions=20 seeds=1 quick='' device=auto text_encoder='' audio_encoder='' max_epochs='' epochs='' work='' table='' given=' '
# Dev sessions are held out of the extractor's training too, so that dev embeddings are as honest as test ones.
DEV_SESSIONS='1 2' test_sessions='19 20'
while (($#)); do
    needs_value "$1" $#
    given+="$1 "
    case $1 in
    --seeds) seeds=$2 && shift 2 ;;
    --force) FORCE=1 && shift ;;
    --quick) quick=1 && shift ;;
    --device) device=$2 && shift 2 ;;
    --text_encoder) text_encoder=$(absolute_if_directory "$2") && shift 2 ;;
    --audio_encoder) audio_encoder=$(absolute_if_directory "$2") && shift 2 ;;
    --max_epochs) max_epochs=$2 && shift 2 ;;
    --epochs) epochs=$2 && shift 2 ;;
    --sessions) sessions=$2 && shift 2 ;;
    --dev_sessions) DEV_SESSIONS=$2 && shift 2 ;;
    --test_sessions) test_sessions=$2 && shift 2 ;;
    --extractor_table) table=1 && shift ;;
    --work) work=$(realpath -m "$2") && shift 2 ;;
    -h | --help) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}" && exit ;;
    -*) stop "unknown option $1; see bash run_command.sh --help" ;;
    *) corpus=$(realpath -m "$1") && shift ;;
    esac
done
[[ $seeds =~ ^[1-9][0-9]*$ ]] || stop "--seeds $seeds: expected a number of at least 1"
[[ -z $table || ! $given =~ \ (--seeds|--epochs|--dev_sessions|--test_sessions)\  ]] ||
    stop "${BASH_REMATCH[1]} does not go with --extractor_table"
[[ -z $corpus || -d $corpus ]] || stop "$corpus: no such directory; give KEMDy19's"

set_up
cd "$ROOT"
declare -A learning_rates
if [[ -z $corpus ]]; then
    export HF_HUB_OFFLINE=1 # the sample's encoders are made here, nothing is downloaded
    data=${work:-data/sample} zoo=${work:-models_zoo/sample} corpus=${work:-data/sample}/corpus
    [[ -z $quick ]] || sessions=4 DEV_SESSIONS=1 test_sessions=4 max_epochs=${max_epochs:-1} epochs=${epochs:-1}
    text_encoder=${text_encoder:-$corpus/encoders/text} audio_encoder=${audio_encoder:-$corpus/encoders/audio}
    extractor=(--batch_size 16 --accumulate_grad 1 --max_epochs "${max_epochs:-12}")
    learning_rates=([text]=1e-3 [audio]=2e-3 [both]=1e-3 [mmer]=1e-3) # small encoders from scratch, not pretrained ones
    graph=("${SAMPLE_GRAPH_OPTIONS[@]}" ${epochs:+--epochs "$epochs"})
    published=()
else
    data=${work:-data} zoo=${work:-models_zoo}
    text_encoder=${text_encoder:-klue/roberta-base}
    audio_encoder=${audio_encoder:-w11wo/wav2vec2-xls-r-300m-korean}
    extractor=(--batch_size 2 --accumulate_grad 8 --max_epochs "${max_epochs:-15}")
    learning_rates=([text]=5e-5 [audio]=5e-5 [both]=5e-5 [mmer]=5e-5)
    graph=(${epochs:+--epochs "$epochs"})
    published=(--published)
fi
STEPS=$data/steps results=$zoo/results csv=$data/annotation_speaker_only.csv
formatted=$data/KEMDy19/new_2019cogmen_format_speaker_only
on_device=(--device "$device")
encoders=(--text_encoder "$text_encoder" --audio_encoder "$audio_encoder")

# Trains and scores the eight extractors of the published table, on a random split of all utterances.
extractor_table() {
    local place=$zoo/extractor_table every=$data/annotation.csv name using loss trainer checkpoints=()
    for using in audio text both mmer; do
        trainer=(MIRAI/trainer_hf.py --using_model "$using")
        [[ $using != mmer ]] || trainer=(MIRAI/trainer_hf_MMER.py)
        for loss in ce cs_and_ce; do
            name=${using}_$loss
            checkpoints+=(--in "$place/checkpoint/$name/best.ckpt")
            step "table_$name" "Stage 1: fine-tune the extractor on single utterances, $using, loss $loss" \
                --in "$every" --out "$place/checkpoint/$name/best.ckpt" \
                --state "$place/checkpoint/$name/last.ckpt" --afresh --overwrite -- \
                "$python" "${trainer[@]}" --exp_name "$name" --loss "$loss" --csv_path "$every" --out_dir "$place" \
                "${encoders[@]}" --lr "${learning_rates[$using]}" "${extractor[@]}" "${on_device[@]}"
        done
    done
    step table_scores "Stage 1: score them on the held-out 20%" \
        --in "$every" "${checkpoints[@]}" --out "$place/result.csv" -- \
        "$python" MIRAI/inference.py --all "$place/checkpoint" --csv_path "$every" --out_dir "$place" "${on_device[@]}"
    echo
    "$python" tools/results_table.py --extractor_table "$place/result.csv" --out "$place/table.md" \
        "${published[@]}"
}

if [[ -z ${published[*]} ]]; then
    step corpus "Make the sample corpus: $sessions sessions of synthetic speech" --out "$corpus/README.md" -- \
        "$python" MIRAI/make_sample_corpus.py --out "$corpus" --sessions "$sessions" \
        --test_sessions $test_sessions --overwrite
fi
step annotation "Stage 1: read the corpus's annotations into tables" --out "$csv" --out "$data/txt_wav" -- \
    "$python" MIRAI/preprocess.py --root_path "$corpus" --save_path "$data"
if [[ -n $table ]]; then
    extractor_table # not after || or &&, where set -e would be off
    exit
fi
for using in text audio both; do
    case $using in text) modalities=t ;; audio) modalities=a ;; both) modalities=at ;; esac
    checkpoint=$zoo/checkpoint/${using}_test_1920_speakeronly/best.ckpt
    step "extractor_$using" "Stage 1: fine-tune the extractor on single utterances, $using" \
        --in "$csv" --out "$checkpoint" --state "${checkpoint%best.ckpt}last.ckpt" --afresh --overwrite -- \
        "$python" MIRAI/trainer_hf.py --exp_name "${using}_test_1920_speakeronly" --using_model "$using" \
        --test_1920=True --csv_path "$csv" --out_dir "$zoo" --test_sessions $test_sessions \
        --dev_sessions $DEV_SESSIONS "${encoders[@]}" \
        --lr "${learning_rates[$using]}" "${extractor[@]}" "${on_device[@]}"
    step "inference_$using" "Stage 1: score it on the held-out sessions" \
        --in "$csv" --in "$checkpoint" --out "$results/extractor/$modalities/metrics.json" -- \
        "$python" MIRAI/inference.py --ckpt_path "$checkpoint" --test_1920=True --csv_path "$csv" \
        --test_sessions $test_sessions --out_dir "$results/extractor/$modalities" "${on_device[@]}"
done
step format "Stage 2: utterances into dialogues, in time order" --in "$csv" --out "$formatted.pkl" -- \
    "$python" COGMEN_code/cogmen_formatting.py --csv_path "$csv" --test_sessions $test_sessions --out "$formatted.pkl"
step extract "Stage 2: the extractor's embeddings of every utterance" \
    --in "$formatted.pkl" --in "$checkpoint" --out "${formatted}_feat.pkl" -- \
    "$python" MIRAI/feature_extractor_cogmen_format.py --model_save_path "$checkpoint" --csv_path "$csv" \
    --features_format_path "$formatted.pkl" "${on_device[@]}"
stage3 "${formatted}_feat.pkl" "${formatted}_feat_preprocessed.pkl" "$zoo" "$results" "$seeds" \
    "${graph[@]}" "${on_device[@]}"

echo
"$python" tools/results_table.py --results_dir "$results" --out "$results/table.md" "${published[@]}"
