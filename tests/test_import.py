"""Published checkpoints are converted to the suite's own weights, or refused in one line."""

import hashlib
import json
import os
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

import bench
from megbench.baselines import GENERATORS
from megbench.core.config import build
from megbench.core.errors import BenchError
from megbench.core.generator import descriptors
from megbench.core.weights.network_weights import read_weights
from megbench.core.weights.pickled import read_published
from megbench.core.weights.published_checkpoints import Layout, import_checkpoint
from megbench.methods import make_method
from megbench.training.published import layouts

KNOWN = descriptors(GENERATORS)
PUBLISHED = [name for name, generator in KNOWN.items() if generator.published]

DATA = Path(__file__).parent / "data"


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_layouts_are_the_published_ones(name):
    """The data list, by network, every entry of the published checkpoints in its order, with its shape."""
    published = json.loads((DATA / f"{name}.layout.json").read_text())
    found = layouts(KNOWN[name])
    own = dict(found[0].networks)
    if name == "fomm":
        own["discriminator(vox-adv-256)"] = found[1].networks["discriminator"]
    assert set(own) == set(published)
    for network, entries in published.items():
        assert list(own[network]) == list(entries), network
        for entry, shape in entries.items():
            dtype = "int64" if entry.endswith("num_batches_tracked") else "float32"
            assert own[network][entry] == (tuple(shape), dtype), entry


def small(name="fomm"):
    """Return the published layout with two entries per network, and a checkpoint in it."""
    whole = layouts(KNOWN[name])[0]
    few = {network: dict(list(entries.items())[-2:]) for network, entries in whole.networks.items()}
    states = {
        network: {entry: torch.ones(shape, dtype=getattr(torch, dtype)) for entry, (shape, dtype) in entries.items()}
        for network, entries in few.items()
    }
    return Layout(whole.config, few, whole.required), states


def save(path, states, **extra):
    torch.save({**states, "epoch": 99, "optimizer_generator": {"state": {}, "param_groups": []}, **extra}, path)
    return path


def test_a_whole_published_file_is_imported_and_animates(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MEGBENCH_WEIGHTS", "mine")
    model = build_published("fomm")
    states = {network: module.state_dict() for network, module in model.items()}
    path = save(tmp_path / "vox-cpk.pth.tar", states)
    result = CliRunner().invoke(bench.app, ["import", "fomm", str(path), "--as", "vox"])
    assert result.exit_code == 0, result.output
    assert "--methods fomm@vox" in result.output
    weights = tmp_path / "mine/fomm@vox.safetensors"
    card = json.loads(weights.with_suffix(".json").read_text())
    assert card["sha256"] == hashlib.sha256(weights.read_bytes()).hexdigest()
    assert card["imported_from"]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    read = read_weights(weights)
    for network, state in states.items():
        for entry, value in state.items():
            assert torch.equal(read[network][entry], value), entry
    method = make_method("fomm")("vox", {})
    method.prepare("cpu")
    assert torch.equal(method.networks["kp_detector"].kp.weight, states["kp_detector"]["kp.weight"])


def build_published(name):
    from megbench.baselines.fomm.model import FommConfig, networks

    assert name == "fomm"
    return networks(build(FommConfig, {}, ""))


@pytest.mark.usefixtures("in_this_process")
def test_networks_that_need_not_be_there_may_lack(tmp_path):
    layout, states = small()
    del states["discriminator"]
    card = import_checkpoint("fomm", save(tmp_path / "a.pth", states, note={}), [layout], tmp_path / "out.safetensors")
    assert card["left_out"] == []
    assert set(read_weights(tmp_path / "out.safetensors")) == {"generator", "kp_detector"}


@pytest.mark.usefixtures("in_this_process")
def test_the_old_file_format_is_read(tmp_path):
    layout, states = small()
    torch.save(states, tmp_path / "old.pth.tar", _use_new_zipfile_serialization=False)
    import_checkpoint("fomm", tmp_path / "old.pth.tar", [layout], tmp_path / "out.safetensors")


def renamed(states):
    states["generator"]["final.wieght"] = states["generator"].pop("final.weight")


def reshaped(states):
    states["generator"]["final.bias"] = torch.ones(4)


def counting(states):
    states["generator"]["final.bias"] = states["generator"]["final.bias"].long()


def lacking(states):
    del states["kp_detector"]


def infinite(states):
    states["generator"]["final.bias"][0] = float("inf")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (renamed, r"missing: generator\.final\.weight; unexpected: generator\.final\.wieght"),
        (reshaped, r"of another shape: generator\.final\.bias \(4,\) instead of \(3,\)"),
        (counting, r"of another kind: generator\.final\.bias int64 instead of float32"),
        (lacking, r"no network: 'kp_detector' \(it contains discriminator, generator\)"),
        (infinite, "NaN or infinite"),
    ],
)
@pytest.mark.usefixtures("in_this_process")
def test_another_layout_is_refused_with_the_entry(tmp_path, spoil, message):
    layout, states = small()
    spoil(states)
    refused(tmp_path, save(tmp_path / "bad.pth.tar", states), layout, message)


class Evil:
    def __reduce__(self):
        return os.mkdir, (str(Evil.folder),)


@pytest.mark.usefixtures("in_this_process")
def test_a_pickle_that_would_run_code_runs_none(tmp_path):
    layout, states = small()
    Evil.folder = tmp_path / "owned"
    refused(tmp_path, save(tmp_path / "evil.pth.tar", states, epoch=Evil()), layout, "cannot be read safely")
    assert not Evil.folder.exists()


@pytest.mark.usefixtures("in_this_process")
def test_a_truncated_file_is_refused(tmp_path):
    layout, states = small()
    path = save(tmp_path / "cut.pth.tar", states)
    path.write_bytes(path.read_bytes()[:-2000])
    refused(tmp_path, path, layout, "cannot be read safely")


def refused(tmp_path, path, layout, message):
    target = tmp_path / "weights" / "out.safetensors"
    with pytest.raises(BenchError, match=message):
        import_checkpoint("fomm", path, [layout], target)
    assert not target.exists()


def test_the_suites_own_variants_are_not_given_away(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(bench.app, ["import", "fomm", "vox.pth.tar", "--as", "demo"])
    assert isinstance(result.exception, BenchError)
    assert "--as demo" in str(result.exception)


def test_a_model_beside_its_average_is_read_and_the_average_is_named(tmp_path, capsys):
    path = tmp_path / "both.pth"
    content = {"ema": {"generator": {"a": torch.ones(2)}}, "model": {"generator": {"a": torch.zeros(2)}}}
    torch.save({**content, "params": {"lr": 0.1}}, path)
    assert not read_published(path)["generator"]["a"].any()
    assert capsys.readouterr().err == (
        f"Note: {path} contains several copies of networks: using 'model' and ignoring ema.\n"
    )
    torch.save({"ema": content["ema"], "params": {"lr": 0.1}}, path)
    assert read_published(path)["generator"]["a"].all()
    assert capsys.readouterr().err == ""
