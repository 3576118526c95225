"""The page in a browser: it runs without complaint, its clips keep step, its tables sort."""

import json
import shutil

import cv2
import numpy as np
import pandas as pd
import pytest

from megbench.core.figures import GROUPS, Figure
from megbench.core.frames import frame_path, write_png
from megbench.reports.html import write_report
from tests.report_fixture import FRAMES, make_run, with_metric

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
    folder = make_run(tmp_path_factory.mktemp("run"))
    noise = np.random.default_rng(0).choice([-0.06, 0.06], (FRAMES, 32, 32, 2)).astype(np.float16)
    np.savez(folder / "motion" / "cells" / "flow_warp" / "d1__ta.npz", field=noise)
    return write_report(folder, cache=folder / "media")


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
    page.wait_for_selector("body[data-ready]", timeout=60_000)
    yield page
    page.close()
    assert complaints == []


def test_names_keep_their_end_on_a_narrow_screen(page):
    page.set_viewport_size({"width": 390, "height": 800})
    cut = page.eval_on_selector_all(
        "#leaderboard th[scope=row], .heat th[scope=row]",
        "all => all.filter(name => name.scrollWidth > name.clientWidth + 1).map(name => name.textContent)",
    )
    assert cut == []


def shown_frames(page):
    return page.eval_on_selector_all(
        ".cell.shown > .players .player[data-media]", "all => all.map(player => Number(player.dataset.frame))"
    )


def pixels(page, canvas, player):
    """RGB of a canvas of the opened cell, scaled to (256, 256, 3)."""
    # As a text: a list of numbers takes seconds on its way. From 256 on, so that no letter is special.
    letters = page.evaluate(
        """([canvas, player]) => {
            const found = document.querySelectorAll(`.cell.shown .player .${canvas}`)[player];
            const copy = new OffscreenCanvas(256, 256).getContext("2d", {willReadFrequently: true});
            copy.drawImage(found, 0, 0, 256, 256);
            let text = "";
            for (const value of copy.getImageData(0, 0, 256, 256).data) text += String.fromCharCode(256 + value);
            return text;
        }""",
        [canvas, player],
    )
    return np.frombuffer(letters.encode("utf-16-le"), "<u2").reshape(256, 256, 4)[..., :3].astype(int) - 256


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
    from megbench.core.frames import read_frames

    page.locator("#frame").fill("5")
    output = 3  # template, driver, truth, then the first method
    true = read_frames(report.parent / "cells" / "fpfomm" / "d1__ta" / "frames", FRAMES)[5]
    assert np.abs(pixels(page, "picture", output) - true).mean() < 3


def test_the_amplified_difference_is_grey_at_the_onset_and_grows_with_amplification(page):
    def spread(amplification):
        page.locator("#amplification").select_option(amplification)
        return np.abs(pixels(page, "difference", 3) - 128).sum()

    page.locator("#frame").fill("1")  # the onset
    assert spread("2") == 0
    page.locator("#frame").fill(str(FRAMES // 2))
    weak, strong = spread("2"), spread("8")
    assert 0 < 2 * weak < strong
    assert (pixels(page, "difference", 3) != pixels(page, "picture", 3)).any()


def test_views_are_switched_one_by_one_and_one_always_stays(page):
    shown = {
        view: page.locator(f".cell.shown canvas.{view}").first
        for view in ("picture", "magnified", "difference", "motion")
    }

    def visible():
        return {view for view, canvas in shown.items() if canvas.is_visible()}

    assert visible() == {"picture", "magnified", "difference"}
    page.locator("#views button[value=picture]").click()
    page.locator("#views button[value=difference]").click()
    assert visible() == {"magnified"}
    page.keyboard.press("3")
    page.keyboard.press("4")
    assert visible() == {"motion"}


def test_magnified_motion_is_what_moved_moved_further(page):
    """The middle of the fixture's field moves by 0.2 pixels a frame: by 1.2 at frame 6, by 8.4 more for 8 times."""
    page.locator("#magnification").select_option("8")
    page.locator("#frame").fill("6")
    picture, magnified = (pixels(page, view, 3) for view in ("picture", "magnified"))
    assert (magnified[:, :40] == picture[:, :40]).all(), "nothing moves there"
    moved = cv2.warpAffine(picture.astype(np.float32), np.float32([[1, 0, 8.4], [0, 1, 0]]), (256, 256))
    middle = np.s_[96:160, 96:160]
    assert np.abs(magnified - moved)[middle].mean() < 2
    assert np.abs(picture - moved)[middle].mean() > 8


def test_noise_of_the_measured_motion_is_not_magnified(page):
    page.locator("#magnification").select_option("16")
    page.locator("#frame").fill("5")
    assert (pixels(page, "magnified", 5) == pixels(page, "picture", 5)).all()


def test_motion_that_would_fold_the_picture_when_magnified_is_smoothed(browser, tmp_path):
    """The middle of a ramp from dark to bright moves by 10 pixels, 160 when magnified: it must stay a ramp."""
    folder = make_run(tmp_path / "run", 2, drivers=1)
    ramp = np.broadcast_to(np.arange(256, dtype=np.uint8)[:, None], (2, 256, 256, 3))
    cell = folder / "cells" / "fpfomm" / "d1__ta" / "frames"
    for index, frame in enumerate(ramp):
        write_png(frame_path(cell, index), np.ascontiguousarray(frame))
    field = np.zeros((2, 32, 32, 2), np.float16)
    field[1, 8:24, 8:24, 0] = 10
    np.savez(folder / "motion" / "cells" / "fpfomm" / "d1__ta.npz", field=field)
    page = browser.new_page()
    page.goto(write_report(folder, cache=tmp_path / "media").as_uri())
    page.wait_for_selector("body[data-ready]", timeout=60_000)
    page.locator("#magnification").select_option("16")
    page.locator("#frame").fill("1")
    magnified, picture = (pixels(page, view, 3).mean(-1)[64:192] for view in ("magnified", "picture"))
    page.close()
    assert np.abs(magnified - picture).max() > 20
    assert np.diff(magnified, axis=1).min() > -3


def seven_clips_in_rows(page, width):
    """How many rows seven clips of a cell take on a window of this width."""
    page.set_viewport_size({"width": width, "height": 800})
    return page.evaluate(
        """() => {
            const players = document.querySelector(".cell.shown > .players");
            while (players.children.length < 7) players.append(players.lastElementChild.cloneNode(true));
            players.style.setProperty("--n", 7);
            return new Set([...players.children].map((player) => Math.round(player.getBoundingClientRect().top))).size;
        }"""
    )


def test_seven_clips_stand_in_one_row_where_there_is_room(page):
    assert [seven_clips_in_rows(page, width) for width in (1600, 1280, 390)] == [1, 1, 4]


def test_motion_fields_show_arrows_and_colour_where_the_clip_moves(page):
    def coloured(frame):
        page.locator("#frame").fill(str(frame))
        return (np.ptp(pixels(page, "motion", 3), axis=2) > 24).sum()

    page.locator("#views button[value=motion]").click()
    assert coloured(0) == 0
    assert coloured(FRAMES // 2) > 2000


def test_the_strip_shows_the_marked_frames_of_driver_truth_and_methods(page):
    page.locator(".cell.shown details.strip summary").click()
    strip = page.locator(".cell.shown details.strip")
    page.wait_for_selector(".cell.shown details.strip[data-frames]")
    assert strip.get_attribute("data-frames") == "1 4 6 9 11"
    assert strip.locator(".ticks").first.locator("span").all_inner_texts() == [
        "onset 1",
        "4",
        "apex 6",
        "9",
        "offset 11",
    ]
    sizes = strip.locator("canvas").evaluate_all("all => all.map(c => c.width / c.height)")
    assert sizes == [5 / 2] * 5


def test_controls_are_decoded_when_they_are_opened(page):
    controls = page.locator(".cell.shown details.controls .player")
    assert controls.first.get_attribute("data-frame") is None
    page.locator(".cell.shown details.controls summary").first.click()
    page.wait_for_selector(".cell.shown details.controls .player[data-frame]")
    page.locator("#frame").fill("2")
    assert set(controls.evaluate_all("all => all.map(player => player.dataset.frame)")) == {"2"}


def test_light_and_dark_follow_the_system_until_the_reader_chooses(page):
    def brightness():
        colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
        return sum(int(part) for part in colour.strip("rgb()").split(","))

    page.emulate_media(color_scheme="dark")
    assert brightness() < 150
    page.emulate_media(color_scheme="light")
    assert brightness() > 600
    page.locator("#theme").click()
    assert brightness() < 150


def test_heat_maps_are_chosen_one_at_a_time(page):
    assert page.locator(".heat:visible").count() == 1
    page.locator("#heat").select_option("gain")
    assert page.locator(".heat:visible").get_attribute("data-figure") == "gain"


def test_clips_beside_a_large_page_are_fetched_when_their_cell_opens(browser, tmp_path, monkeypatch):
    monkeypatch.setattr("megbench.reports.html.PAGE_BUDGET", 1000)
    report = write_report(make_run(tmp_path / "run", 3), cache=tmp_path / "media")
    page = browser.new_page()
    complaints, requests = [], []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(report.as_uri())
    page.wait_for_selector("body[data-ready]", timeout=60_000)
    assert set(shown_frames(page)) == {1}
    assert complaints == []
    assert all(url.startswith("file:") for url in requests)
    first_cell = page.locator(".cell.shown > .players [data-media]").evaluate_all(
        "all => new Set(all.map(p => p.dataset.media)).size"
    )
    assert len(requests) == 1 + first_cell
    page.close()
    (tmp_path / "run" / "report_media" / "2.js").unlink()
    page = browser.new_page()
    page.goto(report.as_uri())
    page.wait_for_selector("body[data-ready]", timeout=60_000)
    assert "keep the folder report_media" in page.locator(".cell.shown .lost", has_text="not there").first.inner_text()
    page.close()


def test_playing_moves_on_and_pausing_stops(page):
    page.locator("#speed").select_option("1")
    page.locator("#frame").fill("0")
    page.locator("#play").click()
    page.wait_for_selector(".cell.shown .player:not([data-frame='0'])", timeout=60_000)
    page.locator("#play").click()
    stopped = shown_frames(page)
    page.wait_for_timeout(150)
    assert shown_frames(page) == stopped


def test_another_cell_opens_from_the_table_and_a_failure_shows_its_reason(page):
    page.locator(".heat:visible a").nth(1).click()
    page.wait_for_selector("body[data-ready='#cell=d1__tb']", timeout=60_000)
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
    assert len(ways) == 6 + 2  # the regions, two known action units
    assert min(ways) > 80


def test_a_click_on_a_heading_sorts_within_each_section(page):
    def column():
        return page.eval_on_selector_all(
            "#board .folding tbody",
            "all => all.map(b => [...b.rows].slice(1).map(r => Number(r.cells[1].dataset.sort)))",
        )

    button = page.locator("#board .folding thead tr:last-child button").nth(1)
    button.click()
    methods, controls = column()
    assert methods == sorted(methods, reverse=True)
    assert controls == sorted(controls, reverse=True)
    button.click()
    assert column() == [sorted(methods), sorted(controls)]


@pytest.fixture(scope="module")
def wide(browser, tmp_path_factory):
    """A report whose leaderboard has 25 columns more, in the suite's groups and two others."""
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
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    page.goto(wide.as_uri())
    page.wait_for_selector("body[data-ready]", timeout=60_000)
    yield page
    page.close()


def columns_shown(page):
    return page.locator("#board .folding thead tr:last-child th:visible").count()


def reaches_out(page):
    """By how many pixels the leaderboard and the page are wider than they show."""
    return page.evaluate(
        """() => [document.querySelector("#board .folding .table-scroll"), document.documentElement]
            .map((box) => box.scrollWidth - box.clientWidth)"""
    )


def test_groups_of_columns_fold_until_the_leaderboard_fits(board):
    """Each keeps its first column, and the first group stays open."""
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
    board.set_viewport_size({"width": 718, "height": 1000})  # A4, upright
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


def test_absent_values_sort_last_either_way(page):
    button = page.locator(".heat:visible thead button").nth(2)
    for _ in range(2):
        button.click()
        last = page.locator(".heat:visible tbody tr").last.locator("td").nth(1)
        assert last.get_attribute("class") == "absent"


def test_hostile_names_of_methods_and_clips_are_shown_as_they_are(browser, tmp_path):
    name = "<img src=x onerror=alert(1)>"
    folder = make_run(tmp_path / "run", 3)
    facts = json.loads((folder / "run.json").read_text())
    scores = pd.read_csv(folder / "scores.csv", keep_default_na=False)
    for old, place in (("flow_warp", "cells"), ("flow_warp", "partials"), ("d1", "inputs/drivers")):
        (folder / place / old).rename(folder / place / name)
    facts["methods"][2]["label"] = name
    for cell in facts["cells"]:
        cell["driver"] = cell["driver"].replace("d1", name)
    scores.replace({"method": {"flow_warp": name}, "driver": {"d1": name}}).to_csv(folder / "scores.csv", index=False)
    (folder / "run.json").write_text(json.dumps(facts))
    page, complaints = browser.new_page(), []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("dialog", lambda dialog: complaints.append(dialog.message))
    page.goto(write_report(folder, cache=tmp_path / "media").as_uri())
    page.wait_for_selector("body[data-ready]", timeout=60_000)
    assert page.locator("#board .folding tbody th", has_text=name).count() == 1
    assert page.locator(".cell.shown figcaption", has_text=name).count() >= 1
    assert name in page.locator(".cell.shown h3").inner_text()
    assert page.locator("img:not([src^='data:image/webp;base64,'])").count() == 0
    assert complaints == []
    page.close()
