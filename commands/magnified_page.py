"""`python -m megbench.commands.magnified_page RUN ...` writes docs/magnified.md from finished runs."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from megbench.core.errors import BenchError, plural
from megbench.reports.html import command
from megbench.reports.magnified import magnified_table, reading
from megbench.reports.run_files import FinishedRun

PAGE = Path(__file__).parent.parent / "docs" / "magnified.md"
HEAD = """# Motion magnified around a method

This page is written by `python -m megbench.commands.magnified_page RUN ...` from finished runs; do not edit it by hand.

Animators are trained on motions of many pixels, whereas micro-expressions move a face by half a pixel to three pixels.
MagPlus ([arXiv 2606.13312](https://arxiv.org/abs/2606.13312)) therefore magnifies the driver's motion, runs an
animator, and reduces the motion of its output again, with learned networks for the first and the last step.
`magnify=K` does the same with measured flow instead of networks, around any row that animates:

    python bench.py --methods fomm,fomm:magnify=4,external@fsrt:magnify=8,ulmegan:magnify=2

- The driver's optical flow since frame 0, without head motion, is multiplied by K. Each frame is resampled from its own
  pixels; the head, the background and frame 0 do not change. The result is measured, and the frame is resampled from
  its own pixels again with the missing motion added.
- The method sees that driver. The motion of its output since the output's own first frame is then multiplied by 1/K in
  the same way.
- Methods that are driven by action units (`ulmegan`, `tps_rau`) receive intensities multiplied by K and clipped at 5
  instead. The motion of their output is also multiplied by 1/K; otherwise, the motion would merely become K times as
  strong. A mark counts the clipped frames; if the units are read from a recording's flow, it appears once they have
  been read. Rendered drivers reach 5 at the intensity of a micro-expression, so there is little to multiply.
- K is a number from 0.0625 to 16. Sixteen times a motion of three pixels is half the eye distance. A motion that
  would fold the picture is blurred until it does not, so large motions are magnified by less than K.
  `magnify=1` is the method itself and shares its cells.
- Controls that know the ground truth, and `outputs:DIR`, reject the option, because they do not animate.
- The factor and the operator's version are part of the row's identity, and the operator's time is included in the
  method's. Such a row is marked in every table.

Before you rely on it:

- The operator uses the same optical flow as the scores. Motion in an output that the flow does not capture is neither
  reduced nor scored.
- A method's errors that do not grow with the motion are divided by K: a mouth that jumps by two pixels whatever the
  driver does jumps by half a pixel at K = 4. Errors that grow with the motion keep their size relative to it.
- Changes other than motion (a smile's folds, teeth, a change of shade) are neither magnified nor reduced.
- A cell fails if the first frame of its driver or output shows no face.
"""
GUIDE = """## Where it helps

These single cells were tried first, with the demo weights of the commit that added `magnify`. The first four are from
`demo_kit`, whose drivers move by half a pixel under noise, the others from `demo`.

| method | cell | K | agreement, K = 1 | with K | gain, K = 1 | with K | error, K = 1 | with K |
|---|---|---:|---:|---:|---:|---:|---:|---:|
| `fpfomm` | colour200\\_negative on dim | 4 | .591 | .800 | .407 | .354 | .813 | .698 |
| `fomm` | colour200\\_negative on dim | 4 | .422 | .694 | .479 | .475 | 1.154 | .720 |
| `fomm` | grey200\\_positive on dim | 4 | .073 | .452 | .177 | .329 | 2.551 | .934 |
| `mraa` | grey200\\_positive on dim | 4 | .222 | .471 | .283 | .289 | 1.438 | .894 |
| `fomm` | colour100\\_surprise on collins | 2 | .948 | .981 | .847 | .949 | .322 | .193 |
| `fomm` | colour100\\_surprise on collins | 4 | .948 | .991 | .847 | .977 | .322 | .134 |
| `ulmegan` | colour100\\_surprise on collins | 2 | .889 | .883 | .484 | .400 | .573 | .636 |
| `ulmegan` | colour100\\_surprise on collins | 4 | .889 | .861 | .484 | .205 | .573 | .804 |

In the second row's cell `fomm` has agreement .577 and error .844 with K = 2, and .695 and .733 with K = 8: factors
above 4 do not help. Networks that take pictures as input improve in every row. This fits the second point above: errors
that do not depend on the driver are divided by K. `ulmegan` gets worse: the demo's units are clipped, so the output is
reduced by more than the units were increased. These are few cells; tables of whole runs, if there are any below, are
more reliable.

In such tables, means are over cells. Magnification helps if agreement is higher and error lower than at K = 1;
differences under .01 do not count. The report of a run that has `NAME` and `NAME:magnify=K` shows the same sentences
under its leaderboard."""


def page(runs: Sequence[FinishedRun]) -> str:
    """Return docs/magnified.md with the tables of runs. Raise BenchError for a run without rows to compare."""
    parts = [HEAD, GUIDE]
    for run in runs:
        table = magnified_table(run)
        if table is None:
            raise BenchError(
                f"{run.folder}: no method was run both with and without magnified motion. Run both, for example"
                " with --methods fomm,fomm:magnify=4"
            )
        made, protocol = run.facts.provenance, run.facts.protocol
        about = (
            f"Run `{command(run)}`, {str(made.get('date', ''))[:10]}: protocol {protocol.name} {protocol.version},"
            f" {plural(len(run.facts.cells), 'cell')}."
        )
        parts += [f"## {protocol.name}", about, table.markdown(), "\n".join(f"- {line}" for line in reading(run))]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def main() -> None:
    """Write the page from the runs named on the command line."""
    if len(sys.argv) < 2:
        sys.exit("Usage: python -m megbench.commands.magnified_page runs/<id> ...")
    try:
        PAGE.write_text(page([FinishedRun(Path(name)) for name in sys.argv[1:]]), encoding="utf-8")
    except BenchError as error:
        sys.exit(f"Error: {error}")
    print(PAGE)


if __name__ == "__main__":
    main()
