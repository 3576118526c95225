"""Golden entries of TPS with relative action units: inference, float64 predictions, training and action units."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from megbench.baselines.tps.motion import Dropout
from megbench.baselines.tps_rau.model import (
    LANDMARKS,
    GivenPoints,
    RauConfig,
    au_difference,
    generator,
    networks,
    published,
)
from megbench.baselines.tps_rau.training import RauTrainer
from megbench.core.contracts import Phase
from megbench.nets.thin_plate import ThinPlate
from tests.golden.files import Golden
from tests.golden.splines import dense_entries, filled, inpaint_entries, pictures, training_entries
from tests.golden.tpsmm import TINY as TINY_TPS

Entries = Iterator[tuple[str, Tensor]]
FULL = published()
TINY = replace(FULL, dense_motion=TINY_TPS.dense_motion, inpainting=TINY_TPS.inpainting, loss=TINY_TPS.loss)


def entries(golden: Golden, salt: str, vgg: Path) -> Entries:
    """Yield all entries of the golden files `megc2022`, `megc2022_tiny`, their `_train`, `_tiny_f64` and `_au`."""
    stem = golden.path.stem
    config = TINY if "tiny" in stem else FULL
    if stem.endswith("_train"):
        yield from training(golden, config, salt, vgg)
    elif stem.endswith("_au"):
        yield from action_units(golden)
    else:
        with torch.no_grad():
            yield from (in_float64 if stem.endswith("_f64") else inference)(golden, config, salt)


def inference(golden: Golden, config: RauConfig, salt: str) -> Entries:
    """Yield eval-mode entries for saturated points, for small-valued points and for moving points."""
    source = pictures(golden["images_u8"])[:1]
    with_units = filled(networks(config), salt)
    plain = filled(networks(replace(config, condition="none")), salt)
    made = generator(with_units)
    units = golden["AU_diff"]
    detect = GivenPoints("sigmoid", 256)
    points = {name: detect(golden[f"keypoint_{name}"]).value for name in ("pixel", "small", "small2")}
    yield from ((f"{name}/fg_kp", value) for name, value in points.items())
    pairs = {name: (value, value) for name, value in points.items()} | {"moved": (points["small"], points["small2"])}
    for name, (first, second) in pairs.items():
        *dense, (_, motion) = dense_entries(f"{name}/", made, source, first, second)
        yield from dense
        for row in range(3):
            prefix = f"{name}/au{row or ''}/"
            if golden.any(prefix):
                yield from inpaint_entries(prefix, made, source, motion, units[row : row + 1])
        if golden.any(f"{name}/plain/"):
            yield from inpaint_entries(f"{name}/plain/", generator(plain), source, motion)


def in_float64(golden: Golden, config: RauConfig, salt: str) -> Entries:
    """Yield predictions in float64, which reveal the small changes that the action units make."""
    nets = {name: network.double() for name, network in filled(networks(config), salt).items()}
    made = generator(nets)
    picture = (golden["images_u8"][:1].permute(0, 3, 1, 2).float() / 255).double()
    points = nets["kp_detector"](golden["keypoint"].double())
    encoded = made.encode(picture)
    motion = made.motion(encoded.small, points, points)
    rows = golden["AU_diff"].double()
    told = {"zero": 0 * rows[:1], "au0_times10": 10 * rows[:1]} | {f"au{row}": rows[row : row + 1] for row in range(3)}
    for name, condition in told.items():
        yield f"f64/prediction_{name}", made.inpainting(picture, encoded.features, motion, condition)


def training(golden: Golden, config: RauConfig, salt: str, vgg: Path) -> Entries:
    """Yield one step in each of two epochs, both from the same weights."""
    source, driving = (pictures(golden[f"{name}_u8"]) for name in ("source", "driving"))
    for epoch in (0, 8):
        if not golden.any(f"epoch{epoch}/"):
            continue
        trainer = RauTrainer(config, vgg)
        filled(trainer.networks(), salt)

        def start(dropout: Dropout, plate: ThinPlate, trainer: RauTrainer = trainer) -> Phase:
            return trainer.phase(source, driving, golden["keypoint"], golden["AU_diff"], dropout, plate)

        yield from training_entries(golden, trainer, epoch, driving, start, ())


def action_units(golden: Golden) -> Entries:
    """Yield relative action units of a table, and the indices of the landmarks that become points."""
    table, rows = golden["f64/table"].numpy(), golden["rows"].numpy()
    noise = golden["f64/noise_source"].numpy(), golden["f64/noise_driving"].numpy()
    yield "AU_diff", torch.from_numpy(au_difference(table[rows[:, 0]], table[rows[:, 1]], noise))
    yield "landmark_indices", torch.from_numpy(np.array(LANDMARKS))
