"""Two of VBench's video measures (Huang et al. 2024), to show how they rate micro-expressions.

Temporal flickering uses VBench's formula. Dynamic degree applies VBench's rule to this suite's optical flow instead of
RAFT's.
"""

from __future__ import annotations

import itertools

import numpy as np

from megbench.core.clip import Cell, Float32s
from megbench.core.contracts import Figure, Partial
from megbench.core.frames import SIZE, Frames
from megbench.faces.features import Seen
from megbench.faces.flow import FlowFrom
from megbench.faces.landmarks import Grey

SOURCE = "Huang et al. 2024 (VBench)"
# Frames per second that dynamic degree uses.
LOOKED_AT = 8.0
# The share of pixels counted as the fastest, and the threshold that their mean motion must exceed, in pixels of a frame
# of 256 x 256.
FASTEST, THRESHOLD = 0.05, 6.0
NO_PAIR = "clip too short: 2 frames are needed, but it has {} at {:g} frames per second"


class Vbench:
    """VBench's temporal flickering, and the rule of VBench's dynamic degree applied to this suite's flow."""

    name = "vbench"
    version = "1"
    figures = (
        Figure(
            "vbench_temporal_flickering",
            "VBench's temporal flickering",
            target="output",
            ideal=1,
            still=1,
            bounds=(0, 1),
            decimals=4,
            neighbours=True,
            formula="(255 - mean |I[t+1] - I[t]|) / 255",
            source=SOURCE,
            description="1 minus the mean absolute difference of successive frames (all pixels and channels), as a"
            " share of 255. Any motion or noise lowers it, and a still face is perfect. VBench applies it to clips that"
            " should not move.",
        ),
        Figure(
            "vbench_dynamic_degree_flow",
            "VBench's dynamic degree, on this suite's flow",
            target="output",
            ideal=1,
            bounds=(0, 1),
            neighbours=True,
            formula="1 if the 5 % of pixels that move most move by more than 6 px on average in at least round(n / 4)"
            " pairs of the n frames kept; else 0",
            source=SOURCE,
            description="Share of clips that VBench would call dynamic. Every round(fps / 8)th frame of a clip is kept,"
            " and flow is computed between successive kept frames, over the whole picture. Below 8 frames per second,"
            " the threshold of 6 pixels grows in proportion. VBench uses RAFT's flow; this figure uses the suite's. A"
            " micro-expression moves by 0.5 to 3 pixels and counts as static. However, if a clip is so short that only"
            " two frames are kept, the rule requires no moving pair, and even a still face counts as dynamic.",
        ),
    )

    def measure(self, cell: Cell, seen: Seen) -> Partial:
        """Return the figures of one cell."""
        frames, reasons = seen.output.frames, {}
        values: dict[str, float | None] = dict.fromkeys(figure.name for figure in self.figures)
        if len(frames) < 2:
            return Partial("skipped", f"clip too short: it has {len(frames)} of the 2 frames needed")
        values["vbench_temporal_flickering"] = steadiness(frames)
        if cell.driver.fps is None:
            reasons["vbench_dynamic_degree_flow"] = "the driver's frame rate is unknown"
        else:
            kept = looked_at(seen.output.grey, cell.driver.fps)
            if len(kept) < 2:
                reasons["vbench_dynamic_degree_flow"] = NO_PAIR.format(len(kept), LOOKED_AT)
            else:
                values["vbench_dynamic_degree_flow"] = float(is_dynamic(kept, cell.driver.fps))
        return Partial("ok", values=values, reasons=reasons)


def steadiness(frames: Frames) -> float:
    """Return VBench's temporal flickering of frames (T >= 2, ...) uint8, 0 to 1.

    >>> steadiness(np.array([[[0]], [[51]]], np.uint8))
    0.8
    """
    steps = [np.abs(later.astype(np.int16) - earlier).mean() for earlier, later in itertools.pairwise(frames)]
    return (255 - float(np.mean(steps))) / 255


def looked_at(frames: Grey, fps: float) -> Grey:
    """Return the frames that dynamic degree uses, about 8 per second, from frames (T, 256, 256).

    >>> looked_at(np.arange(10), 30.0)
    array([0, 4, 8])
    """
    return frames[:: max(1, round(fps / LOOKED_AT))]


def is_dynamic(frames: Grey, fps: float) -> bool:
    """Return whether VBench would call frames (n, 256, 256) dynamic. fps: the frame rate before `looked_at` sampled
    them."""
    flows = (FlowFrom(first)(later) for first, later in itertools.pairwise(frames))
    return enough([fastest(flow) for flow in flows], len(frames), fps)


def enough(speeds: list[float], count: int, fps: float) -> bool:
    """Return whether the speeds, in pixels, of the n - 1 pairs of n = `count` frames make a clip dynamic.

    If there are so few frames that round(n / 4) is 0, VBench requires no moving pair. With two frames, every clip is
    dynamic, even a still one.

    >>> enough([9.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0], 8, 30.0), enough([9.0, 9.0, 0.0, 0.0, 0.0, 0.0, 0.0], 8, 30.0)
    (False, True)
    >>> enough([0.0], 2, 30.0)
    True
    """
    threshold = max(1.0, LOOKED_AT / fps) * THRESHOLD * SIZE / 256
    return sum(speed > threshold for speed in speeds) >= round(count / 4)


def fastest(flow: Float32s) -> float:
    """Return the mean length of the 5 % longest vectors of a flow (H, W, 2), in pixels."""
    lengths = np.sort(np.linalg.norm(flow, axis=-1).ravel())
    return float(lengths[-max(1, int(FASTEST * lengths.size)) :].mean())
