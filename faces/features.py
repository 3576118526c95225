"""The features of a cell's clips that metrics read, computed once per clip and stored by the clip's content."""

from __future__ import annotations

import contextlib
import functools
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from megbench.core.clip import Cell, Clip, Float32s
from megbench.core.errors import BenchError
from megbench.core.files.cache import digest, whole_archive
from megbench.core.files.folder_lock import in_turn
from megbench.core.files.hashes import states
from megbench.core.files.own_store import own_store
from megbench.core.files.whole_files import whole_file
from megbench.core.frames import SIZE, Frames, check_frames, content_hash, grey
from megbench.core.provenance import module_of, recipe
from megbench.faces.action_units import Intensities, intensities
from megbench.faces.flow import WHOLE, FlowFrom, box_around
from megbench.faces.landmarks import Grey, Points, detect, landmarks
from megbench.faces.motion import FacialMotion, facial_motion
from megbench.faces.regions import Mask, face_regions

SAMPLED = 8
# At most this many flows of a clip are kept (128 MiB); all others are computed again whenever they are requested.
KEPT_FLOWS = 512
Arrays = dict[str, npt.NDArray[Any]]
# The result of a search in one frame: landmarks or an embedding, or None if there is no face.
Found = npt.NDArray[np.float64] | None


@functools.cache
def _recipe(module: str) -> str:
    """Return what determines features computed by `module`, apart from the frames: its code and packages, and this
    file's."""
    return digest([recipe(__name__), recipe(module)])


def sampled_frames(n_frames: int, apex: int | None, most: int = SAMPLED) -> tuple[int, ...]:
    """Return at most `most` frame numbers: the first, the apex (or the middle if none is coded), the last, and others
    evenly spaced between them."""
    if n_frames <= most:
        return tuple(range(n_frames))
    peak = n_frames // 2 if apex is None else min(max(apex, 0), n_frames - 1)
    spread = np.linspace(0, n_frames - 1, most).round().astype(int)
    inner = spread[1:-1]
    inner[np.abs(inner - peak).argmin()] = peak
    return tuple(sorted({0, n_frames - 1, *(int(k) for k in inner)}))


class SeenClip:
    """One clip as the suite analyses it. Every feature is computed once, when it is first requested.

    role: the clip's name in error messages.
    load: a function that reads its frames.
    content: the hash of its frames.
    cache: a folder shared between runs, or None to keep nothing on disk.
    """

    def __init__(self, role: str, load: Callable[[], Frames], content: str, cache: Path | None) -> None:
        self.role = role
        self.content = content
        self._load = load
        self._cache = cache
        self._flows: dict[int, Float32s] = {}
        self._found: dict[str, dict[int, Found]] = {}

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
        """The 68 landmarks of frame 0, (68, 2) pixels. Raise CellFailed if no face is found."""
        points = self.landmarks_at([0])[0]
        return landmarks(self.grey[0], self.role) if points is None else points

    def landmarks_at(self, indices: Sequence[int]) -> list[Found]:
        """Return the 68 landmarks of some frames, (68, 2) pixels each, or None for a frame without a face."""
        return self.found_at("landmarks", indices, self._detect)

    def found_at(self, name: str, indices: Sequence[int], look: Callable[[Sequence[int]], list[Found]]) -> list[Found]:
        """Return the results of `look` for some frames; they are kept in the cache under `name`."""
        known = self._found.setdefault(name, {})
        if any(index not in known for index in indices):

            @functools.wraps(look)  # so that the cache's key includes the code of `look`
            def compute() -> Arrays:
                return self._look(indices, known, look)

            found = self.kept(f"{name}-{'-'.join(map(str, indices))}", compute)
            known |= {index: _or_none(found[str(index)]) for index in indices}
        return [known[index] for index in indices]

    def _look(
        self, indices: Sequence[int], known: dict[int, Found], look: Callable[[Sequence[int]], list[Found]]
    ) -> Arrays:
        """Return the results of `look` by frame number; it is called only once for frames with equal pixels."""
        pixels = {index: content_hash(self.frames[index]) for index in indices}
        found = {pixels[index]: known[index] for index in indices if index in known}
        new = {key: index for index, key in pixels.items() if key not in found}
        found.update(zip(new, look(list(new.values())), strict=True))
        return {str(index): _or_empty(found[key]) for index, key in pixels.items()}

    @functools.cached_property
    def _flow_from(self) -> FlowFrom:
        points = self.landmarks_at([0])[0]
        return FlowFrom(self.grey[0], WHOLE if points is None else box_around(face_regions(points).face))

    def flow(self, index: int) -> Float32s:
        """Return the dense flow from frame 0 to frame `index`: (256, 256, 2) float32, pixels, x then y.

        Farther than 12 pixels from the face found in frame 0, the flow is zero; if no face is found, it covers the
        whole frame.
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

    def flow_over(self, area: Mask) -> Callable[[int], Float32s]:
        """Return `flow` if it covers `area` (256, 256), or else a function that computes flow there."""
        rows, columns = self._flow_from.box
        if area[rows, columns].sum() == area.sum():
            return self.flow
        follow = FlowFrom(self.grey[0], box_around(area))
        return lambda index: follow(self.grey[index])

    @functools.cached_property
    def motion(self) -> FacialMotion:
        """The facial motion in every frame. Raise CellFailed if frame 0 shows no face."""
        return FacialMotion.of(self.kept("motion", self._measure_motion))

    @functools.cached_property
    def action_units(self) -> Intensities:
        """Intensities (T, K) estimated from flow (faces.action_units.UNITS). Raise CellFailed if there is no face."""
        return self.kept("action_units", self._read_action_units)["intensity"]

    def _detect(self, indices: Sequence[int]) -> list[Found]:
        return [detect(self.grey[index]) for index in indices]

    def _measure_motion(self) -> Arrays:
        return facial_motion(self.flow, len(self.frames), self.landmarks).arrays()

    def _read_action_units(self) -> Arrays:
        return {"intensity": intensities(self.flow, len(self.frames), self.landmarks)}

    def kept(self, name: str, compute: Callable[[], Arrays], sources: Sequence[Path] = ()) -> Arrays:
        """Return this clip's features called `name` from the cache, or compute them; damaged files are replaced.

        Their key includes the code and packages of the module in which `compute` is defined, and the contents of the
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
        with whole_file(path, lasting=False) as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]
        return arrays

    def feature_file(self, name: str, compute: Callable[[], Arrays], sources: Sequence[Path] = ()) -> Path:
        """Return the file with this clip's features called `name`; if it is missing, `kept` creates it.

        This is for metrics that compare sets of clips. Raise BenchError if there is no cache.
        """
        if self._cache is None:
            raise BenchError(f"The features {name} of the {self.role} cannot be kept because there is no store.")
        self.kept(name, compute, sources)
        return self._path(self._cache, name, compute, sources)

    def motion_file(self, again: bool = False) -> Path | None:
        """Return the file with this clip's motion, or None if it was never measured; a damaged file is regenerated.

        again: whether to generate the file if it is missing.
        """
        path = self._path(self._cache, "motion", self._measure_motion, ()) if self._cache else None
        if path is None or not (path.exists() or again):
            return None
        if not whole_archive(path):
            self.kept("motion", self._measure_motion)
        return path

    def _path(self, cache: Path, name: str, compute: Callable[[], Arrays], sources: Sequence[Path]) -> Path:
        key = digest([_recipe(module_of(compute)), name, self.content, states(sources)])
        return cache / key[:2] / f"{key}.npz"


class Seen:
    """A cell's output with the clips that it is compared with.

    output: the frames to be scored.
    driver: the cell's reference; for rendered clips, this is the same motion with different noise.
    template: a clip of one frame.
    truth: None if it is not known.

    Raise BenchError if the output's frames are not uint8 (T, 256, 256, 3) with T >= 1.
    """

    def __init__(self, cell: Cell, output_frames: Frames, cache: Path | None) -> None:
        check_frames(output_frames, "Output")
        self.output = SeenClip("output", lambda: output_frames, content_hash(output_frames), cache)
        self.driver = _seen_clip("driver", cell.reference, cache)
        template = cell.template.image[None]
        self.template = SeenClip("template", lambda: template, content_hash(template), cache)
        self.truth = None if cell.truth is None else _seen_clip("truth", cell.truth, cache)


def seen_clip(role: str, clip: Clip) -> SeenClip:
    """Return a clip whose features are shared, through the store if there is one, by the methods of all processes."""
    store = own_store()
    return SeenClip(role, clip.frames, clip.content, store and store / "features")


@contextlib.contextmanager
def one_at_a_time(clip: SeenClip) -> Iterator[None]:
    """Let only one process at a time analyse a clip, so that the next process finds the results in the store.

    Clips share 4096 lock files, so clips with the same file merely wait for each other. Blocks must not be nested.
    """
    store = own_store()
    with in_turn(store / "locks" / f"{clip.content[:3]}.lock") if store else contextlib.nullcontext():
        yield


@functools.lru_cache(maxsize=2)  # a cell's outputs are scored in succession, so its driver and truth are read once
def _seen_clip(role: str, clip: Clip, cache: Path | None) -> SeenClip:
    return SeenClip(role, clip.frames, clip.content, cache)


def _or_empty(found: Found) -> npt.NDArray[np.float64]:
    return np.zeros(0) if found is None else found


def _or_none(stored: npt.NDArray[Any]) -> Found:
    return stored.astype(np.float64) if stored.size else None
