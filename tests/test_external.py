"""External programs, tested with a script that stands in for a program, well-behaved or not."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

import bench
from megbench.core.clip import Template
from megbench.core.errors import BenchError, CellFailed
from megbench.methods import parse_label
from megbench.methods.external import External
from megbench.methods.external_description import ABOUT, READY_MADE, read_description
from tests.fakes import finished_cells, make_clips

ROOT = Path(__file__).parent.parent
PROGRAM = """
import os, sys, time
from pathlib import Path
template, driver, output, manner = sys.argv[1:]
if manner == "slow":
    print("still at it", flush=True)
    time.sleep(60)
if manner == "crash":
    print("the weights are gone", file=sys.stderr)
    sys.exit(3)
import numpy as np
sys.path.insert(0, {root!r})
from megbench.core.pictures import read_picture
from megbench.core.video import read_clip
from megbench.core.video_writing import write_video
from megbench.core.frames import write_frames
picture = read_picture(Path(template))
count = sum(1 for _ in read_clip(Path(driver)))
frames = np.stack([np.roll(picture, k, axis=1) for k in range(count - (manner == "short"))])
if manner == "small":
    frames = frames[:, ::2, ::2]
if manner == "linked":
    elsewhere = Path(os.environ["ELSEWHERE"])
    write_frames(elsewhere, frames)
    Path(output).rmdir()
    os.symlink(elsewhere, output)
elif manner == "video":
    write_video(Path(output), frames, 25.0, lossless=True)
elif manner != "nothing":
    write_frames(Path(output), frames)
with open(os.environ["CALLS"], "a") as calls:
    calls.write(Path(driver).parent.name + "\\n")
"""


@pytest.fixture
def described(tmp_path, monkeypatch):
    """Return a function that writes a description of the stand-in and returns the description's name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CALLS", str(tmp_path / "calls.txt"))
    monkeypatch.setenv("ELSEWHERE", str(tmp_path / "elsewhere"))
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    (checkout / "program.py").write_text(PROGRAM.format(root=str(ROOT)))

    def describe(manner="good", **changes):
        values = {
            "system": "Stand-in",
            "source": "this test",
            "licence": "MIT",
            "command": ["{python}", "program.py", "{template}", "{driver}", "{output}", manner],
            "checkout": str(checkout),
            "python": sys.executable,
            "driver": "frames",
            "output": "frames",
            "gpu": False,
            **changes,
        }
        own = tmp_path / ".megbench" / "external"
        own.mkdir(parents=True, exist_ok=True)
        (own / f"{manner}.yaml").write_text(yaml.safe_dump(values))
        return manner

    return describe


@pytest.fixture
def cell(tmp_path):
    clip = make_clips(tmp_path / "one", count=1, n_frames=4)[0]
    return Template.of("t", "t", clip.frames()[0]), clip


def animate(variant, cell):
    method = External(variant, {})
    method.prepare("cpu")
    return method.animate(*cell)


@pytest.mark.parametrize("driver", ["frames", "video"])
@pytest.mark.parametrize("manner", ["good", "video"])
def test_a_well_behaved_program_is_taken_at_its_pixels(described, cell, driver, manner):
    name = described(manner, driver=driver, output="video" if manner == "video" else "frames")
    frames = animate(name, cell)
    np.testing.assert_array_equal(frames, [np.roll(cell[0].image, k, axis=1) for k in range(4)])
    assert ("video" in External(name, {}).marks) == (manner == "video")


@pytest.mark.parametrize(
    ("manner", "changes", "words"),
    [
        ("slow", {"timeout_s": 1.0}, "longer than 1 s"),
        ("crash", {}, "exit code 3: the weights are gone"),
        ("short", {}, "made 3 frames, but the driver has 4"),
        ("small", {}, "made 128x128 pictures, but its description says 256x256"),
        ("linked", {}, "links that point outside its folder"),
        ("nothing", {}, "left 0 outputs"),
        ("good", {"python": "/no/such/python"}, "cannot be started"),
    ],
)
def test_a_program_that_misbehaves_costs_its_cell_and_says_why(described, cell, manner, changes, words):
    started = time.monotonic()
    with pytest.raises(CellFailed, match=words):
        animate(described(manner, **changes), cell)
    assert time.monotonic() - started < 30


# A stand-in for Docker that logs its calls. A container of the image "host" runs its program on this machine; a
# container of any other image is a process that outlives its client.
DOCKER = """#!/bin/sh
echo "$@" >> "$PLACE/calls"
if [ "$1" = rm ]; then kill -9 "$(cat "$PLACE/$3")" && echo killed >> "$PLACE/calls"; exit; fi
while [ "$1" != host ] && [ "$1" != image ]; do
    if [ "$1" = --name ]; then name=$2; fi
    shift
done
if [ "$1" = host ]; then shift; exec "$@"; fi
setsid sleep 60 &
echo $! > "$PLACE/$name"
wait
"""


@pytest.fixture
def docker(tmp_path, monkeypatch):
    """Put the stand-in on the PATH; return the folder where it logs its calls and, by name, containers' process IDs."""
    place = tmp_path / "docker"
    place.mkdir()
    (place / "docker").write_text(DOCKER)
    (place / "docker").chmod(0o755)
    monkeypatch.setenv("PATH", str(place), prepend=os.pathsep)
    monkeypatch.setenv("PLACE", str(place))
    return place


def test_a_container_may_write_to_its_own_folder_alone_and_does_as_this_user(described, cell, docker, tmp_path):
    frames = animate(described(image="host", variables={"MODE": "fast"}), cell)
    np.testing.assert_array_equal(frames, [np.roll(cell[0].image, k, axis=1) for k in range(4)])
    (call,) = (docker / "calls").read_text().splitlines()
    options = call.partition(" host ")[0]
    work = options.partition("HOME=")[2].partition(" ")[0]
    mounts = [f"{work}:{work}", f"{tmp_path}/checkout:{tmp_path}/checkout:ro"]
    assert [words.split()[0] for words in options.split(" -v ")[1:]] == mounts
    assert f"run --rm --init --name {Path(work).name} --network none --user {os.getuid()}:{os.getgid()}" in options
    assert "-e MODE=fast" in options
    assert "--gpus" not in options


def test_a_container_that_takes_too_long_is_stopped_though_its_client_is_gone(described, cell, docker):
    with pytest.raises(CellFailed, match="longer than 1 s"):
        animate(described(image="image", timeout_s=1.0), cell)
    run, rm, killed = (docker / "calls").read_text().splitlines()
    name = run.split()[run.split().index("--name") + 1]
    assert (rm, killed) == (f"rm --force {name}", "killed"), "it was alive without its client"


def test_a_description_may_name_its_checkout_from_where_the_command_is_started(described, tmp_path):
    assert read_description(described(checkout="checkout")).checkout == str(tmp_path / "checkout")


def test_another_size_is_accepted_where_the_description_says_so(described, cell):
    name = described("small", size=128)
    assert animate(name, cell).shape == (4, 256, 256, 3)
    assert "resized" in External(name, {}).marks


def test_identity_follows_the_description_the_commit_and_the_weights(described, tmp_path):
    weights = tmp_path / "checkout" / "weights.pth"
    weights.write_bytes(b"1")
    name = described(weights=["weights.pth"])
    first = External(name, {}).identity()
    assert first["environment"].startswith(".".join(map(str, sys.version_info[:2])))
    weights.write_bytes(b"2")
    assert External(name, {}).identity() != first
    edited = External(name, {}).identity()
    (tmp_path / "checkout" / "model.py").write_text("SIZE = 256")
    changed = External(name, {}).identity()
    (tmp_path / "checkout" / "model.py").write_text("SIZE = 255")
    assert len({str(identity) for identity in (edited, changed, External(name, {}).identity())}) == 3
    described(timeout_s=5.0)
    assert External(name, {}).identity()["description"] != first["description"]
    json.dumps(first)


@pytest.mark.parametrize("path", sorted(READY_MADE.glob("*.yaml")), ids=lambda path: path.stem)
def test_ready_made_descriptions_ask_for_the_users_checkout(tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    described = read_description(path.stem)
    assert all(place in described.text for place in ("{python}", "{template}", "{driver}"))
    assert "{output}" in described.text or described.leaves_in_checkout
    with pytest.raises(BenchError, match=r"external add .* --checkout"):
        External(path.stem, {})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("system: [", "not valid YAML"),
        ("system: x", "source: Field required"),
        ("system: x\nsource: y\nlicence: z\ncommand: [a]\nshell: true", "mine.yaml: Unknown key 'shell'"),
        ("system: x\nsource: y\nlicence: z\ncommand: [a]\nfound: ../other.mp4", "within the output folder"),
    ],
)
def test_faulty_descriptions_are_one_line(tmp_path, monkeypatch, text, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".megbench" / "external").mkdir(parents=True)
    (tmp_path / ".megbench" / "external" / "mine.yaml").write_text(text)
    with pytest.raises(BenchError, match=words) as error:
        External("mine", {})
    assert "\n" not in str(error.value)


def test_an_unknown_program_is_answered_with_the_nearest(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BenchError, match="Did you mean 'fomm'"):
        External("fom", {})
    with pytest.raises(BenchError, match="external@NAME"):
        External("", {})
    assert parse_label("external@fomm").variant == "fomm"


@pytest.mark.usefixtures("in_this_process")
def test_a_crash_leaves_the_others_whole_and_a_kill_costs_only_the_cell_at_work(described, tmp_path, call):
    described("good")
    described("crash")
    make_clips(tmp_path / "clips", count=2, n_frames=3)
    script = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); import bench\n"
        "from megbench import methods, metrics, protocols;"
        "methods.METHODS['shift'] = 'tests.fakes:Shift'; metrics.METRICS['difference'] = 'tests.fakes:Difference';"
        "protocols.PROTOCOLS['fakes'] = 'tests.fakes:Fakes'; bench.main()"
    )
    rows = "external@good,external@crash,shift"
    options = (
        "--protocol",
        "fakes",
        "--drivers",
        "clips",
        "--metrics",
        "difference",
        "--no-controls",
        "--workers",
        "1",
    )
    arguments = ["--methods", rows, *options, "--out", "out"]
    command = [sys.executable, "-c", script, *arguments]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    run = tmp_path / "out"
    deadline = time.monotonic() + 60
    while len(finished_cells(run, "external@good")) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    kept = {path: path.stat().st_mtime_ns for path in finished_cells(run, "external@good")}
    assert 2 <= len(kept) < 4
    code, _, err = call(*arguments)
    assert code == 1
    assert "the weights are gone" in err
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert json.loads((run / "run.json").read_text())["finished"]
    for row, status in (("external@good", "ok"), ("external@crash", "failed"), ("shift", "ok")):
        assert [json.loads(path.read_text())["status"] for path in finished_cells(run, row)] == [status] * 4


def test_the_command_writes_a_description_of_ones_own(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        sys, "argv", ["bench.py", "external", "add", "fomm", "--checkout", ".", "--python", "/venv/python"]
    )
    with pytest.raises(SystemExit) as stop:
        bench.main()
    assert not stop.value.code
    described = read_description("fomm")
    assert (described.checkout, described.python) == (str(tmp_path.resolve()), "/venv/python")
    assert described.command == read_description("fomm").command


# A stand-in for FPB-FOMM's published run.py: it reads what the loader reads and writes what `animate` writes.
FPB_PROGRAM = """
import csv, os, shutil, sys
from pathlib import Path
import numpy as np, yaml
sys.path.insert(0, {root!r})
from megbench.core.video import read_clip
from megbench.core.video_writing import write_video
from tests.external_programs import parser, ready_made
given = parser(ready_made("fpb")["arguments"]).parse_args()
params = yaml.safe_load(Path(given.config).read_text())["dataset_params"]
assert given.mode == "animate" and not params["id_sampling"] and params["frame_shape"] == [256, 256, 3]
(pair,) = csv.DictReader(open(params["pairs_list"]))
test = Path(params["root_dir"]) / "test"
for name in ("source", "driving"):  # passed on: the test has imported torch already
    shutil.copy(os.path.join(".\\keypoint_folder", pair[name] + ".pt"), os.path.join(os.environ["SEEN"], name + ".pt"))
frames = np.stack(list(read_clip(test / pair["driving"])))
assert len(list((test / pair["source"]).iterdir())) == 1
folder = Path(given.checkpoint).parent / "animation"
folder.mkdir()
write_video(folder / (pair["driving"] + "-" + pair["source"] + ".mp4"), frames, 100.0, lossless=True)
"""


def test_the_published_layout_of_fpb_is_laid_out(tmp_path, monkeypatch, call):
    from skimage import data

    from megbench.core.clip import Clip, save_clip
    from megbench.core.frames import grey
    from megbench.faces.crop import crop
    from megbench.faces.landmarks import crop_box

    image = np.ascontiguousarray(data.astronaut())
    face = crop(image, crop_box(grey(image), "astronaut"))
    driver = save_clip(tmp_path / "clip", Clip(tmp_path, "d", "test", "s", "none", 0, ""), np.stack([face, face[::-1]]))
    program = Path(read_description("fpb").command[3].format(checkout=tmp_path / "checkout"))
    (program.parent / "config").mkdir(parents=True)
    program.write_text(FPB_PROGRAM.format(root=str(ROOT)))
    config = {"dataset_params": {"frame_shape": [256, 256, 3], "id_sampling": True}, "animate_params": {}}
    (program.parent / "config" / "my_dataset_test.yaml").write_text(yaml.safe_dump(config))
    (program.parent / "checkpoint.pth.tar").write_bytes(b"weights")
    code, _, err = call("external", "add", "fpb", "--checkout", tmp_path / "checkout", "--python", sys.executable)
    assert code == 0, err
    monkeypatch.setenv("SEEN", str(tmp_path))
    frames = animate("fpb", (Template.of("t", "t", face), driver))
    assert np.abs(frames.astype(int) - driver.frames()).max() <= 2
    assert not (program.parent / "animation").exists()
    points = [torch.load(tmp_path / f"{role}.pt", weights_only=True) for role in ("source", "driving")]
    assert all(given.shape == (18, 2) and given.min() > 0 and given.max() < 256 for given in points)


def test_the_layout_of_awp_is_that_of_fpb_in_its_own_folder():
    fpb, awp = (read_description(name).model_dump(exclude={"system", "source", *ABOUT}) for name in ("fpb", "awp"))
    fpb["command"] = tuple(part.replace("{checkout}/", "{checkout}/FOMM_with_AWP/") for part in fpb["command"])
    fpb["weights"] = tuple(f"FOMM_with_AWP/{name}" for name in fpb["weights"])
    assert awp == fpb


def test_edges_of_both_clips_are_handed_over(described, cell):
    check = (
        "from megbench.core.pictures import read_picture; from megbench.core.video import read_clip; "
        "from megbench.core.video_writing import write_video; from pathlib import Path; import numpy as np; "
        "a = read_picture(Path(sys.argv[1])); b = np.stack(list(read_clip(Path(sys.argv[2]))));"
        "assert b.shape == (4, 256, 256, 3) and set(np.unique(a)) == {0, 255} and (a.min(-1) == a.max(-1)).all();"
        "write_video(Path(sys.argv[3]), b, 25.0, lossless=True)"
    )
    command = ["{python}", "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r}); {check}"]
    words = ["{template_edges}", "{driver_edges}", "{output}"]
    frames = animate(described(command=command + words, output="video"), cell)
    assert 0.01 < (frames > 128).mean() < 0.99
