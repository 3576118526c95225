"""Read external frames from videos and folders of pictures in any common format, one RGB picture at a time.

Frames are identified by index, never by time, so a variable frame rate does no harm.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import av
import numpy as np
from PIL import Image

from megbench.core.errors import BenchError
from megbench.core.files.kinds import HEAD_BYTES, kind_of
from megbench.core.files.wrong_file import mistaken_download
from megbench.core.gif import gif_rate, gif_size, is_gif, read_gif
from megbench.core.pictures import Picture, check_numbers, check_size, pictures_in, read_picture
from megbench.core.video_writing import EXACT
from megbench.core.video_writing import write_video as write_video  # lets scripts write videos with this module, too

VIDEOS = {".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv", ".gif"}
# Extensions that cameras and recorders use for formats that the same decoders read.
VIDEOS |= {".mts", ".m2ts", ".ts", ".3gp", ".flv", ".f4v", ".ogv", ".vob", ".mod", ".asf"}
EBML_HEADER = bytes.fromhex("1a45dfa3")
SEGMENT = bytes.fromhex("18538067")
MAX_FRAMES = 5000
# Wide-screen video stored with half its columns has pixels that are 2.9 times as wide as they are high.
MAX_PIXEL_ASPECT = 4.0
# The containers that may be opened. The others are playlists, which would read further files, and single pictures.
CONTAINERS = "mov,matroska,avi,mpeg,mpegvideo,mpegts,asf,gif,h264,hevc,m4v,mjpeg,ogg,flv"


def is_video(path: Path) -> bool:
    """Return whether a path is a video file, judging by its name; hidden files do not count."""
    return path.suffix.lower() in VIDEOS and not path.name.startswith(".") and path.is_file()


class TooShort(BenchError):
    """The error for a clip with fewer than two frames."""


def read_clip(path: Path, files: Sequence[Path] = ()) -> Iterator[Picture]:
    """Yield the frames of a video file or of a folder of pictures: (H, W, 3) uint8 RGB, all of the same size.

    files: the pictures of the folder that make up the clip, in order; by default all of them.

    Raise BenchError for more than 5000 frames, for frames of different sizes, for pictures with the same number and for
    damaged data. Raise TooShort for fewer than two frames.
    """
    size: tuple[int, ...] | None = None
    count = 0
    for picture in map(read_picture, files or _numbered(path)) if path.is_dir() else _read_video(path):
        size = size or picture.shape
        if picture.shape != size:
            raise BenchError(
                f"{path}: frames have different sizes: the first is {size[1]}x{size[0]}, but number {count + 1} is"
                f" {picture.shape[1]}x{picture.shape[0]}. Give all frames of a clip the same size."
            )
        if count == MAX_FRAMES:
            raise BenchError(f"{path} has more than {MAX_FRAMES} frames. Trim it to the expression first.")
        count += 1
        yield picture
    if count < 2:
        found = "no frames" if count == 0 else "only one frame"
        raise TooShort(f"{path} has {found}; a clip needs at least two. Pass a video or a folder of numbered pictures.")


def _numbered(folder: Path) -> list[Path]:
    """Return the pictures in a folder, in order. Raise BenchError if two of them have the same number."""
    pictures = pictures_in(folder)
    check_numbers(folder, pictures)
    return pictures


def first_size(path: Path) -> tuple[int, int]:
    """Return the displayed width and height of the first frame of a video, a GIF or a folder of pictures.

    Raise BenchError if there is no frame.
    """
    if is_gif(path):
        width, height = gif_size(path)
        return round(width * pixel_aspect(path)), height
    for picture in map(read_picture, pictures_in(path)) if path.is_dir() else _read_video(path):
        return round(picture.shape[1] * pixel_aspect(path)), picture.shape[0]
    raise BenchError(f"{path} has no frames. Add some, or remove the clip.")


def frame_rate(path: Path) -> float | None:
    """Return a video's average frame rate, or None for a folder of pictures and for a file that does not state one."""
    if path.is_dir():
        return None
    if is_gif(path):
        return gif_rate(path)
    with _opened(path) as container:
        rate = container.streams.video[0].average_rate
        return float(rate) if rate else None


def medium_of(path: Path) -> str:
    """Return how a video's file format affects its motion, in words; "" for ordinary videos and for folders.

    Raise BenchError for a file that cannot be opened.
    """
    if path.is_dir():
        return ""
    if is_gif(path):
        return "a GIF: at most 256 colours per frame, and times in hundredths of a second"
    with _opened(path) as container:
        try:
            first = next(container.decode(video=0), None)
        except av.error.FFmpegError:
            raise _truncated(path) from None
        if first is not None and first.interlaced_frame:
            return "an interlaced video: every frame is woven from two moments (ffmpeg -vf bwdif separates them)"
    return ""


def pixel_aspect(path: Path) -> float:
    """Return the ratio of a pixel's width to its height in a video's upright frames, or 1.0 if the file states none.

    For a folder of pictures, the ratio is 1.0 (see `stated_density`). Raise BenchError for a ratio above 4 or below
    1/4, which only a damaged header states.
    """
    if path.is_dir():
        return 1.0
    with _opened(path) as container:
        stream = container.streams.video[0]
        aspect = float(stream.sample_aspect_ratio or 1)
        if aspect == 1:
            return 1.0
        if not 1 / MAX_PIXEL_ASPECT <= aspect <= MAX_PIXEL_ASPECT:
            raise BenchError(
                f"{path}: the header says that pixels are {stream.sample_aspect_ratio} times as wide as they are high,"
                f" but only 1/{MAX_PIXEL_ASPECT:g} to {MAX_PIXEL_ASPECT:g} is possible. Correct it, for example with"
                " ffmpeg -i IN -vf setsar=1 OUT."
            )
        width, height = stream.codec_context.width, stream.codec_context.height
        check_size(path, round(width * max(aspect, 1)), round(height / min(aspect, 1)))
        try:
            first = next(container.decode(stream), None)
        except av.error.FFmpegError:
            raise _truncated(path) from None
        return 1 / aspect if first is not None and round(first.rotation / 90) % 2 else aspect


def _read_video(path: Path) -> Iterator[Picture]:
    if is_gif(path):
        yield from read_gif(path, MAX_FRAMES + 1)
        return
    with _opened(path) as container:
        stream = container.streams.video[0]
        check_size(path, stream.codec_context.width, stream.codec_context.height)
        _check_complete(path, stream)
        stream.codec_context.thread_type = "AUTO"
        aspect = None
        try:
            for frame in container.decode(stream):
                if frame.is_corrupt:
                    raise _truncated(path)
                aspect = aspect or stream.codec_context.sample_aspect_ratio
                if stream.codec_context.sample_aspect_ratio != aspect:
                    raise BenchError(f"{path}: its pixel aspect ratio changes. Trim it to the expression first.")
                check_size(path, frame.width, frame.height)  # the frame size may increase within a stream
                yield _as_shown(frame)
        except av.error.FFmpegError:
            raise _truncated(path) from None


def _as_shown(frame: av.VideoFrame) -> Picture:
    """Return a decoded frame as (H, W, 3) uint8 RGB, rotated and mirrored according to the file's display matrix.

    The first row of the matrix is the direction of the columns, its second row that of the rows. PyAV reports the
    rotation of the columns. If the rows do not rotate with the columns, the determinant is negative: the video is
    mirrored, as videos from front cameras are.
    """
    picture = np.asarray(frame.to_ndarray(format="rgb24", interpolation=EXACT), np.uint8)
    matrix: Any = frame.side_data.get("DISPLAYMATRIX", None)  # PyAV's types declare object
    if matrix is not None:
        (a, b, _), (c, d, _) = np.frombuffer(matrix, np.int32).reshape(3, 3)[:2].astype(float)
        if a * d < b * c:
            picture = picture[::-1]
    return np.ascontiguousarray(np.rot90(picture, round(frame.rotation / 90)))


def _opened(path: Path) -> av.container.InputContainer:
    try:
        # Open only this file: a playlist in disguise must not open others.
        options = {"protocol_whitelist": "file", "format_whitelist": CONTAINERS}
        container = av.open(str(path.resolve()), mode="r", options=options)
    except FileNotFoundError:
        raise BenchError(f"{path} does not exist. Pass a video or a folder of pictures.") from None
    except (av.error.FFmpegError, OSError):
        raise _no_video(path) from None
    if not container.streams.video:
        container.close()
        raise BenchError(f"{path} contains no video. Pass a video or a folder of pictures.")
    return container


def _check_complete(path: Path, stream: av.VideoStream) -> None:
    """Raise BenchError if a video file is truncated.

    Files with an index (MP4, MOV, AVI) state the position of every frame; a frame beyond the end of the file is lost.
    Matroska and WebM files state the length of the segment with all frames, unless they are live recordings. The index
    of an AVI is at the end of the file and is lost first, but the header states the length of the file; in an
    interrupted recording, that length is 0.

    The number of frames in the header proves nothing: edited phone videos contain frames that players skip.
    """
    size = path.stat().st_size
    stated = max(_segment_end(path), _avi_size(path))
    if any(entry.pos + entry.size > size for entry in stream.index_entries) or stated > size:
        raise _truncated(path)


def _segment_end(path: Path) -> int:
    """Return the end of the segment of a Matroska or WebM file, in bytes; 0 for other files and unspecified sizes.

    Source: RFC 8794 (sections 4, 6.2 and 11.2.1: element sizes and the header) and RFC 9559 (section 5.1: the segment).
    """
    with path.open("rb") as file:
        if file.read(4) != EBML_HEADER:
            return 0
        file.seek(_element_size(file) or 0, io.SEEK_CUR)
        if file.read(4) != SEGMENT:
            return 0
        size = _element_size(file)
        return 0 if size is None else file.tell() + size


def _avi_size(path: Path) -> int:
    """Return the size that an AVI file's header states, in bytes, without the first 8; 0 for other files.

    Some programs include these 8 bytes in the size, so they are not added here.
    """
    with path.open("rb") as file:
        head = file.read(12)
    return int.from_bytes(head[4:8], "little") if head[:4] == b"RIFF" and head[8:] == b"AVI " else 0


def _element_size(file: BinaryIO) -> int | None:
    """Read the size of the next element and return it, or None if it is unspecified.

    The size occupies as many bytes as its first byte has leading zero bits, and one more.
    """
    first = file.read(1)
    if not first or not first[0]:
        return None
    length = 9 - first[0].bit_length()
    bits = 7 * length
    size = int.from_bytes(first + file.read(length - 1)) & ((1 << bits) - 1)
    return None if size == (1 << bits) - 1 else size


def _truncated(path: Path) -> BenchError:
    return BenchError(f"{path}: the video is truncated or damaged. Copy it again from its source.")


def _no_video(path: Path) -> BenchError:
    """Return an error that states why a file cannot be opened as a video and, if possible, what it is instead."""
    if placeholder := mistaken_download(path):
        return BenchError(f"{path} is not a video but {placeholder}.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            kind = Image.open(path).format
    except Exception:
        with path.open("rb") as file:
            found = kind_of(file.read(HEAD_BYTES))
        if found.endswith("video") or not found:
            return _truncated(path)
        return BenchError(f"{path} is {found}, not a video. Pass a video or a folder of pictures.")
    return BenchError(f"{path} is a picture ({kind}), not a video. Put the frames of each clip in a separate folder.")
