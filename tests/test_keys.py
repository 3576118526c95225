"""The keys of stored results include everything that determines a number, and nothing else."""

import functools
import importlib
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from megbench.baselines import GENERATORS
from megbench.core import provenance
from megbench.core.generator import descriptors
from megbench.core.provenance import COMPUTES_NOTHING, code_version, module_of, package_versions, recipe
from megbench.core.source_code import read_source
from megbench.engine.runner import Row
from megbench.faces import features
from megbench.faces.features import Seen
from megbench.methods import DRIVEN_BY, OTHERS
from megbench.methods.controls import Still
from megbench.metrics import METRICS

ROOT = Path(__file__).parent.parent
ALL = [
    *OTHERS.values(),
    *DRIVEN_BY.values(),
    *(generator.model for generator in descriptors(GENERATORS).values()),
    *METRICS.values(),
    "megbench.methods.au_from_flow:flow",
    "megbench.faces.features:Seen",
    "megbench.clips.synthetic.rendered_clips:shoot",
]
MODULES = sorted({name.partition(":")[0] for name in ALL if not name.startswith("tests")})


def forget():
    for known in (provenance._closure, code_version, package_versions, features._recipe):
        known.cache_clear()


@functools.cache
def recipes():
    for module in MODULES:
        importlib.import_module(module)
    return {module: recipe(module) for module in MODULES}


@pytest.fixture
def edited(tmp_path, monkeypatch):
    """Yield a function that returns the modules whose recipes change if one source file is edited."""
    recipes()

    def changed(name, old, new):
        def read(path):
            if path != ROOT / name:
                return read_source(path)
            text = path.read_text()
            assert old in text, f"{name} has no {old!r}"
            (tmp_path / path.name).write_text(text.replace(old, new, 1))
            return read_source.__wrapped__(tmp_path / path.name)

        monkeypatch.setattr(provenance, "read_source", read)
        forget()
        return {module for module in MODULES if recipe(module) != recipes()[module]}

    yield changed
    monkeypatch.undo()
    forget()


TEXTS = {
    "docstring of an error": ("core/errors.py", '"""', '"""In other words: '),
    "docstring of what is computed": ("faces/flow.py", '"""', '"""In other words: '),
    "comment": ("core/frames.py", "settings skip zlib's", "settings use zlib's"),
    "text of an error": ("core/errors.py", "Did you mean", "Perhaps you meant"),
    "text of a raised error": ("core/frames.py", "frames must be uint8, got", "frames must be bytes, got"),
    "text of an error that a helper makes": ("core/config.py", "must be {wanted}, got", "is to be {wanted}, got"),
    "a further method": ("methods/__init__.py", "METHODS = {", 'METHODS = {"other": "megbench.methods.other:Other",'),
    "a further metric": ("metrics/__init__.py", "METRICS = {", 'METRICS = {"other": "megbench.metrics.other:Other",'),
    "a further source": ("methods/au_sources.py", "SOURCES = {", 'SOURCES = {"other": "megbench.methods.other:other",'),
    "a further weights file": ("core/weights/external_weights.py", "FILES = {", "OTHERS = {}\nFILES = {"),
    "a note on the terminal": ("core/progress.py", "Note: ", "By the way: "),
    "a type": ("methods/generator.py", "    from torch import Tensor, nn", "    from torch import Tensor, nn, optim"),
    "a further generator": ("baselines/__init__.py", "GENERATORS = {", 'GENERATORS = {"x": "x.generator:GENERATOR",'),
    "what is said of weights": ("baselines/fomm/generator.py", "MRAA's skips", "Skips"),
}


@pytest.mark.parametrize("what", TEXTS)
def test_texts_types_and_tables_of_names_change_no_key(edited, what):
    assert edited(*TEXTS[what]) == set()


NUMBERS = {
    "flow": ("faces/flow.py", "FAR = 3.0", "FAR = 4.0", {"metrics.au_flow", "faces.features"}),
    "resize": ("faces/crop.py", "INTER_CUBIC", "INTER_LINEAR", {"methods.outputs", "faces.features"}),
    "grey": ("core/frames.py", "COLOR_RGB2GRAY", "COLOR_BGR2GRAY", {"methods.driving_pictures"}),
    "box": ("faces/pyfeat.py", "FOREHEAD = 0.3", "FOREHEAD = 0.4", {"metrics.pyfeat_occurrence"}),
    "network": ("nets/blocks.py", "\nclass ", "\nA = 2\n\n\nclass ", {"baselines.fomm.model", "fpfomm.model"}),
    "source": ("faces/action_units.py", "FLOOR = ", "FLOOR = 2 * ", {"methods.au_from_flow", "metrics.au_flow"}),
    "renderer": ("faces/facs.py", "MICRO = 0.05", "MICRO = 0.06", {"clips.synthetic.rendered_clips"}),
    "caught error": ("methods/outputs.py", "except BenchError", "except CellFailed", {"methods.outputs"}),
}  # fmt: skip


@pytest.mark.parametrize("what", NUMBERS)
def test_what_is_computed_changes_the_keys_of_what_uses_it(edited, what):
    *edit, users = NUMBERS[what]
    found = edited(*edit)
    assert {f"megbench.{user}" for user in users} <= found
    assert found != set(MODULES) or what == "grey", "frames are in everything, the others are not"


def test_the_modules_that_are_passed_over_compute_nothing():
    """The list of modules is repeated here, so that none is left out of the keys by accident."""
    core = "contracts errors generator installation processors progress provenance registry source_code"
    files = "cache folder_lock hashes kinds memo names own_store whole_files working_folder wrong_file"
    passed_over = {f"core.{name}" for name in core.split()} | {f"core.files.{name}" for name in files.split()}
    assert set(COMPUTES_NOTHING) == {f"megbench.{name}" for name in passed_over | {"core.weights.external_weights"}}
    for module in COMPUTES_NOTHING:
        kept = {choices[0].partition(".")[0] for choices in read_source(provenance._file_in(ROOT, module)).imports}
        assert not kept & {"numpy", "scipy", "cv2", "dlib", "pandas", "PIL", "av"}, module


def test_packages_count_where_they_compute():
    found = {module: set(recipes()[module]["packages"]) for module in MODULES}
    for module in (
        "megbench.methods.controls",
        "megbench.methods.flow_warp",
        "megbench.methods.outputs",
        "megbench.metrics.flicker",
        "megbench.clips.synthetic.rendered_clips",
    ):
        assert not found[module] & {"torch", "torchvision"}, module
    assert {"torch", "numpy"} <= found["megbench.baselines.fomm.model"]
    assert {"torch", "opencv-python-headless"} <= found["megbench.methods.driving_pictures"]
    assert "dlib-bin" not in found["megbench.methods.driving_pictures"] | found["megbench.baselines.fomm.model"]
    assert {"opencv-python-headless", "dlib-bin", "numpy"} <= found["megbench.methods.flow_warp"] & found[
        "megbench.metrics.au_flow"
    ]
    assert {"lpips", "torch", "torchvision"} <= found["megbench.metrics.lpips"]
    assert {"pytorch-fid", "torch", "torchvision"} <= found["megbench.metrics.fid"]
    assert {"py-feat", "torch"} <= found["megbench.metrics.pyfeat_occurrence"]
    assert "mediapipe" in found["megbench.metrics.au_blendshape"]
    missing = {name for module in MODULES for name, version in recipes()[module]["packages"].items() if not version}
    assert missing <= {"mediapipe"}, "which users install themselves"


def test_a_page_opens_no_detector_no_network_and_no_plots():
    assert not set(package_versions("megbench.reports.html")) & {"dlib-bin", "torch", "matplotlib"}


def test_another_torch_makes_its_cells_and_scores_anew_and_no_others(monkeypatch):
    before = recipes()
    real = provenance.version_of
    monkeypatch.setattr(provenance, "version_of", lambda name: "9.9" if name == "torch" else real(name))
    package_versions.cache_clear()
    try:
        changed = {module for module in MODULES if recipe(module) != before[module]}
        assert {
            "megbench.baselines.fomm.model",
            "megbench.baselines.ulmegan.model",
            "megbench.metrics.fid",
            "megbench.metrics.lpips",
        } <= changed
        assert not changed & {
            "megbench.methods.controls",
            "megbench.methods.outputs",
            "megbench.metrics.motion_agreement",
            "megbench.faces.features",
        }
        assert Row.of("still", "still", "", {}, Still).identity["packages"]["numpy"] == np.__version__
    finally:
        package_versions.cache_clear()


@pytest.mark.parametrize(
    "style", ["from . import near", "from .near import STRENGTH", "import plugged.near", "from plugged import near"]
)
def test_a_plug_ins_own_modules_and_ours_count(tmp_path, monkeypatch, style):
    package = tmp_path / "plugged"
    package.mkdir()
    (package / "__init__.py").write_text("NAMES = {}\n")
    (package / "near.py").write_text("STRENGTH = 1\n")
    (package / "method.py").write_text(f"import numpy\nfrom megbench.faces import flow\n{style}\n")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.import_module("plugged.method")
    try:
        first = code_version("plugged.method")
        assert {"numpy", "dlib-bin"} <= set(package_versions("plugged.method")), "of ours too"
        for name, text in (("near.py", "STRENGTH = 2\n"), ("__init__.py", "NAMES = {1: 2}\n")):
            (package / name).write_text(text)
            for known in (read_source, provenance._closure, code_version):
                known.cache_clear()
            assert (code_version("plugged.method") != first) == (name == "near.py")
            first = code_version("plugged.method")
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] == "plugged"]:
            del sys.modules[name]
        forget()


def test_a_plug_in_in_the_environment_counts_without_its_neighbours(tmp_path, monkeypatch):
    environment = tmp_path / "site-packages"
    environment.mkdir()
    (environment / "plugged.py").write_text("import neighbour\nimport compiled\n")
    (environment / "neighbour.py").write_text("A = 1\n")
    monkeypatch.syspath_prepend(environment)
    for name, file in (("plugged", "plugged.py"), ("compiled", "compiled.so")):
        monkeypatch.setitem(sys.modules, name, SimpleNamespace(__file__=str(environment / file)))
    (environment / "compiled.so").write_bytes(b"\x7fELF\0")
    try:
        assert len(provenance._closure("plugged").sources) == 1
        assert package_versions("plugged") == {"compiled": None, "neighbour": None}
        first = code_version("compiled")
        (environment / "compiled.so").write_bytes(b"\x7fELF\1")
        for known in (read_source, provenance._closure, code_version):
            known.cache_clear()
        assert code_version("compiled") != first
    finally:
        forget()


def test_a_computation_belongs_to_the_module_it_is_written_in():
    assert module_of(functools.partial(functools.partial(detect_nothing, 1))) == __name__
    assert module_of(Still("", {}).identity) == "megbench.methods.controls"
    assert module_of(lambda: None) == __name__
    assert module_of(Seen) == "megbench.faces.features"


def detect_nothing(*_):
    return {"points": np.zeros(0)}
