"""Look-alike databases with planted rules: lowered brows mean negative, a smile means positive, and raised brows mean
surprise.

Each clip shows a rendered person in four frames: neutral, half, apex, half again. The stores are like those that
`bench.py prepare` writes.
"""

import functools
from pathlib import Path

import numpy as np

from megbench.clips.synthetic.camera import Camera
from megbench.clips.synthetic.people import Role
from megbench.clips.synthetic.personal_basis import personal_basis
from megbench.clips.synthetic.render import Actor
from megbench.core.files.hashes import file_hash
from megbench.core.prepared_clips import CLIP, FRAMES, STORE, VERSION, StoredClip, StoreFacts
from megbench.faces.facs import ACTION_UNITS, MICRO

RULES = {"negative": ("AU04", "AU15"), "positive": ("AU12",), "surprise": ("AU01", "AU02")}
COURSE = (0.0, 0.5, 1.0, 0.5)
APEX = 2
WORDS = {"samm": ("Anger", "Happiness", "Surprise"), "smic": tuple(RULES)}


@functools.cache
def _actor(person: int) -> Actor:
    return Actor(Role(("astronaut", "hopper")[person % 2], "planted", person).person())


@functools.cache
def acted(person: int, emotion: str, take: int, noise: float = 2.0) -> np.ndarray:
    """Return a person's clip (4, 256, 256, 3), with a different manner and noise in each take."""
    actor = _actor(person)
    seed = [person, list(RULES).index(emotion), take]
    manner = personal_basis(np.random.default_rng(seed))
    moved = sum(manner[ACTION_UNITS.index(unit)] for unit in RULES[emotion]) * 0.8 * MICRO
    half, apex = (actor.shoot(actor.move(moved * strength)).frame for strength in COURSE[1:3])
    pictures = np.stack([neutral(person), half, apex, half])
    return Camera("grey", noise=noise).record(pictures, np.random.default_rng([9, *seed]))


@functools.cache
def neutral(person: int) -> np.ndarray:
    """Return the person at rest, without noise."""
    return _actor(person).shoot(np.zeros((256, 256, 2), np.float32)).frame


def landmarks(person: int) -> np.ndarray:
    """Return the person's landmarks (68, 2)."""
    return _actor(person).person.face.landmarks


def store(folder: Path, database: str, people: list[int], takes: int = 2) -> Path:
    """Write a database of people who show every emotion `takes` times; SMIC has no coded apexes, as in reality."""
    listed = {}
    for person in people:
        subject = f"s{person}" if database == "smic" else f"{person:03d}"
        for emotion, word in zip(RULES, WORDS[database], strict=True):
            for take in range(takes):
                name = f"{subject}_{emotion[:2]}_{take + 1}"
                listed[name] = _write(folder / name, database, subject, word, person, acted(person, emotion, take))
    facts = StoreFacts(
        version=VERSION, database=database, colour="recorded", source=(), corrected=(), clips=listed, left_out={}
    )
    (folder / STORE).write_text(facts.model_dump_json())
    return folder


def _write(place: Path, database: str, subject: str, word: str, person: int, frames: np.ndarray) -> str:
    name = place.name
    place.mkdir(parents=True)
    np.save(place / FRAMES, frames[..., 0])
    points = tuple((float(x), float(y)) for x, y in landmarks(person))
    clip = StoredClip(
        key=name,
        name=name,
        database=database,
        subject=subject,
        emotion=word,
        recording=f"{database}/{name}",
        n_frames=len(frames),
        fps=100,
        onset_frame=0,
        apex_frame=None if database == "smic" else APEX,
        offset_frame=len(frames) - 1,
        box=(0, 0, 256, 256),
        colour="grey",
        landmarks=points,
        points=points[:18],
        size=(place / FRAMES).stat().st_size,
        blake2b=file_hash(place / FRAMES),
    )
    (place / CLIP).write_text(clip.model_dump_json())
    return file_hash(place / CLIP)
