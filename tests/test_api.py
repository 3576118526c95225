"""`megbench.score` and `megbench.run` take inputs of every form, match the command's results and fail in one line."""

import re
import sys
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import megbench
from megbench.api import _without_script
from megbench.clips.handed_over import drivers_folder, outputs_folder, templates_folder
from megbench.core.errors import BenchError
from megbench.core.frames import write_frames, write_png
from megbench.core.pictures import read_picture
from megbench.core.video import read_clip
from tests.fakes import make_clips
from tests.moving_face import MOUTH, face, render

CLIP = np.zeros((2, 8, 6, 3), np.uint8)


@given(
    st.integers(2, 3), st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**32 - 1), st.sampled_from(["022", "a.b"])
)
@settings(max_examples=10)
def test_arrays_are_read_as_they_are_given(tmp_path_factory, count, height, width, seed, name):
    folder = tmp_path_factory.mktemp("given")
    clip = np.random.default_rng(seed).integers(0, 256, (count, height, width, 3), np.uint8)
    drivers = drivers_folder({name: clip}, folder / "drivers")
    assert (np.stack(list(read_clip(drivers / name))) == clip).all()
    assert (read_picture(templates_folder(clip[0], folder / "templates") / "template.png") == clip[0]).all()
    for number, outputs in enumerate(({(name, "t"): clip}, {f"{name}__t": clip})):
        made = outputs_folder(outputs, folder / f"made{number}")
        assert (np.stack(list(read_clip(made / f"{name}__t"))) == clip).all()


def test_paths_keep_their_pictures_and_their_order(tmp_path):
    for number in (2, 10, 9):
        write_png(tmp_path / f"img{number}.png", CLIP[0] + number)
    (tmp_path / "notes.txt").write_text("no picture")
    Image.fromarray(CLIP[0]).save(tmp_path / "one.gif")
    made = drivers_folder({"d": tmp_path, "g": str(tmp_path / "one.gif")}, tmp_path / "given")
    assert sorted(path.name for path in made.iterdir()) == ["d", "g.gif"]
    assert [frame[0, 0, 0] for frame in read_clip(made / "d")] == [2, 9, 10]
    assert drivers_folder(tmp_path / "given", tmp_path / "not made") == made, "a folder is read where it lies"
    assert not (tmp_path / "not made").exists()


@pytest.mark.parametrize(
    ("kind", "given", "message"),
    [
        (drivers_folder, 3, "drivers: int cannot be read. Pass a folder, a mapping"),
        (drivers_folder, {}, "drivers: the mapping is empty"),
        (
            drivers_folder,
            CLIP[0],
            r"drivers: driver is an array of type uint8 and shape \(8, 6, 3\). Pass uint8 \(T, H, W, 3\)",
        ),
        (drivers_folder, CLIP.astype(float), "drivers: driver is an array of type float64"),
        (drivers_folder, CLIP[:0], r"drivers: driver is an array of type uint8 and shape \(0, 8, 6, 3\)"),
        (drivers_folder, {"d": CLIP[..., :1]}, r"drivers: d is an array of type uint8 and shape \(2, 8, 6, 1\)"),
        (drivers_folder, {"d": [1]}, "drivers: d is of type list. Pass a path or an array"),
        (drivers_folder, {7: CLIP}, "drivers: the name 7 is not a string"),
        (drivers_folder, {"../d": CLIP}, r"The driver name '\.\./d' cannot be used"),
        (drivers_folder, {"d": "nowhere.mp4"}, "drivers: d: nowhere.mp4 is not a video or a folder of pictures"),
        (templates_folder, CLIP, r"templates: template is an array .* Pass uint8 \(H, W, 3\)"),
        (templates_folder, {"t": "nowhere.png"}, "templates: t: nowhere.png is not a picture"),
        (outputs_folder, {"d": CLIP}, r"outputs: 'd' is not a cell. Write \(driver, template\) or"),
        (outputs_folder, {("d", 1): CLIP}, r"outputs: \('d', 1\) is not a cell"),
        (outputs_folder, {"a__b__c": CLIP}, "outputs: 'a__b__c' is not a cell"),
        (outputs_folder, {("d", "t/u"): CLIP}, "The template name 't/u' cannot be used"),
        (outputs_folder, {("d", "t"): CLIP, "d__t": CLIP}, "outputs: a cell is named twice"),
    ],
)
def test_what_cannot_be_read_is_one_line(tmp_path, kind, given, message):
    with pytest.raises(BenchError, match=message) as caught:
        kind(given, tmp_path / "target")
    assert "\n" not in str(caught.value)


def test_single_arrays_are_one_cell(tmp_path, monkeypatch, in_this_process):
    monkeypatch.chdir(tmp_path)
    frames = render(MOUTH, n_frames=5)[0]
    table = megbench.score(frames, frames, face(), ["fidelity"], store="kept")
    assert list(table.columns[:2]) == ["driver", "template"]
    assert table.columns[-1] == "reason"
    assert table[["driver", "template"]].values.tolist() == [["driver", "template"]]
    assert 0 < table["frame0_ssim_template"][0] <= 1
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    again = megbench.score({("driver", "template"): frames}, {"driver": frames}, {"template": face()}, "fidelity")
    pd.testing.assert_frame_equal(table, again)
    assert table.attrs == again.attrs


def test_wrong_names_and_outputs_that_fit_nothing_are_one_line(tmp_path, monkeypatch, in_this_process):
    monkeypatch.chdir(tmp_path)
    frames = render(MOUTH, n_frames=3)[0]
    with pytest.raises(BenchError, match=r"Unknown metric 'fidelty'. Did you mean 'fidelity'"):
        megbench.score(frames, frames, face(), "fidelty")
    with pytest.raises(
        BenchError, match=r"outputs: 0 of 1 cell can be done. Reason for the first: no output for d on t"
    ):
        megbench.score(frames, {"d": frames}, {"t": face()}, "fidelity")
    with pytest.raises(BenchError, match=r"drivers folder .*nowhere does not exist"):
        megbench.score(frames, "nowhere", face(), "fidelity")
    with pytest.raises(BenchError, match="run: no method was given"):
        megbench.run("")
    with pytest.raises(BenchError, match="Unknown device 'gpu'"):
        megbench.run("still", device="gpu")
    with pytest.raises(BenchError, match="Unknown protocol 'demos'"):
        megbench.run("still", "demos")
    assert list(tmp_path.iterdir()) == []


def test_a_benchmark_is_the_one_that_the_command_makes(call, tmp_path, in_this_process):
    make_clips(tmp_path / "clips")
    where = ("--protocol", "fakes", "--drivers", "clips", "--metrics", "difference", "--no-controls")
    code, out, err = call("--methods", "shift,still", *where)
    assert code == 0, out + err
    made = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("*.html")}
    run = megbench.run(["shift", "still"], "fakes", drivers="clips", metrics="difference", controls=False, workers=1)
    assert [run.folder.resolve()] == list((tmp_path / "runs").iterdir())
    assert run.failures == ()
    assert {path: path.stat().st_mtime_ns for path in made} == made, "a finished run is only looked at"
    assert run.report.resolve() in made
    assert set(run.scores["scope"]) >= {"cell", "all"}
    board = run.tables["leaderboard"]
    whole = run.scores[run.scores["scope"] == "all"].set_index("method")["value"]
    for method in ("shift", "still"):
        assert board.set_index("method").loc[method, "difference"] == pytest.approx(whole[method])
    assert isinstance(board.attrs["notes"], list)
    other = megbench.run("fragile@raises", "fakes", "other", drivers="clips", metrics="difference", controls=False)
    assert other.folder == Path("other")
    assert any("first line second line" in line or "RuntimeError" in line for line in other.failures)


def test_the_programs_own_script_is_as_before(monkeypatch):
    main = sys.modules["__main__"]
    monkeypatch.setattr(main, "__file__", "script.py", raising=False)
    spec = main.__spec__
    with _without_script():
        assert not hasattr(main, "__file__")
        assert main.__spec__ is None
    assert (main.__file__, main.__spec__) == ("script.py", spec)


def test_outputs_are_scored_from_another_thread(tmp_path, monkeypatch):
    """Scoring uses separate processes, so it works in a thread, as in a server, where `signal.signal` is refused."""
    monkeypatch.chdir(tmp_path)
    frames, found = render(MOUTH, n_frames=3)[0], []
    thread = threading.Thread(target=lambda: found.append(megbench.score(frames, frames, face(), "flicker", workers=1)))
    thread.start()
    thread.join(300)
    assert found[0]["flicker"].notna().all()


def test_frames_on_disk_and_in_memory_score_alike(tmp_path, monkeypatch, in_this_process):
    monkeypatch.chdir(tmp_path)
    frames = render(MOUTH, 3, n_frames=4)[0]
    write_frames(tmp_path / "clips" / "driver", frames)
    write_frames(tmp_path / "made" / "driver__template", frames)
    (tmp_path / "faces").mkdir()
    write_png(tmp_path / "faces" / "template.png", face())
    here = megbench.score("made", "clips", "faces", "motion_agreement", store="kept")
    pd.testing.assert_frame_equal(here, megbench.score(frames, frames, face(), "motion_agreement", store="kept"))


def test_the_documents_calls_work(tmp_path, monkeypatch, capsys, in_this_process):
    """The code in docs/install.md works for outputs in folders and in memory. Its third block, a demo, takes long."""
    monkeypatch.chdir(tmp_path)
    page = (Path(__file__).parent.parent / "docs" / "install.md").read_text()
    folders, memory, _ = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    clip = render(MOUTH, n_frames=4)[0]
    write_frames(tmp_path / "my_clips" / "smile", clip)
    write_frames(tmp_path / "my_outputs" / "smile__anna", clip)
    (tmp_path / "my_faces").mkdir()
    write_png(tmp_path / "my_faces" / "anna.png", face())
    exec(folders, {})
    assert "agreement_truth" in capsys.readouterr().out
    names = {"megbench": megbench, "made": clip, "clip": clip, "face": face()}
    exec(memory, names)
    assert names["table"]["agreement"][0] > 0.9
