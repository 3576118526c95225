"""Runs are compared cell by cell, and comparisons that would mislead are refused."""

import json
import re
import shutil

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from megbench.core.errors import BenchError
from megbench.core.statistics import paired
from megbench.metrics.motion_agreement import pooled_agreement
from megbench.reports.comparison import comparison
from megbench.reports.pooled import paired_pooled
from megbench.reports.run_files import FinishedRun
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
    """Return a section's heading without the marks of its rows."""
    return re.sub(r" \([^)]*\)", "", section.heading)


def rows(table, heading):
    section = next(section for section in table.sections if unmarked(section) == heading)
    return {row[0].value.split()[0]: row for row in section.rows}


def test_a_run_does_not_differ_from_itself(first):
    table = comparison(FinishedRun(first), FinishedRun(first))
    assert [unmarked(section) for section in table.sections][:2] == ["fpfomm", "fomm:mode=absolute"]
    for row in table.rows():
        assert (row[3].value, row[4].value) == (0, 1)
        assert row[5].value in (1, None)
    assert rows(table, "fomm:mode=absolute")["agreement"][-1].value == 3  # one cell failed
    assert rows(table, "fpfomm")["|gain"][0].value == "|gain - 1| ↓"


def test_the_difference_is_the_mean_over_cells(first, second):
    scores = pd.read_csv(second / "scores.csv", keep_default_na=False, dtype="str")
    mine = (scores.method == "fpfomm") & (scores.scope == "cell") & (scores.figure == "agreement")
    scores.loc[mine, "value"] = ["0.1", "0.2", "0.3", "0.4"]
    scores.to_csv(second / "scores.csv", index=False)
    row = rows(comparison(FinishedRun(first), FinishedRun(second)), "fpfomm")["agreement"]
    assert [entry.value for entry in row[1:4]] == pytest.approx([0.8, 0.25, 0.55])
    assert row[4].value == 0.5  # with two drivers, both signs agree in 2 of the 4 sign flips
    assert row[-1].value == 4


def test_pooled_agreement_is_pooled_over_the_shared_cells(second):
    """Pooled agreement is the leaderboard's number, neither a mean over cells nor the cell's figure of that name."""
    sums = [{"driver": [4.0, 4.0, 4.0]}, {"driver": [0.0, 9.0, 1.0]}, {"driver": [3.0, 9.0, 4.0]}, {}]
    for cell, kept in zip(FinishedRun(second).facts.cells, sums, strict=True):
        path = second / "partials" / "fpfomm" / f"{cell.name}.json"
        facts = json.loads(path.read_text())
        facts["motion_agreement"]["sums"] = kept
        path.write_text(json.dumps(facts))
    row = rows(comparison(FinishedRun(second), FinishedRun(second), ("fpfomm", "flow_warp")), "fpfomm - flow_warp")[
        "agreement_pooled"
    ]
    # The last cell's driver does not move, so its metric has no sums to pool.
    assert row[1].value == pytest.approx(pooled_agreement([kept["driver"] for kept in sums[:3]]))
    assert row[2].value == pytest.approx(0.95)
    assert row[3].value == pytest.approx(row[1].value - 0.95)
    assert row[-1].value == 3


@settings(max_examples=20)
@given(st.lists(st.tuples(st.floats(-0.9, 0.9), st.floats(-0.9, 0.9)), min_size=5, max_size=7))
def test_pooled_differences_of_alike_cells_are_tested_as_means_are(values):
    """If cells have equal motion, pooling amounts to averaging, so the interval and p must equal those of the mean."""
    cells = {f"c{i}": pair for i, pair in enumerate(values)}
    first, second = ({cell: pair[k] for cell, pair in cells.items()} for k in (0, 1))
    of_drivers = {cell: cell for cell in cells}
    expected = paired(first, second, of_drivers)
    one, other, found = paired_pooled(
        *({cell: [value, 1.0, 1.0] for cell, value in of.items()} for of in (first, second)), of_drivers
    )
    assert one - other == pytest.approx(expected.difference.value, abs=1e-12)
    assert found.p == pytest.approx(expected.p)
    assert (found.difference.low, found.difference.high) == pytest.approx(
        (expected.difference.low, expected.difference.high), abs=1e-9
    )


def test_a_gain_changes_neither_pooled_difference_nor_its_interval_nor_its_p():
    of_drivers = {f"c{i}": f"c{i}" for i in range(7)}
    better, worse = ({cell: [0.1 * at + i / 50, 1.0 + i, 1.0] for i, cell in enumerate(of_drivers)} for at in (6, 3))
    weak = {cell: [0.25 * product, 0.0625 * own, theirs] for cell, (product, own, theirs) in worse.items()}
    plain, scaled = (paired_pooled(better, other, of_drivers)[2] for other in (worse, weak))
    assert plain.p == 2 / 2**7
    assert scaled.p == plain.p
    assert scaled.difference.low == pytest.approx(plain.difference.low)


def test_gain_is_compared_by_its_distance_from_1(second):
    scores = pd.read_csv(second / "scores.csv", keep_default_na=False, dtype="str")
    gain = (scores.scope == "cell") & (scores.figure == "gain")
    scores.loc[gain & (scores.method == "fpfomm"), "value"] = ["0.9", "1.1", "0.9", "1.1"]
    scores.loc[gain & (scores.method == "flow_warp"), "value"] = "1.4"
    scores.to_csv(second / "scores.csv", index=False)
    row = rows(comparison(FinishedRun(second), FinishedRun(second), ("fpfomm", "flow_warp")), "fpfomm - flow_warp")[
        "|gain"
    ]
    assert [entry.value for entry in row[1:4]] == pytest.approx([0.1, 0.4, -0.3])


def test_headline_figures_are_corrected_as_the_leaderboards_groups_and_others_say_that_they_are_not(tmp_path):
    run = FinishedRun(make_run(tmp_path / "run", 1, drivers=9))
    table = comparison(run, run, ("fpfomm", "flow_warp"))
    found = rows(table, "fpfomm - flow_warp")
    for name in ("agreement", "|gain", "error"):
        assert found[name][4].value == found[name][5].value == 2 / 512
    assert found["identity_distance"][4].value == 2 / 512
    assert found["identity_distance"][5].value is None
    assert found["agreement_pooled"][4].value == 2 / 512
    assert "not corrected: only agreement, gain, error are" in table.text()
    assert "No test could separate" not in table.text()
    assert "0.15" in found["agreement"][3].remark


def test_too_few_drivers_are_said_with_what_can_be_said_still(first):
    text = comparison(FinishedRun(first), FinishedRun(first), ("fpfomm", "flow_warp")).text()
    assert (
        "No test could separate these rows after Holm's correction (2 drivers, 1 pair: p cannot go below 0.500)" in text
    )
    assert "no interval" in text


def test_two_rows_of_one_run(first):
    table = comparison(FinishedRun(first), FinishedRun(first), ("flow_warp", "fpfomm"))
    row = rows(table, "flow_warp - fpfomm")["agreement"]
    assert row[3].value == pytest.approx(0.15)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda f: f["metrics"][0].update(version="2"), "Metric versions differ: motion_agreement 1 and 2"),
        (lambda f: f["cells"].pop(), "The cells differ: only one run has d2__tb"),
        (
            lambda f: f["cells"][0].update(apex_frame=0),
            r"Cells differ between the runs: d1__ta\. d1__ta differs in apex_frame \(\d+ and 0\)",
        ),
        (lambda f: f["protocol"].update(version="2"), "The protocols differ: demo 1 and demo 2"),
        (lambda f: f.update(metrics=[]), "share no metric"),
        (lambda f: [m.update(label=f"x{i}") for i, m in enumerate(f["methods"])], "share no row"),
    ],
)
def test_runs_that_differ_otherwise_are_refused(first, second, change, said):
    edit(second, change)
    with pytest.raises(BenchError, match=said) as stop:
        comparison(FinishedRun(first), FinishedRun(second))
    assert "\n" not in str(stop.value)


def test_rows_that_are_not_there_are_named(first):
    with pytest.raises(BenchError, match="Did you mean 'fpfomm'"):
        comparison(FinishedRun(first), FinishedRun(first), ("fpfom",))
    with pytest.raises(BenchError, match="--methods a,b,c: name one row, or the two to compare"):
        comparison(FinishedRun(first), FinishedRun(first), ("a", "b", "c"))


def test_figures_without_a_headline_are_compared_where_there_is_no_other(first, second):
    def only_mine(facts):
        metric = facts["metrics"][0]
        facts["metrics"] = [{**metric, "figures": [{**metric["figures"][0], "name": "mine"}]}]

    edit(second, only_mine)
    scores = (second / "scores.csv").read_text().replace(",agreement,", ",mine,")
    (second / "scores.csv").write_text(scores)
    assert set(rows(comparison(FinishedRun(second), FinishedRun(second)), "fpfomm")) == {"mine"}


def test_the_command_prints_and_writes_the_table(call, first):
    code, out, err = call("compare", first, first, "--methods", "fpfomm,flow_warp", "--out", "tables")
    assert code == 0, err
    assert "fpfomm (demo weights) - flow_warp" in out
    assert "-0.150" in out
    assert "tables/comparison.tex" in out
    code, _, err = call("compare", first, "nowhere")
    assert code == 2
    assert err.count("\n") == 1
