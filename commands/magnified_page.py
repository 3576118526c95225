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
- The method receives this magnified driver. The motion of its output since the output's own first frame is then
  multiplied by 1/K in the same way.
- Methods that are driven by action units (`ulmegan`, `tps_rau`) receive intensities multiplied by K and clipped at 5
  instead. The motion of their output is also multiplied by 1/K; otherwise, the motion would merely become K times as
  strong. A mark counts the clipped frames; if the units are read from a recording's flow, the mark appears once they
  have been read. Rendered drivers reach 5 at the intensity of a micro-expression, so there is little left to multiply.
- K is a number from 0.0625 to 16. Sixteen times a motion of three pixels is about four fifths of the eye distance. A
  motion that would fold the picture is smoothed until it no longer does, so large motions are magnified by less than K.
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

Magnify the motion for networks that take pictures as input, most of all if the pictures are soft and noisy like those
of published kits. On `demo_kit` (below), agreement and error improve with every step from K = 1 to 8 for all four such
networks, and most of the improvement is reached at K = 4. At that factor, the agreement of FPB-FOMM, FOMM and MRAA is
.61 to .65 instead of .43 to .51 with the driver, and .70 to .73 instead of .51 to .57 with the truth. Their error,
which is 1.05 to 1.36 at K = 1 and thus worse than a still face's, falls to .75 to .79. Their gain falls by .04 to .08.
This fits the second point above: errors that do not depend on the driver are divided by K.

The tables were measured with earlier weights, and with drivers as they are (`steady=no`). With the present weights
and [steadied drivers](usage.md#steadied-drivers), these three networks have an agreement of .63 to .70 on `demo_kit`
without magnified motion ([model card](demo_weights.md)).

In the clean pictures of `demo`, where such errors are small, K = 2 is best: the agreement of the same three networks
rises by .03 to .04, their error falls by .03 to .07, and their gain changes by .03 at most. K = 4 brings no further
improvement, and K = 8 makes error worse.

Do not magnify for networks driven by action units. On `demo_kit`, little changes at K = 2. At larger factors, and on
`demo` even at K = 2, gain falls: the units are clipped at 5, so the output's motion is reduced by more than the units
were increased.

The tables show means over cells. The sentences below each table compare them with K = 1 and ignore changes under .01:
magnification hurts ULME-GAN at K = 2 on `demo`, for example, because its error rises by .024, although its agreement
rises by .007. The same sentences also appear under the leaderboard in the report of any run that has `NAME` and
`NAME:magnify=K`."""


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
            f"These values come from the run `{command(run)}` of {str(made.get('date', ''))[:10]}: protocol"
            f" {protocol.name} {protocol.version}, {plural(len(run.facts.cells), 'cell')}."
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
