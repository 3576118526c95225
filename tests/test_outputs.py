"""Outputs that somebody else made: found, mapped, held through gaps, marked."""

from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from core.clip import Template
from core.errors import BenchError, CellFailed
from core.frames import write_frames
from core.video import write_video
from methods.outputs import Outputs, kept_frames
from tests.fakes import make_clips


@pytest.fixture
def cell(tmp_path):
    clip = make_clips(tmp_path / "clips", count=1, n_frames=6)[0]
    return Template.of("t0", "t0", clip.frames()[0]), clip


def outputs(folder):
    return Outputs("made", {"folder": str(folder)})


def test_folders_are_scored_as_they_are_and_carry_no_mark(tmp_path, cell):
    template, driver = cell
    write_frames(tmp_path / "made" / "d0__t0", driver.frames())
    made = outputs(tmp_path / "made")
    np.testing.assert_array_equal(made.animate(template, driver), driver.frames())
    assert made.marks == {}
    with pytest.raises(CellFailed, match="no output for d0 on t1"):
        made.animate(replace(template, name="t1"), driver)


def test_gifs_videos_and_other_sizes_are_marked(tmp_path, cell):
    template, driver = cell
    folder = tmp_path / "made"
    folder.mkdir()
    frames = driver.frames()
    pictures = [Image.fromarray(frame) for frame in frames[:, ::2, ::2]]
    pictures[0].save(folder / "d0__t0.gif", save_all=True, append_images=pictures[1:], duration=40)
    write_video(folder / "d0__t1.mp4", frames, 25.0, lossless=True)
    made = outputs(folder)
    assert set(made.marks) == {"GIF", "video", "resized"}
    assert "128x128" in made.marks["resized"]
    assert made.animate(template, driver).shape == frames.shape
    np.testing.assert_array_equal(made.animate(replace(template, name="t1"), driver), frames)


def test_a_mapping_names_other_names_and_kept_frames(tmp_path, cell):
    template, driver = cell
    frames = driver.frames()
    write_frames(tmp_path / "made" / "casme2_Negative_asianFemale", frames[[0, 1, 2, 5]])
    (tmp_path / "made" / "mapping.csv").write_text(
        "output,driver,template,frames\ncasme2_Negative_asianFemale,d0,t0,0-2 5\n"
    )
    made = outputs(tmp_path / "made")
    assert set(made.marks) == {"held"}
    np.testing.assert_array_equal(made.animate(template, driver), frames[[0, 1, 2, 2, 2, 5]])


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
    np.testing.assert_array_equal(outputs(tmp_path / "made").animate(template, driver), frames[[0, 1, 2, 2, 2, 5]])


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("output,driver,template\n..\\clips\\d0,d0,t0", "leads out of"),
        ("output,driver,template\n,d0,t0", "line 2: no output"),
        ("output,driver\na,d0", "lacks the column 'template'"),
        ("output,driver,template\n../clips/d0,d0,t0", "leads out of"),
        ("output,driver,template\nnowhere,d0,t0", "line 2: 'nowhere' is neither"),
        ("output,driver,template\na,d0,t0\na,d0,t0", "line 3: d0 on t0 is mapped twice"),
        ("output,driver,template\na,<script>,t0", "driver name"),
        ("output,driver,template,frames\na,d0,t0,1 2", "must rise from frame 0"),
        ("output,driver,template,frames\na,d0,t0,0 x", "'x' is no frame number"),
        ("output,driver,template,frames\na,d0,t0,0-999999", "lies beyond the longest clip"),
        ("", "lacks the column 'driver'; it has: nothing"),
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
    for kept, words in (("0-3", "has 3 frames, its mapping names 4"), ("0 1 9", "names frame 9, the driver has 6")):
        (tmp_path / "made" / "mapping.csv").write_text(f"output,driver,template,frames\na,d0,t0,{kept}\n")
        with pytest.raises(CellFailed, match=words):
            outputs(tmp_path / "made").animate(template, driver)


def test_folders_that_hold_no_outputs_say_what_is_wanted(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(BenchError, match="<driver>__<template>"):
        outputs(tmp_path / "empty")
    with pytest.raises(BenchError, match="is not a folder"):
        outputs(tmp_path / "nowhere")
    with pytest.raises(BenchError, match="outputs:DIR"):
        Outputs("", {})


def test_identity_follows_the_pixels(tmp_path, cell):
    frames = cell[1].frames()
    write_frames(tmp_path / "made" / "d0__t0", frames)
    first = outputs(tmp_path / "made").identity()
    assert outputs(tmp_path / "made").identity() == first
    write_frames(tmp_path / "made" / "d0__t0", frames[::-1])
    assert outputs(tmp_path / "made").identity() != first


@given(st.lists(st.integers(1, 4000), unique=True, max_size=20))
def test_kept_frames_read_back_what_was_written(numbers):
    kept = (0, *sorted(numbers))
    assert kept_frames(" ".join(map(str, kept)), "here") == kept


@given(st.text(max_size=30))
def test_any_text_is_frames_or_one_line(text):
    with suppress(BenchError):
        kept = kept_frames(text, "here")
        assert kept is None or list(kept) == sorted(set(kept))
