"""Where the suite's files are: in a checkout, where `python bench.py` runs it, or in one package that pip installed."""

from pathlib import Path

import megbench

_PACKAGE = Path(megbench.__file__).resolve().parent
# The folder of the rooms: a checkout, or the package itself if it is installed.
ROOT = Path(__file__).resolve().parents[1]
INSTALLED = ROOT == _PACKAGE
# The folder in which Python finds `megbench`.
IMPORTED_FROM = _PACKAGE.parent
# What a user types before a command's name, as messages say it.
COMMAND = "megbench" if INSTALLED else "python bench.py"
