"""Comparisons of runs: differences by cell, refused where they would mislead."""

import json
import re
import shutil

import pandas as pd
import pytest

from core.errors import BenchError
from reports.comparison import comparison
from reports.run_files import Run
from tests.report_fixture import make_run


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("a") / "run", frames=2)


@pytest.fixture
def second(first, tmp_path):
    return shutil.copytree(first, tmp_path / "second")


def edit(run, change):
    facts = json.loads((run / "run.json").read_text())
    change(facts)
    (run / "run.json").write_text(json.dumps(facts))


def unmarked(section):
    """A section's heading without the marks of its rows."""
    return re.sub(r" \([^)]*\)", "", section.heading)


def rows(table, heading):
    section = next(section for section in table.sections if unmarked(section) == heading)
    return {row[0].value.split()[0]: row for row in section.rows}


def test_a_run_does_not_differ_from_itself(first):
    table = comparison(Run(first), Run(first))
    assert [unmarked(section) for section in table.sections][:2] == ["fpfomm", "fomm:mode=absolute"]
    for row in table.rows():
        assert (row[3].value, row[4].value, row[5].value) == (0, 1, 1)
    assert rows(table, "fomm:mode=absolute")["agreement"][-1].value == 3  # one cell failed
    assert "agreement_pooled" not in rows(table, "fpfomm")


def test_the_difference_is_the_mean_over_cells(first, second):
    scores = pd.read_csv(second / "scores.csv", keep_default_na=False, dtype="str")
    mine = (scores.method == "fpfomm") & (scores.scope == "cell") & (scores.figure == "agreement")
    scores.loc[mine, "value"] = ["0.1", "0.2", "0.3", "0.4"]
    scores.to_csv(second / "scores.csv", index=False)
    row = rows(comparison(Run(first), Run(second)), "fpfomm")["agreement"]
    assert [entry.value for entry in row[1:4]] == pytest.approx([0.8, 0.25, 0.55])
    assert row[4].value == 0.5  # two drivers: both signs agree in 2 of 4 flips
    assert row[-1].value == 4


def test_what_is_pooled_over_cells_is_not_compared_by_cell(second):
    """Pooled over one cell it is another number than the leaderboard's of that name."""
    scores = pd.read_csv(second / "scores.csv", keep_default_na=False, dtype="str")
    of_cells = (scores.scope == "cell") & (scores.figure == "agreement_pooled")
    assert of_cells.any()
    scores.loc[of_cells, ["value", "status"]] = ["0.5", "ok"]
    scores.to_csv(second / "scores.csv", index=False)
    assert "agreement_pooled" not in rows(comparison(Run(second), Run(second)), "fpfomm")


def test_two_rows_of_one_run(first):
    table = comparison(Run(first), Run(first), ("flow_warp", "fpfomm"))
    row = rows(table, "flow_warp - fpfomm")["agreement"]
    assert row[3].value == pytest.approx(0.15)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda f: f["metrics"][0].update(version="2"), "Metric versions differ: motion_agreement 1 and 2"),
        (lambda f: f["cells"].pop(), "The cells differ: d2__tb in one run only"),
        (
            lambda f: f["cells"][0].update(apex_frame=0),
            r"known of them: d1__ta\. In d1__ta it is apex_frame \(\d+ and 0\)",
        ),
        (lambda f: f["protocol"].update(version="2"), "The protocols differ: demo 1 and demo 2"),
        (lambda f: f.update(metrics=[]), "share no metric"),
        (lambda f: [m.update(label=f"x{i}") for i, m in enumerate(f["methods"])], "share no row"),
    ],
)
def test_runs_that_differ_otherwise_are_refused(first, second, change, said):
    edit(second, change)
    with pytest.raises(BenchError, match=said) as stop:
        comparison(Run(first), Run(second))
    assert "\n" not in str(stop.value)


def test_rows_that_are_not_there_are_named(first):
    with pytest.raises(BenchError, match="Did you mean 'fpfomm'"):
        comparison(Run(first), Run(first), ("fpfom",))
    with pytest.raises(BenchError, match="name one row, or two"):
        comparison(Run(first), Run(first), ("a", "b", "c"))


def test_figures_without_a_headline_are_compared_where_there_is_no_other(first, second):
    def only_mine(facts):
        metric = facts["metrics"][0]
        facts["metrics"] = [{**metric, "figures": [{**metric["figures"][0], "name": "mine"}]}]

    edit(second, only_mine)
    scores = (second / "scores.csv").read_text().replace(",agreement,", ",mine,")
    (second / "scores.csv").write_text(scores)
    assert set(rows(comparison(Run(second), Run(second)), "fpfomm")) == {"mine"}


def test_the_command_prints_and_writes_the_table(call, first):
    code, out, err = call("compare", first, first, "--methods", "fpfomm,flow_warp", "--out", "tables")
    assert code == 0, err
    assert "fpfomm (demo weights) - flow_warp" in out
    assert "-0.150" in out
    assert "tables/comparison.tex" in out
    code, _, err = call("compare", first, "nowhere")
    assert code == 2
    assert err.count("\n") == 1
