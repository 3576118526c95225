"""Compare the flow of motion agreement 2 with that of version 1 on exact renders, in interleaved runs: `make bench`.

Both follow the same noisy frames; their results in the twelve regions are compared with the exact flow.
"""

import time
from collections import defaultdict

import cv2
import numpy as np
import pandas as pd

from megbench.clips.synthetic.camera import Camera
from megbench.clips.synthetic.people import Role
from megbench.clips.synthetic.personal_basis import personal_basis
from megbench.clips.synthetic.render import AT_REST, Actor
from megbench.core.frames import grey
from megbench.faces.dis import finest_flow
from megbench.faces.facs import ACTION_UNITS, MICRO
from megbench.faces.field import similarity
from megbench.faces.flow import FlowFrom, box_around
from megbench.faces.landmarks import landmarks
from megbench.faces.motion import facial_motion, mean_over
from megbench.faces.regions import face_regions
from megbench.metrics.motion_agreement import compare

ROLES = (Role("astronaut", "demo", 48), Role("hopper", "demo", 3), Role("astronaut", "demo", 7))
UNITS = (("AU04", "AU15"), ("AU12", "AU06"), ("AU01", "AU17"))
# Strengths of the two units in each frame after the first.
MOMENTS = ((0.3, 0.0), (0.7, 0.3), (1.0, 0.8), (0.4, 1.0))
AMPLITUDES = (0.1, 0.25, 1.0)
SHIFTS = (0.05, 0.1, 0.2, 0.5, 1.0, 3.0)
HEADS = ((10, 0.0), (10, 0.08), (18, 0.0), (18, 0.06))
FRAMES_PER_CLIP = 40
LEAST_GAIN, COST = -0.03, 0.27
STILL = np.zeros((256, 256, 2), np.float32)


class Sequence:
    """Noisy grey frames of an actor, the exact flow to each frame, and the regions of the first."""

    def __init__(self, actor, moves, noise=2.0, seed=0):
        shots = [actor.shoot(forward, head) for forward, head in [(STILL, AT_REST), *moves]]
        camera, rng = Camera(noise=noise), np.random.default_rng(seed)
        self.frames = grey(camera.record(np.stack([shot.frame for shot in shots]), rng))
        self.exact = [shot.forward for shot in shots]
        self.points = landmarks(self.frames[0], "first frame")
        self.regions = face_regions(self.points)
        self.means = mean_over(self.regions.masks)

    def trajectory(self, flows):
        return facial_motion(lambda k: flows[k], len(flows), self.points).trajectory

    def miss(self, flows):
        """Return the mean distance between region means and those of the exact flow, over regions and later frames."""
        pairs = list(zip(flows, self.exact, strict=True))[1:]
        lost = [self.means @ (flow - exact).reshape(-1, 2) for flow, exact in pairs]
        return float(np.linalg.norm(lost, axis=2).mean())


def sequences():
    """Yield the sequences to measure, each preceded by its kind, which includes its amplitude or pixels."""
    for number, role in enumerate(ROLES):
        actor = Actor(role.person())
        centre = actor.person.face.landmarks[36:48].mean(0)
        basis = personal_basis(np.random.default_rng([number + 50, 0]))
        rng = np.random.default_rng(number)
        for units in UNITS:
            first, second = (actor.move(basis[ACTION_UNITS.index(unit)] * MICRO) for unit in units)
            for size in AMPLITUDES:
                heads = [similarity(1, 0.002 * k * size, (0.4 * k * size, -0.3 * k * size), centre) for k in range(4)]
                moves = [(size * (a * first + b * second), head) for (a, b), head in zip(MOMENTS, heads, strict=True)]
                yield f"amplitude {size}", Sequence(actor, moves, seed=number)
            for far, turn in HEADS:
                angle = rng.uniform(0, 2 * np.pi)
                way = far * np.array([np.cos(angle), np.sin(angle)])
                heads = [similarity(1, share * turn, tuple(share * way), centre) for share in (0.5, 1)]
                moves = [(0.5 * share * first, head) for share, head in zip((0.5, 1), heads, strict=True)]
                yield f"head {far} px", Sequence(actor, moves, seed=number)
        yield "noise alone", Sequence(actor, [(STILL, AT_REST)] * 6, seed=number)
        for size in SHIFTS:
            moves = [(STILL, similarity(1, 0, (size * x, size * y), centre)) for x, y in ((1, 0), (0, 1), (0.6, -0.8))]
            yield "shifts, no noise", Sequence(actor, moves, noise=0)
            yield "shifts", Sequence(actor, moves, seed=number)


def version_1(sequence):
    """Return flows by DIS at full size, and the seconds for preparation and for all later frames."""
    began = time.process_time()
    flows = [finest_flow(sequence.frames[0], later) for later in sequence.frames[1:]]
    return [STILL, *flows], 0.0, time.process_time() - began


def version_2(sequence):
    """Return flows by version 2 and their seconds, in the same form as `version_1`."""
    began = time.process_time()
    follow = FlowFrom(sequence.frames[0], box_around(sequence.regions.face))
    prepared = time.process_time()
    flows = [follow(later) for later in sequence.frames[1:]]
    return [STILL, *flows], prepared - began, time.process_time() - prepared


def test_flow_against_version_1(benchmark):
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    found = defaultdict(lambda: defaultdict(list))
    cost = defaultdict(lambda: defaultdict(list))
    for kind, sequence in sequences():
        exact = sequence.trajectory(sequence.exact)
        for name, follow in (("1", version_1), ("2", version_2)):
            flows, prepared, seconds = follow(sequence)
            frames = len(flows) - 1
            cost["head" if "head" in kind else "other"][name].append(prepared / FRAMES_PER_CLIP + seconds / frames)
            row = found[kind, name]
            row["pixels"].append(sequence.miss(flows))
            if kind.startswith(("amplitude", "head")):
                scores = compare(sequence.trajectory(flows), exact)
                for figure in ("agreement", "gain", "error"):
                    row[figure].append(getattr(scores, figure))
    cv2.setNumThreads(threads)
    benchmark.pedantic(lambda: None, rounds=1)
    means = {place: {figure: np.mean(values) for figure, values in row.items()} for place, row in found.items()}
    print("\n" + pd.DataFrame(means).T.to_string(float_format="{:.4f}".format, na_rep=""))
    ratios = {kind: np.sum(times["2"]) / np.sum(times["1"]) for kind, times in cost.items()}
    for kind, times in cost.items():
        before, now = (1e3 * np.mean(times[name]) for name in ("1", "2"))
        print(f"{kind}: {before:.1f} ms a frame by version 1, {now:.1f} by version 2: {ratios[kind]:.3f}")
    for (kind, name), was in means.items():
        if name == "1":
            now = means[kind, "2"]
            assert now["pixels"] <= was["pixels"], kind
            assert now.get("agreement", 0) >= was.get("agreement", 0), kind
            assert now.get("error", 0) <= was.get("error", 0), kind
            assert now.get("gain", 0) - was.get("gain", 0) >= LEAST_GAIN, kind
    assert ratios["other"] <= COST
