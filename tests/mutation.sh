#!/usr/bin/env bash
# Change the code that decides results in every small way, one change at a time, and list the changes that no test
# notices. It works in a copy, build/mutation, and goes on there where it was stopped; a function that was changed
# since is done again.
#
#     bash tests/mutation.sh                            # every file below, some hours on 2 cores
#     bash tests/mutation.sh 'cogmen.network.graph.*'   # mutants by name, again if they were done before
#     rm -rf build/mutation                             # start again
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=${PYTHON:-$PWD/.venv/bin/python}
copy=$PWD/build/mutation
tool=$PWD/build/mutmut

if [[ ! -d $tool ]]; then
    rm -rf "$tool.part"
    "$python" -m pip install --quiet --no-deps --target "$tool.part" mutmut==3.8.1 libcst==1.9.0 click==8.5.1 \
        setproctitle==1.3.8 coverage==7.17.5 textual==8.2.8 rich==15.0.0 platformdirs==4.14.8
    mv "$tool.part" "$tool"
fi
# mutmut knows packages that lie in src/. The scripts stay beside them, where the packages look for them. It tells by
# the times of the files what has changed.
now=$(find erc MIRAI COGMEN_code benchmarks tools tests -name '*.py' -print0 | sort -z | xargs -0 sha256sum | sha256sum)
[[ $(cat "$copy/now" 2>/dev/null) == "$now" ]] || rm -f "$copy/mutants/mutmut-stats.json" # which test reaches what
rm -rf "$copy/src" "$copy/tests" "$copy/now"
mkdir -p "$copy"
mkdir "$copy/src"
cp -rp tests "$copy"
cp -rp erc MIRAI COGMEN_code benchmarks tools "$copy/src"
mv "$copy/src/MIRAI/mirai" "$copy/src/COGMEN_code/cogmen" "$copy/src"
cat >"$copy/pyproject.toml" <<'TOML'
[tool.pytest.ini_options]
# Of a run for one mutant, collecting garbage for the plugin of unraisable exceptions would be four fifths.
addopts = "--strict-markers -p no:cacheprovider -p no:unraisableexception -p no:threadexception"
filterwarnings = ["ignore"]
timeout = 300

[tool.mutmut]
source_paths = ["src"]
only_mutate = [
    "src/cogmen/network/*", "src/cogmen/training.py",
    "src/mirai/network/*", "src/mirai/training/sampling.py",
    "src/erc/corpus/metrics.py", "src/erc/corpus/splits.py", "src/erc/corpus/dialogues.py",
    "src/erc/corpus/formatting.py",
]
do_not_mutate_patterns = ['^ +(raise|assert) ']
pytest_add_cli_args_test_selection = [
    "tests/cogmen/test_graph.py", "tests/cogmen/test_batching.py", "tests/cogmen/test_model.py",
    "tests/cogmen/test_training.py", "tests/cogmen/test_flag_effects.py", "tests/cogmen/test_improved.py",
    "tests/cogmen/test_ablations.py", "tests/cogmen/test_feelings.py", "tests/cogmen/test_online.py",
    "tests/cogmen/test_soft_labels.py", "tests/cogmen/test_unlabelled.py",
    "tests/cogmen/test_mosei.py::test_the_loss_against_a_loop",
    "tests/mirai/test_sampling.py", "tests/mirai/test_extractor.py", "tests/mirai/test_encoders.py",
    "tests/mirai/test_recipe.py", "tests/mirai/test_feelings.py", "tests/mirai/test_quantisation.py",
    "tests/erc/corpus",
]
pytest_add_cli_args = ["-k", "not compiled and not on_the_sample"]
process_isolation = "forkserver"
use_git_change_detection = false
timeout_multiplier = 5.0
timeout_constant = 10.0
TOML
echo "$now" >"$copy/now"
cd "$copy"
export PYTHONPATH=$tool HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1
"$python" -m mutmut run --max-children "${CHILDREN:-2}" "$@"
"$python" -m mutmut results
