"""Frames from outside: videos and folders of pictures of any make, one RGB picture at a time; and videos written.

Frames are counted by index, never by time, so a variable frame rate does no harm.
"""

from __future__ import annotations

import io
import re
import struct
import warnings
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

import av
import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, TiffImagePlugin

from core.errors import BenchError, clause
from core.frames import Frames
from core.wrong_file import mistaken_download

Picture = npt.NDArray[np.uint8]

PICTURES = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"}
VIDEOS = {".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv"}
EBML_HEADER = bytes.fromhex("1a45dfa3")
SEGMENT = bytes.fromhex("18538067")
MAX_FRAMES = 5000
MAX_PIXELS = 64_000_000
# A strip one pixel high would be padded on all sides by the face detector, and so grow a hundredfold.
MAX_SIDE = 30_000
# Wide-screen video with half its columns has pixels 2.9 times as wide as high.
MAX_PIXEL_ASPECT = 4.0
# The containers that are opened: others are playlists, which would read further files, and single pictures.
CONTAINERS = "mov,matroska,avi,mpeg,mpegvideo,mpegts,asf,gif,h264,hevc,m4v,mjpeg,ogg,flv"
TIFF = (b"II*\0", b"MM\0*")


def is_picture(path: Path) -> bool:
    """Whether the name is that of a picture file; hidden files are none."""
    return path.suffix.lower() in PICTURES and not path.name.startswith(".") and path.is_file()


def is_video(path: Path) -> bool:
    """Whether the name is that of a video file; hidden files are none."""
    return path.suffix.lower() in VIDEOS and not path.name.startswith(".") and path.is_file()


def is_output_video(path: Path) -> bool:
    """Whether the name is that of a video file or an animated GIF, as programs leave them."""
    return is_video(path) or (path.suffix.lower() == ".gif" and not path.name.startswith(".") and path.is_file())


def pictures_in(folder: Path) -> list[Path]:
    """Picture files of a folder in the order of the numbers in their names: img99 before img100.

    BenchError for a folder that cannot be read, and for a link to a picture that is not there.
    """
    try:
        entries = list(folder.iterdir())
    except OSError as error:
        raise BenchError(f"{folder}: the folder cannot be read ({error.strerror}). Check its rights.") from None
    for path in entries:
        if path.suffix.lower() in PICTURES and path.is_symlink() and not path.exists():
            raise BenchError(f"{path}: a link that leads nowhere. Copy the picture itself to that place.")
    return sorted((path for path in entries if is_picture(path)), key=lambda path: natural(path.name))


def natural(name: str) -> list[tuple[int, int, str]]:
    """Sort key of a name: runs of digits compare as numbers, the rest as text."""
    parts = re.findall(r"\d+|\D+", name)
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part.lower()) for part in parts] + [(2, 0, name)]


def read_clip(path: Path, files: Sequence[Path] = ()) -> Iterator[Picture]:
    """Frames of a video file or a folder of pictures, one by one: (H, W, 3) uint8 RGB, all of one size.

    files: the pictures of the folder that make the clip, in order; default: all of them.

    Raises BenchError where there are none, only one, more than 5000, frames of different sizes, or damaged data.
    """
    size: tuple[int, ...] | None = None
    count = 0
    for picture in map(read_picture, files or pictures_in(path)) if path.is_dir() else _read_video(path):
        size = size or picture.shape
        if picture.shape != size:
            raise BenchError(
                f"{path}: frames have different sizes: the first is {size[1]}x{size[0]}, number {count + 1} is"
                f" {picture.shape[1]}x{picture.shape[0]}. Give each clip frames of one size."
            )
        if count == MAX_FRAMES:
            raise BenchError(f"{path}: more than {MAX_FRAMES} frames. Cut out the expression first.")
        count += 1
        yield picture
    if count < 2:
        found = "no frames" if count == 0 else "only one frame"
        raise BenchError(f"{path}: {found}; a clip needs at least two. Give a video or a folder of numbered pictures.")


def read_picture(path: Path) -> Picture:
    """Return a picture file as (H, W, 3) uint8 RGB, upright by its EXIF tag, 16 bit scaled to 8, without transparency.

    Raises BenchError for what is missing, damaged, not a picture, of 32 bits or above 64 million pixels.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of tags and palettes; what matters is an error
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                _check_size(path, image.width, image.height)
                return _upright(path, image)
    except BenchError:
        raise
    except Image.UnidentifiedImageError:
        return _read_deep_picture(path)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise BenchError(f"{path}: the picture is larger than {MAX_PIXELS} pixels. Scale it down.") from None
    except Exception as error:  # whatever Pillow's readers raise on damaged data
        raise BenchError(f"{path}: the picture cannot be read ({clause(error)}). Replace the file.") from None


def _upright(path: Path, image: Image.Image) -> Picture:
    upright = ImageOps.exif_transpose(image)
    if upright.mode.startswith("I;16"):
        deep = np.asarray(upright, dtype=np.float32) / 257
        return np.repeat(np.rint(deep).astype(np.uint8)[..., None], 3, axis=2)
    if upright.mode in ("I", "F"):
        raise BenchError(f"{path}: pixels of 32 bits, whose white nobody knows. Save the picture with 8 or 16 bits.")
    return np.array(upright.convert("RGB"), dtype=np.uint8)


def _read_deep_picture(path: Path) -> Picture:
    """Pictures that Pillow does not know but OpenCV does: TIFF of 16 bits and three channels."""
    data = path.read_bytes()
    image = None
    if data.startswith(TIFF):
        try:
            _check_size(path, *_tiff_size(data))
            image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
        except (cv2.error, KeyError, TypeError, ValueError, OSError, SyntaxError, struct.error):
            image = None
    if image is None:
        text = mistaken_download(path)
        raise BenchError(
            f"{path}: not a picture but {text}."
            if text
            else f"{path}: not a picture in a known format. Convert it to PNG."
        )
    return np.asarray(image, np.uint8)


def _tiff_size(data: bytes) -> tuple[int, int]:
    """Width and height that the header of a TIFF file declares; OpenCV would first of all make room for them."""
    file = io.BytesIO(data)
    tags = TiffImagePlugin.ImageFileDirectory_v2(file.read(8))
    file.seek(tags.next)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of tags that are damaged
        tags.load(file)
    return int(tags[TiffImagePlugin.IMAGEWIDTH]), int(tags[TiffImagePlugin.IMAGELENGTH])


def first_size(path: Path) -> tuple[int, int]:
    """Return the displayed width and height of the first frame of a video, a GIF or a folder of pictures.

    Raise BenchError if there is no frame.
    """
    for picture in map(read_picture, pictures_in(path)) if path.is_dir() else _read_video(path):
        return round(picture.shape[1] * pixel_aspect(path)), picture.shape[0]
    raise BenchError(f"{path}: no frames. Add them, or remove it.")


def _check_size(path: Path, width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise BenchError(f"{path}: {width}x{height} is larger than {MAX_PIXELS} pixels. Scale it down.")
    if max(width, height) > MAX_SIDE:
        raise BenchError(f"{path}: {width}x{height} is longer than {MAX_SIDE} pixels. Cut it to the face.")


def frame_rate(path: Path) -> float | None:
    """Average frames per second of a video; None for a folder of pictures or where the file does not say."""
    if path.is_dir():
        return None
    with _opened(path) as container:
        rate = container.streams.video[0].average_rate
        return float(rate) if rate else None


def pixel_aspect(path: Path) -> float:
    """Return the width of a pixel over its height in the upright frames of a video, 1.0 if the file does not say.

    It is 1.0 for a folder of pictures: see `stated_density`. Raise BenchError above 4 and below 1/4, which only a
    damaged header states.
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
                f"{path}: the header says that pixels are {stream.sample_aspect_ratio} times as wide as high; only"
                f" 1/{MAX_PIXEL_ASPECT:g} to {MAX_PIXEL_ASPECT:g} is possible. Correct it, for example with"
                " ffmpeg -i IN -vf setsar=1 OUT."
            )
        width, height = stream.codec_context.width, stream.codec_context.height
        _check_size(path, round(width * max(aspect, 1)), round(height / min(aspect, 1)))
        try:
            first = next(container.decode(stream), None)
        except av.error.FFmpegError:
            raise _truncated(path) from None
        return 1 / aspect if first is not None and round(first.rotation / 90) % 2 else aspect


def stated_density(path: Path) -> str:
    """Return a picture's horizontal and vertical density as "16:15" if its header has unequal ones, else "".

    It is not applied: viewers ignore it, and FFmpeg writes the pixel aspect of a video into PNG and JPEG the other way
    round from what both formats define (findings/ffmpeg_picture_aspect.sh), so the header alone proves nothing.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path) as image:
                found = image.info
        across, down = map(float, found.get("aspect") or found.get("dpi") or found.get("jfif_density") or (1, 1))
    except Exception:  # a header that cannot be read says nothing; the pixels are read elsewhere
        return ""
    unequal = min(across, down) > 0 and max(across, down) > 1.01 * min(across, down)
    return f"{across:g}:{down:g}" if unequal else ""


def _read_video(path: Path) -> Iterator[Picture]:
    with _opened(path) as container:
        stream = container.streams.video[0]
        _check_size(path, stream.codec_context.width, stream.codec_context.height)
        _check_complete(path, stream)
        stream.codec_context.thread_type = "AUTO"
        aspect = None
        try:
            for frame in container.decode(stream):
                if frame.is_corrupt:
                    raise _truncated(path)
                aspect = aspect or stream.codec_context.sample_aspect_ratio
                if stream.codec_context.sample_aspect_ratio != aspect:
                    raise BenchError(f"{path}: its pixel aspect ratio changes. Cut out the expression first.")
                _check_size(path, frame.width, frame.height)  # a stream may grow
                yield _as_shown(frame)
        except av.error.FFmpegError:
            raise _truncated(path) from None


def _as_shown(frame: av.VideoFrame) -> Picture:
    """Return a decoded frame as (H, W, 3) uint8 RGB, turned and mirrored according to the file's display matrix.

    Its first row is the direction of the columns, its second that of the rows. PyAV reports the turn of the columns. If
    the rows do not turn with them, the determinant is negative and the video is mirrored, as front cameras save it.
    """
    picture = np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
    matrix: Any = frame.side_data.get("DISPLAYMATRIX", None)  # PyAV's types say object
    if matrix is not None:
        (a, b, _), (c, d, _) = np.frombuffer(matrix, np.int32).reshape(3, 3)[:2].astype(float)
        if a * d < b * c:
            picture = picture[::-1]
    return np.ascontiguousarray(np.rot90(picture, round(frame.rotation / 90)))


def _opened(path: Path) -> av.container.InputContainer:
    try:
        # Only this file: a playlist in disguise must not open others.
        options = {"protocol_whitelist": "file", "format_whitelist": CONTAINERS}
        container = av.open(str(path.resolve()), mode="r", options=options)
    except FileNotFoundError:
        raise BenchError(f"{path}: no such file or folder.") from None
    except (av.error.FFmpegError, OSError):
        raise _no_video(path) from None
    if not container.streams.video:
        container.close()
        raise BenchError(f"{path}: the file holds no video. Give a video or a folder of pictures.")
    return container


def _check_complete(path: Path, stream: av.VideoStream) -> None:
    """Files with an index (MP4, MOV, AVI) say where every frame lies; one that lies beyond the end is lost.

    Matroska and WebM say how long the segment with all frames is; a live recording leaves that open.

    The number of frames in the header proves nothing: edited phone videos hold frames that are not to be shown.
    """
    size = path.stat().st_size
    if any(entry.pos + entry.size > size for entry in stream.index_entries) or _segment_end(path) > size:
        raise _truncated(path)


def _segment_end(path: Path) -> int:
    """Where the segment of a Matroska or WebM file ends, in bytes; 0 for other files and where it is left open.

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


def _element_size(file: BinaryIO) -> int | None:
    """The size of the element read next: as many bytes as the first has leading zeros, and one; None if left open."""
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
    """Why a file cannot be opened: a picture by another name, say, or a video that is cut off in its header."""
    if placeholder := mistaken_download(path):
        return BenchError(f"{path}: not a video but {placeholder}.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            kind = Image.open(path).format
    except Exception:
        return _truncated(path)
    return BenchError(f"{path}: a picture ({kind}), not a video. Put the frames of a clip into a folder of their own.")


def write_video(target: Path | io.BytesIO, frames: Frames, fps: float, lossless: bool = False) -> None:
    """Write frames (T, H, W, 3) uint8 RGB, H and W even, as an MP4 with H.264.

    For viewing: 4:2:0, quality crf 18. Lossless: RGB, bit-exact, which few players show.
    """
    with av.open(target if isinstance(target, io.BytesIO) else str(target), mode="w", format="mp4") as container:
        # One thread: the encoder's output depends on the number of threads.
        options = {"crf": "0" if lossless else "18", "threads": "1"}
        rate = Fraction(fps).limit_denominator(1000)
        stream = container.add_stream("libx264rgb" if lossless else "libx264", rate=rate, options=options)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "rgb24" if lossless else "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))


def reencode(frames: Frames, fps: float = 25.0) -> Frames:
    """Frames (T, H, W, 3) uint8 RGB after H.264 at crf 18 and back: what a careful copy of a recording keeps."""
    buffer = io.BytesIO()
    write_video(buffer, frames, fps)
    buffer.seek(0)
    with av.open(buffer, mode="r") as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
