"""The wheel keeps everything inside `megbench`, contains all data files, and gives the same numbers as a checkout."""

import email
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile

import numpy as np
import pandas as pd
import pytest

from megbench.core.frames import write_frames, write_png
from megbench.core.installation import INSTALLED, ROOT
from tests.moving_face import BROW, MOUTH, face, render
from tests.pip_install import OFFLINE, pip
from tests.test_imports import MAY_IMPORT

DATA = ("configs", "weights")
LEFT_OUT = shutil.ignore_patterns(
    *(".*", "__pycache__", "*.pyc", "*.egg-info"), *("build", "docs", "findings", "runs", "tests", "typings")
)
METRICS = ("motion_agreement", "fidelity", "face_distance", "lpips_squeeze")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Return the wheel of this checkout, built from a copy because a build leaves folders behind."""
    folder = tmp_path_factory.mktemp("wheel")
    shutil.copytree(ROOT, folder / "checkout", ignore=LEFT_OUT)
    pip("wheel", *OFFLINE, "--wheel-dir", folder / "made", folder / "checkout")
    (made,) = (folder / "made").iterdir()
    return made


@pytest.fixture(scope="module")
def site(wheel):
    """Install the wheel into a separate folder, beside this environment's libraries, and return the folder."""
    pip("install", *OFFLINE, "--target", wheel.parent / "site", wheel)
    return wheel.parent / "site"


def test_the_wheel_holds_every_file_and_one_name(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if not name.endswith("/")}
        (metadata,) = (name for name in names if name.endswith("dist-info/METADATA"))
        facts = email.message_from_bytes(archive.read(metadata))
        points = archive.read(metadata.replace("METADATA", "entry_points.txt")).decode()
    about = metadata.partition("/")[0]
    assert {name.partition("/")[0] for name in names} == {"megbench", about}
    own = {
        f"megbench/{path.relative_to(ROOT).as_posix()}"
        for folder in (*MAY_IMPORT, *DATA)
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    own |= {f"megbench/{path.name}" for path in (*(ROOT / "megbench").glob("*.py"), ROOT / "bench.py")}
    assert {name for name in names if not name.startswith(about)} == own
    assert "[console_scripts]\nmegbench = megbench.bench:main" in points
    needed, _, development = (ROOT / "requirements.txt").read_text().partition("# Development")
    stated = [line for line in needed.splitlines() if not line.startswith("#")]
    assert [re.sub(r"\s", "", line) for line in facts.get_all("Requires-Dist")] == stated
    assert "pytest" in development
    assert wheel.stat().st_size < 25_000_000


def test_folders_that_modules_look_in_are_in_the_wheel():
    """Every `ROOT / "name"` in a room names a folder of the wheel, or the documents, which only developers write."""
    sources = [path.read_text() for room in MAY_IMPORT for path in (ROOT / room).rglob("*.py")]
    named = {name for text in sources for name in re.findall(r'\bROOT / "(\w+)"', text)}
    assert {"configs", "reports", "weights"} <= named
    assert named <= {*MAY_IMPORT, *DATA, "docs"}


def python(site, folder, *arguments):
    environment = {**os.environ, "PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_general_names_are_on_nobodys_path_and_the_command_finds_its_data(site, tmp_path):
    look = f"""
        import importlib.util, runpy, sys
        import megbench
        from megbench.core.installation import COMMAND, INSTALLED, ROOT
        from megbench.core.provenance import _git_state, code_version
        print(str(ROOT) == {str(site / "megbench")!r}, INSTALLED, COMMAND)
        print([name for name in {[*MAY_IMPORT, "bench", "numpy"]!r} if importlib.util.find_spec(name)])
        print(importlib.util.find_spec("megbench.numpy"))
        print(list(_git_state()), code_version("megbench.metrics.fidelity"))
        from megbench.bench import main
        for words in (["external", "list"], ["list", "methods"], ["weights", "list"]):
            sys.argv = ["megbench", *words]
            try:
                main()
            except SystemExit as end:
                print("exit", end.code)
    """
    (tmp_path / "look.py").write_text(look.replace("\n        ", "\n"))
    lines = python(site, tmp_path, "look.py").splitlines()
    assert lines[0] == "True True megbench"
    assert lines[1] == "['numpy']"
    assert lines[2] == "None"
    assert lines[3].startswith("['sources'] ")
    assert lines.count("exit 0") == 3 or lines.count("exit None") == 3
    text = "\n".join(lines)
    assert "liveportrait" in text
    assert "weights supplied with the suite: demo" in text
    assert "bench.py" not in text
    from megbench.core.provenance import code_version

    assert not INSTALLED
    assert lines[3].endswith(code_version("megbench.metrics.fidelity")), "the same code has the same key everywhere"
    script = site / "bin" / "megbench"
    assert "The command line of MEG-Bench" in python(site, tmp_path, script, "--help")
    assert "The command line of MEG-Bench" in python(site, tmp_path, "-m", "megbench", "--help")


@pytest.fixture
def folders(tmp_path):
    """Write two drivers, one named by a number, two portraits of unequal size, and outputs for three of four cells."""
    clips = {"d0": render(MOUTH, n_frames=6)[0], "022": render(BROW, 1, n_frames=6)[0]}
    for name, frames in clips.items():
        write_frames(tmp_path / "drivers" / name, frames)
    (tmp_path / "templates").mkdir()
    write_png(tmp_path / "templates" / "p.png", np.pad(face(), ((8, 8), (8, 8), (0, 0)), mode="edge"))
    write_png(tmp_path / "templates" / "q.png", face())
    write_frames(tmp_path / "made" / "d0__p", clips["d0"])
    write_frames(tmp_path / "made" / "d0__q", clips["022"])
    write_frames(tmp_path / "made" / "022__p", np.repeat(face()[None], 6, axis=0))
    return tmp_path


# The script has no `if __name__ == "__main__"`, yet no part of it runs twice.
SCRIPT = f"""
import json
import megbench

with open("began", "a") as began:
    began.write("once")
table = megbench.score("made", "drivers", "templates", {",".join(METRICS)!r}, workers=2)
print(json.dumps([table.to_dict("records"), table.attrs]))
"""


def test_the_wheel_scores_a_folder_with_the_checkouts_numbers(site, folders, call, in_this_process):
    (folders / "score.py").write_text(SCRIPT)
    rows, attributes = json.loads(python(site, folders, "score.py").splitlines()[-1])
    assert (folders / "began").read_text() == "once"
    assert not (folders / ".megbench").exists(), "nothing is kept"
    where = ("--drivers", "drivers", "--templates", "templates", "--no-controls", "--out", "run")
    code, out, err = call("--methods", "outputs:made", "--protocol", "folder", *where, "--metrics", ",".join(METRICS))
    assert code == 0, out + err
    scores = pd.read_csv("run/scores.csv", dtype=str, keep_default_na=False)
    cells = scores[scores["scope"] == "cell"]
    assert [(row["driver"], row["template"]) for row in rows] == [("022", "p"), ("022", "q"), ("d0", "p"), ("d0", "q")]
    assert len(cells) == 4 * (len(rows[0]) - 3)
    for row in cells.to_dict("records"):
        (line,) = (line for line in rows if (line["driver"], line["template"]) == (row["driver"], row["template"]))
        value = line[row["figure"]]
        assert value == float(row["value"]) if row["value"] else np.isnan(value), row["figure"]
    whole = scores[scores["scope"] == "all"]
    sums = {figure: float(value) if value else None for figure, value in zip(whole.figure, whole.value, strict=True)}
    assert attributes == {"over_all_cells": sums}
    assert sums["agreement"] is not None
    assert sums["face_frechet"] is not None
    reasons = {(row["driver"], row["template"]): row["reason"] for row in rows}
    assert "no output for 022 on q" in reasons["022", "q"]
    told = reasons["d0", "p"]
    assert "agreement_truth" in told
    assert "the true result is not known; use the protocol demo" in told
    assert ": weights squeezenet1_1-b8a52dc0.pth are missing. With network access, run megbench weights " in told
    assert "face_frechet, face_kernel: defined only for all cells together: attrs['over_all_cells']" in told
