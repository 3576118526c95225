"""A known file is not read again unless its size, modification time or inode has changed."""

import os
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from megbench.core.files import hashes, memo
from megbench.core.files.hashes import (
    TICK_NS,
    bytes_facts,
    file_facts,
    file_hash,
    hash_again,
    hash_anew,
    keep_known,
    remember,
    unaltered,
)
from megbench.core.files.memo import Memo
from tests.fakes import flipped

LONG_AGO = 1_700_000_000_123_456_789


@pytest.fixture
def read(tmp_path, monkeypatch):
    """Put the store into a separate folder; yield a list that collects the names of the files that are read."""
    found = []

    def reading(path):
        found.append(path.name)
        return hash_anew(path)

    monkeypatch.setattr(memo, "STORE", tmp_path / "store")
    (tmp_path / "store").mkdir()
    monkeypatch.setattr(hashes, "hash_anew", reading)
    yield found
    memo._memo.cache_clear()


def another_process():
    """Save what this process knows and clear it from memory; as in a new process, only saved values are known."""
    keep_known()
    memo._memo.cache_clear()


def made(path, data=b"one", when=LONG_AGO):
    path.write_bytes(data)
    os.utime(path, ns=(when, when))
    return path


def test_a_known_file_is_not_read_again_by_any_process(tmp_path, read):
    path = made(tmp_path / "a")
    assert file_hash(path) == file_hash(path) == bytes_facts(b"one")["blake2b"]
    another_process()
    assert file_facts(path) == bytes_facts(b"one")
    os.link(path, tmp_path / "linked")
    assert file_hash(tmp_path / "linked") == file_hash(path)
    assert read == ["a", "linked"], "a second name changes what is known of the file, once"


def test_another_size_time_or_inode_is_read_again(tmp_path, read):
    path = made(tmp_path / "a")
    first = file_hash(path)
    made(path, b"four")
    assert file_hash(path) != first
    made(path, b"two", LONG_AGO + 1)
    assert file_hash(path) != first
    made(tmp_path / "b", b"six")
    os.replace(tmp_path / "b", path)
    assert file_hash(path) != first
    assert len(read) == 4


def test_a_file_replaced_under_its_old_time_is_read_again(tmp_path, read):
    path = made(tmp_path / "a")
    first = file_hash(path)
    path.unlink()
    assert file_hash(made(path, b"two")) != first
    first = file_hash(path)
    made(path, b"six")
    assert file_hash(path) != first


def test_a_linked_file_that_keeps_all_three_is_found_by_reading_alone(tmp_path, read):
    """This limit also applies to git and make. `verify` reads every file, and its findings are known from then on."""
    path = made(tmp_path / "a")
    os.link(path, tmp_path / "linked")
    first = file_hash(path)
    made(path, b"two")
    assert file_hash(path) == first != hash_anew(path)
    assert hash_again(path) == file_hash(path) == bytes_facts(b"two")["blake2b"]


@pytest.mark.parametrize(("age", "times"), [(TICK_NS // 2, 2), (3 * TICK_NS, 1)])
def test_what_was_modified_a_moment_ago_is_read_again(tmp_path, read, monkeypatch, age, times):
    path = made(tmp_path / "a")
    monkeypatch.setattr(hashes.time, "time_ns", lambda: LONG_AGO + age)
    assert file_hash(path) == file_hash(path)
    assert len(read) == times


def test_whole_seconds_are_trusted_after_two_of_them(tmp_path, read, monkeypatch):
    path = made(tmp_path / "a", when=LONG_AGO // 10**9 * 10**9)
    monkeypatch.setattr(hashes.time, "time_ns", lambda: LONG_AGO + 10**9)
    assert file_hash(path) == file_hash(path)
    assert len(read) == 2


def test_what_one_has_written_is_known_without_reading(tmp_path, read):
    made(tmp_path / "a")
    remember(tmp_path, {"a": bytes_facts(b"one")})
    another_process()
    assert unaltered(tmp_path, {"a": bytes_facts(b"one")})
    os.link(tmp_path / "a", tmp_path / "linked")
    assert unaltered(tmp_path, {"a": bytes_facts(b"one"), "linked": bytes_facts(b"one")})
    assert read == []
    assert not unaltered(tmp_path, {"a": bytes_facts(b"two")})
    assert not unaltered(tmp_path, {"a": bytes_facts(b"one"), "gone": bytes_facts(b"one")})


def test_without_a_store_nothing_is_kept_and_nothing_fails(tmp_path, read, monkeypatch):
    monkeypatch.setattr(memo, "STORE", tmp_path / "gone")
    path = made(tmp_path / "a")
    file_hash(path)
    another_process()
    file_hash(path)
    assert len(read) == 2
    assert not (tmp_path / "gone").exists()


VALUES = st.dictionaries(st.text(), st.integers() | st.text() | st.lists(st.text()), max_size=5)


@given(st.lists(st.tuples(st.booleans(), VALUES), max_size=6))
def test_processes_that_share_a_log_find_what_any_has_saved(tmp_path_factory, batches):
    path = tmp_path_factory.mktemp("store") / "log"
    one, two = Memo(path), Memo(path)
    whole = {}
    for first, batch in batches:
        for key, value in batch.items():
            (one if first else two).put(key, value)
        (one if first else two).save()
        whole |= batch
    assert {key: Memo(path).get(key) for key in whole} == whole


def test_a_damaged_log_loses_values_and_changes_none(tmp_path):
    path, values = tmp_path / "log", {f"key {number}": f"value {number}" for number in range(6)}
    for key, value in values.items():
        log = Memo(path)
        log.put(key, value)
        log.save()
    whole = path.read_bytes()
    rng = random.Random(2)
    for at in rng.sample(range(8 * len(whole)), 200):
        path.write_bytes(flipped(whole, at))
        found = Memo(path)
        lost = [key for key, value in values.items() if found.get(key) != value]
        assert len(lost) <= 2, at
        assert all(found.get(key) is None for key in lost), at
    for end in range(0, len(whole), 7):
        path.write_bytes(whole[:end])  # a process was killed while writing; the next one carries on
        log = Memo(path)
        log.put("next", 1)
        log.save()
        assert Memo(path).get("next") == 1
        assert all(Memo(path).get(key) in (None, value) for key, value in values.items())


def test_a_log_that_has_grown_too_long_is_begun_anew(tmp_path, monkeypatch):
    monkeypatch.setattr(memo, "MOST_BYTES", 200)
    log, other = Memo(tmp_path / "log"), Memo(tmp_path / "log")
    for number in range(40):
        log.put(str(number), number)
        log.save()
        assert other.get(str(number)) == number
    assert (tmp_path / "log").stat().st_size < 300
