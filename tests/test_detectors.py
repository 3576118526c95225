"""Action units from other detectors: OpenFace's CSVs as it writes them, and py-feat's process with stand-in weights."""

import json
import sys
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file
from typer.testing import CliRunner

import bench
from megbench.core.errors import BenchError, Unavailable
from megbench.core.files.cache import write_json
from megbench.core.frames import grey
from megbench.core.weights import external_weights
from megbench.core.weights.external_weights import FILES
from megbench.engine.scoring import lacking
from megbench.faces import openface, pyfeat
from megbench.faces.features import Seen
from megbench.faces.landmarks import landmarks
from megbench.faces.openface import UNITS, read_openface
from megbench.metrics.openface_intensity import OpenFaceIntensity
from megbench.metrics.pyfeat_occurrence import PyFeatOccurrence
from tests.moving_face import T, face, make_cell

BUMP = np.sin(np.linspace(0, np.pi, T))


def table(strength: float, spaces: bool = True) -> pd.DataFrame:
    """Return what FeatureExtraction writes for a clip in which AU12 (and a little AU06) rises and falls."""
    rows = {"frame": np.arange(1, T + 1), "face_id": 0, "timestamp": 0.0, "confidence": 0.98, "success": 1}
    rows |= {f"{unit}_r": 0.1 for unit in UNITS} | {f"{unit}_c": 0.0 for unit in UNITS}
    rows |= {"AU12_r": 0.1 + strength * BUMP, "AU06_r": 0.1 + 0.4 * strength * BUMP}
    made = pd.DataFrame(rows)
    return made.rename(columns=lambda name: f" {name}") if spaces else made


@pytest.fixture
def cell(tmp_path, monkeypatch):
    monkeypatch.setattr(openface, "in_store", lambda name: tmp_path / name)
    return make_cell(tmp_path / "clips")


@pytest.mark.parametrize("spaces", [True, False])
def test_headers_with_and_without_spaces(tmp_path, spaces):
    table(1, spaces).to_csv(tmp_path / "clip.csv", index=False)
    scores = read_openface(tmp_path / "clip.csv", T)
    assert scores.shape == (T, 17)
    np.testing.assert_allclose(scores[:, UNITS.index("AU12")], 0.1 + BUMP)


def test_zeros_without_a_face_are_no_scores(tmp_path):
    lost = table(1)
    lost.loc[2, [" success", " confidence"]] = 0
    lost.loc[2, [f" {unit}_r" for unit in UNITS]] = 0.0
    lost.to_csv(tmp_path / "clip.csv", index=False)
    scores = read_openface(tmp_path / "clip.csv", T)
    assert np.isnan(scores[2]).all()
    assert not np.isnan(np.delete(scores, 2, axis=0)).any()
    lost.drop(columns=[" success", " confidence"]).to_csv(tmp_path / "clip.csv", index=False)
    assert np.isnan(read_openface(tmp_path / "clip.csv", T)[2]).all()


def test_one_file_a_frame(tmp_path):
    """FaceLandmarkImg writes `face, confidence, ...`, several faces per picture, and no row if there is no face."""
    made = table(1).drop(columns=[" frame", " success", " timestamp", " face_id"])
    for k in range(T):
        rows = made.iloc[[k]].assign(face=0)
        if k == 4:
            rows = pd.concat([rows.assign(**{" confidence": 0.3, " AU12_r": 5.0}), rows])
        (rows.iloc[:0] if k == 6 else rows).to_csv(tmp_path / f"{k:05d}.csv", index=False)
    scores = read_openface(tmp_path, T)
    assert np.isnan(scores[6]).all()
    assert scores[4, UNITS.index("AU12")] == pytest.approx(0.1 + BUMP[4])
    with pytest.raises(BenchError, match="the clip has 3"):
        read_openface(tmp_path, 3)


def test_other_files_are_refused_by_name(tmp_path):
    path = tmp_path / "clip.csv"
    for text, reason in (("a,b\n1,2\n", "lacks the column AU01_r"), ("", "is empty"), (None, "cannot be read")):
        if text is None:
            path.unlink()
        else:
            path.write_text(text)
        with pytest.raises(BenchError, match=reason):
            read_openface(path, T)
    pd.concat([table(1), table(1)]).to_csv(path, index=False)
    with pytest.raises(BenchError, match="more than one face"):
        read_openface(path, T)
    table(1).replace({0.98: "high"}).to_csv(path, index=False)
    with pytest.raises(BenchError, match="not a number"):
        read_openface(path, T)


def test_a_runs_csvs_are_taken_over_and_scored(cell, tmp_path):
    run, csvs = tmp_path / "run", tmp_path / "csvs"
    seen = Seen(cell, cell.truth.frames(), tmp_path / "features")
    with pytest.raises(Unavailable, match=r"bench\.py openface"):
        OpenFaceIntensity().measure(cell, seen)
    facts = {"content": seen.output.content, "n_frames": T}
    write_json(run / "run.json", {})
    write_json(run / "cells" / "mine" / cell.name / "cell.json", facts)
    write_json(run / "inputs" / "drivers" / cell.driver.name / "clip.json", json.loads(json.dumps(cell.driver.facts())))
    for place, strength in ((f"mine/{cell.name}", 0.5), (f"drivers/{cell.driver.name}", 1.0)):
        (csvs / place).parent.mkdir(parents=True, exist_ok=True)
        table(strength).to_csv(csvs / f"{place}.csv", index=False)
    table(1).to_csv(csvs / "mine" / "typo.csv", index=False)
    told = CliRunner().invoke(bench.app, ["openface", str(run), str(csvs)]).output
    assert "2 of 2" in told
    assert f"Left out, because {run} has no clips with these names: 'mine/typo.csv'" in told
    values = (
        OpenFaceIntensity()
        .measure(replace(cell, truth=None), Seen(replace(cell, truth=None), cell.truth.frames(), None))
        .values
    )
    assert values["openface_intensity_cosine"] == pytest.approx(1)
    assert values["openface_intensity_track_AU12"] == pytest.approx(1)
    assert values["openface_intensity_mae"] > 0
    assert isinstance(CliRunner().invoke(bench.app, ["openface", str(run), str(tmp_path)]).exception, BenchError)
    assert isinstance(CliRunner().invoke(bench.app, ["openface", str(csvs), str(csvs)]).exception, BenchError)


def test_occurrence_scores_are_named_so_and_have_no_size():
    names = [figure.name for figure in PyFeatOccurrence.figures]
    assert all(name.startswith("pyfeat_occurrence_") for name in names)
    assert not any(name.endswith(("_mae", "_icc")) for name in names)
    assert "occurrence" in PyFeatOccurrence.figures[0].title


@contextmanager
def feat():
    """Make py-feat's modules importable without what its `__init__` imports; remove all of them afterwards."""
    pyfeat.bare_package("feat")
    try:
        yield
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] == "feat"]:
            del sys.modules[name]


@pytest.fixture(scope="module")
def network(tmp_path_factory) -> Path:
    """Return the path of random weights in py-feat's layout (config in the metadata), for its smallest network."""
    path = tmp_path_factory.mktemp("pyfeat") / FILES["pyfeat"].file
    torch.manual_seed(0)
    with feat():
        from feat.multitask.model_v2 import MEGraphAUv2, ModelV2Config

        config = ModelV2Config(backbone="convnextv2_atto", pretrained=False, drop_mefl=True, use_head_v3=True)
        entries = {name: value.contiguous() for name, value in MEGraphAUv2(config).state_dict().items()}
    save_file(entries, path, {"config": json.dumps(asdict(config))})
    return path


def test_py_feat_answers_from_a_process_of_its_own(network, monkeypatch):
    monkeypatch.setenv("MEGBENCH_WEIGHTS", str(network.parent))
    assert lacking(PyFeatOccurrence) == ""
    running = pyfeat.Detector(external_weights.require("pyfeat"))
    frames = np.stack([face(), np.roll(face(), 3, axis=1)])
    scores = running.scores(frames, landmarks(grey(frames)[0], "face"))
    assert scores.shape == (2, len(pyfeat.UNITS))
    assert ((scores >= 0) & (scores <= 1)).all()
    np.testing.assert_allclose(running.scores(frames[:1], landmarks(grey(frames)[0], "face"))[0], scores[0], atol=1e-5)
    running.stop()
    with pytest.raises(BenchError, match=r"py-feat's process ended"):
        pyfeat.Detector(network.with_name("nowhere")).scores(frames, landmarks(grey(frames)[0], "face"))


def test_py_feat_is_never_imported_here():
    assert "feat" not in sys.modules


def test_a_package_that_is_not_installed_is_told():
    with pytest.raises(ModuleNotFoundError, match="No package named 'nobodys'"):
        pyfeat.bare_package("nobodys")
