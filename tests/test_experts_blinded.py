"""Sheets for a user's own experts reveal no method, and are read as judgements of the correct outputs."""

import json
import random
import shutil

import openpyxl
import pytest

import bench
from megbench.core.errors import BenchError
from megbench.core.installation import ROOT
from megbench.engine.seal import faults, seal
from megbench.experts.judgements import FILE, read_judgements
from megbench.reports.metric_agreement import metrics_against_experts
from megbench.reports.run_files import FinishedRun
from tests.report_fixture import HOSTILE, LABELS, make_judged_run


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_judged_run(tmp_path_factory.mktemp("run") / "run", frames=3)


@pytest.fixture
def run(made, tmp_path):
    return shutil.copytree(made, tmp_path / "run")


def fill(sheet, score):
    """Write scores into a sheet: `score(code)` returns upper, lower and noise."""
    book = openpyxl.load_workbook(sheet)
    page = book["scores"]
    for row in page.iter_rows(min_row=6):
        for cell, value in zip(row[6:9], score(row[0].value), strict=True):
            cell.value = value
    book.save(sheet)
    return sheet


def key_of(run, expert):
    return json.loads((run / "experts" / f"{expert}.key.json").read_text())


def test_a_sheet_reveals_no_method_and_names_stay_text(call, run):
    code, _, err = call("experts", "sheet", run, "--expert", "anna,ben")
    assert code == 0, err
    folder = run / "experts" / "anna"
    book = openpyxl.load_workbook(folder / "sheet.xlsx")
    cells = [cell for page in book for row in page.iter_rows() for cell in row if cell.value is not None]
    words = " ".join(str(cell.value) for cell in cells)
    files = " ".join(str(path.relative_to(folder)) for path in folder.rglob("*"))
    assert not any(label in words + files for label in LABELS)
    assert HOSTILE in words
    assert {cell.data_type for cell in cells} == {"s"}
    codes = key_of(run, "anna")["codes"]
    assert sorted(path.stem for path in folder.glob("videos/*.mp4")) == sorted(codes)
    assert len(codes) == 3 * 4 - 1  # one output failed
    assert list(codes) != list(key_of(run, "ben")["codes"])
    assert not (set(codes) & set(key_of(run, "ben")["codes"]))
    order = [(output["method"], output["driver"]) for output in codes.values()]
    assert order != sorted(order, key=lambda pair: list(LABELS).index(pair[0]))
    code, _, err = call("experts", "sheet", run, "--expert", "anna")
    assert code == 2
    assert "the expert may be scoring the videos" in err


def test_filled_in_sheets_become_the_runs_judgements(call, run, tmp_path):
    call("experts", "sheet", run, "--expert", "anna,ben", "--methods", "fpfomm,flow_warp,still")
    points = {"fpfomm": 1, "flow_warp": 2, "still": 0}

    def filled(expert, bonus):
        codes = key_of(run, expert)["codes"]
        folder = shutil.copytree(run / "experts" / expert, tmp_path / expert)
        return fill(folder / "sheet.xlsx", lambda code: (points[codes[code]["method"]] + bonus, 0, bonus))

    sheets = [filled("anna", 1), filled("ben", 0)]
    seal(run)
    code, out, err = call("experts", "import", *sheets, "--run", run)
    assert code == 0, err
    assert faults(run) == []  # the seal includes the judgements
    judgements = read_judgements(run / FILE)
    assert len(judgements) == 2 * 3 * 4
    assert {(j.method, j.expert): j.upper for j in judgements}["flow_warp", "anna"] == 3
    assert "flow_warp" in out.splitlines()[2]

    code, out, err = call("experts", "import", sheets[0], "--run", run)
    assert len(read_judgements(run / FILE)) == 24  # a second import replaces anna's scores and keeps Ben's
    assert "Note: Replaced 12 earlier judgements of the same outputs by anna" in err

    code, out, err = call("experts", "agreement", run)
    assert code == 0, err
    lines = {line.split(" ")[0]: line.split() for line in out.splitlines() if line}
    assert [lines["agreement"][at] for at in (2, -4, -3, -2, -1)] == ["1.00", "12", "1.00", "(of", "12)"]
    assert lines["identity_distance"][2] == "1.00"  # lower is better and it falls with quality
    assert lines["|gain"][4] == "1.00"  # by its distance from 1
    assert lines["agreement_pooled"][2] == "1.00"
    assert "3" in lines["agreement_pooled"]  # rows
    assert "all pairs are of the same two rows" not in out
    assert len(out.splitlines()) < 30

    code, out, err = call("report", run, "--latex", "--csv", "--markdown")
    assert code == 0, err
    names = {path.name for path in (run / "tables").iterdir()}
    assert {
        "leaderboard.tex",
        "leaderboard.csv",
        "leaderboard.md",
        "table_1.tex",
        "metrics_against_experts.md",
    } <= names
    assert {"reported.csv", "cells_agreement.tex", "by_database.md"} <= names
    page = (run / "report.html").read_text()
    assert 'id="experts"' in page
    assert "do not compare these numbers with those above" in page.lower()
    for path in (run / "tables").iterdir():
        if path.suffix != ".csv":
            assert "<script" not in path.read_text()


def faulty(run, tmp_path, change):
    """Return anna's sheet, filled in and then changed by `change(page)`."""
    sheet = fill(run / "experts" / "anna" / "sheet.xlsx", lambda code: (1, 1, 1))
    book = openpyxl.load_workbook(sheet)
    change(book["scores"])
    book.save(sheet)
    return sheet


def set_cell(place, value):
    def change(page):
        page[place] = value

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (set_cell("A6", "nocode"), "the code 'nocode' does not belong to this sheet"),
        (lambda page: set_cell("A7", page["A6"].value)(page), "appears twice. Remove one"),
        (set_cell("H8", 5), "anna/sheet.xlsx row 8: lower is '5'"),
        (set_cell("A5", "Kode"), "headings code, upper, lower and noise are missing"),
        (set_cell("A1", "MEG-Bench expert sheet 0123"), "is sheet 0123, for which"),
    ],
)
def test_a_sheet_that_was_tampered_with_is_refused(call, run, tmp_path, change, said):
    call("experts", "sheet", run, "--expert", "anna")
    code, _, err = call("experts", "import", faulty(run, tmp_path, change), "--run", run)
    assert code == 2
    assert said in err
    assert "Traceback" not in err
    assert not (run / FILE).exists()


def test_scores_of_frames_that_changed_since_are_refused(call, run):
    call("experts", "sheet", run, "--expert", "anna")
    sheet = fill(run / "experts" / "anna" / "sheet.xlsx", lambda code: (1, 1, 1))
    path = run / "cells" / "fpfomm" / "d1__ta" / "cell.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "content": "other"}))
    code, _, err = call("experts", "import", sheet, "--run", run)
    assert code == 2
    assert "has changed since it was judged" in err
    code, _, err = call("experts", "import", sheet)
    assert code == 2
    assert "Add --run" in err


def test_blank_rows_are_a_warning(call, run):
    call("experts", "sheet", run, "--expert", "anna")
    blank = random.Random(0).choice(list(key_of(run, "anna")["codes"]))
    sheet = fill(
        run / "experts" / "anna" / "sheet.xlsx", lambda code: (None, None, None) if code == blank else (1, 1, 1)
    )
    code, _, err = call("experts", "import", sheet, "--run", run)
    assert code == 0
    assert f"no score for upper, lower, noise: {blank} is left out" in err
    assert len(read_judgements(run / FILE)) == 10


def test_a_run_without_judgements_says_what_to_do(call, run):
    code, _, err = call("experts", "agreement", run)
    assert code == 2
    assert "Import expert sheets first" in err
    with pytest.raises(BenchError, match="no output of this run was judged"):
        metrics_against_experts(FinishedRun(run), [])


def test_import_prints_table_one(call):
    path = bench.__file__.replace("bench.py", "reports/published/megc2021_experts.csv")
    code, out, err = call("experts", "import", path, "--out", "tables")
    assert code == 0, err
    assert "2.937 (2.655 to 3.000)" in out
    assert "includes 0" in out
    assert "sum          0.31        0.50        0.75" in out
    code, _, err = call("experts", "import", "none.csv")
    assert code == 2
    assert err.count("\n") == 1


def test_sheets_of_one_expert_add_up_whether_they_come_together_or_one_by_one(call, run, tmp_path):
    head = "method,driver,template,expert,upper,lower,noise\n"
    for team, score in (("fpfomm", 1), ("flow_warp", 2), ("fpfomm", 3)):
        sheet = tmp_path / "sheet.csv"
        sheet.write_text(f"{head}{team},d1,ta,E1,{score},{score},{score}\n")
        code, _, err = call("experts", "import", sheet, "--run", run)
        assert code == 0, err
    assert {(each.method, each.upper) for each in read_judgements(run / FILE)} == {("fpfomm", 3), ("flow_warp", 2)}
    assert "Note: Replaced 1 earlier judgement of the same outputs by E1" in err


def test_the_published_judgements_fit_a_run_that_has_a_part_of_them(call, run, tmp_path):
    """Rows that match the run are imported, other rows are counted, and the page shows the judgements."""
    mapping = tmp_path / "names.yaml"
    mapping.write_text(
        "methods: {3295: fpfomm, 3311: flow_warp}\ndrivers: {SAMM positive: d1}\ntemplates: {westernMale: ta}\n"
    )
    (run / "report.html").write_text("old")
    seal(run)
    sheet = ROOT / "reports" / "published" / "megc2021_experts.csv"
    code, out, err = call("experts", "import", sheet, "--run", run, "--mapping", mapping)
    assert code == 0, err
    assert out.count("Not the published model") == 1, "all tables have this footnote; the last one shows it"
    assert out.index("ICC(2,1)") < out.index("Not the published model")
    assert "Did you mean" not in err
    assert "210 rows left out" in err
    assert "method 3282 (54 rows)" in err
    assert len(read_judgements(run / FILE)) == 6
    assert 'id="experts"' in (run / "report.html").read_text(encoding="utf-8")
    assert faults(run) == []
    code, out, err = call("experts", "agreement", run)
    assert code == 0, err
    assert "Warning: all pairs are of the same two rows, flow_warp and fpfomm" in out
    assert "2 rows with a pooled figure; an order needs at least 3" in out
    assert "no interval" in out
    code, _, err = call("experts", "import", sheet, "--run", run)
    assert code == 2
    assert "Nothing was imported: the run has no method 3295 (54 rows)" in err
    assert err.count("method 3295") == 1
