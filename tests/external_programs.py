"""Stand-ins for the programs in configs/external: they take the same arguments and produce the same kind of output.

Each "animates" by shifting the template: frame k is the template shifted k pixels to the right. The stand-ins have
nothing else in common with the real programs.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml

from megbench.core.pictures import read_picture
from megbench.core.video import frame_rate, read_clip
from megbench.core.video_writing import write_video
from megbench.methods.external_description import READY_MADE

ROOT = Path(__file__).parent.parent
TAKEN = {entry.pop("read"): entry for entry in yaml.safe_load((ROOT / "tests/external_arguments.yaml").read_text())}


def parser(link: str) -> argparse.ArgumentParser:
    """Return a parser that accepts exactly the arguments recorded for a link."""
    entry = TAKEN[link]
    made = argparse.ArgumentParser(allow_abbrev=False)
    for kind, how in (("value", {}), ("values", {"nargs": "+"}), ("flag", {"action": "store_true"})):
        for names in _with_short_names(entry.get(kind, [])):
            given = {**how, "required": names[0] in entry.get("required", [])}
            if names[0] in entry.get("default", {}):
                given["default"] = entry["default"][names[0]]
            if names[0] in entry.get("choices", {}):
                given["choices"] = entry["choices"][names[0]]
            spelt = [*names, *(_underscored(names) if entry.get("tyro") else [])]
            made.add_argument(*dict.fromkeys(spelt), **given)
            if entry.get("tyro") and kind == "flag":
                no = names[0].replace("--", "--no-", 1)
                made.add_argument(*dict.fromkeys([no, *_underscored([no])]), **given)
    return made


def _with_short_names(names: list[str]) -> list[list[str]]:
    """Group each long name with the short name that follows it, if any."""
    groups: list[list[str]] = []
    for name in names:
        if name.startswith("--"):
            groups.append([name])
        else:
            groups[-1].append(name)
    return groups


def _underscored(names: list[str]) -> list[str]:
    return ["--" + name[2:].replace("-", "_") for name in names if name.startswith("--")]


def own_words(command: list[str]) -> list[str]:
    """Return the program's own arguments from a description's command."""
    return command[next(place for place, word in enumerate(command) if word.endswith(".py")) + 1 :]


def ready_made(name: str) -> dict[str, Any]:
    """Return the entries of a ready-made description."""
    entries: dict[str, Any] = yaml.safe_load((READY_MADE / f"{name}.yaml").read_text())
    return entries


def write_program(folder: Path, name: str, command: list[str]) -> Path:
    """Write a stand-in into its own checkout, where its description expects it; return the script's path."""
    script = next(word for word in command if word.endswith(".py")).replace("{checkout}", str(folder))
    Path(script).parent.mkdir(parents=True, exist_ok=True)
    Path(script).write_text(
        f"import sys\nsys.path.append({str(ROOT)!r})\nfrom tests.external_programs import run\nrun({name!r})\n"
    )
    return Path(script)


def animated(picture: np.ndarray, shown: list[int]) -> np.ndarray:
    """Return the frames that a stand-in makes from a template; `shown` lists their numbers in order of output."""
    return np.stack([np.roll(picture, k, axis=1) for k in shown])


def run(name: str) -> None:
    """Stand in for a program in a separate process, with the arguments of the command line."""
    if name == "resampling":
        resampling()
        return
    link = ready_made(name)["arguments"]
    made = parser(link)
    given = made.parse_known_args()[0] if TAKEN[link].get("unknown") == "ignored" else made.parse_args()
    STAND_INS[name](given)


def _read(path: str) -> tuple[np.ndarray, float]:
    """Return a video's frames and rate."""
    return np.stack(list(read_clip(Path(path)))), float(frame_rate(Path(path)) or 0)


def _made(picture: np.ndarray, driver: np.ndarray) -> np.ndarray:
    return animated(picture, list(range(len(driver))))


def _write(path: str | Path, frames: np.ndarray, rate: float) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    write_video(Path(path), frames, rate, lossless=True)


def _doubled(frames: np.ndarray) -> np.ndarray:
    return frames.repeat(2, axis=-3).repeat(2, axis=-2)


def _beside(*panels: np.ndarray) -> np.ndarray:
    """Return clips side by side; a still picture is repeated for every frame."""
    count = max(len(panel) for panel in panels if panel.ndim == 4)
    return np.concatenate([panel if panel.ndim == 4 else np.stack([panel] * count) for panel in panels], axis=2)


def demo(given: argparse.Namespace) -> None:
    """Write the requested video at the driver's frame rate, as FOMM and programs derived from it do."""
    driver, rate = _read(given.driving_video)
    made = _made(read_picture(Path(given.source_image)), driver)
    if hasattr(given, "img_shape"):
        height, width = map(int, given.img_shape.split(","))
        made = np.stack([cv2.resize(frame, (width, height)) for frame in made])
    if hasattr(given, "driving_video_edge"):
        assert len(_read(given.driving_video_edge)[0]) == len(driver)
        assert read_picture(Path(given.source_image_edge)).shape == made.shape[1:]
    _write(given.result_video, made, rate)


def mcnet(given: argparse.Namespace) -> None:
    """Write source, driver and result side by side."""
    source, (driver, rate) = read_picture(Path(given.source_image)), _read(given.driving_video)
    _write(given.result_video, _beside(source, driver, _made(source, driver)), rate)


def fsrt(given: argparse.Namespace) -> None:
    """Write driver and result side by side, always with a stated rate of 20 frames per second."""
    assert given.source_idx == ["0"]
    driver, _ = _read(given.driving_video)
    _write(given.result_video, _beside(driver, _made(read_picture(Path(given.source_image)), driver)), 20.0)


def lia(given: argparse.Namespace) -> None:
    """Write a file named after both inputs into a folder named after the model."""
    driver, rate = _read(given.driving_path)
    name = f"{Path(given.source_path).stem}_{Path(given.driving_path).stem}.mp4"
    _write(Path(given.save_folder) / given.model / name, _made(read_picture(Path(given.source_path)), driver), rate)


def liax(given: argparse.Namespace) -> None:
    """Take all arguments from a settings file, and name the output folder after that file."""
    cfg = yaml.safe_load(Path(given.cfg).read_text())
    assert given.mode == "animation"
    assert (cfg["motion_value"], cfg["size"], len(cfg["motion_id"])) == ([0], 512, 1)
    source, (driver, rate) = read_picture(Path(cfg["source_path"])), _read(cfg["driving_path"])
    made = _doubled(_made(source, driver))
    folder = Path(cfg["save_path"]) / Path(given.cfg).stem
    _write(folder / "vid_animation.mp4", made, rate)
    _write(folder / "vid_all.mp4", _beside(_doubled(source), _doubled(driver), made), rate)


def xportrait(given: argparse.Namespace) -> None:
    """Write 512-pixel frames under a name of many parts; the checkout must be on Python's path.

    out_frames: 0 writes all frames, -1 drops the last one.
    """
    assert os.getcwd() in map(os.path.abspath, filter(None, sys.path[1:]))
    assert (given.skip, given.start_idx, given.best_frame) == ("1", "0", "0")
    driver, rate = _read(given.driving_video)
    count = int(given.out_frames)
    driver = driver[: min(len(driver), count)] if count else driver
    source, name = Path(given.source_image), Path(given.driving_video).stem
    kind = f"appearance_pose_local_mm_uc{given.uc_scale}_{source.stem}_by_{name}_mix{given.num_mix}"
    _write(f"{given.output_dir}/inference_{kind}.mp4", _doubled(_made(read_picture(source), driver)), rate)


def fasterliveportrait(given: argparse.Namespace) -> None:
    """Write two videos into a folder named after the time, in the working directory; skip frames without a face."""
    source, (driver, rate) = read_picture(Path(given.src_image)), _read(given.dri_video)
    made = _made(source, driver)
    seen = [k for k in range(len(driver)) if str(k) not in os.environ.get("FACELESS", "").split()]
    place = Path("results") / time.strftime("%Y-%m-%d-%H%M%S")
    name = f"{Path(given.src_image).name}-{Path(given.dri_video).name}"
    close = np.ascontiguousarray(_doubled(made)[:, 64:448, 64:448]).repeat(4, axis=1).repeat(4, axis=2)[:, ::3, ::3]
    _write(place / f"{name}-crop.mp4", _beside(_doubled(driver), close)[seen], int(rate))
    _write(place / f"{name}-org.mp4", (made if given.paste_back else np.stack([source] * len(made)))[seen], int(rate))
    (place / f"{Path(given.dri_video).name}.pkl").write_bytes(b"")
    (place / "settings.yaml").write_text("seed: 1")


def liveportrait(given: argparse.Namespace) -> None:
    """Write a video named after both inputs, one with all panels side by side, and a motion file beside the driver."""
    source, (driver, rate) = read_picture(Path(given.source)), _read(given.driving)
    made = _made(source, driver)
    name = f"{given.output_dir}/{Path(given.source).stem}--{Path(given.driving).stem}"
    _write(f"{name}.mp4", made, rate)
    _write(f"{name}_concat.mp4", _doubled(_beside(driver, source, made)), rate)
    Path(given.driving).with_suffix(".pkl").write_bytes(b"")


def performrecast(given: argparse.Namespace) -> None:
    """Take the template as a video; write as many frames as the shorter input has, at whole rates, with timestamps."""
    (source, rate), (driver, other) = _read(given.source), _read(given.driving)
    assert (source == source[0]).all()
    assert rate == other
    assert given.inference_mode == "2"
    made = _made(source[0], source[: min(len(source), len(driver))])
    name = f"{given.output_dir}/{Path(given.source).stem}__{Path(given.driving).stem}__"
    name += time.strftime("%Y-%m-%d_%H-%M-%S")
    _write(f"{name}.mp4", made, int(rate))
    _write(f"{name}_crop.mp4", _doubled(made), int(rate))
    _write(f"{name}_concat.mp4", _doubled(_beside(driver[0], driver, source, made)), int(rate))
    Path(f"{name}.json").write_text("{}")


def resampling() -> None:
    """Resample the driver to 8 frames per second, as HelloMeme does, which has no command line of its own."""
    image, video, out = sys.argv[1:]
    driver, rate = _read(video)
    times = np.arange(0, len(driver) / rate - 1e-9, 1 / 8)
    _write(out, animated(read_picture(Path(image)), list(range(len(times)))), 8.0)


STAND_INS: dict[str, Callable[[argparse.Namespace], None]] = {
    **dict.fromkeys(("fomm", "fmeg", "admm", "dagan", "mraa", "tpsmm"), demo),
    **dict.fromkeys(
        ("liveportrait", "liveportrait_pose_friendly", "liveportrait_expression", "liveportrait_float32"), liveportrait
    ),
    **{"mcnet": mcnet, "fsrt": fsrt, "lia": lia, "liax": liax, "xportrait": xportrait},
    **{"fasterliveportrait": fasterliveportrait, "performrecast": performrecast},
}
# The description of a program that has no ready-made one.
RESAMPLING = {
    "command": ["{python}", "{checkout}/program.py", "{template}", "{driver}", "{output}"],
    "driver_fps": 8,
    **{"system": "Resampling", "source": "this test", "licence": "MIT"},
}
