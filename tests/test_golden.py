"""The networks against golden vectors of the published implementations, within the bounds of tolerances.json."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from tests.golden.__main__ import MODELS, differences
from tests.golden.files import HERE, Bounds, Golden, UnboundEntryError, sampled

SHARED = Path(__file__).parent.parent.parent / "shared" / "specs" / "fomm_family" / "golden"


def golden_file(model):
    """The whole file where the specifications lie beside the checkout, else the reduced one."""
    whole = SHARED / f"{model}.npz"
    return whole if whole.exists() else HERE / f"{model}.npz"


@pytest.mark.parametrize("model", MODELS)
def test_every_entry_is_within_its_bound(model):
    rows = list(differences(golden_file(model)))
    above = [f"{name}: {found:.2e} > {bound.bound:.0e}" for name, found, bound in rows if _above(found, bound)]
    assert above == []
    # Entries of the smallest whole file, and of the smallest reduced one: an empty comparison must not pass.
    assert sum(found is not None for _, found, _ in rows) >= (116 if SHARED.exists() else 75)


def _above(found, bound):
    return found is not None and not found <= bound.bound


@pytest.mark.parametrize("model", MODELS)
def test_reduced_files_are_small_and_wholly_bounded(model):
    golden = Golden(HERE / f"{model}.npz")
    assert golden.reduced
    for name in golden.names:
        Bounds().of(name)
    pictures = {file for name in golden.names if golden.arrays[name].dtype.kind == "U" for file in golden.arrays[name]}
    shared = sum((HERE / file).stat().st_size for file in pictures) / len(MODELS)
    assert golden.path.stat().st_size + shared < 300_000


def test_an_entry_without_a_bound_is_an_error():
    with pytest.raises(UnboundEntryError, match="covered by 0 bounds"):
        Bounds().of("ac2_prediction")


def test_no_entry_has_two_bounds():
    bounds = json.loads((HERE / "tolerances.json").read_text())
    for model in MODELS:
        for name in Golden(golden_file(model)).names:
            assert sum(bool(re.fullmatch(bound["pattern"], name)) for bound in bounds) == 1, name


def test_a_difference_above_its_bound_is_seen():
    golden = Golden(HERE / "fpb.npz")
    bound = Bounds().of("prior_f64")
    right = golden.arrays["prior_f64"]
    assert golden.reduced
    assert sampled(right) is right
    assert golden.difference("prior_f64", right, bound) == 0
    wrong = right.copy()
    wrong.flat[0] += 2e-4
    assert golden.difference("prior_f64", wrong, bound) == pytest.approx(2e-4)
    wrong.flat[0] = np.nan
    assert golden.difference("prior_f64", wrong, bound) == np.inf
    assert golden.difference("prior_f64", right[:-1], bound) == np.inf


def test_the_command_refuses_an_unknown_model(tmp_path):
    with pytest.raises(SystemExit, match="choices: fomm, fpb, mraa"):
        list(differences(tmp_path / "other.npz"))
    with pytest.raises(SystemExit, match="does not exist"):
        list(differences(tmp_path / "fomm.npz"))
