#!/usr/bin/env bash
# pandas 3.1.1: installing python-calamine beside openpyxl changes what `read_excel` does with an .xlsx file in all
# other code in the environment, although none of that code requested calamine. pandas still reads with openpyxl, but
# warns (Pandas4Warning) that its default engine will become calamine. A test suite that turns warnings into errors
# fails in code that mentions neither package, and an analysis prints a new warning. Name the engine in every call.
# Source: pandas/io/excel/_base.py of 3.1.1 (its comment cites issue 56542).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
pip() { "$work/venv/bin/pip" -q --disable-pip-version-check install "$@"; }
pip pandas==3.1.1 openpyxl==3.1.5
cat >"$work/read.py" <<'PYTHON'
import sys
import warnings
from importlib.metadata import PackageNotFoundError, version

import openpyxl
import pandas as pd

book = openpyxl.Workbook()
for row in (["Subject", "OnsetFrame"], ["006", 46]):
    book.active.append(row)
path = sys.argv[1] + "/coding.xlsx"
book.save(path)
try:
    calamine = version("python-calamine")
except PackageNotFoundError:
    calamine = "not installed"
print("pandas", pd.__version__, "| openpyxl", openpyxl.__version__, "| python-calamine", calamine)
counts = []
for engine in (None, "openpyxl"):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        table = pd.read_excel(path, engine=engine, dtype=object)
    counts.append(sum("default engine" in str(warning.message) for warning in caught))
    print(f"engine={engine}: {table.iloc[0].tolist()}, warnings of the default engine: {counts[-1]}")
sys.exit(0 if counts == [int(calamine != "not installed"), 0] else 1)
PYTHON
"$work/venv/bin/python" "$work/read.py" "$work"
pip python-calamine==0.9.1
"$work/venv/bin/python" "$work/read.py" "$work"
echo "As described: the warning comes with the second package."
