"""Write docs/generators.md from the descriptors: `python -m megbench.commands.generators_page`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path

from megbench.baselines import GENERATORS
from megbench.core.generator import DEMO, Generator, descriptors
from megbench.core.installation import ROOT
from megbench.reports.table import markdown_row

PAGE = ROOT / "docs" / "generators.md"
HEAD = """\
# Generators

This page is generated from the descriptors (`generator.py` in each folder) by
`python -m megbench.commands.generators_page`.
`python bench.py list methods` prints a summary that includes installed plug-ins.
"""


def page() -> str:
    """Return the page: a table of all generators, then a section on each."""
    found = descriptors(GENERATORS)
    return "\n".join([HEAD, *_table(found.values()), *(line for each in found.values() for line in _section(each))])


def _table(found: Iterable[Generator]) -> Iterator[str]:
    """Yield the lines of the table of all generators."""
    yield "| row | generator | paper ([BibTeX](citations.bib)) | licence of the original | driven by | weights |"
    yield "|---|---|---|---|---|---|"
    for each in found:
        weights = ", ".join(weights.status for weights in each.weights.values()) or "none"
        yield markdown_row((f"`{each.name}`", each.title, f"`{each.paper}`", each.licence, each.driven_by, weights))


def _section(each: Generator) -> Iterator[str]:
    """Yield the lines of the section on a generator."""
    yield ""
    yield f"## {each.title} (`{each.name}`)"
    yield ""
    yield from _modes(each)
    yield ""
    yield from _options(each)
    yield f"- Weights supplied with the suite: {_weights(each)}"
    yield f"- Published checkpoints: {_published(each)}"
    yield f"- Training: {_training(each)}"
    if (defects := folder(each) / "defects.md").is_file():
        path = defects.relative_to(ROOT).as_posix()
        yield f"- Known defects of the paper and the code, with the switches for them: [{path}](../{path})"


def _modes(each: Generator) -> Iterator[str]:
    yield "| mode | what it does | networks |"
    yield "|---|---|---|"
    for name, mode in each.modes.items():
        networks = ", ".join(f"`{network}`" for network in mode.networks)
        yield markdown_row((f"`{name}`", mode.meaning, networks))


def _options(each: Generator) -> Iterator[str]:
    yield f"- Default mode: {_default(each)}."
    if each.mode_variants:
        yield f"- A mode can also be given as a variant: `{each.name}@{list(each.modes)[-1]}`."
    for option, choices in each.options.items():
        yield f"- Option `{option}`: {', '.join(f'`{choice}`' for choice in choices)}; the first is the default."
    if each.driven_by == "pictures":
        yield (
            "- Option `steady` (`no`, `yes`): whether the driver is [steadied](usage.md#steadied-drivers); the default"
            " depends on the weights."
        )
    if each.driven_by == "action units":
        yield "- Option `au_source`: source of the action units ([methods/au_sources.py](../methods/au_sources.py))."
    if each.landmarks:
        yield "- The template must show a face; dlib finds its 68 landmarks."


def _default(each: Generator) -> str:
    """Return the default mode in words.

    The mode depends on the weights if it needs a network that is trained in a later stage.
    """
    first, *_ = each.modes
    later = [network for network in each.modes[first].networks if network in each.later]
    if not later:
        return f"`{first}`"
    other = next(mode for mode, needs in each.modes.items() if not each.later.keys() & set(needs.networks))
    return f"`{first}` if the weights include a trained `{later[0]}`, otherwise `{other}`"


def _weights(each: Generator) -> str:
    known = [f"`{name}` ({weights.status}: {weights.note})" for name, weights in each.weights.items()]
    card = " See [demo_weights.md](demo_weights.md)." if DEMO in each.weights else ""
    return f"{'; '.join(known) or 'none'}.{card}"


def _published(each: Generator) -> str:
    if each.published is None:
        return f"read directly from `.megbench/weights/{each.name}@NAME.pth.tar` (or `.pth`)."
    required = " and ".join(f"`{name}`" for name in each.published.required)
    count = len(each.published.settings)
    layouts = "one layout" if count == 1 else f"{count} layouts"
    return f"`bench.py import {each.name} FILE` ({layouts}; the file must contain {required})."


def _training(each: Generator) -> str:
    if not each.training:
        return "none."
    path = (folder(each) / "published.yaml").relative_to(ROOT).as_posix()
    return f"`bench.py train {each.name}`; the published settings are in [{path}](../{path})."


def folder(each: Generator) -> Path:
    """Return the folder of a generator."""
    found = find_spec(each.training or each.model.partition(":")[0])
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent


if __name__ == "__main__":
    PAGE.write_text(page() + "\n", encoding="utf-8")
