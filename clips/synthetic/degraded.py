"""True outputs that are deliberately degraded, level by level, to check every metric (`bench.py selfcheck`)."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np

from megbench.clips.synthetic.exact_frames import film
from megbench.clips.synthetic.people import Role
from megbench.clips.synthetic.performance import Performance, Track
from megbench.clips.synthetic.render import Actor
from megbench.clips.synthetic.rendered_clips import Scene
from megbench.core.frames import Frames

# The levels of each series. The output is undegraded at level 0 or, for the scale, at level 1.
SERIES: dict[str, tuple[float, ...]] = {
    "scale": (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5),
    "delay": (0, 2, 4, 8),
    "jitter": (0, 1, 2, 4),
    "blur": (0, 1, 2),
    "noise": (0, 2, 5),
    "leak": (0, 0.3, 0.6),
}
SINGLES = ("still", "reversed", "wrong_driver", "wrong_identity")
UNHARMED = ("scale", 1.0)
# The unit that leaks in: the first for a clip that moves mainly the upper half of the face, the second for other clips.
LEAKS = ("AU17", "AU01")
UPPER = ("AU01", "AU02", "AU04", "AU05", "AU07")

Variant = tuple[str, float]


def variants() -> list[Variant]:
    """Return all variants of one true output. The undegraded output occurs only once, as level 1 of the scale."""
    made = [("scale", level) for level in SERIES["scale"]]
    made += [(name, level) for name, levels in SERIES.items() if name != "scale" for level in levels[1:]]
    return [*made, *((name, 0.0) for name in SINGLES)]


@dataclass(frozen=True)
class Answer:
    """The scenes from which a cell's variants are made: its truth, its foil and the driver's motion on another face."""

    truth: Scene
    foil: Scene
    other: Scene

    def frames(self, variant: Variant) -> Frames:
        """Return the frames uint8 (T, 256, 256, 3) RGB of a variant. Repeated calls return the same frames."""
        name, level = variant
        make: dict[str, Callable[[], Frames]] = {
            "scale": lambda: shot(self.truth, _scaled(self.truth.performance, level)),
            "leak": lambda: shot(self.truth, _leaking(self.truth.performance, level)),
            "delay": lambda: _at(shot(self.truth), np.arange(self._count) - int(level)),
            "jitter": lambda: _at(shot(self.truth), _jittered(self._count, level)),
            "reversed": lambda: shot(self.truth)[::-1],
            "still": lambda: _at(shot(self.truth), np.zeros(self._count, int)),
            "wrong_driver": lambda: _stretched(shot(self.foil), self._count),
            "wrong_identity": lambda: shot(self.other),
            "blur": lambda: np.stack([cv2.GaussianBlur(frame, (0, 0), level) for frame in shot(self.truth)]),
            "noise": lambda: _noisy(shot(self.truth), level),
        }
        return np.ascontiguousarray(make[name]())

    @property
    def _count(self) -> int:
        return self.truth.performance.n_frames


@functools.lru_cache(maxsize=3)
def shot(scene: Scene, performance: Performance | None = None) -> Frames:
    """Return read-only noise-free frames of a scene, or of the scene with another performance if one is passed."""
    camera = replace(scene.camera, noise=0.0)
    frames, _ = film(_actor(scene.role), performance or scene.performance, camera)
    frames.flags.writeable = False
    return frames


@functools.lru_cache(maxsize=3)
def _actor(role: Role) -> Actor:
    return Actor(role.person())


def _scaled(performance: Performance, factor: float) -> Performance:
    tracks = (
        replace(track, keys=tuple((frame, factor * value) for frame, value in track.keys))
        for track in performance.tracks
    )
    return replace(performance, tracks=tuple(tracks))


def _leaking(performance: Performance, strength: float) -> Performance:
    """Return the performance with another unit, in the quieter half of the face, that rises and falls over the clip."""
    upper = sum(unit in UPPER for unit in performance.units)
    unit = LEAKS[0] if 2 * upper > len(performance.units) else LEAKS[1]
    end = performance.n_frames - 1
    keys = ((2.0, 0.0), (end / 2, strength), (float(end), 0.5 * strength))
    return replace(performance, tracks=(*performance.tracks, Track(unit, keys)))


def _at(frames: Frames, indices: np.ndarray) -> Frames:
    return frames[np.clip(indices, 0, len(frames) - 1)]


def _jittered(count: int, sigma: float) -> np.ndarray:
    """Return frame numbers with Gaussian jitter. The first remains 0, so that motion is still measured from rest."""
    moved = np.arange(count) + sigma * np.random.default_rng(11).standard_normal(count)
    moved[0] = 0
    return moved.round().astype(int)


def _stretched(frames: Frames, count: int) -> Frames:
    return frames[np.linspace(0, len(frames) - 1, count).round().astype(int)]


def _noisy(frames: Frames, sigma: float) -> Frames:
    noise = np.random.default_rng(12).normal(0, sigma, frames.shape)
    return np.clip(np.round(frames + noise), 0, 255).astype(np.uint8)
