"""LPIPS, FID and KID equal the reference packages' values on the same features. The weights are random stand-ins."""

import hashlib
import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision

from megbench.core.clip import save_clip
from megbench.core.contracts import Partial
from megbench.core.errors import BenchError, Unavailable
from megbench.core.frames import Frames
from megbench.core.weights.external_weights import FILES
from megbench.core.weights.network_weights import read_trunk
from megbench.faces.features import Seen, SeenClip
from megbench.metrics.face_distance import FaceDistance
from megbench.metrics.fid import Fid, inception_features
from megbench.metrics.frechet_alexnet import FrechetAlexNet
from megbench.metrics.lpips import Lpips, LpipsSqueeze, PerceptualModel, perceptual_model
from megbench.metrics.set_distance import frechet, kernel
from tests.moving_face import make_cell

NETS = {"alexnet": torchvision.models.alexnet, "squeezenet": torchvision.models.squeezenet1_1}


@pytest.fixture(scope="module")
def cell(tmp_path_factory):
    return make_cell(tmp_path_factory.mktemp("clips"), n_frames=10)


def trunk(make) -> dict[str, torch.Tensor]:
    """Return random weights for a network's convolutions, but not for its head, which has most of the weights."""
    with torch.device("meta"):
        layers = make(weights=None).features
    for layer in layers.to_empty(device="cpu").modules():
        if isinstance(layer, torch.nn.Conv2d):
            layer.reset_parameters()
    return {f"features.{entry}": value for entry, value in layers.state_dict().items()}


@pytest.fixture(scope="module")
def standins(tmp_path_factory) -> dict[str, Path]:
    """Write random weights under the published file names: trunks (convolutions only) and pytorch-fid's Inception."""
    from pytorch_fid import inception

    torch.manual_seed(0)
    folder, files = tmp_path_factory.mktemp("weights"), {}
    states = {name: trunk(make) for name, make in NETS.items()}
    network = inception._inception_v3(num_classes=1008, aux_logits=False, weights=None)
    network.Mixed_5b = inception.FIDInceptionA(192, pool_features=32)
    network.Mixed_5c = inception.FIDInceptionA(256, pool_features=64)
    network.Mixed_5d = inception.FIDInceptionA(288, pool_features=64)
    network.Mixed_6b = inception.FIDInceptionC(768, channels_7x7=128)
    network.Mixed_6c = inception.FIDInceptionC(768, channels_7x7=160)
    network.Mixed_6d = inception.FIDInceptionC(768, channels_7x7=160)
    network.Mixed_6e = inception.FIDInceptionC(768, channels_7x7=192)
    network.Mixed_7b = inception.FIDInceptionE_1(1280)
    network.Mixed_7c = inception.FIDInceptionE_2(2048)
    states["inception"] = network.state_dict()
    for name, state in states.items():
        files[name] = folder / FILES[name].file
        torch.save(state, files[name])
    return files


@pytest.fixture
def weights(standins, monkeypatch):
    """Make the stand-ins' folder the user's weights folder, and enter their hashes in the table of weights."""
    monkeypatch.setenv("MEGBENCH_WEIGHTS", str(next(iter(standins.values())).parent))
    for name, path in standins.items():
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        monkeypatch.setitem(FILES, name, replace(FILES[name], sha256=digest))
    perceptual_model.cache_clear()
    yield standins
    perceptual_model.cache_clear()


@pytest.fixture
def no_weights(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)  # hides weights downloaded into the checkout
    for name in ("MEGBENCH_WEIGHTS", "TORCH_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    perceptual_model.cache_clear()


def pictures(count: int) -> Frames:
    return np.random.default_rng(count).integers(0, 256, (count, 256, 256, 3), dtype=np.uint8)


def distances(model: PerceptualModel, frames: Frames, others: Frames) -> np.ndarray:
    """Return the LPIPS between each frame and its counterpart (or the only one in `others`), computed pair by pair."""
    pairs = zip(frames, others if len(others) > 1 else itertools.cycle(others), strict=False)
    return np.concatenate([model.compare(a[None], b[None], None).template for a, b in pairs])


def features(count: int, width: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(0, 1, (count, width)) @ rng.normal(0, 1, (width, width)) * 0.2 + rng.normal(0, 0.5, width)


@pytest.mark.parametrize(("n", "m", "d"), [(20, 30, 64), (200, 300, 32), (20, 300, 32), (300, 20, 32)])
def test_frechet_distance_is_torchmetrics(n, m, d):
    from torchmetrics.image.fid import _compute_fid

    a, b = features(n, d, 1), features(m, d, 2)
    stats = [torch.from_numpy(value) for x in (a, b) for value in (x.mean(0), np.cov(x, rowvar=False))]
    assert frechet(a, b) == pytest.approx(float(_compute_fid(*stats)), rel=1e-4)


def test_frechet_distance_is_pytorch_fids_definition():
    """pytorch-fid's function fails with SciPy 1.18 (`disp`), so its formula is evaluated here with SciPy's sqrtm."""
    from scipy.linalg import sqrtm

    a, b = features(200, 16, 1), features(300, 16, 2)
    first, second = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = np.trace(np.real(sqrtm(first @ second)))
    expected = np.square(a.mean(0) - b.mean(0)).sum() + np.trace(first) + np.trace(second) - 2 * root
    assert frechet(a, b) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("n", [20, 80])
def test_kernel_distance_is_torchmetrics(n):
    from torchmetrics.image.kid import poly_mmd

    a, b = features(n, 48, 3), features(n, 48, 4)
    assert kernel(a, b) == pytest.approx(float(poly_mmd(torch.from_numpy(a), torch.from_numpy(b))), rel=1e-4)


def test_equal_sets_have_no_distance():
    a = features(40, 64, 5)
    assert frechet(a, a) == pytest.approx(0, abs=1e-6)
    assert frechet(a, a + 1) == pytest.approx(64)
    wide = features(100, 8, 6)
    assert frechet(wide, wide) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(("net", "name"), [("alex", "alexnet"), ("squeeze", "squeezenet")])
def test_lpips_is_the_packages(net, name, standins):
    import lpips

    model = PerceptualModel(net, standins[name])
    theirs = lpips.LPIPS(net=net, version="0.1", pnet_rand=True, verbose=False)
    entries = read_trunk(standins[name])
    names = theirs.net.state_dict()
    theirs.net.load_state_dict({entry: entries[f"features.{entry.partition('.')[2]}"] for entry in names})
    a, b = pictures(3), pictures(4)[:3]
    with torch.no_grad():
        x, y = (torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 127.5 - 1 for frames in (a, b))
        expected = theirs.eval()(x, y).flatten().numpy()
    np.testing.assert_allclose(distances(model, a, b), expected, rtol=1e-4)
    assert distances(model, a, a) == pytest.approx(0)
    assert distances(model, a, b).dtype == np.float32
    together = model.compare(a, b[:1], None).template
    model._batch = 1
    np.testing.assert_allclose(model.compare(a, b[:1], None).template, together, rtol=1e-5)
    still = np.repeat(a[:1], 9, axis=0)
    assert model.compare(still, a[:1], None).template.max() < 1e-9, "however many frames go together"


def test_one_pass_gives_what_pairwise_comparison_gives(standins):
    model, frames, truth = PerceptualModel("alex", standins["alexnet"]), pictures(11), pictures(12)[:11]
    template = pictures(1)
    seen = SeenClip("truth", lambda: truth, "content", None)
    found = model.compare(frames, template, seen)
    np.testing.assert_allclose(found.template, distances(model, frames, template), rtol=1e-5)
    np.testing.assert_allclose(found.first[1:], distances(model, frames[1:], frames[:1]), rtol=1e-5)
    assert found.first[0] == 0
    # The truth's coordinates are kept in float16 for the next output.
    np.testing.assert_allclose(found.truth, distances(model, frames, truth), rtol=1e-3)
    np.testing.assert_allclose(model.compare(frames, template, None).pooled, model.pooled(frames), rtol=1e-5)
    assert model.compare(frames, template, None).truth is None
    other = SeenClip("truth", lambda: frames, "another", None)
    assert model.compare(frames, template, other).truth.max() < 1e-4 * found.truth.min(), "not the truth before it"


def test_lpips_keeps_the_features_that_the_frechet_distance_reads(weights, cell, tmp_path, monkeypatch):
    seen = Seen(cell, cell.truth.frames(), tmp_path)
    Lpips().measure(cell, seen)
    monkeypatch.setattr(PerceptualModel, "pooled", lambda self, frames: pytest.fail("computed again"))
    file = FrechetAlexNet().features(seen.output, cell)
    assert np.load(file)["features"].shape == (10, 256)


def test_the_frechet_distance_on_alexnet_is_that_of_its_features(weights, cell, tmp_path):
    seen = Seen(cell, cell.truth.frames()[::-1].copy(), tmp_path)
    partial = FrechetAlexNet().measure(cell, seen)
    found = {score.figure: score for score in FrechetAlexNet().combine([partial])}
    sets = [np.load(partial.files[role])["features"].astype(np.float64) for role in ("output", "reference")]
    assert found["frechet_alexnet"].value == pytest.approx(frechet(*sets))
    assert found["frechet_alexnet"].warning == "10 and 10 pictures"
    assert "fid" not in found


def test_inception_features_do_not_depend_on_the_batch(weights):
    frames = pictures(3)
    alone, together = inception_features(frames, batch=1), inception_features(frames, batch=3)
    assert (together.shape, together.dtype) == ((3, 2048), np.float32)
    np.testing.assert_allclose(alone, together, rtol=1e-5, atol=1e-5)


def test_with_weights_in_the_folder_lpips_and_fid_run(weights, cell, tmp_path):
    frames = cell.truth.frames()[:3]
    clips = {
        role: save_clip(tmp_path / role, replace(cell.truth, name=role), frames[start:])
        for role, start in (("truth", 0), ("reference", 1))
    }
    short = replace(cell, **clips)
    seen = Seen(short, frames, tmp_path)
    for metric in (Lpips(), LpipsSqueeze()):
        values = metric.measure(short, seen).values
        assert values[f"{metric.name}_truth"] == pytest.approx(0, abs=1e-6)
        assert values[f"{metric.name}_first"] > 0
    partial = Fid().measure(short, seen)
    found = {score.figure: score for score in Fid().combine([partial, Partial("failed", "no face in output")])}
    assert found["fid"].value > 0
    assert (found["fid"].reason, found["fid"].warning) == ("", "3 and 2 pictures")
    assert (found["fid_images"].value, found["fid_references"].value) == (3, 2)
    assert (found["fid"].n_scored, found["fid"].n_cells) == (1, 2)


def test_without_weights_they_are_unavailable(no_weights, cell, tmp_path):
    seen = Seen(cell, cell.truth.frames(), tmp_path)
    for metric in (Lpips(), LpipsSqueeze(), Fid()):
        with pytest.raises(Unavailable, match="weights fetch"):
            metric.measure(cell, seen)


def test_weights_of_another_layout_are_refused(standins):
    with pytest.raises(BenchError, match="does not fit the network"):
        PerceptualModel("alex", standins["squeezenet"])


def test_faces_are_compared_as_sets_and_counted(cell, tmp_path):
    metric = FaceDistance()
    partial = metric.measure(cell, Seen(cell, cell.truth.frames(), tmp_path))
    assert partial.why_absent("face_frechet").startswith("a distance between sets")
    found = {score.figure: score for score in metric.combine([partial, partial])}  # the same clip counts once
    assert (found["face_frechet_images"].value, found["face_frechet_references"].value) == (8, 8)
    stretched = metric.measure(cell, Seen(cell, np.roll(cell.truth.frames(), 6, axis=1), tmp_path))
    moved = {score.figure: score for score in metric.combine([stretched])}
    assert moved["face_frechet"].value > found["face_frechet"].value
    assert metric.combine([Partial("failed", "no face in output")])[0].reason == "no face in output"
