"""The store's entries are complete or absent, checked when read, shared through links, and trimmed by last use."""

import os
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from megbench.core.files.cache import (
    CellRecord,
    digest,
    entries,
    link_folder,
    read_cell,
    remove,
    save_cell,
    save_failure,
    trim,
    whole_folder,
)
from megbench.core.frames import content_hash, read_frames

FRAMES = np.random.default_rng(0).integers(0, 256, (2, 256, 256, 3), dtype=np.uint8)
JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda c: st.dictionaries(st.text(), c))


@given(JSON)
def test_equal_values_have_equal_keys_whatever_their_order(value):
    backwards = dict(reversed(value.items())) if isinstance(value, dict) else value
    assert digest(value) == digest(backwards)
    assert digest([value]) != digest([value, None])


def test_a_cell_comes_back_as_it_was_saved(tmp_path):
    saved = save_cell(tmp_path / "c", "key", FRAMES, 1.5)
    assert read_cell(tmp_path / "c", "key") == saved
    assert saved.content == content_hash(read_frames(tmp_path / "c" / "frames", 2))
    assert read_cell(tmp_path / "c", "another key") is None
    assert read_cell(tmp_path / "nowhere", "key") is None


@pytest.mark.parametrize("damage", ["altered", "cut", "missing", "marker"])
def test_a_damaged_cell_does_not_count(tmp_path, damage):
    save_cell(tmp_path / "c", "key", FRAMES, 1.5)
    picture = tmp_path / "c" / "frames" / "00001.png"
    data = bytearray(picture.read_bytes())
    if damage == "altered":
        data[-20] ^= 1
        picture.write_bytes(data)
    elif damage == "cut":
        picture.write_bytes(data[:-1])
    elif damage == "missing":
        picture.unlink()
    else:
        (tmp_path / "c" / "cell.json").write_text('{"key": "key"')
    assert read_cell(tmp_path / "c", "key") is None


def test_a_failure_is_kept_with_its_reason(tmp_path):
    failure = CellRecord("key", "failed", "no face in driver")
    save_failure(tmp_path / "c", failure)
    assert read_cell(tmp_path / "c", "key") == failure


def test_a_folder_that_is_not_finished_never_appears(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "old").touch()

    def interrupted():
        with whole_folder(tmp_path / "a") as folder:
            (folder / "new").touch()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert [path.name for path in tmp_path.rglob("*")] == ["a", "old"]


@pytest.mark.parametrize("links", [True, False])
def test_links_share_bytes_and_copies_stand_in_for_them(tmp_path, monkeypatch, links):
    saved = save_cell(tmp_path / "store" / "c", "key", FRAMES, 1.5)
    if not links:
        monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(OSError("no links here")))
    link_folder(tmp_path / "store" / "c", tmp_path / "run")
    assert read_cell(tmp_path / "run", "key") == saved
    assert os.path.samefile(tmp_path / "store/c/frames/00000.png", tmp_path / "run/frames/00000.png") == links


def test_entries_count_what_deleting_frees(tmp_path):
    save_cell(tmp_path / "cells" / "held", "key", FRAMES, 1.5)
    save_cell(tmp_path / "cells" / "free", "key", FRAMES, 1.5)
    link_folder(tmp_path / "cells" / "held", tmp_path / "run")
    found = {entry.path.name: entry for entry in entries(tmp_path)}
    assert found["held"].freed == 0
    assert found["free"].freed == found["free"].size > 2 * 256 * 256
    remove(found["held"])
    assert not (tmp_path / "cells" / "held").exists()
    assert read_cell(tmp_path / "run", "key") is not None
    assert entries(tmp_path / "nowhere") == []


def test_trimming_takes_the_longest_unused_and_nothing_used_today(tmp_path):
    for age, name in ((3, "old"), (2, "less_old"), (0, "new")):
        save_cell(tmp_path / "cells" / name, "key", FRAMES, 1.5)
        then = time.time() - age * 24 * 3600 - 60
        if age:
            os.utime(tmp_path / "cells" / name, (then, then))
    size = entries(tmp_path)[0].size
    assert trim(tmp_path, cap_bytes=3 * size) == 0
    assert trim(tmp_path, cap_bytes=2 * size) == size
    assert sorted(path.name for path in (tmp_path / "cells").iterdir()) == ["less_old", "new"]
    assert trim(tmp_path, cap_bytes=0) == size
    assert [path.name for path in (tmp_path / "cells").iterdir()] == ["new"]


def test_the_users_own_weights_and_trainings_are_no_entries(tmp_path):
    for kept in ("weights/fomm@mine.safetensors", "training/demo_fomm/last.pt"):
        (tmp_path / kept).parent.mkdir(parents=True)
        (tmp_path / kept).write_bytes(b"weeks of work")
    save_cell(tmp_path / "cells" / "c", "key", FRAMES, 1.5)
    assert [entry.path.name for entry in entries(tmp_path)] == ["c"]
