"""A plain FPB-FOMM training step, written directly from the text of the specification, as a reference for ours.

Each line of the text is one line here, in the same order and with torch's own building blocks; nothing is slowed down
and nothing is rearranged for speed. Entries have the published names, so the same golden vectors apply.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from megbench.core.contracts import OptimiserSpec, Phase
from megbench.core.weights.network_weights import load_vgg19
from megbench.fpfomm.points import given_points
from megbench.nets.keypoints import KeyPoints
from megbench.nets.vgg import LAYERS, MEAN, STD, TAPS


def grid_of(height, width):
    """Return coordinates (H, W, 2) in [-1, 1], x then y."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")
    return torch.stack([x, y], -1)


class Block(nn.Module):
    """Convolution, batch norm and ReLU; `up` doubles the resolution first, `down` pools at the end."""

    def __init__(self, cin, cout, kernel=3, up=False, down=False):
        super().__init__()
        self.conv = nn.Conv2d(cin, cout, kernel, padding=kernel // 2)
        self.norm = nn.BatchNorm2d(cout)
        self.up, self.down = up, down

    def forward(self, x):
        if self.up:
            x = F.interpolate(x, scale_factor=2)
        x = F.relu(self.norm(self.conv(x)))
        return F.avg_pool2d(x, 2) if self.down else x


class Residual(nn.Module):
    """Two pre-activated convolutions, whose output is added to the input."""

    def __init__(self, channels):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm1 = nn.BatchNorm2d(channels)
        self.norm2 = nn.BatchNorm2d(channels)

    def forward(self, x):
        y = self.conv1(F.relu(self.norm1(x)))
        return x + self.conv2(F.relu(self.norm2(y)))


class Down(nn.Module):
    """Gaussian blur at full resolution, then subsampling to every n-th pixel."""

    def __init__(self, factor, channels=3):
        super().__init__()
        self.factor = factor
        if factor > 1:
            sigma = (factor - 1) / 2
            size = 2 * round(4 * sigma) + 1
            line = torch.exp(-((torch.arange(size) - (size - 1) / 2) ** 2) / (2 * sigma**2))
            kernel = line[:, None] * line[None]
            self.register_buffer("weight", (kernel / kernel.sum()).expand(channels, 1, size, size).clone())

    def forward(self, x):
        if self.factor == 1:
            return x
        x = F.conv2d(x, self.weight, padding=self.weight.shape[-1] // 2, groups=x.shape[1])
        return x[:, :, :: self.factor, :: self.factor]


class Part(nn.Module):
    """A named list of blocks."""

    def __init__(self, name, blocks):
        super().__init__()
        self.add_module(name, nn.ModuleList(blocks))


class Hourglass(nn.Module):
    """An hourglass of five levels down and five up, each with its skip connection."""

    def __init__(self, expansion, cin, levels=5, most=1024):
        super().__init__()
        width = [min(most, expansion * 2**level) for level in range(levels + 1)]
        inputs = [cin, *width[1:]]
        self.encoder = Part("down_blocks", [Block(inputs[i], inputs[i + 1], down=True) for i in range(levels)])
        ups = [Block(width[i + 1] * (1 if i == levels - 1 else 2), width[i], up=True) for i in reversed(range(levels))]
        self.decoder = Part("up_blocks", ups)
        self.channels = expansion + cin

    def forward(self, x):
        maps = [x]
        for block in self.encoder.down_blocks:
            maps.append(block(maps[-1]))
        x = maps.pop()
        for block in self.decoder.up_blocks:
            x = torch.cat([block(x), maps.pop()], 1)
        return x


def prior(points, size=256, cells=64, sigma=0.75):
    """Return the prior map of one set of points (18, 2), computed with a loop over points in float64."""
    total = 0
    index = np.arange(1, cells + 1)
    for x, y in points.numpy().astype(np.float64) * cells / size:
        distance = np.abs(index[:, None] - y) + np.abs(index[None] - x)
        near = np.exp(-np.sqrt(distance) / (2 * sigma**2))
        near = near / near.max()
        near[near < near.mean()] = 0
        total = total + near
    return torch.from_numpy(total / total.max()).float()


class Detector(nn.Module):
    """The detector of the jacobians at given points."""

    def __init__(self, points=18):
        super().__init__()
        self.predictor = Hourglass(32, 4)
        self.kp = nn.Conv2d(self.predictor.channels, points, 7)
        self.jacobian = nn.Conv2d(self.predictor.channels, 4 * points, 7)
        self.down = Down(4)

    def forward(self, picture, points):
        priors = torch.stack([prior(one) for one in points])[:, None]
        features = self.predictor(torch.cat([self.down(picture), priors], 1))
        logits = self.kp(features)
        heatmap = F.softmax(logits.flatten(2) / 0.1, 2).view_as(logits)
        maps = self.jacobian(features).unflatten(1, (-1, 4))
        jacobian = (heatmap[:, :, None] * maps).sum((3, 4)).unflatten(2, (2, 2))
        return KeyPoints(points * 2 / 256 - 1, jacobian, heatmap)


class DenseMotion(nn.Module):
    """The dense motion network, which predicts mask, deformation and occlusion."""

    def __init__(self, points=18):
        super().__init__()
        self.hourglass = Hourglass(64, (points + 1) * 4)
        self.mask = nn.Conv2d(self.hourglass.channels, points + 1, 7, padding=3)
        self.occlusion = nn.Conv2d(self.hourglass.channels, 1, 7, padding=3)
        self.down = Down(4)

    def forward(self, picture, source, driving, align_corners):
        small = self.down(picture)
        batch, _, height, width = small.shape
        grid = grid_of(height, width)

        def gaussian(points):
            return torch.exp(-((grid - points.value[:, :, None, None]) ** 2).sum(-1) / (2 * 0.01))

        difference = gaussian(driving) - gaussian(source)
        difference = torch.cat([torch.zeros_like(difference[:, :1]), difference], 1)[:, :, None]  # B K+1 1 h w
        matrix = source.jacobian @ torch.inverse(driving.jacobian)
        offset = grid - driving.value[:, :, None, None]  # B K h w 2
        sparse = (matrix[:, :, None, None] @ offset[..., None])[..., 0] + source.value[:, :, None, None]
        sparse = torch.cat([grid.expand(batch, 1, -1, -1, -1), sparse], 1)
        copies = small[:, None].expand(-1, sparse.shape[1], -1, -1, -1).flatten(0, 1)
        warped = F.grid_sample(copies, sparse.flatten(0, 1), align_corners=align_corners)
        warped = warped.unflatten(0, (batch, -1))
        features = self.hourglass(torch.cat([difference, warped], 2).flatten(1, 2))
        mask = F.softmax(self.mask(features), 1)
        deformation = (mask[..., None] * sparse).sum(1)
        return deformation, torch.sigmoid(self.occlusion(features))


class Generator(nn.Module):
    """The generator, which encodes, warps, masks and decodes."""

    def __init__(self, align_corners):
        super().__init__()
        self.align_corners = align_corners
        self.dense_motion_network = DenseMotion()
        self.first = Block(3, 64, 7)
        self.down_blocks = nn.ModuleList([Block(64, 128, down=True), Block(128, 256, down=True)])
        self.up_blocks = nn.ModuleList([Block(256, 128, up=True), Block(128, 64, up=True)])
        self.bottleneck = nn.Sequential()
        for index in range(6):
            self.bottleneck.add_module(f"r{index}", Residual(256))
        self.final = nn.Conv2d(64, 3, 7, padding=3)

    def forward(self, picture, source, driving):
        x = self.first(picture)
        for block in self.down_blocks:
            x = block(x)
        deformation, occlusion = self.dense_motion_network(picture, source, driving, self.align_corners)
        x = occlusion * F.grid_sample(x, deformation, align_corners=self.align_corners)
        x = self.bottleneck(x)
        for block in self.up_blocks:
            x = block(x)
        return torch.sigmoid(self.final(x))


class JudgeBlock(nn.Module):
    """4x4 convolution, instance norm, leaky ReLU, pooling."""

    def __init__(self, cin, cout, norm, pool):
        super().__init__()
        self.conv = nn.Conv2d(cin, cout, 4)
        self.norm = nn.InstanceNorm2d(cout, affine=True) if norm else None
        self.pool = pool

    def forward(self, x):
        x = self.conv(x)
        x = F.leaky_relu(x if self.norm is None else self.norm(x), 0.2)
        return F.avg_pool2d(x, 2) if self.pool else x


class Judge(nn.Module):
    """A discriminator of one scale, which returns the features of four blocks and the score map."""

    def __init__(self):
        super().__init__()
        widths = [3, 64, 128, 256, 512]
        self.down_blocks = nn.ModuleList(JudgeBlock(widths[i], widths[i + 1], i > 0, i < 3) for i in range(4))
        self.conv = nn.Conv2d(512, 1, 1)

    def forward(self, x):
        features = []
        for block in self.down_blocks:
            x = block(x)
            features.append(x)
        return features, self.conv(x)


class Discriminator(nn.Module):
    """The discriminator, with a single scale."""

    def __init__(self):
        super().__init__()
        self.discs = nn.ModuleDict({"1": Judge()})

    def forward(self, x):
        return self.discs["1"](x)


class Vgg(nn.Module):
    """VGG-19, which returns the features at its five taps."""

    def __init__(self):
        super().__init__()
        layers, cin = [], 3
        for width in LAYERS:
            layers += [nn.Conv2d(cin, width, 3, padding=1), nn.ReLU()] if width else [nn.MaxPool2d(2)]
            cin = width or cin
        self.features = nn.Sequential(*layers)
        self.requires_grad_(False)

    def forward(self, x):
        x = (x - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]
        taps = []
        for index, layer in enumerate(self.features, 1):
            x = layer(x)
            if index in TAPS:
                taps.append(x)
        return taps


class Plain:
    """The published step as a megbench.core.contracts.Trainable."""

    stages = ("main",)

    def __init__(self, align_corners, vgg):
        self.nets = {"generator": Generator(align_corners), "kp_detector": Detector(), "discriminator": Discriminator()}
        self.vgg = load_vgg19(vgg, Vgg())
        self.pyramid = [Down(factor) for factor in (1, 2, 4, 8)]

    def networks(self):
        return self.nets

    def optimisers(self, stage):
        return {name: OptimiserSpec((name,), 2e-4) for name in self.nets}

    def random_transform(self, driving, rng):
        from megbench.nets.transform import RandomTransform, TransformConfig

        return RandomTransform.draw(TransformConfig(), len(driving), rng, driving)

    def step(self, stage, batch, epoch, index, rng):
        generator, detector, judge = self.nets.values()
        source, driving = batch["source"], batch["driving"]
        points = given_points(batch["landmarks"])
        transform = self.random_transform(driving, rng)
        kp_source, kp_driving = detector(source, points), detector(driving, points)
        prediction = generator(source, kp_source, kp_driving)
        terms = {"perceptual": 0}
        for down in self.pyramid:
            found, wanted = self.vgg(down(prediction)), self.vgg(down(driving))
            for f, w in zip(found, wanted, strict=True):
                terms["perceptual"] = terms["perceptual"] + 10 * (f - w.detach()).abs().mean()
        (fake, fake_scores), (real, _) = judge(prediction), judge(driving)
        terms["gen_gan"] = ((1 - fake_scores) ** 2).mean()
        terms["feature_matching"] = sum(10 * (r.detach() - f).abs().mean() for f, r in zip(fake, real, strict=True))
        where = warped_grid(transform, driving.shape)
        frame = F.grid_sample(driving, where, padding_mode="reflection", align_corners=generator.align_corners)
        moved = detector(frame, points)
        terms["equivariance_value"] = 10 * (kp_driving.value - map_points(transform, moved.value)).abs().mean()
        chain = torch.inverse(kp_driving.jacobian) @ (slope(transform, moved.value) @ moved.jacobian)
        terms["equivariance_jacobian"] = 10 * (torch.eye(2) - chain).abs().mean()
        yield Phase(("generator", "kp_detector"), terms)
        (_, fake_scores), (_, real_scores) = judge(prediction.detach()), judge(driving)
        yield Phase(("discriminator",), {"disc_gan": ((1 - real_scores) ** 2 + fake_scores**2).mean()})


def map_points(transform, points):
    """Return T at points (B, N, 2)."""
    side = math.isqrt(transform.control_params.shape[-1])
    length = (points[:, :, None] - grid_of(side, side).view(1, 1, -1, 2)).abs().sum(-1)
    lift = (transform.control_params * length**2 * torch.log(length + 1e-6)).sum(-1, keepdim=True)
    theta = transform.theta[:, None]
    return (theta[..., :2] @ points[..., None])[..., 0] + theta[..., 2] + lift


def slope(transform, points):
    """Return dT/dz at points, in closed form."""
    side = math.isqrt(transform.control_params.shape[-1])
    offset = points[:, :, None] - grid_of(side, side).view(1, 1, -1, 2)
    r = offset.abs().sum(-1)
    rise = transform.control_params * (2 * r * torch.log(r + 1e-6) + r**2 / (r + 1e-6))
    row = (rise[..., None] * torch.sign(offset)).sum(2)
    return transform.theta[:, None, :, :2] + row[:, :, None]


def warped_grid(transform, shape):
    """Return T at every pixel."""
    batch, _, height, width = shape
    grid = grid_of(height, width).view(1, -1, 2).expand(batch, -1, -1)
    return map_points(transform, grid).view(batch, height, width, 2)
