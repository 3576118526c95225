"""A rater's folder in a browser: clips stay in sync, keys give answers, nothing is lost, and no method is named."""

import html
import json
import shutil

import pytest

from megbench.experts.pairs import read_pairs
from tests.browser import opened
from tests.report_fixture import CONTROLS, LABELS, make_judged_run

FRAMES = 4


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_judged_run(tmp_path_factory.mktemp("run") / "run", frames=FRAMES)


@pytest.fixture
def folder(call, run):
    """Return Anna's folder, made once for all tests. Her key stays in the run."""
    made = run / "pairs" / "anna"
    if not made.exists():
        code, _, err = call("experts", "pairs", run, "--rater", "anna", "--each", "4")
        assert code == 0, err
    return made


@pytest.fixture
def page(browser, folder):
    page, complaints = opened(browser, folder / "index.html")
    yield page
    page.close()
    assert complaints == []


def played(page, number):
    """Wait until a question's clips have played to their end."""
    page.wait_for_function(
        "number => document.body.dataset.ready === number && !document.querySelector('#left').disabled", arg=str(number)
    )


def count(page):
    return page.locator("#count").inner_text()


def test_nothing_in_the_folder_names_a_method_or_asks_elsewhere(folder):
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert {path.name for path in folder.iterdir()} == {"index.html", "clips"}
    assert all(path.stem.isdigit() for path in (folder / "clips").iterdir())
    for path in files:
        text = path.read_text(encoding="utf-8")
        assert not any(label in str(path.relative_to(folder)) + text for label in LABELS)
        assert "http:" not in text
        assert "https:" not in text
    page = (folder / "index.html").read_text(encoding="utf-8")
    assert not any(f'"{label}"' in page for label in CONTROLS)
    assert "default-src 'none'; script-src 'sha256-" in html.unescape(page)


def test_all_clips_of_a_question_are_at_one_frame_to_the_end(page):
    played(page, 0)
    frames = page.eval_on_selector_all(".clip canvas", "all => all.map(canvas => canvas.dataset.frame)")
    assert frames == [str(FRAMES - 1)] * 4
    assert count(page) == "1 of 6, 0 answered"


def test_an_answer_waits_for_the_end_and_replay_shows_it_again(page):
    played(page, 0)
    page.evaluate(
        """() => {
            window.seen = [];
            const canvas = document.querySelector(".clip.left canvas");
            new MutationObserver(() => window.seen.push(Number(canvas.dataset.frame)))
                .observe(canvas, {attributes: true, attributeFilter: ["data-frame"]});
        }"""
    )
    page.locator("#speed").select_option("0.25")
    page.wait_for_function(f"() => window.seen.includes({FRAMES - 1})")
    assert page.evaluate("window.seen[0]") < FRAMES - 1
    page.evaluate("window.seen = []")
    page.locator("h1").click()
    page.keyboard.press(" ")
    page.wait_for_function(f"() => window.seen.includes({FRAMES - 1})")


def test_keys_answer_and_answers_survive_closing_the_page(browser, folder):
    context = browser.new_context()
    page = context.new_page()
    page.goto((folder / "index.html").as_uri())
    for number, key in enumerate(("ArrowLeft", "ArrowDown", "ArrowRight")):
        played(page, number)
        page.keyboard.press(key)
    played(page, 3)
    assert count(page) == "4 of 6, 3 answered"
    page.keyboard.press("Backspace")
    page.wait_for_selector("body[data-ready='2']")
    assert page.locator("#right").get_attribute("aria-pressed") == "true"
    page.close()
    page = context.new_page()
    page.goto((folder / "index.html").as_uri())
    page.wait_for_selector("body[data-ready='3']")
    assert count(page) == "4 of 6, 3 answered"
    context.close()


def test_the_saved_file_is_what_import_reads(call, run, page, tmp_path):
    for number in range(6):
        played(page, number)
        page.locator(("#left", "#same", "#right")[number % 3]).click()
    page.wait_for_function("() => document.querySelector('#told').textContent.includes('All questions are answered')")
    with page.expect_download() as waiting:
        page.locator("#save").click()
    assert waiting.value.suggested_filename == "pairs_anna.json"
    saved = tmp_path / "pairs_anna.json"
    waiting.value.save_as(saved)
    assert json.loads(saved.read_text())["answers"] == ["left", "same", "right"] * 2
    code, out, err = call("experts", "import", saved, "--run", run)
    assert code == 0, err
    key = json.loads((run / "pairs" / "anna.key.json").read_text())
    codes = key["key"]["codes"]
    for judgement, (left, right) in zip(read_pairs(run / "pairs.csv"), key["questions"], strict=True):
        assert (judgement.left, judgement.right) == (codes[left]["method"], codes[right]["method"])
    assert "fewer than five" in out


def test_a_clip_that_is_gone_is_told(browser, folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "copy")
    for clip in (copy / "clips").iterdir():
        clip.unlink()
    page = browser.new_page()
    page.goto((copy / "index.html").as_uri())
    page.wait_for_function("() => document.querySelector('#lost').textContent.includes('keep the folder clips beside')")
    assert page.locator("#left").is_disabled()
    page.close()


def test_it_fits_a_phone(browser, folder):
    page, complaints = opened(browser, folder / "index.html", width=390, height=844)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    sizes = page.eval_on_selector_all(".clip canvas", "all => all.map(canvas => canvas.clientWidth)")
    assert min(sizes) > 150
    page.close()
    assert complaints == []
