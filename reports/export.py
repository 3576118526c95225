"""Tables as files: HTML pages, CSV, Markdown and LaTeX, all from the same objects."""

import dataclasses
from collections.abc import Callable, Container, Iterable, Sequence
from pathlib import Path

from megbench.core.files.cache import write_text
from megbench.core.files.names import check_name
from megbench.experts.judgements import FILE, Judgement, read_judgements
from megbench.reports import leaderboard
from megbench.reports.common_cells import common_means
from megbench.reports.detectors import disagreements
from megbench.reports.environment import TEMPLATES, environment
from megbench.reports.experts import agreement_table, pairs_table, table_one
from megbench.reports.headlines import RANKED_BY, left_out
from megbench.reports.heat_map import heat_maps
from megbench.reports.intervals import differences_table
from megbench.reports.marks import exported, marked
from megbench.reports.metric_agreement import metrics_against_experts
from megbench.reports.pairs import pairs_tables
from megbench.reports.perturbed import perturbed_tables
from megbench.reports.published import reported_table
from megbench.reports.recognition import recognition_tables
from megbench.reports.reference import reference_tables
from megbench.reports.rewards import rewards_table
from megbench.reports.run_files import FinishedRun
from megbench.reports.spotting import spotting_table
from megbench.reports.table import Table


def page(table: Table) -> str:
    """Return a table as a separate page, which loads nothing else."""
    style = (TEMPLATES / "report.css").read_text(encoding="utf-8")
    return environment().get_template("one_table.html.j2").render(table=table, style=style)


FORMS: dict[str, tuple[str, Callable[[Table], str]]] = {
    "html": ("html", page),
    "csv": ("csv", Table.csv),
    "markdown": ("md", Table.markdown),
    "latex": ("tex", Table.latex),
}


# Forms for printed pages, which have room for only a few columns; the other forms have all columns.
NARROW = ("markdown", "latex")


def write_tables(
    folder: Path, tables: dict[str, Table], forms: Iterable[str] = tuple(FORMS), whole: Container[str] = ()
) -> list[Path]:
    """Write each table in each form as `folder/<name>.<extension>` and return the paths.

    LaTeX and Markdown have 8 columns at most, except for the tables named in `whole`.
    """
    paths = []
    for name, table in tables.items():
        for form in forms:
            extension, make = FORMS[form]
            paths.append(folder / check_name("table", f"{name}.{extension}"))
            write_text(paths[-1], make(table.narrow() if form in NARROW and name not in whole else table))
    return paths


def tables_of(folder: Path, columns: Sequence[str] = (), reference: str = "") -> dict[str, Table]:
    """Return every table of a run by file name, with tables on experts only if the run has judgements.

    columns: the leaderboard's columns, by figure; () for all. reference: the reference whose published rows are added,
    or "". Raise BenchError for an unknown column or reference.
    """
    run = FinishedRun(folder)
    board = leaderboard.leaderboard(run)
    board = board.only(columns) if columns else board
    lost = tuple(f"Left out: {line}." for line in left_out(run))
    tables = {"leaderboard": dataclasses.replace(board, footnotes=(*board.footnotes, *lost))}
    if common := common_means(run):
        tables["leaderboard_common_cells"] = common
    if pairs := differences_table(run, RANKED_BY):
        tables["pairs"] = marked(run, pairs)
    tables |= {f"detectors_{k}": table for k, table in enumerate(disagreements(run), 1)}
    tables |= {
        f"by_{scope}": leaderboard.breakdown(run, scope) for scope in leaderboard.SCOPES if len(run.groups(scope)) > 1
    }
    tables |= {f"perturbed_{name}": table for name, table in perturbed_tables(run).items()}
    if spotted := spotting_table(run):
        tables["spotting"] = spotted
    tables |= {f"cells_{figure}": table for figure, table in heat_maps(run)}
    if rewarded := rewards_table(run):
        tables["rewards"] = rewarded
    tables["figures"] = leaderboard.all_figures(run)
    tables |= recognition_tables(run)
    tables |= judged_tables(run, everything=True)
    # Rows measured elsewhere do not have the versions of this run's metrics.
    elsewhere = reference_tables(run, reference) | {"reported": reported_table()}
    return {name: exported(table, run) for name, table in tables.items()} | elsewhere


def judged_tables(run: FinishedRun, everything: bool = False) -> dict[str, Table]:
    """Return the tables on experts by file name, or {} if the run has no judgements. everything: show all figures."""
    asked = pairs_tables(run, everything)
    if not (run.folder / FILE).exists():
        return asked
    judgements = read_judgements(run.folder / FILE)
    against = metrics_against_experts(run, judgements, everything)
    return experts_tables(judgements, run) | {"metrics_against_experts": against} | asked


def experts_tables(judgements: Sequence[Judgement], run: FinishedRun | None = None) -> dict[str, Table]:
    """Return Table 1, the pairs of methods and the experts' agreement, by file name, with the judged run's marks."""
    tables = {
        "table_1": table_one(judgements),
        "experts_pairs": pairs_table(judgements),
        "experts_agreement": agreement_table(judgements),
    }
    return {name: marked(run, table) for name, table in tables.items()} if run else tables
