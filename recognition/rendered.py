"""Rendered people as training data if no database is available. A rule assigns sets of action units to emotions.

This set has no clips in common with the demo: people and manners are drawn for this set alone, and none of its sets of
units occurs in the demo. Both use the same renderer and the same two portraits, so a recogniser learns only how
rendered faces move.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from megbench.clips.portraits import portrait_path
from megbench.clips.synthetic.camera import Camera
from megbench.clips.synthetic.people import Role
from megbench.clips.synthetic.personal_basis import personal_basis
from megbench.clips.synthetic.render import Actor
from megbench.core.errors import few
from megbench.core.files.cache import digest
from megbench.core.files.hashes import file_hash
from megbench.core.frames import Frames, grey
from megbench.core.provenance import recipe
from megbench.faces.facs import ACTION_UNITS, MICRO, cap
from megbench.faces.field import similarity
from megbench.faces.landmarks import Grey
from megbench.recognition.moments import Measured, Moment, measure
from megbench.recognition.samples import Sample

DATABASE, SERIES = "rendered", "recogniser"
# After EMFACS (Ekman and Friesen 1983), as for the demo's drivers: smiles are positive, raised brows and upper lids are
# surprise, and the units of anger, disgust, sadness, fear and contempt are negative. No set occurs in the demo.
UNITS: dict[str, tuple[tuple[str, ...], ...]] = {
    "negative": (
        ("AU04",),
        ("AU04", "AU07"),
        ("AU09",),
        ("AU10",),
        ("AU15",),
        ("AU17",),
        ("AU09", "AU10"),
        ("AU04", "AU15"),
        ("AU10", "AU17"),
        ("AU07", "AU09"),
    ),
    "positive": (
        ("AU12",),
        ("AU06",),
        ("AU12", "AU25"),
        ("AU06", "AU12", "AU25"),
        ("AU14",),
        ("AU06", "AU12", "AU14"),
    ),
    "surprise": (
        ("AU01",),
        ("AU02",),
        ("AU05",),
        ("AU01", "AU05"),
        ("AU01", "AU02", "AU26"),
        ("AU02", "AU25"),
        ("AU01", "AU02", "AU05", "AU26"),
    ),
}
PEOPLE, EACH = 24, 3
PORTRAITS = ("astronaut", "hopper")
# The range of the intensity at the apex, and the scale of the head's motion by then, in pixels.
LEAST, MOST, HEAD_PX = 0.5, 1.0, 1.0


@dataclass(frozen=True)
class Shown:
    """One expression of one person. manner: the seed of the person's manner, the head motion and the camera noise."""

    role: Role
    emotion: str
    units: tuple[tuple[str, float], ...]
    manner: int
    colour: str

    @property
    def name(self) -> str:
        """The clip's name."""
        return "_".join([self.person, *(unit for unit, _ in self.units)])

    @property
    def person(self) -> str:
        """The person in the clip."""
        return f"{DATABASE}/{self.role.series}{self.role.number}"

    def key(self) -> str:
        """Return the content key of the frames."""
        return digest([recipe(__name__), asdict(self), file_hash(portrait_path(self.role.portrait))])


def expressions(people: int = PEOPLE) -> list[Shown]:
    """Return every person's expressions, EACH per emotion. The random choices are the same in every call."""
    return [shown for number in range(people) for shown in _of_person(number)]


def _of_person(number: int) -> Iterator[Shown]:
    rng = np.random.default_rng([*SERIES.encode(), number])
    role = Role(PORTRAITS[number % len(PORTRAITS)], SERIES, number)
    for emotion, sets in UNITS.items():
        for index in rng.choice(len(sets), EACH, replace=False):
            strong = tuple((unit, min(float(rng.uniform(LEAST, MOST)), cap(unit))) for unit in sets[index])
            manner = 1_000_000 + 100 * number + int(rng.integers(100))
            yield Shown(role, emotion, strong, manner, str(rng.choice(["grey", "rgb"])))


def rendered_samples(cache: Path | None, workers: int = 1, people: int = PEOPLE) -> tuple[list[Sample], list[str]]:
    """Return the expressions of rendered people as samples of two frames, and notes on unusable expressions."""
    shown = expressions(people)
    moments = [Moment(one.name, one.key(), functools.partial(_frame, one), 2, 0, 1) for one in shown]
    found = measure(moments, cache, "Flow of rendered people", workers)
    samples = [
        Sample(
            DATABASE,
            one.person,
            one.name,
            one.emotion,
            kept.picture,
            0,
            1,
            True,
            kept.pixels,
        )
        for one, kept in zip(shown, found, strict=True)
        if isinstance(kept, Measured)
    ]
    lost = [kept for kept in found if isinstance(kept, str)]
    return samples, [f"{len(lost)} of {len(shown)} rendered clips cannot be used ({few(lost, 2)})"] if lost else []


def _frame(shown: Shown, index: int) -> Grey:
    return grey(two_frames(shown))[index]


@functools.lru_cache(maxsize=1)  # callers request the two frames one after the other
def two_frames(shown: Shown) -> Frames:
    """Return the neutral frame and the apex frame, (2, 256, 256, 3), as recorded by a camera."""
    actor = _actor(shown.role)
    manner = personal_basis(np.random.default_rng([shown.manner, 0]))
    moved = sum(strength * manner[ACTION_UNITS.index(unit)] for unit, strength in shown.units)
    rng = np.random.default_rng([shown.manner, 1])
    x, y, turn, growth = rng.normal(0, HEAD_PX, 4)
    head = similarity(1 + 0.002 * growth, 0.004 * turn, (x, y), actor.person.face.landmarks[36:48].mean(0))
    apex = actor.shoot(actor.move(np.asarray(moved) * MICRO), head).frame
    pictures = np.stack([_neutral(shown.role), apex])
    return Camera("grey" if shown.colour == "grey" else "rgb").record(pictures, rng)


@functools.lru_cache(maxsize=2)
def _actor(role: Role) -> Actor:
    return Actor(role.person())


@functools.lru_cache(maxsize=2)
def _neutral(role: Role) -> Frames:
    return _actor(role).shoot(np.zeros((256, 256, 2), np.float32)).frame
