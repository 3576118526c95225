"""The mathematics behind the networks: grids, moments, matrices, warps, anti-aliasing and the random transform."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from megbench.baselines.mraa.regions import principal_axes
from megbench.nets import geometry, losses
from megbench.nets.blocks import AntiAliasDown
from megbench.nets.geometry import aligned, coordinate_grid, gaussians, inverse_2x2, soft_argmax, spatial_softmax, warp
from megbench.nets.transform import RandomTransform, TransformConfig


def random_transform(batch, seed=0):
    return RandomTransform.draw(TransformConfig(), batch, np.random.default_rng(seed), torch.zeros(1))


def picture(seed=0, size=32, batch=2):
    return torch.rand(batch, 3, size, size, generator=torch.Generator().manual_seed(seed))


def test_grid_corners_are_pixel_centres():
    grid = coordinate_grid(3, 5, torch.zeros(1))
    assert grid.shape == (3, 5, 2)
    assert grid[0, 0].tolist() == [-1, -1]
    assert grid[2, 4].tolist() == [1, 1]
    assert grid[0, 1].tolist() == [-0.5, -1]  # x first


def test_identity_grid_keeps_the_picture_only_with_align_corners():
    x = picture()
    grid = coordinate_grid(32, 32, x).expand(2, -1, -1, -1)
    assert torch.allclose(warp(x, grid, align_corners=True), x, atol=1e-5)
    assert not torch.allclose(warp(x, grid, align_corners=False), x, atol=1e-2)


def test_soft_argmax_finds_the_mean_of_a_gaussian():
    mean = torch.tensor([[[0.3, -0.2], [0.0, 0.5]]])
    heatmap = gaussians(mean, 64, 64, 0.01)
    assert torch.allclose(soft_argmax(heatmap / heatmap.sum((2, 3), keepdim=True)), mean, atol=1e-4)


def test_covariance_of_a_gaussian_is_its_own():
    covar = torch.tensor([[[[0.02, 0.005], [0.005, 0.01]]]])
    heatmap = gaussians(torch.zeros(1, 1, 2), 101, 101, covar)
    heatmap = heatmap / heatmap.sum((2, 3), keepdim=True)
    assert torch.allclose(geometry.covariance(heatmap, soft_argmax(heatmap)), covar, atol=1e-4)


@given(st.lists(st.floats(-3, 3), min_size=4, max_size=4))
@settings(max_examples=50)
def test_inverse_is_finite_and_right_where_there_is_one(values):
    matrix = torch.tensor(values, dtype=torch.float64).reshape(2, 2)
    inverse = inverse_2x2(matrix)
    assert inverse.isfinite().all()
    if abs(np.linalg.det(matrix.numpy())) > 1e-2:
        assert torch.allclose(matrix @ inverse, torch.eye(2, dtype=torch.float64), atol=1e-8)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_motion_maths_stays_float32_under_autocast(dtype):
    """A displacement of a tenth of a pixel must survive: bfloat16 would round it away near the border."""
    with torch.autocast("cpu", dtype):
        points = torch.tensor([[[0.9, 0.9]]], dtype=torch.float32)
        jacobian = torch.eye(2).expand(1, 1, 2, 2)
        chain = geometry.product(jacobian, inverse_2x2(jacobian * 1.001))
        moved = geometry.affine_grid(points, points + 0.1 / 127.5, chain, 4, 4)
        assert moved.dtype == chain.dtype == torch.float32
        assert spatial_softmax(torch.zeros(1, 1, 4, 4, dtype=dtype), 0.1).dtype == torch.float32
        assert (
            warp(picture().to(dtype), coordinate_grid(8, 8, points).expand(2, -1, -1, -1), True).dtype == torch.float32
        )
    exact = geometry.affine_grid(points, points + 0.1 / 127.5, torch.eye(2).expand(1, 1, 2, 2) / 1.001, 4, 4)
    assert torch.allclose(moved, exact, atol=1e-6)


@pytest.mark.parametrize("factor", [2, 4, 8])
def test_strided_anti_alias_equals_blur_then_subsample(factor):
    x = picture()
    down = AntiAliasDown(3, factor)
    blurred = F.conv2d(x, down.weight, padding=down.weight.shape[-1] // 2, groups=3)
    assert torch.allclose(down(x), blurred[:, :, ::factor, ::factor], atol=1e-6)
    assert down.weight.sum((2, 3)).allclose(torch.ones(3, 1))


def test_anti_alias_of_factor_one_passes_through():
    x = picture()
    assert torch.equal(AntiAliasDown(3, 1)(x), x)
    assert AntiAliasDown(3, 1).weight.tolist() == torch.ones(3, 1, 1, 1).tolist()


def test_transform_jacobian_is_its_derivative():
    transform = random_transform(1, seed=3)
    points = torch.tensor([[[0.31, -0.72], [0.13, 0.44], [-0.9, 0.05]]])
    rows = torch.autograd.functional.jacobian(lambda p: transform.points(p).sum(1), points)  # (1, 2, 1, 3, 2)
    assert torch.allclose(transform.jacobian(points)[0], rows[0, :, 0].permute(1, 0, 2), atol=1e-5)


def test_transform_without_noise_is_the_identity():
    transform = RandomTransform.draw(TransformConfig(0, 0), 2, np.random.default_rng(0), torch.zeros(1))
    x = picture()
    assert torch.allclose(transform.frame(x, align_corners=True), x, atol=1e-5)
    points = torch.rand(2, 5, 2)
    assert torch.allclose(transform.points(points), points, atol=1e-6)
    assert torch.allclose(transform.jacobian(points), torch.eye(2).expand(2, 5, 2, 2), atol=1e-6)


def test_transforms_are_reproducible_and_differ_between_samples():
    first, second = random_transform(2, seed=1), random_transform(2, seed=1)
    assert torch.equal(first.theta, second.theta)
    assert torch.equal(first.control_params, second.control_params)
    assert not torch.equal(first.theta[0], first.theta[1])


def test_gradient_reaches_the_points_through_the_transform_jacobian():
    transform = random_transform(2)
    points = torch.rand(2, 4, 2, requires_grad=True)
    eye = torch.eye(2).expand(2, 4, 2, 2)
    losses.equivariance_jacobian(
        eye * torch.rand(2, 4, 1, 1) + torch.rand(2, 4, 2, 2), points, eye, transform
    ).backward()
    assert points.grad is not None
    assert points.grad.abs().min() > 0


def test_principal_axes_are_those_of_lapack():
    rng = np.random.default_rng(0)
    root = rng.standard_normal((500, 2, 2))
    covar = torch.from_numpy((root @ root.transpose(0, 2, 1)) * 0.02).float()
    covar = covar[torch.linalg.cond(covar) < 1e3]
    axes, deviations = principal_axes(covar)
    left, singular, _ = np.linalg.svd(covar.numpy())
    assert np.abs(axes.numpy() - left).max() < 1e-3
    assert np.abs(deviations.numpy().diagonal(axis1=1, axis2=2) - np.sqrt(singular)).max() < 1e-4


@pytest.mark.parametrize("covar", [[[0.1, 0.0], [0.0, 0.1]], [[0.0, 0.0], [0.0, 0.0]], [[0.2, 0.2], [0.2, 0.2]]])
def test_degenerate_regions_have_finite_axes_and_gradients(covar):
    covar = torch.tensor(covar, requires_grad=True)
    axes, deviations = principal_axes(covar)
    affine = axes @ deviations
    (affine.sum() + inverse_2x2(affine).sum()).backward()
    assert affine.isfinite().all()
    assert covar.grad is not None
    assert covar.grad.isfinite().all()


def test_axis_rule_counts_zero_as_positive():
    matrix = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    assert torch.equal(aligned(matrix), matrix)
    assert torch.equal(aligned(-torch.eye(2)), torch.eye(2))


def test_pyramid_distance_is_zero_only_for_equal_pictures():
    a, b = picture(0, 64), picture(1, 64)
    pyramid_a, pyramid_b = losses.pyramid(a, (1, 2, 4)), losses.pyramid(b, (1, 2, 4))
    assert losses.pyramid_distance(pyramid_a, pyramid_a).item() == pytest.approx(0, abs=1e-5)
    assert losses.pyramid_distance(pyramid_a, pyramid_b) > 0.5
    assert losses.ssim(a, a).item() == pytest.approx(1, abs=1e-5)
