"""Rearranged networks are compared with plain ones: every fast path paints the same pictures as the plain path."""

import copy
import shutil
from functools import partial
from unittest import mock

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from megbench.baselines.fomm import model as fomm
from megbench.baselines.mraa import model as mraa
from megbench.baselines.tps import model as tps
from megbench.baselines.tps_rau import model as tps_rau
from megbench.baselines.ulmegan import model as ulmegan
from megbench.core.errors import BenchError
from megbench.core.openface_units import OPENFACE
from megbench.fpfomm import model as fpb
from megbench.methods import make_method
from megbench.nets import winograd
from megbench.nets.blocks import SameBlock, UpBlock
from megbench.nets.fast import LARGE_MAP, FourAtOnce, InstanceNormLast, compile_blocks, rearrange, speed_up
from tests.golden.fill import fill
from tests.test_nets_models import FOMM, FPB, LANDMARKS, MRAA
from tests.test_tps import RAU, TPS
from tests.test_ulmegan import SMALL as ULME

Fomm = make_method("fomm")

RNG = np.random.default_rng(3)
TEXTURE = cv2.normalize(cv2.GaussianBlur(RNG.random((256, 256, 3)), (0, 0), 3), None, 0, 255, cv2.NORM_MINMAX)
FRAMES = np.stack([np.roll(TEXTURE, step, axis=1) for step in range(3)]).astype(np.uint8)
UNITS = RNG.uniform(-0.5, 0.5, (2, len(OPENFACE))).astype(np.float32)


RELATIVE = {"mode": "relative"}


def from_points(animator, detect):
    face = animator.face(FRAMES[0], detect)
    points = animator.read(FRAMES, detect)
    return animator.paint(face, points[1:3], points[:1])


def paint_fomm(nets):
    return from_points(fomm.animator(FOMM, nets, RELATIVE, "cpu", 2), fomm.detector(nets, None, "cpu"))


def paint_fpfomm(nets):
    detect = fpb.detector(nets, LANDMARKS[0].numpy(), "cpu")
    return from_points(fpb.animator(FPB, nets, RELATIVE, "cpu", 2), detect)


def paint_mraa(nets):
    return from_points(mraa.animator(MRAA, nets, RELATIVE, "cpu", 2), mraa.detector(nets, None, "cpu"))


def paint_tps(nets):
    return from_points(tps.animator(TPS, nets, RELATIVE, "cpu", 2), tps.detector(nets, None, "cpu"))


def paint_tps_rau(nets):
    animator = tps_rau.RauAnimator(nets, "cpu", 2)
    face = animator.face(FRAMES[0], LANDMARKS[0].numpy())
    motion = tps_rau.generator(nets).motion(face.encoded.small, face.points, face.points)
    return animator.paint(face, motion, torch.from_numpy(UNITS))


def paint_ulmegan(nets):
    animator = ulmegan.UlmeAnimator(nets["gen"], ULME.image_size, "cpu", 2)
    return animator.paint(animator.face(FRAMES[0]), UNITS).picture / 2 + 0.5


CASES = {
    "fomm": (fomm.networks(FOMM), "fomm", paint_fomm),
    "fpfomm": (fpb.networks(FPB), "fomm", paint_fpfomm),
    "mraa": (mraa.networks(MRAA), "fomm", paint_mraa),
    "tps": (tps.networks(TPS), "tps", paint_tps),
    "tps_rau": (tps_rau.networks(RAU), "tps", paint_tps_rau),
    "ulmegan": (ulmegan.networks(ULME), "tps", paint_ulmegan),
}


@pytest.fixture(params=CASES)
def case(request):
    """Return a method's networks with the goldens' weights, which exercise every layer, and their paint function."""
    nets, family, paint = CASES[request.param]
    made = {name: fill(copy.deepcopy(net), "", family).eval().requires_grad_(False) for name, net in nets.items()}
    return made, paint


def quickly(nets, paint):
    """Paint with rearranged networks in which every Conv3x3 uses Winograd's algorithm, however narrow or small."""
    everywhere = {"FEWEST_CHANNELS": 1, "FEWEST_TOGETHER": 2, "SMALLEST_MAP": 16}
    used = mock.patch.object(winograd._Convolution, "apply", side_effect=winograd._Convolution.apply)
    with mock.patch.multiple(winograd, **everywhere), used as convolution:
        painted = paint(rearranged(nets))
    assert convolution.call_count > 1
    return painted


def rearranged(nets):
    fast = copy.deepcopy(nets)
    for network in fast.values():
        rearrange(network)
    return fast


@torch.inference_mode()
def test_the_fast_path_paints_what_the_plain_one_paints(case):
    nets, paint = case
    plain, fast = paint(nets), quickly(nets, paint)
    assert plain.std() > 0.01
    assert float((plain - fast).abs().max()) < 1e-3


@torch.inference_mode()
def test_bfloat16_stays_within_45_dB(case):
    nets, paint = case
    plain = paint(nets)
    with torch.autocast("cpu", torch.bfloat16):
        coarse = paint(rearranged(nets))
    assert coarse.dtype is torch.float32
    assert not torch.equal(plain, coarse)
    assert float(-10 * torch.log10((plain - coarse).square().mean())) >= 45


@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")
@pytest.mark.parametrize(
    ("block", "side"),
    [(partial(SameBlock, 3, 4), 8), (partial(UpBlock, 3, 4), 16), (partial(ulmegan.ResidualBlock, 3), 8)],
)
def test_compiled_blocks_paint_what_the_others_paint(block, side):
    torch.manual_seed(0)
    block = block().eval().requires_grad_(False)
    x = torch.rand(1, 3, side, side)
    plain = block(x)
    rearrange(block)
    compile_blocks(block)
    assert any(module._compiled_call_impl is not None for module in block.modules())
    with torch._inductor.config.patch(compile_threads=1):  # no pool of processes, which pays off only for many blocks
        for _ in range(2):
            torch.testing.assert_close(block(x), plain)


def test_without_a_compiler_the_remedy_is_said_at_once(monkeypatch):
    monkeypatch.setenv("CXX", "/nowhere/g++")
    with pytest.raises(BenchError, match=r"a C\+\+ compiler, but '/nowhere/g\+\+' was not found"):
        Fomm("", {"compile": "yes"})


def test_nothing_is_left_to_fold():
    nets = fomm.networks(FOMM)
    norms = sum(isinstance(module, nn.BatchNorm2d) for net in nets.values() for module in net.modules())
    folded = rearranged({name: net.eval() for name, net in nets.items()})
    left = sum(isinstance(module, nn.BatchNorm2d) for net in folded.values() for module in net.modules())
    assert left == FOMM.generator.num_bottleneck_blocks  # norms before an activation stay
    assert norms > 10


@torch.inference_mode()
@pytest.mark.parametrize("affine", [True, False])
def test_instance_norm_in_channels_last_is_exact_and_keeps_the_layout(affine):
    torch.manual_seed(0)
    norm = nn.InstanceNorm2d(5, affine=affine)
    if affine:
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
    x = (10 + torch.randn(2, 5, 64, 48)).contiguous(memory_format=torch.channels_last)
    exact = copy.deepcopy(norm).double()(x.double())
    found = InstanceNormLast(norm)(x)
    assert found.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(found.double(), exact, rtol=0, atol=2e-5)


@torch.inference_mode()
@pytest.mark.parametrize("bias", [True, False])
def test_four_pixels_at_once_are_those_of_the_convolution(bias):
    conv = nn.Conv2d(6, 3, 7, padding=3, bias=bias)
    x = torch.randn(2, 6, 10, 14)
    assert FourAtOnce.suits(conv)
    torch.testing.assert_close(FourAtOnce(conv)(x), conv(x), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "change", [{"out_channels": 5}, {"stride": 2}, {"padding": 0}, {"kernel_size": 3}, {"groups": 2}]
)
def test_other_convolutions_stay(change):
    plain = {"in_channels": 8, "out_channels": 4, "kernel_size": 7, "padding": 3}
    assert FourAtOnce.suits(nn.Conv2d(**plain))
    assert not FourAtOnce.suits(nn.Conv2d(**plain | change))


@pytest.mark.parametrize("side", [8, 16, 24])
def test_doubling_is_the_published_one_on_small_and_large_maps(side):
    block = UpBlock(3, 5).eval()
    x = torch.rand(2, 3, side, side)
    plain = block(x)
    speed_up(block)
    assert type(block).__name__ == "DoublingBlock"
    assert (side * side < LARGE_MAP) == (side == 8)
    assert torch.equal(block(x), plain) == (side == 8)
    torch.testing.assert_close(block(x), plain, rtol=0, atol=1e-5)


def test_a_network_keeps_its_entries_and_parameters_when_it_is_made_fast():
    network = tps.networks(TPS)["inpainting_network"]
    before, parameters = network.state_dict(), list(network.parameters())
    speed_up(network)
    kinds = {type(module) for module in network.modules()}
    assert winograd.Conv3x3 in kinds
    assert UpBlock not in kinds
    assert all(one is other for one, other in zip(network.parameters(), parameters, strict=True))
    assert list(network.state_dict()) == list(before)


@pytest.mark.parametrize(
    "change",
    [
        {"kernel_size": 5},
        {"stride": 2},
        {"padding": 0},
        {"groups": 2},
        {"bias": False},
        {"dilation": 2},
        {"padding_mode": "reflect"},
    ],
)
def test_convolutions_of_other_kinds_stay_plain(change):
    plain = {"in_channels": 4, "out_channels": 4, "kernel_size": 3, "padding": 1}
    assert winograd.Conv3x3.suits(nn.Conv2d(**plain))
    assert not winograd.Conv3x3.suits(nn.Conv2d(**plain | change))
