"""Hold auditions: of many randomly drawn people, choose those whose faces are plausible and clearly different."""

import numpy as np
import numpy.typing as npt

from megbench.clips.synthetic.camera import Camera
from megbench.clips.synthetic.parallel import in_parallel
from megbench.clips.synthetic.people import Role
from megbench.clips.synthetic.render import Actor
from megbench.core.errors import BenchError
from megbench.core.frames import grey
from megbench.faces.embedding import embeddings
from megbench.faces.landmarks import detect

# The largest accepted mean distance between dlib's inner landmarks on the noisy picture and those of the mesh, in eye
# distances. People beyond it are rejected.
LANDMARK_ERROR = 0.03


def audition(role: Role) -> npt.NDArray[np.float64] | None:
    """Return the face embedding (128,) of a person's neutral picture, or None if dlib's landmarks are misplaced."""
    person = role.person()
    picture = Actor(person).shoot(np.zeros((256, 256, 2), np.float32)).frame
    noisy = Camera(colour="grey").record(picture[None], np.random.default_rng(role.number or 0))[0]
    found = detect(grey(noisy[None])[0])
    if found is None:
        return None
    miss = np.linalg.norm(found - person.face.landmarks, axis=1)[17:].mean() / person.face.eye_distance
    points = detect(grey(picture[None])[0])
    return embeddings([picture], [points])[0] if miss < LANDMARK_ERROR and points is not None else None


def cast(portrait: str, series: str, count: int, draws: int, progress: bool = False) -> list[Role]:
    """Choose `count` of `draws` people whose faces differ clearly in dlib's embedding.

    Each choice is the person farthest from those already chosen. Raise BenchError if too few people pass the audition.
    """
    roles = [Role(portrait, series, number) for number in range(draws)]
    seen = in_parallel(audition, roles, "casting", progress)
    passed = [(role, features) for role, features in zip(roles, seen, strict=True) if features is not None]
    if len(passed) < count:
        raise BenchError(
            f"Of {draws} people drawn from {portrait}, only {len(passed)} are usable; {count} are needed. Draw more."
        )
    features = np.stack([found for _, found in passed])
    chosen = [int(np.linalg.norm(features - features.mean(0), axis=1).argmax())]
    nearest = np.linalg.norm(features - features[chosen[0]], axis=1)
    while len(chosen) < count:
        chosen.append(int(nearest.argmax()))
        nearest = np.minimum(nearest, np.linalg.norm(features - features[chosen[-1]], axis=1))
    return [passed[index][0] for index in chosen]
