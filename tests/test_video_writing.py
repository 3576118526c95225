"""Videos for viewers preserve the motion of a micro-expression, and every browser plays them."""

import av
import numpy as np
import pytest
from scipy import ndimage
from skimage import data

from megbench.core.frames import grey
from megbench.core.video import read_clip
from megbench.core.video_writing import reencode, write_video
from tests.moving_face import MOUTH, face, render

# The apex of a very small motion, in pixels.
APEX = 0.15
SIZE = 256
# Standard deviation of the camera noise of rendered clips, grey levels.
NOISE = 2.0


def skin_moving(noise):
    """Return frames of a portrait whose cheek moves by up to APEX px, the derivative of luma by motion, and the motion.

    Splines through the pixels and their derivatives are exact for any shift. None of this uses the suite's code.
    """
    portrait = data.astronaut()[:SIZE, 96 : 96 + SIZE].astype(float)
    rows, columns = np.mgrid[:SIZE, :SIZE].astype(float)
    strength = np.exp(-((columns - 128) ** 2 + (rows - 150) ** 2) / (2 * 16**2))
    splines = [ndimage.spline_filter(ndimage.gaussian_filter(portrait[..., k], 0.7)) for k in range(3)]

    def at(moved):
        places = [rows, columns - moved * strength]
        return np.stack(
            [ndimage.map_coordinates(spline, places, mode="mirror", prefilter=False) for spline in splines], -1
        )

    motion = APEX * np.sin(np.linspace(0, np.pi, 13))
    drawn = np.random.default_rng(0).normal(0, noise, (len(motion), *portrait.shape))
    frames = np.clip(np.rint(np.stack([at(moved) for moved in motion]) + drawn), 0, 255).astype(np.uint8)
    return frames, (at(1e-3) - at(0.0)) @ [0.299, 0.587, 0.114] / 1e-3, motion


def kept(frames, slope, motion):
    """Return the share of the motion that the frames contain, by least squares on the exact derivative."""
    luma = frames @ np.array([0.299, 0.587, 0.114])
    found = np.array([(slope * (frame - luma[0])).sum() for frame in luma]) / (slope**2).sum()
    return (found * motion).sum() / (motion**2).sum()


# Without noise, the estimate from one cheek in 13 frames is a few hundredths worse, because all frames are rounded
# alike.
@pytest.mark.parametrize(("noise", "least"), [(NOISE, 0.95), (0.0, 0.9)])
def test_a_video_keeps_a_very_small_motion_of_smooth_skin(noise, least):
    frames, slope, motion = skin_moving(noise)
    whole = kept(frames, slope, motion)
    assert whole == pytest.approx(1, abs=0.06)
    for fps in (25.0, 100.0):  # the encoder spends less on a frame that is shown for a shorter time
        assert kept(reencode(frames, fps), slope, motion) > least * whole, fps


def test_colours_come_back_as_bright_as_they_were():
    frames, _, _ = skin_moving(0.0)
    again = reencode(frames)
    assert again.shape == frames.shape
    assert np.abs(again.astype(float) - frames).mean() < 1.5
    assert np.abs((again.astype(float) - frames).mean((0, 1, 2))).max() < 0.2
    assert np.abs(grey(again).astype(float) - grey(frames)).mean() < 0.5


def test_colours_stay_in_their_place():
    rows, columns = np.mgrid[:SIZE, :SIZE].astype(float)

    def coloured(moved):
        wave = 30 * np.sin((columns - moved) / 9) + 30 * np.sin(rows / 9)
        return np.stack([128 + wave, np.full_like(wave, 128), 128 - wave], -1)

    def colour(picture):
        return (picture[..., 0].astype(float) - picture[..., 2])[30:-30, 30:-30]

    picture = np.rint(coloured(0.0)).astype(np.uint8)
    slope = (colour(coloured(1e-3)) - colour(coloured(0.0))) / 1e-3
    again = reencode(np.stack([picture, picture]))[0]
    moved = (slope * (colour(again) - colour(picture))).sum() / (slope**2).sum()
    assert abs(moved) < 0.05


def test_a_video_is_the_same_every_time(tmp_path):
    frames, _ = render(MOUTH, n_frames=4)
    for name in ("a.mp4", "b.mp4"):
        write_video(tmp_path / name, frames, 25.0)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()
    assert np.array_equal(np.stack(list(read_clip(tmp_path / "a.mp4"))), reencode(frames))


def test_a_video_is_in_the_profile_and_the_colours_that_browsers_know(tmp_path):
    write_video(tmp_path / "a.mp4", np.stack([face(), face()]), 25.0)
    with av.open(str(tmp_path / "a.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.profile, stream.pix_fmt) == ("h264", "High", "yuv420p")
        assert next(container.decode(stream)).colorspace == 6, "SMPTE 170M, which is BT.601"
