"""A report on several detectors of action units: columns and curves name their detector, and disagreement is shown."""

import csv
import dataclasses
import json
import re

import numpy as np
import pandas as pd
import pytest

from megbench.faces.features import sampled_frames
from megbench.metrics.au_blendshape import AuBlendshape
from megbench.metrics.au_flow import AuFlow
from megbench.metrics.openface_intensity import OpenFaceIntensity
from megbench.reports.curves import ACROSS
from megbench.reports.detectors import disagreements
from megbench.reports.explain import explanation
from megbench.reports.export import tables_of
from megbench.reports.html import Pictures, write_report
from megbench.reports.leaderboard import all_figures, brief, leaderboard
from megbench.reports.run_files import FinishedRun
from tests.report_fixture import CONTROLS, FRAMES, LABELS, make_run

BUMP = np.sin(np.pi * np.arange(FRAMES) / (FRAMES - 1))
RISE = np.arange(FRAMES) / (FRAMES - 1)
# The frames in which blendshapes are measured and in which the two time courses above differ.
FEW = sampled_frames(FRAMES, FRAMES // 2, 6)
QUALITY = {**LABELS, **CONTROLS}
# The curves that each detector reads in any clip: for blendshapes, AU04 falls instead of rising and AU06 is missing.
CURVES = {
    AuFlow: {"AU12": BUMP, "AU04": RISE, "AU06": BUMP},
    AuBlendshape: {"AU12": 0.3 * BUMP, "AU04": -0.1 * RISE},
    OpenFaceIntensity: {"AU12": 2 * BUMP, "AU06": RISE},
}


def with_detectors(folder, *metrics):
    """Add these detectors' scores to the look-alike of a run; blendshapes rank the rows in the opposite order."""
    facts = json.loads((folder / "run.json").read_text())
    scores = pd.read_csv(folder / "scores.csv", keep_default_na=False, dtype="str")
    like, rows = scores[scores.figure == "gain"], []
    for metric in metrics:
        figures = [dataclasses.asdict(figure) for figure in metric.figures]
        facts["metrics"].append({"name": metric.name, "version": metric.version, "figures": figures})
        sign = -1 if metric is AuBlendshape else 1
        value = [
            f"{sign * QUALITY[label]}" if status == "ok" else ""
            for label, status in zip(like.method, like.status, strict=True)
        ]
        names = [f"{metric.name}_track", *(f"{metric.name}_track_{unit}" for unit in CURVES[metric])]
        rows += [like.assign(metric=metric.name, figure=name, value=value) for name in names]
    pd.concat([scores, *rows]).to_csv(folder / "scores.csv", index=False)
    (folder / "run.json").write_text(json.dumps(facts))
    for path in (folder / "partials").glob("*/*.json"):
        kept = json.loads(path.read_text())
        if kept["motion_agreement"]["series"]:
            kept |= {metric.name: partial(metric) for metric in metrics}
            path.write_text(json.dumps(kept))
    return folder


def partial(metric):
    frames = list(FEW) if metric is AuBlendshape else []
    roles = ("driver", "truth", "output")
    curves = {unit: curve[list(FEW)] if frames else curve for unit, curve in CURVES[metric].items()}
    series = {f"{unit}_{role}": list(curve) for unit, curve in curves.items() for role in roles}
    return {"version": metric.version, "status": "ok", "series": series, "frames": frames}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return with_detectors(make_run(tmp_path_factory.mktemp("run")), AuFlow, AuBlendshape, OpenFaceIntensity)


@pytest.fixture(scope="module")
def page(run):
    return write_report(run, Pictures.none).read_text(encoding="utf-8")


def test_every_cell_has_the_units_curves_by_every_detector_at_their_true_frames(page):
    cells = page.split('<article class="cell"')[1:]
    assert len(cells) == 4
    for cell in cells:
        titles = re.findall(r'class="title"[^>]*>([^<]*)<', cell)
        assert {"AU12, OpenFace", "AU12, flow", "AU12, blendshapes", "AU04, blendshapes"} <= set(titles)
        assert "AU06, blendshapes" not in titles, "a dead unit"
        (panel,) = re.findall(r"AU12, blendshapes</text>(.*?)</g>", cell, re.DOTALL)
        for line in ("driver", "truth", "0"):
            (path,) = re.findall(rf'<path class="curve-{line}"[^>]* d="([^"]*)"', panel)
            step = ACROSS / (FRAMES - 1)
            assert [float(x) for x in re.findall(r"[ML]([\d.]+)", path)] == pytest.approx(
                [step * f for f in FEW], abs=0.06
            )
        assert "read by OpenFace, flow and blendshapes," in cell


def test_every_column_of_action_units_names_its_detector(run, page):
    opened = FinishedRun(run)
    for table in (leaderboard(opened), brief(opened)):
        named = {column.key: column.named for column in table.columns if column.key in opened.figures}
        of_units = {key: name for key, name in named.items() if opened.figures[key][1].detector}
        assert of_units
        assert all(name.endswith(f"({opened.figures[key][1].detector})") for key, name in of_units.items())
    keys = [column.key for column in leaderboard(opened).columns]
    assert keys.index("openface_intensity_track") < keys.index("au_flow_track") < keys.index("au_blendshape_track")
    heads = re.findall(r"AU over\s+time <small>([^<]*)</small>", page)
    assert heads[:3] == ["OpenFace", "flow", "blendshapes"]


def test_the_terminal_has_openface_or_what_was_asked_for_and_the_list_has_all(run, tmp_path):
    def briefly(folder):
        return [name for name in brief(FinishedRun(folder)).names() if name.startswith("AU")]

    assert briefly(run) == ["AU over time (OpenFace)"]
    narrow = leaderboard(FinishedRun(run)).narrow()
    assert "openface_intensity_track" in [column.key for column in narrow.columns]
    listed = "\n".join(str(row[0].value) for row in all_figures(FinishedRun(run)).rows())
    assert {"au_flow_track", "openface_intensity_track"} <= set(re.findall(r"\w+_track\b", listed))
    without = with_detectors(make_run(tmp_path / "run", drivers=1), AuFlow, AuBlendshape)
    assert briefly(without) == [], "100 columns are full"
    facts = json.loads((without / "run.json").read_text())
    facts["request"]["named_metrics"] = ["au_blendshape"]
    (without / "run.json").write_text(json.dumps(facts))
    assert briefly(without) == ["AU over time (blendshapes)"], "what was asked for is shown"


def test_what_detectors_see_in_the_same_clips_is_compared_unit_by_unit(run, page):
    tables = {table.title.partition(":")[0]: table for table in disagreements(FinishedRun(run))}
    assert len(tables) == 3
    table = tables["Detectors compared, flow and blendshapes"]
    rows = {row[0].value: row for row in table.rows()}
    assert set(rows) == {"AU04", "AU12", "all units"}
    driver = [column.title for column in table.columns].index("driver")
    failing = [column.title for column in table.columns].index("fomm:mode=absolute")
    assert rows["AU12"][driver].value == pytest.approx(1)
    assert rows["AU04"][driver].value == pytest.approx(-1)
    assert rows["all units"][driver].value == pytest.approx(0)
    assert (rows["AU12"][driver].remark, rows["AU12"][failing].remark) == ("4", "3")
    assert "not both see move in any cell: AU01, AU02, AU05, AU07, AU10, AU15, AU17." in table.footnotes[1]
    assert "Kendall's tau of flow and blendshapes -1.00" in table.footnotes[0]
    assert "tau of OpenFace and flow 1.00" in tables["Detectors compared, OpenFace and flow"].footnotes[0]
    assert "Kendall&#39;s tau of flow and blendshapes -1.00" in page
    exported = list(csv.DictReader(tables_of(run)["detectors_1"].csv().splitlines()))
    assert {row["unit"] for row in exported} >= {"AU12", "all units"}


def test_an_explanation_names_the_frame_of_the_clip_in_which_a_curve_of_some_frames_is_highest(run):
    opened = FinishedRun(run)
    told = explanation(opened, "fpfomm", "au_blendshape_track", opened.facts.cells[0].name)
    highest = max(FEW, key=lambda frame: BUMP[frame])
    assert f"AU12_driver: {len(FEW)} frames, 0 to {0.3 * BUMP[highest]:.4g}, highest in frame {highest}\n" in told


def test_one_detector_is_compared_with_nobody(tmp_path):
    folder = with_detectors(make_run(tmp_path / "run", drivers=1), AuFlow)
    assert disagreements(FinishedRun(folder)) == []
    assert "Detectors compared" not in write_report(folder, Pictures.none).read_text(encoding="utf-8")


def test_a_curve_that_is_not_of_its_frames_is_left_out(tmp_path):
    folder = with_detectors(make_run(tmp_path / "run", drivers=1), AuBlendshape)
    opened = FinishedRun(folder)
    path = next((folder / "partials").glob("*/*.json"))
    kept = json.loads(path.read_text())
    kept["au_blendshape"]["series"]["AU12_output"].append(1.0)
    path.write_text(json.dumps(kept))
    cell = next(cell for cell in opened.facts.cells if cell.name == path.stem)
    assert set(opened.series(path.parent.name, cell)["au_blendshape"].of("output")) == {"AU04"}
