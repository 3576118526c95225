"""`bench.py list`: what there is."""

from __future__ import annotations

import inspect
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
    """List what there is: methods, metrics, protocols, the clips of a protocol, or figures that papers report."""
    if what is Listed.reported:
        from megbench.reports.published import reported_table

        print(reported_table().text())
        return
    if what is Listed.clips:
        cells = make_protocol(protocol, folders(drivers, templates, data, portraits), face).cells()
        for clip in {cell.driver.name: cell.driver for cell in cells}.values():
            marks = "-".join(
                "?" if at is None else str(at) for at in (clip.onset_frame, clip.apex_frame, clip.offset_frame)
            )
            facts = f"{clip.n_frames} frames, onset-apex-offset {marks}, AUs {clip.action_units or 'not coded'}"
            print(f"{clip.name}: {clip.database}, {clip.emotion}, {clip.problem or facts}")
        return
    from megbench.core.registry import load, names
    from megbench.methods import METHODS
    from megbench.metrics import METRICS
    from megbench.protocols import PROTOCOLS

    table = {Listed.methods: METHODS, Listed.metrics: METRICS, Listed.protocols: PROTOCOLS}[what]
    kind = what.removesuffix("s")
    for name in names(kind, table):
        meaning = inspect.getdoc(load(kind, name, table)) or ""
        print(f"{name:18} {meaning.partition(chr(10))[0]}")
