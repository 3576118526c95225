"""docs/add_a_method.md is right: its package is installed from the document's files, run and trained."""

import configparser
import re
import sys
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from megbench.commands.train import trainable_names
from megbench.core.files.working_folder import in_store
from megbench.core.weights.network_weights import read_card
from megbench.training import TRAINABLES
from tests.fakes import make_clips
from tests.rendered_set import write_rendered_set

PAGE = Path(__file__).parent.parent / "docs" / "add_a_method.md"
BLOCK = re.compile(r"^`([\w./]+)`:\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Write the document's files into a folder on Python's path, with the metadata that pip would write."""
    folder = tmp_path / "site"
    metadata = folder / "my_methods-1.dist-info"
    metadata.mkdir(parents=True)
    files = dict(BLOCK.findall(PAGE.read_text()))
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    project = tomllib.loads(files["pyproject.toml"])["project"]
    points = configparser.ConfigParser()
    points.read_dict(project["entry-points"])
    with (metadata / "entry_points.txt").open("w") as file:
        points.write(file)
    (metadata / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    monkeypatch.syspath_prepend(folder)
    yield folder
    for name in [name for name in sys.modules if name.partition(".")[0] in ("imprint", "learnt_flow")]:
        del sys.modules[name]


def on_fakes(call, methods):
    where = ("--protocol", "fakes", "--drivers", "clips", "--metrics", "difference", "--no-controls")
    code, out, err = call("--methods", methods, *where)
    scores = pd.concat(pd.read_csv(path) for path in Path("runs").glob("*/scores.csv"))
    return code, out + err, scores


def mean(scores, method):
    return scores[scores["method"] == method]["value"].mean()


def test_a_method_without_training(call, tmp_path, package, in_this_process):
    make_clips(tmp_path / "clips")
    _, out, scores = on_fakes(call, "imprint,imprint:strength=0,still")
    assert scores[scores["method"].str.startswith("imprint")]["value"].notna().all(), out
    assert "Difference ↓" in out  # a metric named by --metrics has its column, though its figure has no group
    assert mean(scores, "imprint:strength=0") == mean(scores, "still") != mean(scores, "imprint")
    assert "imprint" in call("list", "methods")[1]
    code, _, err = call("--methods", "imprint:strenght=2", "--protocol", "fakes", "--drivers", "clips", "--dry-run")
    assert (code, "Unknown option of imprint: 'strenght'. Did you mean 'strength'?" in err) == (2, True)


def test_a_method_that_learns(call, tmp_path, package, monkeypatch, in_this_process):
    (folder := tmp_path / "set").mkdir()
    write_rendered_set(folder)
    monkeypatch.setattr("megbench.taught.training_set.demo_set", lambda where: folder)
    short = (
        "plan.stages.main={steps: 4, batch_size: 2}",
        "plan.validate_every=2",
        "plan.log_every=2",
        "data.held_out=1",
    )
    changes = [part for change in short for part in ("--set", change)]
    code, out, err = call("train", "learnt_flow", *changes)
    assert code == 0, out + err
    card = read_card(in_store("weights") / "learnt_flow@mine.safetensors")
    assert card["config"]["width"] == 16, "the settings beside the recipe are the default"
    make_clips(tmp_path / "clips")
    _, out, scores = on_fakes(call, "learnt_flow@mine,learnt_flow@untrained")
    assert np.isfinite(mean(scores, "learnt_flow@mine")), out
    assert np.isfinite(mean(scores, "learnt_flow@untrained")), out
    listed = call("list", "methods")[1]
    assert "Learnt flow. Driven by pictures; modes plain; weights none here." in listed
    code, _, err = call("--methods", "learnt_flow@nobodys", "--protocol", "fakes", "--drivers", "clips")
    assert code == 2
    assert ".megbench/weights/learnt_flow@nobodys" in err


def test_a_learnt_generator_is_one_folder_and_one_line(package):
    """All that must be added is the folder's files and the line that names the descriptor."""
    made = [path.relative_to(package).as_posix() for path in (package / "learnt_flow").rglob("*")]
    assert sorted(made) == [
        f"learnt_flow/{name}" for name in ("generator.py", "model.py", "published.yaml", "training.py")
    ]
    lines = [line for line in (package / "pyproject.toml").read_text().splitlines() if "learnt_flow.generator" in line]
    assert lines == ['learnt_flow = "learnt_flow.generator:GENERATOR"']
    elsewhere = [path.read_text() for path in package.glob("*.py")]
    assert not any("learnt_flow" in text for text in elsewhere)


def test_names_are_held_against_what_is_installed(call, package):
    code, _, err = call("train", "learnt_flo")
    assert code == 2
    assert "learnt_flow" in err
    assert trainable_names() == [*TRAINABLES, "learnt_flow"], "the names in the help"
