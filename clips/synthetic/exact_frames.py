"""Noise-free pictures of a person's performance, with their exact motion."""

import numpy as np

from megbench.clips.synthetic.camera import Camera
from megbench.clips.synthetic.performance import Performance, Times
from megbench.clips.synthetic.personal_basis import personal_basis
from megbench.clips.synthetic.render import Actor
from megbench.core.clip import Float32s, KnownMotion, affine_points
from megbench.core.frames import Frames
from megbench.faces.facs import ACTION_UNITS, MICRO
from megbench.faces.field import jacobian_determinant, sample


def film(actor: Actor, performance: Performance, camera: Camera) -> tuple[Frames, KnownMotion]:
    """Return noise-free pictures uint8 (T, 256, 256, 3) RGB and the exact motion from which they were rendered.

    If the camera makes several exposures per frame, the picture is their average, whereas the exact motion is that at
    the frame's nominal time.
    """
    known = plan(actor, performance)
    pictures = np.stack([_exposed(actor, performance, camera, known, frame) for frame in range(performance.n_frames)])
    return pictures, known


def plan(actor: Actor, performance: Performance) -> KnownMotion:
    """Return the exact motion without rendering anything."""
    face = actor.person.face
    manner = personal_basis(np.random.default_rng([performance.manner, 0]))
    chosen = [ACTION_UNITS.index(unit) for unit in performance.units]
    bases = np.stack([actor.move(manner[index] * MICRO) for index in chosen]).astype(np.float16)
    times = np.arange(performance.n_frames, dtype=np.float64)
    intensity, head = performance.intensity(times), performance.head(times, face.landmarks[36:48].mean(0))
    steps = np.stack([sample(base.astype(np.float32), face.landmarks) for base in bases])  # (K, 68, 2)
    moved = face.landmarks + np.tensordot(intensity, steps, axes=1)
    landmarks = np.stack([affine_points(points, matrix) for points, matrix in zip(moved, head, strict=True)])
    return KnownMotion(performance.units, intensity, bases, head, landmarks)


def least_jacobian(known: KnownMotion) -> float:
    """Return the smallest det J of the facial motion over all frames; 0 or less indicates a fold."""
    forward = (expression(known.au_intensity[frame], known) for frame in range(len(known.au_intensity)))
    return min(float(jacobian_determinant(field).min()) for field in forward)


def expression(intensity: Float32s, known: KnownMotion) -> Float32s:
    """Return the forward field (256, 256, 2) for intensities (K,), without the head's motion."""
    return np.asarray(np.tensordot(intensity, known.bases.astype(np.float32), axes=1), np.float32)


def _exposed(actor: Actor, performance: Performance, camera: Camera, known: KnownMotion, frame: int) -> Frames:
    times: Times = np.maximum(frame + np.array(camera.exposures), 0)
    heads = performance.head(times, actor.person.face.landmarks[36:48].mean(0))
    shots = [
        actor.shoot(expression(intensity, known), head).frame
        for intensity, head in zip(performance.intensity(times), heads, strict=True)
    ]
    return np.asarray(np.round(np.mean(shots, axis=0)), np.uint8)
