"""TPS and TPS with relative action units: laws of the splines, network sizes, effects of the settings, and training."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from megbench.baselines.tps import model as tps
from megbench.baselines.tps.inpainting import InpaintingConfig, warp_targets
from megbench.baselines.tps.motion import Dropout, SplineDenseMotion
from megbench.baselines.tps.training import TpsTrainer, drawn
from megbench.baselines.tps_rau import model as tps_rau
from megbench.baselines.tps_rau.training import RauTrainer
from megbench.core.draws import each, generator
from megbench.core.errors import BenchError
from megbench.core.openface_units import OPENFACE
from megbench.nets.blocks import HourglassConfig
from megbench.nets.dense_motion import DenseMotionConfig, Motion
from megbench.nets.geometry import coordinate_grid
from megbench.nets.losses import LossConfig
from megbench.nets.thin_plate import ThinPlate
from megbench.nets.transform import TransformConfig

SMALL = {
    "resnet_width": 4,
    "dense_motion": DenseMotionConfig(HourglassConfig(4, 16, 2)),
    "inpainting": InpaintingConfig(4, 16, 2),
    "loss": LossConfig(perceptual="pyramid", factors=(1, 2)),
}
TPS = tps.TpsConfig(num_tps=2, avd=tps.TpsAvdConfig((16,), 8), **SMALL)
RAU = tps_rau.RauConfig(image_size=64, **SMALL)
PUBLISHED = replace(RAU, points="sigmoid", condition="planes")


def points(seed, batch=1, count=10):
    return torch.from_numpy(np.random.default_rng(seed).uniform(-0.7, 0.7, (batch, count, 2))).float()


def pictures(seed, batch=2, size=64):
    return torch.from_numpy(np.random.default_rng(seed).random((batch, 3, size, size), dtype=np.float32))


@settings(max_examples=25)
@given(st.integers(0, 10**6))
def test_without_a_ridge_a_spline_meets_its_points_and_is_affine_where_they_are(seed):
    controls = points(seed)[:, None, :5].double()
    targets = points(seed + 1)[:, None, :5].double()
    assert torch.allclose(ThinPlate.fitted(controls, targets, 0.0)(controls), targets, atol=1e-6)
    matrix = torch.tensor([[1.1, 0.2], [-0.1, 0.9]]).double()
    plate = ThinPlate.fitted(controls, controls @ matrix.T + 0.1, 0.0)
    assert torch.allclose(plate(targets), targets @ matrix.T + 0.1, atol=1e-6)


def test_the_published_ridge_bends_a_face_at_rest():
    same = points(3)[:, None, :5]
    rest = coordinate_grid(16, 16, same)
    away = [float((ThinPlate.fitted(same, same, r).grids(16, 16) - rest).abs().max()) for r in (0.01, 1e-3, 1e-5)]
    assert away[0] > away[1] > away[2]
    assert away[0] > 2 / 256
    assert away[2] < 1e-3


def test_a_random_transform_is_near_the_identity_and_repeats_with_its_seed():
    like = torch.zeros(1)
    plates = [ThinPlate.draw(TransformConfig(), each(np.random.default_rng(seed), 2), like) for seed in (1, 1, 2)]
    where = points(0, batch=2)
    moved = [plate.points(where) for plate in plates]
    assert torch.equal(moved[0], moved[1])
    assert not torch.equal(moved[0], moved[2])
    assert float((moved[0] - where).abs().max()) < 0.5
    still = ThinPlate.near_identity(torch.zeros(2, 2, 3), torch.zeros(2, 1, 25))
    assert torch.allclose(still.frame(pictures(0)), pictures(0), atol=1e-5)


def test_draws_of_a_sample_do_not_depend_on_how_its_batch_is_divided():
    def draws(first, count):
        dropout, transform = drawn(tps.TpsConfig(), torch.zeros(count, 1), 0, each(generator(first, 7), count))
        return dropout.draws, transform.theta, transform.weights

    whole, parts = draws(0, 4), [draws(0, 2), draws(2, 2)]
    for one, *others in zip(whole, *parts, strict=True):
        assert torch.equal(one, torch.cat(others))
    assert len({tuple(row.tolist()) for row in whole[0]}) == 4


def test_dropped_splines_get_nothing_and_the_background_stays():
    logits = torch.randn(2, 4, 3, 3, generator=torch.Generator().manual_seed(0))
    everything = Dropout(torch.ones(2, 4), 0.3).weights(logits)
    assert float(everything[:, 1:].abs().max()) == 0
    assert torch.allclose(everything[:, 0], torch.ones(2, 3, 3), atol=1e-4)
    nothing = Dropout(torch.zeros(2, 4), 0.3).weights(logits)
    assert torch.allclose(nothing, torch.softmax(logits, 1), atol=1e-5)


def test_dropout_rises_and_ends_as_published():
    rates = [TPS.dropout.probability(epoch) for epoch in (0, 5, 12, 34, 35)]
    assert rates == [0.1, pytest.approx(0.25), 0.3, 0.3, None]
    assert tps_rau.RauConfig().dropout.probability(0) == 0


def test_published_sizes():
    with torch.device("meta"):
        counted = {
            name: sum(parameter.numel() for parameter in network.parameters())
            for name, network in tps.networks(tps.TpsConfig()).items()
        }
        told, plain = (tps_rau.networks(tps_rau.published(units)) for units in (True, False))
    assert counted == {
        "kp_detector": 11_227_812,
        "bg_predictor": 11_188_998,
        "dense_motion_network": 37_941_397,
        "inpainting_network": 24_737_283,
        "avd_network": 2_583_652,
    }
    sizes = [sum(p.numel() for p in nets["inpainting_network"].parameters()) for nets in (told, plain)]
    assert sizes == [26_404_371, 24_737_283]
    assert not list(told["kp_detector"].parameters())


def test_relative_mode_keeps_the_template_where_the_driver_is_still():
    source, first = points(1), points(2)
    assert torch.allclose(tps.transfer_points(source, first, first), source)
    doubled = tps.transfer_points(2 * first, first + 0.1, first)
    assert torch.allclose(doubled, 2 * first + 0.2, atol=1e-5)
    line = torch.zeros(1, 10, 2)
    assert torch.allclose(tps.transfer_points(source, line + 0.1, line), source + 0.1)


def test_masks_are_used_at_their_resolution_and_plain_motions_are_resized():
    nets = tps.networks(TPS)
    network = nets["dense_motion_network"]
    assert isinstance(network, SplineDenseMotion)
    motion = network(network.down(pictures(0)), points(1), points(2, batch=2))
    for mask in motion.masks:
        assert motion.visible(*mask.shape[2:]) is mask
    assert motion.visible(20, 20).shape == (2, 1, 20, 20)
    with torch.no_grad():
        features = nets["inpainting_network"].features(pictures(0))
    rest = coordinate_grid(16, 16, features[0]).expand(2, -1, -1, -1)
    half = torch.full((2, 1, 16, 16), 0.5)
    found, wanted = warp_targets(features, features, Motion(rest, half, half, half))
    for moved, kept in zip(found, wanted, strict=True):
        assert torch.allclose(moved, kept, atol=1e-4), "at rest the source's features are the driving frame's"


def test_the_warp_loss_teaches_the_flow_alone():
    trainer = TpsTrainer(replace(TPS, warp_weight=1.0))
    phase = next(trainer.step("main", {"source": pictures(1), "driving": pictures(2)}, 0, 0, np.random.default_rng(0)))
    phase.losses["warp_loss"].backward()
    inpainting = trainer.networks()["inpainting_network"].parameters()
    assert all(parameter.grad is None for parameter in inpainting)
    assert any(parameter.grad is not None for parameter in trainer.networks()["kp_detector"].parameters())


def test_the_background_joins_when_its_epoch_comes():
    trainer = TpsTrainer(replace(TPS, background_start=1))
    batch = {"source": pictures(1), "driving": pictures(2)}
    names = [
        (phase.optimisers, set(phase.losses))
        for epoch in (0, 1)
        for phase in trainer.step("main", batch, epoch, 0, np.random.default_rng(0))
    ]
    assert names[0] == (
        ("inpainting_network", "dense_motion_network", "kp_detector"),
        {"perceptual", "equivariance_value", "warp_loss"},
    )
    assert names[1][0][-1] == "bg_predictor"
    assert "bg" in names[1][1]
    specs = trainer.optimisers("main")
    assert specs["inpainting_network"].clip_norm is None
    assert specs["kp_detector"].clip_norm == 10
    assert specs["kp_detector"].clip_order == float("inf")


def test_the_avd_stage_learns_to_undo_a_stretch_and_leaves_the_detector_alone():
    trainer = TpsTrainer(TPS)
    before = {name: value.clone() for name, value in trainer.networks()["kp_detector"].state_dict().items()}
    batch = {"source": pictures(1, 8), "driving": pictures(2, 8)}
    optimiser = torch.optim.Adam(trainer.networks()["avd_network"].parameters(), 1e-3)
    losses = []
    for index in range(30):
        (phase,) = trainer.step("avd", batch, 0, index, np.random.default_rng(index))
        losses.append(phase.losses["rec_shift"])
        optimiser.zero_grad()
        losses[-1].backward()
        optimiser.step()
    assert losses[-1] < 0.7 * losses[0]
    after = trainer.networks()["kp_detector"].state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())


def test_saturated_points_are_a_switch():
    landmarks = torch.from_numpy(np.random.default_rng(0).uniform(40, 200, (1, 68, 2)))
    given = tps_rau.given_points(landmarks)
    sane, published = (tps_rau.GivenPoints(kind, 256)(given).value for kind in ("normalised", "sigmoid"))
    assert torch.allclose(sane, 2 * given / 255 - 1)
    assert torch.equal(published, torch.ones_like(published))


@pytest.mark.parametrize(("config", "largest"), [(PUBLISHED, 0.02), (RAU, None)])
def test_action_units_as_planes_are_nearly_erased_and_as_modulation_they_are_not(config, largest):
    torch.manual_seed(0)
    nets = tps_rau.networks(config)
    network = nets["inpainting_network"]
    if config.condition == "modulation":
        for layer in network.modulation:
            torch.nn.init.normal_(layer.weight, 0, 0.3)
    made = tps_rau.generator(nets)
    with torch.no_grad():
        encoded = made.encode(pictures(0, 1))
        value = points(4, count=50)
        motion = made.motion(encoded.small, tps.SplinePoints(value), tps.SplinePoints(value))
        still, told = (
            network(encoded.picture, encoded.features, motion, amount * torch.ones(1, len(OPENFACE)))
            for amount in (0.0, 0.4)
        )
    change = (told - still).abs()[..., 24:-24, 24:-24]
    if largest is None:
        assert float(change.mean()) > 1e-3
    else:
        assert float(change.mean()) < largest * float(still.std())


def test_equal_action_units_change_nothing_whatever_was_learnt():
    torch.manual_seed(1)
    conditioned = tps_rau.ConditionedInpainting(RAU.inpainting, "modulation")
    plain = tps_rau.InpaintingNetwork(RAU.inpainting)
    for layer in conditioned.modulation:
        torch.nn.init.normal_(layer.weight)
    plain.load_state_dict({k: v for k, v in conditioned.state_dict().items() if not k.startswith("modulation")})
    half = torch.full((1, 1, 16, 16), 0.5)
    motion = Motion(coordinate_grid(16, 16, half)[None], half, half, half)
    features = plain.features(pictures(0, 1))
    found = conditioned(pictures(0, 1), features, motion, torch.zeros(3, len(OPENFACE)))
    assert found.shape == (3, 3, 64, 64)
    assert torch.allclose(found[1:2], plain(pictures(0, 1), features, motion), atol=1e-5)


def rau_batch():
    landmarks = torch.from_numpy(np.random.default_rng(0).uniform(10, 50, (2, 68, 2))).float()
    units = torch.rand(2, 2, len(OPENFACE), generator=torch.Generator().manual_seed(0))
    return {
        "source": pictures(1),
        "driving": pictures(2),
        "landmarks": landmarks,
        "action_units_source": units[0],
        "action_units_driving": units[1],
    }


@pytest.mark.parametrize("config", [RAU, PUBLISHED, replace(RAU, condition="none")])
def test_the_relative_unit_training_learns_in_every_form(config):
    torch.manual_seed(0)
    trainer = RauTrainer(replace(config, dense_motion=DenseMotionConfig(HourglassConfig(4, 16, 2))))
    batch = rau_batch()
    phases = list(trainer.step("main", batch, 0, 0, np.random.default_rng(0)))
    (phase,) = phases
    assert set(phase.losses) == {"perceptual", "equivariance_value", "warp_loss"}
    assert not phase.losses["equivariance_value"].requires_grad, "the points are given"
    torch.stack(list(phase.losses.values())).sum().backward()
    if config.condition == "modulation":
        assert all(layer.weight.grad.abs().sum() > 0 for layer in trainer.networks()["inpainting_network"].modulation)
    assert set(trainer.optimisers("main")) == set(phase.optimisers)


def test_clips_without_action_units_are_refused():
    batch = {name: value for name, value in rau_batch().items() if not name.startswith("action_units")}
    with pytest.raises(
        BenchError, match=r"learns from action units, but these clips have none\. Train on --clips demo"
    ):
        next(RauTrainer(RAU).step("main", batch, 0, 0, np.random.default_rng(0)))


def test_the_relative_action_units_are_a_difference_of_fifths():
    rows = np.random.default_rng(0).uniform(0, 5, (2, 4, 17))
    assert np.allclose(tps_rau.au_difference(rows[0], rows[1]), (rows[1] - rows[0]) / 5, atol=1e-6)
    assert not tps_rau.au_difference(rows[0], rows[0]).any()
