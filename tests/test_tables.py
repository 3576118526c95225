"""Tables of every dialect, encoding and kind are read alike, and files that are not tables are named."""

import contextlib
import csv
import io
from pathlib import Path

import openpyxl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from megbench.clips.databases import DATABASES
from megbench.clips.databases.sheets import read_sheet as read_coding
from megbench.clips.folder import ClipFolder, templates
from megbench.core.errors import BenchError
from megbench.core.registry import load
from megbench.core.tables.reading import read_sheet, read_sheets
from megbench.core.tables.sheet import Sheet, SheetLimits
from tests import hostile_files as files

LIMITS = SheetLimits("a table", bytes=1_000_000, rows=1000, columns=50, pages=True)
HEADER = ["Subject", "Filename", "OnsetFrame", "ApexFrame", "OffsetFrame", "Action Units", "Estimated Emotion"]
ROWS = [
    ["006", "006_1_2", "5562", "5564", "5567", "12A, 14", "厌恶"],
    ["006", "006_1_3", "5600", "/", "5607", "4+7", "other"],
    ["018", "018_3_1", "1405", "1456", "1500", "A9E", "disgust"],
]
CODECS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "gb18030"]


def written(rows, delimiter=",", encoding="utf-8", **options):
    file = io.StringIO()
    csv.writer(file, delimiter=delimiter, **options).writerows(rows)
    return file.getvalue().encode(encoding)


def put(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


cells = st.text("abC 06,;\t\"'\n-厌恶é#", max_size=8).map(str.strip)


@settings(max_examples=60)
@given(
    st.lists(st.lists(cells, min_size=3, max_size=3), max_size=4),
    st.sampled_from(",;\t"),
    st.sampled_from(CODECS),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
@example([["0", "0\t0", "0\n\t0"]], ",", "utf-8", csv.QUOTE_ALL)
@example([["厌恶" * 20, "29,97", "1;2"]] * 3, ",", "utf-16-le", csv.QUOTE_MINIMAL)
def test_any_dialect_and_encoding_reads_the_same(tmp_path_factory, rows, delimiter, encoding, quoting):
    path = tmp_path_factory.getbasetemp() / "any.csv"
    rows = [["path", "subject", "fps"], *(row for row in rows if all(row))]
    found = read_sheet(put(path, written(rows, delimiter, encoding, quoting=quoting)), LIMITS)
    assert [[cell.replace("\r", "") for cell in row] for row in found.rows] == rows
    assert found.decimal_comma == (delimiter != ",")


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("a;b\n1,5;2,5\n0,5;1,5\n", [["a", "b"], ["1,5", "2,5"], ["0,5", "1,5"]]),
        ("0,1;0,2;0,3\n0,4;0,5;0,6\n", [["0,1", "0,2", "0,3"], ["0,4", "0,5", "0,6"]]),  # no header row to go by
        ("Notes, in prose\n\na;b\n1;2\n3;4\n", [["Notes, in prose"], [], ["a", "b"], ["1", "2"], ["3", "4"]]),
        ('a,b\n"1;2;3",x\n"4;5;6",y\n', [["a", "b"], ["1;2;3", "x"], ["4;5;6", "y"]]),
        ("Notes, all\n" * 5 + "a;b;c;d\n1;2;3;4\n", [["Notes, all"]] * 5 + [[*"abcd"], [*"1234"]]),
        ("a,b\nx,0;1;2\ny,0;1;3\n", [["a", "b"], ["x", "0;1;2"], ["y", "0;1;3"]]),
        ("sep=;\na;b\n", [[], ["a", "b"]]),
        ("a\tb, c\r1\t2\r", [["a", "b, c"], ["1", "2"]]),
        ("only\n", [["only"]]),
        ("", []),
    ],
)  # fmt: skip
def test_the_delimiter_is_what_parts_the_lines_alike(tmp_path, text, rows):
    assert read_sheets(put(tmp_path / "t.csv", text), LIMITS)[0].rows == rows


@pytest.mark.parametrize(
    ("text", "comma", "number"),
    [
        ("29.97", False, 29.97), ("29,97", True, 29.97), (" -0,5 ", True, -0.5), ("1,5e-3", True, 0.0015),
        ("29,97", False, None), ("1.234,5", True, None), ("1,2,3", True, None), ("1_000", True, None),
    ],
)  # fmt: skip
def test_decimal_commas_are_read_where_commas_do_not_part_columns(text, comma, number):
    assert Sheet("", [], decimal_comma=comma).number(text) == number


def test_accents_of_windows_are_no_chinese(tmp_path):
    rows = [["path", "emotion"], ["Überraschung/é", "dégoût"]]
    assert read_sheet(put(tmp_path / "t.csv", written(rows, ";", "cp1252")), LIMITS).rows == rows


WORDS = {
    "gb18030": ["厌恶", "高兴", "惊讶", "悲伤", "愤怒", "恐惧", "压抑", "其他", "轻蔑"],
    "cp932": ["嫌悪", "喜び", "驚き", "悲しみ", "怒り", "恐怖", "うれしい", "ハッピー", "軽蔑", "その他"],
    "cp1252": ["Überraschung", "dégoût", "Ärger", "größe", "tristeza", "señal", "joie—"],
}
NAMES = {"gb18030": "GB18030", "cp932": "Shift-JIS", "cp1252": "Windows-1252"}


@settings(max_examples=60)
@given(st.sampled_from(sorted(WORDS)), st.data())
def test_words_in_undeclared_encodings_are_read_and_the_encoding_is_told(tmp_path_factory, encoding, data):
    words = data.draw(st.lists(st.sampled_from(WORDS[encoding]), min_size=1, max_size=9))
    table = [["path", "emotion"], *([f"{number}.mp4", word] for number, word in enumerate(words))]
    path = put(tmp_path_factory.mktemp("words") / "t.csv", written(table, encoding=encoding))
    with contextlib.redirect_stderr(io.StringIO()) as told:
        assert read_sheet(path, LIMITS).rows == table
        read_sheet(path, LIMITS)
    plain = all(word.isascii() for word in words)
    assert told.getvalue().count(f"{path} is not in UTF-8; it is read as {NAMES[encoding]}") == (not plain)


@pytest.mark.parametrize(("encoding", "word"), [("cp1251", "отвращение"), ("cp1253", "αηδία"), ("cp1255", "גועל")])
def test_words_in_other_encodings_are_refused(tmp_path, encoding, word):
    path = put(tmp_path / "t.csv", written([["path", "emotion"], ["a.mp4", word]], encoding=encoding))
    with pytest.raises(BenchError, match=r"none of UTF-8, UTF-16, Windows-1252, GB18030, Shift-JIS\. Save it as CSV"):
        read_sheet(path, LIMITS)


def xlsx(path, rows, *merged):
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append([cell or None for cell in row])
    for place in merged:
        book.active.merge_cells(place)
    book.save(path)
    return path


def test_merged_cells_hold_for_the_rows_they_cover(tmp_path):
    rows = [["title", "", ""], ["s", "clip", "n"], ["006", "a", "1"], ["", "b", "2"], [], ["007", "c", "3"]]
    filled = [["title"], ["s", "clip", "n"], ["006", "a", "1"], ["006", "b", "2"], [], ["007", "c", "3"]]
    spans = {(0, 0): " colspan=3", (2, 0): " rowspan=3"}
    lines = ["".join(f"<td{spans.get((r, c), '')}>{x}" for c, x in enumerate(row) if x) for r, row in enumerate(rows)]
    page = put(tmp_path / "t.xls", "<html><table><tr>" + "<tr>".join(lines) + "</table></html>")
    for path in (xlsx(tmp_path / "t.xlsx", rows, "A1:C1", "A3:A5"), page):
        (sheet,) = read_sheets(path, LIMITS)
        assert [row[:1] for row in sheet.rows][2:5] == [["006"], [""], []]
        assert sheet.filled() == filled
    assert Sheet("", [["a"]]).filled() == [["a"]]


def test_kinds_of_file_give_the_same_coding(tmp_path):
    blank_below = [HEADER, ROWS[0], ["", *ROWS[1][1:]], ROWS[2]]
    paths = [
        put(tmp_path / "comma.csv", written([HEADER, *ROWS])),
        put(tmp_path / "semicolon.csv", written([HEADER, *ROWS], ";", "gbk")),
        put(tmp_path / "tab.csv", written([HEADER, *ROWS], "\t", "utf-16")),
        put(tmp_path / "saved.csv", written(blank_below)),
        put(tmp_path / "page.xls", files.page(HEADER, *ROWS)),
        xlsx(tmp_path / "merged.xlsx", blank_below, "A2:A3"),
    ]
    first = read_coding(paths[0])
    assert [(row.subject, row.apex, row.emotion) for row in first.rows] == [
        ("006", 5564, "厌恶"), ("006", None, "other"), ("018", 1456, "disgust")
    ]  # fmt: skip
    for path in paths:
        assert read_coding(path).rows == first.rows
    assert read_coding(paths[3]).remarks == ("no subject in 1 row (line 3): taken from the row above",)


def test_whole_numbers_that_were_saved_as_fractions_are_whole(tmp_path):
    """pandas writes columns with empty cells this way. Subject 1.0 is subject 1, not subject 10."""
    rows = [["1.0", "a", "46.0", "50.0", "57.0", "12.0", "x"], ["2.0", "b", "46.0", "", "57.0", "", "x"]]
    for delimiter, mark in ((",", "."), (";", ",")):
        cells = [[cell.replace(".", mark) for cell in row] for row in rows]
        coding = read_coding(put(tmp_path / "s.csv", written([HEADER, *cells], delimiter)))
        assert [(row.subject, row.onset, row.apex, row.action_units) for row in coding.rows] == [
            ("1", 46, 50, "12"), ("2", 46, None, None)
        ]  # fmt: skip


def test_old_workbooks_are_read_with_their_merged_cells():
    """tests/data/coding.xls (BIFF8, xlwt 1.3.0) has text, numbers, a subject spanning two rows, and a second sheet."""
    coding = read_coding(Path(__file__).parent / "data" / "coding.xls")
    assert [(row.subject, row.clip, row.onset, row.apex) for row in coding.rows] == [
        ("006", "006_1_2", 5562, 5564), ("006", "006_1_3", 5600, None), ("018", "018_3_1", 1405, 1456)
    ]  # fmt: skip
    assert coding.rows[1].action_units == "4"  # a number in the sheet
    assert coding.name == "coding.xls (Sheet1)"


@pytest.mark.parametrize("blank", ["/", "\\", "-", "\u2013", "\u2014", "", "n/a", "None", "null"])
def test_signs_for_no_apex_are_not_remarked(tmp_path, blank):
    row = ["01", "EP02_01f", "46", blank, "57", "12", "happiness"]
    coding = read_coding(put(tmp_path / "s.csv", written([HEADER, row])))
    assert (coding.rows[0].apex, coding.remarks) == (None, ())


LYING = {
    "a PNG picture": files.picture,
    "a PDF document": lambda: b"%PDF-1.7\n%\xe2\xe3",
    "a web page": lambda: b"\n<!DOCTYPE html><html><body>Sign in</body></html>",
    "a Git LFS pointer": lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n",
    "a ZIP archive without sheets": files.slip,
    "a gzip archive": lambda: b"\x1f\x8b\x08\0\0",
    "an MP4 or QuickTime video": lambda: b"\0\0\0\x20ftypisom\0\0",
    "a JSON file": lambda: b'[{"path": "a"}]',
    "a NumPy array": lambda: b"\x93NUMPY\1\0",
    "a Python pickle": lambda: b"\x80\4\x95\0",
    "a BMP picture": lambda: b"BM\x36\0\0\0\0\0\0\0\x36\0",
    "text in UTF-32 instead of UTF-8, not a table. Pass a CSV .in UTF-8.": lambda: "a,b\n1,2\n".encode("utf-32"),
    "text in UTF-32 instead of UTF-8, not a": lambda: "a,b\n1,2\n".encode("utf-32-le"),
    "text in UTF-32 instead of UTF-8, not": lambda: "a,b\n1,2\n".encode("utf-32-be"),
    "text in UTF-32 instead of UTF-8": lambda: b"\0\0\xfe\xff" + "a,b\n1,2\n".encode("utf-32-be"),
    "it is in none of UTF-8, UTF-16, ": lambda: b"a,b\n\xff\xff\xff,\xff\n",
}


@pytest.mark.parametrize("kind", LYING)
def test_what_is_no_table_is_named(tmp_path, kind):
    path = put(tmp_path / "table.csv", LYING[kind]())
    with pytest.raises(BenchError, match=kind) as stop:
        read_sheets(path, SheetLimits("a table", bytes=1_000_000, rows=1000, columns=50))
    assert "table.csv" in str(stop.value)
    assert "\n" not in str(stop.value)


def test_text_that_only_looks_like_something_else_is_a_table(tmp_path):
    for text in ("BM,PK\n1,2\n", "<5,x\n1,2\n", "RIFF;a\n1;2\n"[4:], "\ufeffa,b\n1,2\n"):
        assert len(read_sheets(put(tmp_path / "t.csv", text), LIMITS)[0].rows) == 2


# Coding sheets and tables of clips, in folders whose pictures are not opened


def touched(folder, names):
    for name in names:
        put(folder / name, b"")


def survey(database, path, **options):
    return load("database", database, DATABASES).survey(path, **options)


def listed(where, *lines, **options):
    rows = [["path", "subject", "fps", "onset", "apex", "offset"], *lines]
    return survey("table", put(where / "mine.csv", written(rows, **options)))


def test_paths_of_windows_and_commas_in_numbers_are_understood(tmp_path):
    touched(tmp_path / "sub01" / "clip a", [f"{k}.jpg" for k in range(12)])
    touched(tmp_path / "sub01" / "b", [f"{k}.jpg" for k in range(12)])
    found = listed(
        tmp_path,
        ["sub01\\b", "1", "29,97", "0", "0", "9"],
        ["sub01\\clip a", "1", "200", "0,0", "3", "9"],
        ["C:\\data\\c", "1", "30", "0", "3", "9"],
        delimiter=";",
    )
    by_name = {clip.recording.name: clip.recording for clip in found.usable}
    assert by_name["1_b"].fps == 29.97
    assert by_name["1_b"].apex_frame == 0  # an onset that is the apex as well
    assert by_name["1_clip_a"].offset_frame == 9
    assert found.missing == (f"line 4: C:\\data\\c is a Windows path; use paths relative to {tmp_path}",)


def test_folders_that_hold_clips_deeper_are_named(tmp_path):
    touched(tmp_path / "spNO.1" / "a" / "color", [f"{k}.jpg" for k in range(360, 372)])
    touched(tmp_path / "spNO.1" / "a" / "depth", [f"{k}.png" for k in range(360, 372)])
    found = listed(
        tmp_path, ["spNO.1/a", "1", "30", "361", "364", "370"], ["spNO.1\\a\\color", "1", "30", "361", "361", "370"]
    )
    problems = [clip.problem for clip in found.clips]
    told = f"{tmp_path}/spNO.1/a contains no pictures itself; color (12), depth (12) do: use spNO.1/a/color"
    assert sorted(problems) == ["", told]
    with pytest.raises(
        BenchError, match=r"in subfolders: spNO\.1/a/color \(12\), spNO\.1/a/depth \(12\).*such as .*spNO\.1/a\."
    ):
        ClipFolder(tmp_path, tmp_path / "cache").recordings()


def test_a_clip_that_lacks_most_of_its_frames_cannot_be_used(tmp_path):
    touched(tmp_path / "c", [f"{k}.jpg" for k in range(360, 372)])
    touched(tmp_path / "gap" / "Frames", [f"{k}.jpg" for k in range(360, 372) if k != 365])
    rows = [["c", "1", "30", "361", "364", "1091"], ["c", "2", "30", "361", "364", "374"]]
    found = listed(tmp_path, *rows, ["gap", "3", "30", "361", "364", "371"])
    problems = {clip.recording.subject: clip.problem for clip in found.clips}
    assert problems == {
        "1": "11 of 731 frames from 361 to 1091; the folder has 360 to 371",
        "2": "the onset or offset is outside its files: 361 to 374; the folder has 360 to 371",
        "3": "",
    }
    assert found.remarks == ("3_gap: missing frames: 1 of 11 from 361 to 371; the folder has 360 to 371",)


@pytest.mark.parametrize("again", ["OnsetF", "OnsetF2", "Onset (2)", "2nd onset", "Second Onset Frame", "Onset_II"])
def test_further_expressions_are_remarked_in_any_spelling(tmp_path, again):
    table = [["Subject", "Filename", "OnsetF", "OffsetF", again], ["1", "a", "1", "9", "20"], ["1", "b", "1", "9", ""]]
    coding = read_coding(put(tmp_path / "s.csv", written(table)))
    told = f"further columns named {again} (further expressions?) are not read; 1 row has values there"
    assert (coding.remarks, coding.rows[0].onset) == ((told,), 1)
    numbered = [["Subject", "Filename", "OnsetF1", "OffsetF1", "OnsetF2", "OffsetF2"], ["1", "a", "1", "9", "", ""]]
    assert read_coding(put(tmp_path / "n.csv", written(numbered))).rows[0].offset == 9


def test_headers_of_two_rows_are_read(tmp_path):
    top = ["Subject", "Filename", "Frames", "", "", "AU"]
    rows = [top, ["", "", "Onset", "Apex", "Offset", ""], ["006", "a", "1", "2", "3", "4"]]
    for path in (put(tmp_path / "two.csv", written(rows)), xlsx(tmp_path / "two.xlsx", rows, "C1:E1")):
        coding = read_coding(path)
        assert [(row.subject, row.onset, row.offset, row.action_units) for row in coding.rows] == [("006", 1, 3, "4")]
        assert (coding.header_line, coding.remarks) == (2, ())


@pytest.mark.parametrize(("onset", "delimiter"), [("1.000", ";"), ("1,000", ";"), ("1,000", ","), ("1.000", ",")])
def test_grouped_thousands_are_no_frame_numbers(tmp_path, onset, delimiter):
    row = ["01", "a", onset, "", "2000", "4", "x"]
    coding = read_coding(put(tmp_path / "s.csv", written([HEADER, row], delimiter)))
    assert (coding.rows[0].onset, coding.rows[0].offset) == (None, 2000)
    assert coding.remarks == (f"line 2: the onset {onset!r} is not a frame number; treated as not coded",)


def test_rows_without_a_person_and_repeated_rows_are_remarked(tmp_path):
    touched(tmp_path / "a", ["1.png", "2.png", "3.png"])
    whole, shorter = ["a", "p1", "30", "1", "2", "3"], ["a", "p1", "30", "1", "2", "2"]
    found = listed(tmp_path, ["a", "", "30", "1", "2", "3"], whole, shorter, whole)
    assert found.remarks == (
        "1 row repeats others (line 5 repeats line 3); their clips count twice",
        "line 2: the subject is empty; the row is left out",
    )
    assert len(found.clips) == 3


def test_action_units_that_became_dates_are_remarked(tmp_path):
    rows = [
        ["01", "a", "1", "2", "3", "2024-12-06", "x"],
        ["01", "b", "1", "2", "3", "?", ""],
        ["01", "c", "1", "2", "3", "4+7", ""],
    ]
    (remark,) = read_coding(put(tmp_path / "s.csv", written([HEADER, *rows]))).remarks
    assert remark.startswith("no action unit was recognised in 1 row (line 2: '2024-12-06');")


def test_a_table_without_a_column_is_told_which_it_has(tmp_path):
    put(tmp_path / "t.csv", written([["my clips"], ["Path", "Subject", "rate"], ["a", "1", "25"]]))
    told = r"line 2 has path, subject and lacks fps: it is 'Path, Subject, rate'\. Add these columns\."
    with pytest.raises(BenchError, match=told):
        survey("table", tmp_path / "t.csv")


def test_a_sheet_that_does_not_fit_is_named(tmp_path):
    touched(tmp_path / "CASME2" / "sub01" / "EP02_01f", ["img46.jpg", "img47.jpg"])
    put(tmp_path / "CASME2" / "code_final.csv", "1,EP02_01f,46,47,48,12,happiness\n")
    put(tmp_path / "CASME2" / "other.csv", written([HEADER, ["09", "EP99", "1", "2", "3", "", ""]]))
    with pytest.raises(BenchError, match="No coding sheet for CASME II is in or beside") as stop:
        survey("casme2", tmp_path / "CASME2")
    assert "code_final.csv has no header with clip, offset, onset, subject; it begins with '1, EP02" in str(stop.value)
    assert "other.csv describes none of the clips found." in str(stop.value)


def test_files_that_are_no_drivers_are_named_with_a_remedy(tmp_path, capsys):
    touched(tmp_path / "d", ["\u5fae\u7b11.MXF", "notes.docx"])
    with pytest.raises(BenchError, match=r"\.mxf files are not read\. Convert '\u5fae\u7b11\.MXF' to \.mp4"):
        ClipFolder(tmp_path / "d", tmp_path).recordings()
    touched(tmp_path / "e", ["notes.docx"])
    with pytest.raises(BenchError, match=r"Add some \(it contains 'notes\.docx'\)"):
        ClipFolder(tmp_path / "e", tmp_path).recordings()
    touched(tmp_path / "d", ["good.mp4", "people/p1/x.mp4"])
    assert [recording.name for recording in ClipFolder(tmp_path / "d", tmp_path).recordings()] == ["good"]
    told = capsys.readouterr().err
    assert "3 entries are not drivers and are left out: 'notes.docx', 'people', '\u5fae\u7b11.MXF'" in told
    assert "Note: drivers: Videos are in subfolders: people/p1 (1)." in told
    assert "Note: drivers: .mxf files are not read" in told


def test_photographs_of_phones_among_templates_are_told_how_to_become_some(tmp_path):
    touched(tmp_path / "t", ["IMG_1.HEIC", "a.gif", "notes.docx"])
    with pytest.raises(
        BenchError, match=r"no pictures .* \.gif, \.heic files are not read\. Save 'a\.gif' as PNG or JPEG\.$"
    ):
        templates(tmp_path / "t")
    touched(tmp_path / "u", ["notes.docx"])
    with pytest.raises(BenchError, match=r"Add portraits as PNG or JPEG\.$"):
        templates(tmp_path / "u")
