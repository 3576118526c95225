"""Sampling of channels-last maps, compared with torch's grid_sample in float64."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from megbench.nets import gather
from megbench.nets.geometry import memory_layout, warp

SIZES = st.integers(1, 9)


def channels_last(*shape):
    return torch.rand(shape).contiguous(memory_format=torch.channels_last)


@settings(max_examples=50)
@given(*[SIZES] * 6, st.booleans(), st.floats(0.1, 4), st.integers(0, 99))
def test_it_samples_as_torch_does(batch, channels, height, width, rows, columns, align_corners, reach, seed):
    torch.manual_seed(seed)
    picture, grid = channels_last(1, channels, height, width), reach * torch.randn(batch, rows, columns, 2)
    found = gather.gathered(picture, grid, align_corners)
    wide = picture.double().expand(batch, -1, -1, -1)
    exact = F.grid_sample(wide, grid.double(), align_corners=align_corners)
    assert found.shape == exact.shape
    torch.testing.assert_close(found.double(), exact, rtol=0, atol=2e-5 * reach)


def test_what_is_no_number_looks_outside():
    grid = torch.tensor([[[[torch.nan, 0.0], [torch.inf, 0.0], [0.0, -torch.inf], [1e30, torch.nan]]]])
    assert not gather.gathered(channels_last(1, 3, 5, 5), grid, True).any()


@pytest.mark.parametrize("used", [True, False])
def test_it_is_used_in_inference_only_and_layouts_stay(used, monkeypatch):
    counted = []
    monkeypatch.setattr("megbench.nets.geometry.gathered", lambda *given: counted.append(1) or gather.gathered(*given))
    picture, grid = channels_last(1, gather.FEWEST_CHANNELS, 5, 5), torch.rand(2, 4, 4, 2)
    grid.requires_grad_(not used)
    sampled = warp(picture, grid, True)
    assert bool(counted) is used
    assert memory_layout(sampled) is torch.channels_last
    assert memory_layout(warp(picture.contiguous(), grid, True)) is torch.contiguous_format
    assert len(counted) == used
    torch.testing.assert_close(sampled, warp(picture.contiguous(), grid, True))
