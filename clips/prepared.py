"""Convert the clips of a clip store to the form in which protocols pass drivers to methods."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from megbench.core.clip import Clip, load_clip, save_clip
from megbench.core.files.cache import digest, touch, whole_folder
from megbench.core.prepared_clips import ClipStore, StoredClip, three_channels


def stored_clips(folder: Path, cache: Path) -> list[Clip]:
    """Return the clips of a clip store as drivers, and keep them in `cache` like all other clips."""
    store = ClipStore(folder)
    return [_as_clip(store, stored, cache) for stored in store.clips]


def _as_clip(store: ClipStore, stored: StoredClip, cache: Path) -> Clip:
    folder = cache / digest(["clip-store", stored.model_dump()])
    clip = load_clip(folder)
    if clip is None:
        frames = three_channels(store.frames(stored))
        names = {field.name for field in dataclasses.fields(Clip)} & set(StoredClip.model_fields)
        facts = {name: getattr(stored, name) for name in names}
        with whole_folder(folder, load_clip) as temporary:
            clip = save_clip(temporary, Clip(folder=temporary, content="", **facts), frames)
        clip = dataclasses.replace(clip, folder=folder)
    touch(folder)
    return clip
