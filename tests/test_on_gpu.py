"""Code for a GPU machine imports no package that is missing there, and renders people from a bundle."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from megbench.clips.synthetic.people import Role
from megbench.taught.bundle import write_bundle
from megbench.taught.bundle_render import inverted, render
from megbench.taught.rendered import RenderedSet, cells
from megbench.training.log import LOG
from tests.test_training import CLEAN

ROOT = Path(__file__).parent.parent
LACKING = ("dlib", "av", "pandas", "skimage", "typer", "feat", "lpips", "jinja2", "openpyxl")
STILL = replace(CLEAN, turn_share=0)


def test_an_inverted_motion_leads_back():
    grid = cells(64)
    flow = np.exp(-((grid - 128) ** 2).sum(-1, keepdims=True) / 3000).astype(np.float32) * np.float32([3, -2])
    from megbench.taught.rendered import at

    there = grid + flow
    np.testing.assert_allclose(there + at(inverted(flow), there), grid, atol=0.05)


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundle")
    people = [Role("astronaut", "train0.", number) for number in (0, 1, 2)]
    return render(write_bundle(folder / "people.npz", people), folder / "set", 12)


def test_rendered_people_move_as_their_flow_says(rendered):
    batch = RenderedSet(rendered, held_out=1, variation=STILL).batch("train", 12, np.random.default_rng(0))
    grid = F.interpolate(batch["grid"].permute(0, 3, 1, 2), size=256, mode="bilinear", align_corners=True)
    warped = F.grid_sample(batch["source"], grid.permute(0, 2, 3, 1), align_corners=True)
    moved = (batch["source"] - batch["target"]).abs().mean((1, 2, 3))
    wrong = (warped - batch["target"]).abs().mean((1, 2, 3))
    expressive = moved > moved.max() / 4
    assert expressive.sum() >= 3
    assert (wrong[expressive] < 0.5 * moved[expressive]).all()
    assert torch.equal(batch["source"][0], batch["source"][0].clamp(0, 1))


# A machine without these packages: it loads all that can be trained or compared with golden files, then trains.
LACKING_MACHINE = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
sys.modules.update(dict.fromkeys({LACKING!r}))
import megbench.taught.on_gpu, tests.golden.__main__, tests.golden.fomm, tests.golden.fpb, tests.golden.mraa
from megbench.training import TRAINABLES
from megbench.core.registry import load
[load("trainable", name, TRAINABLES) for name in TRAINABLES]
megbench.taught.on_gpu.BATCH["small"] = 1
megbench.taught.on_gpu.main()
"""


def test_two_processes_stand_in_for_two_gpus_and_import_nothing_that_their_machine_lacks(rendered, tmp_path):
    (tmp_path / "machine.py").write_text(LACKING_MACHINE)
    command = [sys.executable, "machine.py", "train", "fomm", "small", rendered, tmp_path]
    command += ["--devices", "2", "--steps", "1"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    card = json.loads((tmp_path / "fomm.json").read_text())
    assert (card["processes"], card["finished"]) == (2, False)
    # The step at which the learning rate is low enough to freeze batch normalisation is not known in advance.
    assert card["plan"]["stages"]["motion"]["freeze_batch_norm_at"] is None
    assert (tmp_path / "fomm.safetensors").is_file()
    assert [line["split"] for line in map(json.loads, (tmp_path / f"fomm-small.{LOG}").open())] == ["train"]
