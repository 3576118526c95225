"""External weights: where files are looked for, which files are refused, and that nothing is downloaded unasked."""

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

import bench
from megbench.core.errors import BenchError, Unavailable
from megbench.core.weights import external_weights
from megbench.core.weights.external_weights import FILES
from megbench.engine.scoring import lacking

DATA = b"\x80stand-in weights"
HASH = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Return the weights folder of a machine without weights, with `alexnet` defined as a small file."""
    monkeypatch.chdir(tmp_path)  # hides weights downloaded into the checkout
    monkeypatch.setitem(FILES, "alexnet", replace(FILES["alexnet"], sha256=HASH, size=len(DATA)))
    monkeypatch.setenv("MEGBENCH_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    return tmp_path / "weights"


@pytest.mark.parametrize("row", FILES.values(), ids=lambda row: row.name)
def test_hashes_are_those_that_the_published_names_begin_with(row):
    assert row.certainty
    digits = row.file.rpartition("-")[2].partition(".")[0]
    if row.source.startswith("torchvision") or row.name == "inception":
        assert row.sha256.startswith(digits)
        assert len(digits) == 8
        assert external_weights.address(row).endswith(row.file)
    assert len(row.sha256) in (0, 8, 64)


def test_what_is_nowhere_is_unavailable_with_the_command(table):
    assert external_weights.find("alexnet") is None
    with pytest.raises(Unavailable, match="weights fetch lpips;"):
        external_weights.require("alexnet")


def test_a_file_is_known_by_its_own_name_and_its_metrics(table):
    assert external_weights.entry("lpips") is external_weights.entry("alexnet")
    for name, metric in (("vgg16", "lpips_vgg"), ("inception", "fid"), ("landmarker", "au_blendshape")):
        assert external_weights.entry(name) is external_weights.entry(metric)
    for row in FILES.values():
        assert external_weights.entry(row.advised or row.name) is row
    with pytest.raises(
        BenchError, match=r"Unknown weights 'lpip'\. Did you mean 'lpips'\? Choices: alexnet, .*lpips, "
    ) as told:
        external_weights.fetch("lpip")
    assert "training" not in str(told.value)


def test_the_folder_comes_before_the_packages_cache(table, tmp_path):
    cached = tmp_path / "torch" / "hub" / "checkpoints" / FILES["alexnet"].file
    cached.parent.mkdir(parents=True)
    cached.write_bytes(DATA)
    assert external_weights.find("alexnet") == cached
    own = table / FILES["alexnet"].file
    own.parent.mkdir(parents=True)
    own.write_bytes(DATA)
    assert external_weights.find("alexnet") == own


def test_a_hub_file_is_found_in_the_hubs_own_layout(table, tmp_path):
    row = FILES["pyfeat"]
    path = tmp_path / "hub" / "hub" / "models--py-feat--face_multitask_v2" / "snapshots" / ("a" * 40) / row.file
    path.parent.mkdir(parents=True)
    path.write_bytes(DATA)
    assert external_weights.find("pyfeat") == path


def test_a_wrong_hash_is_refused_wherever_it_lies(table, tmp_path):
    wrong = tmp_path / FILES["alexnet"].file
    wrong.write_bytes(b"\x80something else")
    with pytest.raises(BenchError, match="its sha256 begins with"):
        external_weights.add(wrong)
    assert not list(table.glob("*"))
    table.mkdir(parents=True, exist_ok=True)
    (table / wrong.name).write_bytes(b"\x80something else")
    with pytest.raises(BenchError, match="its sha256 begins with"):
        external_weights.find("alexnet")


def test_a_file_is_added_by_its_name_or_its_hash(table, tmp_path):
    for name in (FILES["alexnet"].file, "download (3).bin"):
        (tmp_path / name).write_bytes(DATA)
        row, path = external_weights.add(tmp_path / name)
        assert (row.name, path.read_bytes()) == ("alexnet", DATA)
        path.unlink()
    (tmp_path / "other.pth").write_bytes(b"\x80x")
    with pytest.raises(BenchError, match="not among the weights"):
        external_weights.add(tmp_path / "other.pth")
    with pytest.raises(BenchError, match="does not exist"):
        external_weights.add(tmp_path / "nothing.pth")


def test_fetching_keeps_only_the_right_file(table, monkeypatch, tmp_path):
    served = tmp_path / "served.pth"
    served.write_bytes(DATA)
    monkeypatch.setattr(external_weights, "address", lambda row: served.as_uri())
    monkeypatch.setitem(FILES, "alexnet", replace(FILES["alexnet"], trunk=None))
    assert external_weights.fetch("alexnet").read_bytes() == DATA
    (table / FILES["alexnet"].file).unlink()
    served.write_bytes(b"another file")
    with pytest.raises(BenchError, match="weights add FILE"):
        external_weights.fetch("alexnet")
    assert not list(table.iterdir())


def test_a_metric_without_its_weights_says_so(table):
    class Needy:
        weights = ("alexnet",)

    assert "weights fetch lpips;" in lacking(Needy)
    table.mkdir(parents=True)
    (table / FILES["alexnet"].file).write_bytes(DATA)
    assert lacking(Needy) == ""


def test_the_commands_say_what_is_here_and_what_is_not(table, tmp_path):
    runner = CliRunner()
    listed = runner.invoke(bench.app, ["weights", "list"])
    assert listed.exit_code == 0
    assert listed.output.count("not here") == len(FILES)
    file = tmp_path / FILES["alexnet"].file
    file.write_bytes(DATA)
    assert runner.invoke(bench.app, ["weights", "add", str(file)]).exit_code == 0
    assert f"here: {table}" in runner.invoke(bench.app, ["weights", "list"]).output
    assert isinstance(runner.invoke(bench.app, ["weights", "fetch", "nothing"]).exception, BenchError)
    assert isinstance(runner.invoke(bench.app, ["weights", "add"]).exception, BenchError)


def test_the_doctor_names_every_metric(table):
    told = CliRunner().invoke(bench.app, ["doctor"])
    assert told.exit_code == 0
    assert "yes motion_agreement" in told.output
    assert "no  fid" in told.output
    assert "no  openface_intensity no OpenFace scores were imported" in told.output
    assert "weights fetch inception" in told.output
    assert "precision=bf16" in told.output
