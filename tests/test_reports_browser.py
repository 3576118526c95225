"""The page in a browser: it runs without complaint, its clips keep step, its tables sort."""

import shutil

import pytest

from reports.html import write_report
from tests.report_fixture import FRAMES, make_run

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
FLAGS = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium found: install it (Debian: apt install chromium)")


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=CHROMIUM, args=[*FLAGS.split(), "--disable-component-update", "--disable-sync"]
        )
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    return write_report(make_run(folder), cache=folder / "media")


@pytest.fixture
def page(browser, report):
    page = browser.new_page(viewport={"width": 1400, "height": 900})
    page.set_default_timeout(60_000)
    complaints = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", lambda dialog: complaints.append(dialog.message))
    page.on("request", lambda request: complaints.append(request.url) if request.url.startswith("http") else None)
    page.goto(report.as_uri())
    page.wait_for_function("document.body.dataset.ready", timeout=60_000)
    yield page
    page.close()
    assert complaints == []


def shown_frames(page):
    return page.eval_on_selector_all(
        ".cell.shown > .players .player[data-media]", "all => all.map(player => Number(player.dataset.frame))"
    )


def pixels(page, canvas, player):
    return page.evaluate(
        """([canvas, player]) => {
            const found = document.querySelectorAll(`.cell.shown .player .${canvas}`)[player];
            const copy = new OffscreenCanvas(256, 256).getContext("2d", {willReadFrequently: true});
            copy.drawImage(found, 0, 0);
            return Array.from(copy.getImageData(0, 0, 256, 256).data);
        }""",
        [canvas, player],
    )


def test_a_cell_opens_at_its_apex(page):
    assert set(shown_frames(page)) == {FRAMES // 2}
    assert "apex" in page.locator("#where").inner_text()


def test_the_scrubber_moves_every_clip_to_one_frame(page):
    page.locator("#frame").fill("3")
    assert len(shown_frames(page)) >= 6
    assert set(shown_frames(page)) == {3}
    page.locator("#forward").click()
    assert set(shown_frames(page)) == {4}


def test_keys_step_and_stop_at_the_ends(page):
    page.locator("h1").click()
    for key, frame in (("Home", 0), ("ArrowLeft", 0), ("ArrowRight", 1), ("End", FRAMES - 1), ("a", FRAMES // 2)):
        page.keyboard.press(key)
        assert set(shown_frames(page)) == {frame}


def test_the_picture_is_the_lossless_frame_to_a_few_grey_levels(page, report):
    from core.frames import read_frames

    page.locator("#frame").fill("5")
    output = 3  # template, driver, truth, then the first method
    shown = pixels(page, "picture", output)
    true = read_frames(report.parent / "cells" / "fpfomm" / "d1__ta" / "frames", FRAMES)[5].reshape(-1)
    colours = [value for i, value in enumerate(shown) if i % 4 != 3]
    difference = sum(abs(a - int(b)) for a, b in zip(colours, true, strict=True)) / len(true)
    assert difference < 3


def test_the_amplified_difference_is_grey_at_frame_0_and_grows_with_amplification(page):
    def spread(amplification):
        page.locator("#amplification").select_option(amplification)
        return sum(abs(value - 128) for i, value in enumerate(pixels(page, "difference", 3)) if i % 4 == 0)

    page.locator("#frame").fill("0")
    assert spread("2") <= 256 * 256
    page.locator("#frame").fill(str(FRAMES // 2))
    weak, strong = spread("2"), spread("8")
    assert 0 < 2 * weak < strong
    assert pixels(page, "difference", 3) != pixels(page, "picture", 3)


def test_one_view_can_be_hidden(page):
    page.locator("#view").select_option("difference")
    assert not page.locator(".cell.shown canvas.picture").first.is_visible()
    assert page.locator(".cell.shown canvas.difference").first.is_visible()


def test_playing_moves_on_and_pausing_stops(page):
    page.locator("#speed").select_option("1")
    page.locator("#frame").fill("0")
    page.locator("#play").click()
    page.wait_for_function("document.querySelector('.cell.shown .player').dataset.frame > 0", timeout=60_000)
    page.locator("#play").click()
    stopped = shown_frames(page)
    page.wait_for_timeout(150)
    assert shown_frames(page) == stopped


def test_another_cell_opens_from_the_table_and_a_failure_shows_its_reason(page):
    page.locator("#cells table a").nth(1).click()
    page.wait_for_function("document.body.dataset.ready === '#cell=d1__tb'", timeout=60_000)
    assert page.locator(".cell.shown").count() == 1
    assert "<script>alert" in page.locator(".cell.shown .failed").inner_text()
    assert set(shown_frames(page)) == {FRAMES // 2}


def test_curve_cursors_follow_the_frame(page):
    def cursors():
        return page.eval_on_selector_all(
            ".cell.shown .cursor",
            "all => all.map(c => c.getBoundingClientRect().x - c.ownerSVGElement.getBoundingClientRect().x)",
        )

    page.locator("#frame").fill("0")
    start = cursors()
    page.locator("#frame").fill(str(FRAMES - 1))
    ways = [end - begin for begin, end in zip(start, cursors(), strict=True)]
    assert len(ways) == 6
    assert min(ways) > 80


def test_a_click_on_a_heading_sorts_within_each_section(page):
    def column():
        return page.eval_on_selector_all(
            "#leaderboard tbody", "all => all.map(b => [...b.rows].slice(1).map(r => Number(r.cells[1].dataset.sort)))"
        )

    button = page.locator("#leaderboard thead button").nth(1)
    button.click()
    methods, controls = column()
    assert methods == sorted(methods, reverse=True)
    assert controls == sorted(controls, reverse=True)
    button.click()
    assert column() == [sorted(methods), sorted(controls)]


def test_absent_values_sort_last_either_way(page):
    button = page.locator("#cells table thead button").nth(2)
    for _ in range(2):
        button.click()
        last = page.locator("#cells tbody tr").last.locator("td").nth(1)
        assert last.get_attribute("class") == "absent"
