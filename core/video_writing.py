"""Write videos for viewing, at a quality that preserves micro-expressions, and videos for programs, without loss."""

from __future__ import annotations

import io
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import Interpolation

from megbench.core.frames import Frames

# FFmpeg's default conversion to RGB truncates where it should round, and so darkens pictures by 1.3 of 255 grey levels
# (findings/ffmpeg_darkens_rgb.sh). It rounds only with the last two of these flags.
EXACT = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
# At the usual crf of 18, smooth skin loses two thirds of a motion of .15 px, which is a difference of one grey level.
# The encoder rounds such differences to zero, above all in flat blocks (adaptive quantisation, trellis, dead zones).
# With these features off, crf 4 keeps at least 97 % of the motion on average over six places in two portraits, with
# noise and without, at 25 and at 100 frames per second. The colour matrix is stated so that no player guesses it. So is
# the place of the colour samples: FFmpeg computes them in the middle of their four pixels (chromaloc 1), and H.264's
# default is the left edge, so colour would move by half a pixel (findings/ffmpeg_accurate_rounding_moves_colour.sh).
VIEWED = {
    "crf": "4",
    "profile": "high",
    "x264-params": (
        "aq-mode=0:trellis=0:no-dct-decimate=1:deadzone-inter=0:deadzone-intra=0:colormatrix=smpte170m:chromaloc=1"
    ),
}
LOSSLESS = {"crf": "0"}


def write_video(
    target: Path | io.BytesIO,
    frames: Frames,
    fps: float,
    lossless: bool = False,
    viewed: Mapping[str, str] = VIEWED,
) -> None:
    """Write frames (T, H, W, 3) uint8 RGB, H and W even, as an MP4 with H.264.

    viewed: x264's settings for a video for viewing. By default, it has 4:2:0 in High profile, which every browser
    plays, and a quality that preserves a micro-expression.
    lossless: whether to write bit-exact RGB instead, which few players support.
    """
    with av.open(target if isinstance(target, io.BytesIO) else str(target), mode="w", format="mp4") as container:
        # One thread: the encoder's output depends on the number of threads.
        options = {**(LOSSLESS if lossless else viewed), "threads": "1"}
        rate = Fraction(fps).limit_denominator(1000)
        stream = container.add_stream("libx264rgb" if lossless else "libx264", rate=rate, options=options)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "rgb24" if lossless else "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))


def reencode(frames: Frames, fps: float = 25.0, viewed: Mapping[str, str] = VIEWED) -> Frames:
    """Return frames (T, H, W, 3) uint8 RGB as they are after encoding for viewing, to imitate a high-quality copy.

    viewed: x264's settings. Settings other than the default imitate other kinds of copies.
    """
    buffer = io.BytesIO()
    write_video(buffer, frames, fps, viewed=viewed)
    return decoded(buffer.getvalue())


def decoded(video: bytes) -> Frames:
    """Return the frames (T, H, W, 3) uint8 RGB of a video written by this module, given its bytes."""
    with av.open(io.BytesIO(video), mode="r") as container:
        found = container.decode(video=0)
        return np.stack([frame.to_ndarray(format="rgb24", interpolation=EXACT) for frame in found])
