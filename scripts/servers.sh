#!/bin/sh
# Installs what the tests need beside Python packages: Azurite, a server that speaks Azure's blob storage.
# Where there is no npm and none may be installed, the tests that need it are skipped.
set -eu
cd "$(dirname "$0")/.."
version=3.35.0

if [ -x .servers/node_modules/.bin/azurite-blob ]; then exit 0; fi
if ! command -v npm >/dev/null 2>&1; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
        apt-get install -qq -y nodejs npm >/dev/null || { apt-get update -qq && apt-get install -qq -y nodejs npm >/dev/null; }
    else
        echo "npm is missing, so the tests on Azure's blob storage will be skipped." >&2
        exit 0
    fi
fi
mkdir -p .servers
npm install --prefix .servers --silent --no-audit --no-fund --no-package-lock "azurite@$version"
