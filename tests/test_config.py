"""Configs: overlays change defaults, types must be exact, and unknown keys are refused."""

import datetime
import math
import re
from dataclasses import dataclass
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from megbench.core.config import as_dict, build, merge, parse_set, read_overlay, resolve
from megbench.core.errors import BenchError


@dataclass(frozen=True)
class Inner:
    width: int = 3
    rate: float = 0.5


@dataclass(frozen=True)
class Outer:
    kind: Literal["code", "paper"] = "code"
    inner: Inner = Inner(width=7)
    steps: tuple[int, ...] = (1, 2)
    limit: int | None = None
    parts: dict[str, int] | None = None
    named: dict[str, Inner] | None = None
    pair: tuple[Inner, ...] = ()
    orders: tuple[Literal["first", "last"], ...] = ()


def test_defaults_and_nested_defaults_stay():
    assert resolve(Outer) == Outer()
    assert resolve(Outer, [{"inner": {"rate": 1}}]).inner == Inner(width=7, rate=1.0)


def test_later_overlays_and_sets_win():
    found = resolve(Outer, [{"limit": 1, "kind": "paper"}, {"limit": 2}], ["inner.width=9", "steps=[4, 5]"])
    assert found == Outer("paper", Inner(9, 0.5), (4, 5), 2)


@pytest.mark.parametrize(
    ("overlay", "said"),
    [
        ({"iner": {}}, "Did you mean 'inner'?"),
        ({"inner": {"widht": 1}}, "Did you mean 'width'?"),
        ({"inner": {"width": 1.5}}, "inner.width must be a valid integer"),
        ({"inner": {"width": True}}, "inner.width must be a valid integer"),
        ({"inner": {"width": "1"}}, "inner.width must be a valid integer"),
        ({"inner": 3}, "inner must be a mapping"),
        ({"steps": 3}, "steps must be a list"),
        ({"kind": "papper"}, "Did you mean 'paper'?"),
        ({"inner": {"rate": "fast"}}, "inner.rate must be a valid number"),
        ({"inner": {"rate": True}}, "inner.rate must be a valid number"),
        ({"inner": {"rate": 10**400}}, "inner.rate must be a finite number"),
        ({"inner": {"rate": math.nan}}, "inner.rate must be a finite number"),
        ({"inner": None}, "inner must be a mapping"),
        ({"steps": [1, "a"]}, "steps.1 must be a valid integer, got 'a'"),
        ({"parts": {"a": "b"}}, "parts.a must be a valid integer"),
        ({"named": {"a": {"widht": 1}}}, "Unknown setting in named.a: 'widht'. Did you mean 'width'?"),
        ({"pair": [{"width": 1}, {"a.b": 1}]}, "Unknown setting in pair.1: 'a.b'. Choices: rate, width"),
        ({"orders": ["lats"]}, "Unknown choice for orders.0: 'lats'. Did you mean 'last'?"),
        ({datetime.date(2026, 1, 1): 1}, "Unknown setting in the config: '2026-01-01'"),
    ],
)
def test_wrong_settings_are_named(overlay, said):
    with pytest.raises(BenchError, match=re.escape(said)):
        resolve(Outer, [overlay])
    with pytest.raises(BenchError, match=r"(in|for|Setting) model[.:]"):
        build(Outer, overlay, "model")


@pytest.mark.parametrize(("text", "number"), [("1e-4", 1e-4), ("1.5e3", 1500.0), (".5E+1", 5.0), ("-2e2", -200.0)])
def test_numbers_that_yaml_reads_as_text(text, number):
    assert resolve(Outer, sets=[f"inner.rate={text}"]).inner.rate == number


@pytest.mark.parametrize("text", ["e5", "1e", "1e5e", "x1e5"])
def test_other_texts_stay_texts(text):
    assert parse_set(f"a={text}") == {"a": text}


@pytest.mark.parametrize("item", ["inner.width", "=3", "a..b=1"])
def test_malformed_override(item):
    with pytest.raises(BenchError, match="KEY=VALUE"):
        parse_set(item)


@pytest.mark.parametrize("text", ["a: &x [1]\nb: *x", "- 1\n- 2", "a: [", "!!python/object:os.system {}"])
def test_hostile_or_broken_yaml(tmp_path, text):
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(BenchError, match=r"bad\.yaml"):
        read_overlay(path)


def test_missing_overlay_names_its_neighbours(tmp_path):
    (tmp_path / "demo_fomm.yaml").write_text("a: 1")
    with pytest.raises(BenchError, match=r"demo_fomm\.yaml"):
        read_overlay(tmp_path / "demo_fom.yaml")


keys = st.sampled_from("abc")
trees = st.recursive(st.integers(), lambda kids: st.dictionaries(keys, kids, max_size=3), max_leaves=8)


@given(st.dictionaries(keys, trees), st.dictionaries(keys, trees))
def test_merge_laws(below, above):
    assert merge(below, {}) == below
    assert merge({}, above) == above
    assert merge(merge(below, above), above) == merge(below, above)


@given(st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.lists(st.integers()))
def test_a_resolved_config_resolves_to_itself(width, rate, steps):
    config = Outer(inner=Inner(width, rate), steps=tuple(steps))
    assert build(Outer, as_dict(config), "") == config


def test_an_overlay_that_is_no_text_is_an_error(tmp_path):
    (tmp_path / "a.yaml").write_bytes(b"kind: \xff\xfe")
    with pytest.raises(BenchError, match="cannot be read as UTF-8"):
        read_overlay(tmp_path / "a.yaml")
