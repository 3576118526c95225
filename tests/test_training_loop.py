"""The loop's tasks besides learning: dividing batches, averaging, stopping, saving, logging and computing in bf16."""

import dataclasses
import json
import sys
import types

import numpy as np
import pytest
import torch

from megbench.core.config import build, read_overlay, resolve
from megbench.core.contracts import Phase
from megbench.core.draws import each, generator
from megbench.core.errors import BenchError
from megbench.core.installation import ROOT
from megbench.core.registry import load
from megbench.fpfomm.training import Recipe
from megbench.taught import TAUGHT
from megbench.taught.rendered import RenderedSettings
from megbench.training import TRAINABLES
from megbench.training.average import Average
from megbench.training.batch_norm import settle
from megbench.training.command import PUBLISHED
from megbench.training.loader import TRAIN, VALIDATE, Loader
from megbench.training.log import LOG, Log, read_log
from megbench.training.loop import TrainingRun, fastest_layout
from megbench.training.plan import Limits, Plan, StagePlan, check_plan
from megbench.training.processes import Group
from tests.small_training import SIZE, SMALL, Shifted
from tests.test_training import Line, Points, plan, run

CPU = torch.device("cpu")


def loader(batches, parts=1, rank=0, world=1):
    return Loader(batches, 8, parts, (3, 0), CPU, rank, world)


@pytest.mark.parametrize("world", [1, 2, 4])
@pytest.mark.parametrize("parts", [1, 2])
def test_a_batch_is_the_same_however_it_is_divided(world, parts):
    whole = loader(Points()).whole(TRAIN, 5)["x"]
    drawn = [loader(Points(), parts, rank, world).draw(TRAIN, 5) for rank in range(world)]
    in_order = [drawn[rank][part] for part in range(parts) for rank in range(world)]
    assert torch.equal(torch.cat([one.batch["x"] for one in in_order]), whole)
    size = 8 // (world * parts)
    draws = [own.random() for one in in_order for own in each(one.rng, size)]
    assert draws == [own.random() for own in each(loader(Points()).draw(TRAIN, 5)[0].rng, 8)]
    assert len(set(draws)) == 8


def test_steps_come_in_order_whatever_the_threads_do():
    drawn = list(loader(Points()).steps(range(3, 30)))
    assert [step for step, _ in drawn] == list(range(3, 30))
    for step, (part,) in drawn:
        assert torch.equal(part.batch["x"], loader(Points()).draw(TRAIN, step)[0].batch["x"])
    assert not torch.equal(drawn[0][1][0].batch["x"], loader(Points()).draw(VALIDATE, 3)[0].batch["x"])


def test_each_forgets_what_was_drawn_before():
    rng = generator(4, 1, 2)
    before = [own.random() for own in each(rng, 3)]
    rng.random(7)
    assert [own.random() for own in each(rng, 3)] == before
    assert [own.random() for own in each(generator(5, 1, 2), 2)] == before[1:]


class Slope(Line):
    """A line without batch normalisation, so that the losses of a batch's parts combine to the loss of the batch."""

    def __init__(self):
        torch.manual_seed(0)
        self.net = torch.nn.Linear(2, 1)

    def step(self, stage, batch, epoch, index, rng):
        yield Phase(("adam",), {"fit": ((self.net(batch["x"]) - batch["y"]) ** 2).mean()})


def test_accumulated_parts_are_the_whole_batch(tmp_path):
    ends = []
    for parts in (1, 4):
        wanted = Plan({"first": StagePlan(30, 16, accumulate=parts)}, log_every=1)
        done = run(tmp_path / str(parts), Slope(), wanted)
        done.train()
        ends.append((done.networks["net"].weight, [line["losses"] for line in read_log(done.out)]))
    torch.testing.assert_close(ends[0][0], ends[1][0], rtol=1e-5, atol=1e-6)
    assert all(one == pytest.approx(other, rel=1e-4) for one, other in zip(ends[0][1], ends[1][1], strict=True))


def test_a_batch_that_cannot_be_divided_is_refused():
    with pytest.raises(BenchError, match=r"a batch of 9 cannot be divided into 2 parts on each of 2 .*multiple of 4"):
        check_plan(Plan({"first": StagePlan(1, 9, accumulate=2)}), ("first",), 2)


def test_epochs_become_steps_and_given_steps_cut_them():
    published = StagePlan(epochs=100, repeats=50, batch_size=9)
    assert published.on(156).steps == 100 * (156 * 50 // 9)
    assert published.on(156).steps_per_epoch == 156 * 50 // 9
    assert dataclasses.replace(published, steps=7).on(156).steps == 7
    assert StagePlan(steps=5).on(156) == StagePlan(steps=5)


def test_the_average_follows_its_formula_and_is_only_shown():
    net = torch.nn.BatchNorm1d(1)
    average, expected = Average({"net": net}, 0.5), 1.0
    for step in range(1, 6):
        with torch.no_grad():
            net.weight.fill_(float(step))
            net.num_batches_tracked.fill_(step)
        average.update()
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * step
    with average.shown():
        assert net.weight.item() == pytest.approx(expected)
        assert int(net.num_batches_tracked) == 5
    assert net.weight.item() == 5


def test_settled_statistics_are_the_mean_over_the_passes_and_others_stay():
    used, unused = torch.nn.BatchNorm1d(3), torch.nn.BatchNorm1d(3)
    unused.running_mean.fill_(7)
    batches = [torch.randn(6, 3) + index for index in range(4)]
    settle([used, unused], (lambda x=x: used(x) for x in batches))
    torch.testing.assert_close(used.running_mean, torch.stack([x.mean(0) for x in batches]).mean(0))
    assert used.momentum == 0.1
    assert unused.running_mean.tolist() == [7, 7, 7]


def test_limits_stop_a_run_that_goes_on_later(tmp_path):
    whole = run(tmp_path / "whole")
    assert whole.train()
    for limit, done in ((13, False), (45, False), (None, True)):
        part = run(tmp_path / "part", limits=Limits(steps=limit))
        assert part.train() is done
        if limit:
            assert list(read_log(part.out))[-1]["step"] == limit - 40 * (limit > 40)
    assert not run(tmp_path / "late", limits=Limits(minutes=0)).train()
    for one, other in zip(whole.networks["net"].parameters(), part.networks["net"].parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize(
    "change", [{"validate_every": 0}, {"log_every": 0}, {"validation_batches": 0}, {"seed": -1}, {"ema": 2.0}]
)
def test_a_plan_that_cannot_be_followed_is_an_error(change):
    with pytest.raises(BenchError, match=rf"Setting plan\.{next(iter(change))} must be (at least|less than)"):
        build(Plan, change, "plan")


@pytest.mark.parametrize("change", [{"batch_size": 0}, {"accumulate": 0}, {"repeats": 0}, {"steps": 0}, {"steps": -1}])
def test_a_stage_that_cannot_be_done_is_an_error(change):
    with pytest.raises(BenchError, match=r"must be at least 1|to 1 or more"):
        check_plan(build(Plan, {"stages": {"first": {"steps": 3} | change}}, "plan"), ("first",), 1)


def test_numbered_checkpoints_are_kept(tmp_path):
    run(tmp_path, wanted=plan(keep_every=7)).train()  # not a multiple of log_every
    names = [f"first-{step:08d}.pt" for step in (7, 14, 21, 28, 35)]
    assert sorted(path.name for path in tmp_path.glob("first-*")) == names


def test_a_loss_that_is_not_finite_leaves_its_batch_and_the_last_good_state(tmp_path):
    class Breaks(Line):
        def step(self, stage, batch, epoch, index, rng):
            for phase in super().step(stage, batch, epoch, index, rng):
                bad = float("inf") if index == 23 and self.net.training else 0.0
                yield Phase(phase.optimisers, {"fit": phase.losses["fit"], "other": phase.losses["fit"] * 0 + bad})

    broken = run(tmp_path, Breaks(), plan(save_seconds=0))
    with pytest.raises(BenchError, match=r"diverged at step 23 of stage first \(fit .*, other inf\).*diverged\.pt"):
        broken.train()
    saved = torch.load(tmp_path / "diverged.pt", weights_only=True)
    assert saved["step"] == 23
    assert torch.equal(saved["batch"]["x"], broken._loader(0).whole(TRAIN, 23)["x"])
    assert torch.load(tmp_path / "last.pt", weights_only=True)["progress"]["step"] == 20


def test_a_resumed_log_forgets_what_will_be_logged_again(tmp_path):
    log = Log(tmp_path)
    log.write("main", 1, "train", {"a": 1.0}, 0.1)
    size = log.size
    log.write("main", 2, "train", {"a": 2.0}, 0.2)
    log.cut(size)
    assert [line["step"] for line in read_log(tmp_path)] == [1]
    assert json.loads((tmp_path / LOG).read_text())["losses"] == {"a": 1.0}


def test_tensorboard_is_an_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(BenchError, match="pip install tensorboard"):
        Log(tmp_path, tensorboard=True)
    seen = []
    writer = types.SimpleNamespace(add_scalar=lambda *values: seen.append(values))
    fake = types.SimpleNamespace(SummaryWriter=lambda folder: writer)
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", fake)
    Log(tmp_path, tensorboard=True).write("main", 3, "train", {"a": 1.5}, 0.1)
    assert seen == [("main/train/a", 1.5, 3)]


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_bf16_has_islands_of_float32_and_strips_show_what_is_painted(tmp_path, precision):
    torch.manual_seed(0)
    trainer = resolve(Recipe, [SMALL]).trainer()
    dtypes = {}

    def note(name):
        return lambda _, given, made: dtypes.update({name: made})

    generator = trainer.networks()["generator"]
    hooks = {
        "painting": generator.up_blocks[0],
        "motion": generator.dense_motion_network,
        "points": trainer.networks()["kp_detector"],
        "picture": generator,
    }
    for name, module in hooks.items():
        module.register_forward_hook(note(name))
    often = {"validate_every": 2, "validation_batches": 1, "log_every": 1}
    steps = Plan({"main": StagePlan(2, 2)}, precision=precision, **often)
    TrainingRun(trainer, Shifted(torch.float32), steps, tmp_path, Group(CPU)).train()
    assert dtypes["painting"].dtype == (torch.bfloat16 if precision == "bf16" else torch.float32)
    motion, points = dtypes["motion"], dtypes["points"]
    islands = (motion.deformation, motion.mask, motion.occlusion, points.value, points.jacobian, points.heatmap)
    assert {value.dtype for value in (*islands, dtypes["picture"])} == {torch.float32}
    import cv2

    strip = cv2.imread(str(tmp_path / "strips/main-00000002.png"))
    assert strip.shape == (2 * SIZE, 3 * SIZE, 3)
    right = dtypes["picture"].detach()
    shown = torch.from_numpy(np.ascontiguousarray(strip[:, 2 * SIZE :, ::-1])).float() / 255
    torch.testing.assert_close(shown[:SIZE].permute(2, 0, 1), right[0].clamp(0, 1), atol=0.003, rtol=0)


CONFIGS = {
    **dict.fromkeys((ROOT / "configs").glob("fmeg_*.yaml"), "fomm"),
    **{path: path.parent.name for path in ROOT.glob("baselines/*/published.yaml")},
    ROOT / "fpfomm/published.yaml": "fpfomm",
    **{path: path.stem for path in (ROOT / "taught/configs").glob("*.yaml")},
}


@pytest.mark.parametrize(
    "path", sorted(CONFIGS), ids=lambda path: "-".join(path.relative_to(ROOT).with_suffix("").parts)
)
def test_every_config_is_one_of_a_method_and_has_a_length(path):
    settings = read_overlay(path)
    kind = settings.pop("training", PUBLISHED)
    assert kind == (PUBLISHED if "taught" not in path.parts else "taught")
    plan = resolve(Plan, [settings.pop("plan")])
    data = resolve(RenderedSettings, [settings.pop("data", {})])
    resolve(load("trainable", CONFIGS[path], TAUGHT if kind == "taught" else TRAINABLES), [settings])
    assert all(stage.on(32).steps > 0 for stage in plan.stages.values())
    assert data.prepared.leave_out == "drivers"
    check_plan(plan, list(plan.stages), 1)


def test_every_method_that_learns_has_its_published_and_its_taught_config():
    assert sorted(CONFIGS.values()) == sorted([*2 * list(TRAINABLES), *3 * ["fomm"]])
    assert TAUGHT.keys() == TRAINABLES.keys()


@pytest.mark.parametrize(("capability", "planar"), [("AVX2", True), ("AVX512", False)])
def test_processors_without_avx512_learn_planar_networks(capability, planar, monkeypatch):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    layout = torch.contiguous_format if planar else torch.channels_last
    assert fastest_layout(torch.device("cpu")) == layout
    assert fastest_layout(torch.device("cuda")) == torch.channels_last
