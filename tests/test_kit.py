"""MEGC2021 on a look-alike kit: which outputs are found, what a run announces, and which cells count as missing."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from megbench.commands.request import mention
from megbench.core.clip import Cell, Template
from megbench.core.frames import write_frames
from megbench.engine.foreseen import foreseen
from megbench.engine.runner import Row, Settings, plan
from megbench.methods import parse_label
from megbench.methods.outputs import Outputs
from megbench.protocols.megc2021 import SHEET, Megc2021
from tests import lookalike_kit
from tests.fakes import Shift, make_clips

SMILE = next(driver for driver in SHEET.drivers if driver.name == "smic_positive")


@pytest.fixture(scope="module")
def look_alike(tmp_path_factory):
    """Return a folder with a kit of one driver and outputs for it, as JPEG files and as GIFs. One GIF is missing."""
    folder = tmp_path_factory.mktemp("look-alike")
    lookalike_kit.write_kit(folder / "kit", (SMILE,))
    lookalike_kit.write_jpegs(folder / "ulme", (SMILE,))
    lookalike_kit.write_gifs(folder / "fpb", (SMILE,))
    sorted((folder / "fpb").iterdir())[1].unlink()
    return folder


def rows(*labels):
    made = []
    for text in labels:
        label = parse_label(text)
        made.append(Row.of(label.text, label.name, label.variant, label.options, Outputs))
    return made


def test_the_look_alike_s_outputs_are_found_by_its_own_names(look_alike, tmp_path):
    cells = Megc2021(tmp_path, look_alike / "kit").cells()
    assert [(cell.name, cell.driver.n_frames, cell.driver.apex_frame) for cell in cells] == [
        ("smic_positive__asianFemale", 31, 13),
        ("smic_positive__westernMale", 31, 13),
    ]
    weak, strong = rows(f"outputs:{look_alike / 'ulme'}", f"outputs:{look_alike / 'fpb'}")
    assert set(weak.marks_on(cells)) == {"JPEG"}
    assert set(strong.marks_on(cells)) == {"GIF", "resized"}
    assert [row.unused(cells) for row in (weak, strong)] == [[], []]
    for row in (weak, strong):
        frames = row.maker(row.variant, row.options).animate_cell(cells[0])
        assert frames.shape == (31, 256, 256, 3)
        moved = [np.abs(frame.astype(int) - frames[0]).mean() for frame in frames]
        assert np.argmax(moved[:28]) in range(10, 28), "it moves when its driver does"


def test_what_a_run_will_lack_is_foreseen(look_alike, tmp_path):
    cells = Megc2021(tmp_path, look_alike / "kit").cells()
    settings = Settings(tmp_path / "store", "cpu", 0, 1)
    both = rows(f"outputs:{look_alike / 'ulme'}", f"outputs:{look_alike / 'fpb'}")
    lacking, untestable = foreseen(plan(both, cells, "1", settings), ["outputs@ulme", "outputs@fpb"])
    assert lacking.startswith("outputs@fpb: 1 of 2 cells are missing (smic_positive__westernMale): no output for")
    assert "normalized_westernMale" in lacking
    assert untestable == (
        "no test can separate the methods: a test needs differences on several drivers, and there is only one. At least"
        " 6 drivers are needed for p < 0.05"
    )


def test_rows_whose_action_units_come_from_flow_are_named_beforehand(capfd):
    marks = {"tps_rau": {"units from flow: 1 of 2": "..."}, "tps": {}}
    made = [SimpleNamespace(label=label, marks_on=lambda _, found=found: found) for label, found in marks.items()]
    mention(made, {row.label: row.marks_on([]) for row in made}, [], [])
    assert "Note: tps_rau: action units are estimated from the drivers' optical flow" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("methods", "drivers", "why", "needed"),
    [
        (2, 2, "with 2 drivers, whose differences a test flips at random, p is at least 0.500", 6),
        (3, 4, "p is at least 0.125, and the correction for 3 pairs of methods multiplies it by 3", 7),
        (6, 9, "p is at least 0.004, and the correction for 15 pairs of methods multiplies it by 15", 10),
        (2, 5, "p is at least 0.062", 6),
        (2, 6, "", None),
        (2, 9, "", None),
        (1, 2, "", None),
        (4, 12, "", None),
    ],
)
def test_a_run_says_why_no_test_can_separate_its_methods(tmp_path, methods, drivers, why, needed):
    (driver,) = make_clips(tmp_path / "clips", count=1)
    template = Template.of("t", "t", driver.frames()[0])
    cells = [Cell("p", replace(driver, name=f"d{n}"), template, driver) for n in range(drivers)]
    made = [Row.of(f"shift:by={n}", "shift", "", {"by": str(n)}, Shift) for n in range(methods)]
    found = foreseen(plan(made, cells, "1", Settings(tmp_path, "cpu", 0, 1)), [])
    assert len(found) == bool(why)
    assert all(line.endswith(f"{why}. At least {needed} drivers are needed for p < 0.05") for line in found)


@pytest.mark.usefixtures("in_this_process")
def test_outputs_that_are_not_there_are_missing_and_cost_no_exit_code(call, tmp_path):
    make_clips(tmp_path / "clips", count=2)
    write_frames(tmp_path / "made" / "d0__t0", np.zeros((3, 256, 256, 3), np.uint8))
    arguments = ["--protocol", "fakes", "--drivers", "clips", "--metrics", "difference", "--no-controls"]
    arguments += ["--out", "out", "--methods", "shift,outputs:made"]
    code, out, err = call(*arguments, "--dry-run")
    assert code == 0
    assert "outputs@made: 0 of 4 cells\nTo animate: 5 cells; to measure: 5 outputs" in out
    assert "Note: outputs@made: 3 of 4 cells are missing (d0__t1, d1__t0, d1__t1): no output for d0 on t1 in " in err
    assert not (tmp_path / "out").exists()
    for _ in range(2):
        code, _, err = call(*arguments)
        assert code == 0, err
        assert "Missing: outputs@made: 3 cells were not supplied" in err
        assert "Failed" not in err
    facts = json.loads((tmp_path / "out" / "run.json").read_text())
    assert facts["missing"] == {"outputs@made": ["d0__t1", "d1__t0", "d1__t1"]}
    assert facts["failures"] == []
    scores = pd.read_csv(tmp_path / "out" / "scores.csv")
    own = scores[(scores.method == "outputs@made") & (scores.scope == "cell")]
    assert own.status.tolist() == ["ok", "missing", "missing", "missing"]
    (combined,) = scores[(scores.method == "outputs@made") & (scores.scope == "all")].itertuples()
    assert (combined.n_scored, combined.n_cells) == (1, 4)


def test_a_row_that_can_do_no_cell_ends_the_run_before_it_begins(call, tmp_path):
    make_clips(tmp_path / "clips", count=1)
    (tmp_path / "made" / "smile__face").mkdir(parents=True)
    arguments = ["--methods", "shift,outputs:made", "--protocol", "fakes", "--drivers", "clips", "--no-controls"]
    code, _, err = call(*arguments, "--metrics", "difference")
    assert code == 2
    assert "Error: outputs@made: 0 of 1 cell can be done. Reason for the first: no output for d0 on t0 in " in err
    assert not (tmp_path / "runs").exists()
