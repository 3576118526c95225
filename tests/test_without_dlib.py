"""Training on rendered people where dlib, MediaPipe and py-feat cannot be imported, as on many GPU machines."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parent.parent
# Python imports this file in every process, including those that a command starts. The packages that it names stay
# installed, because the face mesh and dlib's models are files that are read by path.
REFUSING = """
import importlib.abc, importlib.machinery, sys

class Refusing(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in ("dlib", "_dlib_pybind11", "mediapipe", "feat"):
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        if spec:
            spec.loader = self
        return spec

    def exec_module(self, module):
        raise ImportError(f"{module.__name__} is refused by a test")

sys.meta_path.insert(0, Refusing())
"""
COMMAND = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from megbench.taught import training_set
if __name__ == "__main__":
    training_set.DEMO_SET = (5, 3, 0)  # more people than are rendered in this process
    import bench
    bench.main()
"""
SMALL = ("--max-steps", "1", "--set", "data.held_out=1", "--set", "plan.validation_batches=1")


def python(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    (tmp_path / "sitecustomize.py").write_text(REFUSING)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)


def test_people_are_rendered_and_a_generator_is_trained_on_them(tmp_path):
    (tmp_path / "command.py").write_text(COMMAND)
    done = python(tmp_path, "command.py", "train", "fomm", "--clips", "demo", "--device", "cpu", *SMALL)
    assert done.returncode == 0, done.stderr[-2000:]
    folder = tmp_path / ".megbench"
    assert np.load(folder / "clips" / "training" / "frames.npy", mmap_mode="r").shape == (5, 3, 256, 256, 3)
    assert (folder / "weights" / "fomm@mine.safetensors").is_file()
    assert json.loads((folder / "weights" / "fomm@mine.json").read_text())["kept_steps"] == {"motion": 1}


def test_what_looks_for_faces_says_that_dlib_is_missing(tmp_path):
    code = "import numpy; from megbench.faces.landmarks import detect; detect(numpy.zeros((99, 99), numpy.uint8))"
    done = python(tmp_path, "-c", code)
    last = done.stderr.strip().splitlines()[-1]
    assert "BenchError: dlib, which finds faces, cannot be imported" in last
    assert last.endswith("Run: pip install -c constraints.txt dlib-bin")
