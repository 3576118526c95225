"""The documents: the command line accepts their commands, and their links lead somewhere."""

import re
import shlex
from pathlib import Path

import pytest
import typer.main

import bench
from megbench.commands.listing import Listed
from megbench.commands.options import names
from megbench.commands.request import chosen_metrics
from megbench.methods import find_method, parse_label
from megbench.metrics import METRICS
from megbench.protocols import PROTOCOLS

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
# Pages whose commands name only what the suite itself has.
OWN = [ROOT / "README.md", *(ROOT / "docs" / f"{name}.md" for name in ("usage", "report", "data", "training"))]
COMMAND = re.compile(r"^    (?:\.venv/bin/)?(?:python bench\.py|megbench) (.*)", re.MULTILINE)
LINK = re.compile(r"\]\(([^)\s]+)\)")
TARGET = re.compile(r"`make ([a-z-]+)|^    make ([a-z-]+)", re.MULTILINE)


def commands(page):
    """Return the arguments of the commands in a page's indented blocks."""
    text = re.sub(r" *\\\n *", " ", page.read_text())
    return [shlex.split(found, comments=True) for found in COMMAND.findall(text)]


def parsed(arguments):
    """Read arguments as the command line does, and return the context of the command that they name.

    Raise click's error for an option, a value or a number of words that no command takes.
    """
    command, name, context = typer.main.get_command(bench.app), "bench.py", None
    arguments = [*arguments]  # click empties the list
    while True:
        context = command.make_context(name, arguments, parent=context)
        rest = [*getattr(context, "_protected_args", []), *context.args]
        if not hasattr(command, "resolve_command") or not rest:
            return context
        name, command, arguments = command.resolve_command(context, rest)


def anchor(heading):
    """Return the anchor that a heading gets on hosting sites."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_are_accepted(page):
    for arguments in commands(page):
        if "..." not in arguments:
            parsed(arguments)


def test_commands_that_do_not_exist_are_found():
    for wrong in (["report", "RUN", "--pdf"], ["list", "methodes"], ["compare", "RUN"], ["experts", "judge", "RUN"]):
        with pytest.raises(Exception, match=r"--pdf|methodes|run_b|judge"):
            parsed(wrong)


@pytest.mark.parametrize("page", OWN, ids=lambda page: page.name)
def test_commands_name_what_there_is(page):
    assert commands(page)
    for arguments in commands(page):
        given = parsed(arguments).params
        if arguments[0].startswith("--"):
            assert given["protocol"] in PROTOCOLS, arguments
            assert set(chosen_metrics(names(given["metrics"]))) <= {*METRICS}, arguments
            for label in names(given["methods"]):
                find_method(parse_label(label).name)
        if arguments[0] == "list":
            assert given["what"] in list(Listed)
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {name for found in TARGET.findall(page.read_text()) for name in found if name} <= targets


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files_and_headings_of_the_repository(page):
    for link in LINK.findall(page.read_text()):
        path, _, heading = link.partition("#")
        if re.match(r"[a-z]+:", path):
            continue
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert target.is_relative_to(ROOT), link
        if heading:
            headings = re.findall(r"^#+ (.*)", target.read_text(), re.MULTILINE)
            assert heading in map(anchor, headings), link


def test_the_index_lists_every_document():
    index = (ROOT / "docs" / "README.md").read_text()
    documents = {path.name for path in (ROOT / "docs").iterdir() if path.suffix in (".md", ".bib")} - {"README.md"}
    assert {link for link in LINK.findall(index) if "/" not in link} == documents


def test_the_readme_is_short_and_has_the_test_command():
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= 80
    ci = "ruff check . && .venv/bin/ruff format --check . && .venv/bin/mypy && .venv/bin/python -m pytest -n auto"
    assert f"    .venv/bin/{ci} --maxprocesses 4 --dist loadfile\n" in text
