#!/usr/bin/env bash
# Makes the virtual environment that every other target uses: mtgen from this folder (edits are seen at once) with the
# extras given. Usage: scripts/setup_venv.sh PYTHON VENV EXTRAS
set -euo pipefail
cd "$(dirname "$0")/.."
python=$1 venv=$2 extras=$3

if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    found=$("$python" --version 2>&1 | head -n 1) && found="is $found" || found="does not run"
    echo "setup: mtgen needs Python 3.11 or newer, '$python' $found. Name another: make setup PYTHON=python3.12" >&2
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

echo "setup: installing mtgen[$extras] and what it needs into $venv (about 300 MB to fetch, one to three minutes)"
# The filter leaves one short line per package; errors and warnings come through stderr whole.
"$venv/bin/python" -m pip install --disable-pip-version-check --no-input --progress-bar off --config-settings editable_mode=compat -e ".[$extras]" | awk '
    /^ *(Downloading|Processing|Using cached) .*\.(whl|tar\.gz)/ {
        sub(/^ *(Downloading|Processing|Using cached) /, ""); sub(/ \(from .*/, "")
        size = match($0, / \([0-9.]+ [kMG]?B\)$/) ? substr($0, RSTART) : ""
        sub(/ \(.*/, ""); sub(/.*\//, ""); split($0, part, "-")
        printf "  %s %s%s\n", part[1], part[2], size; fflush(); next
    }
    /^(Building editable|Installing collected)/ { sub(/[:(].*/, ""); print "  " $0; fflush() }'
echo "setup: done"
