"""`bench.py list`: available methods, metrics, protocols, clips and published figures."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterator
from enum import StrEnum

from megbench.commands.options import (
    DataOption,
    DriversOption,
    FaceOption,
    PortraitsOption,
    ProtocolOption,
    TemplatesOption,
    folders,
)
from megbench.commands.request import make_protocol
from megbench.core.errors import plural
from megbench.core.generator import Generator, Status

# For each status of supplied weights, what the listing says about it.
STATUSES: dict[Status, str] = {
    "published": "the published model",
    "reproducing": "trained here to reproduce the published model",
    "demo": "trained briefly here, with sizes other than those of the published model",
    "demo with another architecture": "trained briefly here, and not the published network",
}
UNDESCRIBED = "(no description: give the class a docstring)"


class Listed(StrEnum):
    """What `list` can show."""

    methods = "methods"
    metrics = "metrics"
    protocols = "protocols"
    clips = "clips"
    reported = "reported"


def list_(
    what: Listed,
    protocol: ProtocolOption = "demo",
    drivers: DriversOption = None,
    templates: TemplatesOption = None,
    data: DataOption = None,
    portraits: PortraitsOption = None,
    face: FaceOption = "",
) -> None:
    """List methods, metrics, protocols, the clips of a protocol, or figures that papers report."""
    if what is Listed.reported:
        from megbench.reports.published import reported_table

        print(reported_table().text())
        return
    if what is Listed.clips:
        cells = make_protocol(protocol, folders(drivers, templates, data, portraits), face).cells()
        for clip in {cell.driver.name: cell.driver for cell in cells}.values():
            coded = (clip.onset_frame, clip.apex_frame, clip.offset_frame)
            known = any(at is not None for at in coded)
            marks = "-".join("?" if at is None else str(at) for at in coded) if known else "not coded"
            frames = plural(clip.n_frames, "frame")
            facts = f"{frames}, onset-apex-offset {marks}, AUs {clip.action_units or 'not coded'}"
            print(f"{clip.name}: {clip.database}, {clip.emotion}, {clip.problem or facts}")
        return
    rows = list(meanings(what))
    width = max(len(name) for name, _ in rows)
    for name, meaning in rows:
        print(f"{name:{width}} {meaning}")


def meanings(what: Listed) -> Iterator[tuple[str, str]]:
    """Yield the name and a description of each method, metric or protocol.

    The description comes from a generator's descriptor or from the first line of a docstring. Plug-ins whose names are
    already taken come last.
    """
    from megbench.core.errors import BenchError
    from megbench.core.registry import ignored, load, names
    from megbench.methods import find_method, ignored_methods, method_names
    from megbench.metrics import METRICS
    from megbench.protocols import PROTOCOLS

    if what is Listed.methods:
        listed, find, others = method_names(), find_method, ignored_methods()
    else:
        table = METRICS if what is Listed.metrics else PROTOCOLS
        kind = what.removesuffix("s")
        listed, find, others = names(kind, table), functools.partial(load, kind, table=table), ignored(kind, table)
    for name in listed:
        try:
            found = find(name)
        except BenchError as error:  # a broken plug-in; the others are still listed
            yield name, str(error)
            continue
        text = in_a_line(found) if isinstance(found, Generator) else (inspect.getdoc(found) or "").partition("\n")[0]
        yield name, text or UNDESCRIBED
    yield from others


def in_a_line(generator: Generator) -> str:
    """Describe a generator in one line: its title, what it is driven by, its modes, and the weights supplied."""
    known = [f"{name} ({STATUSES[each.status]})" for name, each in generator.weights.items()]
    return (
        f"{generator.title}. Driven by {generator.driven_by}; modes {', '.join(generator.modes)};"
        f" weights supplied with the suite: {', '.join(known) or 'none'}."
    )
