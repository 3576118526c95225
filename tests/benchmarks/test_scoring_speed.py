"""Compare scoring a run with calling its metrics one after another on decoded files, in one process: `make bench`.

Both score the same eight frames of each output with every metric that needs no fetched weights.
"""

import tempfile
import time
from pathlib import Path

import numpy as np
import scipy.linalg

from megbench.core.clip import Cell, Clip, Template, save_clip
from megbench.core.frames import read_frames
from megbench.core.registry import load
from megbench.engine.benchmark import Benchmark
from megbench.engine.runner import Row, Settings, cell_folder
from megbench.engine.scoring import Scorer, lacking, measure
from megbench.faces import features
from megbench.metrics import METRICS, ON_REQUEST, set_distance
from tests.moving_face import BROW, MOUTH, face, render

FRAMES = 8
PUSHES = {"mouth": MOUTH, "brow": BROW}
SHADES = (0, 3, 6, 9)


class Darker:
    """A method that returns the driver's frames, `by` levels darker, so that outputs differ and show a moving face."""

    name = "darker"
    is_control = False

    def __init__(self, variant, options):
        self.variant, self.by = variant, int(options["by"])

    def identity(self):
        return {"by": self.by}

    def prepare(self, device):
        assert device == "cpu"

    def animate(self, template, driver):
        return np.clip(driver.frames().astype(int) - self.by, 0, 255).astype(np.uint8)


class Small:
    """A protocol of two drivers, each with a second noise draw and its truth, on two templates."""

    name = "small"
    version = "1"

    def __init__(self, folder):
        self.folder = folder

    def cells(self):
        """Return four cells of eight frames."""
        templates = [Template.of(name, name, image) for name, image in (("a", face()), ("b", face()[:, ::-1].copy()))]
        return [
            Cell("small", self.clip(name, 1), template, reference=self.clip(name, 2), truth=self.clip(name, None))
            for name in PUSHES
            for template in templates
        ]

    def clip(self, name, noise):
        """Return a clip of one push."""
        frames, motion = render(PUSHES[name], noise, FRAMES)
        label = f"{name}{noise or ''}"
        clip = Clip(self.folder, label, "small", "astronaut", "positive", 0, "", apex_frame=4, rendered=True)
        return save_clip(self.folder / label, clip, frames, motion)


def one_after_another(run, jobs, makers):
    """Run every metric separately: each decodes the files and computes what it needs, as separate tools do."""
    values = {}
    for job in jobs:
        for make in makers:
            metric = make()
            features._seen_clip.cache_clear()
            set_distance._read.cache_clear()
            with tempfile.TemporaryDirectory() as cache:
                frames = read_frames(cell_folder(run, job) / "frames", FRAMES)
                found = measure(metric, job.cell, features.Seen(job.cell, frames, Path(cache)))
            values |= {(job.row.label, job.cell.name, name): value for name, value in found.values.items()}
    return values


def test_scoring_is_faster_than_metrics_one_after_another(tmp_path, benchmark):
    named = [load("metric", name, METRICS) for name in METRICS if name not in ON_REQUEST]
    makers = tuple(make for make in named if not lacking(make))
    source = Small(tmp_path / "clips")
    settings = Settings(tmp_path / "store", "cpu", 0, 2)
    rows = [Row.of(f"darker{by}", "darker", "", {"by": str(by)}, Darker) for by in SHADES]

    def run_with(metrics):
        return Benchmark(
            tmp_path / "run", {}, source, cells, rows, settings, Scorer(metrics, features.Seen, settings.store, 2)
        )

    cells = source.cells()
    assert run_with(()).complete() == []
    run = run_with(makers)
    began = time.perf_counter()
    assert run.complete() == []
    ours = time.perf_counter() - began
    began = time.perf_counter()
    values = one_after_another(tmp_path / "run", run.jobs, makers)
    theirs = time.perf_counter() - began
    benchmark.pedantic(lambda: None, rounds=1)
    print(f"\n{len(run.jobs)} outputs, {len(makers)} metrics: {ours:.1f} s, one after another {theirs:.1f} s,", end=" ")
    print(f"{theirs / ours:.2f} times; {len(values)} values")
    assert theirs / ours > 3


def plain_frechet(a, b):
    """Return the result of FID's last step as tools compute it, with the square root of the covariances' product."""
    mean = a.mean(0) - b.mean(0)
    first, second = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = scipy.linalg.sqrtm(first @ second).real
    return mean @ mean + np.trace(first) + np.trace(second) - 2 * np.trace(root)


def test_the_last_step_of_fid_is_faster_than_a_matrix_root(benchmark):
    rng = np.random.default_rng(4)
    mixing = rng.standard_normal((2048, 2048)) / 45
    for pictures in (144, 2500):
        a, b = (rng.standard_normal((pictures, 2048)) @ mixing + shift for shift in (0.0, 0.02))
        times = []
        for distance in (set_distance.frechet, plain_frechet):
            began = time.perf_counter()
            times.append((distance(a, b), time.perf_counter() - began))
        (ours, short), (theirs, long) = times
        print(f"\n{pictures} pictures: {short:.2f} s, sqrtm {long:.1f} s, {long / short:.1f} times;", end=" ")
        print(f"{ours:.4f} and {theirs:.4f}")
        assert abs(ours - theirs) < 2e-3 * theirs
        assert long / short > 3
    benchmark.pedantic(lambda: None, rounds=1)
