"""Spotting results on the page and in the log: every row, and the constant answer that ignores the output."""

import csv
import dataclasses
import io
import json
import shutil

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from megbench.commands.runs import make_report
from megbench.core.combine import combined
from megbench.core.contracts import Partial
from megbench.engine.run_folder import PAGES, SPOTTING_LOG
from megbench.engine.seal import faults, page_as_sealed, seal
from megbench.metrics.spotting import Spotting, judged, whole_clip
from megbench.reports.common_cells import summary
from megbench.reports.export import tables_of
from megbench.reports.html import write_report
from megbench.reports.run_files import FinishedRun
from megbench.reports.spotting import COLUMNS, spotting_table, write_log
from tests.report_fixture import CONTROLS, FRAMES, LABELS, make_run

TRUE = (3, 9)
# The interval that each row of the fixture spots in every cell.
SPOTS = {"fpfomm": (3, 9), "fomm:mode=absolute": (0, 2), "flow_warp": (4, 10), "still": None, "wrong_driver": (9, 11)}


def partial_of(label: str) -> Partial:
    """Return the metric's partial for a cell in which the row spots its interval."""
    iou, counts = judged(SPOTS[label], TRUE)
    everything = whole_clip(FRAMES)
    sums = {
        "counts": counts,
        "driver_interval": list(TRUE),
        "output_interval": list(SPOTS[label] or ()),
        "whole_clip": [*judged(everything, TRUE)[1], *everything],
    }
    return Partial("ok", values={"spotting_iou": iou, "spotting_recall": counts[0]}, sums=sums)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Make a look-alike of a run that includes spotting results."""
    folder = make_run(tmp_path_factory.mktemp("spotted"))
    facts = json.loads((folder / "run.json").read_text())
    figures = [dataclasses.asdict(figure) for figure in Spotting.figures]
    facts["metrics"].append({"name": "spotting", "version": "1", "figures": figures})
    (folder / "run.json").write_text(json.dumps(facts))
    scores = pd.read_csv(folder / "scores.csv", keep_default_na=False, dtype="str")
    rows = []
    for label in (*LABELS, *CONTROLS):
        members = []
        for path in sorted((folder / "partials" / label).glob("*.json")):
            kept = json.loads(path.read_text())
            if kept["motion_agreement"]["series"]:  # not a cell that failed
                members.append(partial_of(label))
                path.write_text(json.dumps(kept | {"spotting": dataclasses.asdict(members[-1])}))
            else:
                members.append(Partial("failed", "no face"))
        shared = {"method": label, "is_control": label in CONTROLS, "scope": "all", "group": "", "metric": "spotting"}
        rows += [{**shared, **dataclasses.asdict(score)} for score in combined(Spotting(), members)]
    pd.concat([scores, pd.DataFrame(rows)]).to_csv(folder / "scores.csv", index=False)
    return folder


def values(table):
    return {row[0].value: [entry.value for entry in row[1:]] for row in table.rows()}


def test_the_table_has_every_row_and_the_answer_that_never_looks(run):
    table = spotting_table(FinishedRun(run))
    found = values(table)
    assert list(found) == [*LABELS, *CONTROLS, "whole clip"]
    assert [column.key for column in table.columns[1:]][:3] == ["spotting_tp", "spotting_fp", "spotting_fn"]
    assert found["fpfomm"] == [4, 0, 0, 1, 1, 1, 1]
    assert found["still"] == [0, 0, 4, None, 0, 0, 0]
    assert found["fomm:mode=absolute"][:6] == [0, 3, 3, 0, 0, 0]  # one of its cells failed
    (absolute,) = [row for row in table.rows() if row[0].value == "fomm:mode=absolute"]
    # Counts have no fraction beside them, because it would read as part of the number.
    assert [entry.remark for entry in absolute[1:]] == [*[""] * 3, *["3/4"] * 4]
    iou = (TRUE[1] - TRUE[0] + 1) / (FRAMES + 40)
    assert found["whole clip"] == [0, 4, 4, 0, 0, 0, pytest.approx(iou)]


def test_where_the_whole_clip_counts_as_found_page_table_and_terminal_say_so(run, tmp_path):
    """The whole clip is found if the driver's interval is at least half as long as the clip and 40 frames around it."""
    assert "Caution" not in spotting_table(FinishedRun(run)).text() + summary(FinishedRun(run)).text()
    folder = shutil.copytree(run, tmp_path / "run")
    for path in (folder / "partials").glob("*/d1__ta.json"):
        kept = json.loads(path.read_text())
        if "spotting" in kept:
            kept["spotting"]["sums"]["whole_clip"][:3] = [1, 0, 0]
            path.write_text(json.dumps(kept))
    told = "the whole clip itself counts as found in 1 of 4 cells, where spotting therefore proves nothing."
    opened = FinishedRun(folder)
    assert told in spotting_table(opened).text()
    assert told in summary(opened).text()
    page = write_report(folder, cache=tmp_path).read_text(encoding="utf-8")
    assert told in page
    assert "a method must do better" not in page


@given(st.integers(1, 300), st.data())
def test_the_whole_clip_counts_as_found_from_half_of_the_clip_and_its_surroundings_on(frames, data):
    length = data.draw(st.integers(1, frames))
    first = data.draw(st.integers(0, frames - length))
    _, (found, *_) = judged(whole_clip(frames), (first, first + length - 1))
    assert bool(found) == (2 * length >= frames + 40)


def test_page_and_exported_tables_show_it(run, tmp_path):
    page = write_report(run, cache=tmp_path).read_text(encoding="utf-8")
    section = page.partition('<section id="spotting">')[2].partition("</section>")[0]
    assert "whole clip" in section
    assert "20 still frames" in section
    assert '<a href="#spotting">' in page
    rows = list(csv.DictReader(io.StringIO(tables_of(run)["spotting"].csv())))
    (constant,) = [row for row in rows if row["method"] == "whole clip"]
    assert (constant["spotting_tp"], constant["spotting_fn"], constant["spotting_f1"]) == ("0.0", "4.0", "0.0")


def test_the_logs_rows_add_up_to_the_counts(run):
    write_log(FinishedRun(run))
    log = pd.read_csv(run / SPOTTING_LOG)
    assert tuple(log.columns) == COLUMNS
    found = values(spotting_table(FinishedRun(run)))
    for label, (tp, fp, fn, *_) in found.items():
        results = log[log.method == label].result.value_counts().to_dict()
        assert results == {name: count for name, count in (("TP", tp), ("FP", fp), ("FN", fn)) if count}
    hits = log[log.result == "TP"]
    assert (hits.iou >= 0.5).all()
    assert (log[log.result != "TP"].iou < 0.5).all()
    assert log[log.result == "FN"].spotted_onset.isna().all()
    assert log[log.result == "FP"].true_onset.isna().all()
    shared = np.minimum(hits.spotted_offset, hits.true_offset) - np.maximum(hits.spotted_onset, hits.true_onset) + 1
    either = np.maximum(hits.spotted_offset, hits.true_offset) - np.minimum(hits.spotted_onset, hits.true_onset) + 1
    np.testing.assert_allclose(hits.iou, shared / either, atol=1e-4)


@pytest.mark.parametrize("damage", [{"counts": [1.0]}, {"whole_clip": [float("nan")] * 5}, {"driver_interval": []}])
def test_a_damaged_partial_counts_as_not_measured(run, tmp_path, damage):
    folder = shutil.copytree(run, tmp_path / "run")
    path = folder / "partials" / "flow_warp" / "d1__ta.json"
    kept = json.loads(path.read_text())
    kept["spotting"]["sums"] |= damage
    path.write_text(json.dumps(kept))
    write_log(FinishedRun(folder))
    log = pd.read_csv(folder / SPOTTING_LOG)
    assert len(log[log.method == "flow_warp"]) == 3
    assert len(log[log.method == "fpfomm"]) == 4


def test_a_run_without_spotting_has_no_table_and_loses_an_old_log(tmp_path, monkeypatch):
    folder = make_run(tmp_path / "run", frames=3)
    (folder / SPOTTING_LOG).write_text("of an earlier request\n")
    monkeypatch.setattr("megbench.reports.html.CACHE", tmp_path / "media")
    make_report(folder, media_all=False, no_media=True)
    assert not (folder / SPOTTING_LOG).exists()
    assert spotting_table(FinishedRun(folder)) is None
    assert "spotting" not in tables_of(folder)
    assert 'id="spotting"' not in (folder / "report_no_media.html").read_text()


def test_the_same_command_makes_an_altered_or_lost_log_again(run, tmp_path):
    folder = shutil.copytree(run, tmp_path / "run")
    for name in PAGES:
        (folder / name).write_text("a page\n")
    write_log(FinishedRun(folder))
    seal(folder)
    assert page_as_sealed(folder)
    whole = (folder / SPOTTING_LOG).read_text()
    (folder / SPOTTING_LOG).write_text(whole.replace("TP", "FN"))
    assert not page_as_sealed(folder)
    (folder / SPOTTING_LOG).unlink()
    assert not page_as_sealed(folder)
    write_log(FinishedRun(folder))
    assert (folder / SPOTTING_LOG).read_text() == whole
    seal(folder)  # as the command does at the end, so that no trace of the altered log remains in the seal
    assert page_as_sealed(folder)
    assert faults(folder) == []
