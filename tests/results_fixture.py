"""A small sealed run with all controls for tests of results files, and one such file's JSON values."""

import dataclasses
from pathlib import Path

from megbench.core.clip import Clip, save_clip
from tests.moving_face import BROW, MOUTH, render

RUN = ("--methods", "shift", "--protocol", "fakes", "--drivers", "clips", "--metrics", "difference")


def make_faces(folder: Path) -> None:
    """Save five clips of a face that moves its mouth or its brow, a driver each."""
    for index in range(5):
        frames, _ = render((MOUTH, BROW)[index % 2], noise_seed=index)
        clip = Clip(folder, f"d{index}", "faces", f"s{index}", "negative", 0, "", fps=100.0, apex_frame=4)
        save_clip(folder / f"d{index}", dataclasses.replace(clip, onset_frame=0), frames)
