"""The page as a file: complete, self-contained, escaped; and the readers of a run's files."""

import json
import re
from html.parser import HTMLParser

import pytest

from core.errors import BenchError
from reports import leaderboard
from reports.cells import amplification, two_cells
from reports.html import write_report
from reports.run_files import Run
from tests.report_fixture import CONTROLS, HOSTILE, LABELS, make_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def page(run, tmp_path_factory):
    return write_report(run, cache=tmp_path_factory.mktemp("media")).read_text(encoding="utf-8")


class Resources(HTMLParser):
    """Elements and whatever they would load."""

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
    assert all(load.startswith("#") or load == "data:," for load in found.loads)
    assert not {"iframe", "object", "embed", "img"} & set(found.tags)
    text = re.sub(r'<script type="application/json".*?</script>', "", page, flags=re.DOTALL)
    assert not re.search(r"https?:|@import|url\((?!#)", text)


def test_hostile_names_stay_text(page):
    assert not parsed(page).handlers
    assert HOSTILE not in page
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page


def test_ids_are_unique(page):
    ids = parsed(page).ids
    assert len(ids) == len(set(ids))


def test_every_cell_has_its_players_and_a_failed_one_its_reason(run, page):
    facts = Run(run).facts
    assert page.count('<article class="cell"') == len(facts.cells)
    assert len(re.findall(r'class="player output"', page)) == len(facts.cells) * len(LABELS) + 2 * len(CONTROLS)
    assert "no face in &lt;script&gt;" in page
    assert page.count("no clip") == 1


def test_media_all_shows_the_controls_everywhere(run, tmp_path):
    page = write_report(run, media_all=True, cache=tmp_path).read_text(encoding="utf-8")
    assert page.count('class="player output"') == 4 * (len(LABELS) + len(CONTROLS))


def test_shared_clips_are_stored_once(page):
    stored = re.findall(r'<script type="application/json" id="media-(\d+)">(.*?)</script>', page, re.DOTALL)
    drivers, truths, templates, outputs, failed, controls = 2, 2, 2, 4 * len(LABELS), 1, 2 * len(CONTROLS)
    assert len(stored) == drivers + truths + templates + outputs - failed + controls
    assert all(json.loads(text)["n"] in (1, 12) for _, text in stored)


def test_the_same_run_gives_the_same_page(run, page, tmp_path):
    assert write_report(run, cache=tmp_path).read_text(encoding="utf-8") == page


def test_rendered_clips_and_demo_weights_are_explained(page):
    assert "Rendered clips." in page
    assert "Demo weights (fpfomm, fomm:mode=absolute)." in page


def test_leaderboard_counts_and_sets_controls_apart(run):
    table = leaderboard.leaderboard(Run(run))
    assert [section.heading for section in table.sections] == ["Methods", "Controls"]
    truth = [column.title for column in table.columns].index("agreement", 2)
    assert table.columns[truth].group == "Motion, against the truth"
    assert table.sections[0].rows[0][truth].remark == "2/4"


def test_floor_is_the_95th_percentile_of_the_wrong_driver(run):
    opened = Run(run)
    assert leaderboard.floor(opened) == pytest.approx(CONTROLS["wrong_driver"])
    assert leaderboard.under_floor(opened) == []
    assert leaderboard.floor(opened, "no_such_figure") is None
    assert leaderboard.under_floor(opened, "no_such_figure") == []


def test_figures_without_any_value_are_named_as_left_out(run, tmp_path):
    folder = make_run(tmp_path / "run")
    facts = json.loads((folder / "run.json").read_text())
    facts["metrics"].append(
        {"name": "true_flow", "version": "1", "figures": [{"name": "true_flow_error", "title": "x"}]}
    )
    (folder / "run.json").write_text(json.dumps(facts))
    opened = Run(folder)
    assert leaderboard.left_out(opened) == ["flow error px (truth): not scored in this run"]
    assert "flow error px" not in leaderboard.leaderboard(opened).text()


def test_breakdowns_have_a_group_of_columns_for_each_value(run):
    table = leaderboard.breakdown(Run(run), "database")
    assert [group for group, _ in table.column_groups()] == ["", "grey200", "colour100"]


def test_a_cell_without_truth_says_so(run):
    opened = Run(run)
    without = next(cell for cell in opened.facts.cells if not cell.has_truth)
    found = opened.of_cell("fpfomm", without, "agreement_truth")
    assert found.value is None
    assert found.reason == "no truth in this cell"


def test_controls_are_shown_in_two_unlike_cells(run):
    first, second = two_cells(Run(run).facts.cells)
    assert (first.template, first.emotion) != (second.template, second.emotion)
    assert two_cells(Run(run).facts.cells[:1])[1].name == first.name


@pytest.mark.parametrize(("reach", "factor"), [(0.0, 32), (3.0, 32), (13.0, 8), (60.0, 2), (200.0, 2)])
def test_amplification_fits_the_motion(reach, factor):
    assert amplification(reach) == factor


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("run.json", None, "cannot be read"),
        ("run.json", "{", "Invalid JSON"),
        ("run.json", '{"id": 3}', "id"),
        ("scores.csv", None, "cannot be read"),
        ("scores.csv", "a,b\n1,2\n", "not a table of scores"),
    ],
)
def test_an_unreadable_run_is_one_line(tmp_path, name, text, said):
    folder = make_run(tmp_path / "run", 3)
    (folder / name).unlink()
    if text is not None:
        (folder / name).write_text(text)
    with pytest.raises(BenchError, match=said) as caught:
        Run(folder)
    assert "\n" not in str(caught.value)


def test_names_that_lead_out_of_the_run_are_refused(tmp_path):
    folder = make_run(tmp_path / "run", 3)
    facts = json.loads((folder / "run.json").read_text())
    facts["cells"][0]["driver"] = "../../../etc"
    (folder / "run.json").write_text(json.dumps(facts))
    opened = Run(folder)
    with pytest.raises(BenchError, match="leads out"):
        opened.driver_frames(opened.facts.cells[0])


def test_an_unfinished_run_says_what_is_missing(tmp_path):
    folder = make_run(tmp_path / "run", 3)
    facts = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(facts | {"finished": False}))
    (folder / "cells" / "fpfomm" / facts["cells"][0]["name"] / "cell.json").unlink()
    page = write_report(folder, cache=tmp_path / "media").read_text(encoding="utf-8")
    assert "not finished" in page
    assert "stopped before this cell" in page
