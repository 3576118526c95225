"""MEG-Bench as one package: `megbench.core`, `megbench.faces` and so on; plug-ins import what they need from here.

In a checkout, the subpackages are folders beside this one, because their top-level names are fixed. This package
therefore looks for its modules there, too. The names in EXPORTS are imported on first use: `from megbench import
Figure` loads no torch.
"""

from importlib import import_module
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
if not (HERE / "core").is_dir():  # in a checkout; an installed package has its modules inside
    __path__.append(str(HERE.parent))

EXPORTS = {
    **dict.fromkeys(("BenchError", "CellFailed", "NotSupplied", "Unavailable"), "megbench.core.errors"),
    **dict.fromkeys(("Cell", "Clip", "Template"), "megbench.core.clip"),
    **dict.fromkeys(("Control", "Method", "Metric", "Partial", "Score"), "megbench.core.contracts"),
    "Figure": "megbench.core.figures",
    **dict.fromkeys(("OptimiserSpec", "Phase", "Trainable"), "megbench.core.contracts"),
    **dict.fromkeys(("Generator", "Mode"), "megbench.core.generator"),
    **dict.fromkeys(("Result", "run", "score"), "megbench.api"),
}


def __getattr__(name: str) -> Any:
    """Return an object that EXPORTS lists, imported from the module that defines it."""
    if name not in EXPORTS:
        raise AttributeError(f"module 'megbench' has no attribute {name!r}")
    return getattr(import_module(EXPORTS[name]), name)


def __dir__() -> list[str]:
    """Return the names that plug-ins may import."""
    return sorted(EXPORTS)
