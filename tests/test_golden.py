"""The networks against golden vectors of the published implementations, within the bounds of tolerances.json."""

import hashlib
import json
import re
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch

from nets.vgg import Vgg19
from tests.golden.__main__ import FILES, differences
from tests.golden.bounds import bounds
from tests.golden.files import HERE, Bounds, Golden, UnboundEntryError, plain, sampled
from tests.golden.fill import draw

SHARED = Path(__file__).parent.parent.parent / "shared" / "specs"
FOLDERS = {"fomm": SHARED / "fomm_family" / "golden", "tps": SHARED / "tps_ulme" / "golden"}
MODELS = sorted({model for model, _ in FILES.values()})
# A prediction or a training step at the published size takes a second or many. `make goldens` compares everything; here
# each model is compared in one training step of every stage, at one `align_corners`, and in one prediction from points
# that were transferred. FOMM and FPB-FOMM have one generator, with the same weights here: what it does at the other
# `align_corners`, with transferred points, and its gradients are compared in FPB-FOMM's file only.
REPEATED = (
    r"anim_(abs|avd|standard)\d_ac0_prediction|anim_(relscale|relative)([01]_ac0|2_ac1)_prediction"
    r"|train_ac1_.*|trainadv_.*|train_ac\d_step2_.*|masked/.*"
)
IN_FPB = {"fomm": r"|ac1_.*|anim_.*_prediction|train_ac0_grad(norm)?_generator.*"}
# What the whole files and the reduced ones compare at least: an empty comparison must not pass.
COMPARED = {"fomm": (63, 63), "tps": (2, 2)}


def golden_file(name):
    """The whole file where the specifications lie beside the checkout, else the reduced one."""
    whole = FOLDERS[FILES[name][1]] / f"{name}.npz"
    return whole if whole.exists() else HERE / f"{name}.npz"


# Too long for every run: `make goldens` compares them, and here their small models stand for them.
LARGE = ("tpsmm", "tpsmm_train", "megc2022", "megc2022_train")
PRESENT = [name for name in FILES if name not in LARGE and golden_file(name).exists()]
REDUCED = [name for name in FILES if (HERE / f"{name}.npz").exists()]


@pytest.fixture(scope="module", autouse=True)
def remembered():
    """Look at a picture that needs no gradient with one VGG-19 once: three models are trained on one driving picture.

    In the end its features and the weights of the last models are let go.
    """
    look, seen = Vgg19.forward, {}

    def features(vgg, picture):
        if torch.is_grad_enabled():
            return look(vgg, picture)
        key = [hashlib.blake2b(one.numpy().tobytes()).digest() for one in (vgg.features[0].weight, picture)]
        if (key := tuple(key)) not in seen:
            seen[key] = look(vgg, picture)
        return seen[key]

    with mock.patch.object(Vgg19, "forward", features):
        yield
    draw.cache_clear()


@pytest.mark.parametrize("name", PRESENT)
def test_every_entry_is_within_its_bound(name):
    rows = list(differences(golden_file(name), left_out=REPEATED + IN_FPB.get(name, "")))
    above = [f"{name}: {found:.2e} > {bound.bound:.0e}" for name, found, bound in rows if _above(found, bound)]
    assert above == []
    whole, reduced = COMPARED[FILES[name][1]]
    assert sum(found is not None for _, found, _ in rows) >= (whole if SHARED.exists() else reduced)


def test_every_file_or_a_reduced_form_of_its_model_is_compared():
    assert set(PRESENT) == (set(FILES) - set(LARGE) if SHARED.exists() else set(REDUCED))
    assert {FILES[name][0] for name in REDUCED} == set(MODELS)
    assert any(name.startswith(model) and "train" in name for model in ("tpsmm", "megc2022") for name in REDUCED)


def _above(found, bound):
    return found is not None and not found <= bound.bound


@pytest.mark.parametrize("model", MODELS)
def test_reduced_files_are_small_and_wholly_bounded(model):
    size = 0.0
    for golden in (Golden(HERE / f"{name}.npz") for name in REDUCED if FILES[name][0] == model):
        assert golden.reduced
        for name in golden.names:
            Bounds().of(name, golden.path.stem)
        named = (golden.arrays[name] for name in golden.names if golden.arrays[name].dtype.kind == "U")
        pictures = {file for files in named for file in files}
        # The first family's three models share their pictures.
        shared = sum((HERE / file).stat().st_size for file in pictures) / (3 if FILES[model][1] == "fomm" else 1)
        size += golden.path.stat().st_size + shared
    assert size < 300_000


def test_an_entry_without_a_bound_is_an_error():
    with pytest.raises(UnboundEntryError, match="covered by 0 bounds"):
        Bounds().of("ac2_prediction")


def test_no_entry_has_two_bounds():
    content = json.loads((HERE / "tolerances.json").read_text())
    for file in PRESENT:
        for name in Golden(golden_file(file)).names:
            listed = plain(name) in content["entries"].get(file, {})
            covered = sum(bool(re.fullmatch(bound["pattern"], name)) for bound in content["patterns"])
            assert listed if file in content["entries"] else covered == 1, name


def test_the_bounds_of_the_second_family_are_those_its_files_give():
    for file in PRESENT:
        if FILES[file][1] == "tps" and SHARED.exists():
            made = {name: list(bound) for name, bound in bounds(golden_file(file)).items()}
            assert made == json.loads((HERE / "tolerances.json").read_text())["entries"][file]


def test_a_step_is_compared_where_its_gradient_is_certain():
    golden = Golden(HERE / "tpsmm_tiny_train.npz")
    name = "epoch12/after_step/inpainting_network.first.conv.weight"
    bound = Bounds().of(name, "tpsmm_tiny_train")
    right = golden.arrays[name].astype(np.float64)
    gradient = golden.arrays[name.replace("after_step", "grad")]
    backwards = right.copy()
    backwards.flat[np.abs(gradient).argmax()] += 4e-4
    vague = right.copy()
    vague.flat[np.abs(gradient).argmin()] += 4e-4
    assert bound.kind == "step"
    assert golden.difference(name, right, bound) == 0
    assert golden.difference(name, vague, bound) == 0
    assert golden.difference(name, backwards, bound) > bound.bound


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
    with pytest.raises(SystemExit, match="choices: fomm, fpb, mraa, tpsmm"):
        list(differences(tmp_path / "other.npz"))
    with pytest.raises(SystemExit, match="does not exist"):
        list(differences(tmp_path / "fomm.npz"))
