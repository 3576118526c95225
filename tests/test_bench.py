"""The command line reports every error in one line, loses nothing to kill -9 and returns reliable exit codes."""

import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from PIL import Image
from skimage.data import astronaut

from megbench.commands.listing import STATUSES
from megbench.commands.request import chosen_metrics
from megbench.core.clip import save_clip
from megbench.core.errors import BenchError
from megbench.core.generator import Status
from megbench.core.processors import usable
from megbench.core.video_writing import write_video
from megbench.methods import COMPANIONS, METHODS, Label, parse_label
from megbench.metrics import METRICS, ON_REQUEST
from megbench.protocols import PROTOCOLS
from tests.fakes import FAKES, Shift, finished_cells, make_clips

ROOT = Path(__file__).parent.parent
FACE = np.asarray(Image.fromarray(astronaut()).resize((384, 384)))


ON_FAKES = ("--protocol", "fakes", "--drivers", "clips")
FAKE_RUN = ("--methods", "shift", *ON_FAKES, "--metrics", "difference", "--no-controls")


def test_help_comes_within_a_second():
    command = [sys.executable, ROOT / "bench.py", "--help"]
    user = []
    for _ in range(2):
        before = os.times().children_user
        shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        user.append(os.times().children_user - before)
    assert "--methods" in shown
    assert "@variant" in shown
    assert min(user) < 1


@pytest.mark.parametrize("what", ["methods", "metrics", "protocols"])
def test_lists_name_everything_with_a_sentence(call, what):
    code, out, _ = call("list", what)
    assert code == 0
    tables = {"methods": METHODS, "metrics": METRICS, "protocols": PROTOCOLS}
    rows = [line.split(maxsplit=1) for line in out.splitlines()]
    assert [row[0] for row in rows] == list(tables[what])
    assert all(len(row[1]) > 10 for row in rows)
    assert len({re.match(r"\S+ +", line).end() for line in out.splitlines()}) == 1, "the descriptions are aligned"


def test_a_list_says_what_has_no_description_and_which_weights_are_not_the_published_network(call, monkeypatch):
    monkeypatch.setattr(Shift, "__doc__", None)
    out = call("list", "methods")[1]
    assert re.search(r"^shift +\(no description: give the class a docstring\)$", out, re.MULTILINE)
    assert "weights supplied with the suite: demo (trained briefly here, and not the published network)." in out
    assert set(STATUSES) == set(get_args(Status))


def test_a_list_of_clips_says_what_is_not_coded(call, tmp_path):
    (coded,) = make_clips(tmp_path / "clips", count=1)
    plain = dataclasses.replace(coded, name="plain", apex_frame=None)
    save_clip(tmp_path / "clips" / "plain", plain, coded.frames())
    out = call("list", "clips", *ON_FAKES)[1]
    assert "d0: noise, negative, 3 frames, onset-apex-offset ?-1-?, AUs not coded" in out
    assert "plain: noise, negative, 3 frames, onset-apex-offset not coded, AUs not coded" in out


def test_a_dry_run_says_what_would_be_done_and_does_nothing(call, tmp_path):
    make_clips(tmp_path / "clips")
    code, out, _ = call(*FAKE_RUN, "--dry-run")
    assert code == 0
    assert "6 cells" in out
    assert "d2__t1  3 frames" in out
    assert "shift: 0 of 6 cells" in out
    assert "because not yet timed on this machine: shift" in out
    assert not (tmp_path / "runs").exists()
    _, out, err = call(*FAKE_RUN[:-1], "--dry-run")
    unfit = {"truth", "wrong_driver"}  # the drivers' truth and foil are unknown
    assert all(f"Note: {name} is left out: " in err for name in unfit)
    assert {name for name in COMPANIONS if f"{name}: 0 of 6 cells" in out} == set(COMPANIONS) - unfit


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ("check",),
            "'name'. A method (name@variant:key=value), such as fomm, or a metric, such as flicker. See `python",
        ),
        (("prepare", "samm", "x"), "option '--out'. Folder of the clip store. See `python bench.py prepare --help`."),
        (("figure", "strip"), "argument 'run'. See `python bench.py figure strip --help`."),
        (("weights",), "argument 'action'. Choose from: list, fetch, add. See `python bench.py weights --help`."),
    ],
)
def test_a_missing_argument_is_explained(call, arguments, said):
    code, _, err = call(*arguments)
    assert code == 2
    assert err.startswith("Error: Missing ")
    assert said in err
    assert err.count("\n") == 1


def test_wrong_names_are_told_before_there_are_clips(call):
    for arguments, words in (
        (("--methods", "fom", *ON_FAKES), "Unknown method 'fom'"),
        (("--methods", "shift", *ON_FAKES, "--metrics", "acd"), "Unknown metric 'acd'"),
    ):
        code, _, err = call(*arguments)
        assert code == 2
        assert words in err


def test_metrics_are_added_to_the_default_ones_or_replace_them(call, tmp_path):
    default = chosen_metrics([])
    assert not set(default) & set(ON_REQUEST)
    assert chosen_metrics(["+lpips_vgg", "+fid"]) == (*default, "lpips_vgg")
    assert chosen_metrics(["difference"]) == ("difference",)
    make_clips(tmp_path / "clips", count=1)
    code, _, err = call(*FAKE_RUN[:-2], "fid,+difference", "--dry-run")
    assert code == 2
    assert "either +fid or difference" in err


def test_two_figures_of_one_name_are_an_error_before_anything_runs(call, monkeypatch, tmp_path):
    make_clips(tmp_path / "clips", count=1)
    monkeypatch.setitem(METRICS, "faulty", "tests.fakes:Faulty")
    code, _, err = call(*FAKE_RUN[:-2], "difference,faulty")
    assert code == 2
    assert "The metrics difference and faulty both have a figure called 'difference'" in err
    assert not (tmp_path / "runs").exists()


def test_without_a_say_of_the_system_all_processors_are_usable(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 7)
    assert usable() == 7
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert usable() == 1
    asking = [
        path for path in ROOT.rglob("*.py") if ".venv" not in path.parts and "sched_getaffinity" in path.read_text()
    ]
    assert {path.relative_to(ROOT).as_posix() for path in asking} == {
        *("core/processors.py", "tests/test_bench.py", "tests/test_other_systems.py")
    }


def test_the_demo_is_rendered_by_as_many_processes_as_workers(call, monkeypatch):
    asked = []
    monkeypatch.setattr(
        "megbench.protocols.demo.shoot", lambda scenes, cache, workers: asked.append(workers) or sys.exit(3)
    )
    assert call("--methods", "shift", "--workers", "5", "--dry-run")[0] == 3
    assert asked == [5]


def test_wrong_settings_are_told_before_people_are_rendered(call, monkeypatch):
    monkeypatch.setattr("megbench.taught.training_set.demo_set", lambda folder: pytest.fail("they are rendered"))
    for arguments, words in (
        (("--set", "plan.log_every=0"), "--set plan.log_every=0: Setting plan.log_every must be at least 1, got 0."),
        (
            ("--set", "model.lr=1e-3", "--set", "model.generator={block_expansion: 0}"),
            "--set model.generator={block_expansion: 0}: Setting model.generator.block_expansion must be at least 1",
        ),
        (("--set", "model.num_kp=0"), "--set model.num_kp=0: Setting model.num_kp must be at least 1, got 0."),
        (("--set", "model.lr=-1"), "--set model.lr=-1: Setting model.lr must be more than 0, got -1"),
        (("--set", "data={held_out: x}"), "--set data={held_out: x}: Setting data.held_out must be a valid integer"),
        (("--set", "data=5"), "--set data=5: Setting data must be a mapping, got 5."),
        (("--set", "data.hold_out=5"), "--set data.hold_out=5: Unknown setting in data: 'hold_out'."),
        (("--set", "loss.factors=[0]"), "--set loss.factors=[0]: Setting model.loss.factors.0 must be at least 1"),
        (("--set", "training=taut"), "--set training=taut: Unknown training 'taut'. Did you mean 'taught'?"),
        (("--set", "plan.ema=1"), "--set plan.ema=1: Setting plan.ema must be less than 1, got 1"),
        (("--config", "gone.yaml"), "gone.yaml does not exist"),
        (("--as", "../x"), "../x"),
    ):
        code, _, err = call("train", "fomm", *arguments)
        assert code == 2
        assert words in err
        assert not Path(".megbench").exists()


@pytest.mark.usefixtures("in_this_process")
def test_a_run_ends_in_a_table_a_report_and_a_clean_store(call, tmp_path):
    make_clips(tmp_path / "clips", count=2)
    code, out, err = call(*FAKE_RUN)
    assert code == 0, err
    report = Path(out.rsplit("Report: ", 1)[1].strip())
    made = report.stat().st_mtime_ns
    assert json.loads((report.parent / "run.json").read_text())["request"]["methods"] == ["shift"]

    code, out, _ = call(*FAKE_RUN)
    assert code == 0
    assert report.stat().st_mtime_ns == made
    report.write_text("an earlier page")  # the state after a kill between writing scores and report
    os.utime(report, (0, 0))
    call(*FAKE_RUN)
    assert report.stat().st_mtime_ns > made
    _, out, _ = call(*FAKE_RUN, "--dry-run")
    assert "shift: 4 of 4 cells" in out

    _, out, _ = call("clean")
    assert "add --yes" in out
    assert list((tmp_path / ".megbench" / "cells").iterdir())
    _, out, _ = call("clean", "--yes")
    assert "Freed" in out
    assert not list((tmp_path / ".megbench" / "cells").iterdir())
    assert len(list(report.parent.glob("cells/shift/*/frames/*.png"))) == 12


@pytest.mark.usefixtures("in_this_process")
def test_kill_dash_nine_loses_nothing_that_was_finished(call, tmp_path, monkeypatch):
    make_clips(tmp_path / "clips")
    script = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); import bench\n"
        "from megbench import methods, metrics, protocols;"
        f"methods.METHODS.update({FAKES!r}); metrics.METRICS['difference'] = 'tests.fakes:Difference';"
        "protocols.PROTOCOLS['fakes'] = 'tests.fakes:Fakes'; bench.main()"
    )
    arguments = ["--methods", "shift:sleep=0.3", *FAKE_RUN[2:], "--workers", "1", "--out", "out"]
    monkeypatch.setenv("FAKES_LOG", str(tmp_path / "log.txt"))
    run = tmp_path / "out"

    first = subprocess.Popen([sys.executable, "-c", script, *arguments], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while len(finished_cells(run)) < 2:
        assert time.monotonic() < deadline
        assert first.poll() is None
        time.sleep(0.02)
    first.send_signal(signal.SIGKILL)
    first.wait()
    files = {file for record in finished_cells(run) for file in record.parent.rglob("*") if file.is_file()}
    whole = {file: (file.stat().st_mtime_ns, file.stat().st_ino) for file in files}
    assert not json.loads((run / "run.json").read_text())["finished"]

    code, _, err = call(*arguments)
    assert code == 0, err
    assert json.loads((run / "run.json").read_text())["finished"]
    assert len([file for file in whole if file.name == "cell.json"]) >= 2
    assert whole == {file: (file.stat().st_mtime_ns, file.stat().st_ino) for file in whole}
    assert len(finished_cells(run)) == 6
    done = (tmp_path / "log.txt").read_text().splitlines()
    assert len(set(done)) == 6
    assert len(done) <= 7, "only the cell that was at work may be done twice"


def portrait(folder, name="face.png", picture=FACE):
    folder.mkdir(exist_ok=True)
    Image.fromarray(picture).save(folder / name)


def frames(folder, pictures):
    folder.mkdir(parents=True)
    for index, picture in enumerate(pictures):
        Image.fromarray(picture).save(folder / f"{index}.png")


def shaking(count=3):
    return [np.roll(FACE, k, axis=1) for k in range(count)]


def break_missing(where):
    return "folder {0}/drivers does not exist", []


def break_empty(where):
    (where / "drivers").mkdir()
    return "no videos or folders of pictures", []


def break_loose(where):
    portrait(where / "drivers")
    return "Move the pictures (1) into a subfolder.", []


def break_faceless(where):
    frames(where / "drivers" / "a", [np.zeros_like(FACE)] * 2)
    return "No driver can be used: no frontal face found in the first frame of", []


def break_truncated(where):
    (where / "drivers").mkdir()
    write_video(where / "drivers" / "a.mp4", np.stack(shaking()), 25.0)
    data = (where / "drivers" / "a.mp4").read_bytes()
    (where / "drivers" / "a.mp4").write_bytes(data[: len(data) // 2])
    return "a.mp4: the video is truncated or damaged", []


def break_one_frame(where):
    frames(where / "drivers" / "a", shaking(1))
    return "only one frame; a clip needs at least two", []


def break_sizes(where):
    frames(where / "drivers" / "a", [FACE, FACE[:-2]])
    return "frames have different sizes: the first is 384x384, but number 2 is 384x382", []


def break_script(where):
    frames(where / "drivers" / "<script>", shaking())
    return "The driver name '<script>' cannot be used", []


def break_dots(where):
    frames(where / "drivers" / "a..b", shaking())
    return "The driver name 'a..b' cannot be used", []


def break_twins(where):
    frames(where / "drivers" / "a", shaking())
    write_video(where / "drivers" / "a.mp4", np.stack(shaking()), 25.0)
    return "contains 2 drivers named 'a'", []


def break_faces(where):
    frames(where / "drivers" / "a", shaking())
    portrait(where / "templates", picture=np.concatenate([FACE, FACE], axis=1))
    return "2 faces in the template (73 and 73 px wide). Crop the picture to the face you want", []


def break_no_face(where):
    frames(where / "drivers" / "a", shaking())
    portrait(where / "templates", picture=np.zeros_like(FACE))
    return "no frontal face found in the template (nothing looks like a face)", []


def break_method(where):
    return "Unknown method 'fom'. Did you mean 'fomm'?", ["--methods", "fom", *ON_FAKES]


def break_metric(where):
    arguments = ["--methods", "shift", *ON_FAKES, "--metrics", "acd"]
    return "Unknown metric 'acd'. Did you mean 'akd'?", arguments


def break_protocol(where):
    return "Unknown protocol 'demmo'. Did you mean 'demo'?", ["--methods", "shift", "--protocol", "demmo"]


def break_option(where):
    arguments = ["--methods", "shift:by", *ON_FAKES]
    return "'by' is not an option. Write name@variant:key=value", arguments


def break_lack(where):
    return "Protocol 'folder' needs --templates FOLDER", [
        "--methods",
        "shift",
        "--protocol",
        "folder",
        "--drivers",
        "x",
    ]


def break_surplus(where):
    arguments = ["--methods", "shift", *ON_FAKES, "--data", "x"]
    return "takes no --data. Leave it out; this protocol takes --drivers", arguments


def break_out(where):
    (where / "thesis").mkdir()
    (where / "thesis" / "chapter.tex").touch()
    return "thesis exists and is not the folder of a run", [*FAKE_RUN, "--out", "thesis"]


BREAKS = [function for name, function in sorted(globals().items()) if name.startswith("break_")]


@pytest.mark.parametrize("breaks", BREAKS, ids=lambda function: function.__name__)
def test_bad_input_ends_in_one_clear_line(call, tmp_path, breaks):
    make_clips(tmp_path / "clips", count=1)
    message, arguments = breaks(tmp_path)
    if not arguments:
        if not (tmp_path / "templates").exists():
            portrait(tmp_path / "templates")
        arguments = ["--methods", "shift", "--protocol", "folder", "--drivers", "drivers", "--templates", "templates"]
    code, out, err = call(*arguments)
    assert code == 2
    assert out == ""
    lines = [line for line in err.splitlines() if line.startswith("Error: ")]
    assert len(lines) == 1
    assert message.format(tmp_path) in lines[0]
    assert err.rstrip().endswith(lines[0])
    assert "Traceback" not in err
    assert not (tmp_path / "runs").exists()


@pytest.mark.usefixtures("in_this_process")
def test_a_driver_without_a_face_fails_its_cells_and_the_others_go_on(call, tmp_path):
    portrait(tmp_path / "templates")
    frames(tmp_path / "drivers" / "good", shaking())
    frames(tmp_path / "drivers" / "bad", [np.zeros_like(FACE)] * 2)
    where = ("--protocol", "folder", "--drivers", "drivers", "--templates", "templates", "--out", "out")
    code, _, err = call("--methods", "shift", "--metrics", "difference", "--no-controls", *where)
    assert code == 1
    assert "Failed: bad__face: no frontal face found in the first frame of" in err
    record = json.loads((tmp_path / "out/cells/shift/good__face/cell.json").read_text())
    assert record["status"] == "ok"
    record = json.loads((tmp_path / "out/cells/shift/bad__face/cell.json").read_text())
    assert record["status"] == "failed"
    assert record["reason"].startswith("no frontal face found in the first frame of")


def test_labels_are_read_as_the_grammar_says():
    assert parse_label("fomm") == Label("fomm", "fomm", "", {})
    assert parse_label("fpfomm@samm") == Label("fpfomm@samm", "fpfomm", "samm", {})
    text = "fomm@a:mode=absolute;size=2"
    assert parse_label(text) == Label(text, "fomm", "a", {"mode": "absolute", "size": "2"})


def test_outputs_are_named_by_their_folder(tmp_path):
    label = parse_label(f"outputs:{tmp_path / 'ulme'}")
    assert label == Label("outputs@ulme", "outputs", "ulme", {"folder": str((tmp_path / "ulme").resolve())})
    with pytest.raises(BenchError, match="outputs folder name"):
        parse_label(f"outputs:{tmp_path / 'my outputs'}")


@pytest.mark.parametrize(
    ("arguments", "name", "value"),
    [
        (
            ("list", "nonsense"),
            "what",
            "'nonsense' is not one of 'methods', 'metrics', 'protocols', 'clips', 'reported'.",
        ),
        (("figure", "prior", "--kind", "no"), "--kind", "'no' is not one of 'code', 'paper'."),
        (("train", "fomm", "--device", "tpu"), "--device", "'tpu' is not one of 'auto', 'cpu', 'cuda'."),
        (("--methods", "still", "--seed", "-1"), "--seed", ""),
    ],
)
def test_a_value_that_cannot_be_is_one_line(call, arguments, name, value):
    code, out, err = call(*arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"Error: Invalid value for '{name}': {value}")
    assert "Value error" not in err


def test_a_portrait_that_is_not_there_is_one_line(call):
    assert call("figure", "prior", "nothere.png") == (
        2,
        "",
        "Error: nothere.png does not exist. Pass a picture file.\n",
    )


def test_options_without_a_method_are_an_error_and_nothing_at_all_is_help(call):
    assert call("--protocol", "demo") == (
        2,
        "",
        "Error: No method was given. Add --methods, for example --methods flow_warp; see `list methods`.\n",
    )
    code, out, _ = call()
    assert code == 0
    assert "--methods" in out


def test_ctrl_c_on_a_training_is_one_line(call, monkeypatch):
    def stopped(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("megbench.commands.train.training_data", stopped)
    assert call("train", "fpfomm") == (
        130,
        "",
        "Interrupted. Finished work is kept; run the same command again to continue.\n",
    )
