"""Sampling moves pictures by exactly the given motion: ramps, waves and faces, rendered at twice the size or warped.

Motion is measured before noise and rounding, by least squares on analytic gradients, never by the suite's own flow.
"""

from collections.abc import Callable

import cv2
import numpy as np
import pytest
import torch
from scipy.interpolate import RectBivariateSpline
from scipy.ndimage import map_coordinates

from megbench.clips.portraits import TEXTURE, read_portrait, to_texture
from megbench.clips.synthetic.identities import Person
from megbench.clips.synthetic.render import Actor, sharpened
from megbench.core.clip import pixel_grid
from megbench.core.frames import SIZE, grey
from megbench.core.spline import Spline, as_type
from megbench.faces import facs
from megbench.faces.field import warp
from megbench.taught.displaced import STEP, displaced

SIZES = (0.02, 0.05, 0.1, 0.2, 0.375, 0.5, 1.0)
DIRECTIONS = ((1, 0), (0, 1), (1, 1), (-1, 1))
SHIFTS = [size * np.array(direction) for size in SIZES for direction in DIRECTIONS]
# The positions of a frame's pixels between those of the picture from which it is sampled.
OFFSETS = ((0, 0), (0.37, 0.61))
EXACT = 0.005
PORTRAITS = ("astronaut", "hopper")
NAMES = ("ramp", "waves", *PORTRAITS)
# The points to compare: every second pixel, away from the border.
INSIDE = slice(16, -16, 2)
# Brightness, and its slopes along x and y, at columns (W,) and rows (H, 1) in pixels.
Scene = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray]]


def ramp(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    flat = np.zeros_like(x + y)
    return 20 + 0.3 * x + 0.1 * y, flat + 0.3, flat + 0.1


def waves(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the brightness and slopes of six plane waves, none shorter than 6 pixels."""
    rng = np.random.default_rng(3)
    angle, length = rng.uniform(0, np.pi, 6), rng.uniform(6, 40, 6)
    across, down = 2 * np.pi / length * np.cos(angle), 2 * np.pi / length * np.sin(angle)
    phase = x[..., None] * across + y[..., None] * down + rng.uniform(0, 6, 6)
    slope = 12 * np.cos(phase)
    return 128 + 12 * np.sin(phase).sum(-1), slope @ across, slope @ down


def scene_of(picture: np.ndarray) -> Scene:
    """Return SciPy's spline through a picture (H, W): another implementation, in double precision."""
    spline = RectBivariateSpline(*map(np.arange, picture.shape), picture, s=0)

    def scene(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        x, y = x.ravel(), y.ravel()
        return spline(y, x), spline(y, x, dy=1), spline(y, x, dx=1)

    return scene


def misplaced(picture: np.ndarray, scene: Scene, at: np.ndarray) -> float:
    """Return by how many pixels a picture (H, W) is off from the scene at points `at` (H, W, 2) of an upright grid."""
    value, dx, dy = (part.ravel() for part in scene(at[0, INSIDE, 0], at[INSIDE, :1, 1]))
    difference = picture[INSIDE, INSIDE].ravel() - value
    return float(np.abs(np.linalg.lstsq(np.column_stack([dx, dy]), difference, rcond=None)[0]).max())


def picture_of(scene: Scene, size: int) -> np.ndarray:
    """Return a scene as a picture (size, size, 1) float32."""
    axis = np.arange(float(size))
    return scene(axis, axis[:, None])[0][..., None].astype(np.float32)


@pytest.fixture(scope="module")
def actors() -> dict[str, Actor]:
    people = map(read_portrait, PORTRAITS)
    return {one.name: Actor(Person(one.name, one.texture, one.face)) for one in people}


def subject(name: str, size: int, actors: dict[str, Actor]) -> tuple[np.ndarray, Scene]:
    """Return a picture (size, size, 1) float32 and the scene that it shows."""
    if name not in PORTRAITS:
        scene = {"ramp": ramp, "waves": waves}[name]
        return picture_of(scene, size), scene
    green = sharpened(actors[name].person.texture)[..., 1:2]
    if size == SIZE:
        green = Spline(green).at(to_texture(pixel_grid()))
    return green, scene_of(green[..., 0])


@pytest.mark.parametrize("name", NAMES)
def test_what_is_rendered_lies_where_the_exact_flow_puts_it(name, actors):
    texture, scene = subject(name, TEXTURE, actors)
    spline = Spline(texture)
    for number, shift in enumerate(SHIFTS):
        at = to_texture(pixel_grid() - shift + OFFSETS[number // 4 % 2])
        assert misplaced(spline.at(at)[..., 0], scene, at) < EXACT * TEXTURE / SIZE, shift


@pytest.mark.parametrize("name", NAMES)
def test_what_is_warped_lies_where_the_field_puts_it(name, actors):
    picture, scene = subject(name, SIZE, actors)
    for number, shift in enumerate(SHIFTS):
        offset = OFFSETS[number // 4 % 2] - shift
        backward = np.broadcast_to(offset, (SIZE, SIZE, 2)).astype(np.float32)
        warped = warp(picture, backward)
        assert warped.dtype == picture.dtype
        assert misplaced(warped[..., 0], scene, pixel_grid() + offset) < EXACT, shift


def test_ramps_are_reproduced():
    flat = Spline(picture_of(ramp, 64))
    at = pixel_grid(30) * 1.1 + [15.3, 12.7]
    assert np.abs(flat.at(at)[..., 0] - ramp(at[..., 0], at[..., 1])[0]).max() < 1e-4


def test_the_measure_finds_the_fault_of_a_cubic_kernel():
    picture, at = picture_of(ramp, SIZE), pixel_grid() - np.float32([0.1, 0])
    cubic = cv2.remap(picture, at, None, cv2.INTER_CUBIC)
    assert misplaced(cubic, ramp, at) > 6 * EXACT


@pytest.mark.parametrize("unit", ["AU12", "AU04"])
@pytest.mark.parametrize("amplitude", [0.1, 0.37])  # 0.27 and 1 px at the fastest points
def test_an_expression_moves_the_skin_by_the_exact_flow(unit, amplitude, actors):
    """Sampled where the exact flow points, the frame shows the same skin as the neutral face."""
    face = actors["hopper"].person.face
    texture = np.repeat(np.rint(picture_of(waves, TEXTURE)), 3, axis=-1).astype(np.uint8)
    actor = Actor(Person("waves", texture, face))
    shot = actor.shoot(actor.move(facs.basis()[facs.ACTION_UNITS.index(unit)] * facs.MICRO * amplitude))
    rest = actor.shoot(np.zeros_like(shot.forward)).frame[..., 1].astype(np.float64)
    there = np.moveaxis(pixel_grid() + shot.forward, -1, 0)[::-1]
    found = map_coordinates(shot.frame[..., 1].astype(np.float64), there, order=3) - rest
    at = to_texture(pixel_grid().astype(np.float64))
    _, dx, dy = waves(at[0, :, 0], at[:, :1, 1])
    asked = 2 * (dx * shot.forward[..., 0] + dy * shot.forward[..., 1])
    missing = float((asked * found).sum() / (asked * asked).sum())
    assert abs(missing) * np.linalg.norm(shot.forward, axis=-1).max() < EXACT


@pytest.mark.parametrize("name", PORTRAITS)
def test_frames_are_as_sharp_as_opencv_s_cubic_kernel_made_them(name, actors):
    actor, units = actors[name], facs.basis()
    for unit in ("AU12", "AU04"):
        shot = actor.shoot(actor.move(units[facs.ACTION_UNITS.index(unit)] * facs.MICRO))
        at = to_texture(pixel_grid() + shot.backward)
        before = cv2.remap(actor.person.texture, at, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)
        now, then = (cv2.Laplacian(picture, cv2.CV_64F).var() for picture in grey(np.stack([shot.frame, before])))
        assert now == pytest.approx(then, rel=0.03)


def test_values_are_those_of_scipy_s_spline_up_to_the_border_and_beyond():
    picture = np.random.default_rng(0).uniform(0, 255, (20, 24, 3))
    at = np.random.default_rng(1).uniform(-6, 28, (9, 7, 2)).astype(np.float32)
    there = at[..., 1], at[..., 0]
    wanted = [map_coordinates(picture[..., channel], there, order=3, mode="mirror") for channel in range(3)]
    assert np.allclose(Spline(picture).at(at), np.stack(wanted, -1), atol=0.02)
    assert np.array_equal(Spline(picture[..., :1]).at(at), Spline(picture).at(at)[..., :1])


def test_integers_are_rounded_and_kept_in_range():
    assert as_type(np.float32([-3, 0.6, 254.4, 300]), np.uint8).tolist() == [0, 1, 254, 255]
    assert as_type(np.float32([0.6]), np.float32).tolist() == pytest.approx([0.6])


def test_torch_s_bicubic_overshoots_as_its_docstring_says():
    """These figures are stated in taught/displaced.py, because the demo networks were trained with that kernel."""
    axis = torch.arange(64.0) / 64
    picture, inside = axis.expand(1, 3, 64, 64), slice(16, -16)
    for asked, moved in ((0.05, 0.071), (0.1, 0.136), (0.25, 0.297), (0.5, 0.5), (0.75, 0.703)):
        painted = torch.zeros(1, 3, 64, 64)
        painted[:, 0] = asked * (2 / 63) / STEP
        shift = (displaced(picture, painted) - picture)[..., inside, inside].mean() * 64
        assert float(shift) == pytest.approx(moved, abs=0.002)
