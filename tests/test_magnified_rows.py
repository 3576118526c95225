"""Rows with magnified motion from the command line: programs that skip frames, altered drivers, resuming and errors."""

import json
import sys

import numpy as np
import pytest
import yaml

from megbench.core.frames import read_frames, write_frames, write_png
from tests.fakes import finished_cells, make_clips
from tests.moving_face import MOUTH, face, render
from tests.test_external import ROOT

N = 11
QUICK = "--metrics", "difference", "--no-controls"
# A program that writes the driver's frames as its output, except frame 5.
ECHO = f"""
import sys
from pathlib import Path
sys.path.insert(0, {str(ROOT)!r})
from megbench.core.frames import frame_path, write_png
from megbench.core.video import read_clip
for k, picture in enumerate(read_clip(Path(sys.argv[1]))):
    if k != 5:
        write_png(frame_path(Path(sys.argv[2]), k), picture)
"""


@pytest.fixture
def folders(tmp_path):
    """Write drivers, templates and the program's description where `call` runs. Return the arguments that name them."""
    write_frames(tmp_path / "drivers" / "smile", render(MOUTH, n_frames=N)[0])
    (tmp_path / "faces").mkdir()
    write_png(tmp_path / "faces" / "face.png", face())
    (tmp_path / "checkout").mkdir()
    (tmp_path / "checkout" / "echo.py").write_text(ECHO)
    values = {
        "system": "Echo",
        "source": "this test",
        "licence": "MIT",
        "command": ["{python}", "echo.py", "{driver}", "{output}"],
        "checkout": str(tmp_path / "checkout"),
        "python": sys.executable,
        "driver": "frames",
        "output": "frames",
        "gpu": False,
        "skipped": "repeat",
    }
    own = tmp_path / ".megbench" / "external"
    own.mkdir(parents=True)
    (own / "echo.yaml").write_text(yaml.safe_dump(values))
    return "--protocol", "folder", "--drivers", tmp_path / "drivers", "--templates", tmp_path / "faces"


def test_a_program_that_skips_a_frame_is_magnified_and_resumed(call, folders, tmp_path, in_this_process):
    rows = "external@echo:magnify=3", "external@echo", "external@echo:magnify=1"
    asked = "--methods", ",".join(rows), *folders, "--no-controls", "--metrics", "motion_agreement", "--out", "run"
    assert call(*asked, "--perturb", "noise=1")[0] == 0
    run = tmp_path / "run"
    assert len(finished_cells(run)) == len(finished_cells(run / "perturbed" / "noise=1")) == 3
    magnified, plain, once = (read_frames(run / "cells" / row / "smile__face" / "frames", N) for row in rows)
    assert np.array_equal(once, plain)
    assert np.array_equal(magnified[5], magnified[4])
    assert np.array_equal(magnified[0], plain[0])
    assert 0 < np.abs(magnified.astype(float) - plain).mean() < 1
    facts = {row["label"]: row for row in json.loads((run / "run.json").read_text())["methods"]}
    assert facts[rows[0]]["identity"]["magnify"]["factor"] == 3
    assert "multiplied by 3 before the method saw it" in facts[rows[0]]["marks"]["magnified 3x"]
    assert facts[rows[2]]["identity"] == facts[rows[1]]["identity"]
    assert "magnifying the motion 3 times " in (run / "report.html").read_text(encoding="utf-8")
    before = {path: path.stat().st_mtime_ns for path in finished_cells(run)}
    assert call(*asked)[0] == 0
    assert {path: path.stat().st_mtime_ns for path in finished_cells(run)} == before
    assert f"{rows[0]}: 1 of 1 cell" in call(*asked, "--dry-run")[1]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("external@echo:magnify=0", "must be a number from 0.0625 to 16"),
        ("still:magnify=4", "still takes no driver"),
        ("outputs:there;magnify=4", "outputs made elsewhere cannot be magnified"),
    ],
)
def test_what_cannot_be_is_told_before_anything_is_done(call, folders, tmp_path, row, words):
    code, _, err = call("--methods", row, *folders)
    assert code == 2
    assert words in err
    assert err.count("\n") == 1
    assert not (tmp_path / "runs").exists()


def test_a_driver_without_a_face_costs_its_cell_alone(call, tmp_path, in_this_process):
    make_clips(tmp_path / "drivers", count=1)
    code, _, err = call("--methods", "shift:magnify=2,shift", "--protocol", "fakes", "--drivers", "drivers", *QUICK)
    assert code == 1
    assert "Failed: shift:magnify=2 on d0__t0: no frontal face found in driver d0" in err
