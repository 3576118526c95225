"""Print the processor seconds needed to measure one output of 40 frames once driver and truth have been measured.

Usage: measure_one.py PLACE. PLACE contains a finished demo run in `run` and its store. The code that comes
first on Python's path is used. It may be the baseline's, so this script uses only what both versions have.
"""

import statistics
import sys
import time
from pathlib import Path

from megbench.core.frames import read_frames
from megbench.core.registry import load
from megbench.engine.scoring import lacking, measure
from megbench.faces.features import Seen
from megbench.metrics import METRICS, ON_REQUEST
from megbench.protocols.demo import Demo

ROWS = ("fpfomm", "fomm", "mraa", "flow_warp", "reversed")


def main(place: Path) -> None:
    """Measure the outputs of five rows for one driver, each for the first time; print the mean of the last four."""
    cells = [cell for cell in Demo(place / ".megbench" / "clips").cells() if cell.driver.n_frames == 40]
    named = [load("metric", name, METRICS) for name in METRICS if name not in ON_REQUEST]
    metrics = [make() for make in named if not lacking(make)]
    features = place / "features_of_one"  # empty, so that no features stored by the run are found
    seconds = []
    for row in ROWS:
        frames = read_frames(place / "run" / "cells" / row / cells[0].name / "frames", 40)
        began = time.process_time()
        seen = Seen(cells[0], frames, features)
        for metric in metrics:
            measure(metric, cells[0], seen)
        seconds.append(time.process_time() - began)
    print(statistics.mean(seconds[1:]))  # the first one also measures the driver, the template and the truth


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
