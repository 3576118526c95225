"""Pictures in rows and columns with titles, as in the papers' figures, drawn with matplotlib."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from megbench.core.errors import BenchError, check_choice

# Sizes in inches: a picture, a line of a column title, a character of a row title, and the widest margin for row
# titles.
SIDE, HEADER, LETTER, MOST_MARGIN = 1.25, 0.25, 0.075, 2.5
FORMATS = ("png", "jpg", "svg", "pdf")
SETTINGS: Any = {"font.family": "sans-serif", "font.size": 8, "svg.fonttype": "path", "text.parse_math": False}

TilePicture = npt.NDArray[np.uint8]
# A title, and for each column a picture or the text that replaces it.
Row = tuple[str, Sequence[TilePicture | str]]


def draw_grid(columns: Sequence[str], rows: Sequence[Row]) -> Figure:
    """Draw pictures in rows and columns, all with titles."""
    with mpl.rc_context(SETTINGS):
        longest = max((len(line) for title, _ in rows for line in title.splitlines()), default=0)
        margin = min(0.15 + LETTER * longest, MOST_MARGIN)
        top = HEADER * max(len(title.splitlines()) for title in columns)
        width, height = margin + SIDE * len(columns), top + SIDE * len(rows)
        figure = Figure(figsize=(width, height))
        axes = figure.subplots(len(rows), len(columns), squeeze=False)
        figure.subplots_adjust(margin / width, 0.01, 0.995, 1 - top / height, wspace=0.03, hspace=0.03)
        for title, axis in zip(columns, axes[0], strict=True):
            axis.set_title(title, fontsize=8, pad=3)
        for (title, pictures), line in zip(rows, axes, strict=True):
            line[0].set_ylabel(title, rotation=0, ha="right", va="center", fontsize=8)
            for axis, picture in zip(line, pictures, strict=True):
                _show(axis, picture)
    return figure


def _show(axis: Axes, picture: TilePicture | str) -> None:
    axis.set_xticks([])
    axis.set_yticks([])
    axis.spines[:].set_visible(False)
    if isinstance(picture, str):
        axis.text(0.5, 0.5, picture, transform=axis.transAxes, ha="center", va="center", fontsize=6, wrap=True)
    else:
        axis.imshow(picture, cmap="gray", vmin=0, vmax=255, interpolation="none")


def save_figure(figure: Figure, path: Path) -> Path:
    """Write a figure in the format that the suffix names (images: 200 dpi).

    Raise BenchError if the format is unknown or the file cannot be written.
    """
    check_choice("figure format", path.suffix.removeprefix("."), list(FORMATS))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with mpl.rc_context(SETTINGS), warnings.catch_warnings():
            # Names in a script that the font lacks appear as boxes, which is no reason to stop.
            warnings.filterwarnings("ignore", message="Glyph .* missing from")
            figure.savefig(path, dpi=200)
    except OSError as error:
        raise BenchError(f"{path} cannot be written ({error.strerror}). Choose another --out.") from None
    return path
