"""docs/add_a_metric.md is correct: one file and one line add a metric to every run."""

import csv
import re
import sys
from pathlib import Path

import pytest

from megbench.commands.metrics_page import page
from megbench.metrics import METRICS
from megbench.reports.export import tables_of
from tests.moving_face import MOUTH, make_clip
from tests.pip_install import install

TEXT = (Path(__file__).parent.parent / "docs" / "add_a_metric.md").read_text()
FILES = dict(re.findall(r"^`([\w.]+)`:\n\n```\w+\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL))
SOURCE = "mouth_travel.py"
(LINE,) = re.findall(r'^    ("\w+": "[\w.:]+"),$', TEXT, re.MULTILINE)
NAME, TARGET = re.findall(r'"([^"]+)"', LINE)


@pytest.fixture(autouse=True)
def forgotten():
    """Forget the module after each test, so that the next test imports it again."""
    yield
    sys.modules.pop(Path(SOURCE).stem, None)


@pytest.fixture
def in_package(tmp_path, monkeypatch):
    """Install the document's package with its command into a folder on Python's path."""
    assert list(FILES) == [SOURCE, "pyproject.toml"]
    monkeypatch.syspath_prepend(install(FILES, tmp_path / "metrics"))


@pytest.fixture
def in_table(tmp_path, monkeypatch):
    """Add the line to metrics/__init__.py in memory; the file lies elsewhere, because this folder must not change."""
    place = tmp_path / "site"
    place.mkdir()
    (place / SOURCE).write_text(FILES[SOURCE])
    monkeypatch.syspath_prepend(place)
    before = len(METRICS)
    monkeypatch.setitem(METRICS, NAME, TARGET.removeprefix("megbench.metrics."))
    assert len(METRICS) == before + 1


@pytest.mark.parametrize("way", ["in_package", "in_table"])
def test_one_file_and_one_line_make_a_metric_that_everybody_sees(call, tmp_path, request, way, in_this_process):
    make_clip(tmp_path / "clips", "d0", MOUTH, 1, n_frames=5)
    request.getfixturevalue(way)
    assert re.search(rf"^{NAME} +How far the mouth's landmarks move", call("list", "metrics")[1], re.MULTILINE)
    where = ("--protocol", "fakes", "--drivers", "clips", "--no-controls", "--out", "run")
    code, out, err = call("--methods", "ceiling,still", *where, "--metrics", NAME)
    assert code == 0, out + err
    assert "mouth travel → 1" in out.splitlines()[0]
    tables = tables_of(tmp_path / "run")
    copied, still = list(csv.DictReader(tables["leaderboard"].csv().splitlines()))[:2]
    assert float(still[NAME]) == 0
    assert float(copied[NAME]) == pytest.approx(1, abs=0.5)
    assert f"cells_{NAME}" in tables
    heat = {row["cell"]: row for row in csv.DictReader(tables[f"cells_{NAME}"].csv().splitlines())}
    assert float(heat["d0 on t0"]["ceiling"]) == float(copied[NAME])
    assert "formula max |o[t]" in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert (f"## {NAME}\n" in page()) == (way == "in_table")
    code, out, err = call("check", NAME, "--protocol", "fakes", "--drivers", "clips")
    assert (code, "no fault" in out) == (0, True), out + err
