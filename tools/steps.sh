# shellcheck shell=bash disable=SC2034,SC2154 # variables of the scripts that source it
# Sourced by run_command.sh, run_eval.sh and run_tests.sh: their options, the Python environment, and steps that are not
# repeated. Gives ROOT, the repository's root, and $python.
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# stop MESSAGE: wrong usage
stop() {
    echo "error: $1" >&2
    exit 2
}

((BASH_VERSINFO[0] * 100 + BASH_VERSINFO[1] >= 404)) || stop "bash $BASH_VERSION: expected 4.4 or newer"

# read_options "FLAG..." "OPTION..." ARGUMENT...: sets the variable of each option's name: a flag to 1, any other option
# to the word after it; an array gets that word appended. $given holds the options, $arguments all other words.
read_options() {
    local flags=" $1 " options=" $2 " name
    given=' ' arguments=()
    shift 2
    while (($#)); do
        name=${1#--}
        if [[ $1 == -h || $1 == --help ]]; then
            sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p}' "$0"
            exit
        elif [[ $1 != -* ]]; then
            arguments+=("$1")
        elif [[ $name == *[!a-z_]* || $flags$options != *" $name "* ]]; then
            stop "unknown option $1; see bash $(basename "$0") --help"
        else
            given+="$1 "
            if [[ $flags == *" $name "* ]]; then
                set_option "$name" 1
            else
                (($# > 1)) || stop "$1 needs a value"
                set_option "$name" "$2"
                shift
            fi
        fi
        shift
    done
}

set_option() {
    local -n variable=$1
    # shellcheck disable=SC2178
    if [[ $(declare -p "$1") == "declare -a"* ]]; then variable+=("$2"); else variable=$2; fi
}

# Relative paths are relative to where the user is, the scripts' own to ROOT.
absolute() {
    [[ -z $1 ]] || realpath -m "$1"
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
        "$python" -c 'import importlib.util, sys
sys.exit(not all(map(importlib.util.find_spec, ("erc", "cogmen", "mirai", "torch"))))' 2>/dev/null || {
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
    rm -f "$stamp" # from now on it may be half of one and half of the other
    local base without_pip=()
    base=$(find_python)
    # Debian may lack ensurepip; the base interpreter's pip installs into the environment either way.
    "$base" -c 'import ensurepip' 2>/dev/null || without_pip=(--without-pip)
    "$base" -m venv "${without_pip[@]}" "$ROOT/.venv"
    local install=("$base" -m pip --python "$python" --disable-pip-version-check install --quiet)
    (
        cd "$ROOT" || exit
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
# still there. $force repeats it. One that was interrupted and has left the FILE of --state is given --resume, any other
# the OPTION of --afresh. Needs $steps, a folder for the records of begun and finished steps.
step() {
    local name=$1 description=$2 inputs=() outputs=() state='' afresh=() record begun wanted output started=$SECONDS
    shift 2
    while [[ $1 != -- ]]; do
        case $1 in
        --in) [[ -f $2 ]] || stop "$2: no such file" && inputs+=("$2") ;;
        --out) outputs+=("$2") ;;
        --state) state=$2 ;;
        --afresh) afresh=("$2") ;;
        esac
        shift 2
    done
    shift
    record=$steps/$name begun=$steps/$name.begun
    wanted=$(printf '%q ' "$@" && cat -- /dev/null "${inputs[@]}" | cksum)
    if [[ -z ${force:-} && -f $record && $(<"$record") == "$wanted" ]]; then
        for output in "${outputs[@]}"; do [[ -e $output ]] || break; done
        if [[ ${#outputs[@]} == 0 || -e $output ]]; then
            echo "== $description: done already"
            return
        fi
    fi
    if [[ -z ${force:-} && -e $state && -f $begun && $(<"$begun") == "$wanted" ]]; then
        echo "== $description (goes on from $state)"
        set -- "$@" --resume
    else
        echo "== $description"
        set -- "$@" "${afresh[@]}"
        rm -f "$state" # of another run: should this one be interrupted early, it must not be gone on from
    fi
    mkdir -p "$steps"
    rm -f "$record"
    printf '%s\n' "$wanted" >"$begun"
    "$@"
    printf '%s\n' "$wanted" >"$begun" # again: another run may have begun this step with other words, and been refused
    mv "$begun" "$record"
    echo "   ($((SECONDS - started)) s)"
}

# unpack NAME ARCHIVE FOLDER [OPTION]: a (split) zip into a folder
unpack() {
    step "unpack_$1" "Unpack $2" --in "$2" --out "$3" -- \
        "$python" COGMEN_code/archive.py unpack --archive "$2" --out_dir "$3" "${@:4}"
}

# modalities_in PREPROCESSED: those of a, t and at that it has features for
modalities_in() {
    "$python" -c 'import sys; from erc.options import run; from erc.untrusted import read_pickle
def main():
    found = read_pickle(sys.argv[1])["train"][0].keys()
    print(*(modalities for modalities in ("a", "t", "at") if set(modalities) <= found))
run(main)' "$1"
}

# corpus_in DIALOGUES: the corpus that a dialogue file says it is of, else KEMDy19
corpus_in() {
    "$python" -c 'import sys; from erc.corpus.dialogues import second_pickle
from erc.options import run
from erc.untrusted import read_two_pickles
def main():
    _, more = read_two_pickles(sys.argv[1])
    print(second_pickle(sys.argv[1], more, None)[1].name)
run(main)' "$1"
}

# modalities_of_table TABLE: t where any of its turns has text, a where they have speech, and at for both
modalities_of_table() {
    "$python" -c 'import sys; from pathlib import Path; from erc.corpus.annotations import read_annotations
from erc.options import run
def main():
    table = Path(sys.argv[1])
    turns = [table.parent / "txt_wav" / utterance.segment_id for utterance in read_annotations(table)]
    speech = any(Path(f"{turn}.wav").exists() for turn in turns)
    text = any(Path(f"{turn}.txt").stat().st_size for turn in turns)
    print(*(["a"] if speech else []), *(["t"] if text else []), *(["at"] if speech and text else []))
run(main)' "$1"
}

# sessions_of_table TABLE: all of its sessions; on a second line those that its corpus holds out
sessions_of_table() {
    "$python" -c 'import sys; from pathlib import Path; from erc.options import run
from erc.corpus.annotations import read_annotations, sessions_of, table_corpus
def main():
    table = Path(sys.argv[1])
    corpus = table_corpus(table)
    print(*sessions_of(read_annotations(table, corpus)))
    print(*corpus.test_sessions)
run(main)' "$1"
}

# group K N WORD...: the K-th (from 0) of N groups of neighbouring words, whose sizes differ by one at most
group() {
    local k=$1 groups=$2
    shift 2
    local from=$(($# * k / groups)) to=$(($# * (k + 1) / groups))
    echo "${@:from + 1:to - from}"
}

# name_of_manifest MANIFEST: of its corpus
name_of_manifest() {
    "$python" -c 'import sys; from pathlib import Path; from erc.options import run
from mirai.readers.labels import Labels
run(lambda: print(Labels(Path(sys.argv[1])).checked_name()))' "$1"
}

# modalities_of CHECKPOINT: from the name that train.py gives (eval.py refuses one that lies), else from the inside
modalities_of() {
    if [[ $1 =~ _model_([atv]+)_[^/]*$ ]]; then echo "${BASH_REMATCH[1]}" && return; fi
    "$python" -c 'import sys; from cogmen.checkpoints import load_checkpoint; from erc.options import run
run(lambda: print(load_checkpoint(sys.argv[1]).modalities))' "$1"
}

# The steps of stage 3, which both scripts end with. They need $dataset and $on_device.

# How the graph network is trained on the small sample; the published options are train.py's defaults.
SAMPLE_GRAPH_OPTIONS=(--batch_size 8 --learning_rate 3e-4 --epochs 40)

# preprocess_features FEATURES PREPROCESSED [OPTION...]
preprocess_features() {
    step "preprocess${fold:-}" "Stage 3: features into train, dev and test dialogues" --in "$1" --out "$2" -- \
        "$python" COGMEN_code/preprocess.py --dataset "$dataset" --feat_dir "$1" --res_dir "$2" \
        "${@:3}"
}

# train_and_score PREPROCESSED ZOO RESULTS "MODALITIES..." SEEDS [TRAIN_OPTION...]: each of the modalities with each of
# the seeds 24, 25, ... $fold, such as fold2_, stands before the names of a fold's runs. $ablation, if any, is the part
# that the network is to lack.
train_and_score() {
    local preprocessed=$1 zoo=$2 seeds=$5 modalities seed run checkpoint fold=${fold:-} ablation=${ablation:-}
    local name=$fold${ablation:+${ablation}_}seed what="${fold//_/, }${ablation:+$ablation, }seed " results=$3/cgnn
    [[ -z $ablation ]] || results=$3/ablations/$ablation
    for modalities in $4; do
        # Scores of seeds beyond those asked for, left by an earlier run, do not belong into the table.
        for run in "$results/$modalities/${fold}seed"*; do
            ((${run##*seed} < 24 + seeds)) 2>/dev/null || rm -rf "$run"
        done
        for ((seed = 24; seed < 24 + seeds; seed++)); do
            run=$modalities/${fold}seed$seed
            checkpoint=$zoo/model_checkpoints/${dataset}_best_dev_f1_model_${modalities}_$name$seed.pt
            step "train_$modalities${name%seed}$seed" "Stage 3: train the graph network, $modalities, $what$seed" \
                --in "$preprocessed" --out "$checkpoint" --state "${checkpoint%.pt}.resume" -- \
                "$python" COGMEN_code/train.py --dataset "$dataset" --modalities "$modalities" --from_begin \
                --preprocessed_feature "$preprocessed" --out_dir "$zoo" --tag "$name$seed" --seed "$seed" \
                "${@:6}" ${ablation:+--ablate "$ablation"} "${on_device[@]}"
            step "eval_$modalities${name%seed}$seed" "Stage 3: score it on the held-out ${held_out_what:-sessions}" \
                --in "$preprocessed" --in "$checkpoint" --out "$results/$run/metrics.json" -- \
                "$python" COGMEN_code/eval.py --dataset "$dataset" --modalities "$modalities" --pt_dir "$checkpoint" \
                --data_dir "$preprocessed" --out_dir "$results/$run"
        done
    done
}

# train_ablated: as train_and_score, without one part after the other
train_ablated() {
    local names name
    names=$("$python" -c 'import sys; from cogmen.recipes import ABLATIONS; print(*ABLATIONS[sys.argv[1]])' \
        "${recipe:-published}")
    for name in $names; do ablation=$name train_and_score "$@"; done
}

# show_ablations RESULTS CORPUS: what each part is worth
show_ablations() {
    echo
    "$python" tools/ablations.py --results_dir "$1" --corpus "$2" --out "$1/ablations.md"
}
