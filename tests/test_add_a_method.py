"""docs/add_a_method.md is correct: its package, exactly as printed, can be installed with pip, run and trained."""

import re
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from megbench.commands.train import trainable_names
from megbench.core.files.working_folder import in_store
from megbench.core.weights.network_weights import read_card
from megbench.training import TRAINABLES
from tests.fakes import make_clips
from tests.pip_install import install
from tests.rendered_set import write_rendered_set

PAGE = Path(__file__).parent.parent / "docs" / "add_a_method.md"
FILES = dict(re.findall(r"^`([\w./]+)`:\n\n```\w+\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL))


@pytest.fixture(scope="module")
def plugins(tmp_path_factory):
    """Return the folder into which the document's command installs the package."""
    return install(FILES, tmp_path_factory.mktemp("methods"))


@pytest.fixture
def package(plugins, monkeypatch):
    """Put the installed folder on Python's path."""
    monkeypatch.syspath_prepend(plugins)
    yield plugins
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
    assert "Difference ↓" in out  # a metric named by --metrics has a column even if its figure has no group
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


def test_a_learnt_generator_is_one_folder_and_one_line(plugins):
    """Adding a learnt generator requires only the files of its folder and the line that names its descriptor."""
    made = [path.name for path in (plugins / "learnt_flow").iterdir() if path.is_file()]
    assert sorted(made) == ["generator.py", "model.py", "published.yaml", "training.py"]
    lines = [line for line in FILES["pyproject.toml"].splitlines() if "learnt_flow.generator" in line]
    assert lines == ['learnt_flow = "learnt_flow.generator:GENERATOR"']
    elsewhere = [path.read_text() for path in plugins.glob("*.py")]
    assert elsewhere
    assert not any("learnt_flow" in text for text in elsewhere)


def test_names_are_held_against_what_is_installed(call, package):
    code, _, err = call("train", "learnt_flo")
    assert code == 2
    assert "learnt_flow" in err
    assert trainable_names() == [*TRAINABLES, "learnt_flow"], "the names in the help"
