"""Compare the networks with golden vectors of the published implementations.

    python -m tests.golden FILE.npz [--salt S] [--device D]    print the largest difference of every entry
    python -m tests.golden FILE.npz --reduce    write the reduced file and its pictures into tests/golden

The file's base name determines the model; base name and entry name determine the bounds (tests/golden/bounds.py). The
salt must be that of the weights with which the file was made; inputs are read from the file. The exit code is 1 if a
difference is above its bound.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import torch

from tests.golden.bounds import HERE, Bound, UnboundEntryError
from tests.golden.files import Golden, compare
from tests.golden.fill import filled_vgg, undrawn

# For each file's base name, the module with its entries and the family with whose weights it was made.
FILES = {name: (name, "fomm") for name in ("fomm", "fpb", "mraa")} | {
    model + part: (model, "tps")
    for model, parts in {
        "tpsmm": ("", "_train", "_tiny", "_tiny_train"),
        "megc2022": ("", "_train", "_tiny", "_tiny_train", "_tiny_f64", "_au"),
        "ulmegan": ("", "_train", "_au"),
    }.items()
    for part in parts
}
# Left out of the reduced files to keep the test short: second training steps and one of each pair of variants.
NOT_REDUCED = (
    r".*_step2_.*|train_ac1_.*|trainadv_.*|anim_(rel|relscale|standard|relative)[01]_ac[01]_prediction"
    r"|epoch0/.*|masked/.*|small/au[12]/.*|.*@stat"
)


def differences(path: Path, salt: str = "", left_out: str = "") -> Iterator[tuple[str, float | None, Bound]]:
    """Yield (entry, largest difference or None, bound) for every entry of a file that `left_out` does not match."""
    if path.stem not in FILES:
        raise SystemExit(f"{path}: no golden file is called {path.stem!r}; choices: {', '.join(FILES)}")
    if not path.is_file():
        raise SystemExit(f"{path} does not exist")
    module, family = FILES[path.stem]
    entries = import_module(f"tests.golden.{module}").entries
    with undrawn(), tempfile.TemporaryDirectory() as folder:
        vgg = Path(folder) / "vgg19.pth"
        torch.save(filled_vgg(salt, family), vgg)
        golden = Golden(path)
        golden.names = {name for name in golden.names if not re.fullmatch(left_out, name)}
        yield from compare(golden, entries(golden, salt, vgg))


def spent(found: float, bound: Bound) -> float:
    """Return a difference as a share of its bound; a bound of 0 requires equality."""
    if not found:
        return 0.0
    return found / bound.bound if bound.bound else float("inf")


def main() -> int:
    """Print the differences, with the largest (as shares of their bounds) last."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--salt", default="")
    parser.add_argument("--reduce", action="store_true")
    parser.add_argument("--device", default="cpu", help="where everything is computed; TF32 is off")
    arguments = parser.parse_args()
    if arguments.reduce:
        print(Golden(arguments.file).reduce(HERE, NOT_REDUCED))
        return 0
    torch.set_default_device(arguments.device)
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    try:
        rows = list(differences(arguments.file, arguments.salt))
    except UnboundEntryError as error:
        raise SystemExit(f"{arguments.file}: {error}") from None
    compared = sorted((spent(found, bound), name, found, bound) for name, found, bound in rows if found is not None)
    for name, found, bound in rows:
        if found is None:
            print(f"{bound.kind:>10}                        {name}")
    for share, name, found, bound in compared:
        print(f"{found:10.2e} of {bound.bound:.0e} {bound.kind:<8}  {name}{'   ABOVE' if share > 1 else ''}")
    above = sum(share > 1 for share, *_ in compared)
    uncompared = len(rows) - len(compared)
    print(f"{len(compared)} entries compared, {uncompared} inputs or ignored, {above} above their bounds")
    return 1 if above else 0


if __name__ == "__main__":
    sys.exit(main())
