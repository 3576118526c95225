"""Clips for the page: one high-quality picture of frame 0 and sheets of signed differences from it.

A micro-expression moves a face by half a pixel. Coding whole frames (WebP at 3.8 KB each) buries such motion under
ringing. Coding differences from frame 0 preserves it: in clips with such small motion, the blurred difference reaches
15 to 20 dB instead of 4 dB at the same file size. A difference d (-255..255) is stored as 128 + 127 asinh(d/32) /
asinh(255/32), which is fine near zero and coarse far from it, so nothing is clipped. The page computes base + d, and
amplified views from d alone.

For recordings of large motion, coding frames is better (29 dB, against 27 dB for differences, and fewer specks of
colour). Clips that differ much from frame 0 are therefore coded both ways, and the better result is kept. Everything is
coded from the lossless frames. Coding and quality are chosen on a few of a clip's frames; then the clip is coded once.
"""

import base64
import functools
import io
from bisect import bisect_left
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from megbench.core.errors import BenchError
from megbench.core.files.cache import digest, read_kept, write_kept
from megbench.core.files.hashes import file_hash
from megbench.core.frames import SIZE, Frames, frame_path, grey, read_frames
from megbench.core.processors import usable
from megbench.core.progress import track
from megbench.reports.fields import encode_field, field_reach, read_field

# Part of the cache key: change it whenever the bytes may change.
RECIPE = "asinh32-webp-7"
KNEE = 32.0
COLUMNS = 8
# Frames in one sheet: 2048 x 2048 pixels, which every browser decodes.
PER_SHEET = 64
# The number of frames on which coding and quality are chosen and the error is measured.
TRIED = 8
# Largest mean size of a frame, so that a demo report stays under 25 MB after base64.
BYTES_PER_FRAME = 3300
BASE_QUALITY = 92
# If `reach` (grey levels of luma) exceeds this, both codings are tried. Below it, differences were always better.
FAR = 50.0
# Coding up to this many frames takes less time than starting other processes.
FEW_FRAMES = 300
QUALITIES = (90, 82, 74, 66, 58, 50, 42, 34, 26, 18, 10)

Float32s = npt.NDArray[np.float32]
LUMA = np.array([0.299, 0.587, 0.114], np.float32)


@dataclass(frozen=True)
class Media:
    """One clip as the page holds it: WebP files, `sheets` of up to 64 tiles in rows of 8.

    `base` is frame 0 and the tiles are coded differences from it; if `base` is empty, the tiles are the frames. A still
    picture has no sheets. `error` is the root mean square error of the differences, measured in up to 8 frames that are
    coded like all others. `reach` is the 98th percentile of the differences. Both are in grey levels of luma, and 0 for
    a still picture. `field` is the coded motion field (b"" if not measured), `moves` its reach in pixels.
    """

    n_frames: int
    base: bytes
    sheets: tuple[bytes, ...]
    error: float
    reach: float
    field: bytes = b""
    moves: float = 0.0

    def for_page(self) -> dict[str, object]:
        """Return what the page's script reads, as JSON values."""
        base, field, *sheets = (base64.b64encode(part).decode() for part in (self.base, self.field, *self.sheets))
        return {"n": self.n_frames, "base": base, "field": field, "sheets": sheets}


# The code of each difference from -255 to 255, and the difference for each code (the page's script has the latter).
ENCODE = np.rint(128 + 127 * np.arcsinh(np.arange(-255, 256) / KNEE) / np.arcsinh(255 / KNEE)).astype(np.uint8)
DECODE = (KNEE * np.sinh((np.arange(256) - 128) / 127 * np.arcsinh(255 / KNEE))).astype(np.float32)


# The codes of pixels brighter than in frame 0 and, to be subtracted from them, those of darker pixels.
BRIGHTER, DARKER = ENCODE[255:], 128 - ENCODE[255::-1]


def encode_clip(frames: Frames, field: Float32s | None = None) -> Media:
    """Return the media of frames (T, 256, 256, 3) uint8: the better coding, at the best quality that the size allows.

    field: the clip's motion (T, G, G, 2) in pixels, or None if not measured.
    """
    reach = _reach(grey(frames))
    codings = (True, False) if reach > FAR else (True,)
    error, differences, quality = min(_tried(frames, differences) for differences in codings)
    starts = range(0, len(frames), PER_SHEET)
    sheets = [_sheet(_tiles(frames[start : start + PER_SHEET], frames[0], differences), quality) for start in starts]
    base = _webp(frames[0], BASE_QUALITY) if differences else b""
    coded, moves = (b"", 0.0) if field is None else (encode_field(field), field_reach(field))
    return Media(len(frames), base, tuple(sheets), error, reach, coded, moves)


def _reach(luma: npt.NDArray[np.uint8]) -> float:
    """Return the 98th percentile of the differences from frame 0 in luma (T, 256, 256); 0 for a single frame."""
    counts = sum(np.bincount(cv2.absdiff(later, luma[0]).ravel(), minlength=256) for later in luma[1:])
    return float(np.searchsorted(np.cumsum(counts), 0.98 * np.sum(counts))) if len(luma) > 1 else 0.0


def _tried(frames: Frames, differences: bool) -> tuple[float, bool, int]:
    """Code a few frames. Return the error of their differences in luma, the coding (`differences`) and the quality's
    index."""
    chosen = np.linspace(min(len(frames) - 1, len(frames) > TRIED), len(frames) - 1, min(len(frames), TRIED))
    part = frames[chosen.round().astype(int)]
    tiles = _tiles(part, frames[0], differences)
    quality, sheet = _best_quality(tiles)
    coded = _untiled(sheet)[: len(part)]
    shown = DECODE[coded] if differences else coded - frames[0].astype(np.float32)
    true = part.astype(np.float32) - frames[0]
    return float(np.sqrt((((shown - true) @ LUMA) ** 2).mean())), differences, quality


def _tiles(frames: Frames, first: Frames, differences: bool) -> npt.NDArray[np.uint8]:
    """Return the tiles to code for frames (T, 256, 256, 3): the frames, or their differences from `first`."""
    if not differences:
        return frames
    up, down = BRIGHTER.reshape(1, 256), DARKER.reshape(1, 256)
    brighter = (cv2.LUT(cv2.subtract(frame, first), up) for frame in frames)
    darker = (cv2.LUT(cv2.subtract(first, frame), down) for frame in frames)
    return np.stack([cv2.subtract(more, less) for more, less in zip(brighter, darker, strict=True)])


def picture(image: Frames) -> Media:
    """Return a still picture (256, 256, 3) uint8 as a clip of one frame."""
    return Media(1, _webp(image, BASE_QUALITY), (), 0.0, 0.0)


def _best_quality(tiles: npt.NDArray[np.uint8]) -> tuple[int, bytes]:
    """Return the index of the best quality at which tiles (T, 256, 256, 3) fit the size limit, and their sheet.

    If the tiles do not fit at any quality, return the lowest one. The best quality is tried first, because most
    micro-expressions fit at it.
    """
    image, limit, lowest = _grid(tiles), BYTES_PER_FRAME * len(tiles), len(QUALITIES) - 1
    sheet = functools.cache(lambda place: _webp(image, QUALITIES[place]))

    def fits(place: int) -> bool:
        return len(sheet(place)) <= limit

    best = 0 if fits(0) else bisect_left(range(1, lowest), True, key=fits) + 1
    return best, sheet(best)


def _sheet(tiles: npt.NDArray[np.uint8], quality: int) -> bytes:
    """Return up to 64 tiles (T, 256, 256, 3) as WebP at this quality (an index), or a lower one if they do not fit."""
    image, limit = _grid(tiles), BYTES_PER_FRAME * len(tiles)
    coded = (_webp(image, value) for value in QUALITIES[quality:])
    last = b""
    for last in coded:
        if len(last) <= limit:
            break
    return last


def _webp(image: npt.NDArray[np.uint8], quality: int) -> bytes:
    out = io.BytesIO()
    Image.fromarray(image).save(out, "WEBP", quality=quality, method=2)
    return out.getvalue()


def _grid(tiles: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return tiles in rows of 8 on one picture, the rest filled with mid-grey."""
    rows = -(-len(tiles) // COLUMNS)
    full = np.full((rows * COLUMNS, SIZE, SIZE, 3), 128, np.uint8)
    full[: len(tiles)] = tiles
    grid = full.reshape(rows, COLUMNS, SIZE, SIZE, 3).transpose(0, 2, 1, 3, 4)
    return np.ascontiguousarray(grid.reshape(rows * SIZE, COLUMNS * SIZE, 3))


def _untiled(sheet: bytes) -> npt.NDArray[np.uint8]:
    """Return the tiles of a coded sheet, including those that fill its last row: (8 * rows, 256, 256, 3)."""
    with Image.open(io.BytesIO(sheet)) as image:
        pixels = np.asarray(image.convert("RGB"))
    rows = pixels.shape[0] // SIZE
    grid = pixels.reshape(rows, SIZE, COLUMNS, SIZE, 3).transpose(0, 2, 1, 3, 4)
    return np.asarray(grid.reshape(rows * COLUMNS, SIZE, SIZE, 3))


@dataclass(frozen=True)
class Wanted:
    """A clip for the page: its frame folder (or one PNG), its number of frames, and the file with its motion field.

    That file is missing if scoring did not measure the clip's motion.
    """

    folder: Path
    count: int
    field: Path | None = None


def media_of(wanted: Wanted, cache: Path) -> Media:
    """Return the media of a clip, made once for the same files and read from `cache` after that.

    Raise BenchError if a frame is missing or damaged.
    """
    kept = _kept_path(wanted, cache)
    return _read_kept(kept) or _made(wanted, kept)


def _made(wanted: Wanted, kept: Path) -> Media:
    """Code a clip and save its media to the path `kept`."""
    if wanted.folder.suffix == ".png":
        media = picture(_still(wanted.folder)[0])
    else:
        field = read_field(wanted.field, wanted.count) if wanted.field else None
        media = encode_clip(read_frames(wanted.folder, wanted.count), field)
    _keep(kept, media)
    return media


def _kept_path(wanted: Wanted, cache: Path) -> Path:
    """Return the path of these files' media. Raise BenchError if a frame is missing."""
    folder = wanted.folder
    files = [folder] if folder.suffix == ".png" else [frame_path(folder, index) for index in range(wanted.count)]
    if wanted.field and wanted.field.is_file():
        files.append(wanted.field)
    try:
        key = digest([f"{RECIPE}/{BYTES_PER_FRAME}", *map(file_hash, files)])
    except OSError as error:
        raise BenchError(
            f"{error.filename} cannot be read ({error.strerror}). Rerun the command that created this run."
        ) from None
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


def media_of_all(wanted: Sequence[Wanted], cache: Path) -> list[Media]:
    """Return the media of many clips in the same order, encoded by as many processes as there are usable cores."""
    paths = [_kept_path(clip, cache) for clip in wanted]
    found = [_read_kept(path) for path in paths]
    # The same files may be requested twice: the output of ceiling may be a copy of the driver.
    lost = {path: clip for path, clip, media in zip(paths, wanted, found, strict=True) if media is None}
    if sum(clip.count for clip in lost.values()) <= FEW_FRAMES:
        made = [_made(clip, path) for path, clip in lost.items()]
    else:
        # Spawned, because the caller may hold threads (OpenCV, torch) that do not survive a fork.
        workers = min(usable(), len(lost))
        with ProcessPoolExecutor(workers, get_context("spawn"), cv2.setNumThreads, (1,)) as pool:
            jobs = [pool.submit(_made, clip, path) for path, clip in lost.items()]
            made = [job.result() for job in track(jobs, "Media for the report", "clip")]
    fresh = dict(zip(lost, made, strict=True))
    return [media or fresh[path] for path, media in zip(paths, found, strict=True)]
