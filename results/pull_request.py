"""What the public table takes, and the text of a pull request that adds a results file to it."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from megbench.core.errors import BenchError, plural
from megbench.core.installation import COMMAND
from megbench.reports.run_files import FinishedRun
from megbench.results.submission import Row, Submission

# Figures that the text shows if the run has them.
SHOWN = ("agreement", "gain", "error")


def check_public(run: FinishedRun, databases: Collection[str]) -> None:
    """Raise BenchError for a run on the user's own clips or portraits, which no other row could ever be compared with.

    databases: those that the suite reads. Their clips, and those of plug-in protocols, are not the user's own.
    """
    folders = run.facts.request.get("folders")
    name = run.facts.protocol.name
    public = set(databases) - {"table"}  # a user's own table of clips may have this name
    own = sorted({cell.database for cell in run.facts.cells} - public) if name == "self" else []
    portraits = isinstance(folders, dict) and folders.get("portraits")
    if own or portraits or name == "folder":
        what = f"your own clips ({', '.join(own)})" if own else "your own portraits"
        if name == "folder":
            what = "your own clips and portraits"
        raise BenchError(
            f"{run.folder} was run on {what}. The public table takes only cells that others can run as well: demo,"
            " demo_kit, megc2021, megc2022, or self on a prepared database. To share this run, use"
            f" `{COMMAND} results export`."
        )


def pull_request(made: Submission, path: Path) -> str:
    """Return the title and text: what was run and where, the scores, and what the submitter confirms."""
    methods = [row for row in made.rows if not row.is_control]
    figures = [name for name in SHOWN if name in made.figures]
    head = ["row", "status", *figures, "marks"]
    table = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}", *(_line(row, figures) for row in methods)]
    versions = ", ".join(f"{metric.name} {metric.version}" for metric in made.metrics)
    origin = made.made
    machine = f"{origin.device} ({origin.processor}), {origin.system}" if origin else "unknown"
    code = f"{origin.commit}{', modified' if origin.modified else ''}" if origin else "unknown"
    return "\n".join(
        (
            f"Results: {made.protocol.name} {made.protocol.version}, {', '.join(row.label for row in methods[:4])}"
            f"{', ...' if len(methods) > 4 else ''}",
            "",
            f"Adds `results/entries/{path.name}`: {plural(len(methods), 'row')} and"
            f" {plural(len(made.rows) - len(methods), 'control')} on"
            f" {plural(len(made.cells), 'cell')}.",
            "",
            *table,
            "",
            f"- Measured by {versions}.",
            f"- Code {code}; machine {machine}.",
            f"- Seal of the run: {made.seal}.",
            "",
            f"- [x] `{COMMAND} results check results/entries/{path.name}` finds nothing.",
            "- [ ] I keep the run and can run `results check --run` on request.",
            "- [ ] The file and this text contain only scores, and no pictures from a database.",
            "- [ ] I may publish scores on these databases.",
        )
    )


def _line(row: Row, figures: list[str]) -> str:
    scores = [row.scores[name].value for name in figures]
    shown = ["" if value is None else f"{value:.3f}" for value in scores]
    texts = [row.label, row.status, *shown, ", ".join(row.marks)]
    return f"| {' | '.join(text.replace('|', '&#124;') for text in texts)} |"
