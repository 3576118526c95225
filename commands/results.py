"""`bench.py results`: results files, from a run to a row of the public table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from megbench.core.errors import BenchError, plural
from megbench.core.installation import COMMAND

app = typer.Typer(help="Results files and the table made from them.")
RunArgument = Annotated[Path, typer.Argument(help="The folder of a finished run, runs/<id>.")]
EntriesOption = Annotated[Path | None, typer.Option(help="Folder of the table's files; default: results/entries.")]


@app.callback()
def main() -> None:
    """Write, check and show results files: scores without pictures."""


@app.command()
def export(run: RunArgument, out: Annotated[Path, typer.Option("-o", "--out", help="The file, NAME.json.")]) -> None:
    """Write a run's scores, versions, hashes and marks into one file without pictures."""
    from megbench.results.export import submission_of, write_submission

    write_submission(submission_of(run), out)
    print(out)


@app.command()
def check(
    file: Annotated[Path, typer.Argument(help="A file made by `results export`.")],
    run: Annotated[Path | None, typer.Option(help="Also compare the file with the run that it came from.")] = None,
    sample: Annotated[int, typer.Option(min=0, help="With --run: number of random outputs to measure again.")] = 5,
    seed: Annotated[int, typer.Option(min=0, help="Seed for drawing outputs.")] = 0,
) -> None:
    """Report what is wrong with a results file; exit with code 1 if anything is. Only --run detects careful forgery."""
    from megbench.commands.results_again import measured_again
    from megbench.results.against_run import against_run
    from megbench.results.check import findings
    from megbench.results.reading import read_facts
    from megbench.results.submission import Submission

    facts = read_facts(file)
    lines = findings(facts, known_weights())
    if run and not lines:
        lines = against_run(facts, run)
    again = 0
    if run and sample and not lines:
        again, lines = measured_again(Submission.model_validate(facts), run, sample, seed)
    _tell(file, lines)
    if again:
        print(f"{plural(again, 'output')} measured again from the run's frames, with the same scores")
    if not run:
        print("The file is consistent. Only --run RUN detects a forgery that changed all values consistently.")


@app.command()
def board(
    out: Annotated[Path, typer.Option(help="Folder for the site; an earlier one there is replaced.")] = Path("board"),
    entries: EntriesOption = None,
) -> None:
    """Make the table of all results files: a folder of pages that open from disk and load nothing else."""
    from megbench.results.board import write_board
    from megbench.results.reading import ENTRIES

    print(write_board(entries or ENTRIES, out, known_weights()))


@app.command()
def add(
    run: RunArgument,
    name: Annotated[str, typer.Option(help="Name of the entry; default: protocol and seal.")] = "",
    entries: EntriesOption = None,
) -> None:
    """Add a finished run to the table's files and print the text for a pull request; not for runs on your own clips."""
    from megbench.clips.databases import DATABASES
    from megbench.core.files.names import check_name
    from megbench.reports.run_files import FinishedRun
    from megbench.results.check import findings
    from megbench.results.export import submission_of, values_of, write_submission
    from megbench.results.pull_request import check_public, pull_request
    from megbench.results.reading import ENTRIES

    check_public(FinishedRun(run), DATABASES)
    made = submission_of(run)
    called = check_name("entry", name or f"{made.protocol.name}-{(made.seal or '')[:10]}")
    path = (entries or ENTRIES) / f"{called}.json"
    _tell(run, findings(values_of(made), known_weights()))
    if path.exists():
        raise BenchError(f"{path} already exists. Pass another --name, or remove the file to replace the entry.")
    write_submission(made, path)
    print(f"Wrote {path}. Preview it with `{COMMAND} results board`, then open a pull request with this text:\n")
    print(pull_request(made, path))


def known_weights() -> dict[str, str]:
    """Return the hashes of the weights supplied with the suite, each with the status of a row that uses them."""
    from megbench.baselines import GENERATORS
    from megbench.core.generator import DEMO, descriptors
    from megbench.core.weights.network_weights import weights_hash
    from megbench.methods.cards import demo_weights
    from megbench.results.submission import STATUS_OF

    return {
        weights_hash(path): STATUS_OF[generator.weights[DEMO].status]
        for name, generator in descriptors(GENERATORS).items()
        if DEMO in generator.weights and (path := demo_weights(name)).is_file()
    }


def _tell(what: Path, lines: Sequence[str]) -> None:
    """Print findings and exit with code 1; do nothing if there are none."""
    if not lines:
        return
    from megbench.core.tables.spreadsheet_text import printable

    print(f"{what}: {plural(len(lines), 'finding')}")
    for line in lines:
        print(f"  {printable(line)}")
    raise typer.Exit(1)
