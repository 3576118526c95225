"""FOMM, FPB-FOMM and MRAA as methods: where weights come from, what determines frames, and what cells share."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import megbench.methods.cards
from megbench.baselines.fomm import model as fomm
from megbench.baselines.mraa import model as mraa
from megbench.core.clip import Clip, Template, save_clip
from megbench.core.config import as_dict
from megbench.core.errors import BenchError, CellFailed
from megbench.core.weights.network_weights import save_weights
from megbench.fpfomm import model as fpb
from megbench.methods import make_method, parse_label
from tests.fakes import finished_cells, make_clips
from tests.test_nets_models import FOMM, FPB, MRAA

Fomm, FpFomm, Mraa = (make_method(name) for name in ("fomm", "fpfomm", "mraa"))

ROOT = Path(__file__).parent.parent
CASES = {"fomm": (Fomm, fomm, FOMM), "fpfomm": (FpFomm, fpb, FPB), "mraa": (Mraa, mraa, MRAA)}

CHECKPOINT = ("generator", "kp_detector", "discriminator")


@pytest.fixture(autouse=True)
def weights(tmp_path, monkeypatch):
    """Make a checkout whose demo weights are tiny random networks. Return the folder of these weights."""
    monkeypatch.setattr(megbench.methods.cards, "ROOT", tmp_path)
    monkeypatch.setenv("MEGBENCH_WEIGHTS", str(tmp_path / "user"))
    for name, (_, model, config) in CASES.items():
        torch.manual_seed(1)
        networks = model.networks(config)
        networks.pop("avd_network", None)
        save_weights(tmp_path / "weights" / "demo" / f"{name}.safetensors", networks, {"config": as_dict(config)})
    return tmp_path / "weights" / "demo"


@pytest.fixture(scope="module")
def face():
    """Return a real face, cropped to 256 x 256 pixels from a photograph that comes with scikit-image."""
    from skimage import data

    from megbench.core.frames import grey
    from megbench.faces.crop import crop
    from megbench.faces.landmarks import crop_box

    image = np.ascontiguousarray(data.astronaut())
    return crop(image, crop_box(grey(image), "astronaut"))


@pytest.fixture
def driver(tmp_path, face):
    frames = np.stack([np.roll(face, k, axis=1) for k in range(6)])
    return save_clip(tmp_path / "clip", Clip(tmp_path, "d", "test", "s", "none", 0, ""), frames)


@pytest.mark.parametrize("name", CASES)
def test_frames_come_out_and_cells_share_what_they_can(name, face, driver, monkeypatch):
    method = CASES[name][0]("", {})
    method.prepare("cpu")
    template = Template.of("t", "s", face)
    output = method.animate(template, driver)
    assert output.shape == (6, 256, 256, 3)
    assert output.dtype == np.uint8
    reads = []
    for part in ("face", "read"):
        monkeypatch.setattr(type(method.animator), part, lambda *_, part=part: reads.append(part))
    assert np.array_equal(method.animate(template, driver), output)
    assert reads == []


def test_the_prior_is_drawn_once_per_clip(face, driver, monkeypatch):
    method = FpFomm("", {})
    method.prepare("cpu")
    calls = []
    prior = fpb.PriorGuidedDetector.prior
    monkeypatch.setattr(fpb.PriorGuidedDetector, "prior", lambda self, *a: calls.append(1) or prior(self, *a))
    method.animate(Template.of("t", "s", face), driver)
    assert len(calls) == 2  # the template's and the driver's


def test_a_faceless_template_fails_its_cell_only(driver):
    method = FpFomm("", {})
    method.prepare("cpu")
    blank = Template.of("blank", "s", np.full((256, 256, 3), 127, np.uint8))
    with pytest.raises(CellFailed, match="no frontal face found in template blank"):
        method.animate(blank, driver)


def test_missing_weights_say_how_to_train_them(weights):
    (weights / "fomm.safetensors").unlink()
    for variant in ("", "untrained"):
        with pytest.raises(BenchError, match=r"weights/demo/fomm\.safetensors.*python bench\.py train fomm"):
            Fomm(variant, {}).identity()
    with pytest.raises(BenchError, match="fomm@samm"):
        Fomm("samm", {}).prepare("cpu")


def test_identity_tells_weights_modes_and_variants_apart():
    identities = [
        Fomm("", {}).identity(),
        Fomm("", {"mode": "absolute"}).identity(),
        Fomm("untrained", {}).identity(),
        FpFomm("", {}).identity(),
    ]
    assert len({str(sorted(identity.items())) for identity in identities}) == 4
    assert identities[0]["mode"] == "relative"
    assert identities[0]["config"]["num_kp"] == 10
    assert identities[2]["weights"] == "random, seed 0"


def test_untrained_is_a_control_and_reproducible(face, driver):
    outputs = []
    for _ in range(2):
        method = Fomm("untrained", {})
        assert method.is_control
        method.prepare("cpu")
        outputs.append(method.animate(Template.of("t", "s", face), driver))
    assert np.array_equal(*outputs)
    assert not Fomm("", {}).is_control


def test_user_weights_of_both_kinds(weights):
    user = weights.parent.parent / "user"
    save_weights(user / "fomm@mine.safetensors", fomm.networks(FOMM), {"config": as_dict(FOMM)})
    method = Fomm("mine", {})
    method.prepare("cpu")
    assert method.variant == "mine"
    torch.save(
        {"generator": {"first.conv.bias": torch.zeros(64)}, "kp_detector": {"x": torch.zeros(1)}}, user / "f.pth"
    )
    (user / "f.pth").rename(user / "fomm@vox.pth.tar")
    with pytest.raises(BenchError, match=r"fomm@vox\.pth\.tar does not fit the network"):
        Fomm("vox", {}).prepare("cpu")


def test_mraa_uses_its_avd_network_where_there_is_one(weights):
    assert Mraa("", {}).mode == "relative"
    with pytest.raises(BenchError, match=r"no trained avd_network\. Use mraa:mode=relative, or train the stage avd"):
        Mraa("", {"mode": "avd"}).prepare("cpu")
    save_weights(weights / "mraa.safetensors", mraa.networks(MRAA), {"config": as_dict(MRAA)})
    assert Mraa("", {}).mode == "avd"
    assert Mraa("", {"mode": "standard"}).identity()["mode"] == "standard"


FROM_VOX = {"file": "mraa@vox.safetensors", "fresh_networks": []}


@pytest.mark.parametrize(
    ("card", "mode"),
    [
        ({"kept_steps": {"main": 20}, "init": "random"}, "relative"),
        ({"kept_steps": {"main": 20}, "init": FROM_VOX | {"fresh_networks": ["avd_network"]}}, "relative"),
        ({"kept_steps": {"main": 20}, "init": FROM_VOX}, "avd"),
        ({"kept_steps": {"main": 20, "avd": 4}, "init": "random"}, "avd"),
    ],
)
def test_an_avd_network_that_was_never_trained_is_not_used(weights, card, mode):
    save_weights(weights / "mraa.safetensors", mraa.networks(MRAA), {"config": as_dict(MRAA)} | card)
    assert Mraa("", {}).mode == mode


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("fomm:steady=no:magnify=4", "'steady=no:magnify=4' is not an option. Write name@variant:key=value;key=value"),
        ("fomm:steady", "'steady' is not an option. Write name@variant:key=value;key=value"),
        ("fomm:steady=yes;steady=no", "the option steady is given twice"),
    ],
)
def test_malformed_options_say_how_to_write_them(text, words):
    with pytest.raises(BenchError, match=words):
        parse_label(text)


def test_unknown_options_and_modes_get_a_hint():
    with pytest.raises(BenchError, match="Did you mean 'absolute'"):
        Fomm("", {"mode": "absolut"})
    with pytest.raises(BenchError, match="Unknown option of mraa"):
        Mraa("", {"moode": "avd"})


def test_importing_methods_does_not_import_torch():
    code = (
        "import sys, megbench.methods.driving_pictures, megbench.methods.driving_units, megbench.training;"
        " sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


@pytest.mark.usefixtures("in_this_process")
def test_weights_that_cannot_be_loaded_are_told_before_the_first_cell(call, tmp_path):
    make_clips(tmp_path / "clips", 1)
    card = {"config": as_dict(dataclasses.replace(FOMM, num_kp=FOMM.num_kp + 1))}
    save_weights(tmp_path / "user" / "fomm@odd.safetensors", fomm.networks(FOMM), card)
    where = ("--protocol", "fakes", "--drivers", "clips", "--metrics", "difference", "--no-controls", "--out", "run")
    for more in (("--dry-run",), ()):
        code, _, err = call("--methods", "still,fomm@odd", *where, *more)
        assert code == 2
        last = err.splitlines()[-1]
        assert last.startswith("Error: fomm@odd: ")
        assert "fomm@odd.safetensors does not fit the network" in last
        assert not finished_cells(tmp_path / "run")
    assert call("--methods", "still", *where)[0] == 0, "the folder is as good as before"
