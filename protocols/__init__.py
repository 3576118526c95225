"""The protocols that `--protocol` can name, each created as `Class(cache, ...)` with the folders that it requires.

The parameters of a class name the folders that users can supply for it: `drivers`, `templates`, `data`, `portraits`.
`face` selects a face if a driver shows several, and `workers` limits the number of rendering processes. Parameters
without a default are required.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path

from megbench.core.contracts import CellSource
from megbench.core.errors import BenchError

PROTOCOLS = {
    "demo": "megbench.protocols.demo:Demo",
    "demo_kit": "megbench.protocols.demo_kit:DemoKit",
    "megc2021": "megbench.protocols.megc2021:Megc2021",
    "megc2022": "megbench.protocols.megc2022:Megc2022",
    "self": "megbench.protocols.self_:Self",
    "folder": "megbench.protocols.folder:Folder",
}


def make(
    name: str,
    maker: Callable[..., CellSource],
    cache: Path,
    folders: Mapping[str, Path | None],
    face: str = "",
    workers: int = 0,
) -> CellSource:
    """Create the protocol with the user's folders and face. Raise BenchError if a folder is missing or not accepted.

    workers: the number of rendering processes, if the protocol has this parameter; 0 means one per processor.
    """
    parameters = dict(inspect.signature(maker).parameters)
    del parameters["cache"]
    renders = {"workers": workers} if parameters.pop("workers", None) else {}
    given: dict[str, Path | str] = {folder: path for folder, path in folders.items() if path is not None}
    given |= {"face": face} if face else {}
    for folder in given:
        if folder not in parameters:
            known = ", ".join(f"--{parameter}" for parameter in parameters) or "no folders"
            raise BenchError(f"Protocol {name!r} takes no --{folder}. Leave it out; this protocol takes {known}.")
    for folder, parameter in parameters.items():
        if folder not in given and parameter.default is parameter.empty:
            raise BenchError(f"Protocol {name!r} needs --{folder} FOLDER.")
    return maker(cache=cache, **given, **renders)
