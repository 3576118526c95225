"""The taught training: its losses are lowest for the truth, and all networks learn from one batch."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from megbench.baselines.tps_rau import model as published_rau
from megbench.baselines.ulmegan import model as published_ulme
from megbench.core.config import as_dict, build, resolve
from megbench.core.errors import BenchError
from megbench.core.registry import load
from megbench.core.weights.published_checkpoints import manifest
from megbench.nets.geometry import affine_grid, coordinate_grid
from megbench.taught import TAUGHT, tps, tps_rau, ulmegan
from megbench.taught.displaced import displaced
from megbench.taught.losses import (
    PIXELS,
    attention_loss,
    best_mask_loss,
    best_matrices,
    facial_losses,
    flow_losses,
    jacobian_loss,
    nearest_mask_loss,
    picture_losses,
    point_losses,
    rest_loss,
)
from megbench.taught.trainer import CROP, crop, crop_grid
from megbench.training import TRAINABLES
from tests.test_tps import RAU, TPS
from tests.test_ulmegan import SMALL as ULME

REST = coordinate_grid(64, 64, torch.zeros(1)).expand(2, 64, 64, 2)
FACE = torch.ones(2, 64, 64)
BUMP = torch.exp(-REST.square().sum(-1, keepdim=True) / 0.1) * torch.tensor([1.5, -1.0]) / PIXELS


def test_flow_losses_order_perfect_half_still_and_wrong():
    found = {
        name: [float(part) for part in flow_losses(REST + share * BUMP, REST + BUMP, FACE)]
        for name, share in {"perfect": 1.0, "half": 0.5, "still": 0.0, "wrong": -1.0}.items()
    }
    errors, directions, shortfalls = zip(*found.values(), strict=True)
    assert errors == tuple(sorted(errors))
    assert errors[0] < 0.01
    assert directions[0] < 0.01
    assert directions[1] == pytest.approx(directions[0], abs=0.01), "direction ignores amplitude"
    assert directions[2] == pytest.approx(1)
    assert directions[3] == pytest.approx(2, abs=0.01)
    assert shortfalls == pytest.approx((0, 0.5, 1, 2), abs=0.01)


def test_a_still_pair_asks_for_stillness_without_a_direction():
    error, direction, shortfall = flow_losses(REST, REST, FACE)
    assert float(direction) == float(shortfall) == 0
    assert float(error) < 0.01


def similarity(turn: complex, shift: complex) -> torch.Tensor:
    """Return the motion z -> turn z + shift as an offset (64, 64, 2) of a grid in [-1, 1]."""
    place = torch.view_as_complex(REST[0].contiguous())
    return torch.view_as_real(turn * place + shift)


def test_a_moving_head_does_not_change_the_facial_losses():
    shifted = similarity(0.02 - 0.01j, (3 - 2j) / PIXELS)
    for share in (0.0, 0.5, 1.0):
        plain = facial_losses(REST + share * BUMP, REST + BUMP, FACE)
        moving = facial_losses(REST + share * BUMP + shifted, REST + BUMP + 2 * shifted, FACE)
        torch.testing.assert_close(moving, plain, rtol=1e-3, atol=1e-3)
        assert flow_losses(REST + share * BUMP + shifted, REST + BUMP + 2 * shifted, FACE)[0] > 0.3


def test_facial_motion_that_a_moving_head_must_not_cause_is_an_error():
    shifted = similarity(0, 1 / PIXELS)
    error, direction, shortfall = facial_losses(REST + shifted + 0.2 * BUMP, REST + shifted, FACE)
    assert error > 0.5, "0.36 px at the bump's centre; flow_losses see a tenth of the head's motion"
    assert direction == shortfall == 0
    assert flow_losses(REST + shifted + 0.2 * BUMP, REST + shifted, FACE)[0] < 0.1


def test_facial_losses_ignore_what_is_not_on_the_face():
    face = (REST[..., 0] < 0).float()
    elsewhere = BUMP * (1 - face[..., None])
    assert facial_losses(REST + elsewhere, REST, face)[0] < 0.01


def test_losses_have_finite_gradients_at_perfection_and_at_rest():
    for grid in (REST, REST + BUMP):
        found = grid.clone().requires_grad_()
        torch.stack([*flow_losses(found, grid, FACE), *facial_losses(found, grid, FACE)]).sum().backward()
        assert torch.isfinite(found.grad).all()


def test_best_matrices_recover_a_linear_motion():
    matrix = torch.tensor([[1.02, 0.01], [-0.03, 0.98]])
    points = torch.tensor([[[0.1, -0.2], [-0.4, 0.3]]])
    grid = affine_grid(points[:, :1], points[:, :1], matrix[None, None], 64, 64)[:, 0]
    found = best_matrices(points[:, :1], grid)
    torch.testing.assert_close(found[0, 0], matrix, atol=1e-4, rtol=0)
    assert float(jacobian_loss(found, found)) == 0
    assert float(jacobian_loss(torch.eye(2).expand_as(found), found)) == pytest.approx(1, abs=0.2)


def test_best_mask_is_the_one_whose_map_fits():
    points = torch.tensor([[[0.0, 0.0], [0.5, 0.5]]])
    matrices = torch.stack([torch.eye(2) * 1.05, torch.eye(2) * 0.9])[None]
    grid = affine_grid(points[:, :1], points[:, :1], matrices[:, :1], 64, 64)[:, 0]
    losses = []
    for chosen in range(3):
        mask = torch.full((1, 3, 64, 64), 0.01)
        mask[:, chosen] = 0.98
        losses.append(float(best_mask_loss(mask, points, matrices, grid, FACE[:1])))
    assert min(losses) == losses[1]


def test_attention_and_nearest_mask_prefer_the_place_itself():
    points = torch.tensor([[[-0.5, -0.5], [0.5, 0.5]]])
    distance = (coordinate_grid(58, 58, points) - points[:, :, None, None]).square().sum(-1)
    here = torch.softmax(-distance.flatten(2) / (2 * 0.12**2), -1).unflatten(2, (58, 58))
    assert float(attention_loss(here, points)) == pytest.approx(0, abs=1e-4)
    assert float(attention_loss(here.flip(1), points)) > 1
    mask = torch.full((1, 3, 64, 64), 0.01)
    mask[:, 1, :32], mask[:, 2, 32:] = 0.98, 0.98
    assert nearest_mask_loss(mask, points, FACE[:1]) < nearest_mask_loss(mask.flip(2), points, FACE[:1])


def test_point_losses_are_zero_for_the_truth_only():
    true = (torch.zeros(1, 3, 2), torch.zeros(1, 3, 2), torch.full((1, 3, 2), 0.02))
    assert sum(float(loss) for loss in point_losses(true, true).values()) == 0
    assert float(point_losses((true[0], true[1], true[1]), true)["step"]) == pytest.approx(1, abs=0.05)


def test_picture_losses_see_pixels_and_edges():
    picture = torch.rand(1, 3, 32, 32)
    assert sum(float(loss) for loss in picture_losses(picture, picture).values()) == 0
    brighter = picture_losses(picture + 0.1, picture)
    assert float(brighter["gradient"]) == pytest.approx(0, abs=1e-5)
    assert float(brighter["picture"]) == pytest.approx(3, abs=1e-4)


def test_a_crop_of_a_warp_is_the_warp_of_a_crop():
    picture = torch.nn.functional.interpolate(torch.rand(1, 3, 8, 8), size=256, mode="bicubic")
    grid = coordinate_grid(64, 64, picture)[None] + BUMP[:1]

    def warped(source, deformation, size):
        fine = torch.nn.functional.interpolate(
            deformation.permute(0, 3, 1, 2), size=size, mode="bilinear", align_corners=True
        )
        return torch.nn.functional.grid_sample(source, fine.permute(0, 2, 3, 1), align_corners=True)

    corner = np.array([[60, 52]])
    whole = crop(warped(picture, grid, 256), corner)
    part = warped(crop(picture, corner), crop_grid(grid, corner), CROP)
    inner = (slice(None), slice(None), slice(8, -8), slice(8, -8))
    still = crop(picture, corner)[inner]
    assert (part[inner] - whole[inner]).abs().mean() < 0.1 * (still - whole[inner]).abs().mean()


TINY = {
    "model": {
        "detector": {"hourglass": {"block_expansion": 2, "max_features": 4}},
        "dense_motion": {"hourglass": {"block_expansion": 2, "max_features": 4}},
        "generator": {"block_expansion": 2, "max_features": 4, "num_bottleneck_blocks": 1, "skips": True},
    },
    "taught": {"mask_steps": 10},
}


def look_alike_batch(rng):
    pictures = {name: torch.rand(2, 3, 256, 256) for name in ("source", "target", "initial", "driving")}
    landmarks = torch.from_numpy(rng.uniform(60, 200, (2, 68, 2)).astype(np.float32))
    points = {f"points_{name}": torch.rand(2, 10, 2) - 0.5 for name in ("source", "initial", "driving")}
    return {
        **pictures,
        **points,
        "landmarks": landmarks,
        "landmarks_driving": landmarks,
        "grid": REST + BUMP,
        "face": FACE,
    }


@pytest.mark.parametrize("name", ["fpfomm", "fomm", "mraa"])
def test_every_stage_reaches_the_networks_it_teaches(name):
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    trainer = resolve(load("trainable", name, TAUGHT), [TINY]).trainer()
    networks = trainer.networks()
    batch = look_alike_batch(rng)
    reached = {}
    for stage in trainer.stages:
        for network in networks.values():
            network.zero_grad()
        phase = next(trainer.step(stage, batch, 0, 0, rng))
        assert set(phase.optimisers) == set(trainer.optimisers(stage))
        torch.stack(list(phase.losses.values())).sum().backward()
        reached[stage] = {
            name
            for name, network in networks.items()
            if any(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in network.parameters())
        }
    assert reached == {"motion": set(networks), "picture": {"generator"}, "joint": set(networks)}


@pytest.mark.parametrize("name", ["fpfomm", "fomm", "mraa", "tps", "tps_rau"])
def test_the_published_training_asks_for_its_weights(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BenchError, match=r"loss\.perceptual=pyramid"):
        load("trainable", name, TRAINABLES)().trainer()


DISPLACED_RAU = build(tps_rau.DisplacedRauConfig, as_dict(replace(RAU, image_size=256, ridge=1e-5)), "")
DISPLACED_ULME = build(ulmegan.DisplacedUlmeConfig, as_dict(replace(ULME, image_size=128)), "")
BY_UNITS = {
    "tps_rau": tps_rau.Recipe(DISPLACED_RAU),
    "ulmegan": ulmegan.Recipe(DISPLACED_ULME),
}


@pytest.mark.parametrize("name", BY_UNITS)
def test_displaced_pictures_begin_at_the_source(name):
    batch = look_alike()
    painting = BY_UNITS[name].trainer().pupil.paint(batch)
    source = F.interpolate(batch["source"], painting.target.shape[2:], mode="area")
    assert (painting.found - source).abs().max() < 1e-4


@pytest.mark.parametrize("name", BY_UNITS)
def test_a_face_whose_units_do_not_change_is_left_as_it_is(name):
    pupil = BY_UNITS[name].trainer().pupil
    for network in pupil.networks().values():
        for parameter in network.parameters():
            torch.nn.init.normal_(parameter, 0, 0.1)
    batch = look_alike()
    moved = pupil.paint(batch).maps
    assert moved.abs().max() > 0.01
    batch["action_units_target"] = batch["action_units_source"] = torch.zeros(2, 17)
    assert pupil.paint(batch).maps.abs().max() == 0


def test_a_painted_step_is_two_pixels_and_a_little_light():
    picture = look_alike()["source"]
    painted = torch.zeros_like(picture)
    painted[:, 0] = -1
    assert (displaced(picture, painted)[..., 3:] - picture[..., 1:-2]).abs().max() < 1e-3
    painted = torch.zeros_like(picture)
    painted[:, 2] = 1
    assert (displaced(0.5 * picture, painted) - 0.5 * picture - 0.05).abs().max() < 1e-4


def test_attention_is_best_where_the_truth_rests():
    wanted = torch.exp(-(BUMP * PIXELS).norm(dim=-1) / 0.05)[:, None].expand(2, 1, 64, 64)
    found = [float(rest_loss(each, REST + BUMP)) for each in (wanted, 1 - wanted, torch.ones_like(wanted) * 0.5)]
    assert found[0] < found[2] < found[1]


@pytest.mark.parametrize("name", BY_UNITS)
def test_a_displaced_network_has_the_entries_of_the_published_one(name):
    published = {"tps_rau": published_rau.networks(RAU), "ulmegan": published_ulme.networks(ULME)}[name]
    for key, network in BY_UNITS[name].trainer().networks().items():
        assert manifest(network.state_dict()).keys() == manifest(published[key].state_dict()).keys()


@pytest.mark.parametrize(
    "recipe",
    [
        tps.Recipe(replace(TPS, num_tps=10)),
        *BY_UNITS.values(),
    ],
    ids=["tps", *BY_UNITS],
)
def test_the_later_systems_learn_from_one_batch(recipe):
    torch.manual_seed(0)
    trainer = recipe.trainer()
    batch = {name: value[:1] for name, value in look_alike().items()}
    optimiser = torch.optim.Adam([p for net in trainer.networks().values() for p in net.parameters()], 3e-3)
    stage, totals = trainer.stages[0], []
    for index in range(6):
        (phase,) = trainer.step(stage, batch, 0, index, np.random.default_rng(0))
        totals.append(torch.stack(list(phase.losses.values())).sum())
        optimiser.zero_grad()
        totals[-1].backward()
        optimiser.step()
    assert totals[-1] < totals[0]
    for other in trainer.stages[1:]:
        (phase,) = trainer.step(other, batch, 0, 0, np.random.default_rng(0))
        assert all(torch.isfinite(loss) for loss in phase.losses.values())


def look_alike():
    """Return two pairs like those drawn by taught/rendered.py, but of smooth noise that shifts by two pixels."""
    generator = torch.Generator().manual_seed(1)
    picture = F.interpolate(torch.rand(2, 3, 16, 16, generator=generator), size=256, mode="bicubic").clamp(0, 1)
    moved = torch.roll(picture, 2, dims=3)
    points = torch.rand(2, 50, 2, generator=generator) - 0.5
    units = torch.zeros(2, 17)
    landmarks = 60 + 130 * torch.rand(2, 68, 2, generator=generator)
    return {
        "source": picture,
        "target": moved,
        "initial": picture,
        "driving": moved,
        "grid": REST - torch.tensor([2 / PIXELS, 0.0]),
        "face": FACE,
        "landmarks": landmarks,
        "points_source": points,
        "points_initial": points,
        "points_driving": points + torch.tensor([2 / PIXELS, 0.0]),
        "action_units_source": units,
        "action_units_target": units + 0.5,
    }
