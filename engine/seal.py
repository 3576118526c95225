"""The seal of a finished run: `manifest.json`, with the size and hash of every file in its folder.

It is written last and in a fixed form, so that a single altered bit is detected anywhere, even in the seal itself.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from megbench.core.files.cache import digest, read_json, write_text
from megbench.core.files.hashes import file_facts, hash_again, keep_known, unaltered
from megbench.engine.run_folder import MEDIA_FOLDER, MOTION_FOLDER, PAGES, PERTURBED, SHARED_PAGE, SPOTTING_LOG

MANIFEST = "manifest.json"
# The files that only the run itself creates. All others are regenerated from these or were added to the run later.
OWN_FILES = ("run.json", "scores.csv")
OWN_FOLDERS = ("cells", "inputs", "partials", PERTURBED)
# Folders that a run's command regenerates from the run's own files, as it does the pages.
PAGE_FOLDERS = (MOTION_FOLDER, MEDIA_FOLDER)


def seal(run: Path) -> None:
    """Write the manifest of a run that its command has just completed or repaired.

    Files that other commands added earlier (tables, experts' files) keep their entries if they still exist.
    """
    files = _files(run)
    added = {name: facts for name, facts in (_read(run) or {}).items() if not _made_by_run(name) and name in files}
    write_text(run / MANIFEST, _text({name: file_facts(run / name) for name in files} | added))
    keep_known()


def seal_again(run: Path, *made: str) -> list[str]:
    """Add to the manifest the files that were added to a finished run or regenerated from it.

    made: the files and folders that the caller has written, besides pages. All other files keep their entries, so that
    an altered cell or an altered prediction of a recogniser is not declared intact. A run without a manifest, or with
    an altered one, is left unchanged. Return the names of the files that other commands added and that have been
    altered since.
    """
    before = _read(run)
    if before is None:
        return []
    now = {name: file_facts(run / name) for name in _files(run)}
    own = {name: facts for name, facts in before.items() if _is_within(name, (*OWN_FILES, *OWN_FOLDERS))}
    remade = (*PAGES, SHARED_PAGE, SPOTTING_LOG, *PAGE_FOLDERS, *made)
    added = {
        name: facts
        for name, facts in before.items()
        if name in now and name not in own and not _is_within(name, remade)
    }
    write_text(run / MANIFEST, _text(now | added | own))
    keep_known()
    return sorted(name for name, facts in added.items() if facts != now[name])


def _is_within(name: str, places: Iterable[str]) -> bool:
    """Return whether a file is one of these files or is in one of these folders."""
    return any(name == place or name.startswith(f"{place}/") for place in places)


def sealed(run: Path) -> bool:
    """Return whether a run has an unaltered manifest and exactly the files that the manifest lists, each unchanged.

    A file is read only if its size, modification time or inode has changed (megbench.core.files.hashes).
    """
    files = _read(run)
    return files is not None and files.keys() == set(_files(run)) and unaltered(run, files)


def measured_digest(run: Path) -> str | None:
    """Return the hash of a sealed run's own frames, partial scores and table; None if the manifest was altered.

    Pages and files added later do not count, because regenerating them changes no score.
    """
    files = _read(run)
    own = {name: facts for name, facts in (files or {}).items() if _is_within(name, (*OWN_FILES, *OWN_FOLDERS))}
    return None if files is None else digest(own)


def page_as_sealed(run: Path) -> bool:
    """Return whether a run's page, summary and spotting log, and the clips beside the page, are as they were sealed."""
    files = _read(run) or {}
    page = [*PAGES, *(name for name in files if name == SPOTTING_LOG or name.startswith(f"{MEDIA_FOLDER}/"))]
    return all(name in files for name in page) and unaltered(run, {name: files[name] for name in page})


def _made_by_run(name: str) -> bool:
    return _is_within(name, (*OWN_FILES, *PAGES, SPOTTING_LOG, *OWN_FOLDERS, *PAGE_FOLDERS))


def faults(run: Path) -> list[str]:
    """Return the faults of a run's files, one line each; [] if every bit is as it was when the run was sealed.

    Every file is read, even if its hash is known.
    """
    files = _read(run)
    if files is None:
        why = "was altered" if (run / MANIFEST).exists() else "is missing: the run was not finished"
        return [f"{MANIFEST}: {why}. Run the same command again, then verify."]
    found = _files(run)
    lines = [f"{name}: missing" for name in files.keys() - set(found)]
    lines += [f"{name}: not part of the finished run" for name in found if name not in files]
    lines += [f"{name}: altered" for name in found if name in files and not _same(run / name, files[name])]
    keep_known()
    return sorted(lines)


def _same(path: Path, known: dict[str, Any]) -> bool:
    return path.stat().st_size == known["size"] and hash_again(path) == known["blake2b"]


def _read(run: Path) -> dict[str, Any] | None:
    """Return the manifest's facts about the files, or None if the manifest is missing or a bit of it was altered."""
    path = run / MANIFEST
    facts = read_json(path)
    files = facts.get("files") if isinstance(facts, dict) else None
    try:
        return files if isinstance(files, dict) and path.read_bytes() == _text(files).encode() else None
    except (TypeError, KeyError):
        return None


def _text(files: dict[str, Any]) -> str:
    """Return the canonical text of a manifest with these facts: a line for each file, sorted by name."""
    lines = (f"{json.dumps(name)}: {json.dumps(files[name], sort_keys=True)}" for name in sorted(files))
    return f'{{"digest": "{digest(files)}", "files": {{\n' + ",\n".join(lines) + "\n}}\n"


def _files(run: Path) -> list[str]:
    """Return the paths of a run's files, relative to its folder and sorted.

    The manifest is left out, and so are locks, temporary files and temporary folders, whose names begin with a dot.
    """
    found: list[str] = []
    for where, folders, files in os.walk(run):
        folders[:] = [name for name in folders if not name.startswith(".")]
        inside = os.path.relpath(where, run)
        start = "" if inside == "." else f"{inside}/"
        found += [f"{start}{name}" for name in files if not name.startswith(".")]
    return sorted(name for name in found if name != MANIFEST)
