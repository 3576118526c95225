"""The three generators as networks: published sizes, small variants, transfer, training steps and split inference."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.models import vgg

import megbench.baselines.fomm.model as fomm
import megbench.baselines.mraa.model as mraa
import megbench.fpfomm.model as fpb
from megbench.baselines.fomm.training import FommTrainer
from megbench.baselines.mraa.regions import Regions, transfer_regions
from megbench.baselines.mraa.training import MraaTrainer
from megbench.core.config import as_dict, build
from megbench.core.errors import BenchError
from megbench.fpfomm.points import MIRROR, given_points, mirrored_points
from megbench.fpfomm.prior import PriorConfig, prior_map
from megbench.fpfomm.training import FpFommTrainer
from megbench.nets.blocks import HourglassConfig, UpBlock
from megbench.nets.dense_motion import DenseMotionConfig
from megbench.nets.discriminator import DiscriminatorConfig
from megbench.nets.generator import GeneratorConfig
from megbench.nets.keypoints import DetectorConfig, KeyPoints
from megbench.nets.losses import LossConfig
from megbench.nets.objective import appearance_loss
from megbench.nets.transfer import hull_scale, transfer_key_points
from megbench.nets.vgg import TAPS_16, Vgg16

TINY = HourglassConfig(4, 8, 3)
GENERATOR = GeneratorConfig(4, 8, 2, 1)
LOSS = LossConfig(perceptual="pyramid", factors=(1, 2))
PARTS = {"dense_motion": DenseMotionConfig(TINY), "discriminator": DiscriminatorConfig(4, 8, 2)}
FOMM = fomm.FommConfig(detector=DetectorConfig(TINY), generator=GENERATOR, loss=LOSS, **PARTS)
FPB = fpb.FpFommConfig(
    detector=DetectorConfig(TINY), generator=GENERATOR, loss=replace(LOSS, generator_gan=1.0), **PARTS
)
MRAA = mraa.MraaConfig(
    detector=DetectorConfig(TINY, padding=3),
    dense_motion=DenseMotionConfig(TINY),
    background=TINY,
    generator=replace(GENERATOR, skips=True),
    avd=mraa.AvdConfig((8, 16), 8),
    loss=LOSS,
)
LANDMARKS = torch.from_numpy(np.random.default_rng(0).uniform(60, 200, (1, 68, 2)).round())

# The number of parameters of each published network.
PUBLISHED = [
    (fomm, fomm.FommConfig(), {"generator": 45_575_391, "kp_detector": 14_215_368, "discriminator": 2_758_849}),
    (fpb, fpb.FpFommConfig(), {"generator": 45_685_959, "kp_detector": 14_288_994, "discriminator": 2_758_849}),
    (
        mraa,
        mraa.MraaConfig(),
        {
            "generator": 45_575_391,
            "region_predictor": 14_146_728,
            "bg_predictor": 6_282_438,
            "avd_network": 2_290_620,
        },
    ),
]


def pictures(batch=2, size=256, seed=0):
    return torch.rand(batch, 3, size, size, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("model", "config", "counts"), PUBLISHED, ids=["fomm", "fpb", "mraa"])
def test_default_configs_have_the_published_sizes(model, config, counts):
    with torch.device("meta"):  # allocates no memory
        networks = model.networks(config)
    assert {name: sum(p.numel() for p in network.parameters()) for name, network in networks.items()} == counts


@pytest.mark.parametrize("config", [FOMM, FPB, MRAA, fomm.FommConfig(), mraa.MraaConfig()])
def test_configs_survive_their_json(config):
    assert build(type(config), json.loads(json.dumps(as_dict(config))), "") == config


@pytest.mark.parametrize("model", [fomm, fpb, mraa])
def test_untaught_detectors_are_ready_for_training(model):
    """Jacobians start as the identity, so FOMM's and FPB's motion initially comes from the points alone."""
    if model is mraa:
        background = mraa.networks(MRAA)["bg_predictor"].eval()
        assert torch.allclose(background(pictures(), pictures()), torch.eye(3).expand(2, 3, 3))
        return
    detector = model.networks(FOMM if model is fomm else FPB)["kp_detector"].eval()
    found = detector(pictures()) if model is fomm else detector(pictures(), given_points(LANDMARKS))
    assert torch.allclose(found.jacobian, torch.eye(2).expand_as(found.jacobian), atol=1e-5)


def test_detectors_accept_concatenated_small_pictures():
    detector = fomm.networks(FOMM)["kp_detector"].eval()
    assert isinstance(detector, fomm.KeyPointDetector)
    a, b = pictures(2, seed=1), pictures(2, seed=2)
    small = detector.down(torch.cat([a, b]))
    for joint, alone in zip(detector.detect(small).chunk(2), (detector(a), detector(b)), strict=True):
        assert torch.allclose(joint.value, alone.value, atol=1e-5)


def test_still_driver_in_relative_mode_leaves_the_template_alone():
    source = KeyPoints(torch.rand(1, 10, 2), torch.eye(2).expand(1, 10, 2, 2) * 1.2)
    driver = KeyPoints(torch.rand(1, 10, 2), torch.eye(2).expand(1, 10, 2, 2) * 0.8)
    for mode in ("relative", "relative_scale"):
        moved = transfer_key_points(source, driver, driver, mode)
        assert torch.allclose(moved.value, source.value)
        assert torch.allclose(moved.jacobian, source.jacobian, atol=1e-6)
    assert transfer_key_points(source, driver, driver, "absolute") is driver


def test_hull_scale_is_the_ratio_of_sizes_and_survives_a_line():
    square = torch.tensor([[[0.0, 0], [1, 0], [1, 1], [0, 1]]])
    assert hull_scale(square * 3, square).item() == pytest.approx(3)
    line = torch.tensor([[[0.0, 0], [1, 1], [2, 2], [3, 3]]])
    assert hull_scale(square, line).item() == 1


def test_relative_regions_keep_the_drivers_covariance_unless_asked():
    def regions(seed):
        draw = torch.Generator().manual_seed(seed)
        affine = torch.eye(2) + 0.1 * torch.randn(1, 5, 2, 2, generator=draw)
        return Regions(torch.rand(1, 5, 2, generator=draw), affine, affine @ affine.transpose(-1, -2))

    source, driving, first = regions(0), regions(1), regions(2)
    published = transfer_regions(source, driving, first)
    assert torch.equal(published.covar, driving.covar)
    consistent = transfer_regions(source, driving, first, recompute_covar=True)
    assert torch.allclose(consistent.covar, consistent.affine @ consistent.affine.transpose(-1, -2), atol=1e-6)
    assert torch.equal(published.affine, consistent.affine)


def test_skips_copy_visible_pixels():
    """With skips and no occlusion, the output is the warped source, whatever the decoder paints."""
    sizes = replace(GENERATOR, skips=True, resize_align_corners=True)
    generator = fomm.networks(replace(FOMM, generator=sizes))["generator"].eval()
    points = KeyPoints(torch.zeros(1, 10, 2), torch.eye(2).expand(1, 10, 2, 2))
    torch.nn.init.constant_(generator.dense_motion_network.occlusion.bias, 100.0)
    x = pictures(1)
    assert torch.allclose(generator(x, points, points), x, atol=1e-3)


def test_points_are_pushed_by_half_the_inner_eye_distance():
    landmarks = torch.zeros(1, 68, 2)
    landmarks[0, 39, 0], landmarks[0, 42, 0] = 110, 150
    points = given_points(landmarks)[0]
    assert points[12].tolist() == [-20, 0]
    assert points[13].tolist() == [20, 0]
    assert points[14].tolist() == [0, 20]
    assert points[:12].abs().sum() == 0


def test_mirrored_points_are_an_involution():
    points = given_points(LANDMARKS)
    assert torch.allclose(mirrored_points(mirrored_points(points)), points)
    assert sorted(MIRROR) == list(range(18))


def test_prior_maps_differ_as_the_paper_and_the_code_do():
    points = given_points(LANDMARKS)
    code, paper = prior_map(PriorConfig(), points), prior_map(PriorConfig("paper"), points)
    for prior in (code, paper):
        assert prior.shape == (1, 1, 64, 64)
        assert prior.max() == 1
        assert prior.min() >= 0
    assert (code == 0).any()  # the published code sets each point's map to 0 below its mean
    assert (paper > 0).all()
    sharp = prior_map(PriorConfig("paper"), torch.tensor([[[128.0, 64.0]]]))
    assert sharp[0, 0].flatten().argmax() == 16 * 64 + 32  # row y = 64 / 4, column x = 128 / 4


def steps(trainer, batch, stage):
    """Run one training step as the training loop does. Return the losses and whether each network's weights changed."""
    networks = trainer.networks()
    before = {name: [p.detach().clone() for p in network.parameters()] for name, network in networks.items()}
    optimisers = {
        name: torch.optim.Adam([p for n in spec.networks for p in networks[n].parameters()], spec.lr, spec.betas)
        for name, spec in trainer.optimisers(stage).items()
    }
    losses = {}
    for phase in trainer.step(stage, batch, 0, 0, np.random.default_rng(0)):
        for name in phase.optimisers:
            optimisers[name].zero_grad()
        sum(phase.losses.values()).backward()
        for name in phase.optimisers:
            optimisers[name].step()
        losses |= {name: loss.item() for name, loss in phase.losses.items()}
    moved = {
        name: any(not torch.equal(p, old) for p, old in zip(network.parameters(), before[name], strict=True))
        for name, network in networks.items()
    }
    return losses, moved


@pytest.fixture
def batch():
    return {"source": pictures(2, seed=1), "driving": pictures(2, seed=2), "landmarks": LANDMARKS.expand(2, -1, -1)}


def test_fomm_trains_without_its_discriminator(batch):
    losses, moved = steps(FommTrainer(FOMM), batch, "main")
    assert set(losses) == {"perceptual", "equivariance_value", "equivariance_jacobian"}
    assert moved == {"generator": True, "kp_detector": True, "discriminator": False}


def test_fpb_plays_the_game_and_its_equivariance_value_has_no_gradient(batch):
    trainer = FpFommTrainer(FPB)
    losses, moved = steps(trainer, batch, "main")
    assert {"gen_gan", "feature_matching", "disc_gan"} < set(losses)
    assert all(moved.values())
    phase = next(trainer.step("main", batch, 0, 0, np.random.default_rng(0)))
    assert not phase.losses["equivariance_value"].requires_grad
    assert phase.losses["equivariance_jacobian"].requires_grad


def test_mraa_trains_in_two_stages(batch):
    trainer = MraaTrainer(MRAA)
    assert trainer.stages == ("main", "avd")
    losses, moved = steps(trainer, batch, "main")
    assert set(losses) == {"perceptual", "equivariance_shift", "equivariance_affine"}
    assert moved == {"generator": True, "region_predictor": True, "bg_predictor": True, "avd_network": False}
    statistics = trainer.networks()["region_predictor"].state_dict()
    statistics = {name: value.clone() for name, value in statistics.items()}
    losses, moved = steps(trainer, batch, "avd")
    assert set(losses) == {"rec_shift", "rec_affine"}
    assert moved == {"generator": False, "region_predictor": False, "bg_predictor": False, "avd_network": True}
    after = trainer.networks()["region_predictor"].state_dict()
    assert all(torch.equal(after[name], value) for name, value in statistics.items())


def test_published_optimisers():
    """Betas, decay and schedule, which golden vectors cannot test, are as published."""
    spec = FommTrainer(FOMM).optimisers("main")["generator"]
    assert (spec.lr, spec.betas, spec.weight_decay, spec.milestones) == (2e-4, (0.5, 0.999), 0, (60, 90))
    spec = MraaTrainer(MRAA).optimisers("avd")["avd"]
    assert (spec.lr, spec.betas, spec.milestones) == (1e-3, (0.5, 0.999), (20, 25))


def test_discriminator_cannot_move_the_key_points():
    judge = fomm.Discriminator(DiscriminatorConfig(4, 8, 2, use_kp=True), 10)
    points = torch.zeros(1, 10, 2, requires_grad=True)
    x = pictures(1).requires_grad_()
    judge({1: x}, points)[0].scores.sum().backward()
    assert x.grad is not None
    assert points.grad is None


def test_avd_turns_axes_that_point_the_other_way():
    network = mraa.networks(MRAA)["avd_network"].eval()
    affine = torch.eye(2).expand(2, 10, 2, 2) * 0.3
    shift = torch.rand(2, 10, 2)
    pose = Regions(shift, affine, affine @ affine)
    turned = Regions(shift, -affine, affine @ affine)
    assert torch.allclose(network(turned, pose).affine, network(pose, pose).affine, atol=1e-6)


def test_missing_vgg_weights_name_both_ways_out(tmp_path):
    with pytest.raises(BenchError, match=r"vgg19-dcbb9e9d\.pth.*--set loss\.perceptual=pyramid"):
        FommTrainer(replace(FOMM, loss=LossConfig()), tmp_path / "vgg19-dcbb9e9d.pth")


def test_the_vgg16_loss_has_a_gradient_and_is_0_for_equal_pictures():
    torch.manual_seed(0)
    network, wanted = Vgg16(), pictures(1, seed=5)[..., :64, :64]
    config = LossConfig(perceptual="vgg16", factors=(1, 2))
    found = wanted.clone().requires_grad_()
    assert appearance_loss(config, network, found, wanted).item() == 0
    changed = (wanted + 0.1).requires_grad_()
    appearance_loss(config, network, changed, wanted).backward()
    assert changed.grad is not None
    assert changed.grad.abs().sum() > 0
    assert not any(weight.requires_grad for weight in network.parameters())
    assert [maps.shape[1] for maps in network(wanted)] == [64, 128, 256, 512, 512]


def test_vgg16_has_torchvisions_layers():
    features = vgg.make_layers(vgg.cfgs["D"])[:26]
    ours, picture = Vgg16(), pictures(1, seed=5)[..., :64, :64]
    ours.features.load_state_dict(features.state_dict())
    plain = (picture - ours.mean) / ours.std
    for found, end in zip(ours(picture), TAPS_16, strict=True):
        assert isinstance(features[end - 1], nn.ReLU)
        assert torch.equal(found, features[:end](plain))


def test_missing_vgg16_weights_name_the_command(tmp_path, monkeypatch):
    for name in ("MEGBENCH_WEIGHTS", "TORCH_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BenchError, match=r"weights fetch vgg16.*--set loss\.perceptual=pyramid"):
        FommTrainer(replace(FOMM, loss=LossConfig(perceptual="vgg16")))


def animated(model, config, batch_size):
    torch.manual_seed(0)
    nets = {name: network.eval() for name, network in model.networks(config).items()}
    frames = (pictures(5, seed=3).permute(0, 2, 3, 1) * 255).to(torch.uint8).numpy()
    animator = model.animator(config, nets, {"mode": "relative"}, "cpu", batch_size)
    detect = model.detector(nets, LANDMARKS[0].numpy() if model is fpb else None, "cpu")
    face = animator.face(frames[0], detect)
    return animator.animate(face, animator.read(frames, detect), len(frames)), nets, frames


@pytest.mark.parametrize(("model", "config"), [(fomm, FOMM), (fpb, FPB), (mraa, MRAA)], ids=["fomm", "fpb", "mraa"])
def test_batches_and_split_inference_equal_frame_by_frame(model, config):
    batched, nets, frames = animated(model, config, 4)
    single, _, _ = animated(model, config, 1)
    assert batched.shape == frames.shape
    assert np.abs(batched.astype(int) - single).max() <= 1
    with torch.no_grad():  # the complete networks in one call for one frame, as in the papers
        x = torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 255
        arguments = (given_points(LANDMARKS),) if model is fpb else ()
        detector = nets["region_predictor" if model is mraa else "kp_detector"]
        source, driving = detector(x[:1], *arguments), detector(x[3:4], *arguments)
        if model is mraa:
            moved = transfer_regions(source, driving, source)
        else:
            moved = transfer_key_points(source, driving, source, "relative")
        whole = (nets["generator"](x[:1], source, moved)[0] * 255).round().permute(1, 2, 0).numpy()
    assert np.abs(batched[3] - whole).max() <= 1


def test_a_doubling_block_is_the_published_doubling_then_convolution():
    block = UpBlock(6, 4)
    x = torch.randn(2, 6, 5, 7)
    published = torch.relu(block.norm(block.conv(torch.nn.functional.interpolate(x, scale_factor=2))))
    torch.testing.assert_close(block(x), published, atol=1e-5, rtol=1e-4)
