"""Descriptors are correct: the modules they name exist, their switches are accepted, and the page matches them."""

import re
from typing import get_args

import pytest

from megbench.baselines import GENERATORS
from megbench.commands.generators_page import PAGE, folder, page
from megbench.core.config import build, merge, parse_set, read_overlay, resolve
from megbench.core.errors import BenchError
from megbench.core.generator import (
    DEMO_MARK,
    KIND,
    Generator,
    Mode,
    Status,
    Weights,
    descriptors,
    generators,
    networks_at,
)
from megbench.core.registry import load
from megbench.methods import DRIVEN_BY, METHODS, make_method
from megbench.methods.cards import demo_weights, status_marks
from megbench.methods.generator import DISPLACED, GeneratorMethod
from megbench.training import TRAINABLES
from megbench.training.plan import Plan
from megbench.training.prepared import StoreSettings

KNOWN = descriptors(GENERATORS)
CITATIONS = PAGE.with_name("citations.bib")


def test_the_page_is_what_the_descriptors_say():
    assert PAGE.read_text(encoding="utf-8") == page() + "\n", "run python -m megbench.commands.generators_page"


@pytest.mark.parametrize("name", KNOWN)
def test_a_descriptor_names_what_exists(name):
    each = KNOWN[name]
    model, kind = networks_at(each.model)
    for needed in ("networks", "animator", *(["detector"] if each.driven_by == "pictures" else [])):
        assert callable(getattr(model, needed)), needed
    assert not each.settings_of or callable(getattr(model, each.settings_of))
    assert type(build(kind, {}, "")) is kind
    assert resolve(load("trainable", name, TRAINABLES)).model == kind()
    assert f"{{{each.paper}," in CITATIONS.read_text()
    assert {f"{each.name}.safetensors"} == {demo_weights(name).name for _ in each.weights}
    assert demo_weights(name).is_file()
    assert (folder(each) / "defects.md").is_file()
    assert (folder(each) / "published.yaml").is_file()


PLACES = {each.model: name for name, each in KNOWN.items()} | {place: name for name, place in DISPLACED.items()}


@pytest.mark.parametrize("place", PLACES)
def test_networks_of_modes_and_layouts_are_those_of_the_model(place):
    import torch

    each = KNOWN[PLACES[place]]
    model, kind = networks_at(place)
    with torch.device("meta"):
        made = set(model.networks(kind()))
    later = set(each.later)
    for mode in each.modes.values():
        assert set(mode.networks) <= made
    assert later <= made
    assert each.published is None or set(each.published.required) <= made - later


@pytest.mark.parametrize("name", KNOWN)
def test_a_method_is_made_with_every_mode_and_option_of_its_descriptor(name):
    each = KNOWN[name]
    for mode in each.modes:
        made = make_method(name)("untrained", {"mode": mode})
        assert isinstance(made, GeneratorMethod)
        assert (made.name, made.mode, made.is_control) == (name, mode, True)
    for option, choices in each.options.items():
        for choice in choices:
            assert make_method(name)("", {option: choice}).options[option] == choice
        assert make_method(name)("", {}).options[option] == choices[0]


SWITCH = re.compile(r"`([\w.]+)=([^`]+)`")


@pytest.mark.parametrize("name", KNOWN)
def test_every_switch_of_the_known_defects_is_taken(name):
    each = KNOWN[name]
    lines = [line for line in (folder(each) / "defects.md").read_text().splitlines() if line.startswith("| ")][1:]
    assert lines
    recipe = load("trainable", name, TRAINABLES)
    found = 0
    for line in lines:
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        assert len(cells) == 4, line
        switches = SWITCH.findall(cells[3])
        assert switches or "`" not in cells[3] or cells[3].startswith("`model."), line
        for key, value in switches:
            found += 1
            if key.startswith("model."):
                resolve(recipe, [parse_set(f"{key}={value}")])
            elif key.startswith("data.prepared."):
                resolve(StoreSettings, [parse_set(f"{key.removeprefix('data.')}={value}")])
            elif key.startswith("data."):
                from megbench.taught.rendered import RenderedSettings

                resolve(RenderedSettings, [parse_set(f"{key.removeprefix('data.')}={value}")])
            else:
                make_method(name)("untrained", {key: value})
    assert found


@pytest.mark.parametrize("name", KNOWN)
def test_published_settings_are_taken_by_the_recipe(name):
    settings = read_overlay(folder(KNOWN[name]) / "published.yaml")
    assert resolve(Plan, [settings.pop("plan")]).stages
    settings.pop("data", None)
    resolve(load("trainable", name, TRAINABLES), [merge({}, settings)])


@pytest.mark.parametrize("name", KNOWN)
def test_networks_and_landmarks_are_in_the_keys_of_those_that_use_them(name):
    each = KNOWN[name]
    identity = make_method(name)("", {}).identity()
    assert identity["networks"][each.model]["code"]
    assert (identity["landmarks"] is not None) == each.landmarks
    displaced = [place for place in identity["networks"] if place.startswith("megbench.taught.")]
    assert displaced == ([DISPLACED[name]] if name in DISPLACED else [])


def test_tables_of_methods_and_ways_of_driving_are_whole():
    assert list(METHODS)[: len(KNOWN)] == list(KNOWN)
    assert {each.driven_by for each in KNOWN.values()} == set(DRIVEN_BY)


@pytest.mark.parametrize("status", get_args(Status))
def test_weights_are_marked_by_their_status(status):
    marks = status_marks(Weights(status, "narrower layers"))
    assert set(marks) == {"published": set(), "reproducing": {"reproducing"}}.get(status, {DEMO_MARK})
    assert all("narrower layers" in sentence for sentence in marks.values())
    assert ("architecture differs" in str(marks)) == (status == "demo with another architecture")


WRONG = {
    "another name": Generator("other", "T", "p", "MIT", "pictures", {"a": Mode("m", ("n",))}, "x:Y"),
    "no modes": Generator("mine", "T", "p", "MIT", "pictures", {}, "x:Y"),
    "a class": GeneratorMethod,
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_not_a_descriptor_is_refused_in_one_line(what, monkeypatch, capsys):
    monkeypatch.setattr("megbench.core.generator.load", lambda kind, name, table: WRONG[what])
    monkeypatch.setattr("megbench.core.generator.names", lambda kind, table: ["mine"] if kind == KIND else [])
    with pytest.raises(BenchError, match=r"The generator mine must be a megbench.Generator") as error:
        descriptors({"mine": "mine.generator:GENERATOR"})
    assert "\n" not in str(error.value)
    assert generators({}) == {}, "a broken plug-in stops no other"
    assert str(error.value) in capsys.readouterr().err
