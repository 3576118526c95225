"""The page shows the best and the worst cell first."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from megbench.core.frames import frame_path, write_png
from megbench.reports.cells import cell_view
from megbench.reports.first_sight import first_sight
from megbench.reports.html import Pictures, write_report
from megbench.reports.run_files import FinishedRun
from tests.report_fixture import FRAMES, LABELS, make_run


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("run"))


def sights(folder):
    run = FinishedRun(folder)
    return first_sight(run, [cell_view(run, cell, None, False) for cell in run.facts.cells])


def test_the_best_and_the_worst_cell_of_rows_that_are_no_controls_come_first(folder):
    best_one, worst = sights(folder)
    assert (best_one.heading, best_one.label) == ("Best cell", max(LABELS, key=LABELS.get))
    assert (worst.heading, worst.label) == ("Worst cell", min(LABELS, key=LABELS.get))
    assert worst.numbers == "agreement 0.30, gain 0.30, error 0.70"
    assert best_one.numbers == "agreement 0.95, gain 0.95, error 0.05"
    assert [tile.title for tile in worst.tiles] == [
        "driver, onset",
        "driver, apex",
        "driver, difference, 32 times",
        "fomm:mode=absolute, apex",
        "fomm:mode=absolute, difference, 32 times",
    ]
    assert "frame 1" in worst.tiles[0].alt
    assert f"frame {FRAMES // 2}" in worst.tiles[3].alt
    assert len({tile.alt for tile in worst.tiles}) == 5
    assert sum(len(tile.picture) for sight in (best_one, worst) for tile in sight.tiles) < 250_000


def test_of_one_scored_cell_it_is_said_that_it_is_the_only_one(tmp_path):
    folder = make_run(tmp_path / "run", 3, drivers=1)
    table = (folder / "scores.csv").read_text().splitlines()
    kept = [line for line in table if ",agreement," not in line or line.startswith("flow_warp,False,cell,,d1,ta,")]
    (folder / "scores.csv").write_text("\n".join(kept) + "\n")
    (only,) = sights(folder)
    assert (only.heading, only.label, only.cell.name) == ("The only cell", "flow_warp", "d1__ta")


def test_without_scored_cells_or_pictures_nothing_comes_first(tmp_path):
    folder = make_run(tmp_path / "run", 3, drivers=1)
    assert 'id="sights"' not in write_report(folder, Pictures.none, cache=tmp_path / "media").read_text()
    (folder / "inputs" / "drivers" / "d1" / "frames").rename(tmp_path / "frames")
    assert sights(folder) == []
    (tmp_path / "frames").rename(folder / "inputs" / "drivers" / "d1" / "frames")
    assert len(sights(folder)) == 2
    table = (folder / "scores.csv").read_text().splitlines()
    (folder / "scores.csv").write_text("\n".join(line for line in table if ",agreement," not in line) + "\n")
    assert sights(folder) == []
    assert 'id="sights"' not in write_report(folder, cache=tmp_path / "media").read_text(encoding="utf-8")


def shown(tile):
    """Return the pixels of a tile."""
    with Image.open(io.BytesIO(base64.b64decode(tile.picture.partition(",")[2]))) as image:
        return np.asarray(image.convert("L"), float)


def test_the_heads_motion_is_taken_out_of_differences_where_it_was_measured(tmp_path):
    """If the entire picture moves by 2 pixels a frame, nothing is left of the difference once that is removed."""
    folder = make_run(tmp_path / "run", 5, drivers=1)
    wide = np.random.default_rng(0).integers(0, 256, (34, 34)).astype(np.uint8).repeat(8, 0).repeat(8, 1)
    clips = ("inputs/drivers/d1", *(f"cells/{label}/d1__ta" for label in LABELS))
    head = np.stack([np.float32([[1, 0, -2 * k], [0, 1, 0]]) for k in range(5)])
    for clip in clips:
        for k in range(5):
            picture = np.repeat(wide[:256, 2 * k : 256 + 2 * k, None], 3, -1)
            write_png(frame_path(folder / clip / "frames", k), np.ascontiguousarray(picture))
    (folder / "scores.csv").write_text((folder / "scores.csv").read_text().replace("d1,tb", "d9,tb"))
    moving = sights(folder)[0]
    for clip in clips:
        np.savez(folder / "motion" / f"{clip}.npz", head=head)
    still = sights(folder)[0]
    assert (moving.head_still, still.head_still) == (False, True)
    assert shown(moving.tiles[4]).std() > 20
    assert np.abs(shown(still.tiles[4]) - 128)[:, 8:-8].max() < 12
    assert "head motion removed" in still.tiles[4].alt
