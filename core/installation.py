"""The location of the suite's files: a checkout, run with `python bench.py`, or a single package installed by pip."""

from pathlib import Path

import megbench

_PACKAGE = Path(megbench.__file__).resolve().parent
# The folder that contains core, engine, faces, etc.: the checkout, or the package itself if it is installed.
ROOT = Path(__file__).resolve().parents[1]
INSTALLED = ROOT == _PACKAGE
# The folder in which Python finds `megbench`.
IMPORTED_FROM = _PACKAGE.parent
# What a user types before a command's name, as shown in messages.
COMMAND = "megbench" if INSTALLED else "python bench.py"
