"""`python -m megbench.commands.rewards_page RUN` writes docs/what_scores_reward.md from a finished run of the demo."""

from __future__ import annotations

import sys
from pathlib import Path

from megbench.core.errors import BenchError, plural
from megbench.metrics import METRICS, ON_REQUEST
from megbench.reports.html import command
from megbench.reports.rewards import TRUTH, compared, rewards_table, summary
from megbench.reports.run_files import FinishedRun

PAGE = Path(__file__).parent.parent / "docs" / "what_scores_reward.md"
HEAD = """# What scores reward

This page is written by `python -m megbench.commands.rewards_page RUN` from a finished run; do not edit it by hand.
Every report has the same table for its own run under "What scores reward".

No measure of micro-expressions should reward a still face, noise, a moving head or the wrong expression. This page
shows the value of each figure for the following rows:

- `still`: the template, repeated. `still_noise`: the same, with camera noise of sigma 2.
- `rigid`: the template moved by the driver's head motion only.
- `wrong_driver`: another expression. `reversed`: the right one, played backwards. Both are made by `flow_warp`.
- `truth`: the rendered ground truth, recorded by a simulated camera with its own noise.
"""
VBENCH = """## VBench's measures

`vbench` is measured on request. VBench (Huang et al. 2024) was made for clips generated from text, whose motion is
large. Two of its measures are included to show what they reward here.

- **Temporal flickering** is VBench's formula on all pixels and channels: (255 - mean |I[t+1] - I[t]|) / 255. A still
  face has 1, the best possible value.
- **Dynamic degree** follows VBench's rule on *this suite's* optical flow instead of RAFT's. Every round(fps / 8)th
  frame is kept, n in all, and flow is measured between successive kept frames. A pair of frames counts as moving if the
  mean length of the 5 % longest vectors exceeds 6 px · (shorter side / 256), which is 6 px here, and proportionally
  more below 8 frames per second (as in VBench's repository; its release 0.1.5 has no such factor). A clip is dynamic
  (1) if at least round(n / 4) pairs move; halves are rounded to the nearest even number, as in Python. With n = 2, as
  for the demo's clips at 200 frames per second, that is 0 pairs: such a clip is dynamic whatever it shows, even a still
  face (`findings/vbench_still_clip_is_dynamic.sh`). With n = 1, there is no pair, and the figure is absent here.
- **Motion smoothness** is not computed, because it needs the weights of a network (AMT), which predicts every second
  frame from its neighbours. The score is (255 - mean |frame - prediction|) / 255. A clip without motion is easy to
  predict, so a still face would score near 1.
"""


def page(run: FinishedRun) -> str:
    """Return docs/what_scores_reward.md for a run. Raise BenchError if the run has no truth or no controls."""
    table = rewards_table(run)
    if table is None or TRUTH not in compared(run):
        raise BenchError(
            f"{run.folder}: the row {TRUTH} or every other control is missing, so nothing shows what scores reward. Run"
            " the demo protocol with its controls: python bench.py --methods flow_warp --metrics +vbench"
        )
    made = run.facts.provenance
    lines = [f"- {sentence}" for sentence in summary(run)]
    about = (
        f"These values come from the run `{command(run)}` of {str(made.get('date', ''))[:10]}: protocol"
        f" {run.facts.protocol.name} {run.facts.protocol.version}, {plural(len(run.facts.cells), 'cell')}."
    )
    parts = [HEAD, "## In this run\n", about, "\n".join(lines), *_absent(run), table.markdown(), VBENCH]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _absent(run: FinishedRun) -> list[str]:
    """Return a sentence on the suite's metrics that the run did not measure, or [] if it measured all."""
    asked = {metric.name for metric in run.facts.metrics}
    lost = [f"`{name}`" for name in METRICS if name not in asked]
    on_request = all(name.strip("`") in ON_REQUEST for name in lost)
    why = "which are measured only on request" if on_request else "which --metrics can add"
    return [f"This run did not measure {', '.join(lost)}, {why}."] if lost else []


def main() -> None:
    """Write the page from the run named on the command line."""
    if len(sys.argv) != 2:
        sys.exit("Usage: python -m megbench.commands.rewards_page runs/<id>")
    try:
        PAGE.write_text(page(FinishedRun(Path(sys.argv[1]))), encoding="utf-8")
    except BenchError as error:
        sys.exit(f"Error: {error}")
    print(PAGE)


if __name__ == "__main__":
    main()
