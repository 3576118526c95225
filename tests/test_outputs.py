"""Outputs made elsewhere are found and mapped, their gaps are filled, and their rows are marked."""

import itertools
from contextlib import suppress
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from megbench.core.clip import Cell, Template
from megbench.core.errors import BenchError, CellFailed, NotSupplied
from megbench.core.frames import write_frames
from megbench.core.video_writing import write_video
from megbench.engine.runner import Row, Settings, cell_key
from megbench.methods.outputs import Outputs
from megbench.methods.outputs_folder import kept_frames
from tests.fakes import make_clips


@pytest.fixture
def cell(tmp_path):
    clip = make_clips(tmp_path / "clips", count=1, n_frames=6)[0]
    return Template.of("t0", "t0", clip.frames()[0]), clip


def outputs(folder):
    return Outputs("made", {"folder": str(folder)})


def animate(made, template, driver, *known_as):
    return made.animate_cell(Cell("p", driver, template, driver, known_as=known_as))


def cells(driver, template, *names):
    """Return cells of one driver on templates with these names."""
    return [Cell("p", driver, replace(template, name=name), driver) for name in names]


def write_gif(path, frames):
    pictures = [Image.fromarray(frame) for frame in frames]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=40)


def test_folders_are_scored_as_they_are_and_carry_no_mark(tmp_path, cell):
    template, driver = cell
    write_frames(tmp_path / "made" / "d0__t0", driver.frames())
    made = outputs(tmp_path / "made")
    np.testing.assert_array_equal(animate(made, template, driver), driver.frames())
    assert made.marks_on(cells(driver, template, "t0")) == {}
    with pytest.raises(CellFailed, match=r"no output for d0 on t1 .* is called d0__t1$"):
        animate(made, replace(template, name="t1"), driver)


def test_outputs_of_another_kind_or_in_other_letters_are_named_where_they_are_missed(tmp_path, cell):
    template, driver = cell
    write_frames(tmp_path / "D0__t0", driver.frames())
    (tmp_path / "d0__t0.webp").write_bytes(b"an animated WebP")
    with pytest.raises(CellFailed, match=r"is called d0__t0; similar names: D0__t0, d0__t0\.webp"):
        animate(outputs(tmp_path), template, driver)
    (tmp_path / "mapping.csv").write_text("output,driver,template\nD0__t0,d0,t1\n")
    with pytest.raises(CellFailed, match=r"no output for d0 on t0 .*: mapping\.csv has no line with both names$"):
        animate(outputs(tmp_path), template, driver)


def test_outputs_with_frames_missing_are_told_how_to_say_which(tmp_path, cell):
    template, driver = cell
    write_frames(tmp_path / "d0__t0", driver.frames()[:2])
    with pytest.raises(
        CellFailed, match=rf"d0__t0 has 2 frames, but the driver has {driver.n_frames}\. .*mapping\.csv \(col"
    ):
        animate(outputs(tmp_path), template, driver)


def test_gifs_videos_and_other_sizes_are_marked(tmp_path, cell):
    template, driver = cell
    folder = tmp_path / "made"
    folder.mkdir()
    frames = driver.frames()
    write_gif(folder / "d0__t0.gif", frames[:, ::2, ::2])
    write_video(folder / "d0__t1.mp4", frames, 25.0, lossless=True)
    made = outputs(folder)
    marks = made.marks_on(cells(driver, template, "t0", "t1"))
    assert set(marks) == {"GIF: 1 of 2", "video: 1 of 2", "resized: 1 of 2"}
    assert "128x128" in marks["resized: 1 of 2"]
    assert animate(made, template, driver).shape == frames.shape
    np.testing.assert_array_equal(animate(made, replace(template, name="t1"), driver), frames)


def test_outputs_in_the_proportions_of_a_face_crop_are_padded_as_such_a_driver_is(tmp_path, cell):
    """A method that was given SMIC's crops of 137x168 pixels makes outputs with the same proportions."""
    template, driver = cell
    narrow = [cv2.resize(frame, (137, 168)) for frame in driver.frames()]
    (tmp_path / "made" / "d0__t0").mkdir(parents=True)
    for index, picture in enumerate(narrow):
        Image.fromarray(picture).save(tmp_path / "made" / "d0__t0" / f"{index}.png")
    made = outputs(tmp_path / "made")
    padded = [cv2.copyMakeBorder(picture, 0, 0, 16, 15, cv2.BORDER_REPLICATE) for picture in narrow]
    expected = [cv2.resize(picture, (256, 256), interpolation=cv2.INTER_CUBIC) for picture in padded]
    np.testing.assert_array_equal(animate(made, template, driver), expected)
    assert "137x168 pixels were padded" in made.marks_on(cells(driver, template, "t0"))["padded"]


def test_strips_of_several_pictures_are_no_output(tmp_path, cell):
    template, driver = cell
    write_video(tmp_path / "d0__t0.mp4", np.concatenate([driver.frames()] * 3, axis=2), 25.0)
    with pytest.raises(CellFailed, match="768x256 is not the shape of a single face"):
        animate(outputs(tmp_path), template, driver)


def test_marks_are_of_the_cells_that_were_scored(tmp_path, cell):
    template, driver = cell
    folder = tmp_path / "made"
    for name in ("t0", "t1", "t2"):
        write_frames(folder / f"d0__{name}", driver.frames())
    for name in ("stray", "d0__other", "notes__t0"):
        write_gif(folder / f"{name}.gif", driver.frames()[:1])
    (folder / "readme.txt").write_text("x")
    (folder / ".hidden").write_text("x")
    made, scored = outputs(folder), cells(driver, template, "t0", "t1", "t2")
    assert made.marks_on(scored) == {}
    assert made.unused(scored) == ["d0__other.gif", "notes__t0.gif", "readme.txt", "stray.gif"]
    assert "d0__t2" in made.unused(scored[:2])
    assert set(made.marks_on(cells(driver, template, "other"))) == {"GIF"}
    assert set(made.marks_on([*scored, *cells(driver, template, "other", "none")])) == {"GIF: 1 of 4"}
    assert made.marks_on([]) == {}


@pytest.mark.parametrize(
    ("suffix", "settings", "words"),
    [
        (".jpg", {"format": "JPEG"}, {"JPEG"}),
        (".JPEG", {"format": "JPEG", "quality": 100}, {"JPEG"}),
        (".png", {"format": "JPEG"}, {"JPEG"}),
        (".jpg", {"format": "PNG"}, set()),
        (".webp", {"format": "WebP"}, {"WebP"}),
        (".webp", {"format": "WebP", "lossless": True}, set()),
        (".bmp", {"format": "BMP"}, set()),
    ],
)
def test_pictures_saved_with_loss_are_marked_whatever_their_names(tmp_path, cell, suffix, settings, words):
    template, driver = cell
    folder = tmp_path / "made" / "d0__t0"
    folder.mkdir(parents=True)
    for number, frame in enumerate(driver.frames()):
        Image.fromarray(frame).save(folder / f"{number:03}{suffix}", **settings)
    assert set(outputs(tmp_path / "made").marks_on(cells(driver, template, "t0"))) == words


def test_a_folder_and_a_video_for_one_cell_are_refused_by_name(tmp_path, cell):
    write_frames(tmp_path / "made" / "d0__t0", cell[1].frames())
    write_gif(tmp_path / "made" / "d0__t0.gif", cell[1].frames()[:1])
    with pytest.raises(BenchError, match=r"contains d0__t0 twice: d0__t0 and d0__t0\.gif\. Remove one of them"):
        outputs(tmp_path / "made")


def test_a_mapping_names_other_names_and_kept_frames(tmp_path, cell):
    template, driver = cell
    frames = driver.frames()
    write_frames(tmp_path / "made" / "casme2_Negative_asianFemale", frames[[0, 1, 2, 5]])
    (tmp_path / "made" / "mapping.csv").write_text(
        "output,driver,template,frames\ncasme2_Negative_asianFemale,d0,t0,0-2 5\n"
    )
    made = outputs(tmp_path / "made")
    assert set(made.marks_on(cells(driver, template, "t0"))) == {"held"}
    np.testing.assert_array_equal(animate(made, template, driver), frames[[0, 1, 2, 2, 2, 5]])
    write_frames(tmp_path / "whole" / "d", frames)
    (tmp_path / "whole" / "mapping.csv").write_text("output,driver,template,frames\nd,d0,t0,0-5\n")
    assert outputs(tmp_path / "whole").marks_on(cells(driver, template, "t0")) == {}, "a list of all frames lacks none"


@pytest.mark.parametrize(
    ("lines", "encoding"),
    [
        ("output;driver;template;frames\n.\\sub\\a b;d0;t0;0-2 5\n", "utf-8-sig"),
        ("Output\tDriver\tTemplate\tFrames\nsub/a b\td0\tt0\t0-2;5\n\n", "utf-16"),
        ("template, frames, output, driver\nt0, 0-2 5, sub/a b, d0\n", "utf-16-le"),
    ],
)
def test_mappings_of_every_dialect_name_the_same_output(tmp_path, cell, lines, encoding):
    template, driver = cell
    frames = driver.frames()
    write_frames(tmp_path / "made" / "sub" / "a b", frames[[0, 1, 2, 5]])
    (tmp_path / "made" / "mapping.csv").write_bytes(lines.encode(encoding))
    np.testing.assert_array_equal(animate(outputs(tmp_path / "made"), template, driver), frames[[0, 1, 2, 2, 2, 5]])


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("output,driver,template\n..\\clips\\d0,d0,t0", "is outside"),
        ("output,driver,template\n,d0,t0", "line 2 names no output"),
        ("output,driver\na,d0", "lacks the column 'template'"),
        ("output,driver,template\n../clips/d0,d0,t0", "is outside"),
        ("output,driver,template\nnowhere,d0,t0", "line 2: 'nowhere' is neither"),
        ("output,driver,template\na,d0,t0\na,d0,t0", "line 3: d0 on t0 is mapped twice"),
        ("output,driver,template\na,<script>,t0", "driver name"),
        ("output,driver,template,frames\na,d0,t0,1 2", "must begin with 0 and never decrease"),
        ("output,driver,template,frames\na,d0,t0,0 2 1", "must begin with 0 and never decrease"),
        ("output,driver,template,frames\na,d0,t0,0 x", "'x' is not a frame number"),
        ("output,driver,template,frames\na,d0,t0,0-999999", "is beyond the longest clip allowed"),
        ("", "lacks the column 'driver'; it has: nothing\\. Add"),
    ],
)
def test_a_faulty_mapping_is_one_line_with_its_place(tmp_path, cell, lines, words):
    write_frames(tmp_path / "made" / "a", cell[1].frames())
    (tmp_path / "made" / "mapping.csv").write_text(lines)
    with pytest.raises(BenchError, match=words) as error:
        outputs(tmp_path / "made")
    assert "\n" not in str(error.value)


def test_counts_that_do_not_fit_fail_their_cell(tmp_path, cell):
    template, driver = cell
    write_frames(tmp_path / "made" / "a", driver.frames()[:3])
    for kept, words in (
        ("0-3", "has 3 frames, but its mapping lists 4"),
        ("0 1 9", "lists frame 9, but the driver has 6"),
    ):
        (tmp_path / "made" / "mapping.csv").write_text(f"output,driver,template,frames\na,d0,t0,{kept}\n")
        with pytest.raises(CellFailed, match=words):
            animate(outputs(tmp_path / "made"), template, driver)


def test_a_mapping_may_name_repeated_frames(tmp_path, cell):
    template, driver = cell
    frames = driver.frames()
    write_frames(tmp_path / "made" / "a", frames[[0, 0, 1, 1, 2, 5]])
    (tmp_path / "made" / "mapping.csv").write_text("output,driver,template,frames\na,d0,t0,0 0 1 1 2 5\n")
    made = outputs(tmp_path / "made")
    np.testing.assert_array_equal(animate(made, template, driver), frames[[0, 1, 2, 2, 2, 5]])
    assert set(made.marks_on(cells(driver, template, "t0"))) == {"held"}


@pytest.mark.parametrize("times", [2, 3])
def test_outputs_that_repeat_each_frame_are_scored_once_each(tmp_path, cell, times):
    template, driver = cell
    repeated = np.repeat(driver.frames(), times, axis=0)
    write_frames(tmp_path / "d0__t0", repeated)
    np.testing.assert_array_equal(animate(outputs(tmp_path), template, driver), driver.frames())
    (tmp_path / "d0__t0" / "00001.png").unlink()
    with pytest.raises(CellFailed, match=rf"has {6 * times - 1} frames, but the driver has 6\."):
        animate(outputs(tmp_path), template, driver)
    repeated[1, 0, 0] += 1  # no longer a repetition
    write_frames(tmp_path / "d0__t1", repeated)
    with pytest.raises(CellFailed, match=rf"has {6 * times} frames, but the driver has 6\."):
        animate(outputs(tmp_path), replace(template, name="t1"), driver)


@pytest.mark.parametrize(("durations", "count"), [(40, 6), (10, 6), ([40, 40, 40, 40, 40, 80], 7)])
def test_gifs_are_expanded_by_how_long_their_pictures_stay(tmp_path, cell, durations, count):
    """Pillow merges the three equal frames at the beginning into one picture with three times the duration."""
    template, driver = cell
    pictures = [Image.fromarray(frame) for frame in driver.frames()[[0, 0, 0, 1, 2, 3]]]
    pictures[0].save(tmp_path / "d0__t0.gif", save_all=True, append_images=pictures[1:], duration=durations)
    if count == driver.n_frames:
        made = animate(outputs(tmp_path), template, driver)
        assert [bool((a == b).all()) for a, b in itertools.pairwise(made)] == [True, True, False, False, False]
    else:
        with pytest.raises(CellFailed, match=f"has {count} frames, but the driver has 6"):
            animate(outputs(tmp_path), template, driver)


KIT = (("Positive_022_3_3", "normalized_asianFemale"), ("022_3_3", "asianFemale"), ("samm_positive", "asianFemale"))


@pytest.mark.parametrize(
    "name",
    [
        "Positive_022_3_3__normalized_asianFemale",
        "positive_022_3_3-normalized_asianFemale.gif",
        "022_3_3_asianfemale.gif",
        "asianFemale/022_3_3",
        "SAMM_challenge/Positive_022_3_3/normalized_asianFemale",
        "samm/Positive/asianFemale",
        "Positive_022_3_3__normalized_asianFemale/frames",
    ],
)
def test_outputs_are_found_by_the_kit_s_own_names(tmp_path, cell, name):
    template, driver = cell
    template, driver = replace(template, name="asianFemale"), replace(driver, name="samm_positive")
    place = tmp_path / "made" / name
    place.parent.mkdir(parents=True, exist_ok=True)
    write_gif(place, driver.frames()) if place.suffix else write_frames(place, driver.frames())
    write_frames(tmp_path / "made" / "sub09_022_3_3__asianFemale", driver.frames()[::-1])  # an output of another cell
    made, of = outputs(tmp_path / "made"), Cell("p", driver, template, driver, known_as=KIT)
    frames = made.animate_cell(of)
    assert (frames[0] != frames[1]).any()
    assert abs(frames[0].astype(int) - driver.frames()[0]).mean() < 40
    assert made.unused([of]) == ["sub09_022_3_3__asianFemale"]
    with pytest.raises(NotSupplied, match="no output for samm_positive on asianFemale"):
        made.check(replace(of, known_as=()))
    write_frames(tmp_path / "made" / "more" / "022_3_3" / "asianFemale", driver.frames())
    with pytest.raises(BenchError, match="contains samm_positive__asianFemale twice"):
        outputs(tmp_path / "made").check(of)
    write_frames(tmp_path / "made" / "samm_positive__asianFemale", driver.frames())
    outputs(tmp_path / "made").check(of)  # the suite's own name has priority


def test_folders_that_hold_no_outputs_say_what_is_wanted(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(BenchError, match="<driver>__<template>"):
        outputs(tmp_path / "empty")
    with pytest.raises(BenchError, match="is not a folder"):
        outputs(tmp_path / "nowhere")
    with pytest.raises(BenchError, match="outputs:DIR"):
        Outputs("", {})


def keys(folder, of):
    row = Row.of("made", "outputs", "made", {"folder": str(folder)}, Outputs)
    return [cell_key(row, one, "1", Settings(folder, "cpu", 0, 1)) for one in of]


def test_a_cell_is_made_again_where_its_own_output_changes_and_nowhere_else(tmp_path, cell):
    template, driver = cell
    folder, scored, frames = tmp_path / "made", cells(driver, template, "t0", "t1"), driver.frames()
    write_frames(folder / "d0__t0", frames)
    alone = keys(folder, scored)
    assert keys(folder, scored) == alone
    write_gif(folder / "d0__t1.gif", frames)
    both = keys(folder, scored)
    assert both[0] == alone[0], "an output added for another cell"
    assert both[1] != alone[1], "an output where there was none"
    write_frames(folder / "d0__t0", frames[::-1])
    altered = keys(folder, scored)
    assert altered[0] != both[0], "an altered output is scored again"
    assert altered[1] == both[1]


def test_a_line_of_the_mapping_decides_its_own_cell_only(tmp_path, cell):
    template, driver = cell
    folder, scored = tmp_path / "made", cells(driver, template, "t0", "t1")
    for name in ("a", "b"):
        write_frames(folder / name, driver.frames()[:4])
    found = []
    for kept in ("0-3", "0-2 5"):
        (folder / "mapping.csv").write_text(f"output,driver,template,frames\na,d0,t0,{kept}\nb,d0,t1,0-3\n")
        found.append(keys(folder, scored))
    assert found[0][0] != found[1][0]
    assert found[0][1] == found[1][1]


@given(st.lists(st.integers(0, 4000), max_size=20))
def test_kept_frames_read_back_what_was_written(numbers):
    kept = (0, *sorted(numbers))
    assert kept_frames(" ".join(map(str, kept)), "here") == kept


@given(st.text(max_size=30))
def test_any_text_is_frames_or_one_line(text):
    with suppress(BenchError):
        kept = kept_frames(text, "here")
        assert kept is None or list(kept) == sorted(kept)
