#!/bin/sh
# The systems that benchmarks/search_quality compares with, in an environment of their own: .venv-peers.
# By pip, whose index may have a build of torch without CUDA.
set -eu
cd "$(dirname "$0")/.."
unset PYTHONDONTWRITEBYTECODE
folder=.venv-peers
[ -x $folder/bin/python ] || "${PYTHON:-python3}" -m venv $folder
pip="$folder/bin/python -m pip install -q -c benchmarks/search_quality/constraints.txt"
$pip torch
$pip optuna cmaes ax-platform keras keras-tuner six scikit-learn scipy fsspec swig disjoint-set pymoo
PATH="$PWD/$folder/bin:$PATH" $pip smac
$pip --no-deps HEBO  # it asks for releases of numpy and GPy that don't go together, and needs neither here
