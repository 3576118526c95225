"""docs/extend.md does what it says: pip installs its packages as they are printed, and every example is run."""

import csv
import re
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from megbench.commands.metrics_page import page
from megbench.commands.train import trainable_names
from megbench.core.files.working_folder import in_store
from megbench.core.frames import write_frames
from megbench.core.weights.network_weights import read_card
from megbench.metrics import METRICS
from megbench.reports.export import tables_of
from megbench.training import TRAINABLES
from tests.fakes import make_clips
from tests.moving_face import BROW, MOUTH, make_clip, render
from tests.pip_install import install, write_files
from tests.rendered_set import write_rendered_set

TEXT = (Path(__file__).parent.parent / "docs" / "extend.md").read_text()
FILES = dict(re.findall(r"^`([\w./-]+)`:\n\n```\w+\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL))
PACKAGES = ("my-method", "my-generator", "my-metric", "my-protocol")
MODULES = ("imprint", "learnt_flow", "mouth_travel", "across")
METRIC = "mouth_travel"
ON_FAKES = ("--protocol", "fakes", "--drivers", "clips", "--no-controls")


def in_folders(*folders):
    return {name: text for name, text in FILES.items() if name.startswith(tuple(f"{folder}/" for folder in folders))}


@pytest.fixture(scope="module")
def plugins(tmp_path_factory):
    """Return the folder that the document's command fills."""
    return install(in_folders(*PACKAGES), tmp_path_factory.mktemp("extend"))


@pytest.fixture(autouse=True)
def forgotten():
    """Import the plug-ins anew in each test."""
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] in MODULES]:
        del sys.modules[name]


@pytest.fixture
def installed(plugins, monkeypatch):
    """Put the installed packages on Python's path."""
    monkeypatch.syspath_prepend(plugins)


@pytest.fixture
def in_table(tmp_path, monkeypatch):
    """Add the metric's line to the table in memory and keep its file elsewhere, because this folder must not change."""
    ((name, target),) = re.findall(r'^A line has the form `"(\w+)": "([\w.:]+)"`', TEXT, re.MULTILINE)
    write_files({"mouth_travel.py": FILES["my-metric/mouth_travel.py"]}, tmp_path / "site")
    monkeypatch.syspath_prepend(tmp_path / "site")
    assert name not in METRICS
    monkeypatch.setitem(METRICS, name, target.removeprefix("megbench.metrics."))


def scored(call, methods, *where):
    code, out, err = call("--methods", methods, *where, "--metrics", "difference")
    scores = pd.concat(pd.read_csv(path) for path in Path("runs").glob("*/scores.csv"))
    return code, out + err, scores


def mean(scores, method):
    return scores[scores["method"] == method]["value"].mean()


def test_every_block_of_code_is_a_file_that_is_used_here():
    assert len(FILES) == len(re.findall(r"^```\w+$", TEXT, re.MULTILINE))
    used = in_folders(*PACKAGES, "external", ".megbench")
    assert used == FILES


def test_a_method(call, tmp_path, installed, in_this_process):
    make_clips(tmp_path / "clips")
    _, out, scores = scored(call, "imprint,imprint:strength=0,still", *ON_FAKES)
    assert scores[scores["method"].str.startswith("imprint")]["value"].notna().all(), out
    assert "Difference ↓" in out  # a metric named by --metrics has its column, though its figure has no group
    assert mean(scores, "imprint:strength=0") == mean(scores, "still") != mean(scores, "imprint")
    assert re.search("^imprint +The template with what changed", call("list", "methods")[1], re.MULTILINE)
    code, _, err = call("--methods", "imprint:strenght=2", "--protocol", "fakes", "--drivers", "clips", "--dry-run")
    assert (code, "Unknown option of imprint: 'strenght'. Did you mean 'strength'?" in err) == (2, True)


def test_a_generator_that_learns(call, tmp_path, installed, monkeypatch, in_this_process):
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
    _, out, scores = scored(call, "learnt_flow@mine,learnt_flow@untrained", *ON_FAKES)
    assert np.isfinite(mean(scores, "learnt_flow@mine")), out
    assert np.isfinite(mean(scores, "learnt_flow@untrained")), out
    listed = call("list", "methods")[1]
    assert "Learnt flow. Driven by pictures; modes plain; weights supplied with the suite: none." in listed
    code, _, err = call("--methods", "learnt_flow@nobodys", "--protocol", "fakes", "--drivers", "clips")
    assert code == 2
    assert ".megbench/weights/learnt_flow@nobodys" in err


def test_a_generator_is_one_folder_and_one_line(plugins):
    """All that must be added is the folder's files and the line that names the descriptor."""
    made = [path.name for path in (plugins / "learnt_flow").iterdir() if path.is_file()]
    assert sorted(made) == ["generator.py", "model.py", "published.yaml", "training.py"]
    lines = [line for line in FILES["my-generator/pyproject.toml"].splitlines() if "learnt_flow.generator" in line]
    assert lines == ['learnt_flow = "learnt_flow.generator:GENERATOR"']


def test_names_are_held_against_what_is_installed(call, installed):
    code, _, err = call("train", "learnt_flo")
    assert code == 2
    assert "learnt_flow" in err
    assert trainable_names() == [*TRAINABLES, "learnt_flow"], "the names in the help"


@pytest.mark.parametrize("way", ["installed", "in_table"])
def test_a_metric_is_one_file_and_one_line(call, tmp_path, request, way, in_this_process):
    make_clip(tmp_path / "clips", "d0", MOUTH, 1, n_frames=5)
    request.getfixturevalue(way)
    assert re.search(rf"^{METRIC} +How far the mouth's landmarks move", call("list", "metrics")[1], re.MULTILINE)
    code, out, err = call("--methods", "ceiling,still", *ON_FAKES, "--out", "run", "--metrics", METRIC)
    assert code == 0, out + err
    assert "mouth travel → 1" in out.splitlines()[0]
    tables = tables_of(tmp_path / "run")
    copied, still = list(csv.DictReader(tables["leaderboard"].csv().splitlines()))[:2]
    assert float(still[METRIC]) == 0
    assert float(copied[METRIC]) == pytest.approx(1, abs=0.5)
    heat = {row["cell"]: row for row in csv.DictReader(tables[f"cells_{METRIC}"].csv().splitlines())}
    assert float(heat["d0 on t0"]["ceiling"]) == float(copied[METRIC])
    assert "formula max |o[t]" in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert (f"## {METRIC}\n" in page()) == (way == "in_table")
    code, out, err = call("check", METRIC, "--protocol", "fakes", "--drivers", "clips")
    assert (code, "no fault" in out) == (0, True), out + err


@pytest.mark.usefixtures("installed", "in_this_process")
def test_a_protocol(call, tmp_path):
    for name, push in (("brow", BROW), ("mouth", MOUTH)):
        write_frames(tmp_path / "clips" / name, render(push, n_frames=4)[0])
    where = ("--protocol", "across", "--drivers", "clips")
    assert re.search(r"^across +Each clip of a folder drives the first", call("list", "protocols")[1], re.MULTILINE)
    listed = call("list", "clips", *where)[1]
    assert [line.partition(":")[0] for line in listed.splitlines()] == ["brow", "mouth"]
    code, out, scores = scored(call, "still", *where)
    assert code == 0, out
    cells = scores[(scores["method"] == "wrong_driver") & (scores["scope"] == "cell")]
    assert list(zip(cells["driver"], cells["template"], strict=True)) == [("brow", "mouth"), ("mouth", "brow")]
    assert cells["value"].notna().all(), "each driver has a foil"


@pytest.mark.usefixtures("in_this_process")
def test_an_external_program(call, tmp_path):
    write_files(in_folders("external", ".megbench"), tmp_path)
    make_clips(tmp_path / "clips")
    code, out, scores = scored(call, "external@repeat,still", *ON_FAKES)
    assert code == 0, out
    assert mean(scores, "external@repeat") == mean(scores, "still")


@pytest.mark.usefixtures("in_this_process")
def test_outputs_made_elsewhere(call, tmp_path):
    """Names and the mapping's rows are those of the page, on clips called smile and frown."""
    drivers = make_clips(tmp_path / "clips", 2, 16)
    (tmp_path / "outputs").mkdir()
    (rows,) = re.findall(r"^    (output,driver,template,frames\n(?:    .*\n)+)", TEXT, re.MULTILINE)
    mapping = rows.replace("    ", "").replace("smile,anna", "d0,t0").replace("smile,ben", "d1,t1")
    (tmp_path / "outputs" / "mapping.csv").write_text(mapping.replace(".mp4", ""))
    write_frames(tmp_path / "outputs" / "result_01", drivers[0].frames())
    write_frames(tmp_path / "outputs" / "result_02", drivers[1].frames()[[*range(12), 13, 15]])
    _, out, scores = scored(call, "outputs:outputs", *ON_FAKES)
    cells = scores[(scores["scope"] == "cell") & scores["value"].notna()]
    assert list(zip(cells["driver"], cells["template"], strict=True)) == [("d0", "t0"), ("d1", "t1")], out
    assert cells["value"].iloc[0] == 0
