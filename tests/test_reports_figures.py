"""Figures for papers: their contents, where they are written, and which requests are refused."""

import warnings

import numpy as np
import pytest
from matplotlib.text import Text
from PIL import Image

import bench
from megbench.core.errors import BenchError
from megbench.reports.figures.gif import write_gif
from megbench.reports.figures.grid import draw_grid, save_figure
from megbench.reports.figures.prior import draw_prior
from megbench.reports.figures.shown import (
    Shown,
    chosen_cells,
    chosen_rows,
    difference,
    fitting_factor,
    head_still,
    key_frames,
)
from megbench.reports.figures.strip import draw_strip
from megbench.reports.figures.variants import draw_variants
from megbench.reports.run_facts import CellFacts
from megbench.reports.run_files import FinishedRun
from tests.report_fixture import FRAMES, HOSTILE, LABELS, make_run, moving_face


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return FinishedRun(make_run(tmp_path_factory.mktemp("run")))


def texts(figure):
    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


def pictures(figure):
    return [axes.images[0].get_array() for axes in figure.axes if axes.images]


def test_a_strip_has_frames_and_differences_of_driver_and_methods(run):
    cell = run.facts.cells[0]
    figure = draw_strip(run, cell, [])
    assert {"onset 1", "apex 6", "offset 11", "driver"} <= set(texts(figure))
    assert set(LABELS) <= {text.partition("\n")[0] for text in texts(figure)}
    shown = pictures(figure)
    assert len(shown) == 1 + (2 + len(LABELS)) * 2 * 5
    assert {"template", "truth"} <= set(texts(figure))
    shown = shown[1:]  # without the template
    # The first column is the onset: its difference to itself is grey in every second row.
    assert all((shown[row * 5] == 128).all() for row in range(1, len(shown) // 5, 2))
    assert all(np.ptp(shown[row * 5 + 2]) > 50 for row in range(1, len(shown) // 5, 2))


def test_head_motion_is_removed_from_differences_on_request(tmp_path):
    frames = moving_face(0, 1, 3)
    shifted = np.stack([np.roll(frame, 2 * k, axis=1) for k, frame in enumerate(frames)])
    heads = np.array([[[1, 0, 2 * k], [0, 1, 0]] for k in range(3)], np.float32)
    np.savez(tmp_path / "motion.npz", head=heads)
    still = head_still(Shown("clip", shifted, motion=tmp_path / "motion.npz"), [0, 2])
    inside = np.s_[:, :, 8:-8]
    assert np.abs(still[inside].astype(int) - frames[[0, 2]][inside]).max() <= 1
    assert head_still(Shown("clip", shifted, motion=tmp_path / "gone.npz"), [0]) is None


def test_a_failed_output_stands_as_its_reason(run):
    figure = draw_strip(run, run.facts.cells[1], ["fomm:mode=absolute"])
    assert texts(figure).count(f"no face in {HOSTILE}") == 5


def test_variants_stand_beside_source_and_driver(run):
    cells = run.facts.cells[2:4]
    figure = draw_variants(run, cells, ["flow_warp", "still"])
    assert {"source", "driver", "flow_warp", "still", "d2\non ta\napex 6"} <= set(texts(figure))
    assert len(pictures(figure)) == 2 * (4 + 3)


def test_a_difference_is_grey_where_nothing_changes_and_clips_at_the_ends():
    frames = np.full((3, 256, 256, 3), 100, np.uint8)
    frames[1, :128] += 10
    frames[2, :128] -= 100
    assert set(np.unique(difference(frames, 1, 0, 4))) == {128, 168}
    assert set(np.unique(difference(frames, 2, 0, 4))) == {0, 128}


@pytest.mark.parametrize(
    ("marks", "frames"),
    [((2, 6, 10), [2, 4, 6, 8, 10]), ((None, None, None), [0, 3, 6, 9, 11]), ((0, 1, 2), [0, 1, 2]), ((0, 0, 0), [0])],
)
def test_key_frames_are_the_marks_and_the_middles_between(marks, frames):
    names = dict(zip(("onset_frame", "apex_frame", "offset_frame"), marks, strict=True))
    cell = CellFacts(name="a__b", driver="a", template="b", database="", emotion="", n_frames=12, **names)
    assert key_frames(cell) == frames


def test_the_amplification_fits_the_first_clip_that_is_there(run):
    cell = run.facts.cells[0]
    loud = Shown("driver", moving_face(9, 1, FRAMES, 0))
    assert fitting_factor(cell, [Shown("x", None, "lost"), loud]) < fitting_factor(
        cell, [Shown("x", loud.frames[:1].repeat(12, 0))]
    )
    assert fitting_factor(cell, []) == 1


def test_unknown_cells_and_rows_are_refused_with_what_there_is(run):
    assert [cell.name for cell in chosen_cells(run, [])] == ["d1__ta"]
    assert chosen_rows(run, []) == list(LABELS)
    assert chosen_rows(run, ["still"]) == ["still"]
    with pytest.raises(BenchError, match="d1__ta"):
        chosen_cells(run, ["d1__tx"])
    with pytest.raises(BenchError, match="flow_warp"):
        chosen_rows(run, ["flow_wrap"])


def test_a_gif_has_a_frame_for_each_frame_at_the_asked_speed(run, tmp_path):
    cells = run.facts.cells[:2]
    path = write_gif(run, cells, ["fpfomm", "fomm:mode=absolute"], 8, True, tmp_path / "new" / "t.gif")
    with Image.open(path) as image:
        assert image.n_frames == FRAMES
        assert image.info["duration"] == 80  # 8 times 10 ms
        assert image.info["loop"] == 0
        width, height = image.size
    assert width == 4 * 256 + 3 * 4
    assert height == 24 * 4 + 2 * (2 * 256 + 18) + 4


def test_still_parts_of_a_gif_do_not_flicker(run, tmp_path):
    path = write_gif(run, run.facts.cells[:1], ["still"], 8, False, tmp_path / "t.gif")
    with Image.open(path) as image:
        still = []
        for frame in range(image.n_frames):
            image.seek(frame)
            still.append(np.asarray(image.convert("RGB"))[24:280, 2 * 260 :])
    assert all((frame == still[0]).all() for frame in still)


@pytest.mark.parametrize("suffix", ["png", "jpg", "svg", "pdf"])
def test_figures_are_written_as_their_suffix_says(tmp_path, suffix):
    figure = draw_grid([HOSTILE, "$x_"], [("row\n\u6f22", [np.zeros((256, 256), np.uint8), HOSTILE])])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        path = save_figure(figure, tmp_path / "new" / f"a.{suffix}")
    head = {"png": b"\x89PNG", "jpg": b"\xff\xd8\xff", "svg": b"<?xml", "pdf": b"%PDF"}[suffix]
    assert path.read_bytes().startswith(head)
    assert b"<img" not in path.read_bytes()


def test_what_cannot_be_written_is_one_line(run, tmp_path):
    (tmp_path / "file").write_text("")
    figure = draw_grid(["a"], [("b", ["c"])])
    with pytest.raises(BenchError, match="bmp"):
        save_figure(figure, tmp_path / "a.bmp")
    with pytest.raises(BenchError, match="cannot be written"):
        save_figure(figure, tmp_path / "file" / "a.png")
    with pytest.raises(BenchError, match=r"\.gif"):
        write_gif(run, run.facts.cells[:1], [], 8, False, tmp_path / "a.mp4")
    with pytest.raises(BenchError, match="cannot be written"):
        write_gif(run, run.facts.cells[:1], ["still"], 8, False, tmp_path / "file" / "a.gif")


def test_the_prior_is_drawn_with_its_points():
    points = np.array([[60.0, 60.0], [200.0, 90.0]])
    figure = draw_prior(moving_face(0, 1, 1)[0], points, np.ones((64, 64)), np.zeros((64, 64)), 1)
    assert set(texts(figure)) == {"2 points", "0", "1", "prior of point 1", "prior of all"}
    assert [len(axes.images) for axes in figure.axes] == [1, 2, 2]
    assert [len(line.get_xdata()) for axes in figure.axes[1:] for line in axes.lines] == [1, 2]


def test_the_command_draws_from_a_run_and_from_a_portrait(run, tmp_path, capsys):
    for arguments in (
        ["strip", str(run.folder), "--rows", "still", "--without-head"],
        ["variants", str(run.folder), "--cell", "d2__ta", "--rows", "still"],
        ["gif", str(run.folder), "--rows", "still"],
        ["prior", "--out", str(tmp_path / "prior.png"), "--kind", "paper"],
    ):
        bench.app(["figure", *arguments], standalone_mode=False)
    written = capsys.readouterr().out.split()
    assert [path.rsplit("/", 1)[1] for path in written] == [
        "strip_d1__ta.png",
        "variants.png",
        "table.gif",
        "prior.png",
    ]
    with Image.open(tmp_path / "prior.png") as image:
        assert image.size[0] > 2 * image.size[1]
