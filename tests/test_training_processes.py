"""Trainings in processes of their own: killed at any moment, or two that are one."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from tests.training_child import train
from training.log import read_log

ROOT = Path(__file__).parent.parent
STEPS = 10


def start(out, processes=1, dtype="float32"):
    """Begin a training in processes of its own; one that needs none is `train`ed in this process, which has torch."""
    command = [sys.executable, "-m", "tests.training_child", str(out), str(STEPS), str(processes), dtype]
    return subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )


def finish(child):
    _, error = child.communicate(timeout=600)
    assert child.returncode == 0, error.decode()[-2000:]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run left alone."""
    out = tmp_path_factory.mktemp("whole")
    train(out, STEPS, 1, torch.float32)
    return out


def last(out):
    return torch.load(out / "last.pt", weights_only=True)["networks"]


def losses(out, split):
    return [line["losses"] for line in read_log(out) if line["split"] == split]


def test_a_training_killed_at_a_random_step_ends_with_the_same_weights(whole, tmp_path):
    step = random.randrange(2, STEPS - 2)
    child = start(tmp_path)
    while sum(line["split"] == "train" for line in read_log(tmp_path)) < step:
        assert child.poll() is None, child.stderr.read().decode()[-2000:]
        time.sleep(0.005)
    child.send_signal(signal.SIGKILL)
    child.communicate()
    assert child.returncode == -signal.SIGKILL
    train(tmp_path, STEPS, 1, torch.float32)
    one, other = last(whole), last(tmp_path)
    different = [f"{net}.{entry}" for net in one for entry in one[net] if not one[net][entry].equal(other[net][entry])]
    assert different == [], f"killed at step {step}"
    assert losses(whole, "train") == losses(tmp_path, "train")


SHARED = """
import sys
from pathlib import Path
from lightning.fabric import Fabric
from core.errors import BenchError
from training.processes import check_shared
fabric = Fabric(accelerator="cpu", strategy="ddp", devices=2)
fabric.launch()
one, other = map(Path, sys.argv[1:])
check_shared(fabric, one)
try:
    check_shared(fabric, other if fabric.global_rank else one)
except BenchError as error:
    (one / f"told{fabric.global_rank}").write_text(str(error))
fabric.barrier()  # whoever leaves first takes the connection along
"""


def test_a_folder_that_is_not_shared_is_an_error_in_every_process(tmp_path):
    (tmp_path / "shared.py").write_text(SHARED)
    for folder in ("one", "other"):
        (tmp_path / folder).mkdir()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "shared.py", "one", "other"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == ["told0", "told1"]
    assert "not the same folder on every machine" in (tmp_path / "one" / "told1").read_text()


def test_two_processes_are_one_with_the_whole_batch(tmp_path):
    """In float64: Adam's first steps are signs of gradients, and make of float32's rounding what it likes."""
    child = start(tmp_path / "2", 2, "float64")
    train(tmp_path / "1", STEPS, 1, torch.float64)
    finish(child)
    for split, count in (("train", STEPS), ("validation", 3)):
        alone, together = losses(tmp_path / "1", split), losses(tmp_path / "2", split)
        assert len(alone) == len(together) == count
        for step, (one, other) in enumerate(zip(alone, together, strict=True)):
            assert one == pytest.approx(other, rel=1e-5), f"{split} {step}"
