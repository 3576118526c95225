"""Compare our training step with the plain recipe's, alternating in one process: `make bench`.

The plain recipe must first match the same golden vectors; otherwise the comparison would be meaningless.
"""

import statistics
import time

import numpy as np
import pytest
import torch

from megbench.fpfomm.model import FpFommConfig
from megbench.fpfomm.training import FpFommTrainer
from megbench.nets.vgg import Vgg19
from megbench.training.loader import Part
from megbench.training.loop import TrainingRun
from megbench.training.plan import Plan, StagePlan
from megbench.training.processes import Group
from tests.benchmarks.plain import Plain
from tests.golden.files import HERE, Golden, compare
from tests.golden.fill import fill
from tests.golden.fpb import BATCH
from tests.golden.key_points import training

ROUNDS = 5


@pytest.fixture(scope="module")
def vgg(tmp_path_factory):
    path = tmp_path_factory.mktemp("vgg") / "vgg19.pth"
    torch.save(fill(Vgg19(), "").state_dict(), path)
    return path


@pytest.fixture(scope="module")
def golden():
    return Golden(HERE / "fpb.npz")


def batch_of(golden):
    landmarks = golden["landmarks68"][BATCH]
    return {"source": golden["batch_source"], "driving": golden["batch_driving"], "landmarks": landmarks}


def test_the_plain_recipe_meets_the_training_goldens(golden, vgg):
    golden.names = {name for name in golden.names if name.startswith("train_ac0_")} | {
        name for name in golden.names if name.startswith("tps_")
    }
    entries = training(golden, "train_ac0_", lambda path: Plain(False, path), batch_of(golden), vgg, "")
    golden.names = {name for name in golden.names if name.startswith("train_ac0_")}
    rows = list(compare(golden, entries))
    above = [f"{name}: {found:.1e} > {bound.bound:.0e}" for name, found, bound in rows if found and found > bound.bound]
    assert above == []
    assert sum(found is not None for _, found, _ in rows) > 20


def plain_step(trainer, optimisers, batch, index):
    """Run a step as the published code does: zero the gradients, backward, step."""
    for phase in trainer.step("main", batch, 0, index, np.random.default_rng(index)):
        for name in phase.optimisers:
            optimisers[name].zero_grad()
        sum(phase.losses.values()).backward()
        for name in phase.optimisers:
            optimisers[name].step()


def test_a_step_is_at_least_1_3_times_as_fast(golden, vgg, tmp_path, benchmark):
    batch = batch_of(golden)
    plain = Plain(True, vgg)
    adams = {name: torch.optim.Adam(net.parameters(), 2e-4, (0.5, 0.999)) for name, net in plain.networks().items()}
    for network in plain.networks().values():
        network.train()
    ours = FpFommTrainer(FpFommConfig(), vgg)
    run = TrainingRun(ours, None, Plan({"main": StagePlan(100, 2)}), tmp_path, Group(torch.device("cpu")))
    for network in run.networks.values():
        network.train()
    optimisers = run._optimisers("main")

    plain_seconds = []

    def plain_turn():
        began = time.perf_counter()
        plain_step(plain, adams, batch, len(plain_seconds))
        plain_seconds.append(time.perf_counter() - began)
        index = len(plain_seconds)
        return ("main", index, [Part(batch, np.random.default_rng(index))], optimisers), {}

    benchmark.pedantic(run._step, setup=plain_turn, rounds=ROUNDS, warmup_rounds=1)
    ours_seconds = benchmark.stats.stats.data
    plain_seconds = plain_seconds[1:]  # the first round warms up
    ratios = [round(one / other, 2) for one, other in zip(plain_seconds, ours_seconds, strict=True)]
    medians = {"plain": statistics.median(plain_seconds), "ours": statistics.median(ours_seconds)}
    print(f"\nseconds a step (batch 2, 256 px, {torch.get_num_threads()} threads): {medians}; ratios {ratios}")
    benchmark.extra_info.update(medians)
    assert statistics.median(ratios) >= 1.3
