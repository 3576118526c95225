"""The leaderboard in a browser: it sorts, folds until it fits, keeps its first column, and prints completely."""

import pytest

from megbench.core.figures import GROUPS, Figure
from megbench.reports.html import write_report
from tests.browser import opened
from tests.report_fixture import make_run, with_metric


@pytest.fixture(scope="module")
def wide(browser, tmp_path_factory):
    """Write a report whose leaderboard has 25 more columns, in the suite's own groups and two others."""
    folder = tmp_path_factory.mktemp("wide")
    figures = [
        Figure(
            f"f{group}{place}",
            "Figure",
            target="driver",
            ideal=1,
            short=f"a figure {place}",
            group=name,
            description="",
        )
        for group, name in enumerate((*GROUPS[2:], "Spotting", "Timing, in frames"))
        for place in range(4)
    ]
    with_metric(make_run(folder / "run", 1), False, "0.25", *figures)
    return write_report(folder / "run", cache=folder / "media")


@pytest.fixture
def board(browser, wide):
    page, complaints = opened(browser, wide, 1280, 800)
    yield page
    page.close()
    assert complaints == []


def columns_shown(page):
    return page.locator("#board .folding thead tr:last-child th:visible").count()


def reaches_out(page):
    """Return how many pixels the leaderboard and the page extend beyond their visible width."""
    return page.evaluate(
        """() => [document.querySelector("#board .folding .table-scroll"), document.documentElement]
            .map((box) => box.scrollWidth - box.clientWidth)"""
    )


def test_a_click_on_a_heading_sorts_within_each_section(board):
    """The test sorts by agreement and by a column of a group that was folded."""

    def column(place):
        return board.eval_on_selector_all(
            "#board .folding tbody",
            f"all => all.map(body => [...body.rows].slice(1).map(row => Number(row.cells[{place}].dataset.sort)))",
        )

    for heading in ("agreement", "identity dist."):
        button = board.locator("#board .folding thead tr:last-child button", has_text=heading).first
        place = button.evaluate("button => button.closest('th').cellIndex")
        button.click()
        methods, controls = column(place)
        assert len(set(methods)) == 3
        assert methods == sorted(methods, reverse=True)
        assert controls == sorted(controls, reverse=True)
        button.click()
        assert column(place) == [sorted(methods), sorted(controls)]


def test_groups_of_columns_fold_until_the_leaderboard_fits(board):
    """Each group keeps its first column, and the first group stays open."""
    every = board.locator("#board .folding thead tr:last-child th").count()
    assert reaches_out(board) == [0, 0]
    shown = columns_shown(board)
    assert shown < every
    assert (
        board.locator("#board .folding tr.groups th:visible").count()
        == board.locator("#board .folding tr.groups th").count()
    )
    assert board.locator("#board .folding tr.groups button").first.get_attribute("aria-expanded") == "true"
    board.set_viewport_size({"width": 390, "height": 800})
    assert columns_shown(board) <= shown
    assert reaches_out(board)[1] == 0
    board.set_viewport_size({"width": 1920, "height": 800})
    assert shown < columns_shown(board)


def test_a_click_or_a_key_on_a_groups_head_opens_and_folds_it(board):
    guards = board.locator("#board .folding tr.groups button", has_text="Guards: the picture")
    shown = columns_shown(board)
    assert guards.get_attribute("aria-expanded") == "false"
    guards.click()
    assert columns_shown(board) == shown + 4, "the fixture's own guard and four more, of which one was shown"
    board.set_viewport_size({"width": 1270, "height": 800})
    assert guards.get_attribute("aria-expanded") == "true", "what the reader opened stays open"
    guards.focus()
    board.keyboard.press("Enter")
    assert guards.get_attribute("aria-expanded") == "false"


def test_on_paper_all_columns_stand_in_tables_that_fit(board):
    every = board.locator("#board .folding thead tr:last-child th").all_inner_texts()
    board.set_viewport_size({"width": 718, "height": 1000})  # A4, portrait
    assert not board.locator("#board .paper").is_visible()
    board.emulate_media(media="print")
    assert not board.locator("#board .folding").is_visible()
    shown = board.locator("#board .paper thead tr:last-child th:visible").all_inner_texts()
    assert len(shown) - len(every) == board.locator("#board .paper table").count() - 1, "each has the first column"
    boxes = "all => all.map((box) => box.scrollWidth - box.clientWidth)"
    assert set(board.locator("#board .paper .table-scroll").evaluate_all(boxes)) == {0}


def test_the_first_column_stays_when_the_leaderboard_is_moved_sideways(board):
    board.set_viewport_size({"width": 390, "height": 800})
    name = board.locator("#board .folding tbody th[scope=row]").first
    before = name.bounding_box()
    assert board.evaluate("document.querySelector('#board .folding .table-scroll').scrollLeft += 150") == 150
    assert board.locator("#board .folding tbody td").first.bounding_box()["x"] < before["x"]
    assert name.bounding_box() == before
