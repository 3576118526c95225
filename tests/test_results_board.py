"""The results in a browser: only comparable rows share a table, filters and sorting work, and nothing is requested."""

import copy
import html
import re

import pytest

from megbench.core.errors import BenchError
from megbench.results.board import write_board
from megbench.results.paper_numbers import PaperNumber, paper_numbers
from megbench.results.rankings import Entry, rankings
from megbench.results.reading import ENTRIES, read_submission
from megbench.results.submission import Submission
from tests.browser import opened
from tests.results_fixture import DEMO_HASH, HOSTILE, METRIC, mended, results, row, write

SUITE = {DEMO_HASH: "demo weights"}
NEWER = {**METRIC, "version": "3"}


def number(within):
    """Return a number that a paper prints for the row fomm: its gain, rounded to three decimals."""
    facts = {"row": "fomm", "protocol": "folder", "cells": 12, "metric": "motion_agreement", "version": "2"}
    printed = f"{WHOLE['rows'][0]['scores']['gain']['value']:.3f}"
    why = "" if within is not None else "The paper does not say how."
    return PaperNumber(**facts, figure="gain", paper="tpsrau", printed=printed, within=within, why=why)


WHOLE = results()
# A second submission on the same cells and with the same version of the metric.
SECOND = results(
    rows=[{**row("mine", 30, marks={HOSTILE: HOSTILE}), "label": f"mine {HOSTILE}"}, *WHOLE["rows"][3:]],
    asked={"methods": [f"mine {HOSTILE}"], "controls": True, "seed": 0, "device": "cpu"},
)


@pytest.fixture(scope="module")
def entries(tmp_path_factory):
    folder = tmp_path_factory.mktemp("entries")
    for name, facts in (("first", WHOLE), ("second", SECOND), ("third", results(metric=NEWER))):
        write(facts, folder / f"{name}.json")
    return folder


@pytest.fixture(scope="module")
def site(entries, tmp_path_factory):
    return write_board(entries, tmp_path_factory.mktemp("site"), SUITE, [number(0.001)])


@pytest.fixture
def page(browser, site):
    page, complaints = opened(browser, site)
    yield page
    page.close()
    assert complaints == []


def shown(page):
    """Return the labels of all visible methods, one list per table."""
    return page.eval_on_selector_all(
        ".ranking:not([hidden])",
        """all => all.map(one => [...one.querySelectorAll("tbody.methods tr[data-status]:not([hidden]) th a")]
            .map(link => link.textContent))""",
    )


def entry(name, facts):
    return Entry(name, Submission.model_validate(facts))


def test_rows_share_a_table_only_on_the_same_cells_by_the_same_version():
    other_cell = copy.deepcopy(WHOLE)
    for cell in other_cell["cells"]:
        if cell["driver"] == "d0":
            cell["driver_content"] = "9" * 32
    fewer = copy.deepcopy(WHOLE)
    lost = fewer["rows"][0]["cells"]["d0__ta"]
    lost["absent"], lost["scores"] = {"no face": list(lost["scores"])}, {}
    found = rankings(
        [
            entry("a", WHOLE),
            entry("b", SECOND),
            entry("c", results(metric=NEWER)),
            entry("d", other_cell),
            entry("e", fewer),
        ],
        [],
    )
    together = sorted(sorted({ranked.entry.name for ranked in ranking.methods}) for ranking in found)
    assert together == [["a", "b", "e"], ["c"], ["d"], ["e"]]
    (short,) = [ranking for ranking in found if len(ranking.cells) == 11]
    assert [ranked.row.label for ranked in short.methods] == ["fomm"]
    # A control that occurs in two submissions is listed once.
    shared = next(ranking for ranking in found if len(ranking.methods) > 4)
    labels = [ranked.row.label for ranked in shared.controls]
    assert len(labels) == len(set(labels))


def test_the_best_row_comes_first(page):
    first = shown(page)[0]
    cells = ".ranking:first-of-type tbody.methods tr[data-status] td:nth-of-type(1)"
    numbers = [float(value) for value in page.eval_on_selector_all(cells, "all => all.map(one => one.dataset.sort)")]
    assert len(numbers) == len(first) == 6
    assert numbers == sorted(numbers, reverse=True)


def test_controls_have_no_speed(page):
    speed = "all => all.map(one => [...one.children].at(-3).dataset.sort)"
    assert all(page.eval_on_selector_all("tbody.methods tr[data-status]", speed))
    speeds = page.eval_on_selector_all("tbody.controls tr[data-status]", speed)
    assert speeds
    assert not any(speeds)


def test_a_click_on_a_heading_sorts(page):
    before = shown(page)[0]
    heading = page.locator(".ranking >> nth=0 >> thead button >> nth=0")
    heading.click()
    rising = shown(page)[0]
    heading.click()
    assert rising == sorted(before, key=str.lower)
    assert shown(page)[0] == rising[::-1]


def test_filters_choose_protocol_metric_and_status(page):
    assert len(shown(page)) == 2
    page.locator("#metric").select_option("motion_agreement 3")
    assert shown(page) == [shown(page)[0]]
    page.locator("#metric").select_option("")
    page.locator("#status").select_option("untrained")
    assert shown(page) == [["fomm@untrained"], ["fomm@untrained"]]
    assert page.locator("#count").inner_text() == "2 rows"
    page.locator("#status").select_option("")
    page.locator("#controls").uncheck()
    assert page.locator("tbody.controls:visible").count() == 0
    page.locator("#protocol").select_option("folder")
    assert len(shown(page)) == 2


def test_a_row_leads_to_its_cells_with_intervals_and_back(page):
    page.locator("a", has_text=re.compile("^fomm$")).first.click()
    page.wait_for_selector("body[data-ready]", state="attached")
    text = page.locator("main").inner_text()
    low = WHOLE["rows"][0]["scores"]["gain"]["low"]
    assert f"{low:.2f} to" in text
    assert page.locator("details[open] tbody tr").count() == len(WHOLE["cells"])
    page.locator("summary", has_text="Hashes").click()
    assert WHOLE["rows"][0]["cells"]["d0__ta"]["output"] in page.locator(".hashes").inner_text()
    page.locator(".back a").click()
    page.wait_for_selector("#filters")


def test_a_row_that_reproduces_its_papers_number_has_a_badge(page):
    badges = page.locator(".badge")
    assert badges.count() == 1
    beside = page.locator("td", has=page.locator(".badge")).first
    assert f"paper {number(0.1).printed}" in beside.inner_text()
    assert beside.evaluate("cell => cell.parentElement.querySelector('a').textContent") == "fomm"


def test_a_printed_number_without_a_recipe_stands_beside_without_a_badge(entries, tmp_path):
    text = write_board(entries, tmp_path / "site", SUITE, [number(None)]).read_text()
    assert "paper 0." in text
    assert 'class="badge"' not in text


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone_in_light_and_dark(browser, site, scheme):
    page, complaints = opened(browser, site, width=390, height=800)
    page.emulate_media(color_scheme=scheme)
    wide = "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
    assert len(set(page.evaluate(wide))) == 1
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    for name in ("wrong_driver", "fomm@untrained"):  # neither part of the name is broken; each is on one line
        pieces = page.locator("th a", has_text=re.compile(f"^{name}$")).first.evaluate(
            """link => [...link.childNodes].filter(node => node.nodeType === Node.TEXT_NODE).map(node => {
                const range = document.createRange();
                range.selectNode(node);
                return range.getClientRects().length;
            })"""
        )
        assert pieces == [1, 1], name
    dark = sum(map(int, re.findall(r"\d+", ground)[:3])) < 300
    assert dark == (scheme == "dark")
    page.locator("#theme").click()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != ground
    page.close()
    assert complaints == []


def test_every_page_forbids_requests_and_escapes_what_strangers_wrote(site):
    pages = list(site.parent.glob("*.html"))
    assert len(pages) == 1 + sum(len(facts["rows"]) for facts in (WHOLE, SECOND, WHOLE))
    for path in pages:
        text = path.read_text()
        assert "default-src 'none'; script-src 'sha256-" in html.unescape(text)
        assert HOSTILE not in text
        assert not re.search(r"(?:src|href)=[\"']?(?:https?:)?//", text)
    assert any("&lt;script&gt;" in path.read_text() for path in pages)


def test_a_site_replaces_an_earlier_one_and_nothing_else(entries, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(BenchError, match="something other than an earlier site"):
        write_board(entries, tmp_path / "mine", SUITE)
    assert (tmp_path / "mine" / "thesis.txt").exists()
    for _ in range(2):
        assert write_board(entries, tmp_path / "site", SUITE).is_file()


def test_files_at_fault_stop_the_table(tmp_path):
    with pytest.raises(BenchError, match="contains no results file"):
        write_board(tmp_path, tmp_path / "site", SUITE)
    facts = copy.deepcopy(WHOLE)
    facts["rows"][0]["scores"]["gain"]["value"] = 0.99
    write(mended(facts), tmp_path / "forged.json")
    with pytest.raises(BenchError, match=r"forged\.json: row fomm: gain: its mean is given as 0\.99"):
        write_board(tmp_path, tmp_path / "site", SUITE)
    (tmp_path / "forged.json").rename(tmp_path / "..a.json")
    with pytest.raises(BenchError, match="cannot be used"):
        write_board(tmp_path, tmp_path / "site", SUITE)


def test_the_repositorys_own_entries_are_whole():
    from megbench.commands.results import known_weights

    elsewhere = [read_submission(path)[0] for path in sorted(ENTRIES.glob("elsewhere-*.json"))]
    rows = [(made, one) for made in elsewhere for one in made.rows]
    assert all(made.kind == "measured elsewhere" and made.seal is None for made in elsewhere)
    assert sum(len(one.cells) for _, one in rows) == 66
    assert sum(len(one.cells) for _, one in rows if "prototype only" in one.marks) == 25
    (mix,) = [one for _, one in rows if one.label == "FPB-FOMM-MIX"]
    assert [round(mix.scores[f"{name}_v1"].value, 2) for name in ("agreement", "gain", "error")] == [0.83, 0.67, 0.70]
    from megbench.results.board import read_entries

    assert len(read_entries(ENTRIES, known_weights())) >= len(elsewhere)
    assert paper_numbers()
