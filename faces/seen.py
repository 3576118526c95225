"""What the suite sees in a cell: for each role the features that metrics read, computed once and kept by content."""

from __future__ import annotations

import functools
import os
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from core.clip import Cell, Clip, Floats
from core.errors import BenchError, CellFailed
from core.file_hashes import states
from core.frames import SIZE, Frames, check_frames, content_hash, grey
from core.provenance import module_of, recipe
from core.store import digest
from faces.action_units import Intensities, intensities
from faces.flow import WHOLE, FlowFrom, box_around
from faces.landmarks import Grey, Points, detect, embedding, landmarks
from faces.motion import Motion, facial_motion
from faces.regions import Mask, face_regions

SAMPLED = 8
# Flows of longer clips are computed again when asked for again: 512 of them take about 128 MiB.
KEPT_FLOWS = 512
Arrays = dict[str, npt.NDArray[Any]]


@functools.cache
def _recipe(module: str) -> str:
    """Return what decides features that `module` computes from this one's, besides the frames: code and packages."""
    return digest([recipe(__name__), recipe(module)])


def sampled_frames(n_frames: int, apex: int | None) -> tuple[int, ...]:
    """At most 8 frame numbers: first, apex (the middle where nobody coded it), last and evenly between; sorted."""
    if n_frames <= SAMPLED:
        return tuple(range(n_frames))
    peak = n_frames // 2 if apex is None else min(max(apex, 0), n_frames - 1)
    spread = np.linspace(0, n_frames - 1, SAMPLED).round().astype(int)
    inner = spread[1:-1]
    inner[np.abs(inner - peak).argmin()] = peak
    return tuple(sorted({0, n_frames - 1, *(int(k) for k in inner)}))


class SeenClip:
    """One clip as the suite sees it. Everything is computed when first asked for, and once.

    role: what error messages call it. load: reads its frames. content: hash of its frames. cache: folder shared
    between runs, None to keep nothing on disk.
    """

    def __init__(self, role: str, load: Callable[[], Frames], content: str, cache: Path | None) -> None:
        self.role = role
        self.content = content
        self._load = load
        self._cache = cache
        self._flows: dict[int, Floats] = {}
        self._landmarks: dict[int, Points | None] = {}
        self._embeddings: dict[int, npt.NDArray[np.float64] | None] = {}

    @functools.cached_property
    def frames(self) -> Frames:
        """Frames uint8 (T, 256, 256, 3) RGB."""
        return self._load()

    @functools.cached_property
    def grey(self) -> Grey:
        """Luma (T, 256, 256) uint8."""
        return grey(self.frames)

    @property
    def landmarks(self) -> Points:
        """The 68 landmarks of frame 0, (68, 2) pixels. CellFailed as faces.landmarks.landmarks without a face."""
        points = self.landmarks_at([0])[0]
        return landmarks(self.grey[0], self.role) if points is None else points

    def landmarks_at(self, indices: Sequence[int]) -> list[Points | None]:
        """The 68 landmarks of some frames, (68, 2) pixels each, None for a frame without a face."""
        for index in indices:
            if index not in self._landmarks:
                find = functools.partial(self._detect, index)
                self._landmarks[index] = _or_none(self.kept(f"landmarks-{index}", find)["points"])
        return [self._landmarks[index] for index in indices]

    def embedding_at(self, indices: Sequence[int]) -> list[npt.NDArray[np.float64] | None]:
        """dlib's face embedding (128,) of some frames, None for a frame without a face."""
        for index in indices:
            if index not in self._embeddings:
                embed = functools.partial(self._embed, index)
                self._embeddings[index] = _or_none(self.kept(f"embedding-{index}", embed)["vector"])
        return [self._embeddings[index] for index in indices]

    @functools.cached_property
    def _flow_from(self) -> FlowFrom:
        points = self.landmarks_at([0])[0]
        return FlowFrom(self.grey[0], WHOLE if points is None else box_around(face_regions(points).face))

    def flow(self, index: int) -> Floats:
        """Dense flow from frame 0 to frame `index`: (256, 256, 2) float32, pixels, x then y.

        It is zero further than 12 pixels from the face found in frame 0; without a face there it covers the frame.
        """
        box = self._flow_from.box
        if index in self._flows:
            flow = np.zeros((SIZE, SIZE, 2), np.float32)
            flow[box] = self._flows[index]
            return flow
        flow = self._flow_from(self.grey[index])
        if len(self._flows) < KEPT_FLOWS:
            self._flows[index] = flow[box].copy()
        return flow

    def flow_over(self, area: Mask) -> Callable[[int], Floats]:
        """Return `flow` if it covers an area (256, 256), else a function that computes flow there."""
        rows, columns = self._flow_from.box
        if area[rows, columns].sum() == area.sum():
            return self.flow
        follow = FlowFrom(self.grey[0], box_around(area))
        return lambda index: follow(self.grey[index])

    @functools.cached_property
    def motion(self) -> Motion:
        """Facial motion of every frame. CellFailed without a face in frame 0."""
        return Motion.of(self.kept("motion", self._measure_motion))

    @functools.cached_property
    def action_units(self) -> Intensities:
        """Intensities (T, K) of faces.action_units.UNITS, read from flow. CellFailed without a face in frame 0."""
        return self.kept("action_units", self._read_action_units)["intensity"]

    def _detect(self, index: int) -> Arrays:
        return {"points": _or_empty(detect(self.grey[index]))}

    def _embed(self, index: int) -> Arrays:
        points = self.landmarks_at([index])[0]
        return {"vector": _or_empty(None if points is None else embedding(self.frames[index], points))}

    def _measure_motion(self) -> Arrays:
        return facial_motion(self.flow, len(self.frames), self.landmarks).arrays()

    def _read_action_units(self) -> Arrays:
        return {"intensity": intensities(self.flow, len(self.frames), self.landmarks)}

    def kept(self, name: str, compute: Callable[[], Arrays], sources: Sequence[Path] = ()) -> Arrays:
        """Return features of this clip called `name`, from the cache or else computed; damaged files are replaced.

        Their key holds the code and the packages of the module in which `compute` is written, and the contents of the
        files that it reads besides the clip (`sources`).
        """
        if self._cache is None:
            return compute()
        path = self._path(self._cache, name, compute, sources)
        try:
            with np.load(path, allow_pickle=False) as stored:
                return dict(stored)
        except (OSError, ValueError, RuntimeError, EOFError, zipfile.BadZipFile):
            pass
        arrays = compute()
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.stem}.{os.getpid()}.npz")
        np.savez(temporary, **arrays)  # type: ignore[arg-type]
        os.replace(temporary, path)
        return arrays

    def feature_file(self, name: str, compute: Callable[[], Arrays], sources: Sequence[Path] = ()) -> Path:
        """Return the file with features of this clip called `name`, which is made as `kept` does if it is missing.

        For metrics that compare sets of clips. BenchError without a cache.
        """
        if self._cache is None:
            raise BenchError(f"Features {name} of the {self.role} cannot be kept: there is no store.")
        self.kept(name, compute, sources)
        return self._path(self._cache, name, compute, sources)

    def _path(self, cache: Path, name: str, compute: Callable[[], Arrays], sources: Sequence[Path]) -> Path:
        key = digest([_recipe(module_of(compute)), name, self.content, states(sources)])
        return cache / key[:2] / f"{key}.npz"


@dataclass(frozen=True)
class FieldOf:
    """The coarse facial motion field of any frames, for reports; what scoring saw before is found in `cache`."""

    cache: Path

    @property
    def recipe(self) -> str:
        """All that decides a field besides the frames."""
        return _recipe(__name__)

    def __call__(self, frames: Frames) -> npt.NDArray[np.float16] | None:
        """Frames (T, 256, 256, 3) -> (T, 32, 32, 2), pixels x, y since frame 0; None without a face in frame 0."""
        try:
            return SeenClip("clip", lambda: frames, content_hash(frames), self.cache).motion.field
        except CellFailed:
            return None


class Seen:
    """A cell's output beside what it is compared with.

    output: the frames to judge. driver: the cell's reference (same motion, other noise draw, where clips are
    rendered). template: a clip of one frame. truth: None where nobody knows it.
    BenchError if the output's frames are not uint8 (T, 256, 256, 3) with T >= 1.
    """

    def __init__(self, cell: Cell, output_frames: Frames, cache: Path | None) -> None:
        check_frames(output_frames, "Output")
        self.output = SeenClip("output", lambda: output_frames, content_hash(output_frames), cache)
        self.driver = _seen_clip("driver", cell.reference, cache)
        template = cell.template.image[None]
        self.template = SeenClip("template", lambda: template, content_hash(template), cache)
        self.truth = None if cell.truth is None else _seen_clip("truth", cell.truth, cache)


@functools.lru_cache(maxsize=2)  # the rows of a cell follow each other: its driver and truth are read once
def _seen_clip(role: str, clip: Clip, cache: Path | None) -> SeenClip:
    return SeenClip(role, clip.frames, clip.content, cache)


def _or_empty(found: npt.NDArray[np.float64] | None) -> npt.NDArray[np.float64]:
    return np.zeros(0) if found is None else found


def _or_none(stored: npt.NDArray[Any]) -> npt.NDArray[np.float64] | None:
    return stored.astype(np.float64) if stored.size else None
