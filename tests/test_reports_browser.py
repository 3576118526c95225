"""The page in a browser: it runs without errors, its clips stay in sync, and its tables can be sorted."""

import json

import numpy as np
import pandas as pd
import pytest

from megbench.reports.html import write_report
from tests.browser import opened, pixels
from tests.report_fixture import FRAMES, make_run


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    return write_report(make_run(folder), cache=folder / "media")


@pytest.fixture
def page(browser, report):
    page, complaints = opened(browser, report)
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


def seven_clips_in_rows(page, width):
    """Return the number of rows that seven clips of a cell take in a window of this width."""
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
    lost = page.locator(".cell.shown .lost", has_text="missing").first
    assert "keep the folder report_media beside this page" in lost.inner_text()
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
    assert len(ways) == 6 + 2  # six curves of regions and two of known action units
    assert min(ways) > 80


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
