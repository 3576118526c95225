"""Clips for the page: one good picture of frame 0 and sheets of signed differences to it.

A micro-expression moves a face by half a pixel. Coding whole frames (WebP at 3.8 KB each) buries that under ringing;
coding differences to frame 0 keeps it: on clips of micro size the blurred difference comes through with 15 to 20 dB
instead of 4 dB at the same size. A difference d (-255..255) is stored as 128 + 127 asinh(d/32) / asinh(255/32), fine
near zero and coarse far from it, so nothing clips. The page computes base + d, and the amplified view from d alone.

Recordings of large motion are the other way round (27 dB for differences, 29 dB for frames, fewer specks of colour), so
clips that reach far from frame 0 are coded both ways and the better one is kept. All from the lossless frames.
"""

import base64
import dataclasses
import io
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from tqdm import tqdm

from core.errors import BenchError
from core.file_hashes import file_hash
from core.frames import SIZE, Frames, frame_path, read_frames
from core.store import digest, read_kept, write_kept
from reports.fields import Eye, encode_field, field_reach

# Written into the cache key: change it whenever the bytes may change.
RECIPE = "asinh32-webp-6"
KNEE = 32.0
COLUMNS = 8
# Frames in one sheet: 2048 x 2048 pixels, which every browser decodes.
PER_SHEET = 64
# What a frame may cost on average, so that a demo report stays under 25 MB after base64.
BYTES_PER_FRAME = 3300
BASE_QUALITY = 92
# From this reach on (luma, grey levels) both codings are tried; below it differences have always won.
FAR = 50.0
# So few frames are coded sooner than other processes have started.
FEW_FRAMES = 300
QUALITIES = (90, 82, 74, 66, 58, 50, 42, 34, 26, 18, 10)

Floats = npt.NDArray[np.float32]
LUMA = np.array([0.299, 0.587, 0.114], np.float32)


@dataclass(frozen=True)
class Media:
    """One clip as the page holds it: WebP files, `sheets` of up to 64 tiles in rows of 8.

    `base` is frame 0 and the tiles are coded differences to it; where `base` is empty the tiles are the frames.
    A still picture has no sheets. `error` is the root mean square error of the differences, measured on the coded
    sheets; `reach` is what 98 of 100 differences stay under; both in grey levels of luma, 0 for a still picture.
    `field` is the coded motion field (b"" where nobody measured one), `moves` how far it reaches in pixels.
    """

    n_frames: int
    base: bytes
    sheets: tuple[bytes, ...]
    error: float
    reach: float
    field: bytes = b""
    moves: float = 0.0

    def for_page(self) -> dict[str, object]:
        """What the page's script reads, as JSON values."""
        base, field, *sheets = (base64.b64encode(part).decode() for part in (self.base, self.field, *self.sheets))
        return {"n": self.n_frames, "base": base, "field": field, "sheets": sheets}


# Code of each difference -255..255, and the difference that each code stands for (the page's script has this one).
ENCODE = np.rint(128 + 127 * np.arcsinh(np.arange(-255, 256) / KNEE) / np.arcsinh(255 / KNEE)).astype(np.uint8)
DECODE = (KNEE * np.sinh((np.arange(256) - 128) / 127 * np.arcsinh(255 / KNEE))).astype(np.float32)


def encode_clip(frames: Frames) -> Media:
    """The media of frames (T, 256, 256, 3) uint8: the better coding, at the best quality that the size allows."""
    luma = (frames.astype(np.int16) - frames[0]) @ LUMA  # (T, 256, 256)
    reach = float(np.percentile(np.abs(luma[1:]), 98)) if len(frames) > 1 else 0.0
    codings = (True, False) if reach > FAR else (True,)
    return min((_coded(frames, luma, reach, differences) for differences in codings), key=lambda media: media.error)


def _coded(frames: Frames, luma: Floats, reach: float, differences: bool) -> Media:
    """One coding of a clip, with the error of its differences (T, 256, 256) in luma."""
    tiles = ENCODE[frames.astype(np.int16) - frames[0] + 255] if differences else frames
    sheets = tuple(_sheet(tiles[start : start + PER_SHEET]) for start in range(0, len(tiles), PER_SHEET))
    coded = np.concatenate([_untiled(sheet) for sheet in sheets])[: len(frames)]
    shown = DECODE[coded] if differences else coded - coded[0].astype(np.float32)
    error = float(np.sqrt(((shown @ LUMA - luma) ** 2).mean()))
    return Media(len(frames), _webp(frames[0], BASE_QUALITY) if differences else b"", sheets, error, reach)


def picture(image: Frames) -> Media:
    """A still picture (256, 256, 3) uint8 as a clip of one frame."""
    return Media(1, _webp(image, BASE_QUALITY), (), 0.0, 0.0)


def _sheet(tiles: npt.NDArray[np.uint8]) -> bytes:
    """Up to 64 tiles (T, 256, 256, 3) as WebP: the best quality whose file fits, by bisection; else the lowest."""
    image, limit = _grid(tiles), BYTES_PER_FRAME * len(tiles)
    low, high = 0, len(QUALITIES) - 1
    found = None
    while low <= high:
        middle = (low + high) // 2
        coded = _webp(image, QUALITIES[middle])
        if len(coded) <= limit:
            found, high = coded, middle - 1
        else:
            low = middle + 1
    return found if found is not None else _webp(image, QUALITIES[-1])


def _webp(image: npt.NDArray[np.uint8], quality: int) -> bytes:
    out = io.BytesIO()
    Image.fromarray(image).save(out, "WEBP", quality=quality, method=2)
    return out.getvalue()


def _grid(tiles: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Tiles in rows of 8 on one picture, the rest filled with mid-grey."""
    rows = -(-len(tiles) // COLUMNS)
    full = np.full((rows * COLUMNS, SIZE, SIZE, 3), 128, np.uint8)
    full[: len(tiles)] = tiles
    grid = full.reshape(rows, COLUMNS, SIZE, SIZE, 3).transpose(0, 2, 1, 3, 4)
    return np.ascontiguousarray(grid.reshape(rows * SIZE, COLUMNS * SIZE, 3))


def _untiled(sheet: bytes) -> npt.NDArray[np.uint8]:
    """The tiles of a coded sheet, with those that fill its last row: (8 rows, 256, 256, 3)."""
    with Image.open(io.BytesIO(sheet)) as image:
        pixels = np.asarray(image.convert("RGB"))
    rows = pixels.shape[0] // SIZE
    grid = pixels.reshape(rows, SIZE, COLUMNS, SIZE, 3).transpose(0, 2, 1, 3, 4)
    return np.asarray(grid.reshape(rows * COLUMNS, SIZE, SIZE, 3))


def media_of_folder(folder: Path, count: int, cache: Path, eye: Eye | None = None) -> Media:
    """The media of a frame folder (or of one PNG), made once for the same files and read from `cache` after that.

    `eye` measures the motion field; None for media without. BenchError if a frame is missing or damaged.
    """
    kept = _kept_path(folder, count, cache, eye)
    found = _read_kept(kept)
    if found is None:
        if folder.suffix == ".png":
            found = picture(_still(folder)[0])
        else:
            frames = read_frames(folder, count)
            found = _with_field(encode_clip(frames), eye(frames) if eye else None)
        _keep(kept, found)
    return found


def _with_field(media: Media, field: Floats | None) -> Media:
    if field is None:
        return media
    return dataclasses.replace(media, field=encode_field(field), moves=field_reach(field))


def _kept_path(folder: Path, count: int, cache: Path, eye: Eye | None) -> Path:
    """Where the media of these files are kept; BenchError if a frame is missing."""
    files = [folder] if folder.suffix == ".png" else [frame_path(folder, index) for index in range(count)]
    recipe = f"{RECIPE}/{BYTES_PER_FRAME}/{eye.recipe if eye else ''}"
    try:
        key = digest([recipe, *map(file_hash, files)])
    except OSError as error:
        raise BenchError(f"{error.filename}: cannot be read ({error.strerror}). Run the same command again.") from None
    return cache / f"{key}.json"


def _still(path: Path) -> Frames:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))[None]


def _read_kept(path: Path) -> Media | None:
    try:
        kept = read_kept(path) or {}
        base, field, *sheets = (base64.b64decode(part) for part in (kept["base"], kept["field"], *kept["sheets"]))
        return Media(kept["n"], base, tuple(sheets), kept["error"], kept["reach"], field, kept["moves"])
    except (ValueError, KeyError):
        return None


def _keep(path: Path, media: Media) -> None:
    facts = {name: getattr(media, name) for name in ("error", "reach", "moves")}
    write_kept(path, {**media.for_page(), **facts})


def media_of_all(wanted: Sequence[tuple[Path, int]], cache: Path, eye: Eye | None = None) -> list[Media]:
    """The media of many (folder, frame count), coded in as many processes as we may use cores; order is kept."""
    kept = [_read_kept(_kept_path(folder, count, cache, eye)) for folder, count in wanted]
    lost = [place for place, media in enumerate(kept) if media is None]
    if sum(wanted[place][1] for place in lost) <= FEW_FRAMES:
        made = [media_of_folder(*wanted[place], cache, eye) for place in lost]
    else:
        # Spawned, because the caller may hold threads (OpenCV, torch) that do not survive a fork.
        workers = min(len(os.sched_getaffinity(0)), len(lost))
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            jobs = [pool.submit(media_of_folder, *wanted[place], cache, eye) for place in lost]
            bar = tqdm(jobs, desc="media for the report", unit="clip", leave=False)
            made = [job.result() for job in bar]
    fresh = dict(zip(lost, made, strict=True))
    return [media or fresh[place] for place, media in enumerate(kept)]
