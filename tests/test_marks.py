"""Marks and caveats accompany the numbers: in every table in every format, in figures and on the page."""

import csv
import html
import io
import json
import re

import pandas as pd
import pytest

from megbench.baselines import GENERATORS
from megbench.core.files.working_folder import in_store
from megbench.core.generator import DEMO_MARK
from megbench.experts.judgements import FILE, Judgement, write_judgements
from megbench.methods import make_method
from megbench.methods.cards import demo_weights
from megbench.reports import leaderboard
from megbench.reports.caveats import RENDERED, caveats
from megbench.reports.comparison import comparison
from megbench.reports.export import FORMS, experts_tables, tables_of
from megbench.reports.figures.gif import write_gif
from megbench.reports.figures.shown import output_clips
from megbench.reports.figures.variants import draw_variants
from megbench.reports.html import Pictures, write_report
from megbench.reports.marks import exported
from megbench.reports.run_files import FinishedRun
from megbench.reports.table import NOTE
from tests.report_fixture import MARKS, make_run


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    run = make_run(tmp_path_factory.mktemp("run"), 3)
    judged = [
        Judgement(label, driver, template, expert, score, score, 1)
        for expert in ("E1", "E2")
        for score, label in enumerate(("fpfomm", "fomm:mode=absolute"))
        for driver in ("d1", "d2")
        for template in ("ta", "tb")
    ]
    write_judgements(run / FILE, judged)
    return run


@pytest.fixture(scope="module")
def run(folder):
    return FinishedRun(folder)


@pytest.fixture(scope="module")
def tables(run):
    found = tables_of(run.folder)
    found["comparison"] = exported(comparison(run, run), run)
    found["pair"] = exported(comparison(run, run, ["fpfomm", "fomm:mode=absolute"]), run)
    return {name: table for name, table in found.items() if name not in ("reported", "rewards")}  # they name no methods


def plain(text, form):
    """Return the text of a written table as a reader sees it, without escapes and line breaks."""
    if form == "latex":
        text = re.sub(r"\\([&%$#_{}])", r"\1", text)
    if form == "markdown":
        text = re.sub(r"\\([\\`*_\[\]|#])", r"\1", text)
    if form == "csv":
        text = text.replace('""', '"')
    return " ".join(html.unescape(text).split())


@pytest.mark.parametrize("form", [*FORMS, "text"])
def test_every_mark_and_caveat_is_in_every_table_in_every_form(run, tables, form):
    assert {"leaderboard", "by_database", "cells_agreement", "figures", "table_1", "pair"} <= set(tables)
    assert {"experts_pairs", "experts_agreement", "metrics_against_experts", "comparison"} <= set(tables)
    for name, table in tables.items():
        seen = plain(table.text() if form == "text" else FORMS[form][1](table), form)
        for label, marks in MARKS.items():
            for word, sentence in marks.items():
                assert re.search(rf"{label}.{{0,60}}\({word}\): {re.escape(sentence)}", seen), (name, label, word)
        assert "fomm:mode=absolute (trained on 1 of 2 drivers): Its model was trained on these" in seen, name
        for title, text in caveats(run):
            assert f"{title} {text}" in seen, name


COUNTED = "demo weights; tied: 2 drivers, 3 pairs: p cannot go below 1.000; agreement_truth: 2/4"
INTERVALS = (
    "demo weights; normalised by the best, of perfect, mean per video: no interval;"
    " group: 2 drivers, 1 pair: p cannot go below 0.500"
)


@pytest.mark.parametrize(
    ("name", "beside"), [("leaderboard", COUNTED), ("by_database", "demo weights"), ("table_1", INTERVALS)]
)
def test_the_words_stand_at_the_names_of_rows(tables, name, beside):
    remarks = {row[0].value: row[0].remark for row in tables[name].rows()}
    assert remarks["fpfomm"] == "demo weights"
    assert remarks["fomm:mode=absolute"] == "demo weights, GIF: 1 of 3, trained on 1 of 2 drivers"
    assert remarks.get("still", "") == ""
    rows = list(csv.reader(io.StringIO(tables[name].csv())))
    assert rows[0][-1] == "remark"
    assert {row[1]: row[-1] for row in rows if row[1] == "fpfomm"} == {"fpfomm": beside}


@pytest.mark.parametrize("name", ["figures", "cells_agreement"])
def test_the_words_stand_at_the_names_of_columns(tables, name):
    headings = [column.heading for column in tables[name].columns]
    assert "fpfomm (demo weights)" in headings
    assert "still" in headings
    assert "fpfomm (demo weights)" in tables[name].csv().splitlines()[0]
    assert "<small>demo weights</small>" in tables[name].html()


def test_the_words_stand_at_the_names_of_pairs(tables):
    (section,) = tables["pair"].sections
    assert section.heading.startswith("fpfomm (demo weights) - fomm:mode=absolute (demo weights, GIF: 1 of 3, ")
    unmarked = [section for section in tables["comparison"].sections if section.heading == "flow_warp"]
    assert len(unmarked) == 1


def test_a_csv_with_footnotes_stays_a_table_of_one_width(tables):
    for table in tables.values():
        rows = list(csv.reader(io.StringIO(table.csv())))
        assert len({len(row) for row in rows}) == 1
        read = pd.read_csv(io.StringIO(table.csv()), keep_default_na=False)
        assert list(read[read["section"] == NOTE].iloc[:, 1]) == list(table.footnotes)


def test_braces_and_environments_of_latex_are_closed(tables):
    for table in tables.values():
        text = re.sub(r"\\[{}]", "", table.latex())
        assert text.count("{") == text.count("}")
        assert not re.search(
            r"(?<!\\)[%#_&$](?!\\(up|down|right)arrow)", re.sub(r"^% .*|.*\\\\$|\$\\\w+\$", "", text, flags=re.M)
        )


def test_every_table_outside_the_page_names_the_versions_of_its_metrics(run, tables):
    versions = [f"{metric.name} {metric.version}" for metric in run.facts.metrics]
    assert versions
    for table in tables.values():
        assert all(version in table.csv() for version in versions)


def test_the_terminal_s_leaderboard_has_them_too(run):
    text = leaderboard.brief(run).text()
    assert "fpfomm (demo weights)" in text
    assert all(sentence in text for marks in MARKS.values() for sentence in marks.values())


def test_a_run_without_marks_has_no_footnotes(tmp_path):
    folder = make_run(tmp_path / "run", 3)
    facts = json.loads((folder / "run.json").read_text())
    for method in facts["methods"]:
        method |= {"marks": {}, "seen_drivers": []}
    (folder / "run.json").write_text(json.dumps(facts))
    table = leaderboard.leaderboard(FinishedRun(folder))
    assert table.footnotes == ()
    assert "demo weights" not in table.csv()


def test_figures_name_the_marks(run, tmp_path):
    cell = run.facts.cells[0]
    titles = [clip.title for clip in output_clips(run, cell, ["fpfomm", "flow_warp"])]
    assert titles == ["fpfomm\n(demo weights)", "flow_warp"]
    shown = [axis.get_title() for axis in draw_variants(run, [cell], ["fpfomm"]).axes]
    assert "fpfomm\n(demo weights)" in shown
    assert write_gif(run, [cell], ["fpfomm"], 1.0, False, tmp_path / "a.gif").exists()


def test_the_page_shows_words_sentences_and_files_that_fit_no_cell(folder, tmp_path):
    facts = json.loads((folder / "run.json").read_text())
    facts["methods"][1]["unused"] = [f"stray{n}.gif" for n in range(7)]
    made = make_run(tmp_path / "run", 3)
    (made / "run.json").write_text(json.dumps(facts))
    page = plain(write_report(made, Pictures.none).read_text(), "html")
    assert page.count('<p class="quiet">demo weights</p>') == 4
    assert all(sentence in page for marks in MARKS.values() for sentence in marks.values())
    assert (
        "Not scored (fomm:mode=absolute).</b> These files in its folder match no cell: stray0.gif, stray1.gif" in page
    )
    assert "and 2 more" in page
    assert f"Rendered. {RENDERED[1]}" in page, "what the protocol says of itself comes first"


def test_experts_alone_have_no_marks(run):
    assert "demo weights" not in experts_tables([Judgement("a", "d", "t", "E1", 1, 1, 1)])["table_1"].text()


@pytest.mark.parametrize("name", GENERATORS)
def test_demo_weights_say_that_they_are_not_the_published_model(name):
    method = make_method(name)
    marks = method("", {}).marks
    sentence = marks[DEMO_MARK]
    assert sentence.startswith("Not the published model. Its architecture differs (")
    config = json.dumps(json.loads(demo_weights(name).with_suffix(".json").read_text())["config"])
    assert ("MRAA's skips" in sentence) == ('"skips": true' in config and name != "mraa")
    assert ("bicubic" in sentence) <= ('"picture_sampling": "bicubic"' in config)
    assert ("ridge" in sentence) == ('"ridge": 1e-05' in config)
    assert ("moves the template instead of painting it" in sentence) == ('"displaced": true' in config)
    assert ("gates" in sentence) == ('"units": "gates"' in config)
    steadied = {"steadied"} if name in ("fpfomm", "fomm", "mraa") else set()
    assert set(marks) == {DEMO_MARK} | steadied
    assert set(method("untrained", {}).marks) == {"untrained"} | steadied


def test_modes_of_ulmegan_have_demo_weights_too():
    assert set(make_method("ulmegan")("plain", {}).marks) == {"demo weights"}


TWENTY = {"stages": {"main": {"steps": 20}}}


@pytest.mark.parametrize(
    ("card", "words"),
    [
        ({"data": {"trained_on_identities": [0]}}, {"rendered faces"}),
        ({"trained_on_identities": [0], "data": {}}, {"rendered faces"}),
        ({"data": {"trained_on_identities": [0], "clips_seen": ["casme2/a"], "people_seen": []}}, set()),
        ({"data": {"clips_seen": ["casme2/a"], "people_seen": []}}, set()),
        ({"config": "the demo's", "data": {"clips_seen": []}}, {"demo network", "steadied"}),
        ({"imported_from": {"file": "vox.pth"}}, set()),
        ({"finished": True, "kept_steps": {"main": 20}, "plan": TWENTY}, {"20 steps"}),
        ({"finished": True, "kept_steps": {"main": 1000}, "plan": TWENTY}, set()),
        ({"finished": False, "kept_steps": {"main": 10}, "plan": TWENTY}, {"10 of 20 steps"}),
        ({"finished": False, "kept_steps": {"main": 10}, "plan": "long"}, set()),
        (None, set()),
    ],
)
def test_other_weights_say_what_their_card_says(tmp_path, monkeypatch, card, words):
    monkeypatch.chdir(tmp_path)
    weights = in_store("weights") / ("fomm@mine.safetensors" if card else "fomm@mine.pth")
    weights.parent.mkdir(parents=True)
    weights.write_bytes(b"")
    if card:
        demo = json.loads(demo_weights("fomm").with_suffix(".json").read_text())["config"]
        config = demo if card.get("config") else {"num_kp": 10}
        weights.with_suffix(".json").write_text(json.dumps(card | {"config": config}))
    assert set(make_method("fomm")("mine", {}).marks) == words


def test_weights_of_another_architecture_say_so_at_any_width(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    weights = in_store("weights") / "ulmegan@mine.safetensors"
    weights.parent.mkdir(parents=True)
    weights.write_bytes(b"")
    for displaced, words in ((True, {"another network"}), (False, set())):
        weights.with_suffix(".json").write_text(json.dumps({"config": {"width": 8, "displaced": displaced}}))
        assert set(make_method("ulmegan")("mine", {}).marks) == words


def test_the_terminal_s_leaderboard_shows_other_figures_where_its_own_are_not_asked_for(tmp_path):
    folder = make_run(tmp_path / "run", 3)
    scores = pd.read_csv(folder / "scores.csv", keep_default_na=False, dtype="str")
    facts = json.loads((folder / "run.json").read_text())
    for metric in facts["metrics"]:
        metric["figures"] = [figure for figure in metric["figures"] if not figure["brief"]]
    left = [figure["name"] for metric in facts["metrics"] for figure in metric["figures"]]
    scores[scores.figure.isin(left)].to_csv(folder / "scores.csv", index=False)
    (folder / "run.json").write_text(json.dumps(facts))
    assert [column.title for column in leaderboard.brief(FinishedRun(folder)).columns] == ["method", "agreement"]


def test_the_terminal_names_metrics_that_have_no_figure_in_its_table(tmp_path):
    folder = make_run(tmp_path / "run", 3)
    facts = json.loads((folder / "run.json").read_text())
    facts["metrics"] = [{"name": "openface_intensity", "version": "1", "figures": []}]
    (folder / "run.json").write_text(json.dumps(facts))
    told = "No figure of openface_intensity is shown here; see scores.csv."
    assert told in leaderboard.brief(FinishedRun(folder)).text()
