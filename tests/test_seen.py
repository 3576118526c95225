"""docs/seen.md lists what faces/features.py offers: every name, type and shape, and nothing else."""

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest

from megbench.faces.action_units import UNITS
from megbench.faces.features import Seen, SeenClip
from megbench.faces.motion import FacialMotion
from megbench.faces.regions import GROUPS, REGIONS
from tests.moving_face import T, make_cell

PAGE = (Path(__file__).parent.parent / "docs" / "seen.md").read_text()
ROW = re.compile(r"^\| `(\w+)(?:\([\w, ]*\))?` \| ([^|]*) \|", re.MULTILINE)
SHAPE = re.compile(r"(\w+) (\([^)]*\))")


def rows(heading):
    """Return the names in the table under a heading, each with the text of the next column."""
    (section,) = [part for part in PAGE.split("\n## ") if part.startswith(heading)]
    return dict(ROW.findall(section))


CLIP, OWN, MOTION = rows("What each clip has"), rows("Features of your own"), rows("Facial motion")


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    cell = make_cell(folder)
    return Seen(cell, cell.truth.frames(), folder / "features")


def public(thing):
    return {name for name in dir(thing) if not name.startswith("_")}


def test_the_page_names_all_there_is_and_nothing_else(seen):
    assert set(rows("The clips of a cell")) == public(seen)
    assert CLIP.keys() | OWN.keys() == public(seen.output)
    assert not CLIP.keys() & OWN.keys()
    assert set(MOTION) == {field.name for field in dataclasses.fields(FacialMotion)}


def test_signatures_are_those_of_the_page():
    for name, arguments in re.findall(r"^\| `(\w+)\(([\w, ]*)\)`", PAGE, re.MULTILINE):
        code = getattr(SeenClip, name).__code__
        assert arguments.split(", ") == list(code.co_varnames[1 : code.co_argcount]), name


def test_types_and_shapes_are_those_of_the_page(seen):
    clip = seen.output
    found = {name: getattr(clip, name) for name in CLIP if not callable(getattr(clip, name))}
    found |= {"flow": clip.flow(3), "landmarks_at": clip.landmarks_at([2])[0]}
    found["flow_over"] = clip.flow_over(np.ones((256, 256), bool))(3)
    found |= {name: getattr(clip.motion, name) for name in MOTION}
    checked = 0
    for name, text in (CLIP | MOTION).items():
        if described := SHAPE.search(text):
            kind, shape = described.groups()
            assert (found[name].dtype.name, str(found[name].shape)) == (kind, shape.replace("T", str(T))), name
            checked += 1
        elif name != "motion":
            assert type(found[name]).__name__ == text, name
    assert checked == 13
    assert len(UNITS) == 15


def test_the_regions_are_those_of_the_page_in_their_order():
    listed = re.findall(r"^\| (\d+) \| `(\w+)` \| (\w+) \|", PAGE, re.MULTILINE)
    groups = {region: name for name, regions in GROUPS.items() for region in regions}
    assert listed == [(str(index), name, groups[index]) for index, name in enumerate(REGIONS)]
