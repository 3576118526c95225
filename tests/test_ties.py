"""Rows that cannot be told apart, intervals over few drivers, and figures that no row has."""

import shutil

import pandas as pd
import pytest

from megbench.reports import headlines, leaderboard
from megbench.reports.export import tables_of
from megbench.reports.heat_map import heat_maps
from megbench.reports.html import Pictures, write_report
from megbench.reports.intervals import compared, differences_table, groups, intervals
from megbench.reports.run_files import FinishedRun
from tests.report_fixture import LABELS, make_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("two") / "run", 1)


@pytest.fixture(scope="module")
def nine(tmp_path_factory):
    """Make a run on nine drivers. fpfomm's agreement on them is 0.72, 0.74 ... 0.88, and 0.8 on average."""
    folder = make_run(tmp_path_factory.mktemp("nine") / "run", 1, drivers=9)
    scores = pd.read_csv(folder / "scores.csv", keep_default_na=False)
    mine = (scores["scope"] == "cell") & (scores["figure"] == "agreement") & (scores["method"] == "fpfomm")
    scores.loc[mine, "value"] = [f"{0.7 + 0.02 * int(driver[1:])}" for driver in scores.loc[mine, "driver"]]
    scores.to_csv(folder / "scores.csv", index=False)
    return folder


def test_intervals_hold_the_mean_and_need_five_drivers(nine, tmp_path):
    folder = shutil.copytree(nine, tmp_path / "run")
    scores = pd.read_csv(folder / "scores.csv", keep_default_na=False)
    opened = FinishedRun(folder)
    low, high = intervals(opened, "agreement")["fpfomm"]
    assert low < 0.8 < high
    (row,) = [row for row in leaderboard.leaderboard(opened).rows() if row[0].value == "fpfomm"]
    assert row[2].interval == (low, high)
    assert "whisker" in leaderboard.leaderboard(opened).html()
    four = scores[(scores["scope"] != "cell") | (scores["driver"] < "d5")]
    four.to_csv(folder / "scores.csv", index=False)
    assert intervals(FinishedRun(folder), "agreement") == {}
    assert "whisker" not in leaderboard.leaderboard(FinishedRun(folder)).html()


def test_rows_that_no_test_could_separate_say_so_and_what_can(run, nine):
    found = groups(compared(FinishedRun(run), "agreement"))
    assert set(found) == set(LABELS)
    for entry in found.values():
        assert entry.value is None
        assert entry.reason == "2 drivers, 3 pairs: p cannot go below 1.000"
    assert groups(compared(FinishedRun(run), "no_such_figure")) == {}
    assert "2 drivers, 3 pairs: p cannot go below 1.000" in leaderboard.leaderboard(FinishedRun(run)).text()
    page = write_report(run, Pictures.none).read_text(encoding="utf-8")
    assert "Paired differences in agreement" in page
    assert "No test could separate these rows" in page
    found = groups(compared(FinishedRun(nine), "agreement"))
    assert {label: entry.value for label, entry in found.items()} == {
        "flow_warp": "1",
        "fpfomm": "2",
        "fomm:mode=absolute": "3",
    }
    table = differences_table(FinishedRun(nine), "agreement")
    assert "No test could" not in table.text()
    first = next(iter(table.rows()))
    assert first[0].value == "flow_warp - fpfomm"
    low, high = map(float, first[1].remark.split(" to "))
    assert first[1].value == pytest.approx(0.15)
    assert low < 0.15 < high
    assert [entry.value for entry in first[2:]] == [2 / 512, 6 / 512, 18, 9]


def test_what_a_still_driver_has_not_is_absent_with_its_reason_everywhere(tmp_path):
    """The columns remain, so that readers of the terminal or CSV file know that these figures were measured."""
    folder = make_run(tmp_path / "run", 1)
    scores = pd.read_csv(folder / "scores.csv", keep_default_na=False)
    motion = scores["metric"] == "motion_agreement"
    scores.loc[motion, ["value", "status", "reason"]] = ["", "unavailable", "nothing moves in the driver"]
    still = scores["method"] == "still"
    scores.loc[motion & still & (scores["figure"] == "agreement_pooled"), "reason"] = "no cell"
    scores.to_csv(folder / "scores.csv", index=False)
    opened = FinishedRun(folder)
    for text in (leaderboard.brief(opened).text(), tables_of(folder)["leaderboard"].csv()):
        head = text.splitlines()[0]
        assert all(figure in head for figure in headlines.FAMILY)
        assert "pooled agr." not in head
        assert "Left out: pooled agr.: no cell (still); nothing moves in the driver (all other rows)." in text
        assert "nothing moves in the driver" in text.partition("Left out")[0]
    assert not [name for name, _ in heat_maps(opened) if name in headlines.FAMILY]
