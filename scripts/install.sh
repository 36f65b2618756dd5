#!/bin/sh
# Makes .venv and installs the project into it: install.sh EXTRAS [GROUP]
# Needs only python3 (3.11 or newer); uses uv where it is there, because it is faster.
set -eu
cd "$(dirname "$0")/.."
unset PYTHONDONTWRITEBYTECODE
python=${PYTHON:-python3}
extras=$1
group=${2:-}

if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    echo "ktcomponent needs Python 3.11 or newer as '$python'; set PYTHON=/path/to/python3 to use another one." >&2
    exit 1
fi
if [ ! -x .venv/bin/python ]; then
    if command -v uv >/dev/null 2>&1; then
        uv venv -q --python "$python" .venv
    elif ! "$python" -m venv .venv >/dev/null 2>&1; then
        rm -rf .venv
        echo "'$python' can't make virtual environments; on Debian install it: apt-get install python3-venv" >&2
        exit 1
    fi
fi
if command -v uv >/dev/null 2>&1; then
    uv=uv
else
    .venv/bin/python -m pip install -q -c constraints.txt uv
    uv=.venv/bin/uv
fi
if [ -n "$group" ]; then group="--group $group"; fi
# shellcheck disable=SC2086
"$uv" pip install -q --python .venv/bin/python --compile-bytecode -c constraints.txt -e ".[$extras]" $group
