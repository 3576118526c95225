"""The facial prior (Zhang et al., MM '21, figures 2 and 3): the given points, and the maps of one and of all points."""

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from megbench.core.frames import SIZE, Frames
from megbench.reports.figures.grid import SETTINGS, SIDE

Floats = npt.NDArray[np.floating]


def draw_prior(picture: Frames, points: Floats, one: Floats, every: Floats, chosen: int) -> Figure:
    """Draw a face (256, 256, 3) with its points (K, 2), and maps (S, S) in 0..1: of the point `chosen`, and of all."""
    with mpl.rc_context(SETTINGS):
        figure = Figure(figsize=(6 * SIDE, 2 * SIDE + 0.25))
        panels = figure.subplots(1, 3)
        figure.subplots_adjust(0.005, 0.005, 0.995, 1 - 0.25 / (2 * SIDE + 0.25), wspace=0.02)
        for panel, title in zip(
            panels, (f"{len(points)} points", f"prior of point {chosen}", "prior of all"), strict=True
        ):
            panel.set_title(title, fontsize=9, pad=4)
            panel.imshow(picture, extent=(0, SIZE, SIZE, 0))
            panel.set(xlim=(0, SIZE), ylim=(SIZE, 0), xticks=[], yticks=[])
            panel.spines[:].set_visible(False)
        _points(panels[0], points, chosen)
        for panel, prior in zip(panels[1:], (one, every), strict=True):
            # Darken areas where the prior is low, so that the face remains visible where the detector looks.
            panel.imshow(
                prior, cmap="inferno", vmin=0, vmax=1, alpha=0.6, extent=(0, SIZE, SIZE, 0), interpolation="nearest"
            )
            panel.plot(*points[[chosen] if prior is one else slice(None)].T, ".", color="white", markersize=2.5)
    return figure


def _points(panel: Axes, points: Floats, chosen: int) -> None:
    """Draw numbered dots; points outside the picture are clipped at its edge."""
    for number, (x, y) in enumerate(points):
        colour = "#ff5a4d" if number == chosen else "#ffe14d"
        panel.plot(x, y, "o", color=colour, markersize=4, markeredgecolor="black", markeredgewidth=0.5)
        panel.annotate(
            str(number),
            (x, y),
            (3, 3),
            textcoords="offset points",
            fontsize=6.5,
            color="white",
            clip_on=True,
            bbox={"boxstyle": "round,pad=0.12", "facecolor": "black", "alpha": 0.55, "linewidth": 0},
        )
