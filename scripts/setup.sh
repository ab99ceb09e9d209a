#!/bin/sh
# Make an environment for WHAT in $VENV: local (run with the embedded model), test, fuzz, or check.
# Needs Python 3.11 or later and the network; asks for nothing and changes nothing outside $VENV, except that a missing
# venv module is installed where that is possible without a password.
set -eu
what=${1:?usage: setup.sh local|test|fuzz|check}
venv=${VENV:-.venv}

find_python() {
    for name in ${PYTHON:-} python3.13 python3.12 python3.11 python3 python; do
        if command -v "$name" >/dev/null 2>&1 &&
            "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
            echo "$name"
            return 0
        fi
    done
    return 1
}

make_venv() {
    "$1" -m venv "$venv" >/dev/null 2>&1 && return 0
    # Debian splits the venv module off. As root we can fetch it; otherwise uv or virtualenv may be there.
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
        apt-get install -y -qq python3-venv >/dev/null 2>&1 || { apt-get update -qq && apt-get install -y -qq python3-venv; } >/dev/null 2>&1 || true
        rm -rf "$venv"
        "$1" -m venv "$venv" >/dev/null 2>&1 && return 0
    fi
    rm -rf "$venv"
    if command -v uv >/dev/null 2>&1; then
        uv venv -q --seed --python "$1" "$venv" && return 0
    fi
    command -v virtualenv >/dev/null 2>&1 && virtualenv -q -p "$1" "$venv"
}

# Programs in JavaScript that drive commands like ours, for the tests; without node these tests are left out, and say so.
# Their optional packages are the other command itself, 250 MB of it.
node_programs() {
    if ! command -v npm >/dev/null 2>&1 && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
        { apt-get update -qq && apt-get install -y -qq --no-install-recommends nodejs npm; } >/dev/null 2>&1 || true
    fi
    if ! command -v npm >/dev/null 2>&1; then
        echo "setup: no npm; the tests with programs in JavaScript are left out" >&2
        return 0
    fi
    mkdir -p "$venv/node"
    npm install --prefix "$venv/node" --omit=optional --no-audit --no-fund --loglevel=error \
        @anthropic-ai/claude-agent-sdk @zed-industries/claude-agent-acp >/dev/null ||
        echo "setup: npm could not install what the tests with programs in JavaScript need" >&2
}

# The sources of the public client: its wheel brings another command along, which would be used in the place of ours.
test_packages() {
    "$venv/bin/python" -m pip install -q --disable-pip-version-check --no-binary claude-agent-sdk -e . --group test "$@"
}

if [ ! -x "$venv/bin/python" ] || ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    python=$(find_python) || { echo "setup: Python 3.11 or later is needed; install it or set PYTHON=/path/to/python" >&2; exit 1; }
    echo "setup: making $venv with $python" >&2
    make_venv "$python" || { echo "setup: cannot make a virtual environment; install the venv module (python3-venv)" >&2; exit 1; }
    "$venv/bin/python" -m pip install -q --disable-pip-version-check --upgrade 'pip>=25.1'
fi
echo "setup: installing what '$what' needs" >&2
case $what in
    local) "$venv/bin/python" -m pip install -q --disable-pip-version-check -e '.[local]' ;;
    test) test_packages && node_programs ;;
    # The guided fuzzer is built for some systems only; without it `make nightly` tries what it can.
    fuzz) test_packages &&
        { "$venv/bin/python" -m pip install -q --disable-pip-version-check --group fuzz ||
            echo "setup: no guided fuzzer for this system" >&2; } ;;
    check) test_packages --group check ;;
    *) echo "setup: nothing is known about '$what'" >&2; exit 2 ;;
esac
