"""Table 1 is correct to the last digit, with its intervals and groups; hostile names stay text in every format."""

import csv
import io
import re

import numpy as np
import pytest

from megbench.core.statistics import paired
from megbench.experts.judgements import FILE, Judgement, drivers, means, write_judgements
from megbench.reports.experts import add_up, agreement_table, gap, pairs_table, table_one
from megbench.reports.export import FORMS, experts_tables, write_tables
from megbench.reports.leaderboard import leaderboard
from megbench.reports.published import published as published_figures
from megbench.reports.published import reported_table
from megbench.reports.run_files import FinishedRun
from megbench.reports.table import Column, Entry, Section, Table
from tests.expert_sheets import published
from tests.report_fixture import HOSTILE, make_run

PUBLISHED = published()
HOSTILES = [HOSTILE, '=cmd|" /C calc"!A0', "@SUM(1)", "+1", "-1", r"\input{/etc/passwd} & 50% $x$ #_{}~^", "[a]*--`"]


def test_table_one_to_the_last_digit():
    found = add_up(PUBLISHED)
    assert found.methods == ["3295", "3282", "3320", "3311"]
    assert found.totals.tolist() == [[139, 101, 76], [140, 107, 56], [104, 66, 66], [85, 51, 37]]
    assert found.overall.tolist() == [316, 303, 236, 173]
    assert [f"{v.value:.6f}" for v in found.normalised] == ["2.936782", "2.736842", "2.228101", "1.570620"]
    assert [f"{v.value:.3f}" for v in found.of_perfect] == ["1.951", "1.870", "1.457", "1.068"]
    assert [f"{v.value:.2f}" for v in found.per_video] == ["5.85", "5.61", "4.37", "3.20"]
    text = table_one(PUBLISHED).text()
    assert all(number in text for number in ("2.937", "2.737", "2.228", "1.571"))
    assert "depends on the methods in the table" in text


def test_the_table_says_that_two_of_its_columns_are_sums_over_experts():
    def text(experts):
        return table_one([j for j in PUBLISHED if j.expert in experts]).text()

    assert "normalised by the best (0 to 3) ↑" in text(("E1", "E2", "E3"))
    assert "of perfect (0 to 3) ↑" in text(("E1", "E2", "E3"))
    assert "(9 per video), summed over 3 experts; 3 is perfect." in text(("E1", "E2", "E3"))
    assert "(9 per video), summed over 1 expert; 1 is perfect." in text(("E1",))


def bold(judgements):
    """Return the names of the methods that have a bold number in each column of Table 1."""
    head, _, *rows = (line.split(" | ") for line in table_one(judgements).markdown().splitlines() if line[:1] == "|")
    names = [column.partition(" (")[0].strip(" ↑") for column in head]
    return {name: [r[0].strip("| ") for r in rows if "**" in r[at]] for at, name in enumerate(names)}


def test_every_best_row_is_bold():
    """With intervals beside the values, and if two methods have the same sums from different experts."""
    best = {column: ["3295"] for column in ("E3", "overall", "normalised by the best", "of perfect", "mean per video")}
    assert {column: rows for column, rows in bold(PUBLISHED).items() if rows} == best | {"E1": ["3282"], "E2": ["3282"]}
    scores = {"E1": (0, 2), "E2": (2, 1), "E3": (1, 0)}
    two = [Judgement(m, "d", "t", e, 1, 2, each[k]) for e, each in scores.items() for k, m in enumerate("ab")]
    for column in ("overall", "of perfect", "mean per video"):
        assert bold(two)[column] == ["a", "b"], column
    fewer = bold([*two, Judgement("a", "d2", "t", "E1", 3, 3, 3)])
    assert fewer["mean per video"] == [], "means over different videos are not compared"


def test_the_experts_agree_moderately():
    row = next(row for row in agreement_table(PUBLISHED).rows() if row[0].value == "sum")
    assert [entry.shown(2) for entry in row[1:4]] == ["0.31", "0.50", "0.75"]
    assert row[5].value == 72


def test_the_winners_lead_is_within_the_noise():
    values = means(PUBLISHED)
    found = paired(values["3295"], values["3282"], drivers(PUBLISHED))
    assert found.difference.value == pytest.approx((316 - 303) / 54)
    assert found.difference.low < 0 < found.difference.high
    assert (found.difference.n, found.difference.n_clusters) == (18, 9)
    assert "includes 0" in gap(PUBLISHED)
    groups = {row[0].value: row[-1].value for row in table_one(PUBLISHED).rows()}
    assert groups["3295"] == groups["3282"] != groups["3311"]


def test_intervals_hold_their_value_and_stay_in_the_scale():
    found = add_up(PUBLISHED)
    bounds = ((found.normalised, 3), (found.of_perfect, 3), (found.per_video, 9))
    for intervals, most in bounds:
        assert all(0 <= i.low < i.value <= i.high <= most + 1e-12 for i in intervals)
    rng = np.random.default_rng(0)
    shuffled = [PUBLISHED[i] for i in rng.permutation(len(PUBLISHED))]
    again = {m: i.value for m, i in zip(add_up(shuffled).methods, add_up(shuffled).normalised, strict=True)}
    assert again == {m: pytest.approx(i.value) for m, i in zip(found.methods, found.normalised, strict=True)}


def test_who_is_in_the_table_changes_the_first_normalisation_only():
    without = add_up([j for j in PUBLISHED if j.method != "3282"])
    assert without.normalised[0].value == 3
    assert without.per_video[0] == add_up(PUBLISHED).per_video[0]


def test_a_missing_judgement_leaves_its_totals_open_and_nobody_elses():
    found = add_up(PUBLISHED[1:])
    assert np.isnan(found.totals).sum() == 1
    assert found.normalised[0].value is None
    assert [f"{v.value:.6f}" for v in found.normalised[1:]] == ["2.736842", "2.228101", "1.570620"]
    assert found.per_video[0].n == 53
    assert "an expert did not judge all videos" in table_one(PUBLISHED[1:]).text()


def test_one_method_and_one_driver_have_a_table_without_intervals():
    judgements = [Judgement("m", "d", template, "e", 1, 2, 3) for template in ("a", "b")]
    text = table_one(judgements).text()
    assert "no interval" in text
    assert " to " not in text.splitlines()[2]
    assert gap(judgements) == ""
    assert "fewer than two items" in agreement_table(judgements).text()


def test_all_forms_are_written_and_show_the_same_numbers(tmp_path):
    paths = write_tables(tmp_path, experts_tables(PUBLISHED))
    assert len(paths) == 3 * len(FORMS)
    for path in tmp_path.glob("table_1.*"):
        text = path.read_text()
        assert "2.93" in text
        assert "1.57" in text
    page = (tmp_path / "table_1.html").read_text()
    assert "default-src 'none'" in page
    assert not re.search(r"(src|href)=", page)


@pytest.mark.parametrize("name", HOSTILES)
def test_hostile_names_stay_text_in_every_form(name):
    judgements = [Judgement(m, f"d{i}", "t", name, i % 4, 1, 2) for m in (name, "fine") for i in range(4)]
    for table in (table_one(judgements), pairs_table(judgements)):
        assert "<script" not in table.html() + table.markdown()
        assert "<img" not in table.html() + table.markdown()
        for row in csv.reader(io.StringIO(table.csv())):
            for field in row:
                assert not field.startswith(("=", "@", "+", "-", "\t", "\r")) or re.fullmatch(r"-?[\d.e-]+", field)


def test_the_leaderboard_of_a_judged_run_has_the_experts_means(tmp_path):
    run = make_run(tmp_path / "run", 3)
    before = leaderboard(FinishedRun(run))
    scores = {("E1", "ta"): (0, 2, 3), ("E2", "ta"): (2, 2, 3), ("E1", "tb"): (1, 2, 3)}
    judged = [Judgement("fpfomm", "d1", template, expert, *each) for (expert, template), each in scores.items()]
    write_judgements(run / FILE, judged)
    after = leaderboard(FinishedRun(run))
    assert [column.title for column in after.columns[len(before.columns) :]] == ["upper", "lower", "noise", "sum"]
    rows = {row[0].value: row[-4:] for row in after.rows()}
    assert [(entry.value, entry.remark) for entry in rows["fpfomm"]] == [(1, "2/4"), (2, "2/4"), (3, "2/4"), (6, "2/4")]
    assert {entry.reason for label in ("flow_warp", "still") for entry in rows[label]} == {"not judged"}


def commands_in(latex):
    return set(re.findall(r"\\([A-Za-z]+|.)", latex))


@pytest.mark.parametrize("name", HOSTILES)
def test_latex_holds_no_command_of_a_name(name):
    def table(text):
        return Table(text, (Column(text), Column("a")), (Section(text, ((Entry(text), Entry(None, text)),)),), (text,))

    mine = commands_in(table("plain").latex()) | {"textemdash"}
    escapes = {"textbackslash", "textasciitilde", "textasciicircum", "textasciigrave", "textless", "textgreater"}
    assert commands_in(table(name).latex()) <= mine | escapes | {"textbar", *"&%$#_{}"}
    body = table(name).latex().split("\\midrule")[1]
    assert body.count(" & ") == body.count(r" \\") - 1  # one line break for the section's heading, none for a name
    assert not re.search(r"(?<!\\)[%$#~^]", re.sub(r"\\text\w+\{\}", "", body))


def test_reported_figures_are_always_marked_and_agree_with_the_judgements():
    rows = list(reported_table().rows())
    assert {row[2].value for row in rows} == {"reported"}
    of_2021 = next(group for group in published_figures().groups if group.paper == "megc2021")
    assert list(of_2021.values.values()) == [f"{v.value:.6f}" for v in add_up(PUBLISHED).normalised]
    text = reported_table().text()
    assert "70.92" in text
    assert "3.7167" in text


def test_the_reported_means_over_databases_are_those_of_the_databases():
    groups = {group.figure: group.values for group in published_figures().groups if group.paper == "tpsrau"}
    for method in ("FOMM-MEGC2021", "FMEG-TPSRAU"):
        parts = [float(groups[f"human score, {database}"][method]) for database in ("CASME II", "SAMM", "SMIC")]
        assert np.mean(parts) == pytest.approx(float(groups["human score, mean over databases"][method]), abs=5e-5)
