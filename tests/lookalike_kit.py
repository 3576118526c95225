"""A look-alike of the MEGC2021 kit, with rendered faces, and outputs in the layout of published repositories.

    python -m tests.lookalike_kit FOLDER

writes FOLDER/kit (nine drivers with their true names, lengths and frame numbers, and two templates enlarged from 128
pixels), FOLDER/ulme (all 18 outputs with weak motion, as folders of JPEG files) and FOLDER/fpb (seven outputs, as GIFs
that show each frame twice). Then run, for example:

    python bench.py --protocol megc2021 --data FOLDER/kit \\
        --methods fpfomm,fomm,mraa,tps,tps_rau,ulmegan,outputs:FOLDER/ulme,outputs:FOLDER/fpb
"""

import functools
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from megbench.clips.synthetic.camera import Camera
from megbench.clips.synthetic.exact_frames import film
from megbench.clips.synthetic.people import Role
from megbench.clips.synthetic.performance import Performance, Track
from megbench.clips.synthetic.personal_basis import personal_basis
from megbench.clips.synthetic.render import Actor
from megbench.core.frames import Frames
from megbench.protocols import demo
from megbench.protocols.megc2021 import SHEET, Driver

UNITS = {"negative": ("AU04", "AU07"), "positive": ("AU06", "AU12"), "surprise": ("AU01", "AU02")}
PEOPLE = {"asianFemale": ("astronaut", 77), "westernMale": ("hopper", 15)}
# Height and width of the frames, as in the cropped versions of the databases, and the patterns of file names.
SHAPES = {"casme2": (340, 280), "samm": (400, 400), "smic": (168, 137)}
FILES = {"casme2": "img{}.jpg", "samm": "{subject}_{}.jpg", "smic": "image{}.bmp"}
# The drivers for which the repository with the best outputs publishes any outputs.
SHOWN = ("samm_negative", "samm_positive", "samm_surprise", "smic_surprise")
TIMES = 2


def performance(driver: Driver, strength: float = 1.0) -> Performance:
    """Return a driver's performance: its units, staggered, rise to the sheet's apex and fall to its offset."""
    last, peak = length(driver) - 1, driver.apex - driver.onset
    first, second = UNITS[driver.emotion]
    tracks = (
        Track(first, ((0, 0), (peak, 0.9 * strength), (last, 0.2 * strength))),
        Track(second, ((0, 0), (peak / 2, 0), (peak, 0.7 * strength), (last, 0.3 * strength))),
    )
    return Performance(tracks, length(driver), 300 + SHEET.drivers.index(driver), 0.7)


def length(driver: Driver) -> int:
    """Return the number of frames in the circulating copy: smic_positive has one more than the sheet states."""
    return max(driver.offset - driver.onset + 1, *driver.lengths, 0)


def write_driver(folder: Path, driver: Driver) -> None:
    """Write a driver's frames with the file numbers, the size and the colours (grey or RGB) of its database."""
    person = Role("astronaut", "demo", demo.SHEET.drivers[SHEET.drivers.index(driver)].number).person()
    camera = Camera("grey" if driver.database == "samm" else "rgb", driver.fps)
    pictures, _ = film(Actor(person), performance(driver), camera)
    frames = camera.record(pictures, np.random.default_rng(driver.onset))
    folder.mkdir(parents=True)
    height, width = SHAPES[driver.database]
    for number, frame in enumerate(frames, driver.onset):
        image = Image.fromarray(frame).resize((height, height), Image.Resampling.BICUBIC)
        left = (height - width) // 2
        image = image.crop((left, 0, left + width, height))
        name = FILES[driver.database].format(number, subject=driver.subject)
        (image.convert("L") if camera.colour == "grey" else image).save(folder / name)


@functools.cache
def actor(template: str) -> Actor:
    """Return the person shown on a template."""
    portrait, number = PEOPLE[template]
    return Actor(Role(portrait, "demo", number).person())


def answer(driver: Driver, template: str, strength: float) -> Frames:
    """Return the ground truth: the template with the driver's motion, just as blurred, (T, 256, 256, 3) uint8."""
    frames, _ = film(actor(template), performance(driver, strength), demo.TEMPLATE_CAMERA)
    return np.stack([np.asarray(soft(frame)) for frame in frames.round().clip(0, 255).astype(np.uint8)])


def soft(frame: Frames) -> Image.Image:
    """Return a frame after reducing it to 128 pixels and enlarging it again."""
    return Image.fromarray(frame).resize((128, 128), Image.Resampling.BOX).resize((256, 256), Image.Resampling.BICUBIC)


def write_kit(folder: Path, drivers: tuple[Driver, ...] = SHEET.drivers) -> Path:
    """Write drivers and both templates under the kit's own names."""
    for driver in drivers:
        write_driver(folder / "source_samples" / driver.folder / driver.names[0], driver)
    place = folder / "target_template_face"
    place.mkdir(parents=True)
    for name in PEOPLE:
        at_rest = np.zeros_like(personal_basis(np.random.default_rng(0))[0])
        face = actor(name).shoot(actor(name).move(at_rest)).frame
        soft(face.round().clip(0, 255).astype(np.uint8)).save(place / f"normalized_{name}.jpg", quality=95)
    return folder


def write_jpegs(folder: Path, drivers: tuple[Driver, ...] = SHEET.drivers) -> Path:
    """Write outputs that move a third as much as their drivers, as folders of JPEG files under the kit's names."""
    for driver in drivers:
        for name in PEOPLE:
            place = folder / f"{driver.names[0]}__normalized_{name}"
            place.mkdir(parents=True)
            for number, frame in enumerate(answer(driver, name, 0.33)):
                Image.fromarray(frame).save(place / f"{number:03d}.jpg")
    return folder


def write_gifs(folder: Path, drivers: tuple[Driver, ...]) -> Path:
    """Write outputs as 128-pixel GIFs that show each frame TIMES times, with names joined as in FOMM's script."""
    folder.mkdir(parents=True)
    for driver in drivers:
        for name in PEOPLE:
            frames = np.repeat(answer(driver, name, 0.9)[:, ::2, ::2], TIMES, axis=0)
            pictures = [Image.fromarray(frame) for frame in frames]
            path = folder / f"{driver.names[0]}-normalized_{name}.gif"
            pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=20)
    return folder


def main(folder: Path) -> None:
    """Write the kit and both folders of outputs."""
    shown = tuple(driver for driver in SHEET.drivers if driver.name in SHOWN)
    write_kit(folder / "kit")
    write_jpegs(folder / "ulme")
    write_gifs(folder / "fpb", shown)
    sorted((folder / "fpb").iterdir())[-1].unlink()  # seven of eight
    print(f"{folder}: kit, ulme (18 outputs), fpb (7 outputs)")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
