"""The networks match golden vectors of the published implementations within measured bounds."""

import hashlib
import json
import os
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from megbench.nets.vgg import Vgg19
from tests.golden import fomm, measure, splines, tpsmm
from tests.golden.__main__ import FILES, differences, spent
from tests.golden.bounds import FACTOR, HERE, PROCESSORS, SEEDS, Bounds, UnboundEntryError, stage_of
from tests.golden.files import Golden, sampled
from tests.golden.fill import draw, fill
from tests.golden.key_points import transform

# The folder of the complete files, FOLDER/*/golden/NAME.npz. If it is unset, only the repository's reduced files are
# compared.
WHOLE = os.environ.get("MEGBENCH_GOLDENS")
MODELS = sorted({model for model, _ in FILES.values()})
# A prediction or a training step at the published size takes a second or more. `make goldens` compares everything; here
# each model is compared in one training step of every stage, at one `align_corners`, and in one prediction from
# transferred points. FOMM and FPB-FOMM share one generator, with the same weights here: its results at the other
# `align_corners`, with transferred points, and its gradients are compared in FPB-FOMM's file only.
REPEATED = (
    r"anim_(abs|avd|standard)\d_ac0_prediction|anim_(relscale|relative)([01]_ac0|2_ac1)_prediction"
    r"|train_ac1_.*|trainadv_.*|train_ac\d_step2_.*|masked/.*"
)
IN_FPB = {"fomm": r"|ac1_.*|anim_.*_prediction|train_ac0_grad(norm)?_generator.*"}
# The minimum number of entries compared in complete and in reduced files: an empty comparison must not pass.
COMPARED = {"fomm": (63, 63), "tps": (2, 2)}


def golden_file(name):
    """Return the path of the complete file if MEGBENCH_GOLDENS names a folder with it, or of the reduced one."""
    whole = Path(WHOLE).glob(f"*/golden/{name}.npz") if WHOLE else ()
    return next(iter(whole), HERE / f"{name}.npz")


# Too slow for every test run: `make goldens` compares these files, and small models represent them here.
LARGE = ("tpsmm", "tpsmm_train", "megc2022", "megc2022_train")
PRESENT = [name for name in FILES if name not in LARGE and golden_file(name).exists()]
REDUCED = [name for name in FILES if (HERE / f"{name}.npz").exists()]


@pytest.fixture(scope="module", autouse=True)
def remembered():
    """Cache VGG-19's features of pictures that need no gradient: three models are trained on the same driving picture.

    At the end, the cached features and the weights drawn for the last models are released.
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
    assert sum(found is not None for _, found, _ in rows) >= (whole if WHOLE else reduced)


def test_every_file_or_a_reduced_form_of_its_model_is_compared():
    assert set(PRESENT) == (set(FILES) - set(LARGE) if WHOLE else set(REDUCED))
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
    with pytest.raises(UnboundEntryError, match=r"'curve/bent' of ulmegan_au was never measured; python -m tests.go"):
        Bounds().of("curve/bent", "ulmegan_au")


def test_every_entry_is_bounded_by_every_kind_of_processor():
    for file in PRESENT:
        for name in Golden(golden_file(file)).names:
            Bounds().of(name, file)


@pytest.mark.parametrize("path", sorted(PROCESSORS.glob("*.json")), ids=lambda path: path.stem)
def test_a_processor_was_measured_with_every_seed(path):
    seeds = json.loads(path.read_text())["seeds"]
    assert seeds == dict.fromkeys(seeds, SEEDS)
    assert set(seeds) <= set(FILES)


def test_every_file_was_measured_on_a_whole_kind_of_processor():
    assert set(Bounds().largest) == set(FILES)


# Differences measured on a Xeon with AVX-512 for another set of golden files, whose bounds had been set by hand.
ON_A_XEON = {
    ("mraa", "train_ac0_step2_loss_equivariance_affine"): 4.0e-2,
    ("tpsmm", "standard/inpaint/warped_encoder_map2@s"): 2.7e-4,
    ("megc2022_train", "epoch0/gradnorm/dense_motion_network"): 1.31e-2,
    ("megc2022_train", "epoch8/grad/dense_motion_network.occlusion.3.bias"): 1.6e-2,
    ("ulmegan_train", "default/loss/gen_GAN"): 8.8e-5,
    ("ulmegan_train", "masked/loss/gen_GAN"): 8.8e-5,
}


@pytest.mark.parametrize(("stem", "entry"), ON_A_XEON)
def test_what_another_processor_was_off_by_is_within_the_bounds(stem, entry):
    assert Bounds().of(entry, stem).bound >= ON_A_XEON[stem, entry]


@pytest.mark.parametrize(
    ("channels", "made", "side", "kernel"),
    [(32, 16, 32, 3), (16, 16, 64, 3), (80, 3, 24, 7), (8, 3, 24, 7), (4, 8, 9, 3)],
)
def test_convolutions_in_float64_are_those_of_torch(channels, made, side, kernel):
    rng = torch.Generator().manual_seed(kernel)
    conv = torch.nn.Conv2d(channels, made, kernel, padding=kernel // 2, dtype=torch.float64)
    x = torch.randn(2, channels, side, side, dtype=torch.float64, generator=rng)
    expected = conv(x)
    with measure.computing(torch.float64, "fomm"):
        found = conv(x)
    assert torch.allclose(found, expected, rtol=0, atol=1e-12)


@given(
    st.sets(st.sampled_from(("a", "b", "epoch0/a", "epoch0/b", "epoch12/b", "epoch12/c")), min_size=1), st.booleans()
)
def test_a_seed_measures_every_stage(names, backwards):
    chosen = measure.in_turn(names, backwards)
    assert chosen <= names
    assert {stage_of(name) for name in chosen} == {stage_of(name) for name in names}


def test_seeds_measure_one_variant_and_the_other_by_turns():
    names = {"epoch0/loss/total", "epoch12/loss/total"}
    assert [measure.in_turn(names, backwards) for backwards in (False, True)] == [{name} for name in sorted(names)]


def test_a_bound_is_the_largest_difference_of_all_processors(tmp_path):
    for index, largest in enumerate((2e-6, 3e-6, 1e-6)):
        content = {"seeds": {"fpb": SEEDS}, "differences": {"fpb": {"heatmap": largest}}}
        (tmp_path / f"{index}.json").write_text(json.dumps(content))
    assert Bounds(tmp_path).of("ks_heatmap", "fpb").bound == pytest.approx(FACTOR * 3e-6)


def test_a_new_processor_adds_its_own_file(tmp_path, monkeypatch):
    monkeypatch.setattr(measure, "PROCESSORS", tmp_path)
    monkeypatch.setattr(measure, "SEEDS", 2)
    path = golden_file("megc2022_au")
    for _ in range(2):  # the second time, nothing remains to be measured
        monkeypatch.setattr("sys.argv", ["measure", "--name", "Some CPU (2030)", str(path)])
        measure.main()
    content = json.loads((tmp_path / "some_cpu_2030.json").read_text())
    assert content["seeds"] == {"megc2022_au": 2}
    assert content["differences"]["megc2022_au"]["landmark_indices"] == 0
    assert 0 < content["differences"]["megc2022_au"]["AU_diff"] < 1e-6


def test_float32_is_off_from_float64_by_what_is_noted():
    """A quick seed of a small file is measured again; the difference may vary with the processor, but only slightly."""
    path = golden_file("tpsmm_tiny")
    single, double = (measure.computed(path, 0, dtype) for dtype in (torch.float32, torch.float64))
    for stage, off in measure.differences("tpsmm_tiny", single, double).items():
        bound = Bounds().of(stage, "tpsmm_tiny")
        assert bound.kind == "input" or 0 <= off <= bound.bound, stage


def reflected(networks, salt):
    nets = splines.filled(networks, salt)
    nets["inpainting_network"].first.conv.padding_mode = "reflect"
    return nets


def vague_norms(networks, salt):
    nets = splines.filled(networks, salt)
    for module in nets["dense_motion_network"].modules():
        if isinstance(module, torch.nn.InstanceNorm2d):
            module.eps = 1e-3
    return nets


MISTAKES = {
    "swapped channels": ("pictures", lambda levels: splines.pictures(levels).flip(1)),
    "padding by reflection": ("filled", reflected),
    "another epsilon in the norms": ("filled", vague_norms),
    "driving for source": ("transfer_points", lambda source, driving, first: driving),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_far_above_the_bounds(mistake, monkeypatch):
    monkeypatch.setattr(tpsmm, *MISTAKES[mistake])
    rows = differences(golden_file("tpsmm_tiny"), left_out=r"(bg|avd)/.*")
    assert max(spent(found, bound) for _, found, bound in rows if found is not None) > 100


@pytest.mark.parametrize("momentum", [0.1, 0.05])
def test_a_wrong_momentum_is_far_above_the_bound(momentum):
    golden = Golden(HERE / "fomm.npz")
    detector = fill(fomm.networks(fomm.VOX)["kp_detector"], "").train()
    block = detector.predictor.encoder.down_blocks[0]
    block.norm.momentum = momentum
    driving = golden["batch_driving"]
    with torch.no_grad():
        for picture in (golden["batch_source"], driving, transform(golden).frame(driving, align_corners=False)):
            block(detector.down(picture))
    name = "train_ac0_kp_running_mean"
    bound = Bounds().of(name, "fomm")
    share = spent(golden.difference(name, block.norm.running_mean.numpy(), bound), bound)
    assert share <= 1 if momentum == 0.1 else share > 100


def test_jumps_of_a_few_gradients_are_let_pass_and_mistakes_are_not():
    golden = Golden(HERE / "tpsmm_tiny_train.npz")
    name = "epoch12/grad/kp_detector.fg_encoder.fc.bias"
    bound = Bounds().of(name, "tpsmm_tiny_train")
    right = golden.arrays[name].astype(np.float64)
    jumped = right.copy()
    jumped[10:15] += 0.5 * np.abs(right).max()
    assert bound.kind == "gradient"
    assert golden.difference(name, right, bound) == golden.difference(name, jumped, bound) == 0
    assert golden.difference(name, 1.5 * right, bound) > bound.bound
    assert golden.difference(name, np.zeros_like(right), bound) > bound.bound


def test_a_step_of_another_length_is_seen():
    golden = Golden(HERE / "tpsmm_tiny_train.npz")
    name = "epoch12/after_step/inpainting_network.first.conv.weight"
    bound = Bounds().of(name, "tpsmm_tiny_train")
    right = golden.arrays[name].astype(np.float64)
    backwards = right.copy()
    backwards.flat[0] += 4e-4  # the sign of a gradient that is nearly 0
    assert bound.kind == "step"
    assert golden.difference(name, right, bound) == golden.difference(name, backwards, bound) == 0
    assert golden.difference(name, right + 1e-5, bound) > 10 * bound.bound


def test_a_difference_above_its_bound_is_seen():
    golden = Golden(HERE / "fpb.npz")
    bound = Bounds().of("prior_f64", "fpb")
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
