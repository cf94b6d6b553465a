#!/usr/bin/env bash
# From a raw corpus directory to the results table, through all three stages.
#
#   bash run_command.sh                       the sample corpus, which it makes first (9 minutes on 2 cores)
#   bash run_command.sh <KEMDy19 directory>   the paper's configuration, with the published numbers beside ours
#   bash run_command.sh --corpus KEMDy20 <its directory>
#   bash run_command.sh <manifest.csv>        your own conversations: docs/own_data.md
#   bash run_command.sh --extractor_table [<KEMDy19 directory>]   instead: the eight extractors of the published table,
#                                             trained on and scored with a random split of annotation.csv
#
#   --corpus NAME          whose directory it is: KEMDy19 or KEMDy20
#   --seeds N              train the graph network with N seeds; the table shows mean and standard deviation
#   --extractor_seeds N    and N extractors, each with graph networks of its own
#   --cv K                 hold out each of K groups of sessions once, in K trainings of all stages; the table scores
#                          the predictions of all sessions together: docs/protocol.md
#   --cross_fit K          embed each training session by an extractor that has not seen it, one of K more
#   --recipe NAME          how the graph network is trained: published (the default) or improved
#   --ablate               also train it without one part after the other, and show what each is worth
#   --force                repeat steps that are finished already
#   --quick                only to see that everything works: 4 sessions, 1 epoch, scores without meaning (not KEMDy19)
#   --device D             auto, cpu, cuda or cuda:N
#   --devices N            GPUs (or processes on the CPU) that train the extractor together
#   --precision P          of the extractor: auto, 32-true, 16-mixed or bf16-mixed; scoring and embeddings take only the
#                          second and the last, else 32-true
#   --text_encoder NAME    hub name or directory (KEMDy19: klue/roberta-base)
#   --audio_encoder NAME   hub name or directory (KEMDy19: w11wo/wav2vec2-xls-r-300m-korean)
#   --max_epochs N         epochs of the extractor
#   --epochs N             epochs of the graph network
#   --sessions N           size of the sample corpus (20)
#   --dev_sessions "N..."  sessions that choose the best epoch, in every stage ("1 2"; KEMDy20: "1 2 3")
#   --test_sessions "N..." sessions that are held out ("19 20"; KEMDy20: 33 to 40, which is our choice)
#   --folds K              of a manifest: hold out each dialogue once, in K trainings; the table scores all together
#   --fold_by speaker      no speaker is on both sides of a fold
#   --work DIR             put everything that is made under DIR instead of data/ and models_zoo/ (of a manifest:
#                          data/NAME and models_zoo/NAME)
#
# Finished steps are not repeated and an interrupted training is resumed, so a run goes on where it stopped.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/tools/steps.sh"

# ---- Configuration

seeds=1 sessions=20 device=auto devices='' precision='' text_encoder='' audio_encoder='' max_epochs='' epochs='' work=''
folds='' fold_by='' corpus=KEMDy19 all_sessions=() cv='' cross_fit='' extractor_seeds=1 recipe=''
force='' quick='' extractor_table='' ablate=''
# Dev sessions are held out of the extractor's training too, so that dev embeddings are as honest as test ones.
dev_sessions='1 2' test_sessions='19 20'
read_options "force quick extractor_table ablate" "corpus seeds extractor_seeds sessions device devices precision \
    text_encoder audio_encoder max_epochs epochs dev_sessions test_sessions folds fold_by cv cross_fit recipe work" "$@"

for number in seeds extractor_seeds; do
    [[ ${!number} =~ ^[1-9][0-9]*$ ]] || stop "--$number ${!number}: expected a number of at least 1"
done
for number in folds cv cross_fit; do
    [[ ${!number} =~ ^([2-9]|[1-9][0-9])?$ ]] || stop "--$number ${!number}: expected 2 to 99"
done
only_sessions='--dev_sessions|--test_sessions|--cv|--cross_fit'
[[ -z $extractor_table || ! $given =~ \ (--(extractor_)?seeds|--epochs|--recipe|--ablate|$only_sessions)\  ]] ||
    stop "${BASH_REMATCH[1]} does not go with --extractor_table"
[[ $corpus == KEMDy19 || $corpus == KEMDy20 ]] || stop "--corpus $corpus: expected KEMDy19 or KEMDy20"
((${#arguments[@]} < 2)) || stop "${arguments[1]}: expected one directory or manifest at most"
dataset=$corpus corpus=$(absolute "${arguments[0]:-}") work=$(absolute "$work")
[[ -z $corpus || -d $corpus || -f $corpus ]] || stop "$corpus: no such directory; give KEMDy19's, or a manifest"
[[ ! $given =~ \ --corpus\  || -d $corpus ]] || stop "--corpus $dataset: give its directory, too"
if [[ -f $corpus ]]; then
    [[ ! $given =~ \ (--extractor_table|--sessions|$only_sessions)\  ]] ||
        stop "${BASH_REMATCH[1]} does not go with a manifest, whose column split says what is held out"
    [[ -n $folds || -z $fold_by ]] || stop "--fold_by needs --folds"
elif [[ $given =~ \ (--folds|--fold_by)\  ]]; then
    stop "${BASH_REMATCH[1]} goes with a manifest"
fi
[[ -z $cv || ! $given =~ \ (--dev_sessions|--test_sessions)\  ]] ||
    stop "${BASH_REMATCH[1]} does not go with --cv, which holds out each session once"
text_encoder=$(absolute_if_directory "$text_encoder") audio_encoder=$(absolute_if_directory "$audio_encoder")
set_up
cd "$ROOT"

make_corpus='' published=()
if [[ -z $corpus ]]; then # the sample: small encoders from scratch
    export HF_HUB_OFFLINE=1 # they are made here, nothing is downloaded
    data=${work:-data/sample} zoo=${work:-models_zoo/sample} corpus=${work:-data/sample}/corpus make_corpus=1
    [[ -z $quick ]] || sessions=4 dev_sessions=1 test_sessions=4 max_epochs=${max_epochs:-1} epochs=${epochs:-1}
    text_encoder=${text_encoder:-$corpus/encoders/text} audio_encoder=${audio_encoder:-$corpus/encoders/audio}
    extractor=(--batch_size 16 --accumulate_grad 1 --max_epochs "${max_epochs:-12}")
    declare -A learning_rates=([text]=1e-3 [audio]=2e-3 [both]=1e-3 [mmer]=1e-3)
    graph=("${SAMPLE_GRAPH_OPTIONS[@]}")
else # a corpus or a manifest: pretrained encoders, the paper's options
    data=${work:-data} zoo=${work:-models_zoo}
    if [[ -d $corpus && $dataset == KEMDy19 ]]; then
        published=(--published)
    elif [[ -d $corpus ]]; then
        data=${work:-data/$dataset} zoo=${work:-models_zoo/$dataset}
        [[ $given =~ \ --dev_sessions\  ]] || dev_sessions='1 2 3'
        [[ $given =~ \ --test_sessions\  ]] || test_sessions='' # the corpus's
    else
        dataset=$(name_of_manifest "$corpus")
        data=${work:-data/$dataset} zoo=${work:-models_zoo/$dataset}
        [[ -z $quick ]] || max_epochs=${max_epochs:-1} epochs=${epochs:-1}
    fi
    text_encoder=${text_encoder:-klue/roberta-base}
    audio_encoder=${audio_encoder:-w11wo/wav2vec2-xls-r-300m-korean}
    extractor=(--batch_size 2 --accumulate_grad 8 --max_epochs "${max_epochs:-15}")
    declare -A learning_rates=([text]=5e-5 [audio]=5e-5 [both]=5e-5 [mmer]=5e-5)
    graph=()
fi
[[ $recipe != improved ]] || graph=() # which has its own options
[[ -z $recipe ]] || graph+=(--recipe "$recipe")
[[ -z $cv ]] || published=() # which are those of sessions 19 and 20
folds=${folds:-$cv}
((extractor_seeds > 1)) && extractors=$extractor_seeds || extractors=''
# What a run's results are apart from; recipe and folds have no part in the names of extractors.
variant=${recipe:+${recipe}_}${cross_fit:+cross${cross_fit}_}
kind=${folds:+_${folds}_folds}${extractors:+_${extractors}_extractors}
kind+=${cross_fit:+_cross_fit_$cross_fit}${recipe:+_$recipe}
steps=$data/steps results=$zoo/results$kind
on_device=(--device "$device")
encoders=(--text_encoder "$text_encoder" --audio_encoder "$audio_encoder")
training=("${extractor[@]}" "${on_device[@]}" ${devices:+--devices "$devices"} ${precision:+--precision "$precision"})
prediction=("${on_device[@]}")
case $precision in 32-true | bf16-mixed) prediction+=(--precision "$precision") ;; esac
graph+=(${epochs:+--epochs "$epochs"})
read -ra held_out <<<"$test_sessions"
read -ra dev <<<"$dev_sessions"

# checkpoint_of NAME: of an extractor
checkpoint_of() {
    echo "$zoo/checkpoint/$1$suffix/best.ckpt"
}

# fine_tune NAME WHAT [OPTION...]: an extractor of the modalities $using
fine_tune() {
    local checkpoint
    checkpoint=$(checkpoint_of "$1")
    step "extractor_$1" "Stage 1: fine-tune the extractor on single utterances, $2" \
        --in "$csv" --out "$checkpoint" --state "${checkpoint%best.ckpt}last.ckpt" --afresh --overwrite -- \
        "$python" MIRAI/trainer_hf.py --exp_name "$1$suffix" --using_model "$using" --csv_path "$csv" \
        --out_dir "$zoo" "${@:3}" ${extractors:+--seed "$extractor_seed"} "${encoders[@]}" \
        --lr "${learning_rates[$using]}" "${training[@]}"
}

# hold_out_sessions: sets what each script is given, from ${held_out[@]} and ${dev[@]}
hold_out_sessions() {
    local session
    formatting=() dividing=(--dev_sessions "${dev[@]}") held_out_what=sessions training_sessions=()
    ((${#held_out[@]} == 0)) || formatting=(--test_sessions "${held_out[@]}")
    scored=(--test_1920=True "${formatting[@]}")
    holding_out=("${scored[@]}" "${dividing[@]}")
    for session in "${all_sessions[@]}"; do
        [[ " ${held_out[*]} ${dev[*]} " == *" $session "* ]] || training_sessions+=("$session")
    done
}

# hold_out_group K N: the K-th (from 0) of N groups of all sessions; dev: as many as else, those that follow it, and
# after the last session the first ones
hold_out_group() {
    local twice=("${all_sessions[@]}" "${all_sessions[@]}")
    read -ra held_out <<<"$(group "$1" "$2" "${all_sessions[@]}")"
    dev=("${twice[@]:${#all_sessions[@]} * ($1 + 1) / $2:${#dev[@]}}")
    hold_out_sessions
}

# ---- The corpus

if [[ -n $make_corpus ]]; then
    step corpus "Make the sample corpus: $sessions sessions of synthetic speech" --out "$corpus/README.md" -- \
        "$python" MIRAI/make_sample_corpus.py --out "$corpus" --sessions "$sessions" \
        --test_sessions "${held_out[@]}" --overwrite
fi
if [[ -f $corpus ]]; then
    tables=("$data"/annotation.csv)
    [[ -z $folds ]] || for ((k = 1; k <= folds; k++)); do tables[k - 1]=$data/annotation_fold$k.csv; done
    beside=${corpus%.*}.toml outputs=()
    for csv in "${tables[@]}"; do outputs+=(--out "$csv"); done
    [[ ! -f $beside ]] || outputs+=(--in "$beside")
    step annotation "Stage 1: read the manifest and its recordings" --in "$corpus" "${outputs[@]}" \
        --out "$data/txt_wav" -- "$python" MIRAI/preprocess.py --corpus manifest --root_path "$corpus" \
        --save_path "$data" ${folds:+--folds "$folds"} ${fold_by:+--fold_by "$fold_by"}
    read -ra all_modalities <<<"$(modalities_of_table "${tables[0]}")"
    # The tables say what is held out and what is dev.
    holding_out=() scored=() formatting=() dividing=() suffix='' held_out_what=dialogues
else
    tables=("$data/annotation_speaker_only.csv") all_modalities=(t a at) suffix=_test_1920_speakeronly
    [[ $dataset == KEMDy19 ]] || tables=("$data/annotation.csv") suffix=''
    step annotation "Stage 1: read the corpus's annotations into tables" --out "${tables[0]}" --out "$data/txt_wav" -- \
        "$python" MIRAI/preprocess.py --corpus "$dataset" --root_path "$corpus" --save_path "$data"
    [[ -z $cv ]] || suffix=''
    if [[ -n $cv$cross_fit ]]; then
        { read -ra all_sessions && read -ra usual; } <<<"$(sessions_of_table "${tables[0]}")"
        ((${#held_out[@]})) || held_out=("${usual[@]}")
    fi
    [[ -z $cv ]] || ((cv <= ${#all_sessions[@]} && cv * (1 + ${#dev[@]}) <= ${#all_sessions[@]} * (cv - 1))) ||
        stop "--cv $cv: ${#all_sessions[@]} sessions are too few for as many groups, ${#dev[@]} of dev and training"
    hold_out_sessions
fi

# ---- Instead of all that follows: the eight extractors, on a random split of all utterances

if [[ -n $extractor_table ]]; then
    place=$zoo/extractor_table all=$data/annotation.csv checkpoints=()
    for using in audio text both mmer; do
        trainer=(MIRAI/trainer_hf.py --using_model "$using")
        [[ $using != mmer ]] || trainer=(MIRAI/trainer_hf_MMER.py)
        for loss in ce cs_and_ce; do
            name=${using}_$loss
            checkpoints+=(--in "$place/checkpoint/$name/best.ckpt")
            step "table_$name" "Stage 1: fine-tune the extractor on single utterances, $using, loss $loss" \
                --in "$all" --out "$place/checkpoint/$name/best.ckpt" \
                --state "$place/checkpoint/$name/last.ckpt" --afresh --overwrite -- \
                "$python" "${trainer[@]}" --exp_name "$name" --loss "$loss" --csv_path "$all" --out_dir "$place" \
                "${encoders[@]}" --lr "${learning_rates[$using]}" "${training[@]}"
        done
    done
    step table_scores "Stage 1: score them on the held-out 20%" \
        --in "$all" "${checkpoints[@]}" --out "$place/result.csv" -- \
        "$python" MIRAI/inference.py --all "$place/checkpoint" --csv_path "$all" --out_dir "$place" "${prediction[@]}"
    echo
    "$python" tools/results_table.py --corpus "$dataset" --extractor_table "$place/result.csv" \
        --out "$place/table.md" "${published[@]}"
    exit
fi

# ---- All stages, for each fold and each extractor

for ((run = 0; run < ${folds:-1} * extractor_seeds; run++)); do
    k=$((run / extractor_seeds)) extractor_seed=$((42 + run % extractor_seeds))
    csv=${tables[k]:-${tables[0]}} fold=${folds:+fold$((k + 1))_}${extractors:+extractor${extractor_seed}_}
    [[ -z $cv ]] || hold_out_group "$k" "$cv"
    formatted=$data/KEMDy19/new_2019cogmen_format_speaker_only
    [[ $dataset == KEMDy19 && -z $fold$cross_fit ]] || formatted=$data/${fold}${cross_fit:+cross${cross_fit}_}dialogues
    [[ -z $folds ]] || echo "== Fold $((k + 1)) of $folds"

    # ---- Stage 1: the extractor on single utterances

    for modalities in "${all_modalities[@]}"; do
        case $modalities in t) using=text ;; a) using=audio ;; at) using=both ;; esac
        checkpoint=$(checkpoint_of "$fold$using") scores=$results/extractor/$modalities${fold:+/${fold%_}}
        fine_tune "$fold$using" "$using" "${holding_out[@]}"
        step "inference_$fold$using$kind" "Stage 1: score it on the held-out $held_out_what" \
            --in "$csv" --in "$checkpoint" --out "$scores/metrics.json" -- \
            "$python" MIRAI/inference.py --ckpt_path "$checkpoint" --csv_path "$csv" "${scored[@]}" \
            --out_dir "$scores" "${prediction[@]}"
    done
    [[ -z $cross_fit ]] || ((cross_fit <= ${#training_sessions[@]})) ||
        stop "--cross_fit $cross_fit: ${#training_sessions[@]} training sessions; give no larger number"
    crossing=() cross_inputs=() # one more extractor of all modalities for each group of training sessions
    for ((c = 0; c < ${cross_fit:-0}; c++)); do
        read -ra unseen <<<"$(group "$c" "$cross_fit" "${training_sessions[@]}")"
        name=${fold}cross$((c + 1))of${cross_fit}_$using
        fine_tune "$name" "$using, without session ${unseen[*]}" \
            --test_1920=True --test_sessions "${held_out[@]}" "${unseen[@]}" "${dividing[@]}"
        crossing+=("$(checkpoint_of "$name")") cross_inputs+=(--in "$(checkpoint_of "$name")")
    done

    # ---- Stage 2: dialogues, and the embeddings of their turns by the extractor of all modalities

    step "format$fold$variant" "Stage 2: utterances into dialogues, in time order" \
        --in "$csv" --out "$formatted.pkl" -- \
        "$python" COGMEN_code/cogmen_formatting.py --csv_path "$csv" "${formatting[@]}" --out "$formatted.pkl"
    step "extract$fold$variant" "Stage 2: the extractor's embeddings of every utterance" \
        --in "$formatted.pkl" --in "$checkpoint" "${cross_inputs[@]}" --out "${formatted}_feat.pkl" -- \
        "$python" MIRAI/feature_extractor_cogmen_format.py --model_save_path "$checkpoint" --csv_path "$csv" \
        --features_format_path "$formatted.pkl" ${cross_fit:+--cross_fit "${crossing[@]}"} "${prediction[@]}"

    # ---- Stage 3: the graph network over whole dialogues

    fold+=$variant
    preprocess_features "${formatted}_feat.pkl" "${formatted}_feat_preprocessed.pkl" "${dividing[@]}"
    train_and_score "${formatted}_feat_preprocessed.pkl" "$zoo" "$results" "${all_modalities[*]}" "$seeds" "${graph[@]}"
    [[ -z $ablate ]] ||
        train_ablated "${formatted}_feat_preprocessed.pkl" "$zoo" "$results" "${all_modalities[*]}" "$seeds" "${graph[@]}"
done

echo
"$python" tools/results_table.py --corpus "$dataset" --results_dir "$results" --out "$results/table.md" "${published[@]}"
[[ -z $ablate ]] || show_ablations "$results" "$dataset"
