"""How magnifying motion around a method changes its scores: sentences in the report, and docs/magnified.md."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from megbench.commands.magnified_page import GUIDE, HEAD, PAGE, page
from megbench.core.errors import BenchError
from megbench.reports.html import Pictures, write_report
from megbench.reports.magnified import ALIKE, KEY, _verdict, magnified_table, pairs, reading
from megbench.reports.run_files import FinishedRun
from tests.report_fixture import make_run

SCORES = st.tuples(st.floats(-1, 1), st.floats(-2, 2), st.floats(0, 3))


def magnified_run(folder, factor=4.0, **others):
    """Return the fixture's run, changed so that its second row is the first row with magnified motion."""
    make_run(folder, 1)
    facts = json.loads((folder / "run.json").read_text())
    plain, row = facts["methods"][:2]
    plain["identity"] = {"weights": "w", "source": "1", "packages": {}}
    row |= {"name": plain["name"], "variant": plain.get("variant", "")}
    row["identity"] = {**plain["identity"], "source": "2", "magnify": {"factor": factor}, **others}
    (folder / "run.json").write_text(json.dumps(facts))
    return FinishedRun(folder)


def test_a_row_stands_beside_its_method(tmp_path):
    run = magnified_run(tmp_path / "run")
    assert [(pair.plain, pair.label, pair.factor) for pair in pairs(run)] == [("fpfomm", "fomm:mode=absolute", 4)]
    table = magnified_table(run)
    assert table.names()[:3] == ["method", "K = 1 (agreement)", "K = 4 (agreement)"]
    (row,) = table.rows()
    assert row[0].value == "fpfomm"
    assert [entry.value for entry in row[1:]] == [
        run.combined(label, figure).value
        for figure in ("agreement", "gain", "error")
        for label in ("fpfomm", "fomm:mode=absolute")
    ]
    sentence, key = reading(run)
    assert key == KEY
    assert sentence.startswith("fpfomm (agreement 0.8")
    assert "magnifying the motion 4 times hurts (agreement 0.3" in sentence
    assert sentence in write_report(run.folder, Pictures.none).read_text(encoding="utf-8")


@pytest.mark.parametrize("change", [{"weights": "other"}, {"magnify": {"factor": 1}}, {"magnify": "x"}])
def test_other_rows_are_not_compared(tmp_path, change):
    run = magnified_run(tmp_path / "run", **change)
    assert pairs(run) == []
    assert reading(run) == []
    assert magnified_table(run) is None
    with pytest.raises(BenchError, match="both with and without magnified motion"):
        page([run])


@given(SCORES, SCORES)
def test_what_helps_one_way_hurts_the_other(one, other):
    turned = {"helps": "hurts", "hurts": "helps"}
    there, back = _verdict(one, other), _verdict(other, one)
    assert back == turned.get(there, there)
    if there == "helps":
        assert other[0] > one[0] - ALIKE
        assert other[2] < one[2] + ALIKE


def test_the_page_is_made_from_runs(tmp_path):
    run = magnified_run(tmp_path / "run")
    text = page([run, run])
    assert text.startswith(HEAD.strip())
    assert text.count(f"## {run.facts.protocol.name}\n") == 2
    assert all(f"- {line}" in text for line in reading(run))


def test_the_page_in_the_repository_has_todays_words():
    text = PAGE.read_text(encoding="utf-8")
    assert text.startswith(f"{HEAD.strip()}\n\n{GUIDE.strip()}\n")
