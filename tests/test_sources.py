"""Every file other than the clips that determines a number is in that number's key, and scores follow it at once."""

import functools
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
import torchvision

from megbench.core.clip import Cell, Template
from megbench.core.files.cache import CellRecord, link_folder
from megbench.core.files.hashes import hash_if_readable
from megbench.core.provenance import recipe
from megbench.core.registry import load
from megbench.core.weights import external_weights
from megbench.core.weights.external_weights import FILES
from megbench.core.weights.network_weights import card_path
from megbench.core.worker import answer
from megbench.engine import scoring
from megbench.engine.runner import Job, Row, Settings, cell_folder, cell_key
from megbench.engine.scoring import Scorer, measure_all, partial_key
from megbench.faces import blendshapes, features, openface
from megbench.faces.features import Seen
from megbench.faces.openface import UNITS, keep
from megbench.methods import au_sources, make_method, parse_label
from megbench.methods.controls import Still
from megbench.metrics import METRICS, fid, pyfeat_occurrence
from megbench.metrics.openface_intensity import OpenFaceIntensity
from tests.moving_face import BROW, MOUTH, face, make_clip

UlmeGan = make_method("ulmegan")

ROOT = Path(__file__).parent.parent
T = 5


@pytest.fixture(scope="module")
def cell(tmp_path_factory):
    """Make a cell in which a face drives itself for five frames, with truth and foil."""
    folder = tmp_path_factory.mktemp("clips")
    clips = {
        "driver": make_clip(folder, "driver", MOUTH, 1, n_frames=T),
        "reference": make_clip(folder, "reference", MOUTH, 2, n_frames=T),
        "truth": make_clip(folder, "truth", MOUTH, n_frames=T),
        "foil": make_clip(folder, "foil", BROW, 3, n_frames=T),
    }
    return Cell("tests", template=Template.of("face", "astronaut", face()), **clips)


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """Make an empty store for the user's action units, read by methods, and OpenFace's scores, read by the metric."""
    monkeypatch.setattr(au_sources, "in_store", lambda name: tmp_path / name)
    monkeypatch.setattr(openface, "in_store", lambda name: tmp_path / name)
    return tmp_path


def test_features_follow_the_code_and_the_files_of_what_computes_them(cell, tmp_path, monkeypatch):
    made = []

    def compute():
        made.append(1)
        return {"values": np.zeros(1)}

    def look(name="mine"):
        Seen(cell, face()[None], tmp_path / "features").output.kept(name, compute, [tmp_path / "weights.bin"])
        return len(made)

    assert (look(), look()) == (1, 1)
    (tmp_path / "weights.bin").write_bytes(b"one")
    assert (look(), look()) == (2, 2)
    (tmp_path / "weights.bin").write_bytes(b"two")
    assert (look(), look()) == (3, 3)
    monkeypatch.setattr(features, "recipe", lambda module: "other code" if module == __name__ else recipe(module))
    features._recipe.cache_clear()
    assert (look(), look()) == (4, 4)
    assert look("other") == 5
    features._recipe.cache_clear()


def table(strength):
    values = np.full((T, len(UNITS)), 0.2)
    values[:, UNITS.index("AU12")] += strength * np.array([0, 1, 2, 1, 0.5])
    return values


def au_table(path, strength):
    path.parent.mkdir(parents=True, exist_ok=True)
    intensity = pd.DataFrame(table(strength), columns=[f"{unit}_r" for unit in UNITS])
    presence = pd.DataFrame((table(strength) > 1).astype(int), columns=[f"{unit}_c" for unit in UNITS])
    marks = pd.DataFrame({"frame": range(1, T + 1), "confidence": 0.98, "success": 1})
    pd.concat([marks, intensity, presence], axis=1).to_csv(path, index=False)


@pytest.mark.parametrize("name", ["openface", "table"])
def test_the_table_of_a_driver_decides_its_own_cells_only(cell, folders, name):
    row = Row.of("x", "ulmegan", "", {"au_source": name}, UlmeGan)
    key = functools.partial(cell_key, row, cell, "1", Settings(folders, "cpu", 0, 1))
    absent = key()
    au_table(folders / "aus" / name / "somebody.csv", 1.0)
    assert key() == absent
    own = folders / "aus" / name / f"{cell.driver.name}.csv"
    au_table(own, 1.0)
    first = key()
    au_table(own, 2.0)
    assert len({absent, first, key()}) == 3
    own.unlink()
    assert key() == absent
    truth = Row.of("y", "ulmegan", "", {}, UlmeGan)
    assert truth.sources(cell) == []


def test_the_exact_motion_of_a_clip_is_part_of_its_keys(cell, tmp_path):
    other = make_clip(tmp_path, "driver", MOUTH, 1, n_frames=T)
    assert other.state() == cell.driver.state()
    known = dict(np.load(tmp_path / "driver" / "known.npz"))
    np.savez(tmp_path / "driver" / "known.npz", **{**known, "au_intensity": 2 * known["au_intensity"]})
    assert other.facts() == cell.driver.facts()
    row, settings, changed = (
        Row.of("still", "still", "", {}, Still),
        Settings(tmp_path, "cpu", 0, 1),
        replace(cell, driver=other),
    )
    assert cell_key(row, changed, "1", settings) != cell_key(row, cell, "1", settings)
    metric = OpenFaceIntensity()
    assert partial_key(metric, [], changed, "x") != partial_key(metric, [], cell, "x")


@pytest.fixture
def score(cell, tmp_path, monkeypatch):
    """Return a function that scores the truth as an output, and returns its partial and whether it was measured."""

    def perform(lanes, *_):
        for lane in lanes:
            do = lane.set_up()
            yield from (answer(do, item) for batch in lane.batches for item in batch)

    monkeypatch.setattr(scoring, "perform", perform)
    job = Job(Row.of("still", "still", "", {}, Still), cell, "key")
    records = {"key": CellRecord("key", "ok", n_frames=T, content=cell.truth.content)}
    scorer = Scorer([OpenFaceIntensity], Seen, tmp_path / "store", 1)
    link_folder(cell.truth.folder, cell_folder(tmp_path / "run", job))

    def scored():
        partials, measured = measure_all(tmp_path / "run", [job], records, scorer)
        return partials["still/driver__face"]["openface_intensity"], measured

    return scored


def stamps(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_scores_follow_newly_imported_tables_at_once(cell, folders, score):
    def error():
        return score()[0].values["openface_intensity_mae"]

    missing, measured = score()
    assert (missing.status, measured) == ("unavailable", True)
    before = stamps(folders / "store")
    assert score() == (missing, False), "what is known to be lacking is not looked for again"
    assert stamps(folders / "store") == before
    kept = [keep(clip.content, table(strength)) for clip, strength in ((cell.truth, 0.5), (cell.driver, 1.0))]
    poor = error()
    assert poor > 0
    assert not score()[1]
    keep(cell.truth.content, table(1.0))
    assert error() == 0
    keep(cell.truth.content, table(0.5))
    assert error() == poor
    kept[1].unlink()
    assert score()[0].status == "unavailable"
    keep(cell.driver.content, table(1.0))
    assert error() == poor


# An audit hook cannot be removed, so this one records only while `watched` is a list.
watched: list[Path] | None = None


def _watch(event, arguments):
    if event == "open" and watched is not None and isinstance(arguments[0], str | bytes | Path):
        watched.append(Path(arguments[0].decode() if isinstance(arguments[0], bytes) else arguments[0]).resolve())


@pytest.fixture(scope="module")
def opened():
    """Return a function that calls another and returns the files it opened, except code, packages and system files."""
    sys.addaudithook(_watch)
    of_python = [
        Path(place).resolve() for place in (sys.prefix, sys.base_prefix, *sys.path) if Path(place).resolve() != ROOT
    ]
    allowed = (
        *of_python,
        Path("/dev"),
        Path("/proc"),
        Path("/sys"),
        Path("/etc"),
        ROOT / "configs",
        ROOT / "protocols",
    )

    def during(call, *own):
        global watched
        watched = []
        try:
            call()
        finally:
            found, watched = watched, None
        return {
            path
            for path in found
            if not any(path.is_relative_to(place) for place in (*allowed, *own))
            and not (path.is_relative_to(ROOT) and path.suffix in (".py", ".pyc"))
            and path.is_file()
        }

    return during


def clip_folders(cell):
    return [clip.folder.resolve() for clip in (cell.driver, cell.reference, cell.truth, cell.foil)]


@pytest.fixture
def weights(tmp_path, monkeypatch):
    """Write small files under the names of the weights, and replace the large networks that read them."""
    folder = tmp_path / "weights"
    folder.mkdir()
    monkeypatch.setenv("MEGBENCH_WEIGHTS", str(folder))
    states = {name: {"entry": torch.zeros(1)} for name in ("inception", "pyfeat")}
    states["squeezenet"] = torchvision.models.squeezenet1_1(weights=None).state_dict()
    (folder / FILES["landmarker"].file).write_bytes(b"\x80a model")
    monkeypatch.setitem(FILES, "landmarker", replace(FILES["landmarker"], sha256=""))
    for name, state in states.items():
        torch.save(state, folder / FILES[name].file)
        monkeypatch.setitem(FILES, name, replace(FILES[name], sha256=""))

    def inception(path):
        Path(path).read_bytes()
        return lambda pictures: [pictures.mean((1, 2, 3), keepdim=True).expand(-1, 2048, 1, 1)]

    def detector(path):
        path.read_bytes()
        return SimpleNamespace(scores=lambda frames, points: np.zeros((len(frames), 20)))

    def landmarker(path):
        path.read_bytes()
        return SimpleNamespace(units=lambda frames: np.linspace(0, 1, 9 * len(frames)).reshape(len(frames), 9))

    monkeypatch.setattr(blendshapes, "installed", lambda: True)
    monkeypatch.setattr(blendshapes, "landmarker", landmarker)
    monkeypatch.setattr(fid, "_inception", inception)
    monkeypatch.setattr(pyfeat_occurrence, "detector", detector)


# The three networks of LPIPS share one class, so the smallest represents them.
MEASURED = [name for name in METRICS if name not in ("lpips", "lpips_vgg", "frechet_alexnet")]


@pytest.mark.parametrize("name", [name for name in MEASURED if METRICS[name].startswith("megbench.metrics.")])
def test_every_file_that_a_metric_opens_is_in_its_key(name, cell, folders, weights, opened):
    for clip in (cell.truth, cell.driver):
        keep(clip.content, table(1.0))
    metric = load("metric", name, METRICS)()
    found = opened(
        lambda: metric.measure(cell, Seen(cell, cell.truth.frames(), folders / "features")),
        *clip_folders(cell), folders / "features",
    )  # fmt: skip
    declared = {external_weights.require(weight).resolve() for weight in getattr(metric, "weights", ())}
    if hasattr(metric, "sources"):
        declared |= {path.resolve() for path in metric.sources(cell, cell.truth.content)}
    assert found <= declared
    read = ("openface_intensity", "fid", "lpips_squeeze", "pyfeat_occurrence", "au_blendshape")
    assert found or name not in read, "the hook sees them"


ROWS = [
    *("still", "still_noise", "rigid", "apex_ramp", "reversed", "wrong_driver", "ceiling", "truth", "flow_warp"),
    *("ulmegan", "ulmegan:au_source=openface", "ulmegan:au_source=table", "ulmegan:au_source=flow"),
    # All generators find and read their weights by the same code, so two represent those without action units.
    *("tps_rau:au_source=table", "fpfomm", "mraa"),
]


@pytest.mark.parametrize("text", ROWS)
def test_every_file_that_a_method_opens_is_in_its_cells_key(text, cell, folders, opened):
    au_table(folders / "aus" / "openface" / "driver.csv", 1.0)
    (folders / "aus" / "table").mkdir()
    np.savetxt(folders / "aus" / "table" / "driver.csv", table(1.0), delimiter=",")
    label = parse_label(text)
    maker = make_method(label.name)
    row = Row.of(text, label.name, label.variant, label.options, maker)

    def animate():
        method = maker(label.variant, label.options)
        if hasattr(method, "animate_cell"):
            return method.animate_cell(cell)
        method.prepare("cpu")
        return method.animate(cell.template, cell.driver)

    found = opened(animate, *clip_folders(cell))
    declared = {path.resolve() for path in row.sources(cell)}
    hashed = {path for path in found if str(hash_if_readable(path)) in str(row.identity)}
    cards = {card_path(maker(label.variant, label.options).weights)} if "config" in row.identity else set()
    assert found <= declared | hashed | cards
    assert declared <= found
