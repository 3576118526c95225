"""Stand-ins for programs of the field, with the arguments they take and the kind of output they write.

Each "animates" by shifting the template: frame k is the template, k pixels to the right. They do nothing else.
"""

import textwrap
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parent.parent

SHARED = f"""
import argparse, os, sys, time
from pathlib import Path
import numpy as np
sys.path.insert(0, {str(ROOT)!r})
from megbench.core.pictures import read_picture
from megbench.core.video import frame_rate, read_clip
from megbench.core.video_writing import write_video

def arguments(*names):
    parser = argparse.ArgumentParser()
    for name in names:
        parser.add_argument(name)
    return parser.parse_args()

def read(path):
    return np.stack(list(read_clip(Path(path))))

def animated(picture, count):
    return np.stack([np.roll(picture, k, axis=1) for k in range(count)])

def write(path, frames):
    path.parent.mkdir(parents=True, exist_ok=True)
    write_video(path, frames, 25.0, lossless=True)
"""

# Like LIA-X: all arguments are in a settings file, which also gives the output folder its name.
SETTINGS = """
import yaml
given = arguments("--mode", "--cfg")
cfg = yaml.safe_load(Path(given.cfg).read_text())
assert given.mode == "animation" and cfg["motion_value"] == [0] and cfg["size"] == 512
made = animated(read_picture(Path(cfg["source_path"])), len(read(cfg["driving_path"])))
write(Path(cfg["save_path"]) / Path(given.cfg).stem / "vid_animation.mp4", made)
"""

# Like MCNet: source, driver and result side by side.
SIDE_BY_SIDE = """
given = arguments("--config", "--source_image", "--driving_video", "--result_video")
source, driver = read_picture(Path(given.source_image)), read(given.driving_video)
made = animated(source, len(driver))
write(Path(given.result_video), np.concatenate([np.stack([source] * len(driver)), driver, made], axis=2))
"""

# Like FasterLivePortrait: a folder in the working folder, with the time in its name and two videos in it; frames
# without a face are skipped.
TIME_STAMPED = """
given = arguments("--src_image", "--dri_video", "--cfg")
driver = read(given.dri_video)
made = animated(read_picture(Path(given.src_image)), len(driver))
seen = [k for k in range(len(driver)) if str(k) not in os.environ.get("FACELESS", "").split()]
place = Path("results") / str(time.time_ns())
name = f"{Path(given.src_image).name}-{Path(given.dri_video).name}"
write(place / f"{name}-crop.mp4", np.concatenate([driver, made], axis=2)[seen])
write(place / f"{name}-org.mp4", made[seen])
(place / "settings.yaml").write_text("seed: 1")
"""

# Like HelloMeme: the driver is resampled to 8 frames a second.
RESAMPLING = """
given = arguments("--image", "--video", "--out")
driver = read(given.video)
times = np.arange(0, len(driver) / frame_rate(Path(given.video)) - 1e-9, 1 / 8)
write(Path(given.out), animated(read_picture(Path(given.image)), len(times)))
"""

# Like PerformRecast: a video as template, the length of the shorter of both, the time in the names, 512 pixels.
VIDEO_FOR_TEMPLATE = """
given = arguments("-s", "-d", "-o", "--inference-mode")
source, driver = read(given.s), read(given.d)
assert (source == source[0]).all() and frame_rate(Path(given.s)) == frame_rate(Path(given.d))
made = animated(source[0], min(len(source), len(driver)))
name = f"{Path(given.s).stem}--{Path(given.d).stem}_{time.time_ns()}"
write(Path(given.o) / f"{name}_crop.mp4", made.repeat(2, axis=1).repeat(2, axis=2))
write(Path(given.o) / f"{name}.mp4", made)
"""

PROGRAMS = {
    "settings": SETTINGS,
    "side_by_side": SIDE_BY_SIDE,
    "time_stamped": TIME_STAMPED,
    "resampling": RESAMPLING,
    "video_for_template": VIDEO_FOR_TEMPLATE,
}
# The parts of their descriptions that not all descriptions share.
DESCRIPTIONS = {
    "settings": {
        "command": ["{python}", "program.py", "--mode", "animation", "--cfg", "{config}"],
        "config": 'source_path: "{template}"\ndriving_path: {driver}\nsave_path: "{output}"\nsize: 512\n'
        "motion_value: [0]\n",
        "found": "*/vid_animation.mp4",
    },
    "side_by_side": {
        "command": [
            *("{python}", "program.py", "--config", "config/vox-256.yaml", "--source_image", "{template}"),
            *("--driving_video", "{driver}", "--result_video", "{output}"),
        ],
        "panel": "3/3",
    },
    "time_stamped": {
        "command": [
            "{python}",
            "program.py",
            "--src_image",
            "{template}",
            "--dri_video",
            "{driver}",
            "--cfg",
            "onnx.yaml",
        ],
        "found": "{checkout}/results/*/*-crop.mp4",
        "panel": "2/2",
    },
    "resampling": {
        "command": ["{python}", "program.py", "--image", "{template}", "--video", "{driver}", "--out", "{output}"],
        "driver_fps": 8,
    },
    "video_for_template": {
        "command": [
            "{python}",
            "program.py",
            "-s",
            "{template}",
            "-d",
            "{driver}",
            "-o",
            "{output}",
            "--inference-mode",
            "2",
        ],
        "template": "video",
        "found": "*_crop.mp4",
        "size": 512,
    },
}


def write_program(folder: Path, name: str) -> None:
    """Write one of PROGRAMS into its own checkout."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "program.py").write_text(textwrap.dedent(SHARED + PROGRAMS[name]))


def animated(picture: np.ndarray, shown: list[int]) -> np.ndarray:
    """Return what the programs make of a template; `shown` gives the index of each of their frames."""
    return np.stack([np.roll(picture, k, axis=1) for k in shown])
