"""The seal of a finished run: `manifest.json`, the size and hash of every file in its folder.

It is written last and in one fixed form, so that one altered bit anywhere, in the seal itself too, is found.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from core.store import digest, file_facts, read_json, write_text

MANIFEST = "manifest.json"


def seal(run: Path) -> None:
    """Write the manifest of a run as it is now."""
    facts = {path.relative_to(run).as_posix(): file_facts(path) for path in _files(run)}
    write_text(run / MANIFEST, _text(facts))


def sealed(run: Path) -> bool:
    """Whether the run has an unaltered manifest that no file of its top level is newer than."""
    newest = max((path.stat().st_mtime_ns for path in _files(run, top_only=True)), default=0)
    return _read(run) is not None and (run / MANIFEST).stat().st_mtime_ns >= newest


def faults(run: Path) -> list[str]:
    """What is wrong with a run's files, a line each; [] where every bit is as it was when the run was finished."""
    files = _read(run)
    if files is None:
        why = "was altered" if (run / MANIFEST).exists() else "is missing: the run was not finished"
        return [f"{MANIFEST}: {why}. Run the same command again, then verify."]
    found = {file.relative_to(run).as_posix(): file for file in _files(run)}
    lines = [f"{name}: missing" for name in files if name not in found]
    lines += [f"{name}: not part of the finished run" for name in found if name not in files]
    lines += [f"{name}: altered" for name, file in found.items() if name in files and file_facts(file) != files[name]]
    return sorted(lines)


def _read(run: Path) -> dict[str, Any] | None:
    """What the manifest says of the files, None if it is missing or not the same in every bit."""
    path = run / MANIFEST
    facts = read_json(path)
    files = facts.get("files") if isinstance(facts, dict) else None
    return files if isinstance(files, dict) and path.read_bytes() == _text(files).encode() else None


def _text(files: dict[str, Any]) -> str:
    return json.dumps({"digest": digest(files), "files": files}, indent=0, sort_keys=True) + "\n"


def _files(run: Path, top_only: bool = False) -> list[Path]:
    """The run's files by name, without the manifest, the lock and temporary files, which begin with a dot."""
    found = run.glob("*") if top_only else run.rglob("*")
    own = (path for path in found if path.is_file() and path.name != MANIFEST)
    return sorted(path for path in own if not any(part.startswith(".") for part in path.relative_to(run).parts))
