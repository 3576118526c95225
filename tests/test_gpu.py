"""`bench.py gpu` on a CPU, its messages without a GPU or with a wrong one, and the peaks that it knows."""

import math
import os

import pytest
import torch

from megbench.baselines import GENERATORS
from megbench.commands import gpu_table
from megbench.commands.gpu_agreement import Difference
from megbench.commands.gpu_material import Material
from megbench.commands.gpu_peaks import PEAKS, Peak
from megbench.commands.gpu_speed import Speed, counted

SAME = Difference(0.0, 0.0, 0.0, 0.0)


@pytest.fixture(scope="module")
def material(tmp_path_factory):
    return Material.rendered(tmp_path_factory.mktemp("people"))


@pytest.fixture
def quick(monkeypatch, material):
    """Replace everything slow; return the differences to be found, by generator, so that a test can change them."""
    found = dict.fromkeys(GENERATORS, SAME)
    monkeypatch.setattr(Material, "rendered", lambda folder: material)
    monkeypatch.setattr(gpu_table, "difference", lambda name, device, material: found[name])
    monkeypatch.setattr(gpu_table, "frame_flops", lambda name, device, material: 2e9)
    monkeypatch.setattr(gpu_table, "step_flops", lambda name, device, material: 3e9)
    for measure in ("generation", "training"):
        monkeypatch.setattr(gpu_table, measure, lambda name, precision, device, material: Speed(500.0, None))
    return found


@pytest.mark.parametrize("wrong", [{"largest": 2.0}, {"mean": 0.5}, {"loss": 1e-3}, {"gradient": math.nan}])
def test_a_difference_beyond_its_bound_is_named_and_ends_with_1(call, quick, wrong):
    quick["mraa"] = Difference(**(vars(SAME) | wrong))
    code, out, err = call("gpu", "--device", "cpu")
    assert code == 1
    assert out.count("TOO LARGE") == 1
    assert "mraa: cpu differs from the CPU by more than the bounds" in err


def test_a_device_that_agrees_ends_with_0_and_writes_where_it_says(call, quick, tmp_path):
    code, out, _ = call("gpu", "--device", "cpu")
    assert code == 0
    assert out.splitlines()[-1] == f"Table: {os.path.join('.megbench', 'gpu.md')}"
    page = (tmp_path / ".megbench" / "gpu.md").read_text()
    assert "| 500.0 (1 TFLOP/s) |" in page  # 500 frames of 2 GFLOP a second, and no share of an unknown peak
    assert "does not report the peak memory of a process" in page


def test_what_does_not_fit_into_memory_is_absent_with_the_reason(call, quick, monkeypatch):
    def too_large(*_):
        raise torch.OutOfMemoryError("Tried to allocate 20 GiB")

    monkeypatch.setattr(gpu_table, "training", too_large)
    code, out, _ = call("gpu", "--device", "cpu")
    assert code == 0
    assert "out of memory: Tried to allocate 20 GiB" in out


@pytest.mark.parametrize("arguments", [("gpu",), ("train", "fomm"), ("--methods", "fomm")])
@pytest.mark.parametrize(("cuda", "reason"), [("13.2", "finds no GPU here"), (None, "is a CPU-only build")])
def test_without_a_gpu_one_line_says_what_to_do(call, monkeypatch, arguments, cuda, reason):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", cuda)
    code, out, err = call(*arguments, "--device", "cuda")
    assert (code, out) == (2, "")
    assert err.startswith(f"Error: --device cuda: PyTorch {torch.__version__} {reason}. ")
    assert err.endswith("(docs/training.md, On a GPU). Other choices: auto, cpu.\n")


def test_a_share_is_stated_of_a_known_peak_only():
    assert Peak.of("NVIDIA A100-SXM4-40GB").used(3.9, "float32") == "3.9 TFLOP/s, 20% of 19.5"
    assert Peak.of("NVIDIA A100-SXM4-40GB").used(78, "bf16") == "78 TFLOP/s, 25% of 312"
    assert Peak.of("NVIDIA A100-SXM4-40GB MIG 1g.5gb").used(3.9, "float32") == "3.9 TFLOP/s"
    assert all(bf16 > float32 for float32, bf16 in PEAKS.values())


def test_a_multiply_add_counts_as_two():
    assert counted(lambda: torch.ones(3, 4) @ torch.ones(4, 5)) == 2 * 3 * 4 * 5


def test_the_gradient_of_a_gradient_is_counted():
    """ULME-GAN's gradient penalty needs it: one product forwards, two for its gradients, more for their gradients."""

    def penalty():
        one = torch.ones(3, 4, requires_grad=True)
        (slope,) = torch.autograd.grad(
            ((one @ torch.ones(4, 5, requires_grad=True)) ** 2).sum(), one, create_graph=True
        )
        slope.square().sum().backward()

    assert counted(penalty) > 3 * (2 * 3 * 4 * 5)


def test_convolutions_are_counted_without_gradients_too():
    def convolved():
        with torch.inference_mode():
            torch.nn.functional.conv2d(torch.ones(1, 2, 8, 8), torch.ones(3, 2, 3, 3))

    assert counted(convolved) == 2 * (6 * 6) * 3 * (2 * 3 * 3)
