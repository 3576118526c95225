"""Return the clip stores that an option names. A raw database may be named, too; it is prepared first."""

from __future__ import annotations

from pathlib import Path

from megbench.core.errors import BenchError, check_choice
from megbench.core.files.folder_lock import CLIP_STORE, is_unfinished
from megbench.core.files.working_folder import STORE


def clip_stores(text: str, option: str, instead: str = "") -> dict[str, Path]:
    """Return the clip stores named by `text`, NAME=PATH[,NAME=PATH], by database; a raw database is prepared first.

    option, instead: text for messages, such as "--clips" and "demo or ". Raise BenchError if `text` does not have this
    form, if a store contains another database, or if a database is named twice.
    """
    pairs = [item.partition("=")[::2] for item in text.split(",")]
    if not all(database and path for database, path in pairs):
        raise BenchError(f"{option} {text!r} must be {instead}NAME=PATH[,NAME=PATH], such as samm=/data/SAMM.")
    named = [(database.strip(), Path(path.strip())) for database, path in pairs]
    names = [database for database, _ in named]
    if twice := {name for name in names if names.count(name) > 1}:
        raise BenchError(f"{option} {text!r} names {min(twice)} twice. Name each database only once.")
    return {database: _store(database, path, option) for database, path in named}


def _store(database: str, path: Path, option: str) -> Path:
    """Return a database's clip store: `path` if that is a store, otherwise one prepared from the database in `path`."""
    from megbench.core.files.cache import digest
    from megbench.core.prepared_clips import ClipStore, is_store

    if is_store(path):
        found = ClipStore(path).facts.database
        if database != found:
            raise BenchError(f"{option} {database}={path}: the store there contains {found}. Write {found}={path}.")
        return path
    if is_unfinished(path, CLIP_STORE):
        raise BenchError(
            f"{option} {database}={path}: the clip store there is not finished. Run the same `prepare {database}`"
            " command again; it keeps the finished clips."
        )
    from megbench.clips.databases import DATABASES
    from megbench.commands.databases import prepared, survey

    check_choice("database", database, DATABASES)
    if not path.exists() and database != "table":  # for a table's path, `survey` suggests the nearest name
        raise BenchError(
            f"{option} {database}={path}: there is no such folder. Pass an unpacked database or a store that `prepare`"
            " has made of it."
        )
    out = STORE / "prepared" / f"{database}-{digest(str(path.resolve()))[:10]}"
    prepared(survey(database, path), out)
    return out
