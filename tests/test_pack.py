"""Challenge entries have the required names and format, videos keep their frames and motion, and no zip is partial."""

import io
import itertools
import json
import shutil
import zipfile
from types import SimpleNamespace

import av
import numpy as np
import pytest

from megbench.commands import entry
from megbench.commands.pack import _challenge_names
from megbench.core.frames import content_hash, grey, write_frames, write_png
from megbench.core.video_writing import decoded, reencode
from megbench.faces.kept_motion import lost_motion
from megbench.faces.landmarks import landmarks
from megbench.methods.outputs_folder import OutputsFolder
from megbench.protocols import megc2021, megc2022
from megbench.protocols.megc2021 import Megc2021
from megbench.protocols.megc2022 import Megc2022
from megbench.reports.run_files import COUNTS, LABELS
from tests.moving_face import face, render

CELLS = [(driver.name, template) for driver in megc2021.SHEET.drivers for template in megc2021.SHEET.templates]
LABEL = "fomm:mode=absolute"
# A mouth corner that moves by a quarter of a pixel, and one that moves by more than two pixels.
WEAK = ((98.0, 167.0), (-0.2, -0.15), 4)
STRONG = ((98.0, 167.0), (-2.0, -1.5), 4)


def write_run(folder, cells, protocol="megc2021", frames=2):
    """Write a run of one row whose outputs show one weak motion. The first cell has one frame more than the others."""
    shared = {"database": "casme2", "emotion": "positive"}
    facts = {
        "id": folder.name,
        "protocol": {"name": protocol, "version": "1"},
        "cells": [
            {"name": f"{d}__{t}", "driver": d, "template": t, "n_frames": frames + (not place), **shared}
            for place, (d, t) in enumerate(cells)
        ],
        "methods": [{"label": LABEL, "name": "fomm"}],
        "metrics": [],
    }
    for cell in facts["cells"]:
        place = folder / "cells" / LABEL / cell["name"]
        clip = render(WEAK, None, 7)[0][: cell["n_frames"]]
        write_frames(place / "frames", clip)
        (place / "cell.json").write_text(json.dumps({"status": "ok", "content": content_hash(clip)}))
        write_png(folder / "inputs" / "templates" / f"{cell['template']}.png", face())
    (folder / "run.json").write_text(json.dumps(facts))
    (folder / "scores.csv").write_text(",".join([*LABELS, "value", *COUNTS]) + "\n")
    return folder


@pytest.fixture(scope="module")
def kit_run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("kit") / "kit", CELLS)


@pytest.fixture
def small_run(tmp_path):
    return write_run(tmp_path / "small", [("d1", "ta"), ("d2", "ta")], "demo")


def test_an_entry_has_the_challenge_s_form_and_comes_back_as_outputs(call, kit_run, tmp_path):
    code, out, err = call("pack", kit_run, LABEL, "--out", "a.zip")
    assert code == 0, err
    assert "a.zip: 18 videos of 256x256 at 100 fps" in out
    with zipfile.ZipFile(tmp_path / "a.zip") as packed:
        videos = {name: packed.read(name) for name in packed.namelist()}
        packed.extractall(tmp_path / "unpacked")
    assert len(videos) == 18
    assert "Positive_s3_po_05-normalized_westernMale.mp4" in videos
    for name, data in videos.items():
        with av.open(io.BytesIO(data)) as container:
            stream = container.streams.video[0]
            assert (stream.average_rate, stream.width, stream.height) == (100, 256, 256), name
            assert (stream.codec_context.name, stream.pix_fmt) == ("h264", "yuv420p")
    first = next(iter(videos))
    assert [len(decoded(videos[name])) for name in (first, "Positive_s3_po_05-normalized_westernMale.mp4")] == [3, 2]
    # When the unpacked entry is scored, each video is found for its own cell and for no other.
    folder = OutputsFolder(tmp_path / "unpacked")
    found = set()
    for driver, template in itertools.product(megc2021.SHEET.drivers, megc2021.SHEET.templates):
        known_as = itertools.product(driver.names, megc2021.SHEET.templates[template])
        cell = SimpleNamespace(
            name=f"{driver.name}__{template}", driver=driver, template=SimpleNamespace(name=template), known_as=known_as
        )
        found.add(folder.of(cell).path.name)
    assert found == set(videos)


def test_every_cell_of_a_challenge_has_a_name_of_its_own():
    for protocol, faces, count in ((Megc2021, megc2021.SHEET.templates, 18), (Megc2022, megc2022.SHEET.templates, 36)):
        names = protocol.entry_names()
        assert set(names) == {f"{driver.name}__{face}" for driver in megc2021.SHEET.drivers for face in faces}
        assert len({name.casefold() for name in names.values()}) == len(names) == count
    assert Megc2022.entry_names()["casme2_surprise__maleEurope"] == "Surprise_EP01_13-Template_Male_Europe"


def test_other_protocols_are_packed_under_the_suite_s_names_the_same_every_time(call, small_run, tmp_path):
    code, out, err = call("pack", small_run, LABEL)
    assert code == 0, err
    target = tmp_path / "small_fomm_mode=absolute.zip"
    assert str(target) in out
    assert "demo is not a challenge protocol" in err
    call("pack", small_run, LABEL, "-o", tmp_path / "again.zip")
    assert target.read_bytes() == (tmp_path / "again.zip").read_bytes()
    with zipfile.ZipFile(target) as packed:
        assert packed.namelist() == ["d1__ta.mp4", "d2__ta.mp4"]
        assert packed.testzip() is None


def refused(call, run, tmp_path, *arguments):
    """Check that packing fails, keeps an older entry and leaves no partial file. Return the error line."""
    (tmp_path / "old.zip").write_bytes(b"older")
    code, _, err = call("pack", run, LABEL, "--out", tmp_path / "old.zip", *arguments)
    assert code == 2, err
    assert err.splitlines()[-1].startswith("Error: ")
    assert "Traceback" not in err
    assert (tmp_path / "old.zip").read_bytes() == b"older"
    assert not list(tmp_path.glob(".*"))
    return err.splitlines()[-1]


def test_a_cell_without_its_output_is_named(call, small_run, tmp_path):
    record = small_run / "cells" / LABEL / "d2__ta" / "cell.json"
    record.write_text(json.dumps({"status": "failed", "reason": "no face in it"}))
    assert f"{LABEL} on d2__ta has no output: no face in it" in refused(call, small_run, tmp_path)
    record.unlink()
    assert "the run was stopped before this cell" in refused(call, small_run, tmp_path)


def test_frames_other_than_those_that_were_scored_are_refused(call, small_run, tmp_path):
    frames = small_run / "cells" / LABEL / "d2__ta" / "frames"
    shutil.copyfile(frames / "00000.png", frames / "00001.png")
    assert f"{LABEL} on d2__ta: its frames are not those that were scored" in refused(call, small_run, tmp_path)


def test_a_video_that_loses_motion_or_frames_is_refused(call, small_run, tmp_path, monkeypatch):
    frames = render(STRONG, 0, 7)[0]
    place = small_run / "cells" / LABEL / "d1__ta"
    write_frames(place / "frames", frames)
    (place / "cell.json").write_text(json.dumps({"status": "ok", "content": content_hash(frames[:3])}))
    with monkeypatch.context() as patch:
        patch.setattr(entry, "FINE", {"crf": "40"})
        assert f"{LABEL} on d1__ta: its video does not preserve the face's motion" in refused(call, small_run, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(entry, "decoded", lambda data: decoded(data)[1:])
        said = refused(call, small_run, tmp_path)
        assert f"{LABEL} on d1__ta: its video has 2 frames of 256x256 instead of 3 frames of 256x256" in said


def test_a_face_that_is_not_found_is_told(call, small_run, tmp_path):
    write_png(small_run / "inputs" / "templates" / "ta.png", np.full((256, 256, 3), 90, np.uint8))
    said = refused(call, small_run, tmp_path)
    assert f"{LABEL} on d1__ta: its motion cannot be checked: " in said


def test_a_part_of_a_kit_is_no_entry(call, tmp_path):
    run = write_run(tmp_path / "part", CELLS[:-1])
    said = refused(call, run, tmp_path)
    assert (
        "an entry to megc2021 has 18 videos, but this run has no cells for 1 of them (smic_surprise__westernMale)"
        in said
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["fom"], "Unknown row of this run: 'fom'"),
        ([LABEL, "--out", "entry.mp4"], "an entry is a single .zip file"),
        ([LABEL, "--out", "folder.zip"], "an entry is a single .zip file"),
    ],
)
def test_a_wrong_name_is_one_line(call, small_run, tmp_path, arguments, said):
    (tmp_path / "folder.zip").mkdir()
    code, _, err = call("pack", small_run, *arguments)
    assert code == 2
    assert said in err
    assert err.count("\n") == 1


@pytest.fixture(scope="module")
def points():
    return landmarks(grey(face()[None])[0], "the face")


@pytest.mark.parametrize(("push", "noise"), [(WEAK, None), (WEAK, 0), (STRONG, 0)])
def test_an_entry_s_videos_keep_motion(points, push, noise):
    frames = render(push, noise)[0]
    assert lost_motion(frames, reencode(frames, entry.FPS, entry.FINE), points) == ""


@pytest.mark.parametrize("noise", [None, 0])
def test_a_weak_motion_that_usual_videos_lose_is_missed(points, noise):
    frames = render(WEAK, noise)[0]
    assert " px out of place" in lost_motion(frames, reencode(frames, entry.FPS, {"crf": "18"}), points)


def test_what_keeps_its_motion_is_told_from_what_does_not(points):
    frames = render(STRONG, 0, 5)[0]
    still = np.repeat(frames[:1], len(frames), axis=0)
    assert lost_motion(frames, frames, points) == lost_motion(still, still, points) == ""
    assert lost_motion(frames, still, points).startswith("the region right_mouth_corner is ")
    late = np.concatenate([frames[:1], frames[:-1]])
    assert lost_motion(frames, late, points) != ""


def test_names_are_only_for_the_challenge_s_protocols(kit_run):
    facts = SimpleNamespace(folder=kit_run, facts=SimpleNamespace(protocol=SimpleNamespace(name="demo_kit"), cells=[]))
    assert _challenge_names(facts) == {}
