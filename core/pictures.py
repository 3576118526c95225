"""Read external pictures as RGB, whatever their format, and sort the pictures in a folder."""

from __future__ import annotations

import io
import itertools
import re
import struct
import warnings
from collections.abc import Iterable, Sequence
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
# A dash that may be a minus sign, and one that nothing but its place in a name would make a separator.
MINUS = re.compile(r"(?<!\d)[-\u2212](?=\d)")
LEADING = re.compile(r"(?:|.*[_(=])[-\u2212]\d")
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
    return in_order(path for path in entries if is_picture(path))


def in_order(files: Iterable[Path]) -> list[Path]:
    """Return files sorted by the numbers in their names, of which some may be negative (`minus_signs`)."""
    listed = list(files)
    minus = minus_signs(listed)
    # A name precedes those that continue it: "img.png", "img (2).png", "img (10).png".
    return sorted(listed, key=lambda path: (_parts(path.stem, minus.get(path)), path.name))


def minus_signs(files: Sequence[Path]) -> dict[Path, int]:
    """Return where the minus sign is in each name that has one.

    A dash before a number is a minus sign if other names have the same form without it: "f-1" beside "f1" and "f--1"
    beside "f-1", but not "f-1" beside "f-2" only.
    """
    forms = {_form(path.stem) for path in files}
    return {
        path: dash.start()
        for path in files
        for dash in MINUS.finditer(path.stem)
        if _form(path.stem[: dash.start()] + path.stem[dash.end() :]) in forms
    }


def _form(stem: str) -> str:
    """Return a name with 0 in place of every number, without plus signs."""
    return re.sub(r"\+?\d+", "0", stem)


def numbers_in(path: Path, minus: int | None = None) -> tuple[int, ...]:
    """Return the numbers in a file's name, without its suffix, from left to right. minus: where its minus sign is."""
    if minus is not None:
        before, number, after = _around(path.stem, minus)
        return (*numbers_in(Path(before)), -int(number), *numbers_in(Path(after)))
    return tuple(map(int, re.findall(r"\d+", path.stem)))


def check_numbers(folder: Path, pictures: Sequence[Path]) -> None:
    """Raise BenchError if two pictures of a folder have the same number, such as 003.png and 003_mask.png.

    Sorted by number, the two would be consecutive frames. Nothing is raised if names have no numbers, or if all have
    the same numbers: such pictures are sorted alphabetically. BenchError is also raised if the numbers do not tell the
    order: a picture has none, unlike the others, or all names begin with a dash, which may be a minus sign or not.
    """
    stems = {path.stem for path in pictures}
    minus = minus_signs(pictures)
    first: dict[tuple[int, ...], Path] = {}
    twice = []
    for path in pictures:
        original = path.with_stem(COPY.sub("", path.stem))
        numbers = numbers_in(original if original.stem in stems else path, minus.get(path))
        if numbers and first.setdefault(numbers, path) is not path:
            twice.append((first[numbers], path))
    if twice and len(first) > 1:
        one, other = twice[0]
        more = f" (and {len(twice) - 1} more)" if len(twice) > 1 else ""
        raise BenchError(
            f"{folder}: {one.name!r} and {other.name!r} have the same number{more}. Keep one picture for each frame."
        )
    _check_order(folder, pictures, signed=bool(minus))


def _check_order(folder: Path, pictures: Sequence[Path], signed: bool) -> None:
    """Raise BenchError if some pictures of a folder have no number, or if it is unclear whether numbers are negative.

    A file copied several times is numbered from its second copy on: img, img (1), img (2). signed: whether some of the
    names are known to have a minus sign.
    """
    without = [path for path in pictures if not numbers_in(path)]
    copied = len(without) == 1 and all(path.stem.startswith(without[0].stem) for path in pictures)
    if 0 < len(without) < len(pictures) and not copied:
        more = f" (and {len(without) - 1} more)" if len(without) > 1 else ""
        raise BenchError(
            f"{folder}: {without[0].name!r} has no number, unlike other pictures{more}. Number it or remove it."
        )
    if len(pictures) > 1 and not signed and all(LEADING.match(path.stem) for path in pictures):
        raise BenchError(
            f"{folder}: it is unclear whether the dash in {pictures[0].name!r} is a minus sign. Rename the pictures"
            " without dashes, such as 001.png, 002.png ..."
        )


def missing_numbers(pictures: Sequence[Path]) -> list[str]:
    """Return the numbers missing from a series of pictures, as "4" or "7 to 9". Its step is the smallest difference
    between two numbers.

    The step of the series is the smallest difference between two numbers.
    """
    minus = minus_signs(pictures)
    found = [numbers_in(path, minus.get(path)) for path in pictures]
    if len({len(numbers) for numbers in found}) != 1:
        return []
    counting = [sorted(set(column)) for column in zip(*found, strict=True) if len(set(column)) > 1]
    if len(counting) != 1:
        return []
    numbers = counting[0]
    steps = [later - earlier for earlier, later in itertools.pairwise(numbers)]
    step = min(steps)
    # Timestamps and numbers far apart do not count frames.
    far = numbers[-1] - numbers[0] >= 2 * len(numbers) * step and 2 * steps.count(step) <= len(steps)
    if far or any(other % step for other in steps):
        return []
    gaps = [(earlier + step, later - step) for earlier, later in itertools.pairwise(numbers) if later - earlier > step]
    return [f"{start}" if start == end else f"{start} to {end}" for start, end in gaps]


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError as error:
        raise BenchError(f"{folder}: the folder cannot be read ({error.strerror}). Check its permissions.") from None


def natural(name: str) -> list[tuple[int, int, str]]:
    """Return the sort key of a name: runs of digits compare as numbers, the rest as text."""
    return [*_parts(name), (2, 0, name)]


def _parts(text: str, minus: int | None = None) -> list[tuple[int, int, str]]:
    """Return the numbers and the text between them. minus: where the minus sign of a negative number is."""
    if minus is not None:
        before, number, after = _around(text, minus)
        return [*_parts(before), (0, -int(number), ""), *_parts(after)]
    parts = re.findall(r"\d+|\D+", text)
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part.lower()) for part in parts]


def _around(name: str, minus: int) -> tuple[str, str, str]:
    """Return what precedes a minus sign, the number after it, and what follows."""
    number, after = re.fullmatch(r"(\d+)(.*)", name[minus + 1 :], re.DOTALL).groups()  # type: ignore[union-attr]
    return name[:minus], number, after


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
