# Sourced by run_command.sh, run_eval.sh and run_tests.sh: the Python environment, and steps that are not repeated.
# Expects ROOT, the repository's root; gives $python.

# stop MESSAGE: wrong usage
stop() {
    echo "error: $1" >&2
    exit 2
}

# needs_value OPTION COUNT: stops unless a value follows, or the option is one that takes none
needs_value() {
    case $1 in
    --force | --quick | --extractor_table | --train | --published | --help) ;;
    --*) (($2 > 1)) || stop "$1 needs a value" ;;
    esac
}

absolute_if_directory() {
    if [[ -d $1 ]]; then realpath "$1"; else echo "$1"; fi
}

# set_up [LOCK]: uses $PYTHON if it is set. Otherwise makes .venv and installs requirements.lock into it, and LOCK;
# done once for each state of these files.
set_up() {
    if [[ -n ${PYTHON:-} ]]; then
        python=$PYTHON
        [[ $python != */* ]] || python=$(cd "$(dirname "$python")" && pwd)/$(basename "$python")
        "$python" -c 'import erc, cogmen, mirai, torch' 2>/dev/null || {
            echo "error: PYTHON=$PYTHON lacks the requirements: $PYTHON -m pip install -r requirements.txt" >&2
            exit 1
        }
        return
    fi
    python=$ROOT/.venv/bin/python
    local locks=("$ROOT/requirements.lock" "$@") stamp=$ROOT/.venv/installed wanted
    wanted=$(cat "$ROOT/requirements.txt" "$ROOT/pyproject.toml" "${locks[@]}" | cksum)
    [[ -x $python && -f $stamp && $(<"$stamp") == "$wanted" ]] && return
    echo "== Setting up .venv (once; a few minutes)"
    local base
    base=$(find_python)
    # Debian may lack ensurepip; the base interpreter's pip installs into the environment either way.
    "$base" -m venv $("$base" -c 'import ensurepip' 2>/dev/null || echo --without-pip) "$ROOT/.venv"
    local install=("$base" -m pip --python "$python" --disable-pip-version-check install --quiet)
    (
        cd "$ROOT"
        "${install[@]}" --no-deps --require-hashes "${locks[@]/#/--requirement=}" # all that is needed, but torch
        # Which build of torch fits the machine (CPU, CUDA) is up to the index that pip is configured with, so it has no
        # hash here. Of what it needs only the CUDA build's nvidia-* packages are not there by now.
        "${install[@]}" "$(grep '^torch==' requirements.txt)"
        "${install[@]}" --no-deps --no-build-isolation --editable .
    )
    printf '%s\n' "$wanted" >"$stamp"
}

find_python() {
    local candidate
    for candidate in python3 python3.14 python3.13 python3.12 python3.11 python; do
        if command -v "$candidate" >/dev/null &&
            "$candidate" -c 'import sys, pip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    echo "error: no Python 3.11 or newer with pip was found; set PYTHON=<interpreter that has the requirements>" >&2
    return 1
}

# step NAME "What it does" [--in FILE]... [--out FILE]... [--state FILE] [--afresh OPTION] -- COMMAND...
# Runs the command unless it was finished before, with the same words and the same input files, and its outputs are
# still there. FORCE=1 repeats it. One that was interrupted and has left the FILE of --state is given --resume, any other
# the OPTION of --afresh. Needs $STEPS, a folder for the records of begun and finished steps.
step() {
    local name=$1 description=$2 inputs=() outputs=() state='' afresh=() record begun wanted output started=$SECONDS
    shift 2
    while [[ $1 != -- ]]; do
        case $1 in
        --in) [[ -f $2 ]] && inputs+=("$2") || stop "$2: no such file" ;;
        --out) outputs+=("$2") ;;
        --state) state=$2 ;;
        --afresh) afresh=("$2") ;;
        esac
        shift 2
    done
    shift
    record=$STEPS/$name begun=$STEPS/$name.begun
    wanted=$(printf '%q ' "$@" && cat -- /dev/null "${inputs[@]}" | cksum)
    if [[ -z ${FORCE:-} && -f $record && $(<"$record") == "$wanted" ]]; then
        for output in "${outputs[@]}"; do [[ -e $output ]] || break; done
        if [[ ${#outputs[@]} == 0 || -e $output ]]; then
            echo "== $description: done already"
            return
        fi
    fi
    if [[ -z ${FORCE:-} && -e $state && -f $begun && $(<"$begun") == "$wanted" ]]; then
        echo "== $description (goes on from $state)"
        set -- "$@" --resume
    else
        echo "== $description"
        set -- "$@" "${afresh[@]}"
        rm -f "$state" # of another run: should this one be interrupted early, it must not be gone on from
    fi
    mkdir -p "$STEPS"
    rm -f "$record"
    printf '%s\n' "$wanted" >"$begun"
    "$@"
    mv "$begun" "$record"
    echo "   ($((SECONDS - started)) s)"
}

# How the graph network is trained on the small sample; the published options are train.py's defaults.
SAMPLE_GRAPH_OPTIONS=(--batch_size 8 --learning_rate 3e-4 --epochs 40)

# preprocess_features FEATURES PREPROCESSED: with $DEV_SESSIONS as dev sessions, if there are any.
preprocess_features() {
    step preprocess "Stage 3: features into train, dev and test dialogues" --in "$1" --out "$2" -- \
        "$python" COGMEN_code/preprocess.py --dataset KEMDy19 --feat_dir "$1" --res_dir "$2" \
        ${DEV_SESSIONS:+--dev_sessions $DEV_SESSIONS}
}

# stage3 FEATURES PREPROCESSED ZOO RESULTS SEEDS TRAIN_OPTION...
# Preprocesses the features, trains the graph network for each of a, t, at and each seed (24, 25, ...), scores each.
stage3() {
    local features=$1 preprocessed=$2 zoo=$3 results=$4 seeds=$5 modalities seed run checkpoint
    shift 5
    preprocess_features "$features" "$preprocessed"
    for modalities in a t at; do
        # Scores of seeds beyond those asked for, left by an earlier run, do not belong into the table.
        for run in "$results/cgnn/$modalities"/seed*; do
            ((${run##*/seed} < 24 + seeds)) 2>/dev/null || rm -rf "$run"
        done
        for ((seed = 24; seed < 24 + seeds; seed++)); do
            run=$modalities/seed$seed
            checkpoint=$zoo/model_checkpoints/KEMDy19_best_dev_f1_model_${modalities}_seed$seed.pt
            step "train_$modalities$seed" "Stage 3: train the graph network, $modalities, seed $seed" \
                --in "$preprocessed" --out "$checkpoint" --state "${checkpoint%.pt}.resume" -- \
                "$python" COGMEN_code/train.py --dataset KEMDy19 --modalities "$modalities" --from_begin \
                --preprocessed_feature "$preprocessed" --out_dir "$zoo" --tag "seed$seed" --seed "$seed" "$@"
            step "eval_$modalities$seed" "Stage 3: score it on the held-out sessions" \
                --in "$preprocessed" --in "$checkpoint" --out "$results/cgnn/$run/metrics.json" -- \
                "$python" COGMEN_code/eval.py --dataset KEMDy19 --modalities "$modalities" --pt_dir "$checkpoint" \
                --data_dir "$preprocessed" --out_dir "$results/cgnn/$run"
        done
    done
}
