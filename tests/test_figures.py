"""The facts that figures state about themselves are correct, consistent and sufficient for tables."""

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from megbench.commands.metrics_page import PAGE, page
from megbench.commands.request import Request
from megbench.core.errors import BenchError
from megbench.core.figures import GROUPS, Figure
from megbench.core.registry import load
from megbench.engine.plugins import check_metric
from megbench.metrics import METRICS, ON_REQUEST
from megbench.reports import headlines, leaderboard
from megbench.reports.export import tables_of, write_tables
from megbench.reports.run_files import FinishedRun
from tests.report_fixture import make_run, with_metric

ALL = {name: load("metric", name, METRICS) for name in METRICS}
FIGURES = {figure.name: figure for metric in ALL.values() for figure in metric.figures}
HEAT = [figure for figure in FIGURES.values() if figure.heat_map]
ALONE = Figure("alone", "Alone", target="output", ideal=None, bounds=(0, None), description="Of no group.")


def test_the_page_of_metrics_is_the_one_that_is_made():
    assert PAGE.read_text(encoding="utf-8") == page(), "python -m megbench.commands.metrics_page"


def test_the_suites_own_metrics_keep_their_contract():
    for name, metric in ALL.items():
        check_metric(name, metric)
    assert {figure.group for figure in FIGURES.values()} - {""} == set(GROUPS)
    assert all(figure.short for figure in FIGURES.values() if figure.group)
    on_request = {figure.name for name in ON_REQUEST for figure in ALL[name].figures}
    assert not [name for name in on_request if FIGURES[name].heat_map]
    assert [name for name in on_request if FIGURES[name].brief] == ["openface_intensity_track"]


@given(st.sampled_from(HEAT), st.floats(-3, 3))
def test_shades_are_what_the_page_always_had(figure, value):
    """A shade is 0 for a still face and 1 for the ideal: agreement itself, 1 - |gain - 1|, and 1 - error."""
    old = {"agreement": value, "gain": 1 - abs(value - 1), "error": 1 - value}[figure.name.removesuffix("_truth")]
    low, high = figure.bounds
    if (low is None or value >= low) and (high is None or value <= high):
        assert figure.shade(value) == pytest.approx(min(max(old, -1.0), 1.0), abs=1e-12)


@pytest.mark.parametrize(
    ("ideal", "bounds", "arrow", "better", "aimed"),
    [
        (1, (-1, 1), "↑", True, "x ↑"),
        (0, (0, None), "↓", False, "x ↓"),
        (1, (0, None), "→ 1", None, "|x - 1| ↓"),
        (0, (None, None), "→ 0", None, "|x - 0| ↓"),
        (None, (0, 1), "", None, "x"),
    ],
)
def test_the_better_side_follows_from_ideal_and_bounds(ideal, bounds, arrow, better, aimed):
    figure = Figure("x", "X", target="driver", ideal=ideal, bounds=bounds, description="")
    assert (figure.arrow, figure.higher_is_better, figure.aimed) == (arrow, better, aimed)


@pytest.mark.parametrize("value", ["0.25", ""])
def test_a_named_metric_has_its_column_whatever_its_figures_say(tmp_path, value):
    run = with_metric(make_run(tmp_path / "named", 1), True, value, ALONE, dataclasses.replace(ALONE, name="second"))
    assert headlines.headlines(run)[-1].name == "alone"
    for table in (leaderboard.leaderboard(run), leaderboard.brief(run)):
        (column,) = [k for k, each in enumerate(table.columns) if each.title == "Alone"]
        assert table.columns[column].group == "extra"
        for row in table.rows():
            assert (row[column].value, row[column].reason) == ((0.25, "") if value else (None, "no weights"))
    run = with_metric(make_run(tmp_path / "default", 1), False, value, ALONE)
    assert "Alone" not in leaderboard.leaderboard(run).text()


def test_what_is_named_does_not_decide_which_run_it_is():
    facts = dict.fromkeys(("protocol", "folders", "controls", "seed", "device"), "")
    named, default = (Request(methods=(), metrics=("akd",), named_metrics=n, **facts) for n in (("akd",), ()))
    assert named.deciding() == default.deciding()
    assert named.deciding()["metrics"] == ("akd",)


def test_of_a_named_metric_with_a_group_the_terminal_shows_the_first_column(tmp_path):
    figures = [
        dataclasses.replace(ALONE, name=name, short=name, group=GROUPS[0], order=order)
        for name, order in (("late", 9), ("soon", 5))
    ]
    run = with_metric(make_run(tmp_path / "run", 1), True, "0.25", *figures)
    shown = [column.title for column in leaderboard.brief(run).columns]
    assert "soon" in shown
    assert "late" not in shown
    titles = [column.title for column in leaderboard.leaderboard(run).columns]
    assert titles.index("soon") < titles.index("late") < titles.index("agreement")


def test_figures_of_a_damaged_run_write_nothing_elsewhere_and_shade_nothing(tmp_path):
    figure = dataclasses.replace(ALONE, name="../../elsewhere", group=GROUPS[0], ideal=1, still=0, heat_map=True)
    run = with_metric(make_run(tmp_path / "run", 1), False, "0.25", figure)
    with pytest.raises(BenchError, match="The table name"):
        write_tables(tmp_path / "run" / "tables", tables_of(run.folder), ["csv"])
    assert not list(tmp_path.rglob("*elsewhere*"))
    stuck = dataclasses.replace(figure, name="stuck", still=1)
    assert "cells_stuck" not in tables_of(with_metric(make_run(tmp_path / "other", 1), False, "0.25", stuck).folder)


def test_a_run_of_an_older_suite_is_one_line(tmp_path):
    path = make_run(tmp_path / "run", 1) / "run.json"
    facts = json.loads(path.read_text())
    del facts["metrics"][0]["figures"][0]["ideal"]
    path.write_text(json.dumps(facts))
    with pytest.raises(BenchError, match=r"metrics\.0\.figures\.0\.ideal.*Rerun the command that created this run"):
        FinishedRun(path.parent)
