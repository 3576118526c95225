"""Features of current external programs: settings files, panels side by side, timestamps, rates and skipped frames."""

import json
import sys
from pathlib import Path

import filelock
import numpy as np
import pytest
import yaml

from megbench.core.clip import Template
from megbench.core.errors import BenchError, CellFailed
from megbench.core.frames import write_png
from megbench.methods import external
from megbench.methods.external import External
from megbench.methods.external_description import Description, read_description
from megbench.methods.external_output import frames_of
from tests.external_programs import (
    RESAMPLING,
    STAND_INS,
    animated,
    ready_made,
    write_program,
)
from tests.fakes import make_clips

COUNT = 12
ALL = list(range(COUNT))


@pytest.fixture
def described(tmp_path, monkeypatch):
    """Return a function that writes a stand-in and its description, with changes, and returns its name."""
    monkeypatch.chdir(tmp_path)

    def describe(name, **changes):
        checkout = tmp_path / "it's a: checkout" / name
        values = {"python": sys.executable, "gpu": False, "checkout": str(checkout)}
        values |= RESAMPLING if name == "resampling" else ready_made(name)
        values |= changes
        write_program(checkout, name, values["command"])
        for weights in values.get("weights", []):
            (checkout / weights).parent.mkdir(parents=True, exist_ok=True)
            (checkout / weights).write_bytes(b"weights")
        own = tmp_path / ".megbench" / "external"
        own.mkdir(parents=True, exist_ok=True)
        (own / f"{name}.yaml").write_text(yaml.safe_dump(values))
        return name

    return describe


@pytest.fixture(scope="module")
def cell(tmp_path_factory):
    clip = make_clips(tmp_path_factory.mktemp("one"), count=1, n_frames=COUNT)[0]
    return Template.of("t", "t", clip.frames()[0]), clip


def animate(name, cell):
    method = External(name, {})
    method.prepare("cpu")
    return method.animate(*cell)


# One program for each kind of output. In addition, MRAA is passed its size and ADMM is passed edges.
KINDS = {stand_in: name for name, stand_in in reversed(STAND_INS.items())}


@pytest.mark.parametrize("name", [*KINDS.values(), "mraa", "admm", "resampling"])
def test_a_program_is_handed_what_it_takes_and_its_result_is_taken(described, cell, name):
    np.testing.assert_array_equal(animate(described(name), cell), animated(cell[0].image, ALL))


def test_a_program_that_resamples_is_found_out(described, cell):
    name = described("resampling", driver_fps=24)
    with pytest.raises(
        CellFailed, match=r"made 4 frames, but the driver has 12 and was .* at 24 frames per second \(driver_fps\)"
    ):
        animate(name, cell)


def test_the_newest_that_this_run_wrote_is_taken_and_its_settings_are_no_code(described, cell, tmp_path, monkeypatch):
    name = described("fasterliveportrait", skipped="repeat")
    before = External(name, {}).identity()
    monkeypatch.setenv("FACELESS", "0 1")
    with pytest.raises(
        CellFailed, match=r"10 frames, but the driver has 12; at most 10% can be filled in \(skipped: repeat\)"
    ):
        animate(name, cell)
    monkeypatch.setenv("FACELESS", "11")
    frames = animate(name, cell)
    spread = [0, 1, 2, 3, 4, 4, 5, 6, 7, 8, 9, 10]  # it is unknown which frame is missing
    np.testing.assert_array_equal(frames, animated(cell[0].image, spread))
    assert External(name, {}).identity() == before
    assert "frames may repeat" in External(name, {}).marks
    program = Path(read_description(name).checkout) / "run.py"
    program.write_text("print('no time')")
    with pytest.raises(CellFailed, match=r"wrote no video that matches .* \(older matches: 2\)"):
        animate(name, cell)


def test_outputs_in_a_checkout_are_one_runs_at_a_time(described, cell, monkeypatch):
    name = described("fasterliveportrait")
    lock = filelock.FileLock(Path(read_description(name).checkout) / ".megbench.lock")

    def run(*_):
        with pytest.raises(filelock.Timeout):
            lock.acquire(timeout=0)
        raise CellFailed("enough")

    monkeypatch.setattr(external, "run", run)
    with pytest.raises(CellFailed, match="enough"):
        animate(name, cell)
    lock.acquire(timeout=0)
    lock.release()


def test_a_link_out_of_the_checkout_is_refused(described, cell, tmp_path):
    name = described("fasterliveportrait", found="{checkout}/results/*.mp4")
    (tmp_path / "elsewhere.mp4").write_bytes(b"")
    program = Path(read_description(name).checkout) / "run.py"
    program.write_text(
        f"import os\nos.mkdir('results')\nos.symlink({str(tmp_path / 'elsewhere.mp4')!r}, 'results/a.mp4')"
    )
    with pytest.raises(CellFailed, match="links that point outside its folder"):
        animate(name, cell)


VALUES = {"system": "Stand-in", "source": "this test", "licence": "MIT", "command": ("program",)}


def settings(tmp_path, config, **places):
    described = Description(**VALUES | {"command": ("program", "{config}")}, config=config)
    path = external._write_config(tmp_path, described, {"frames": "12", **places})
    return path.name, (json.loads if path.suffix == ".json" else yaml.safe_load)(path.read_text())


def test_settings_keep_what_they_say_whatever_stands_in_paths(tmp_path):
    odd = '/a: b/"c" # {d}/é'
    text = (
        'pairs: {{template}: [{driver}]}\nlength: {frames}\nname: run-{frames}\nrate: 1.5\nother: "{no_such_place}"\n'
    )
    name, read = settings(tmp_path, text, template=odd, driver="/d.mp4")
    assert name == "config.yaml"
    assert read == {
        **{"pairs": {odd: ["/d.mp4"]}, "length": 12, "name": "run-12", "rate": 1.5},
        "other": "{no_such_place}",
    }
    name, read = settings(tmp_path, '{"source": "{template}", "length": "{frames}"}', template=odd)
    assert (name, read) == ("config.json", {"source": odd, "length": 12})


def folder_of(tmp_path, numbers, width=256):
    """Write pictures with numbered names, whose brightness is their position; return their folder."""
    for place, number in enumerate(numbers):
        write_png(tmp_path / f"frame_{number:04d}.png", np.full((256, width, 3), place, np.uint8))
    return tmp_path


@pytest.mark.parametrize(
    ("numbers", "shown"),
    [
        ([0, *range(2, 20)], [0, 0, *range(1, 19)]),
        ([*range(1, 8), *range(9, 21)], [*range(7), 6, *range(7, 19)]),
        ([*range(1, 20)], [*range(19), 18]),
        ([2, *range(3, 21)], [0, *range(19)]),
        ([*range(100, 119)], [*range(9), 8, *range(9, 19)]),
    ],
    ids=["from 0", "from 1", "the last", "the first", "names that do not tell"],
)
def test_skipped_frames_are_filled_where_names_say_they_are_missing(tmp_path, numbers, shown):
    described = Description(**VALUES, output="frames", skipped="repeat")
    frames = frames_of(folder_of(tmp_path, numbers), described, 20)
    assert frames[:, 0, 0, 0].tolist() == shown


@pytest.mark.parametrize(
    ("changes", "width", "count", "words"),
    [
        ({"panel": "2/3"}, 256, 20, r"256x256 pictures, which cannot be split into 3 panels .* \(panel: 2/3\)"),
        ({"panel": "1/2"}, 256, 20, "made 128x256 pictures, but its description says 256x256"),
        ({}, 256, 19, "made 19 frames, but the driver has 20$"),
        ({"skipped": "repeat"}, 256, 21, "made 21 frames, but the driver has 20$"),
        ({"skipped": "repeat"}, 256, 17, r"17 frames, but the driver has 20; at most 10% can be filled in"),
    ],
)
def test_what_does_not_fit_is_told_in_a_line(tmp_path, changes, width, count, words):
    described = Description(**VALUES, output="frames", **changes)
    with pytest.raises(CellFailed, match=words) as error:
        frames_of(folder_of(tmp_path, range(count), width), described, 20)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"config": "a: 1"}, "config is set, but the command does not name it"),
        ({"command": ["a", "{config}"]}, "config is missing, but the command names it"),
        ({"command": ["a", "{config}"], "config": "a: [1"}, "config: .*not valid YAML"),
        ({"command": ["a", "{config}"], "config": "just a word"}, "config must map names to values"),
        ({"command": ["a", "{config}"], "config": "a: !!python/name:os.system"}, "config: "),
        ({"command": ["a", "{drivr}"]}, "command: Unknown placeholder 'drivr'. Did you mean 'driver'"),
        ({"panel": "last"}, r"panel is 'last', not the position of a picture in a row\. Write 3/3"),
        ({"panel": "3/2"}, "panel is '3/2', not the position of a picture in a row"),
        (
            {"driver": "frames", "driver_fps": 8},
            "driver_fps is given, but the driver is passed as frames, which have no rate",
        ),
        ({"driver_fps": 0}, "driver_fps: Input should be greater than 0"),
        ({"template": "movie"}, "template: Input should be 'picture' or 'video'"),
        ({"skipped": "fill"}, "skipped: Input should be 'refuse' or 'repeat'"),
        ({"found": "{checkout}/../*.mp4"}, "found must be a pattern of paths within"),
        ({"found": "{work}/*.mp4"}, "found must be a pattern of paths within"),
        (
            {"found": "{checkout}/*.mp4", "image": "program"},
            "found must not be in {checkout}, which a container can only read",
        ),
    ],
)
def test_descriptions_that_contradict_themselves_are_refused_in_a_line(tmp_path, monkeypatch, changes, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".megbench" / "external").mkdir(parents=True)
    (tmp_path / ".megbench" / "external" / "mine.yaml").write_text(
        yaml.safe_dump({**VALUES, "command": ["a"], **changes})
    )
    with pytest.raises(BenchError, match=words) as error:
        read_description("mine")
    assert "\n" not in str(error.value)


def test_a_checkout_is_asked_for_wherever_it_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".megbench" / "external").mkdir(parents=True)
    mine = {**VALUES, "command": ["a"], "found": "{checkout}/*.mp4"}
    (tmp_path / ".megbench" / "external" / "mine.yaml").write_text(yaml.safe_dump(mine))
    with pytest.raises(BenchError, match=r"external add mine --checkout"):
        External("mine", {})
