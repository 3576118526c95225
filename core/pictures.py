"""Read external pictures as RGB, whatever their format, and sort the pictures in a folder."""

from __future__ import annotations

import io
import itertools
import re
import struct
import warnings
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, TiffImagePlugin

from megbench.core.errors import BenchError, clause
from megbench.core.files.wrong_file import mistaken_download

Picture = npt.NDArray[np.uint8]

PICTURES = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"}
# What operating systems add to a numbered file's name when it is copied: "003 (1)", "003 - Copy (2)", "003 copy 2".
COPY = re.compile(r"(?<=\d)(?: - Copy| copy)?(?: \(\d+\)| \d+)?$", re.IGNORECASE)
MAX_PIXELS = 64_000_000
# The face detector pads pictures on all sides. A long strip that is one pixel high would thus grow a hundredfold.
MAX_SIDE = 30_000
TIFF = (b"II*\0", b"MM\0*")


def is_picture(path: Path) -> bool:
    """Return whether a path is a picture file, judging by its name; hidden files do not count."""
    return path.suffix.lower() in PICTURES and not path.name.startswith(".") and path.is_file()


def frames_folder(folder: Path) -> Path:
    """Return the folder that contains a clip's pictures: `folder` or, if it has none itself, its subfolder `frames`."""
    entries = _entries(folder)
    inside = next((path for path in entries if path.name.lower() == "frames" and path.is_dir()), None)
    return folder if inside is None or any(map(is_picture, entries)) else inside


def pictures_in(folder: Path) -> list[Path]:
    """Return the pictures of a clip's folder (`frames_folder`), sorted by the numbers in their names: img99, img100.

    Raise BenchError if the folder cannot be read, or if it contains a link to a picture that does not exist.
    """
    entries = _entries(frames_folder(folder))
    for path in entries:
        if path.suffix.lower() in PICTURES and path.is_symlink() and not path.exists():
            raise BenchError(f"{path}: the link's target does not exist. Replace the link with the picture itself.")
    return sorted((path for path in entries if is_picture(path)), key=lambda path: natural(path.name))


def numbers_in(path: Path) -> tuple[int, ...]:
    """Return the numbers in a file's name from left to right; its suffix does not count."""
    return tuple(map(int, re.findall(r"\d+", path.stem)))


def check_numbers(folder: Path, pictures: Sequence[Path]) -> None:
    """Raise BenchError if two pictures of a folder have the same number, such as 003.png and 003_mask.png.

    Sorted by number, the two would be consecutive frames. Nothing is raised if names have no numbers, or if all have
    the same numbers: such pictures are sorted alphabetically.
    """
    stems = {path.stem for path in pictures}
    first: dict[tuple[int, ...], Path] = {}
    twice = []
    for path in pictures:
        original = path.with_stem(COPY.sub("", path.stem))
        numbers = numbers_in(original if original.stem in stems else path)
        if numbers and first.setdefault(numbers, path) is not path:
            twice.append((first[numbers], path))
    if twice and len(first) > 1:
        one, other = twice[0]
        more = f" (and {len(twice) - 1} more)" if len(twice) > 1 else ""
        raise BenchError(
            f"{folder}: {one.name!r} and {other.name!r} have the same number{more}. Keep one picture for each frame."
        )


def missing_numbers(pictures: Sequence[Path]) -> list[int]:
    """Return the numbers missing from a series of pictures, or [] if the numbers in the names do not count frames.

    The step of the series is the smallest difference between two numbers.
    """
    found = [numbers_in(path) for path in pictures]
    if len({len(numbers) for numbers in found}) != 1:
        return []
    counting = [sorted(set(column)) for column in zip(*found, strict=True) if len(set(column)) > 1]
    if len(counting) != 1:
        return []
    numbers = counting[0]
    steps = {later - earlier for earlier, later in itertools.pairwise(numbers)}
    step = min(steps)
    # Timestamps and numbers far apart do not count frames.
    if any(other % step for other in steps) or numbers[-1] - numbers[0] >= 2 * len(numbers) * step:
        return []
    return sorted(set(range(numbers[0], numbers[-1], step)).difference(numbers))


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError as error:
        raise BenchError(f"{folder}: the folder cannot be read ({error.strerror}). Check its permissions.") from None


def natural(name: str) -> list[tuple[int, int, str]]:
    """Return the sort key of a name: runs of digits compare as numbers, the rest as text."""
    parts = re.findall(r"\d+|\D+", name)
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part.lower()) for part in parts] + [(2, 0, name)]


def read_picture(path: Path) -> Picture:
    """Return a picture file as (H, W, 3) uint8 RGB, turned upright and without transparency.

    The picture's EXIF tag states how to turn it. 16-bit values are scaled to 8 bits. Raise BenchError if the file is
    missing, damaged or not a picture, if it has 32-bit pixels, or if it has more than 64 million pixels.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # warnings about tags and palettes; anything that matters is an error
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                check_size(path, image.width, image.height)
                return _upright(path, image)
    except BenchError:
        raise
    except FileNotFoundError:
        raise BenchError(f"{path} does not exist. Pass a picture file.") from None
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
        raise BenchError(f"{path} has 32-bit pixels, whose white level is unknown. Save it with 8 or 16 bits.")
    return np.array(upright.convert("RGB"), dtype=np.uint8)


def _read_deep_picture(path: Path) -> Picture:
    """Return a picture that OpenCV can read but Pillow cannot: a TIFF with three 16-bit channels."""
    data = path.read_bytes()
    if not data:
        raise BenchError(f"{path} is empty. Replace it.")
    image = None
    if data.startswith(TIFF):
        try:
            check_size(path, *_tiff_size(data))
            image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
        except (cv2.error, KeyError, TypeError, ValueError, OSError, SyntaxError, struct.error):
            image = None
    if image is None:
        text = mistaken_download(path)
        raise BenchError(
            f"{path} is not a picture but {text}."
            if text
            else f"{path} is not a picture in a known format. Convert it to PNG."
        )
    return np.asarray(image, np.uint8)


def _tiff_size(data: bytes) -> tuple[int, int]:
    """Return the width and height that a TIFF header declares; OpenCV would allocate memory before checking them."""
    file = io.BytesIO(data)
    tags = TiffImagePlugin.ImageFileDirectory_v2(file.read(8))
    file.seek(tags.next)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # warnings about damaged tags
        tags.load(file)
    return int(tags[TiffImagePlugin.IMAGEWIDTH]), int(tags[TiffImagePlugin.IMAGELENGTH])


def check_size(path: Path, width: int, height: int) -> None:
    """Raise BenchError if a picture or a frame is too large to be a picture of a face."""
    if width * height > MAX_PIXELS:
        raise BenchError(f"{path}: {width}x{height} is larger than {MAX_PIXELS} pixels. Scale it down.")
    if max(width, height) > MAX_SIDE:
        raise BenchError(f"{path}: {width}x{height} has a side longer than {MAX_SIDE} pixels. Crop it to the face.")


def stated_density(path: Path) -> str:
    """Return a picture's horizontal and vertical density as "16:15" if its header says that they differ, or "".

    The suite does not apply the density. Viewers ignore it, and into PNG and JPEG pictures FFmpeg writes the inverse of
    what these formats define (findings/ffmpeg_picture_aspect.sh), so the header alone proves nothing.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path) as image:
                found = image.info
        across, down = map(float, found.get("aspect") or found.get("dpi") or found.get("jfif_density") or (1, 1))
    except Exception:  # an unreadable header states nothing; the pixels are read elsewhere
        return ""
    unequal = min(across, down) > 0 and max(across, down) > 1.01 * min(across, down)
    return f"{across:g}:{down:g}" if unequal else ""
