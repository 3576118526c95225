"""Weights files are read back as written, must fit exactly and be finite, and are never executed as code."""

import hashlib
import json
import os
import pickle

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from megbench.core.errors import BenchError
from megbench.core.weights.network_weights import (
    card_path,
    load_networks,
    load_vgg19,
    network_names,
    read_card,
    read_weights,
    save_weights,
    weights_hash,
)
from megbench.training import resume


def network(width=3):
    torch.manual_seed(width)
    return nn.Sequential(nn.Linear(2, width), nn.BatchNorm1d(width))


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "model.safetensors"
    save_weights(path, {"generator": network(), "detector": network(4)}, {"config": {"num_kp": 10}})
    return path


def test_safetensors_round_trip_in_half(saved):
    state = read_weights(saved)
    assert set(state) == network_names(saved) == {"generator", "detector"}
    assert state["generator"]["0.weight"].dtype == torch.float32
    assert torch.equal(state["generator"]["0.weight"], network()[0].weight.detach().half().float())
    assert state["generator"]["1.num_batches_tracked"].dtype == torch.int64
    assert read_card(saved) == {"config": {"num_kp": 10}, "sha256": hashlib.sha256(saved.read_bytes()).hexdigest()}


def test_same_weights_have_the_same_hash(saved, tmp_path):
    again = tmp_path / "again.safetensors"
    save_weights(again, {"generator": network(), "detector": network(4)}, {})
    assert weights_hash(again) == weights_hash(saved)
    save_weights(again, {"generator": network(), "detector": network(5)}, {})
    assert weights_hash(again) != weights_hash(saved)


def test_networks_nobody_asks_for_are_ignored(saved):
    fresh = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    load_networks(saved, {"generator": fresh})
    assert torch.equal(fresh[0].weight, read_weights(saved)["generator"]["0.weight"])


def test_a_missing_network_is_named(saved):
    with pytest.raises(BenchError, match="lacks the network 'avd'; it contains: detector, generator"):
        load_networks(saved, {"avd": network()})


def test_entries_that_do_not_fit_are_named_in_one_line(saved):
    other = nn.Sequential(nn.Linear(2, 4), nn.Identity(), nn.Linear(1, 1))
    with pytest.raises(BenchError) as caught:
        load_networks(saved, {"generator": other})
    message = str(caught.value)
    assert "missing: 2.weight, 2.bias" in message
    assert "unexpected: 1.bias, 1.num_batches_tracked, 1.running_mean and 2 more" in message
    assert "0.weight (3, 2) instead of (4, 2)" in message
    assert "\n" not in message


def test_published_checkpoints_load_without_their_other_contents(tmp_path):
    path = tmp_path / "vox.pth.tar"
    torch.save({"generator": network().state_dict(), "optimizer_generator": {"lr": 1}, "epoch": 99}, path)
    fresh = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    load_networks(path, {"generator": fresh})
    assert torch.equal(fresh[0].weight, network()[0].weight)
    assert network_names(path) == {"generator"}


class Evil:
    """A pickle that creates a folder in the working folder if it is loaded unsafely."""

    def __reduce__(self):
        return os.mkdir, ("was_here",)


@pytest.mark.parametrize(
    "content",
    [pickle.dumps({"generator": Evil()}, protocol=2), b"not weights at all", b""],
    ids=["code", "text", "empty"],
)
def test_untrusted_files_end_in_one_line(tmp_path, content, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "evil.pth"
    path.write_bytes(content)
    with pytest.raises(BenchError, match="cannot be read safely") as caught:
        read_weights(path)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "was_here").exists()


def test_damaged_safetensors_end_in_one_line(saved):
    saved.write_bytes(saved.read_bytes()[:100])
    with pytest.raises(BenchError, match="not a readable safetensors file"):
        read_weights(saved)
    with pytest.raises(BenchError, match="not a readable safetensors file"):
        network_names(saved)


@pytest.fixture(scope="module")
def pickled(tmp_path_factory):
    path = tmp_path_factory.mktemp("pickled") / "model.pth"
    torch.save({"generator": {"a": torch.arange(1000) / 7}}, path)
    return path


@given(at=st.integers(0, 3999), bit=st.integers(0, 7))
def test_a_single_altered_bit_among_the_numbers_is_noticed(pickled, at, bit):
    data = bytearray(pickled.read_bytes())
    data[data.index((torch.arange(1000) / 7).numpy().tobytes()) + at] ^= 1 << bit
    altered = pickled.with_name("altered.pth")
    altered.write_bytes(data)
    with pytest.raises(
        BenchError, match=r"altered\.pth .* it is damaged in its entry model/data/0 .* Download it again"
    ):
        read_weights(altered)
    with pytest.raises(BenchError, match=r"altered\.pth is damaged in its entry model/data/0 .* Delete it to start"):
        resume.read(altered, torch.device("cpu"))


def test_files_without_checksums_are_read(pickled, tmp_path):
    whole = read_weights(pickled)["generator"]["a"]
    older, unchecked = tmp_path / "older.pth", tmp_path / "unchecked.pth"
    torch.save({"generator": {"a": whole}}, older, _use_new_zipfile_serialization=False)
    before = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    try:
        torch.save({"generator": {"a": whole}}, unchecked)
    finally:
        torch.serialization.set_crc32_options(before)
    assert all(torch.equal(read_weights(path)["generator"]["a"], whole) for path in (older, unchecked))


def test_a_single_altered_bit_is_noticed_by_the_card(saved):
    data = bytearray(saved.read_bytes())
    data[-1] ^= 1
    saved.write_bytes(data)
    with pytest.raises(
        BenchError, match=r"model\.safetensors is damaged or was replaced: .* but its card .*model\.json"
    ):
        read_weights(saved)
    card_path(saved).unlink()
    assert set(read_weights(saved)) == {"generator", "detector"}


def test_losses_beside_the_networks_of_a_lightning_module_are_left_out(tmp_path):
    path = tmp_path / "last.ckpt"
    entries = {f"model.generator.{entry}": value for entry, value in network().state_dict().items()}
    torch.save({"state_dict": {**entries, "vgg.0.weight": torch.zeros(1)}, "epoch": 3}, path)
    assert network_names(path) == {"generator"}
    torch.save({"state_dict": {"encoder.a": torch.zeros(1), "vgg.a": torch.zeros(1)}}, path)
    with pytest.raises(BenchError, match=r"it contains: entries of an unnamed network: encoder\.a, vgg\.a\. Pass"):
        load_networks(path, {"generator": network(), "kp_detector": network()})


def test_numbers_that_are_not_finite_are_refused_on_both_ways(tmp_path):
    broken = network()
    with torch.no_grad():
        broken[0].weight[0, 0] = float("nan")
    with pytest.raises(BenchError, match=r"generator\.0\.weight contains NaN"):
        save_weights(tmp_path / "broken.safetensors", {"generator": broken}, {})
    torch.save({"generator": broken.state_dict()}, tmp_path / "broken.pth")
    with pytest.raises(BenchError, match=r"0\.weight contains NaN"):
        read_weights(tmp_path / "broken.pth")
    assert not (tmp_path / "broken.safetensors").exists()


@pytest.mark.parametrize("text", ["", "[1]", "{"])
def test_a_card_must_be_an_object(saved, text):
    saved.with_suffix(".json").write_text(text)
    with pytest.raises(BenchError, match=r"model\.json"):
        read_card(saved)


def test_unknown_endings_and_missing_files(tmp_path):
    (tmp_path / "w.bin").write_bytes(b"x")
    with pytest.raises(BenchError, match="a text file that begins with 'x'"):
        read_weights(tmp_path / "w.bin")
    with pytest.raises(BenchError, match="do not exist"):
        read_weights(tmp_path / "none.pth")


def test_vgg_takes_its_part_of_a_flat_state(tmp_path):
    path = tmp_path / "vgg19-dcbb9e9d.pth"
    torch.save({"features.0.weight": torch.ones(2, 2), "classifier.0.weight": torch.ones(9)}, path)
    small = nn.ModuleDict({"features": nn.ModuleList([nn.Linear(2, 2, bias=False)])})
    load_vgg19(path, small)
    assert torch.equal(small["features"][0].weight, torch.ones(2, 2))


def test_cards_are_plain_json(saved):
    assert json.loads(saved.with_suffix(".json").read_text()) == read_card(saved)
