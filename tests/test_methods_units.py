"""TPS, TPS with relative action units and ULME-GAN as methods, and the sources of action units."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pandas as pd
import pytest
import torch

import megbench.methods.cards
from megbench.baselines import GENERATORS
from megbench.baselines.tps import model as tps
from megbench.baselines.tps_rau import model as tps_rau
from megbench.baselines.ulmegan import model as ulmegan
from megbench.baselines.ulmegan.action_units import sequence
from megbench.commands import ulme_maps
from megbench.core.clip import Cell, Clip, KnownMotion, Template, save_clip
from megbench.core.config import as_dict
from megbench.core.errors import BenchError, CellFailed
from megbench.core.generator import descriptors
from megbench.core.openface_units import OPENFACE, column
from megbench.core.weights.network_weights import read_weights, save_weights
from megbench.faces import action_units
from megbench.methods import DRIVEN_BY, au_sources, make_method
from megbench.methods.au_sources import ActionUnits, source
from megbench.methods.generator import DISPLACED
from tests.test_imports import reached
from tests.test_tps import RAU, TPS
from tests.test_ulmegan import SMALL

Tps, TpsRau, UlmeGan = (make_method(name) for name in ("tps", "tps_rau", "ulmegan"))

ULME = replace(SMALL, image_size=128)
# Networks for 256-pixel pictures.
CASES = {"tps": (tps, TPS), "tps_rau": (tps_rau, replace(RAU, image_size=256)), "ulmegan": (ulmegan, ULME)}
N = 5


@pytest.fixture(autouse=True)
def weights(tmp_path, monkeypatch):
    """Make a checkout with tiny random demo weights and an empty store. Return the user's weights folder."""
    monkeypatch.setattr(megbench.methods.cards, "ROOT", tmp_path)
    monkeypatch.setenv("MEGBENCH_WEIGHTS", str(tmp_path / "user"))
    monkeypatch.setattr(au_sources, "in_store", lambda name: tmp_path / name)
    for name, (model, config) in CASES.items():
        torch.manual_seed(1)
        networks = model.networks(config)
        for unused in ("avd_network", "bg_predictor", "dis"):
            networks.pop(unused, None)
        if name == "tps_rau":
            for layer in networks["inpainting_network"].modulation:
                torch.nn.init.normal_(layer.weight)
        save_weights(tmp_path / "weights" / "demo" / f"{name}.safetensors", networks, {"config": as_dict(config)})
    return tmp_path / "user"


@pytest.fixture(scope="module")
def face():
    """Return a real face, cropped to 256 x 256 pixels from a photograph that comes with scikit-image."""
    from skimage import data

    from megbench.core.frames import grey
    from megbench.faces.crop import crop
    from megbench.faces.landmarks import crop_box

    image = np.ascontiguousarray(data.astronaut())
    return crop(image, crop_box(grey(image), "astronaut"))


@pytest.fixture
def driver(tmp_path, face):
    """Return a clip with known motion, like a rendered clip: a smile that comes and goes."""
    smile = np.array([0, 0.5, 1, 0.5, 0], np.float32)
    known = KnownMotion(
        ("AU12", "AU43"),
        np.stack([smile, np.zeros(N, np.float32)], axis=1),
        np.zeros((2, 256, 256, 2), np.float16),
        np.tile(np.eye(2, 3, dtype=np.float32), (N, 1, 1)),
        np.zeros((N, 68, 2), np.float32),
    )
    frames = np.stack([np.roll(face, k, axis=1) for k in range(N)])
    return save_clip(tmp_path / "clip", Clip(tmp_path, "d", "test", "s", "none", 0, "", rendered=True), frames, known)


@pytest.fixture
def recording(tmp_path, face):
    return save_clip(tmp_path / "real", Clip(tmp_path, "real", "test", "s", "none", 0, ""), np.repeat(face[None], N, 0))


def ready(kind, variant="", **options):
    method = kind(variant, options)
    method.prepare("cpu")
    return method


def test_no_trained_method_imports_the_measured_flow():
    """Only what is loaded by name measures flow: au_source=flow and steadied drivers, which are both marked."""
    measured = {
        "megbench.faces.steady",
        "megbench.faces.flow",
        "megbench.faces.transfer",
        "megbench.faces.motion",
        "megbench.faces.features",
        "megbench.faces.head",
        "megbench.faces.field",
    }
    places = [generator.model for generator in descriptors(GENERATORS).values()]
    for place in (*places, *DRIVEN_BY.values(), *DISPLACED.values()):
        assert not reached(place.partition(":")[0]) & measured, place
    assert measured & reached("megbench.methods.flow_warp"), "the walk does find it where it is"


@pytest.mark.parametrize("kind", [Tps, TpsRau, UlmeGan])
def test_frames_come_out_and_follow_the_driver(kind, face, driver):
    method = ready(kind)
    output = method.animate(Template.of("t", "s", face), driver)
    assert output.shape == (N, 256, 256, 3)
    assert output.dtype == np.uint8
    assert not np.array_equal(output[0], output[2])
    assert np.array_equal(method.animate(Template.of("t", "s", face), driver), output)


@pytest.mark.parametrize("kind", [TpsRau, UlmeGan])
def test_methods_driven_by_units_do_not_look_at_the_driver(kind, face, driver, monkeypatch):
    method = ready(kind)
    monkeypatch.setattr(Clip, "frames", lambda self: pytest.fail("looked at the driver"))
    method.animate(Template.of("t", "s", face), driver)


def test_relative_units_leave_the_template_alone_while_the_driver_rests(face, driver):
    output = ready(TpsRau).animate(Template.of("t", "s", face), driver)
    assert np.array_equal(output[0], output[-1])
    moved = ready(TpsRau, mode="absolute").animate(Template.of("t", "s", face), driver)
    assert moved.shape == output.shape


def test_modes_of_ulmegan_are_variants_too(driver):
    units = source("truth")(driver)
    sequences = {}
    for variant in ("plain", "recode", "recode_linear", "apex_frame"):
        method = UlmeGan(variant, {})
        assert method.variant == variant
        assert method.weights == UlmeGan("", {}).weights
        assert method.mode == UlmeGan("", {"mode": variant}).mode == variant
        sequences[variant] = sequence(units.intensity, units.presence, variant)[:, column(12)]
    assert sequences["plain"].tolist() == [0, 0.5, 1, 0.5, 0]
    assert np.array_equal(sequences["recode"], sequences["plain"]), "present in three of five frames"
    assert sequences["recode_linear"].tolist() == [0, 0.5, 1, 0.5, 0]
    assert sequences["apex_frame"][-1] > 0, "as published the apex mode does not come to rest"
    assert UlmeGan("", {}).mode == "recode_linear"
    with pytest.raises(BenchError, match="is already a mode"):
        UlmeGan("plain", {"mode": "recode"})


def test_identities_tell_switches_and_sources_apart():
    labels = [("", {}), ("plain", {}), ("", {"fit": "published"}), ("", {"output": "published"})]
    labels += [("", {"au_source": "table"})]
    identities = [str(UlmeGan(*label).identity()) for label in labels]
    assert len(set(identities)) == 5


def test_the_published_output_is_coarser(face, driver):
    template = Template.of("t", "s", face)
    clean, published = (ready(UlmeGan, output=name).animate(template, driver) for name in ("clean", "published"))
    difference = np.abs(clean.astype(int) - published)
    assert 0 < difference.mean() < 10, "JPEG of an untrained network's patterns"


def test_unknown_options_get_a_hint():
    with pytest.raises(BenchError, match="Did you mean 'openface'"):
        UlmeGan("", {"au_source": "openfaces"})
    with pytest.raises(BenchError, match="Unknown option of tps"):
        Tps("", {"au_source": "truth"})


def test_published_files_of_ulmegan_load_as_they_are(weights, face, driver):
    weights.mkdir()
    state = ulmegan.UlmeGenerator(ulmegan.UlmeConfig()).state_dict()
    torch.save(state, weights / "ulmegan@40.pth")
    method = ready(UlmeGan, "40", mode="plain")
    loaded = method.networks["gen"].state_dict()
    for name in ("color_top.0.weight", "au_top.0.weight"):  # rearranged by megbench.nets.fast for four pixels at once
        loaded[name] = loaded[name][::4, :, :7, :7]
    assert loaded.keys() - state.keys() <= {"color_top.0.bias", "au_top.0.bias"}
    assert all(torch.equal(loaded[name], value) for name, value in state.items())
    del state["au_top.0.weight"]
    torch.save(state, weights / "ulmegan@40.pth")
    with pytest.raises(BenchError, match=r"missing: au_top\.0\.weight"):
        ready(UlmeGan, "40")


def test_published_files_of_relative_units_get_the_published_switches(weights, monkeypatch):
    """At full size the networks are large, so only the request to build them is checked here."""
    weights.mkdir()
    asked = []
    names = ("inpainting_network", "dense_motion_network", "kp_detector")
    monkeypatch.setattr(tps_rau, "networks", lambda config: asked.append(config) or dict.fromkeys(names))
    for channels in (512, 529):
        entry = torch.zeros(256, channels, 3, 3)
        state = {"inpainting_network": {"up_blocks.0.conv.weight": entry}}
        torch.save(state | {"epoch": 3}, weights / "tps_rau@x.pth.tar")
        TpsRau("x", {}).build(read_weights(weights / "tps_rau@x.pth.tar"))
    assert [(config.points, config.condition) for config in asked] == [("sigmoid", "none"), ("sigmoid", "planes")]


def test_a_checkpoint_without_an_avd_network_says_so():
    with pytest.raises(BenchError, match=r"no trained avd_network\. Use tps:mode=relative, or train the stage avd"):
        ready(Tps, mode="avd")


def test_the_truth_is_read_in_openface_scale(driver, recording):
    units = source("truth")(driver)
    assert units.intensity.shape == units.presence.shape == (N, len(OPENFACE))
    assert units.intensity[:, column(12)].tolist() == [0, 2.5, 5, 2.5, 0]
    assert units.presence[:, column(12)].tolist() == [0, 1, 1, 1, 0]
    assert not np.delete(units.intensity, column(12), axis=1).any()
    with pytest.raises(CellFailed, match="au_source=openface"):
        source("truth")(recording)


def openface_csv(folder: Path, rows: int, **changes: object) -> Path:
    """Write a CSV file as OpenFace's FeatureExtraction does, with a space after each comma."""
    names = [f"AU{unit:02d}" for unit in OPENFACE]
    values = {"frame": range(1, rows + 1), "face_id": [0] * rows, "confidence": [0.98] * rows, "success": [1] * rows}
    values |= {f"{name}_r": np.linspace(0, 2, rows) for name in names}
    values |= {f"{name}_c": [1.0] * rows for name in [*names, "AU28"]}
    values |= changes
    lines = [", ".join(values), *(", ".join(str(cell) for cell in row) for row in zip(*values.values(), strict=True))]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "real.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_openface_files_are_read_with_their_blanks(tmp_path, recording):
    openface_csv(tmp_path / "aus" / "openface", N)
    units = source("openface")(recording)
    assert np.allclose(units.intensity[:, 0], np.linspace(0, 2, N))
    assert units.presence.all()


@pytest.mark.parametrize(
    ("rows", "changes", "message"),
    [
        (N - 1, {}, "4 rows, but driver real has 5 frames"),
        (N, {"face_id": [0, 0, 1, 0, 0]}, "rows for more than one face"),
        (N, {"AU12_r": [0, 1, "x", 1, 0]}, "line 4: AU12_r is 'x', not a number"),
        (N, {"AU12_r": [0, 1, 2, 9, 0]}, "frame 4: AU12_r is 9; action units must be numbers from 0 to 5"),
    ],
)
def test_openface_files_that_do_not_fit_fail_their_cell(tmp_path, recording, rows, changes, message):
    openface_csv(tmp_path / "aus" / "openface", rows, **changes)
    with pytest.raises(CellFailed, match=message):
        source("openface")(recording)


def test_missing_and_damaged_files_are_named(tmp_path, recording):
    for name in ("openface", "table"):
        (tmp_path / "aus" / name).mkdir(parents=True)
        np.save(tmp_path / "aus" / name / "real.npy", np.zeros((N, 17)))
        with pytest.raises(CellFailed, match=rf"{name}/real\.csv does not exist.* XLSX, XLS or ODS.*\.npy\) is read"):
            source(name)(recording)
        (tmp_path / "aus" / name / "real.csv").write_bytes(b"\xff\xfe\x00\x01")
        with pytest.raises(CellFailed, match=r"real\.csv"):
            source(name)(recording)
    path = openface_csv(tmp_path / "aus" / "openface", N)
    path.write_text(path.read_text().replace("AU12_r", "AU12_x"))
    with pytest.raises(CellFailed, match="lacks the column AU12_r"):
        source("openface")(recording)


def test_a_users_table_may_have_a_header_in_any_order(tmp_path, recording):
    folder = tmp_path / "aus" / "table"
    folder.mkdir(parents=True)
    values = np.random.default_rng(0).uniform(0, 5, (N, 17)).round(3)
    np.savetxt(folder / "real.csv", values, delimiter=",")
    plain = source("table")(recording)
    names = [f"AU{unit:02d}_r" for unit in OPENFACE]
    np.savetxt(folder / "real.csv", values[:, ::-1], delimiter=",", header=",".join(names[::-1]), comments="")
    turned = source("table")(recording)
    assert np.allclose(plain.intensity, values)
    assert np.allclose(turned.intensity, values)
    assert isinstance(turned, ActionUnits)
    np.savetxt(folder / "real.csv", values[:, :5], delimiter=",")
    with pytest.raises(CellFailed, match=r"has 5 columns; it needs 17"):
        source("table")(recording)


def test_zeros_in_a_users_table_are_a_face_at_rest(tmp_path, recording):
    """With and without a header, the same values are the same units."""
    path = tmp_path / "aus" / "table" / "real.csv"
    path.parent.mkdir(parents=True)
    values = np.outer([0, 1, 2, 1, 0], np.linspace(0, 2, 17))
    for header in ("", ",".join(f"AU{unit:02d}_r" for unit in OPENFACE)):
        np.savetxt(path, values, delimiter=",", header=header, comments="")
        assert np.allclose(source("table")(recording).intensity, values)


def test_a_row_that_numbers_the_columns_is_named(tmp_path, recording):
    path = tmp_path / "aus" / "table" / "real.csv"
    path.parent.mkdir(parents=True)
    pd.DataFrame(np.zeros((N, 17))).to_csv(path, index=False)
    with pytest.raises(CellFailed, match=r"6 rows, but driver real has 5 frames\. Delete the first row, which numbers"):
        source("table")(recording)
    np.savetxt(path, np.zeros((N + 1, 17)), delimiter=",")
    with pytest.raises(CellFailed, match=r"6 rows, but driver real has 5 frames\. Supply the table for this clip"):
        source("table")(recording)


def test_the_maps_of_ulmegan_are_drawn(face, driver, tmp_path, monkeypatch):
    cell = Cell("demo", driver, Template.of("t", "s", face), reference=driver)
    monkeypatch.setattr(ulme_maps, "make_protocol", lambda *_: SimpleNamespace(cells=lambda: [cell]))
    out = tmp_path / "maps" / "ulme.png"
    ulme_maps.ulme_maps(cell="d__t", out=out)
    assert cv2.imread(str(out)).shape[2] == 3
    figure = ulme_maps.draw(ready(UlmeGan), cell, "ulmegan")
    attention = np.asarray(figure.axes[0].get_images()[0].get_array())
    assert attention.shape == (128, 128)
    assert 0 <= attention.min() <= attention.max() <= 1
    assert [axes.get_title() for axes in figure.axes[:3]] == ["frame 0", "frame 2", "frame 4"]
    with pytest.raises(BenchError, match="not 'fomm'"):
        ulme_maps.ulme_maps(method="fomm", out=out)
    with pytest.raises(BenchError, match="Unknown cell"):
        ulme_maps.ulme_maps(cell="x__y", out=out)


def test_flow_is_read_as_micro_intensities(face, driver, monkeypatch):
    """A stand-in replaces the estimator, so that the mapped values are known."""
    tracks = np.array([[0, 0, 0], [0.02, 0.1, 0.0], [0.2, 2.0, 0.5], [0.2, 2.0, 0.5], [0.0, 0.0, 0.0]])

    def intensities(flow, n_frames, points):
        assert n_frames == N
        assert points.shape == (68, 2)
        assert not flow(0).any()
        assert flow(2).shape == (256, 256, 2)
        return tracks

    monkeypatch.setattr("megbench.faces.features.intensities", intensities)
    monkeypatch.setattr(action_units, "UNITS", ("AU12", "AU23+24", "AU43"))
    found = source("flow")(driver)
    assert found.intensity[:, column(12)] == pytest.approx([0, 0.1, 1, 1, 0])
    assert found.intensity[:, column(23)] == pytest.approx([0, 0.5, 5, 5, 0]), "clipped"
    assert found.intensity[:, column(45)] == pytest.approx([0, 0, 2.5, 2.5, 0]), "43 is read as 45"
    assert found.presence[:, column(12)].tolist() == [0, 0, 1, 1, 0], "noise is not presence"
    assert ready(UlmeGan, au_source="flow").animate(Template.of("t", "s", face), driver).shape[0] == N


def test_every_unit_that_flow_tells_has_a_column():
    found = [column(unit.partition("+")[0]) for unit in action_units.UNITS]
    assert None not in found
    assert len(set(found)) == len(found)


def test_flow_finds_nothing_in_a_driver_that_does_not_move(recording):
    found = source("flow")(recording)
    assert found.intensity.shape == (N, 17)
    assert not found.intensity.any()
    assert not found.presence.any()
