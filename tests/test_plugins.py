"""What plug-ins must have is said when they are loaded; `check` tries them, `explain` says how a number came about."""

from dataclasses import replace

import numpy as np
import pytest

from megbench.commands.check import method_lines, metric_lines
from megbench.core.combine import combined
from megbench.core.contracts import Figure, Partial, Score
from megbench.core.errors import BenchError, CellFailed
from megbench.engine.plugins import check_method, check_metric
from megbench.engine.runner import Row
from megbench.engine.scoring import measure
from megbench.metrics.flicker import Flicker
from megbench.reports.explain import explanation
from megbench.reports.run_files import FinishedRun
from tests.fakes import Difference, Fakes, Shift, make_clips
from tests.report_fixture import make_run

FIGURE = Figure("size", "Size", target="output", ideal=1, bounds=(0, 1), pooling="set", description="A stand-in.")


class Good:
    name = "good"
    version = "1"
    figures = (FIGURE,)

    def measure(self, cell, seen):
        return Partial("ok", values={"size": float(seen.output.frames.mean() / 255)})

    def combine(self, partials):
        values = [partial.values["size"] for partial in partials]
        return [Score("size", float(np.mean(values)) if values else None, "ok", "", len(values), len(values))]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": None}, "`version` must be a text, not None"),
        ({"figures": ()}, "`figures` must list its figures"),
        ({"figures": ("size",)}, "must hold megbench.core.contracts.Figure, not str"),
        ({"figures": (FIGURE, FIGURE)}, "lists size twice"),
        ({"combine": None}, "no function `combine`"),
        ({"figures": (replace(FIGURE, name="../size"),)}, "The figure name '../size' cannot be used"),
        ({"figures": (replace(FIGURE, ideal=2),)}, "`ideal` of size is 2, outside of its bounds 0 to 1"),
        ({"figures": (replace(FIGURE, heat_map=True),)}, "size has a heat map, which needs"),
        ({"figures": (replace(FIGURE, pooling="mean"),)}, "its `combine` would never be called"),
    ],
)
def test_a_metric_that_lacks_something_is_one_line(change, message):
    check_metric("good", Good)
    with pytest.raises(BenchError, match=f"The metric bad cannot be used: .*{message}"):
        check_metric("bad", type("Bad", (Good,), change))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"is_control": "no"}, "`is_control` must be of type bool, not 'no'"),
        ({"animate": None}, "no function `animate`"),
        ({"identity": None}, "no function `identity`"),
    ],
)
def test_a_method_that_lacks_something_is_one_line(change, message):
    check_method("shift", Shift("", {}))
    with pytest.raises(BenchError, match=f"The method bad cannot be used: .*{message}"):
        Row.of("bad", "bad", "", {}, type("Bad", (Shift,), change))


def test_means_need_no_combine_and_a_forgotten_figure_is_named():
    mean = type("Mean", (Good,), {"figures": (replace(FIGURE, pooling="mean"),), "combine": None})
    check_metric("mean", mean)
    (score,) = combined(mean(), [Partial("ok", values={"size": value}) for value in (0.2, 0.6)])
    assert (score.value, score.n_scored) == (pytest.approx(0.4), 2)
    forgets = type("Forgets", (Good,), {"combine": lambda self, partials: []})
    with pytest.raises(BenchError, match="The metric good: its `combine` gives no score of size"):
        combined(forgets(), [])


@pytest.fixture
def cells(tmp_path):
    make_clips(tmp_path / "clips", 2, 4)
    make_clips(tmp_path / "long", 3, 5)
    (tmp_path / "long/d2").rename(tmp_path / "clips/d2")
    return Fakes(tmp_path, tmp_path / "clips").cells()


def faults(lines):
    return [text for good, text in lines if good is False]


def test_check_finds_nothing_wrong_with_what_is_right(cells):
    assert faults(method_lines(lambda: Shift("", {}), cells)) == []
    assert faults(metric_lines(Good, cells[0])) == []
    assert faults(metric_lines(Flicker, cells[0])) == []
    assert faults(metric_lines(Difference, cells[0])) == []


class Restless(Shift):
    def animate(self, template, driver):
        return np.random.default_rng().integers(0, 255, (driver.n_frames + 1, 256, 256, 3)).astype(np.uint8)

    def identity(self):
        return {"self": id(self)}


def test_check_names_each_fault_of_a_method(cells):
    found = " ".join(faults(method_lines(lambda: Restless("", {}), cells)))
    for text in ("two instances have different identities", "frames where the driver has", "other frames"):
        assert text in found
    lines = list(method_lines(lambda: type("Unable", (Shift,), {"animate": _unable})("", {}), cells))
    assert faults(lines) == []
    assert any("no face today" in text for _, text in lines)


def _unable(self, template, driver):
    raise CellFailed("no face today")


def test_check_names_each_fault_of_a_metric(cells):
    def measure(self, cell, seen):
        if len(seen.output.frames) == 1:
            raise ZeroDivisionError("of no motion")
        return Partial("ok", values={"size": 2.0, "other": 0.0})

    def combine(self, partials):
        return [Score("size", float(len(partials) and partials[0].values["size"] + id(partials) % 7), "ok", "", 1, 1)]

    bad = type("Bad", (Good,), {"measure": measure, "combine": combine})
    found = " ".join(faults(metric_lines(bad, cells[0])))
    for text in ("values of other, which", "size is 2, outside of its bounds 0 to 1", "one frame: ZeroDivisionError"):
        assert text in found


def test_explain_says_inputs_what_was_found_and_the_version(tmp_path):
    run = FinishedRun(make_run(tmp_path / "run"))
    cell = run.facts.cells[0].name
    text = explanation(run, "fpfomm", "agreement", cell)
    metric, figure = run.figures["agreement"]
    value = run.of_cell("fpfomm", run.facts.cells[0], "agreement").value
    assert text.startswith(f"agreement of fpfomm on {cell}: {value:.6g}\n")
    for part in (
        figure.description,
        f"{metric.name}, version {metric.version}",
        str(run.folder / "cells"),
        "driver:",
        "sums for pooling, driver:",
    ):
        assert part in text
    assert f"Over all cells: {run.combined('fpfomm', 'agreement').value:.6g}" in text
    for wrong in (("fpfom", "agreement", cell), ("fpfomm", "agreemnt", cell), ("fpfomm", "agreement", "d1_t1")):
        with pytest.raises(BenchError, match="Unknown"):
            explanation(run, *wrong)


def test_a_value_that_no_figure_names_fails_the_metric():
    class Misspelt(Good):
        def measure(self, cell, seen):
            return Partial("ok", values={"siez": 1.0})

    found = measure(Misspelt(), None, None)
    assert (found.status, found.values) == ("failed", {})
    assert found.reason == "good returned a value of 'siez', which its `figures` does not list"


def test_a_plug_in_that_cannot_be_imported_is_one_line_and_stops_no_other(call, tmp_path, monkeypatch):
    metadata = tmp_path / "site" / "broken-1.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text(
        "[megbench.metrics]\nlost = no_such_module:Lost\n"
        "[megbench.generators]\nmislaid = megbench.core.errors:GENERATOR\n"
    )
    monkeypatch.syspath_prepend(tmp_path / "site")
    listed = call("list", "metrics")
    assert listed[0] == 0
    assert "The metric lost of the package broken cannot be imported from no_such_module:Lost" in listed[1]
    assert "motion_agreement" in listed[1]
    assert "mislaid" in call("list", "methods")[1]
    code, _, err = call("--methods", "still", "--metrics", "lost", "--protocol", "fakes", "--drivers", "clips")
    assert (code, err.count("\n")) == (2, 1)
    assert "Mend the package or uninstall it." in err
    code, _, err = call("import", "fomm", "nothing.pth", "--as", "x")
    assert (code, "nothing.pth" in err) == (2, True), "the broken generator is a note"
