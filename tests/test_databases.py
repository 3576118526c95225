"""Database adapters on look-alikes: what they find, report as missing and correct, and every known irregularity."""

import dataclasses
import shutil

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from megbench.clips.databases import DATABASES
from megbench.clips.databases.corrections import CORRECTIONS, Correction, corrections
from megbench.clips.databases.sheets import LARGEST_SHEET_BYTES, CodedRow, read_sheet
from megbench.clips.prepare import prepare
from megbench.commands.databases import given_points
from megbench.core.errors import BenchError
from megbench.core.registry import load
from megbench.protocols.megc2021 import SHEET, recordings
from tests import lookalikes


def survey(name, path, **options):
    return load("database", name, DATABASES).survey(path, **options)


@pytest.fixture(scope="module")
def found(databases):
    """Return the surveys of all look-alikes."""
    made = {name: survey(name, databases[name]) for name in ("casme2", "samm", "smic", "table")}
    made |= {name: survey(name, databases["smic"]) for name in ("smic-vis", "smic-nir")}
    return made | {"smic_e": survey("smic", databases["smic_e"])}


def clips(survey):
    return {clip.recording.name: clip for clip in survey.clips}


def marks(clip):
    return clip.row.onset, clip.row.apex, clip.row.offset


def numbers(clip):
    return [int("".join(filter(str.isdigit, path.stem.rpartition("_")[2]))) for path in clip.recording.files]


def test_the_nine_drivers_are_found_as_the_challenge_has_them(found):
    coded = {clip.recording.recording: clip for name in ("casme2", "samm", "smic") for clip in found[name].clips}
    assert recordings() <= set(coded)
    for driver in SHEET.drivers:
        clip = coded[driver.recording]
        recording = clip.recording
        assert (clip.row.onset, clip.row.offset) == (driver.onset, driver.offset)
        assert len(recording.files) == driver.offset - driver.onset + 1
        assert numbers(clip) == list(range(driver.onset, driver.offset + 1))
        assert (recording.onset_frame, recording.offset_frame) == (0, driver.offset - driver.onset)
        assert (recording.subject, recording.fps) == (driver.subject, driver.fps)
        assert recording.database == driver.database
        if driver.database != "smic":  # its apexes and action units are not coded
            assert recording.apex_frame == driver.apex - driver.onset
            assert recording.action_units == driver.action_units
        else:
            assert recording.apex_frame is None
            assert recording.action_units is None


# CASME II


def test_frame_numbers_are_ordered_as_numbers(found):
    clip = clips(found["casme2"])["sub02_EP01_01f"]
    assert [path.name for path in clip.recording.files][:5] == [f"img{n}.jpg" for n in (96, 97, 98, 99, 100)]


def test_a_file_name_that_subjects_share_is_two_clips(found):
    both = [clip for name, clip in clips(found["casme2"]).items() if name.endswith("EP01_01f")]
    assert {clip.recording.name for clip in both} == {"sub02_EP01_01f", "sub19_EP01_01f"}
    assert both[0].recording.path != both[1].recording.path


def test_subjects_are_read_as_text_and_as_numbers(databases, found):
    old = survey("casme2", databases["casme2"], sheet=databases["casme2"] / "CASME2-coding-20140508.xlsx")
    assert clips(old).keys() == clips(found["casme2"]).keys()


def test_the_last_version_of_a_sheet_is_read_and_others_are_told(found):
    source, remarks = " ".join(found["casme2"].source), " ".join(found["casme2"].remarks)
    assert "CASME2-coding-20190701.xlsx (Sheet1), 66 rows, header in line 1" in source
    assert "CASME2-coding-20140508.xlsx" in remarks
    assert "CASME2_label_Ver_2.xls is not a readable XLS workbook" in remarks


def test_a_sheet_saved_again_without_its_blank_columns_is_the_same(databases, found, tmp_path):
    cells = pd.read_excel(
        databases["casme2"] / "CASME2-coding-20190701.xlsx", header=None, dtype=object, engine="openpyxl"
    )
    cells.drop(columns=[2, 6]).to_csv(tmp_path / "saved.csv", header=False, index=False)
    again = survey("casme2", databases["casme2"], sheet=tmp_path / "saved.csv")
    assert again.clips == found["casme2"].clips


def test_a_slash_is_no_apex(found, databases):
    assert marks(clips(found["casme2"])["sub04_EP12_01f"]) == (10, None, 14)
    assert clips(found["casme2"])["sub04_EP12_01f"].recording.apex_frame is None
    assert not any("'/'" in remark for remark in found["casme2"].remarks)  # this notation is intended
    plain = survey("casme2", databases["casme2"], without=["casme2-apex"])
    assert marks(clips(plain)["sub05_EP03_06"]) == (276, None, 281)


def test_a_question_mark_is_kept_as_unknown(found):
    assert clips(found["casme2"])["sub04_EP12_01f"].recording.action_units == "?"
    assert "1 unknown (?)" in "\n".join(found["casme2"].describe())
    assert clips(found["casme2"])["sub17_EP01_13"].recording.action_units == "2"  # stored as a number in the sheet


def test_known_mistakes_are_corrected_and_told(found):
    assert marks(clips(found["casme2"])["sub06_EP15_02"]) == (76, 78, 91)
    assert marks(clips(found["casme2"])["sub05_EP03_06"]) == (276, 279, 281)
    assert len(found["casme2"].corrected) == 3
    assert "sub06_EP15_02: offset 61 -> 91 (casme2-offset: " in "\n".join(found["casme2"].corrected)
    assert marks(clips(found["samm"])["014_6_1"]) == (5734, 5736, 5739)
    apexes = {"032_3_1": 1105, "034_3_2": 4945, "035_7_2": 5130}
    assert {name: clips(found["samm"])[name].row.apex for name in apexes} == apexes
    assert marks(clips(found["smic_e"])["s3_po_05"]) == (304650, 304654, 304659)


@pytest.mark.parametrize("name", [correction.name for correction in CORRECTIONS])
def test_each_correction_can_be_switched_off(databases, found, name):
    database, _, _ = name.partition("-")
    place = "smic_e" if database == "smic" else database
    before = "\n".join(found[place].corrected)
    plain = survey(database, databases[place], without=[name])
    assert f"({name}: " in before
    assert f"({name}: " not in "\n".join(plain.corrected)
    assert survey(database, databases[place], without=["all"]).corrected == ()


def test_what_a_correction_would_have_mended_is_told_without_it(databases):
    plain = survey("casme2", databases["casme2"], without=["casme2-offset", "casme2-apex"])
    assert clips(plain)["sub06_EP15_02"].problem == "the offset 61 is not after the onset 76"
    assert len(plain.usable) == len(plain.clips) - 1
    long = survey("smic", databases["smic_e"], without=["all"])
    assert long.clips[0].problem.startswith("the onset or offset is outside its files: 304650 to 304660;")


def test_other_releases_strays_and_clips_without_a_row_are_told(found):
    assert "CASME2_RAW_selected (also there, not read: Cropped)" in found["casme2"].source[0]
    remarks = "\n".join(found["casme2"].remarks)
    assert "sub01_EP19_06f: 1 file is not a frame: 'notes.txt'" in remarks
    assert found["casme2"].uncoded == ("sub03_EP07_01",)
    assert len(found["casme2"].missing) == 56
    assert found["casme2"].missing[0] == "sub26/EP99_05 (line 7)"


def test_gaps_and_an_apex_elsewhere_are_told_and_mended_by_nobody(found):
    remarks = "\n".join(found["casme2"].remarks)
    assert "sub07_EP06_01: missing frames: 2 of 8" in remarks
    assert numbers(clips(found["casme2"])["sub07_EP06_01"]) == [20, 21, 23, 24, 26, 27]
    assert clips(found["casme2"])["sub07_EP06_01"].recording.apex_frame == 2  # counted over the existing frames
    assert "the apex 90 is not between onset and offset" in remarks
    assert clips(found["casme2"])["sub09_EP02_02f"].recording.apex_frame is None


def test_cropped_and_challenge_names_of_frames_are_known(databases, tmp_path):
    shutil.copytree(databases["casme2"] / "Cropped", tmp_path / "Cropped")
    folder = tmp_path / "Cropped" / "sub01" / "EP19_06f"
    for path in list(folder.iterdir())[2:]:
        path.rename(folder / f"crop_img{int(path.stem[7:]):03d}.jpg")
    sheet = databases["casme2"] / "CASME2-coding-20190701.xlsx"
    (clip,) = survey("casme2", tmp_path, sheet=sheet).clips
    assert len(clip.recording.files) == 5


def test_a_number_on_two_files_is_told(databases, tmp_path):
    folder = tmp_path / "sub01" / "EP19_06f"
    shutil.copytree(databases["casme2"] / "Cropped" / "sub01" / "EP19_06f", folder)
    shutil.copy(folder / "reg_img36.jpg", folder / "img036.jpg")
    made = survey("casme2", tmp_path, sheet=databases["casme2"] / "CASME2-coding-20190701.xlsx")
    assert any("1 frame number belongs to several files;" in line for line in made.remarks)
    assert made.clips[0].recording.files[0].name == "img036.jpg"


# SAMM


def test_the_header_of_samm_is_found_below_its_notes(found):
    assert "(MICRO_ONLY), 135 rows, header in line 14" in found["samm"].source[1]
    assert "other tables in the file, not read: MACRO_ONLY" in found["samm"].remarks


def test_samm_numbers_are_padded_in_several_ways(found):
    assert numbers(clips(found["samm"])["006_1_2"]) == list(range(5562, 5568))
    assert clips(found["samm"])["006_1_2"].recording.files[0].name == "006_05562.jpg"
    assert clips(found["samm"])["018_3_1"].recording.files[0].name == "018_1405.jpg"


def test_samm_subjects_and_emotions_have_one_form(found):
    by_name = clips(found["samm"])
    assert by_name["018_3_1"].recording.subject == "018"  # stored as a number in the sheet
    assert by_name["011_2_1"].recording.emotion == by_name["011_2_2"].recording.emotion == "other"
    assert by_name["006_1_2"].recording.emotion == "anger"


def test_action_units_keep_the_coders_text(found):
    text = {name: clip.recording.action_units for name, clip in clips(found["samm"]).items()}
    assert text["014_6_1"] == "12+15 "
    assert text["011_2_2"] == "(R6 or R12)+R15"
    assert text["032_3_1"] == "R14+17+soft focus"


# SMIC


def test_smic_emotions_come_from_folders_and_nothing_else_is_read(found):
    assert {name: clip.recording.emotion for name, clip in clips(found["smic"]).items()} == {
        "s1_ne_01": "negative", "s3_po_05": "positive", "s11_ne_02": "negative", "s20_sur_01": "surprise",
    }  # fmt: skip
    assert "also there, not read: SMIC_all_cropped/HS" in found["smic"].source[0]
    assert marks(clips(found["smic"])["s1_ne_01"]) == (998, None, 1003)


def test_smic_cameras_are_databases_of_their_own(found):
    for name in ("smic-vis", "smic-nir"):
        (clip,) = found[name].clips
        assert (clip.recording.recording, clip.recording.fps) == (f"{name}/s11_ne_02", 25)
        assert name[5:].upper() in str(clip.recording.path)


def test_every_camera_has_its_own_sheet(databases, found, tmp_path):
    for name, first in (("smic-vis", 76152), ("smic-nir", 76172)):
        (clip,) = survey(name, databases["smic_e"]).clips
        assert numbers(clip) == list(range(first, first + 5))
    shutil.copytree(databases["smic"] / "SMIC_all_raw" / "VIS", tmp_path / "VIS")
    for row in ("s03,s03_po_05,304650,304659", "s11,s11_ne_02,514569,514599"):
        (tmp_path / "SMIC-HS-E_annotation.csv").write_text(f"Subject,Filename,OnsetF,OffsetF\n{row}\n")
        (clip,) = survey("smic-vis", tmp_path).clips
        assert numbers(clip) == list(range(4100, 4105))  # found by its folder; this camera has no sheet


def test_a_sheet_of_ones_own_with_the_clips_as_material_is_read(databases, tmp_path):
    shutil.copytree(databases["smic"] / "SMIC_all_raw" / "HS", tmp_path / "HS")
    lines = [",subject,emotion,material,onset,offset", "0,s11,negative,s11_ne_02,514571,514590"]
    (tmp_path / "smic.csv").write_text("\n".join(lines) + "\n")
    assert marks(clips(survey("smic", tmp_path))["s11_ne_02"]) == (514571, None, 514590)


def test_the_sheet_that_describes_most_clips_is_read(databases, tmp_path):
    shutil.copytree(databases["casme2"] / "CASME2_RAW_selected" / "sub01", tmp_path / "sub01")
    shutil.copytree(databases["casme2"] / "CASME2_RAW_selected" / "sub19", tmp_path / "sub19")
    shutil.copy(databases["casme2"] / "CASME2-coding-20190701.xlsx", tmp_path)
    (tmp_path / "CASME2_label_Ver_2.csv").write_text("Subject,Filename,OnsetF,OffsetF\n01,EP19_06f,1,9\n")
    (tmp_path / "CASME2-ObjectiveClasses.csv").write_text("Subject,Filename,Objective Class\n1,EP19_06f,5\n")
    source, *_ = [line for line in survey("casme2", tmp_path).source if line.startswith("sheet")]
    assert "CASME2-coding-20190701.xlsx" in source


def test_sheets_are_found_whatever_their_ending_and_readmes_are_none(databases, tmp_path):
    root = tmp_path / "root"
    shutil.copytree(databases["casme2"] / "CASME2_RAW_selected" / "sub01", root / "sub01")
    (root / "coding.numbers").write_bytes(b"PK\x05\x06" + bytes(18))
    with pytest.raises(
        BenchError, match=r"No coding sheet.*coding\.numbers is not a readable .*Save it as XLSX or CSV"
    ):
        survey("casme2", root)
    coded = "Subject\tFilename\tOnset\tOffset\n01\tEP19_06f\t51\t60\n"
    (root / "Coding.TXT").write_bytes(coded.encode("utf-16"))  # Excel's "Unicode text"
    assert "sheet: Coding.TXT, 1 row, header in line 1" in survey("casme2", root).source
    (tmp_path / "beside.tsv").write_text(coded)  # the first choice, although it is farther away
    assert "sheet: beside.tsv, 1 row, header in line 1" in survey("casme2", root).source


def test_smic_e_needs_its_sheet_and_is_cut_by_it(databases, found, tmp_path):
    (clip,) = found["smic_e"].clips
    assert clip.recording.recording == "smic/s3_po_05"  # s03_po_05 in this release
    assert numbers(clip) == list(range(304650, 304660))
    assert clip.recording.emotion == "positive"
    remarks = "\n".join(found["smic_e"].remarks)
    assert "line 3: the onset 'see notes' is not a frame number" in remarks
    assert "further columns named OnsetF2, OffsetF2 (further expressions?) are not read; " in remarks
    assert "2 rows" in found["smic_e"].source[1]  # empty rows at its end do not count ...
    assert len(found["smic_e"].remarks) == 3  # ... and are not reported
    shutil.copytree(databases["smic_e"] / "SMIC-E_raw image", tmp_path / "e" / "SMIC-E_raw image")
    with pytest.raises(BenchError, match="No coding sheet for SMIC HS is in or beside"):
        survey("smic", tmp_path / "e")


# Tables, sheets, corrections


def test_a_table_describes_any_database(found):
    by_name = clips(found["table"])
    assert list(by_name) == ["p1_first", "p2_second", "p1_third", "p4_third", "p4_third.2", "p4_third.3"]
    first, second, third, *_ = by_name.values()
    assert numbers(first) == [9, 10, 11, 12, 13]
    assert first.recording.recording == "our_clips/p1_first"
    assert (first.recording.fps, first.recording.emotion, first.recording.action_units) == (120, "happiness", "6+12")
    assert len(second.recording.files) == 5  # this clip is not coded
    assert second.recording.action_units is None
    assert (third.recording.path.name, third.recording.apex_frame, third.recording.files) == ("third.mp4", 2, ())
    assert [line.partition(":")[0] for line in found["table"].missing] == ["line 5"]
    assert found["table"].incomplete == ("line 9: no fps",)
    assert "incomplete rows: 1" in found["table"].describe()
    assert "line 9: the fps 'fast' is not a frame rate; treated as not coded" in found["table"].remarks


def test_marks_of_a_video_are_checked_and_nothing_is_cut(found, tmp_path):
    by_name, remarks = clips(found["table"]), "\n".join(found["table"].remarks)
    assert by_name["p4_third"].recording.apex_frame is None
    assert "p4_third: the apex 9 is not between onset and offset" in remarks
    assert "4 videos with onset or offset are used in full; nothing is cut" in remarks
    assert by_name["p4_third.2"].problem == "the offset 2 is not after the onset 3"
    chosen = dataclasses.replace(found["table"], clips=tuple(by_name.values()))
    store = prepare(chosen, tmp_path / "out", given_points, (), "", "recorded", workers=1)
    assert store.facts.left_out["p4_third.3"] == "its offset 90 is after its last frame, 4"
    assert {clip.name for clip in store.clips} == {"p1_first", "p2_second", "p1_third", "p4_third"}


@pytest.mark.parametrize("name", ["casme2", "samm", "smic"])
def test_a_folder_without_the_database_is_an_error(tmp_path, name):
    with pytest.raises(BenchError, match="no frames of"):
        survey(name, tmp_path)
    with pytest.raises(BenchError, match="is not a folder"):
        survey(name, tmp_path / "gone")


def test_sheets_that_are_none_are_errors(databases, tmp_path):
    (tmp_path / "broken.xlsx").write_bytes(b"PK\x03\x04 no zip")
    with pytest.raises(BenchError, match="not a readable XLSX"):
        read_sheet(tmp_path / "broken.xlsx")
    with (tmp_path / "huge.csv").open("wb") as file:
        file.truncate(LARGEST_SHEET_BYTES + 1)
    with pytest.raises(BenchError, match="is larger than"):
        read_sheet(tmp_path / "huge.csv")
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    assert read_sheet(tmp_path / "other.csv") is None
    with pytest.raises(BenchError, match="no header with clip, offset, onset, subject"):
        survey("casme2", databases["casme2"], sheet=tmp_path / "other.csv")
    with pytest.raises(BenchError, match="Unknown correction of casme2"):
        corrections("casme2", ["casme2-apexes"])


cells = st.none() | st.integers(-5, 400) | st.floats(allow_nan=True) | st.text("0123456789/?.,-ab \n", max_size=8)


@settings(max_examples=40)
@given(st.lists(st.lists(cells, min_size=6, max_size=6), max_size=6))
def test_any_cells_below_a_header_are_read_or_named(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("sheets") / "sheet.csv"
    header = ["Subject", "Filename", "OnsetF", "ApexF", "OffsetF", "AU"]
    pd.DataFrame([header, *rows], dtype=object).to_csv(path, header=False, index=False)
    sheet = read_sheet(path)
    assert sheet is not None
    for row in sheet.rows:
        assert row.subject
        assert all(mark is None or (isinstance(mark, int) and mark >= 0) for mark in (row.onset, row.apex, row.offset))


possible = st.none() | st.integers(0, 30)


@settings(max_examples=40)
@given(possible, possible, possible, st.integers(0, 30), st.sampled_from(["onset", "apex", "offset"]))
def test_a_correction_never_overrules_what_can_be_true(onset, apex, offset, value, name):
    row = CodedRow(5, 7, "1", "c", onset, apex, offset)
    files = range(3, 20)
    better = Correction("x", "db", "test", {5: {name: value}}).apply(row, files)
    told = [mark for mark in (onset, apex, offset) if mark is not None]
    was = getattr(row, name)
    if better != row:
        assert was is None or was not in files or told != sorted(told)
        assert getattr(better, name) == value
        now = [mark for mark in (better.onset, better.apex, better.offset) if mark is not None]
        assert now == sorted(now)
        assert value in files
    assert Correction("x", "db", "test", {4: {name: value}}).apply(row, files) == row


def test_the_look_alikes_hold_every_row_that_corrections_speak_of():
    assert {60, 29} <= set(lookalikes.CASME2_ROWS)
    assert {56, 125, 132, 133} <= set(lookalikes.SAMM_ROWS)


def test_no_correction_is_left_untold(found):
    many = tuple(f"clip {number}: onset 1 -> 2" for number in range(30))
    lines = dataclasses.replace(found["casme2"], corrected=many, uncoded=many, missing=()).describe()
    assert [lines.count(f"  {many[-1]}"), lines.count("  and 10 more")] == [1, 1]


def test_two_columns_of_one_title_are_refused_in_a_table_and_remarked_in_a_sheet(tmp_path, call):
    (tmp_path / "ours.csv").write_text("path,Subject,fps,subject \na,p1,30,p2\n")
    code, out, err = call("validate", "table", "ours.csv")
    told = "ours.csv, line 1: two columns have the title 'Subject', so it is unclear which is meant. Rename"
    assert (code, out) == (2, "")
    assert err.startswith(f"Error: {told}")
    (tmp_path / "sheet.csv").write_text("subject,filename,filename,onset,offset\n1,a,b,3,9\n")
    found = read_sheet(tmp_path / "sheet.csv")
    assert found.rows[0].clip == "a"
    assert any("two columns have the title 'filename'; the first of them is read" in remark for remark in found.remarks)


def test_repeated_rows_are_told_in_tables_and_sheets(tmp_path):
    (tmp_path / "sheet.csv").write_text("subject,filename,onset,offset\n1,a,3,9\n1,a,4,9\n1,a,3,9\n")
    assert read_sheet(tmp_path / "sheet.csv").remarks == (
        "1 row repeats others (line 4 repeats line 2); their clips count twice",
    )
    (tmp_path / "clip_a").mkdir()
    (tmp_path / "ours.csv").write_text("path,subject,fps\nClip_A,p1,30\nClip_A,p1,30\n")
    made = survey("table", tmp_path / "ours.csv")
    assert made.remarks == ("1 row repeats others (line 3 repeats line 2); their clips count twice",)
    if not (tmp_path / "Clip_A").is_dir():
        assert made.missing[0].endswith("Clip_A is neither a video nor a folder; did you mean 'clip_a'?")
