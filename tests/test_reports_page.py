"""The report page is complete, self-contained and escaped, and faults in a run's files are reported."""

import base64
import dataclasses
import hashlib
import html
import json
import re
import shutil
from html.parser import HTMLParser
from types import SimpleNamespace

import pandas as pd
import pytest

from megbench.core.errors import BenchError
from megbench.engine.run_folder import MEDIA_FOLDER
from megbench.metrics.sharpness import Sharpness
from megbench.metrics.true_flow import TrueFlow
from megbench.reports import common_cells, headlines, heat_map, leaderboard
from megbench.reports.caveats import caveats
from megbench.reports.cells import FACTORS, amplification, magnification, stretch, two_cells
from megbench.reports.html import Pictures, write_report
from megbench.reports.html import command as typed_command
from megbench.reports.missing import missing
from megbench.reports.run_files import FinishedRun
from tests.report_fixture import CONTROLS, HOSTILE, LABELS, make_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """Return a folder for encoded clips, shared by all tests, because most of them show the same clips."""
    return tmp_path_factory.mktemp("media")


@pytest.fixture(scope="module")
def page(run, cache):
    return write_report(run, cache=cache).read_text(encoding="utf-8")


class Resources(HTMLParser):
    """A parser that collects tags, ids, event handlers and everything that the page would load."""

    def __init__(self):
        super().__init__()
        self.tags, self.loads, self.handlers, self.ids = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.ids += [value for name, value in attrs if name == "id"]
        self.handlers += [name for name, _ in attrs if name.startswith("on")]
        self.loads += [value for name, value in attrs if name in ("src", "href", "srcset", "data", "action")]


def parsed(page):
    parser = Resources()
    parser.feed(page)
    return parser


def test_the_page_loads_nothing(page):
    found = parsed(page)
    assert all(load.startswith(("#", "data:image/webp;base64,")) or load == "data:," for load in found.loads)
    assert not {"iframe", "object", "embed"} & set(found.tags)
    text = re.sub(r'<script type="application/json".*?</script>', "", page, flags=re.DOTALL)
    assert not re.search(r"https?:|@import|url\((?!#)", text)


def test_only_the_page_s_own_script_may_run(page):
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    script = re.search(r"<script>(.*?)</script>", page, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = html.unescape(policy)
    assert "default-src 'none'" in policy
    assert f"script-src 'sha256-{digest}';" in policy
    assert "connect-src" not in policy


def test_a_page_for_sharing_holds_no_picture_and_leaves_the_other_alone(run, page, tmp_path):
    before = (run / "report.html").read_bytes()
    shared = write_report(run, Pictures.none, cache=tmp_path)
    assert shared.name == "report_no_media.html"
    assert (run / "report.html").read_bytes() == before
    assert list(tmp_path.iterdir()) == []
    text = shared.read_text(encoding="utf-8")
    assert 'id="media-' not in text
    assert "<canvas" not in text
    assert "data:image" not in text
    assert "no face" in text
    assert text.count('<article class="cell"') == 4
    assert 'class="curves"' in text


def test_faces_of_others_are_announced(page, tmp_path, cache):
    assert "Faces inside" not in page
    folder = make_run(tmp_path / "run", 3)
    facts = json.loads((folder / "run.json").read_text())
    facts["cells"][0] |= {"rendered": False, "database": "casme2"}
    (folder / "run.json").write_text(json.dumps(facts))
    assert "recordings from casme2" in write_report(folder, cache=cache).read_text(encoding="utf-8")
    facts["cells"][0]["rendered"] = True
    facts["request"]["folders"] = {"portraits": "/home/me"}
    (folder / "run.json").write_text(json.dumps(facts))
    assert "portraits of your own" in write_report(folder, cache=cache).read_text(encoding="utf-8")


def test_the_command_that_made_the_run_is_given_as_one_would_type_it(page):
    command = "python bench.py --methods fpfomm,fomm:mode=absolute --drivers 'my clips; rm -rf'"
    assert html.escape(command, quote=False).replace("'", "&#39;") in page


@pytest.mark.parametrize(
    ("program", "typed"),
    [("/v/bin/megbench", "megbench"), ("megbench.exe", "megbench"), ("megbench/__main__.py", "python -m megbench")],
)
def test_an_installed_command_is_typed_by_its_name(program, typed):
    facts = SimpleNamespace(provenance={"argv": [program, "--methods", "still"]})
    assert typed_command(SimpleNamespace(facts=facts)) == f"{typed} --methods still"


def test_large_clips_lie_beside_the_page_and_are_taken_away_again(tmp_path, cache, monkeypatch):
    folder = make_run(tmp_path / "run", 3)
    monkeypatch.setattr("megbench.reports.html.PAGE_BUDGET", 1000)
    text = write_report(folder, cache=cache).read_text(encoding="utf-8")
    assert 'id="media-' not in text
    files = sorted((folder / MEDIA_FOLDER).iterdir(), key=lambda path: int(path.stem))
    assert re.fullmatch(r'receive\(0, \{"n":1,.*\}\);\n', files[0].read_text(), re.DOTALL)
    monkeypatch.setattr("megbench.reports.html.PAGE_BUDGET", 10**8)
    assert 'id="media-0"' in write_report(folder, cache=cache).read_text(encoding="utf-8")
    assert not (folder / MEDIA_FOLDER).exists()


def test_missing_cells_and_scores_are_listed_with_their_reasons(run):
    table = missing(FinishedRun(run))
    assert [[entry.value for entry in row] for row in table.rows()] == [
        ["frames", "fomm:mode=absolute", "d1__tb", f"no face in {HOSTILE}"]
    ]


def test_a_metric_that_failed_is_listed_once(tmp_path):
    folder = make_run(tmp_path / "run", 3)
    scores = pd.read_csv(folder / "scores.csv", keep_default_na=False)
    lost = (scores["method"] == "still") & (scores["metric"] == "identity_distance") & (scores["scope"] == "cell")
    scores.loc[lost, ["value", "status", "reason"]] = ["", "failed", "memory"]
    scores.to_csv(folder / "scores.csv", index=False)
    rows = [[entry.value for entry in row] for row in missing(FinishedRun(folder)).rows()]
    assert rows[1:] == [["identity_distance", "still", "all 4", "memory"]]


def test_outputs_that_were_not_supplied_share_one_note(tmp_path):
    folder = make_run(tmp_path / "run")
    scores = pd.read_csv(folder / "scores.csv", keep_default_na=False)
    cells = (scores["method"] == "fpfomm") & (scores["scope"] == "cell")
    scores.loc[cells, ["value", "status"]] = ["", "missing"]
    scores.loc[cells, "reason"] = "no output for " + scores.loc[cells, "driver"] + scores.loc[cells, "template"]
    scores.to_csv(folder / "scores.csv", index=False)
    notes = heat_map.heat_map(FinishedRun(folder), "agreement").notes()
    assert heat_map.NOT_SUPPLIED in notes
    assert not [note for note in notes if note.startswith("no output for")]


def test_heat_is_1_for_right_0_for_a_still_face_and_below_for_worse(run):
    opened = FinishedRun(run)
    maps = dict(heat_map.heat_maps(opened))
    assert list(maps) == ["agreement", "gain", "error", "agreement_truth"]
    for figure, table in maps.items():
        shades = {label: entry.shade for label, entry in zip(LABELS | CONTROLS, next(table.rows())[1:], strict=True)}
        assert shades["still"] == 0
        assert shades["flow_warp"] == pytest.approx(0.95), figure
    for figure, value in (("gain", 2.5), ("error", 1.5), ("agreement", -0.5)):
        assert opened.figures[figure][1].shade(value) == -0.5


def test_hostile_names_stay_text(page):
    assert not parsed(page).handlers
    assert HOSTILE not in page
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page


def test_ids_are_unique(page):
    ids = parsed(page).ids
    assert len(ids) == len(set(ids))


def test_every_cell_has_its_players_and_a_failed_one_its_reason(run, page):
    facts = FinishedRun(run).facts
    assert page.count('<article class="cell"') == len(facts.cells)
    assert len(re.findall(r'class="player output"', page)) == len(facts.cells) * len(LABELS) + 2 * len(CONTROLS)
    assert "no face in &lt;script&gt;" in page
    assert page.count("no clip") == 1


def test_media_all_shows_the_controls_everywhere(run, cache):
    page = write_report(run, Pictures.all, cache=cache).read_text(encoding="utf-8")
    assert page.count('class="player output"') == 4 * (len(LABELS) + len(CONTROLS))


def test_shared_clips_are_stored_once(page):
    stored = re.findall(r'<script type="application/json" id="media-(\d+)">(.*?)</script>', page, re.DOTALL)
    drivers, truths, templates, outputs, failed, controls = 2, 2, 2, 4 * len(LABELS), 1, 2 * len(CONTROLS)
    assert len(stored) == drivers + truths + templates + outputs - failed + controls
    assert all(json.loads(text)["n"] in (1, 12) for _, text in stored)


def test_the_same_run_gives_the_same_page(run, page, cache):
    assert write_report(run, cache=cache).read_text(encoding="utf-8") == page


def test_rendered_clips_and_demo_weights_are_explained(page):
    assert "Rendered clips." in page
    assert "Demo weights (fpfomm, fomm:mode=absolute)." in page


def test_leaderboard_counts_and_sets_controls_apart(run):
    table = leaderboard.leaderboard(FinishedRun(run))
    assert [section.heading for section in table.sections] == ["Methods", "Controls"]
    truth = [column.title for column in table.columns].index("agreement", 3)
    assert table.columns[truth].group == "Motion, against the truth"
    assert table.sections[0].rows[0][truth].remark == "2/4"


def test_floor_is_the_95th_percentile_of_the_wrong_driver(run):
    opened = FinishedRun(run)
    assert leaderboard.floor(opened) == pytest.approx(CONTROLS["wrong_driver"])
    assert leaderboard.why_no_floor(opened) == ""
    assert leaderboard.under_floor(opened) == []
    assert leaderboard.floor(opened, "no_such_figure") is None
    assert leaderboard.under_floor(opened, "no_such_figure") == []


def test_a_floor_of_few_cells_says_so(run, page, monkeypatch):
    opened = FinishedRun(run)
    told = "Caution: a percentile of 4 cells says little about what can be scored by chance; at least 5 are needed."
    assert leaderboard.floor_caution(opened) == told
    assert told in page
    assert leaderboard.floor_caution(opened, "no_such_figure") == ""
    for values, caution in (([0.1] * 5, False), ([0.1], True)):
        monkeypatch.setattr(opened, "cell_values", lambda *_, values=values: values)
        assert bool(leaderboard.floor_caution(opened)) == caution


def test_a_page_without_a_floor_says_why(tmp_path):
    folder = make_run(tmp_path / "run", 3)
    facts = json.loads((folder / "run.json").read_text())
    facts["methods"] = [method for method in facts["methods"] if method["name"] != "wrong_driver"]
    (folder / "run.json").write_text(json.dumps(facts))
    scores = (folder / "scores.csv").read_text().splitlines()
    (folder / "scores.csv").write_text("\n".join(line for line in scores if "wrong_driver" not in line) + "\n")
    assert leaderboard.why_no_floor(FinishedRun(folder)) == "the control wrong_driver is not in this run"
    facts["methods"] = [method for method in facts["methods"] if not method["is_control"]]
    (folder / "run.json").write_text(json.dumps(facts))
    page = write_report(folder, Pictures.none).read_text(encoding="utf-8")
    assert "No floor to beat: no controls were run; the same command without --no-controls runs them." in page
    facts["cells"] = facts["cells"][:1]
    (folder / "run.json").write_text(json.dumps(facts))
    assert leaderboard.why_no_floor(FinishedRun(folder)) == "there is only one driver"


def test_the_page_explains_only_what_was_measured(tmp_path, page):
    assert "The guards show" in page
    assert "Read <b>agreement</b> and" in page
    folder = make_run(tmp_path / "run", 2)
    facts = json.loads((folder / "run.json").read_text())
    for kept, told in (("motion_agreement", "Read <b>agreement</b> and"), ("identity_distance", "The guards show")):
        metrics = [metric for metric in facts["metrics"] if metric["name"] == kept]
        (folder / "run.json").write_text(json.dumps(facts | {"metrics": metrics}))
        text = write_report(folder, Pictures.none).read_text(encoding="utf-8")
        assert [each for each in ("Read <b>agreement</b> and", "The guards show") if each in text] == [told]
        assert ("loor to beat" in text) == (kept == "motion_agreement")


def test_figures_without_any_value_are_named_as_left_out(tmp_path):
    folder = make_run(tmp_path / "run", 3)
    facts = json.loads((folder / "run.json").read_text())
    figure = dataclasses.asdict(TrueFlow.figures[0])
    facts["metrics"].append({"name": "true_flow", "version": "1", "figures": [figure]})
    (folder / "run.json").write_text(json.dumps(facts))
    opened = FinishedRun(folder)
    assert headlines.left_out(opened) == ["flow error px (truth): not scored in this run"]
    assert "flow error px" not in leaderboard.leaderboard(opened).text()


def test_what_is_left_out_has_each_row_s_own_reason(tmp_path):
    scores = make_run(tmp_path, frames=2) / "scores.csv"
    table = pd.read_csv(scores, keep_default_na=False, dtype="str")
    gone = table.figure == "identity_distance"
    table.loc[gone, ["value", "status", "n_scored"]] = ["", "failed", "0"]
    table.loc[gone, "reason"] = "no face"
    table.loc[gone & (table.method == "fpfomm"), "reason"] = "no weights"
    table.loc[gone & (table.method == "flow_warp") & (table.scope == "all"), "reason"] = "no output for d1 on ta"
    table.to_csv(scores, index=False)
    assert headlines.left_out(FinishedRun(tmp_path)) == [
        "identity dist.: no weights (fpfomm); no face (all other rows)"
    ]


def test_outputs_made_elsewhere_have_no_seconds_per_frame(tmp_path):
    path = make_run(tmp_path, frames=2) / "run.json"
    facts = json.loads(path.read_text())
    facts["methods"][0]["name"] = "outputs"
    path.write_text(json.dumps(facts))
    table = leaderboard.leaderboard(FinishedRun(tmp_path))
    at = [column.title for column in table.columns].index("s/frame")
    first, second, *_ = table.rows()
    assert (first[at].value, first[at].reason) == (None, "made elsewhere; only read here")
    assert second[at].value == 0.012


def not_supplied(run, label, *cells):
    """Alter a finished run so that a row's outputs for these cells were not supplied."""
    scores = pd.read_csv(run / "scores.csv", keep_default_na=False, dtype="str")
    for cell in cells:
        record = {"key": "k", "status": "missing", "reason": f"no output for {cell}"}
        (run / "cells" / label / cell / "cell.json").write_text(json.dumps(record))
        driver, template = cell.split("__")
        lost = (scores.method == label) & (scores.driver == driver) & (scores.template == template)
        scores.loc[lost, ["value", "status", "reason", "n_scored"]] = ["", "missing", record["reason"], "0"]
    scores.to_csv(run / "scores.csv", index=False)


def test_cells_that_were_not_supplied_are_missing_and_means_over_common_cells_stand_beside(tmp_path, cache):
    run = make_run(tmp_path, frames=2)
    assert common_cells.told(FinishedRun(run)).startswith(
        "These means are over different sets"
    )  # fomm failed in one cell
    not_supplied(run, "fpfomm", "d1__ta")
    opened = FinishedRun(run)
    sections = {section.heading: section.rows for section in missing(opened).sections}
    assert [entry.value for entry in sections["Not supplied"][0]] == [
        "output",
        "fpfomm",
        "d1__ta",
        "no output for d1__ta",
    ]
    assert [row[1].value for row in sections["Without frames"]] == ["fomm:mode=absolute"]
    table = common_cells.common_means(opened)
    assert table.title == "Means over the 2 cells that every method has"
    values = {row[0].value: row[1].value for row in table.rows()}
    assert values["fpfomm"] == pytest.approx(LABELS["fpfomm"])
    assert "Over the 2 cells that every method has, agreement is: fpfomm 0.80, fomm:mode=absolute 0.30" in (
        common_cells.summary(opened).text()
    )
    page = write_report(run, cache=cache).read_text()
    assert "Means over the 2 cells that every method has" in page
    data = json.loads(re.search(r'id="page-data">(.*?)</script>', page)[1])
    assert data["cells"][data["opened"]]["name"] == "d2__ta"  # the first cell with all clips
    not_supplied(run, "fpfomm", "d2__ta")
    assert common_cells.common_means(FinishedRun(run)).title == "Means over the one cell that every method has"
    not_supplied(run, "fpfomm", "d2__tb")
    not_supplied(run, "fomm:mode=absolute", "d1__ta")
    assert common_cells.told(FinishedRun(run)).endswith("no cell is in all of them, so they cannot be compared.")
    assert common_cells.common_means(FinishedRun(run)) is None


def test_soft_templates_are_named_with_their_and_the_drivers_sharpness(tmp_path, cache):
    run = make_run(tmp_path, frames=2)
    facts = json.loads((run / "run.json").read_text())
    figures = [dataclasses.asdict(figure) for figure in Sharpness.figures if figure.name.endswith("_sharpness")]
    facts["metrics"].append({"name": "sharpness", "version": "1", "figures": figures})
    (run / "run.json").write_text(json.dumps(facts))
    scores = pd.read_csv(run / "scores.csv", keep_default_na=False, dtype="str")
    of_cells = scores[(scores.scope == "cell") & (scores.figure == "gain") & (scores.method == "still")]
    known = {"template_sharpness": {"ta": "19.2", "tb": "91"}, "driver_sharpness": {"d1": "69", "d2": "121"}}
    rows = [
        of_cells.assign(metric="sharpness", figure=figure, value=of_cells[figure.partition("_")[0]].map(values))
        for figure, values in known.items()
    ]
    pd.concat([scores, *rows]).to_csv(run / "scores.csv", index=False)
    ((title, text),) = [told for told in caveats(FinishedRun(run)) if told[0].startswith("Soft")]
    assert title == "Soft templates."
    assert "in the face, ta has 19; the drivers have 69 to 121." in text
    page = write_report(run, cache=cache).read_text()
    assert page.count("the face to animate; sharpness 19") == 2
    assert page.count("the motion to transfer; sharpness 121") == 2


def test_breakdowns_have_a_group_of_columns_for_each_value(run):
    table = leaderboard.breakdown(FinishedRun(run), "database")
    assert [group for group, _ in table.column_groups()] == ["", "grey200", "colour100"]


def test_a_cell_without_truth_says_so(run):
    opened = FinishedRun(run)
    without = next(cell for cell in opened.facts.cells if not cell.has_truth)
    found = opened.of_cell("fpfomm", without, "agreement_truth")
    assert found.value is None
    assert found.reason == "no truth in this cell"


def test_controls_are_shown_in_two_unlike_cells(run):
    first, second = two_cells(FinishedRun(run).facts.cells)
    assert (first.template, first.emotion) != (second.template, second.emotion)
    assert two_cells(FinishedRun(run).facts.cells[:1])[1].name == first.name


@pytest.mark.parametrize(("reach", "factor"), [(0.0, 32), (3.0, 32), (13.0, 8), (60.0, 2), (200.0, 2)])
def test_amplification_fits_the_motion(reach, factor):
    assert amplification(reach) == factor


@pytest.mark.parametrize(("moves", "factor"), [(0.0, 16), (0.3, 16), (0.5, 16), (1.0, 8), (2.0, 4), (30.0, 4)])
def test_motion_is_magnified_to_about_eight_pixels(moves, factor):
    assert magnification(moves) == factor
    assert factor in FACTORS


@pytest.mark.parametrize(("moves", "factor"), [(0.0, 64), (0.5, 32), (3.0, 4), (12.0, 1), (90.0, 1)])
def test_arrows_are_lengthened_to_their_room(moves, factor):
    assert stretch(moves) == factor


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("run.json", None, "cannot be read"),
        ("run.json", "{", "Invalid JSON"),
        ("run.json", '{"id": 3}', "id"),
        ("scores.csv", None, "is not a finished run: it has no scores.csv"),
        ("scores.csv", "a,b\n1,2\n", "not a table of scores"),
    ],
)
def test_an_unreadable_run_is_one_line(tmp_path, name, text, said):
    folder = make_run(tmp_path / "run", 3)
    (folder / name).unlink()
    if text is not None:
        (folder / name).write_text(text)
    with pytest.raises(BenchError, match=said) as caught:
        FinishedRun(folder)
    assert "\n" not in str(caught.value)


def test_names_that_lead_out_of_the_run_are_refused(tmp_path):
    folder = make_run(tmp_path / "run", 3)
    facts = json.loads((folder / "run.json").read_text())
    facts["cells"][0]["driver"] = "../../../etc"
    (folder / "run.json").write_text(json.dumps(facts))
    opened = FinishedRun(folder)
    with pytest.raises(BenchError, match="/etc/frames' points outside the run's folder"):
        opened.driver_frames(opened.facts.cells[0])


def test_an_unfinished_run_says_what_is_missing(tmp_path, cache):
    folder = make_run(tmp_path / "run", 3)
    facts = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(facts | {"finished": False}))
    (folder / "cells" / "fpfomm" / facts["cells"][0]["name"] / "cell.json").unlink()
    shutil.rmtree(folder / "motion")
    page = write_report(folder, cache=cache).read_text(encoding="utf-8")
    assert "not finished" in page
    assert "stopped before this cell" in page
    assert "There is no view of motion" in page


def test_drivers_that_show_several_faces_are_named(tmp_path):
    folder = make_run(tmp_path / "run", 3)
    facts = json.loads((folder / "run.json").read_text())
    for cell in facts["cells"]:
        cell |= {"face": "left", "faces": [105, 73]} if cell["driver"] == "d1" else {"faces": [105]}
    facts["provenance"]["code"] = {"sources": "0123456789abcdef"}  # as if the suite had been installed without git
    (folder / "run.json").write_text(json.dumps(facts))
    page = write_report(folder, Pictures.none).read_text(encoding="utf-8")
    told = "2 faces in its first frame (105 and 73 px wide), the left one was used"
    assert f"<b>Drivers that show several faces.</b> d1: {told}. Only the face named here is scored" in page
    assert page.count(told) == 1 + 2  # the notice, and the two cells of this driver
    assert "code 0123456789" in page


def test_a_run_that_is_not_finished_is_named_as_such(tmp_path):
    folder = make_run(tmp_path / "run", 3)
    (folder / "scores.csv").unlink()
    with pytest.raises(BenchError, match=r"run is not a finished run: it has no scores\.csv\. Rerun the command"):
        FinishedRun(folder)
