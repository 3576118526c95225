"""The training loop and its batches, on a small look-alike of a rendered set that the test writes itself."""

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from megbench.baselines.fomm.model import FommConfig
from megbench.baselines.fomm.model import networks as fomm_networks
from megbench.core.config import build
from megbench.core.contracts import OptimiserSpec, Phase
from megbench.core.errors import BenchError
from megbench.core.files.folder_lock import TRAINING, locked_folder
from megbench.core.installation import ROOT
from megbench.core.openface_units import column
from megbench.core.weights.network_weights import load_networks
from megbench.faces.mesh import OF_68
from megbench.taught import TRAININGS
from megbench.taught.mirror import MANY_LANDMARKS, MANY_VERTICES, POINT_PARTNERS
from megbench.taught.people import read_people
from megbench.taught.rendered import FramePairs, RenderedSet, mirrored, rendered_set
from megbench.taught.variation import MOST_TURN, Pose, Variation, bent, placed
from megbench.training.command import check_rates, train, without_folders
from megbench.training.log import read_log
from megbench.training.loop import TrainingRun
from megbench.training.mirror import LANDMARK_PARTNERS
from megbench.training.plan import Plan, StagePlan, learning_rate
from megbench.training.processes import Group, Machine
from megbench.training.variation import people_held_out
from tests.rendered_set import write_rendered_set

CLEAN = Variation(
    flip_share=0,
    place_share=0,
    head_share=0,
    grey_share=0,
    gain=0,
    channel=0,
    offset=0,
    gamma=0,
    shade=0,
    blur_share=0,
    noise=0,
    landmark_px=0,
    published_share=0,
    alone_share=0,
    tone_share=0,
    clutter_share=0,
    bend_px=0,
    turn_depth=0,
)
PLACES = replace(CLEAN, place_share=1, head_share=1)


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    return write_rendered_set(tmp_path_factory.mktemp("set"))


@pytest.mark.parametrize(
    "variation",
    [
        CLEAN,
        PLACES,
        replace(PLACES, alone_share=1, bend_px=4),
        replace(PLACES, alone_share=1, turn_depth=0.7),
        replace(PLACES, flip_share=1),
    ],
    ids=["plain", "placed", "alone", "turned", "flipped"],
)
def test_the_grid_takes_the_source_to_the_target(rendered, variation):
    batch = RenderedSet(rendered, held_out=1, variation=variation).batch("train", 12, np.random.default_rng(1))
    grid = F.interpolate(batch["grid"].permute(0, 3, 1, 2), size=256, mode="bilinear", align_corners=True)
    warped = F.grid_sample(batch["source"], grid.permute(0, 2, 3, 1), align_corners=True)
    seen = (grid.abs() < 0.95).all(1, keepdim=True)  # pixels from beyond the picture's border are made up
    still = ((batch["source"] - batch["target"]).abs() * seen).mean()
    error = ((warped - batch["target"]).abs() * seen).mean()
    assert still > 0.003
    assert error < 0.25 * still


def test_points_move_with_the_picture():
    corners = np.array([[100, 90], [150, 95], [128, 150]], np.float32)
    place = placed(PLACES, np.random.default_rng(4), np.array([128, 100], np.float32))
    picture = np.zeros((256, 256, 3), np.uint8)
    for x, y in corners.astype(int):
        cv2.circle(picture, (x, y), 3, (255, 255, 255), -1)
    bend = bent(replace(PLACES, bend_px=4), np.random.default_rng(5))
    pose = Pose(place, np.eye(3), read_people().landmarks[0], bend, turn=np.array([6.0, -4.0]))
    shown = pose.picture(picture).astype(float)[..., 0]
    for corner in pose.of(corners):
        x, y = np.round(corner).astype(int)
        window = shown[y - 6 : y + 7, x - 6 : x + 7]
        centre = np.array([(window.sum(0) * np.arange(-6, 7)).sum(), (window.sum(1) * np.arange(-6, 7)).sum()])
        np.testing.assert_allclose(centre / window.sum() + [x, y], corner, atol=0.3)


@given(turn=st.tuples(st.floats(-MOST_TURN, MOST_TURN), st.floats(-MOST_TURN, MOST_TURN)))
def test_a_turning_head_moves_its_nose_farther_than_its_jaw_and_its_points_with_its_picture(turn):
    landmarks = read_people().landmarks[0]
    pose = Pose(np.eye(3), np.eye(3), landmarks, turn=np.array(turn), alone=True)
    turned = pose.of(landmarks)
    np.testing.assert_allclose(pose.before(turned), landmarks, atol=0.01)
    shift = np.linalg.norm(turned - landmarks, axis=1)
    assert shift[30] >= 1.2 * shift[:17].max() > 0 or np.hypot(*turn) < 0.01
    corners = np.array([[0, 0], [255, 0]], np.float32)
    np.testing.assert_array_equal(pose.before(corners), corners)


def test_a_mirrored_sample_keeps_the_law_and_mirrors_back(rendered):
    data = RenderedSet(rendered, held_out=1, variation=CLEAN)
    batch = {name: value.numpy() for name, value in data.batch("train", 1, np.random.default_rng(2)).items()}
    sample = {name: value[0].transpose(1, 2, 0) if value.ndim == 4 and value.shape[1] == 3 else value[0]
              for name, value in batch.items()}  # fmt: skip
    twice = mirrored(mirrored(sample))
    for name, value in sample.items():
        np.testing.assert_allclose(twice[name], value, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("partners", [LANDMARK_PARTNERS, *POINT_PARTNERS.values()])
def test_partners_pair_up(partners):
    assert [partners[partner] for partner in partners] == list(range(len(partners)))


def test_the_fifty_points_are_landmarks_and_spread_over_the_face():
    assert [int(vertex) for vertex in OF_68[list(MANY_LANDMARKS)]] == list(MANY_VERTICES)
    assert len(set(MANY_LANDMARKS)) == 50
    assert min(MANY_LANDMARKS) == 17, "no jaw"
    for spline in np.reshape(MANY_LANDMARKS, (10, 5)):
        parts = {"brows" if k < 27 else "mouth" if k >= 48 else "between" for k in spline}
        assert parts == {"brows", "between", "mouth"}


def test_a_batch_follows_fifty_points_and_says_its_action_units(rendered):
    data = RenderedSet(rendered, held_out=1, variation=CLEAN, points=50)
    batch = data.batch("train", 6, np.random.default_rng(5))
    assert batch["points_source"].shape == batch["points_driving"].shape == (6, 50, 2)
    pairs = FramePairs(data).batch("train", 6, np.random.default_rng(5))
    batch = data.batch("train", 6, np.random.default_rng(5), driven=False)
    assert not {"initial", "driving", "points_driving"} & set(batch), "who is not shown is not rendered"
    for name, same in (("source", "source"), ("driving", "target")):
        assert torch.equal(pairs[name], batch[same])
        found = pairs[f"action_units_{name}"]
        assert found.shape == (6, 17)
        assert torch.equal(found, batch[f"action_units_{same}"])
        assert set(found[:, column(12)].tolist()) <= {0, 1, 2, 3}
        assert not found[:, column(1)].any()


def test_splits_share_nobody(rendered):
    data = RenderedSet(rendered, held_out=1)
    assert not set(data.identities("train")) & set(data.identities("validation"))
    assert len(RenderedSet(rendered).identities("train")) == 2
    with pytest.raises(BenchError) as told:
        RenderedSet(rendered, held_out=3)
    assert str(told.value) == (
        "Setting data.held_out must be from 1 to 2, because the training clips show 3 people, got 3. Use --set"
        " data.held_out=1."
    )


@given(st.integers(2, 60))
def test_by_default_a_few_people_are_held_out(people):
    held_out = people_held_out(None, people)
    assert 1 <= held_out < people
    assert held_out == (4 if people >= 16 else max(1, people // 4))
    assert people_held_out(held_out, people) == held_out


def test_one_person_is_not_enough():
    with pytest.raises(BenchError, match=r"show 1 person; at least 2 are needed, .* Pass more clips with --clips"):
        people_held_out(None, 1)


def test_an_unfinished_set_is_refused(tmp_path):
    with pytest.raises(BenchError, match="not a finished training set"):
        RenderedSet(tmp_path)


@given(st.integers(2, 500), st.floats(0.01, 0.5))
def test_cosine_rises_then_falls_and_stays_positive(steps, warmup):
    spec = OptimiserSpec(("net",), 1e-3, warmup=warmup)
    rates = [learning_rate(spec, StagePlan(steps=steps), step) for step in range(steps)]
    assert min(rates) > 0
    assert max(rates) <= 1e-3 * (1 + 1e-9)
    peak = rates.index(max(rates))
    assert rates[:peak] == sorted(rates[:peak])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)


def test_published_milestones():
    spec = OptimiserSpec(("net",), 2e-4, milestones=(60, 90))
    stage = StagePlan(steps=1000, steps_per_epoch=10)
    found = [learning_rate(spec, stage, epoch * 10) for epoch in (0, 59, 60, 89, 90)]
    assert found == pytest.approx([2e-4, 2e-4, 2e-5, 2e-5, 2e-6])


class Line:
    """A trainable that fits a line, with two stages, one optimiser and batch normalisation."""

    stages = ("first", "second")

    def __init__(self):
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))

    def networks(self):
        return {"net": self.net}

    def optimisers(self, stage):
        return {"adam": OptimiserSpec(("net",), 1e-2, clip_norm=1.0, warmup=0.1)}

    def step(self, stage, batch, epoch, index, rng):
        noise = float(rng.standard_normal()) * 1e-3
        yield Phase(("adam",), {"fit": ((self.net(batch["x"]) - batch["y"]) ** 2).mean() + noise})


class Points:
    def batch(self, split, size, rng):
        x = torch.from_numpy(rng.standard_normal((size, 2)).astype(np.float32))
        return {"x": x, "y": x.sum(1, keepdim=True)}


def plan(**changes):
    stages = {"first": StagePlan(40, 16, freeze_batch_norm_at=20), "second": StagePlan(20, 16)}
    return Plan(stages, validate_every=10, log_every=5, **changes)


def run(out, method=None, wanted=None, limits=None):
    return TrainingRun(method or Line(), Points(), wanted or plan(), out, Group(torch.device("cpu")), limits)


def test_a_killed_training_ends_as_an_undisturbed_one(tmp_path, capsys):
    whole = run(tmp_path / "whole")
    whole.train()

    class Killed(Line):
        def step(self, stage, batch, epoch, index, rng):
            if stage == "first" and index == 37 and self.net.training:
                raise KeyboardInterrupt
            yield from super().step(stage, batch, epoch, index, rng)

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut", Killed()).train()
    capsys.readouterr()
    resumed = run(tmp_path / "cut")
    resumed.train()
    told = "Resuming at step 30 of 40 of stage first; 5 later logged steps will be computed again."
    assert capsys.readouterr().out == f"{told}\n"
    for one, other in zip(whole.networks["net"].parameters(), resumed.networks["net"].parameters(), strict=True):
        assert torch.equal(one, other)
    lines = [(line["step"], line["losses"]) for line in read_log(tmp_path / "whole")]
    assert lines == [(line["step"], line["losses"]) for line in read_log(tmp_path / "cut")]


def test_a_training_killed_before_its_first_state_begins_again(tmp_path, capsys):
    run(tmp_path).log.write("first", 5, "train", {"fit": 1.0}, 0.1)
    run(tmp_path).train()
    assert (
        "Resuming at step 0 of 40 of stage first; 5 later logged steps will be computed again"
        in capsys.readouterr().out
    )
    steps = [line["step"] for line in read_log(tmp_path) if (line["stage"], line["split"]) == ("first", "train")]
    assert steps == list(range(5, 41, 5))


def test_a_finished_training_does_nothing_more(tmp_path):
    run(tmp_path).train()
    before = (tmp_path / "log.jsonl").read_text()
    run(tmp_path).train()
    assert (tmp_path / "log.jsonl").read_text() == before


def test_training_learns_and_keeps_the_best(tmp_path):
    done = run(tmp_path)
    done.train()
    best = torch.load(tmp_path / "best-second.pt", weights_only=True)
    assert best["validation"]["fit"] < 0.5
    assert torch.equal(best["networks"]["net"]["0.weight"], done.networks["net"][0].weight)


def test_divergence_is_an_error_with_a_remedy(tmp_path):
    class Broken(Line):
        def step(self, stage, batch, epoch, index, rng):
            yield Phase(("adam",), {"fit": self.net(batch["x"]).mean() * float("nan")})

    with pytest.raises(BenchError, match=r"diverged at step 0 .*lr_scale"):
        run(tmp_path, Broken()).train()


def test_an_unknown_stage_is_named(tmp_path):
    with pytest.raises(BenchError, match="Unknown stage 'third'"):
        run(tmp_path, wanted=Plan({"third": StagePlan(1)}))


def test_a_stage_without_steps_is_left_out(tmp_path):
    first = StagePlan(20, 16)
    alone = run(tmp_path / "alone", wanted=Plan({"first": first}))
    both = run(tmp_path / "both", wanted=Plan({"first": first, "second": StagePlan(0, 16)}))
    other = run(tmp_path / "other", wanted=Plan({"first": StagePlan(0, 16), "second": first}))
    assert alone.train()
    assert both.train()
    assert other.train()
    assert both.kept_steps == alone.kept_steps == {"first": 20}
    assert other.kept_steps == {"second": 20}
    assert {line["stage"] for line in read_log(both.out)} == {"first"}
    for one, same in zip(alone.networks["net"].parameters(), both.networks["net"].parameters(), strict=True):
        assert torch.equal(one, same)


def test_a_kill_before_the_first_log_line_is_survived(tmp_path):
    cut = run(tmp_path)
    cut._save({"networks": {"net": cut.networks["net"].state_dict()}})
    run(tmp_path).train()
    assert (tmp_path / "log.jsonl").exists()


def test_published_pairs_show_one_person_in_one_light(rendered):
    data = RenderedSet(rendered, held_out=1)
    pair = FramePairs(data).batch("train", 8, np.random.default_rng(3))
    units = {"action_units_source", "action_units_driving"}
    assert set(pair) == {"source", "driving", "landmarks"} | units
    # People differ by far more than expressions do.
    assert (pair["source"] - pair["driving"]).abs().mean() < 0.05


SMALL = (
    "model.detector.hourglass={block_expansion: 2, max_features: 4}",
    "model.dense_motion.hourglass={block_expansion: 2, max_features: 4}",
    "model.generator={block_expansion: 2, max_features: 4, num_bottleneck_blocks: 1}",
    "plan={validate_every: 2, validation_batches: 1}",
    "data.held_out=1",
)


TAUGHT_CONFIG, PUBLISHED_CONFIG = ROOT / "taught/configs/fomm.yaml", ROOT / "baselines/fomm/published.yaml"


@pytest.mark.parametrize(
    ("config", "sets"),
    [
        (TAUGHT_CONFIG, ["plan.stages={motion: {steps: 2, batch_size: 1}, picture: {steps: 1, batch_size: 1}, "
                         "joint: {steps: 1, batch_size: 1}}"]),
        (PUBLISHED_CONFIG, ["loss.perceptual=pyramid", "plan.stages={main: {steps: 2, batch_size: 1}}"]),
    ],
)  # fmt: skip
def test_the_command_trains_and_its_weights_load(rendered, tmp_path, config, sets):
    weights = tmp_path / "weights/fomm@mine.safetensors"
    given = rendered_set(lambda: rendered)
    assert train("fomm", TRAININGS, given, config, [*SMALL, *sets], tmp_path / "run", weights)
    card = json.loads(weights.with_suffix(".json").read_text())
    assert card["data"]["trained_on_identities"] == [0, 1]
    assert card["config"]["steadied"] is (config != PUBLISHED_CONFIG)
    assert set(card["kept_steps"]) == set(card["plan"]["stages"])
    assert not any(text.startswith("/") for text in card["provenance"]["argv"])
    networks = build(FommConfig, card["config"], "")
    load_networks(weights, {key: net for key, net in fomm_networks(networks).items() if key != "discriminator"})


@pytest.mark.parametrize(
    ("argument", "kept"),
    [
        ("/home/ann/bench.py", "bench.py"),
        ("--out=/home/ann/runs/first/", "--out=first/"),
        ("casme2=/data/CASME II,samm=C:\\data\\SAMM", "casme2=CASME II,samm=SAMM"),
        ("runs/first", "runs/first"),
        ("taught.lr_motion=1.0e-4", "taught.lr_motion=1.0e-4"),
        ("plan.stages={main: {steps: 2, batch_size: 1}}", "plan.stages={main: {steps: 2, batch_size: 1}}"),
    ],
)
def test_a_card_names_no_folders_of_the_user(argument, kept):
    assert without_folders(argument) == kept


def test_weights_to_start_from_are_looked_for_before_anything_is_rendered(call, tmp_path):
    code, _, err = call("train", "fomm", "--init", "gone.safetensors")
    assert (code, err) == (
        2,
        "Error: --init gone.safetensors is not a file. Pass a .safetensors weights file or a checkpoint.\n",
    )
    assert not (tmp_path / ".megbench").exists()


def test_a_refused_training_leaves_its_folder_free(rendered, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BenchError, match=r"loss\.perceptual=pyramid"):
        train(
            "fomm",
            TRAININGS,
            rendered_set(lambda: rendered),
            PUBLISHED_CONFIG,
            SMALL,
            tmp_path,
            tmp_path / "w",
        )
    assert not list(tmp_path.iterdir())


def test_a_training_takes_no_folder_of_anything_else_and_no_other_trainings(rendered, tmp_path, monkeypatch):
    arguments = ("fomm", TRAININGS, rendered_set(lambda: pytest.fail("clips are rendered")), TAUGHT_CONFIG, SMALL)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").touch()
    with pytest.raises(
        BenchError, match=r"run exists and is not the folder of a training run\. Pass a new or empty folder to --out"
    ):
        train(*arguments, tmp_path / "run", tmp_path / "w")
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["run.json"]
    held = tmp_path / "held"
    with locked_folder(held, TRAINING):
        with pytest.raises(BenchError, match=r"Another process is working on .*held \(process"):
            train(*arguments, held, tmp_path / "w")
        monkeypatch.setenv("RANK", "1")  # another process of the training whose first process holds the lock
        with pytest.raises(pytest.fail.Exception, match="clips are rendered"):
            train(*arguments, held, tmp_path / "w", Machine("cpu", 2))
    assert not (tmp_path / "w").exists()


def test_a_training_that_does_not_fit_into_memory_is_one_line(rendered, tmp_path, monkeypatch):
    config, sets = TAUGHT_CONFIG, [*SMALL, "plan.stages={motion: {steps: 2, batch_size: 4, accumulate: 2}}"]
    arguments = ("fomm", TRAININGS, rendered_set(lambda: rendered), config, sets, tmp_path / "run", tmp_path / "w")
    monkeypatch.setattr(TrainingRun, "_step", lambda *_: torch.empty(10**15))
    with pytest.raises(BenchError) as told:
        train(*arguments)
    assert str(told.value).startswith("Out of memory: stage motion works on 4 pairs per step, in 2 parts. Set plan.")
    assert "plan.stages.motion.accumulate=4" in str(told.value)


def test_a_rate_that_a_plug_in_allows_is_refused(monkeypatch):
    for rate in (0.0, -1.0, float("nan")):
        monkeypatch.setattr(Line, "optimisers", lambda self, stage, rate=rate: {"adam": OptimiserSpec(("net",), rate)})
        with pytest.raises(BenchError, match="Stage first: the learning rate of adam must be more than 0"):
            check_rates(plan(), Line())
