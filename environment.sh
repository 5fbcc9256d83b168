#!/bin/sh
# Makes the virtual environment: environment.sh DIRECTORY WHAT [PYTHON]
# Needs Python 3.11 or 3.12; where Debian's venv module is missing and we are root, installs it.
set -u
directory=$1
what=$2

fail() {
    echo "turnwise: $1" >&2
    exit 1
}

fits() {
    "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null
}

python=
for candidate in ${3:-} python3.12 python3.11 python3; do
    if fits "$candidate"; then
        python=$candidate
        break
    fi
done
[ -n "$python" ] || fail "Python 3.11 or 3.12 is missing; install it, or name it: make run PYTHON=/path/to/python3.12"

if [ -x "$directory/bin/python" ] && ! fits "$directory/bin/python"; then
    rm -rf "$directory"
fi
if ! [ -x "$directory/bin/pip" ]; then
    if ! "$python" -c 'import ensurepip' 2>/dev/null; then
        version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
        if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
            echo "installing python$version-venv"
            { apt-get update -qq && apt-get install -y -qq "python$version-venv"; } >/dev/null 2>&1 || true
        fi
        "$python" -c 'import ensurepip' 2>/dev/null ||
            fail "Python's venv module is missing; run: sudo apt-get install python$version-venv"
    fi
    echo "making the environment in $directory (once, about two minutes)"
    "$python" -m venv "$directory" || fail "no virtual environment could be made in $directory"
fi
"$directory/bin/python" -m pip install --quiet --disable-pip-version-check \
    --constraint constraints.txt --editable "$what" ||
    fail "the packages could not be installed; see the lines above (is the package index reachable?)"
