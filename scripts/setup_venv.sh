#!/usr/bin/env bash
# Makes the virtual environment that every other target uses: mtgen from this folder (edits are seen at once) with the
# extras given. Usage: scripts/setup_venv.sh PYTHON VENV EXTRAS
set -euo pipefail
cd "$(dirname "$0")/.."
python=$1 venv=$2 extras=$3

if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    found=$("$python" --version 2>&1 || true)
    echo "setup: '$python' is '${found:-not found}', mtgen needs Python 3.11 or newer. Try: make setup PYTHON=python3.12" >&2
    exit 1
fi

if [ ! -x "$venv/bin/python" ]; then
    echo "setup: making $venv with $("$python" --version)"
    if ! "$python" -m venv "$venv"; then
        rm -rf "$venv"
        echo "setup: '$python -m venv' failed. On Debian and Ubuntu the package python3-venv is needed." >&2
        exit 1
    fi
fi

echo "setup: installing mtgen[$extras] and what it needs into $venv (about 350 MB to fetch, one to three minutes)"
# The filter keeps one line per package; errors and warnings come through stderr whole.
"$venv/bin/python" -m pip install --disable-pip-version-check --no-input --progress-bar off -e ".[$extras]" |
    awk '/^ *(Downloading|Processing|Building|Installing|Successfully)/ { sub(/^ +/, ""); print "  " substr($0, 1, 100); fflush() }'
echo "setup: done"
