"""What readers should know before they trust or share a page: its clips, its weights and the faces that it shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from megbench.core.errors import few
from megbench.core.generator import DEMO_MARK
from megbench.reports.softness import soft_templates

if TYPE_CHECKING:
    from megbench.reports.run_files import FinishedRun

RENDERED = (
    "Rendered clips.",
    "Drivers, templates and truths are morphs of public-domain portraits, moved by an authored model of facial action"
    " units and recorded by a simulated camera. Unlike in real databases, their motion and the correct output of every"
    " cell are known exactly. Because the clips are not recordings of people, they show whether a method transfers"
    " small facial motion to another face, but not how it performs on real micro-expressions. To find that out, run a"
    " protocol on recordings.",
)
DEMO_WEIGHTS = (
    "These are small networks, trained briefly on rendered faces so that the complete suite can be tried at once. They"
    " are not the published models, and their ranking here says nothing about how the published models would rank. The"
    " model cards state how the small networks were trained."
)
SEEN = (
    "Trained on clips of this run.",
    "A row with this mark was trained on some of the drivers on which it is scored, or on other clips of the people in"
    " them. Its scores on these drivers reflect what it remembers as well as what it can do. For a fair comparison,"
    " train it without these clips.",
)
SEVERAL_FACES = "Drivers that show several faces."
# The largest number of drivers that a note names; the others are only counted.
MOST_NAMED = 5


def caveats(run: FinishedRun) -> list[tuple[str, str]]:
    """Return notes on the clips, weights and files of this run, each with a title and text."""
    texts = []
    if any(cell.rendered for cell in run.facts.cells):
        title, text = RENDERED
        texts.append((title, f"{run.facts.protocol.description} {text}".strip()))
    demo = [method.label for method in run.methods if DEMO_MARK in method.marks]
    if demo:
        texts.append((f"Demo weights ({', '.join(demo)}).", DEMO_WEIGHTS))
    several = {cell.driver: cell.several_faces for cell in run.facts.cells if cell.several_faces}
    if several:
        named = [f"{driver}: {told}" for driver, told in several.items()][:MOST_NAMED]
        more = f"; and {len(several) - MOST_NAMED} more, each named with its cells" if len(several) > MOST_NAMED else ""
        text = f"{'; '.join(named)}{more}. Only the face named here is scored; --face chooses another one."
        texts.append((SEVERAL_FACES, text))
    media: dict[str, list[str]] = {}
    for driver, medium in {cell.driver: cell.medium for cell in run.facts.cells if cell.medium}.items():
        media.setdefault(medium, []).append(driver)
    texts += [
        (f"Drivers that are not exact ({few(drivers, MOST_NAMED)}).", f"Each is {medium}.")
        for medium, drivers in media.items()
    ]
    if soft := soft_templates(run):
        texts.append(("Soft templates.", soft))
    if any(method.seen_drivers or method.seen_people for method in run.facts.methods):
        texts.append(SEEN)
    texts += [
        (f"Not scored ({method.label}).", f"These files in its folder match no cell: {few(method.unused)}.")
        for method in run.methods
        if method.unused
    ]
    return texts


def faces_inside(run: FinishedRun) -> str:
    """Return whose faces, other than the suite's own, the page's clips show, or "" if there are none."""
    recorded = dict.fromkeys(cell.database for cell in run.facts.cells if not cell.rendered)
    shown = f"recordings from {', '.join(recorded)}" if recorded else ""
    given = run.facts.request.get("folders")
    own = isinstance(given, dict) and (given.get("templates") or given.get("portraits"))
    return " and ".join(filter(None, (shown, "portraits of your own" if own else "")))
