"""Plug-ins are checked when loaded, `check` tries them out, and `explain` states how a value was computed."""

import functools
import re
import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from megbench.commands.trials import method_lines, metric_lines
from megbench.core.combine import combined
from megbench.core.contracts import Figure, Partial, Score
from megbench.core.errors import BenchError, CellFailed
from megbench.engine.plugins import check_method, check_metric
from megbench.engine.runner import Row
from megbench.engine.scoring import measure
from megbench.metrics import METRICS
from megbench.metrics.flicker import Flicker
from megbench.protocols.demo import Demo
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
        ({"version": None}, "`version` must be a non-empty string, not None"),
        ({"figures": ()}, "`figures` must list at least one"),
        ({"figures": ("size",)}, "must contain megbench.core.contracts.Figure, not str"),
        ({"figures": (FIGURE, FIGURE)}, "lists size twice"),
        ({"figures": (FIGURE, replace(FIGURE, name="bulk"))}, "size and bulk share the short title 'Size'"),
        ({"combine": None}, "no function `combine`"),
        ({"figures": (replace(FIGURE, name="../size"),)}, "The figure name '../size' cannot be used"),
        ({"figures": (replace(FIGURE, ideal=2),)}, "`ideal` of size is 2, outside its bounds 0 to 1"),
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
    with pytest.raises(BenchError, match="The `combine` of the metric good returns no score for size"):
        combined(forgets(), [])


@pytest.fixture
def cells(tmp_path):
    make_clips(tmp_path / "clips", 2, 4)
    make_clips(tmp_path / "long", 3, 5)
    (tmp_path / "long/d2").rename(tmp_path / "clips/d2")
    return Fakes(tmp_path, tmp_path / "clips").cells()


def test_two_metrics_with_one_heading_are_refused(call, tmp_path, monkeypatch):
    for name, group in (("first", "Sizes"), ("second", "Sizes"), ("third", "Others")):
        figure = Figure(name, "Size", target="output", ideal=1, bounds=(0, 1), group=group, description="A stand-in.")
        metric = type(name, (Good,), {"name": name, "figures": (figure,), "combine": None})
        monkeypatch.setattr(f"tests.fakes.{name}", metric, raising=False)
        monkeypatch.setitem(METRICS, name, f"tests.fakes:{name}")
    make_clips(tmp_path / "clips", 1)
    where = ("--methods", "still", "--protocol", "fakes", "--drivers", "clips", "--dry-run", "--metrics")
    code, _, err = call(*where, "first,second")
    told = "first of first and second of second have the same short title, 'Size', in a group"
    assert (code, told in err) == (2, True)
    assert call(*where, "first,third")[0] == 0


def faults(lines, verdict="FAULT"):
    return [text for found, text in lines if found == verdict]


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
    for text in ("two instances have different identities", "frames where the driver has", "different frames"):
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
    for text in ("values of other, which", "size is 2, outside its bounds 0 to 1", "one frame: ZeroDivisionError"):
        assert text in found


class Exact(Good):
    """A metric that is 1 for the reference's exact frames and 0 for others, and states a value for a still face."""

    figures = (Figure("size", "Size", target="driver", ideal=1, still=0, bounds=(0, 1), description="A stand-in."),)
    combine = None

    def measure(self, cell, seen):
        same = np.array_equal(seen.output.frames, cell.reference.frames())
        return Partial("ok", values={"size": self.of(same)})

    def of(self, same):
        return float(same)


@pytest.mark.parametrize(
    ("stated", "of", "warning"),
    [
        (0, lambda same: float(same), None),
        (0, lambda same: 1 - 0.75 * same, "size is 1 for a still face, but its `still` is 0"),
        (None, lambda same: float(same), None),
        (
            None,
            lambda same: 1 - 0.75 * same,
            "size is 1 for a still face, nearer to its ideal 1 than the .* output's 0.25",
        ),
        (None, lambda same: 0.5, "size is 0.5 for a still face, no further from its ideal 1 than"),
        (1, lambda same: 1 - 0.75 * same, None),  # a guard figure
        (1, lambda same: 1.0, None),
        (1, lambda same: float(same), "size is 0 for a still face, but its `still` is 1"),
    ],
)
def test_check_warns_of_what_a_figure_does_not_say_of_a_still_face(cells, stated, of, warning):
    figures = (replace(Exact.figures[0], still=stated),)
    kind = type("Stated", (Exact,), {"figures": figures, "of": lambda self, same: of(same)})
    lines = list(metric_lines(kind, cells[0]))
    assert faults(lines) == []
    found = faults(lines, "WARN")
    assert re.search(warning, found[0]) if warning else found == []


def test_an_exception_of_a_plug_in_is_one_line_with_its_place(cells, call, tmp_path):
    def wrong(*_):
        raise ZeroDivisionError("of no\nmotion")

    here = rf"ZeroDivisionError: of no motion \({re.escape(__file__)}:\d+, in wrong\)"
    for change in ({"animate": wrong}, {"identity": wrong}, {"prepare": wrong}, {"__init__": wrong}):
        found = faults(method_lines(functools.partial(type("Bad", (Shift,), change), "", {}), cells))
        assert found
        assert all(re.search(here, text) for text in found), found
    for change in ({"measure": wrong}, {"combine": wrong}, {"__init__": wrong}):
        found = faults(metric_lines(type("Bad", (Good,), change), cells[0]))
        assert found
        assert all(re.search(here, text) for text in found), found
    shutil.rmtree(tmp_path / "clips" / "d0")
    code, out, err = call("check", "fragile@raises", "--protocol", "fakes", "--drivers", "clips")
    assert code == 1
    assert re.search(r"FAULT d1__t0: RuntimeError: first line second line \(.*fakes\.py:\d+, in animate\)", out), (
        out + err
    )
    assert "Checking fragile@raises" in err, "progress"


def test_check_gives_a_metric_that_keeps_features_a_store(cells):
    class Keeps(Good):
        def measure(self, cell, seen):
            file = seen.output.feature_file("levels", lambda: {"levels": seen.output.frames.mean(axis=(1, 2, 3))})
            mean = float(np.load(file)["levels"].mean() / 255)
            return Partial("ok", values={"size": mean}, files={"output": str(file)})

    assert faults(metric_lines(Keeps, cells[0])) == []


def test_check_names_misspelt_options(call, tmp_path, monkeypatch, cells):
    monkeypatch.setattr(Shift, "options", ("by",), raising=False)
    code, _, err = call("check", "shift:bye=2", "--protocol", "fakes", "--drivers", "clips")
    assert (code, "Unknown option of shift: 'bye'. Did you mean 'by'?" in err) == (2, True), err


def test_check_renders_one_cell_and_that_is_the_protocols(tmp_path, monkeypatch):
    filmed = []

    def shoot(scenes, cache, workers):
        filmed.append([scene.name for scene in scenes])
        return [[clip_of(scene)] * 2 for scene in scenes]

    def clip_of(scene):
        return SimpleNamespace(name=scene.name, subject="s", folder=tmp_path)

    monkeypatch.setattr("megbench.protocols.demo.shoot", shoot)
    monkeypatch.setattr("megbench.protocols.demo.read_png", lambda path: np.zeros((256, 256, 3), np.uint8))
    few, every = Demo(tmp_path).few(), Demo(tmp_path).cells()
    assert [len(names) for names in filmed] == [3, 27]
    known = [(cell.driver.name, cell.template.name, cell.truth.name, cell.foil.name) for cell in (*few, every[0])]
    assert known[0] == known[1]
    assert len(few) == 1


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
    assert found.reason == "good returned a value of 'siez', which its `figures` do not list"


def install(monkeypatch, site, package, entries):
    """Make Python find a package that has only entry points."""
    metadata = site / f"{package}-1.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text(entries)
    monkeypatch.syspath_prepend(site)


def test_a_plug_in_whose_name_is_taken_is_said_to_be_ignored(call, tmp_path, monkeypatch):
    entries = (
        "[megbench.metrics]\nflicker = tests.fakes:Counted\nown = tests.fakes:Difference\n"
        "[megbench.methods]\nstill = tests.fakes:Shift\n"
        "[megbench.generators]\nfomm = megbench.baselines.tps.generator:GENERATOR\n"
        "[megbench.protocols]\nself = tests.fakes:Fakes\n"
    )
    install(monkeypatch, tmp_path / "site", "bold", entries)
    taken = {"metrics": ["flicker"], "methods": ["still", "fomm"], "protocols": ["self"]}
    for what, names in taken.items():
        listed = call("list", what)[1]
        for name in names:
            kind = "generator" if name == "fomm" else what.removesuffix("s")
            assert f"The {kind} {name} of the package bold is ignored: MEG-Bench itself already has that name" in listed
            assert len(re.findall(rf"^{name} ", listed, re.MULTILINE)) == 2, "the suite's own is still there"
    make_clips(tmp_path / "clips", 1)
    run = ("--methods", "still", "--protocol", "fakes", "--drivers", "clips", "--metrics", "own", "--dry-run")
    code, _, err = call(*run)
    assert (code, err.count(" is ignored: ")) == (0, 4), err


def test_a_plug_in_that_cannot_be_imported_is_one_line_and_stops_no_other(call, tmp_path, monkeypatch):
    entries = (
        "[megbench.metrics]\nlost = no_such_module:Lost\n"
        "[megbench.generators]\nmislaid = megbench.core.errors:GENERATOR\n"
    )
    install(monkeypatch, tmp_path / "site", "broken", entries)
    listed = call("list", "metrics")
    assert listed[0] == 0
    assert "The metric lost of the package broken cannot be imported from no_such_module:Lost" in listed[1]
    assert "motion_agreement" in listed[1]
    assert "mislaid" in call("list", "methods")[1]
    code, _, err = call("--methods", "still", "--metrics", "lost", "--protocol", "fakes", "--drivers", "clips")
    assert (code, err.count("\n")) == (2, 1)
    assert "Fix or uninstall the package." in err
    code, _, err = call("import", "fomm", "nothing.pth", "--as", "x")
    assert (code, "nothing.pth" in err) == (2, True), "the broken generator is a note"
