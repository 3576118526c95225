"""Winograd's convolutions and their gradients, compared with the plain convolution in float64."""

import copy
from unittest import mock

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from megbench.nets import winograd
from megbench.nets.blocks import UpBlock
from megbench.nets.fast import speed_up
from megbench.nets.winograd import Conv3x3


def fast_conv(channels_in, channels_out):
    """Return a convolution that `speed_up` has replaced."""
    conv = nn.Conv2d(channels_in, channels_out, 3, padding=1)
    speed_up(conv)
    assert type(conv) is Conv3x3
    return conv


def fast_block(channels_in, channels_out):
    """Return an UpBlock that `speed_up` has replaced."""
    block = UpBlock(channels_in, channels_out)
    speed_up(block)
    return block


FIXABLE = pytest.mark.parametrize("layer", [fast_conv, fast_block])


@pytest.fixture(autouse=True)
def for_narrow_and_small_maps(monkeypatch):
    """Lower the limits so that Winograd's algorithm is used for small maps, which keeps tests fast."""
    for name in ("FEWEST_CHANNELS", "FEWEST_LEARNING"):
        monkeypatch.setattr(winograd, name, 1)
    monkeypatch.setattr(winograd, "FEWEST_TOGETHER", 2)
    monkeypatch.setattr(winograd, "SMALLEST_MAP", 16)


def gradients(conv, x, gradient):
    """Return the result and the gradients with respect to input, weight and bias."""
    x = x.detach().requires_grad_()
    y = conv(x)
    return y.detach(), *torch.autograd.grad(y, (x, *conv.parameters()), gradient)


def far(found, exact):
    """Return the largest error relative to the largest value."""
    return float((found - exact).abs().max() / exact.abs().max())


@settings(max_examples=20)
@given(*(st.integers(1, most) for most in (3, 9, 9, 6, 6, 40)), st.booleans(), st.integers(0, 99))
def test_results_and_gradients_are_those_of_the_convolution(batch, cin, cout, height, width, strip, last, seed):
    torch.manual_seed(seed)
    conv = fast_conv(cin, cout)
    layout = torch.channels_last if last else torch.contiguous_format
    x = torch.randn(batch, cin, 4 * height, 4 * width).contiguous(memory_format=layout)
    gradient = torch.randn(batch, cout, 4 * height, 4 * width)
    exact = gradients(copy.deepcopy(conv).double(), x.double(), gradient.double())
    with mock.patch.object(winograd, "STRIP", 36 * strip):  # from one row of tiles at a time to the whole picture
        found = gradients(conv, x, gradient)
    for one, other in zip(found, exact, strict=True):
        assert one.shape == other.shape
        assert far(one, other) < 1e-5


def test_its_rounding_is_that_of_good_points():
    torch.manual_seed(1)
    conv = fast_conv(256, 256)
    x, gradient = torch.randn(2, 2, 256, 32, 32)
    exact = gradients(copy.deepcopy(conv).double(), x.double(), gradient.double())
    for one, other in zip(gradients(conv, x, gradient), exact, strict=True):
        # The measured error is 1.1e-6. With the usual points 0, +-1, +-2 it is 2.3e-6, and with plain convolution
        # 0.2e-6 to 0.8e-6.
        assert float((one - other).norm() / other.norm()) < 1.6e-6


def test_frozen_weights_get_no_gradient_and_the_input_does():
    conv = fast_conv(4, 4).requires_grad_(False)
    x = torch.randn(1, 4, 8, 8, requires_grad=True)
    with mock.patch.object(winograd, "_weight_gradient", side_effect=AssertionError("it is not even computed")):
        conv(x).sum().backward()
    assert x.grad.abs().sum() > 0


@FIXABLE
def test_weights_are_kept_only_when_they_are_fixed(layer):
    layer = layer(4, 4).eval().requires_grad_(False)
    weight = dict(layer.named_parameters())["weight" if isinstance(layer, Conv3x3) else "conv.weight"]
    x = torch.randn(1, 4, 16, 16)
    before = layer(x)
    weight.mul_(2)
    assert not torch.equal(layer(x), before)
    layer.fix()
    kept = layer(x)
    weight.mul_(2)
    assert torch.equal(layer(x), kept)
    layer.fix()
    assert not torch.equal(layer(x), kept)


@FIXABLE
def test_weights_kept_in_inference_serve_a_gradient_later(layer):
    layer = layer(4, 4).eval()
    layer.fix()
    x = torch.randn(1, 4, 16, 16)
    with torch.inference_mode():
        seen = layer(x)
    x.requires_grad_()
    for _ in range(2):
        y = layer(x)
        y.sum().backward()
        assert torch.equal(y, seen)
    assert x.grad.abs().sum() > 0


def test_a_second_derivative_is_refused_rather_than_wrong():
    x = torch.randn(1, 4, 8, 8, requires_grad=True)
    (slope,) = torch.autograd.grad(fast_conv(4, 4)(x).square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="differentiate twice"):
        slope.sum().backward()


def test_where_weights_are_learnt_it_pays_from_fewer_channels_on(monkeypatch):
    monkeypatch.setattr(winograd, "FEWEST_CHANNELS", 5)
    conv, x = fast_conv(4, 4), torch.randn(1, 4, 8, 8)
    plain = nn.Conv2d.forward(conv, x)
    assert not torch.equal(conv(x), plain)
    with torch.no_grad():
        assert torch.equal(conv(x), plain)
    assert torch.equal(conv.requires_grad_(False)(x), plain)


def test_other_devices_have_the_plain_convolution():
    conv = fast_conv(4, 4).to("meta")
    assert conv(torch.empty(1, 4, 8, 8, device="meta")).is_meta
    assert conv._is_plain(torch.empty(1, 4, 8, 8, device="meta"))


def test_results_may_be_changed_in_place():
    x = torch.randn(1, 4, 8, 8, requires_grad=True)
    y = F.relu(fast_conv(4, 4)(x), inplace=True)
    assert y.is_contiguous(memory_format=torch.channels_last)
    y.sum().backward()
    assert x.grad.abs().sum() > 0


REASONS = ("half precision", "float64", "width", "height", "small map", "few channels", "few together", "compiled")


@pytest.mark.parametrize("reason", REASONS)
def test_otherwise_it_is_the_plain_convolution(reason, monkeypatch):
    conv, x = fast_conv(4, 4), torch.randn(1, 4, 8, 8)
    if reason == "width":
        x = torch.randn(1, 4, 8, 10)
    if reason == "height":
        x = torch.randn(1, 4, 10, 8)
    if reason == "small map":
        monkeypatch.setattr(winograd, "SMALLEST_MAP", 65)
    if reason == "few channels":
        monkeypatch.setattr(winograd, "FEWEST_LEARNING", 5)
    if reason == "few together":
        monkeypatch.setattr(winograd, "FEWEST_TOGETHER", 9)
    if reason == "compiled":
        monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    if reason == "float64":
        conv, x = conv.double(), x.double()
    with torch.autocast("cpu", torch.bfloat16, enabled=reason == "half precision"):
        assert torch.equal(conv(x), nn.Conv2d.forward(conv, x))
