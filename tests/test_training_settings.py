"""The settings of a training run: defaults, files, overrides, and how they are listed and reported."""

import pytest
import yaml

from megbench.commands.train import default_configs
from megbench.core.config import resolve
from megbench.core.errors import BenchError
from megbench.core.registry import load
from megbench.taught import TRAININGS
from megbench.taught.rendered import rendered_set
from megbench.training import TRAINABLES
from megbench.training.command import choose, train
from megbench.training.prepared import prepared_set

RENDERED, STORES = rendered_set(lambda: pytest.fail("clips are rendered"), 55), prepared_set([])


def defaults(name, clips):
    return default_configs(name, clips, load("trainable", name, TRAINABLES))


def chosen(tmp_path, text, *sets, name="fomm", clips="demo"):
    path = None
    if text is not None:
        path = tmp_path / "own.yaml"
        path.write_text(text)
    return choose(name, TRAININGS, RENDERED if clips == "demo" else STORES, path, sets, defaults(name, clips))


@pytest.mark.parametrize("clips", ["demo", "samm=SAMM"])
@pytest.mark.parametrize("name", TRAINABLES)
def test_the_printed_settings_are_a_file_with_the_same_settings(tmp_path, name, clips):
    usual = chosen(tmp_path, None, name=name, clips=clips)
    assert usual.kind == ("taught" if clips == "demo" else "published")
    assert any(stage.steps or stage.epochs for stage in usual.plan.stages.values())
    assert chosen(tmp_path, usual.text(), name=name, clips=clips) == usual
    assert chosen(tmp_path, usual.text(), "plan.seed=5", name=name, clips=clips) != usual


def test_the_command_prints_them_and_reads_no_clips(call, tmp_path):
    code, out, _ = call("train", "mraa", "--clips", "samm=nowhere", "--settings", "--set", "loss.perceptual=vgg16")
    assert code == 0
    printed = yaml.safe_load(out)
    assert printed["model"]["loss"]["perceptual"] == "vgg16"
    assert printed["plan"]["stages"]["avd"]["epochs"] == 30
    assert printed["data"]["prepared"]["leave_out"] == "drivers"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("more", "left_out"), [([], "people"), (["--leave-out", "nothing"], "nothing")])
def test_a_file_says_who_is_left_out_unless_the_option_does(call, tmp_path, more, left_out):
    (tmp_path / "own.yaml").write_text("data: {prepared: {leave_out: people}}\n")
    code, out, _ = call("train", "fomm", "--clips", "samm=nowhere", "--config", "own.yaml", "--settings", *more)
    assert code == 0
    assert yaml.safe_load(out)["data"]["prepared"]["leave_out"] == left_out


def test_training_without_any_flow_loss_is_refused():
    recipe = resolve(load("trainable", "tps", TRAININGS["taught"]), [{"taught": {"flow_weight": 0}}])
    with pytest.raises(BenchError, match=r"flow_weight and taught\.facial_weight are both 0"):
        recipe.trainer()


@pytest.mark.parametrize(
    ("text", "stages"),
    [
        ("{}", {"motion": (1500, 8), "picture": (600, 4), "joint": (250, 4)}),
        ("plan: {seed: 3}", {"motion": (1500, 8), "picture": (600, 4), "joint": (250, 4)}),
        ("plan: {stages: {motion: {batch_size: 2}}}", {"motion": (1500, 2)}),
        ("plan: {stages: {motion: {steps: 10}}}", {"motion": (10, 8)}),
        ("plan: {stages: {motion: {steps: 0, batch_size: 2}, joint: {}}}", {"motion": (0, 2), "joint": (250, 4)}),
    ],
)
def test_a_file_keeps_the_default_lengths_of_stages(tmp_path, text, stages):
    found = chosen(tmp_path, f"training: taught\n{text if text != '{}' else ''}")
    assert {name: (stage.steps, stage.batch_size) for name, stage in found.plan.stages.items()} == stages


def test_the_lengths_are_those_of_the_chosen_kind_of_training(tmp_path):
    for found in (
        chosen(tmp_path, "model: {lr: 1.0e-5}"),
        chosen(tmp_path, None, "training=published"),
        chosen(tmp_path, "plan: {stages: {main: {batch_size: 40}}}", clips="samm=SAMM"),
    ):
        assert found.kind == "published"
        assert {name: (stage.epochs, stage.batch_size) for name, stage in found.plan.stages.items()} == {
            "main": (100, 40)
        }


@pytest.mark.parametrize(
    ("sets", "said"),
    [
        (
            "perceptual=pyramid",
            "--set perceptual=pyramid: Unknown setting in the config: 'perceptual'. Choices: data, loss, model, plan,"
            " taught, training. `python bench.py train fomm --settings`, with the same --clips and training, lists all"
            " settings.",
        ),
        ("plans.seed=1", "Unknown setting in the config: 'plans'. Did you mean 'plan'?"),
        ("plan.stages.motion.step=1", "Unknown setting in plan.stages.motion: 'step'. Did you mean 'steps'?"),
        ("data.held_out=0", "--set data.held_out=0: Setting data.held_out must be at least 1, got 0."),
    ],
)
def test_wrong_names_are_told_with_all_choices(tmp_path, sets, said):
    with pytest.raises(BenchError) as told:
        chosen(tmp_path, None, sets)
    assert said in str(told.value)


@pytest.mark.parametrize(
    ("sets", "said"),
    [
        (["data.held_out=55"], "data.held_out must be from 1 to 54, because the training clips show 55 people, got 55"),
        (["plan.stages.main.steps=1"], "Unknown stage 'main'"),
        (["training=published"], "loss.perceptual=pyramid"),
    ],
)
def test_what_cannot_be_trained_is_told_before_anything_is_rendered(tmp_path, monkeypatch, sets, said):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BenchError) as told:
        train(
            "fomm", TRAININGS, RENDERED, None, sets, tmp_path / "o", tmp_path / "w", defaults=defaults("fomm", "demo")
        )
    assert said in str(told.value)
    assert not list(tmp_path.iterdir())
