"""Altered drivers: what each alteration does to a clip and its cells, and runs and tables with altered drivers."""

import csv
import dataclasses
import json

import numpy as np
import pandas as pd
import pytest

from megbench.clips.perturbed import KINDS, Perturbation, perturbations, perturbed_cells
from megbench.core.clip import Cell, Clip, KnownMotion, Template, save_clip
from megbench.core.errors import BenchError
from megbench.core.figures import Figure
from megbench.core.frames import is_grey
from megbench.engine.run_folder import PERTURBED
from megbench.reports.altered_values import order_entry, swapped
from megbench.reports.perturbed import perturbed_tables
from megbench.reports.run_files import FinishedRun
from tests.fakes import finished_cells, make_clips
from tests.moving_face import make_cell
from tests.report_fixture import CONTROLS, LABELS, make_run, with_metric

EVERY = [Perturbation(name, kind.strength) for name, kind in KINDS.items()]


@pytest.fixture(scope="module")
def cell(tmp_path_factory):
    """Return a rendered cell whose reference has different noise and whose truth is known."""
    return make_cell(tmp_path_factory.mktemp("clips"), n_frames=6)


def test_strengths_are_read_or_usual():
    found = perturbations(["jpeg", "h264=30", "shift=-4", "half_rate", "jpeg=50"])
    assert [one.label for one in found] == ["jpeg=50", "h264=30", "shift=-4", "half_rate"]
    assert found[1].says == "the clip was saved as H.264 at crf 30, with x264's usual settings"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("jpg", "Unknown perturbation 'jpg'. Did you mean 'jpeg'"),
        ("", "Choices: brightness, h264, half_rate"),
        ("jpeg=0", "a whole number from 1 to 100"),
        ("jpeg=50.5", "a whole number from 1 to 100"),
        ("noise=nan", "a number from 0 to 50"),
        ("noise=much", "a number from 0 to 50"),
        ("half_rate=2", "half_rate takes no strength"),
        ("noise=0", "noise=0: this strength alters nothing"),
        ("shift=-0", "alters nothing"),
        ("brightness=1.0", "alters nothing.*usual brightness=0.7"),
    ],
)
def test_wrong_names_and_strengths_are_one_line(text, words):
    with pytest.raises(BenchError, match=words) as error:
        perturbations([text])
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("one", EVERY, ids=lambda one: one.kind)
def test_an_alteration_is_a_clip_of_its_own(cell, tmp_path, one):
    altered = perturbed_cells([cell], one, tmp_path)[0]
    half = one.kind == "half_rate"
    assert altered.name == cell.name
    assert len({altered.driver.content, altered.reference.content, cell.driver.content, cell.reference.content}) == 4
    assert altered.driver.frames().shape == ((3, 256, 256, 3) if half else (6, 256, 256, 3))
    assert altered.template is cell.template
    assert (altered.truth.content == cell.truth.content) != half
    assert altered.truth.n_frames == altered.driver.n_frames
    assert altered.driver.known().au_intensity.shape[0] == altered.driver.n_frames
    again = perturbed_cells([cell], one, tmp_path / "elsewhere")[0]
    assert again.driver.content == altered.driver.content
    assert perturbed_cells([cell], one, tmp_path)[0].driver.folder == altered.driver.folder


def test_alterations_do_what_they_say(cell, tmp_path):
    def frames(text):
        return perturbed_cells([cell], perturbations([text])[0], tmp_path)[0].driver.frames().astype(float)

    plain = cell.driver.frames().astype(float)
    np.testing.assert_allclose(frames("brightness=0.5"), plain / 2, atol=0.51)
    assert np.array_equal(frames("shift=5")[:, 5:, 5:], plain[:, :-5, :-5])
    assert np.array_equal(frames("half_rate"), plain[::2])
    spread = [np.std(frames(f"noise={sigma}") - plain) for sigma in (2, 8)]
    assert spread == pytest.approx([2, 8], rel=0.1)
    for kind, mild, strong in (("jpeg", 95, 10), ("h264", 10, 40)):
        assert np.abs(frames(f"{kind}={mild}") - plain).mean() < np.abs(frames(f"{kind}={strong}") - plain).mean()


def test_times_are_halved_with_the_frames(cell, tmp_path):
    timed = dataclasses.replace(cell.driver, fps=100.0, onset_frame=1, apex_frame=4, offset_frame=5)
    altered = perturbed_cells([dataclasses.replace(cell, driver=timed)], perturbations(["half_rate"])[0], tmp_path)
    driver = altered[0].driver
    assert (driver.fps, driver.onset_frame, driver.apex_frame, driver.offset_frame) == (50.0, 0, 2, 2)
    assert np.array_equal(driver.known().landmarks, cell.driver.known().landmarks[::2])


def test_known_motion_moves_with_the_picture(tmp_path):
    rng = np.random.default_rng(0)
    turn = np.array([[0.99, -0.02, 1.5], [0.02, 0.99, -0.5]], np.float32)
    known = KnownMotion(
        ("AU12",),
        np.array([[0], [1]], np.float32),
        rng.normal(size=(1, 256, 256, 2)).astype(np.float16),
        np.stack([np.eye(2, 3, dtype=np.float32), turn]),
        rng.uniform(50, 200, (2, 68, 2)).astype(np.float32),
    )
    frames = rng.integers(0, 256, (2, 256, 256, 3), dtype=np.uint8)
    clip = save_clip(tmp_path / "a", Clip(tmp_path, "a", "x", "s", "positive", 0, ""), frames, known)
    cell = Cell("x", clip, Template.of("t", "t", frames[0]), reference=clip)
    moved = perturbed_cells([cell], perturbations(["shift=7"])[0], tmp_path)[0].driver.known()
    np.testing.assert_allclose(moved.flow(1)[7:, 7:], known.flow(1)[:-7, :-7], atol=1e-4)
    np.testing.assert_allclose(moved.landmarks, known.landmarks + 7)


@pytest.mark.parametrize("one", EVERY, ids=lambda one: one.kind)
def test_grey_clips_stay_grey_and_unusable_ones_as_they_are(tmp_path, one):
    grey = np.repeat(np.random.default_rng(1).integers(0, 256, (4, 256, 256, 1), dtype=np.uint8), 3, axis=-1)
    facts = Clip(tmp_path, "a", "x", "s", "positive", 0, "", colour="grey")
    clip = save_clip(tmp_path / "a", facts, grey)
    broken = dataclasses.replace(clip, name="b", problem="no face")
    template = Template.of("t", "t", grey[0])
    cells = [Cell("x", driver, template, reference=driver) for driver in (clip, broken)]
    found = perturbed_cells(cells, one, tmp_path)
    assert is_grey(found[0].driver.frames())
    assert found[1].driver is broken


def test_a_clip_of_two_frames_has_no_half_rate(tmp_path):
    clip = make_clips(tmp_path, count=1, n_frames=2)[0]
    cell = Cell("x", clip, Template.of("t", "t", clip.frames()[0]), reference=clip)
    assert perturbed_cells([cell], perturbations(["half_rate"])[0], tmp_path)[0].problem == (
        "d0: half_rate leaves 1 of its 2 frames"
    )


GAIN = Figure("gain", "Gain", target="driver", ideal=1, bounds=(None, None), description="How much.")


def test_the_order_goes_by_distance_from_the_ideal():
    values = {"a": (0.1, 0.02), "b": (0.2, 0.1), "c": (0.9, 0.05)}  # |gain - 1|, unaltered and altered
    entry = order_entry(GAIN, values)
    assert (entry.value, entry.remark) == (pytest.approx(1 / 3), "1 of 3")
    assert swapped(GAIN, values) == ["b and c"]
    similar = dataclasses.replace(GAIN, bounds=(0, 1))
    assert swapped(similar, {"a": (0.9, 0.5), "b": (0.8, 0.6)}) == ["a and b"]
    assert order_entry(similar, {"a": (0.9, 0.5), "b": (0.8, 0.4)}).value == 1
    assert order_entry(GAIN, {"a": (0.1, 0.0)}).reason == "an order needs at least two rows"
    assert order_entry(GAIN, {"a": (0.1, 0.0), "b": (0.1, 0.0)}).reason == "the rows do not differ"


LATE = Figure("late", "Late by", target="driver", ideal=0, unit="frames", group="extra", description="Signed.")
WRONG = dataclasses.replace(LATE, name="wrong", title="Wrong by", bounds=(0, None))
JUMPS = dataclasses.replace(WRONG, name="flicker", title="Flicker", unit="grey levels", neighbours=True)


def measured(folder, values):
    """Set the figures of rows' cells on matching drivers to the given values. Cells with the value "" have failed."""
    scores = pd.read_csv(folder / "scores.csv", keep_default_na=False, dtype="str")
    for (row, driver), value in values.items():
        mine = (scores.metric == "extra") & (scores.method == row) & (scores.scope == "cell")
        mine &= scores.driver.str.fullmatch(driver)
        scores.loc[mine, "value"] = value
    scores.to_csv(folder / "scores.csv", index=False)


@pytest.fixture
def altered(tmp_path):
    """Return a function that returns the tables of three figures, which are 2 except for the values passed to it."""

    def made(label, before, after):
        run = make_run(tmp_path / "run")
        other = make_run(run / PERTURBED / label)
        for folder, values in ((run, before), (other, after)):
            with_metric(folder, True, "2", LATE, WRONG, JUMPS)
            measured(folder, values)
        facts = json.loads((other / "run.json").read_text())
        facts["request"]["perturb"] = {"label": label, "says": "something"}
        (other / "run.json").write_text(json.dumps(facts))
        return perturbed_tables(FinishedRun(run))

    return made


def entries(table, section, figure):
    """Return a figure's entries in the section whose heading begins with `section`."""
    rows = next(s.rows for s in table.sections if s.heading.startswith(section))
    return next(row for row in rows if figure in row[0].value.lower())[1:]


def test_half_the_rate_does_not_halve_figures_in_frames(altered):
    halved = dict.fromkeys([(row, ".*") for row in (*LABELS, *CONTROLS)], "1")
    tables = altered("half_rate", {}, halved)
    plain, change = entries(tables["change"], "Methods", "wrong")
    assert (plain.value, change.value) == (2, 0), "one frame is two of the unaltered driver"
    flicker = entries(tables["change"], "Methods", "flicker")[1]
    assert flicker.value is None
    assert "another frame rate" in flicker.reason
    assert "another frame rate" in entries(tables["order"], "Methods", "flicker")[0].reason
    assert all(any("twice as many" in line for line in table.footnotes) for table in tables.values())


def test_other_alterations_leave_frames_as_they_are(altered):
    halved = dict.fromkeys([(row, ".*") for row in (*LABELS, *CONTROLS)], "1")
    tables = altered("jpeg=50", {}, halved)
    assert entries(tables["change"], "Methods", "wrong")[1].value == -1
    assert entries(tables["change"], "Methods", "flicker")[1].value == -1
    assert not any("twice as many" in line for line in tables["change"].footnotes)


def test_early_and_late_do_not_cancel(altered):
    first, second, _ = LABELS
    on_time = dict.fromkeys([(row, ".*") for row in LABELS], "0")
    tables = altered("jpeg=50", on_time, on_time | {(first, "d1"): "3", (first, "d2"): "-3", (second, ".*"): "-3"})
    plain, change = entries(tables["change"], "Methods", "|late - 0| ↓")
    assert (plain.value, change.value) == (0, 2), "two of three methods are off by 3, in all cells"
    assert entries(tables["order"], "Methods", "|late - 0| ↓")[0].reason == "the rows do not differ"


def test_one_row_has_no_order(tmp_path, altered):
    altered("jpeg=50", {}, {})
    for folder in (tmp_path / "run", tmp_path / "run" / PERTURBED / "jpeg=50"):
        facts = json.loads((folder / "run.json").read_text())
        facts["methods"] = facts["methods"][:1]
        (folder / "run.json").write_text(json.dumps(facts))
    order = perturbed_tables(FinishedRun(tmp_path / "run"))["order"]
    assert {entry.reason for row in order.rows() for entry in row[1:]} == {"an order needs at least two rows"}


def test_what_is_lost_is_counted_and_left_out_on_both_sides(altered):
    first, second, third = LABELS
    before = {(first, ".*"): "10", (second, ".*"): "4", (third, "d1"): "1", (third, "d2"): "3"}
    after = {(first, ".*"): "", (second, ".*"): "5", (third, "d1"): "", (third, "d2"): "3"}
    table = altered("jpeg=50", before, after)["change"]
    plain, change = entries(table, "Methods, mean of 3", "wrong")
    assert plain.value == pytest.approx((10 + 4 + 2) / 3)
    assert change.value == 0.5
    assert change.remark == "2 of 3 rows, 6 of 12 cells; 3.500 unaltered"
    assert entries(table, "Controls, mean of 2", "wrong")[1].remark == ""
    lines = list(csv.DictReader(table.csv().splitlines()))
    lines = [line for line in lines if line["section"] == "Methods, mean of 3"]
    found = next(line for line in lines if "wrong" in line["figure"].lower())
    assert "jpeg=50: 2 of 3 rows" in found["remark"]


RUN = ("--methods", "shift:by=1,shift:by=3", "--protocol", "fakes", "--drivers", "clips", "--metrics", "difference")
ALTER = (*RUN, "--no-controls", "--perturb", "half_rate,brightness=0.5", "--out", "run")


@pytest.mark.usefixtures("in_this_process")
def test_a_run_on_altered_drivers_ends_in_tables_and_is_not_done_twice(call, tmp_path, monkeypatch):
    make_clips(tmp_path / "clips", count=2, n_frames=5)
    monkeypatch.setenv("FAKES_LOG", str(tmp_path / "log"))
    code, out, _ = call(*ALTER, "--dry-run")
    assert code == 0
    assert "run/perturbed/half_rate\nTo animate: 8 cells" in out
    assert not (tmp_path / "run").exists()
    code, out, err = call(*ALTER)
    assert code == 0, err
    run = tmp_path / "run"
    assert "Altered drivers: order" in (run / "report.html").read_text()
    assert '<a href="#perturbed">Altered drivers</a>' in (run / "report.html").read_text()
    with (run / "perturbed" / "change.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert float(rows[0]["brightness=0.5"]) != 0
    assert len(finished_cells(run / "perturbed" / "half_rate")) == 8
    made = (tmp_path / "log").read_text()
    assert len(made.splitlines()) == 24
    page = (run / "report.html").stat().st_mtime_ns
    assert call(*ALTER)[0] == 0
    assert (tmp_path / "log").read_text() == made
    assert (run / "report.html").stat().st_mtime_ns == page
    assert call("verify", "run")[0] == 0
    assert call(*ALTER[:-4], "--out", "run")[0] == 0
    assert "Altered drivers: order" in (run / "report.html").read_text(), "a run keeps what it has"
    assert call("--methods", "shift:by=2", *RUN[2:], "--no-controls", "--out", "run")[0] == 0
    assert "Altered drivers: order" not in (run / "report.html").read_text(), "that is of other methods"
    for wrong in ("jpg", "", ","):
        code, _, err = call(*ALTER[:-3], wrong, "--out", "run")
        assert code == 2
        assert err.count("\n") == 1
        assert f"Unknown perturbation '{wrong.strip(',')}'" in err
