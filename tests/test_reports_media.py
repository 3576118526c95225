"""Encoded clips are small enough, preserve half a pixel of motion, and are encoded only once."""

import functools
import os
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from PIL import Image
from skimage import data

from megbench.commands.runs import keep_motion
from megbench.core.errors import BenchError
from megbench.core.frames import frame_path, write_frames
from megbench.engine.runner import Job
from megbench.faces.features import SeenClip
from megbench.reports import media
from megbench.reports.fields import decode_field, encode_field, field_reach, read_field
from tests.moving_face import make_cell
from tests.report_fixture import moving_face, write_field


@given(st.integers(-255, 255))
def test_companding_is_fine_near_zero_and_never_clips(difference):
    found = float(media.DECODE[media.ENCODE[difference + 255]])
    assert abs(found - difference) <= max(0.5, 0.015 * abs(difference) + 0.35)
    assert np.sign(found) == np.sign(difference)


@pytest.mark.parametrize("noise", [0.0, 2.0])
@pytest.mark.parametrize("count", [2, 40])
def test_a_frame_costs_no_more_than_the_budget(noise, count):
    coded = media.encode_clip(moving_face(1, 3, count, noise))
    assert sum(map(len, coded.sheets)) <= media.BYTES_PER_FRAME * count
    assert len(coded.base) < 30_000


def decoded(coded: media.Media) -> np.ndarray:
    codes = np.concatenate([media._untiled(sheet) for sheet in coded.sheets])[: coded.n_frames]
    return media.DECODE[codes] @ media.LUMA


def test_half_a_pixel_of_motion_survives():
    portrait = np.ascontiguousarray(data.astronaut()[20:276, 100:356])
    moves = [np.float32([[1, 0, 0.5 * k / 7], [0, 1, 0]]) for k in range(8)]
    frames = np.stack([cv2.warpAffine(portrait, move, (256, 256), borderMode=cv2.BORDER_REPLICATE) for move in moves])
    coded = media.encode_clip(frames)
    true = (frames.astype(np.float32) - frames[0]) @ media.LUMA
    noise = ((decoded(coded) - true) ** 2).mean() ** 0.5
    signal = (true**2).mean() ** 0.5
    assert coded.base, "motion this small is stored as differences"
    assert noise < signal / 3
    assert coded.error == pytest.approx(noise, rel=1e-3)


def test_a_still_clip_stays_exactly_still():
    frames = np.repeat(moving_face(0, 5, 1), 9, 0)
    coded = media.encode_clip(frames)
    assert coded.error == 0
    assert coded.reach == 0
    assert not decoded(coded).any()


def test_large_motion_is_stored_as_frames():
    rng = np.random.default_rng(0)
    smooth = rng.integers(0, 256, (6, 8, 8, 3), np.uint8)
    frames = np.stack([np.asarray(Image.fromarray(f).resize((256, 256))) for f in smooth])
    coded = media.encode_clip(frames)
    assert coded.base == b""
    assert coded.error < 6


def test_long_clips_take_several_sheets():
    coded = media.encode_clip(moving_face(1, 3, media.PER_SHEET + 3, 0.0))
    assert len(coded.sheets) == 2
    assert len(media._untiled(coded.sheets[1])) == media.COLUMNS


def test_one_frame():
    assert media.encode_clip(moving_face(1, 3, 1)).reach == 0


def test_a_clip_is_coded_once(tmp_path):
    write_frames(tmp_path / "frames", moving_face(1, 3, 3))
    first = media.media_of(media.Wanted(tmp_path / "frames", 3), tmp_path / "cache")
    (kept,) = (tmp_path / "cache").glob("*.json")
    stamp = kept.stat().st_mtime_ns, kept.stat().st_ino
    assert media.media_of(media.Wanted(tmp_path / "frames", 3), tmp_path / "cache") == first
    assert (kept.stat().st_mtime_ns, kept.stat().st_ino) == stamp


def test_no_process_is_started_for_what_is_kept(tmp_path, monkeypatch):
    write_frames(tmp_path / "frames", moving_face(1, 3, 3))
    monkeypatch.setattr(media, "FEW_FRAMES", 0)
    first = media.media_of(media.Wanted(tmp_path / "frames", 3), tmp_path / "cache")
    monkeypatch.delattr(media, "ProcessPoolExecutor")
    assert media.media_of_all([media.Wanted(tmp_path / "frames", 3)] * 2, tmp_path / "cache") == [first, first]


def test_many_clips_are_coded_in_processes_in_the_same_order(tmp_path, monkeypatch):
    clips = [media.Wanted(tmp_path / name, count) for name, count in (("a", 1), ("b", 3), ("a", 2))]
    write_frames(tmp_path / "a", moving_face(1, 3, 2))
    write_frames(tmp_path / "b", moving_face(2, 4, 3))
    here = media.media_of_all(clips, tmp_path / "here")
    monkeypatch.setattr(media, "FEW_FRAMES", 0)
    media.media_of(clips[0], tmp_path / "there")
    assert media.media_of_all(clips, tmp_path / "there") == here
    assert [clip.n_frames for clip in here] == [1, 3, 2]


def test_a_damaged_entry_is_made_again(tmp_path):
    write_frames(tmp_path / "frames", moving_face(1, 3, 3))
    first = media.media_of(media.Wanted(tmp_path / "frames", 3), tmp_path / "cache")
    (kept,) = (tmp_path / "cache").glob("*.json")
    kept.write_text(kept.read_text()[:100])
    assert media.media_of(media.Wanted(tmp_path / "frames", 3), tmp_path / "cache") == first


def test_a_missing_frame_is_named(tmp_path):
    write_frames(tmp_path / "frames", moving_face(1, 3, 3))
    os.remove(frame_path(tmp_path / "frames", 1))
    with pytest.raises(BenchError, match=r"00001\.png"):
        media.media_of(media.Wanted(tmp_path / "frames", 3), tmp_path / "cache")


@given(npst.arrays(np.float32, (3, 4, 4, 2), elements=st.floats(-40, 40, width=32)))
def test_a_motion_field_comes_through_to_a_tenth_of_a_pixel(field):
    found = decode_field(encode_field(field), 3, 4)
    true = np.clip(field, -32, 32)
    assert np.all(np.abs(found - true) <= 0.02 + 0.018 * np.abs(true))


def test_a_field_that_scoring_kept_travels_with_its_clip(tmp_path):
    write_frames(tmp_path / "frames", moving_face(1, 3, 3))
    clip = media.Wanted(tmp_path / "frames", 3, tmp_path / "motion.npz")
    without = media.media_of(clip, tmp_path / "cache")
    assert (without.field, without.moves) == (b"", 0)
    write_field(tmp_path / "motion.npz", 3)
    (found,) = media.media_of_all([clip], tmp_path / "cache")
    assert found.moves == pytest.approx(0.4, abs=0.01)
    assert found == media.media_of(clip, tmp_path / "cache")
    decoded_field = decode_field(found.field, 3, 32)
    assert decoded_field[2, 16, 16] == pytest.approx((0.4, 0), abs=0.03)
    assert not decoded_field[2, 0, 0].any()


@pytest.mark.parametrize("shape", [(2, 32, 32, 2), (3, 32, 16, 2), (3, 32, 32, 3), (3, 999, 999, 2), (3,)])
def test_a_field_of_another_shape_or_a_damaged_one_is_none(tmp_path, shape):
    np.savez(tmp_path / "motion.npz", field=np.zeros(shape, np.float16))
    assert read_field(tmp_path / "motion.npz", 3) is None
    whole = write_field(tmp_path / "whole.npz", 3)
    assert read_field(whole, 3) is not None
    whole.write_bytes(whole.read_bytes()[:200])
    assert read_field(whole, 3) is None


def test_the_sheet_is_coded_in_the_quality_that_its_sample_allows(monkeypatch):
    """A lower quality is used if the sample took fewer bytes per frame than the complete sheet does."""
    noisy = np.random.default_rng(0).integers(0, 40, (20, 256, 256, 3)).astype(np.uint8)
    coded = []

    def webp(image, quality):
        coded.append((image.shape[0] > 256, quality))
        return bytes(media.BYTES_PER_FRAME * (20 if image.shape[0] > 256 else 8) * quality // 50)

    monkeypatch.setattr(media, "_webp", webp)
    monkeypatch.setattr(media, "_untiled", lambda _: np.zeros((8, 256, 256, 3), np.uint8))
    media.encode_clip(noisy)
    assert [quality for whole, quality in coded if whole] == [50]
    assert len(coded) <= 8


def test_a_still_field_reaches_nowhere():
    assert field_reach(np.zeros((0, 4, 4, 2))) == 0
    assert field_reach(np.zeros((2, 4, 4, 2), np.float16)) == 0


def test_a_run_holds_the_motion_that_scoring_saw_and_gets_it_again_where_it_was_damaged(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(SeenClip, "_measure_motion", measured := mark(SeenClip._measure_motion))
    cell = make_cell(tmp_path / "clips")
    job = Job(SimpleNamespace(label="method"), cell, "key")
    assert not keep_motion(tmp_path / "run", [job]), "nobody looked"
    seen = SeenClip("driver", cell.reference.frames, cell.reference.content, tmp_path / ".megbench" / "features")
    seen.kept("motion", seen._measure_motion)
    assert keep_motion(tmp_path / "run", [job])
    assert not keep_motion(tmp_path / "run", [job])
    (held,) = (tmp_path / "run").rglob("*.npz")
    assert held == tmp_path / "run" / "motion" / "inputs" / "drivers" / f"{cell.driver.name}.npz"
    whole = held.read_bytes()
    held.write_bytes(whole[:100])  # this also damages the store's copy, which is the same file
    assert keep_motion(tmp_path / "run", [job])
    assert held.read_bytes() == whole
    assert measured.calls == 2


def mark(method):
    """Return a stand-in for the function that measures motion, which counts its calls."""

    @functools.wraps(method)
    def measure(clip):
        measure.calls += 1
        return {"field": np.ones((len(clip.frames), 32, 32, 2), np.float16)}

    measure.calls = 0
    return measure
