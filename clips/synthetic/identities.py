"""Invented people: each is a portrait with another face shape, other colours and other lighting.

The shape is changed on the face mesh, as in an expression, but permanently and more strongly. Colours are changed in
CIE Lab. Because there are few portraits, the results are many variations of a few people; reports say so.
"""

import functools
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from megbench.clips.portraits import TEXTURE, Portrait, to_texture
from megbench.core.clip import pixel_grid
from megbench.core.frames import Frames
from megbench.faces import mesh
from megbench.faces.facs import Bump, Pull, displacement
from megbench.faces.field import MeshField, Points, warp
from megbench.faces.mesh import FittedMesh, canonical

Map = npt.NDArray[np.float32]

# Each row is a trait: its displacement per standard deviation, in face units (see faces/facs.py).
# fmt: off
TRAITS: tuple[Bump | Pull, ...] = (
    #    trait                 dx     dy     x     y     sx    sy
    Bump("jaw width",         .080,  .000,  .85, 1.20,  .35,  .45),
    Bump("chin length",       .000,  .055,  .00, 1.75,  .45,  .35),
    Bump("chin width",        .050,  .000,  .35, 1.65,  .25,  .25),
    Bump("cheekbones",        .055,  .000,  .95,  .35,  .30,  .35),
    Bump("cheek fullness",    .050,  .000,  .75,  .90,  .30,  .30),
    Bump("forehead height",   .000, -.050,  .00, -.75,  .80,  .35),
    Bump("forehead width",    .045,  .000,  .85, -.50,  .30,  .40),
    Bump("eye height",        .000,  .040,  .50,  .00,  .30,  .20),
    Bump("eye spacing",       .032,  .000,  .50,  .00,  .25,  .20),
    Bump("eye tilt",          .000, -.028,  .72,  .00,  .13,  .15),
    Bump("nose length",       .000,  .032,  .00,  .60,  .25,  .20),
    Bump("nose width",        .042,  .000,  .20,  .55,  .14,  .20),
    Bump("bridge width",      .025,  .000,  .13,  .15,  .10,  .25),
    Bump("mouth width",       .050,  .000,  .41, 1.02,  .16,  .20),
    Bump("mouth height",      .000,  .030,  .00, 1.05,  .45,  .20),
    Bump("lip fullness",      .000,  .025,  .00, 1.24,  .25,  .09),
    Bump("brow height",       .000, -.045,  .50, -.32,  .35,  .15),
    Bump("brow slope",        .000, -.035,  .75, -.30,  .18,  .12),
    #    trait              strength  x     y    around      sx    sy
    Pull("eye size",         -.110,  .50,  .00,  .50,  .00,  .20,  .14),
)
# fmt: on
STRENGTH = 0.95
# Traits beyond this many standard deviations look like caricatures.
LARGEST = 1.8


@dataclass(frozen=True)
class Person:
    """A person. texture: uint8 (512, 512, 3) RGB, twice the frame size. face: the neutral mesh, in frame pixels."""

    name: str
    texture: Frames
    face: FittedMesh


@dataclass(frozen=True)
class Parts:
    """Soft masks (512, 512) in 0..1 of a portrait: skin, hair (or hat), background, lips, brows, beard."""

    skin: Map
    hair: Map
    background: Map
    lips: Map
    brows: Map
    beard: Map


def make_person(portrait: Portrait, name: str, rng: np.random.Generator) -> Person:
    """Draw one person: the shape of the face, then colours and light. On average, every second person is mirrored."""
    traits = np.clip(rng.normal(size=len(TRAITS)), -LARGEST, LARGEST) * STRENGTH
    shape = np.tensordot(traits, np.stack([displacement(row) for row in TRAITS]), axes=1)
    face = FittedMesh(portrait.face.vertices + portrait.face.to_pixels(shape))
    texture = _recolour(portrait, rng)
    texture = warp(texture, _reshape_field(portrait.face, face, volume=rng.uniform(-0.07, 0.12)))
    if rng.random() < 0.5:
        texture, face = np.ascontiguousarray(texture[:, ::-1]), _mirrored(face)
    return Person(name, texture, face)


def _mirrored(face: FittedMesh) -> FittedMesh:
    across = to_texture(face.vertices)
    across[:, 0] = TEXTURE - 1 - across[:, 0]
    scale = TEXTURE / 256
    return FittedMesh(((across - (scale - 1) / 2) / scale)[mesh.mirror_order()])


def _reshape_field(before: FittedMesh, after: FittedMesh, volume: float) -> Map:
    """Return the backward field (512, 512, 2) to the new shape.

    volume: enlarges the hair if positive and flattens it if negative.
    """
    source, target = to_texture(before.vertices), to_texture(after.vertices)
    backward = MeshField(target, TEXTURE).dense(source - target)
    grid = pixel_grid(TEXTURE)
    centre = target[mesh.OVAL].mean(0)
    away = (grid - centre) / (np.ptp(target[mesh.OVAL], axis=0) / 2)
    height = np.clip(0.6 - away[..., 1], 0, 1)  # hair grows only above the jaw
    around = np.exp(-(((np.linalg.norm(away, axis=-1) - 1.55) / 0.35) ** 2)) * height
    return np.asarray(backward - volume * around[..., None] * (grid - centre), np.float32)


def _polygon(points: Points, soft: float) -> Map:
    mask = np.zeros((TEXTURE, TEXTURE), np.float32)
    cv2.fillConvexPoly(mask, cv2.convexHull(np.round(points).astype(np.int32)), 1.0)
    return np.asarray(cv2.GaussianBlur(mask, (0, 0), soft), np.float32)


@functools.lru_cache(maxsize=8)
def _parts_of(name: str, texture: bytes, vertices: bytes) -> Parts:
    picture = np.frombuffer(texture, np.uint8).reshape(TEXTURE, TEXTURE, 3)
    points = to_texture(np.frombuffer(vertices, np.float64).reshape(-1, 2))
    lab = cv2.cvtColor(picture, cv2.COLOR_RGB2LAB).astype(np.float32)
    oval = _polygon(points[mesh.OVAL], 6)
    person = _silhouette(picture, oval > 0.5)
    tint, spread = np.median(lab[oval > 0.9], 0), np.array([45, 7, 9])
    likely = np.exp(-0.5 * (((lab - tint) / spread) ** 2).sum(-1))
    likely = np.maximum(cv2.GaussianBlur(likely, (0, 0), 3), oval * (likely > 0.02))
    skin = np.clip(1.5 * cv2.GaussianBlur(np.asarray(likely, np.float32), (0, 0), 2), 0, 1) * person
    chin = points[152, 1]
    head = np.clip((chin + 30 - pixel_grid(TEXTURE)[..., 1]) / 40, 0, 1)
    redder = np.clip((cv2.GaussianBlur(lab[..., 1], (0, 0), 2) - tint[1] - 1) / 6, 0, 1)
    lips = _polygon(points[np.r_[mesh.UPPER_LIP_OUTER, mesh.LOWER_LIP_OUTER]], 3) * redder
    brows = np.maximum(_polygon(points[mesh.BROWS[:10]], 3), _polygon(points[mesh.BROWS[10:]], 3))
    y = canonical()[:, 1]
    around_mouth = np.clip((y - 0.72) / 0.15, 0, 1)
    beard = MeshField(points, TEXTURE).dense(np.c_[around_mouth, around_mouth], blur=6)[..., 0]
    return Parts(skin, person * (1 - skin) * head, 1 - person, lips, brows, beard * skin * (1 - 0.6 * lips))


def _silhouette(picture: Frames, face: npt.NDArray[np.bool_]) -> Map:
    """Return a soft mask (512, 512) of the person in front of the background, grown from the face by GrabCut."""
    labels = np.full((TEXTURE, TEXTURE), cv2.GC_PR_BGD, np.uint8)
    height, width = np.nonzero(face)
    left, right = max(int(width.min()) - 90, 0), int(width.max()) + 90
    labels[max(int(height.min()) - 130, 0) :, left:right] = cv2.GC_PR_FGD
    labels[:200, :24] = labels[:200, -24:] = cv2.GC_BGD
    labels[face] = cv2.GC_FGD
    cv2.setRNGSeed(0)
    behind, before = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(picture, labels, (0, 0, 0, 0), behind, before, 4, cv2.GC_INIT_WITH_MASK)
    front = np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.float32)
    opened = cv2.morphologyEx(front, cv2.MORPH_OPEN, np.ones((5, 5)))
    return np.asarray(cv2.GaussianBlur(opened, (0, 0), 3), np.float32)


def _recolour(portrait: Portrait, rng: np.random.Generator) -> Frames:
    parts = _parts_of(portrait.name, portrait.texture.tobytes(), portrait.face.vertices.tobytes())
    lab = cv2.cvtColor(portrait.texture.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)  # L 0..100
    darker = rng.uniform(
        -0.42, 0.06
    )  # skin varies along one axis from pale to dark and becomes redder and yellower on the way
    tone = np.array([1 + darker, 1 + rng.normal(0, 0.09) - 0.15 * darker, 1 + rng.normal(0, 0.09) - 0.1 * darker])
    lab = lab * (1 + parts.skin[..., None] * (tone - 1))
    hair = np.array([rng.uniform(0.35, 1.1), rng.uniform(0.3, 1.6), rng.uniform(0.25, 1.2)])
    lab = lab * (1 + parts.hair[..., None] * (hair - 1))
    lab = lab + parts.background[..., None] * [rng.uniform(-26, 2), rng.normal(0, 5), rng.normal(0, 6)]
    lab[..., 0] *= 1 - parts.brows * rng.uniform(0, 0.3) * (lab[..., 0] < _soft(lab[..., 0]))
    lab = lab + parts.lips[..., None] * [rng.normal(-3, 3), rng.normal(1, 4), rng.normal(0, 2)]
    shade = rng.uniform(0.05, 0.2) * (rng.random() < 0.3)
    lab = lab * (1 - (parts.beard * shade)[..., None] * [0.9, 0.4, 0.5])
    across, down = np.moveaxis(pixel_grid(TEXTURE) / TEXTURE - 0.5, -1, 0)
    light = 1 + rng.normal(0, 0.22) * across + rng.normal(0, 0.14) * down
    lab[..., 0] = np.clip(lab[..., 0] * light, 0, 100)
    rgb = np.clip(cv2.cvtColor(lab.astype(np.float32), cv2.COLOR_LAB2RGB), 0, 1) ** rng.uniform(0.88, 1.15)
    return np.asarray(np.round(rgb * 255), np.uint8)


def _soft(luma: Map) -> Map:
    return np.asarray(cv2.GaussianBlur(luma, (0, 0), 9), np.float32)
