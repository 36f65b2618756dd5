#!/bin/sh
# The oldest supported Airflow in an environment of its own, for the operators' unit tests; after install.sh.
set -eu
cd "$(dirname "$0")/.."
unset PYTHONDONTWRITEBYTECODE
if command -v uv >/dev/null 2>&1; then uv=uv; else uv=.venv/bin/uv; fi
folder=.venv-airflow-3.1
[ -x $folder/bin/python ] || "$uv" venv -q --python .venv/bin/python $folder
"$uv" pip install -q --python $folder/bin/python --compile-bytecode -c constraints-airflow-3.1.txt \
    -e '.[airflow,docker,kubernetes]' pytest pytest-timeout
