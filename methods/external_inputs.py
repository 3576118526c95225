"""Additional inputs for some programs (FPB-FOMM's given points, and edge maps), written if a command refers to them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import cv2
import numpy as np

from megbench.core.clip import Clip, Template
from megbench.core.frames import Frames, grey, write_png
from megbench.core.video_writing import write_video
from megbench.faces.landmarks import landmarks

# Canny's two thresholds; those of the programs are not published.
EDGES = (100, 200)


def extras(text: str, work: Path, template: Template, driver: Clip, rate: float) -> dict[str, str]:
    """Write the files for this module's placeholders {NAME} that occur in a text, and return their paths by NAME.

    template_points, driver_points: JSON, 18 points [x, y] in pixels of the clip's first frame (megbench.fpfomm.points).
    template_edges: PNG, Canny edges in white on black.
    driver_edges: lossless video of the same kind of edges, with `rate` frames per second.

    Raise CellFailed if a face is needed but not found.
    """
    made: Mapping[str, Callable[[], Path]] = {
        "template_points": lambda: _points(work / "template_points.json", template.image, f"template {template.name}"),
        "driver_points": lambda: _points(work / "driver_points.json", driver.frames()[0], f"driver {driver.name}"),
        "template_edges": lambda: _picture(work / "template_edges.png", _edges(template.image[None])[0]),
        "driver_edges": lambda: _video(work / "driver_edges.mp4", _edges(driver.frames()), rate),
    }
    return {name: str(make()) for name, make in made.items() if f"{{{name}}}" in text}


def _points(path: Path, image: Frames, what: str) -> Path:
    import torch

    from megbench.fpfomm.points import given_points

    found = given_points(torch.from_numpy(landmarks(grey(image), what))[None])[0]
    path.write_text(json.dumps(found.tolist()))
    return path


def _edges(frames: Frames) -> Frames:
    """Return the edges in frames (T, 256, 256, 3) uint8, as three equal channels."""
    maps = np.stack([cv2.Canny(np.ascontiguousarray(luma), *EDGES) for luma in grey(frames)])
    return np.repeat(maps[..., None], 3, axis=-1).astype(np.uint8)


def _picture(path: Path, image: Frames) -> Path:
    write_png(path, image)
    return path


def _video(path: Path, frames: Frames, fps: float) -> Path:
    write_video(path, frames, fps, lossless=True)
    return path
