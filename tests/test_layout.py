"""Training's memory layouts change what a step costs, not what it learns."""

import pytest
import torch
from torch import nn

from nets.blocks import ResBlock, SameBlock
from training import layout

CPU = torch.device("cpu")


def network():
    torch.manual_seed(0)
    return nn.Sequential(SameBlock(3, 8), ResBlock(8), ResBlock(8), nn.Conv2d(8, 3, 7, padding=3))


def gradients(made, capability, monkeypatch):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    layout.lay_out(made, CPU)
    x = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1), requires_grad=True)
    with layout.fastest_backward(CPU):
        made(x).square().sum().backward()
    return {"x": x.grad} | {name: value.grad for name, value in made.named_parameters()}


@pytest.mark.parametrize("capability", ["AVX2", "AVX512"])
def test_gradients_are_those_of_the_plain_layout(capability, monkeypatch):
    x = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1), requires_grad=True)
    plain = network()
    plain(x).square().sum().backward()
    made = network()
    found = gradients(made, capability, monkeypatch)
    wanted = {"x": x.grad} | {name: value.grad for name, value in plain.named_parameters()}
    noise = 1e-4 * max(float(gradient.norm()) for gradient in wanted.values())
    for name, gradient in wanted.items():
        # By norms: rounding turns a ReLU near zero on or off, and with it single entries.
        assert float((found[name] - gradient).norm()) <= 1e-2 * float(gradient.norm()) + noise, name
    for name, value in made.named_parameters():
        assert value.grad.stride() == value.stride(), name


def test_without_avx512_only_residual_blocks_are_channels_last(monkeypatch):
    for capability, planar in (("AVX2", 2), ("AVX512", 0)):
        made = network()
        gradients(made, capability, monkeypatch)
        weights = [value for value in made.parameters() if value.ndim == 4]
        assert sum(value.is_contiguous() for value in weights) == planar


def test_second_derivatives_pass(monkeypatch):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    made = layout.lay_out(network(), CPU)
    x = torch.rand(2, 3, 16, 16, requires_grad=True)
    (slope,) = torch.autograd.grad(made(x).sum(), x, create_graph=True)
    with layout.fastest_backward(CPU):
        slope.square().sum().backward()
    assert all(value.grad.isfinite().all() for value in made.parameters() if value.grad is not None)
