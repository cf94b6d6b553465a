# The pipeline with its environment .venv, as on any other machine; nothing needs this file.
#
#   docker build --tag erc .
#   docker build --tag erc --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cu130 .     for NVIDIA's GPUs
#   docker run --rm -it erc bash run_tests.sh
#   docker run --rm -it --gpus all --volume "$PWD/KEMDy19:/erc/KEMDy19" erc bash run_command.sh KEMDy19
FROM python:3.11-slim

# zip and unzip: what tests compare the reader of split zips with; g++: torch.compile on a CPU.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends g++ unzip zip \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /erc
COPY . .

# torch first, in the build that is wanted; set_up adds all else, with its hashes.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
RUN python -m venv .venv \
    && .venv/bin/pip install --no-cache-dir "$(grep '^torch==' requirements.txt)" --index-url "$TORCH_INDEX"
RUN PIP_NO_CACHE_DIR=1 bash -c 'set -euo pipefail; source tools/steps.sh; set_up tests/requirements.lock'

CMD ["bash"]
