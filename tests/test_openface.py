"""OpenFace-like tables: scoring and au_source both rely on the frame numbers, and missing values are not zero."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from megbench.core.errors import BenchError, CellFailed
from megbench.faces import openface
from megbench.faces.openface import COLUMNS, PRESENCES, UNITS, keep, kept, read_openface, spans
from megbench.methods import au_sources, make_method
from megbench.methods.au_sources import source

TpsRau = make_method("tps_rau")
UlmeGan = make_method("ulmegan")

N = 8
AU12 = UNITS.index("AU12")
TRUE = np.round(1 + 0.1 * np.arange(N), 2)
DRIVER = SimpleNamespace(name="d", n_frames=N)


def rows(n=N, first=1):
    """Return one dictionary per frame, with the columns that FeatureExtraction writes."""
    made = []
    for k in range(n):
        row = {"frame": first + k, "face_id": 0, "timestamp": k / 30, "confidence": 0.98, "success": 1}
        row |= dict.fromkeys(COLUMNS, 0.0) | dict.fromkeys(PRESENCES, 1)
        made.append(row | {"AU12_r": round(1 + 0.1 * k, 2)})
    return made


def text(made, delimiter=", ", comma=False):
    def cell(value):
        return str(value).replace(".", ",") if comma and isinstance(value, float) else str(value)

    return "".join(delimiter.join(map(cell, row)) + "\n" for row in [made[0], *(row.values() for row in made)])


@pytest.fixture
def told(monkeypatch):
    """Return the list of notes written to the terminal."""
    said = []
    monkeypatch.setattr(openface, "note", said.append)
    openface._note_once.cache_clear()
    return said


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch, told):
    monkeypatch.setattr(au_sources, "in_store", lambda name: tmp_path / name)
    monkeypatch.setattr(openface, "in_store", lambda name: tmp_path / "kept")
    (tmp_path / "aus" / "openface").mkdir(parents=True)
    (tmp_path / "aus" / "table").mkdir()


@pytest.fixture
def scored(tmp_path):
    """Return a function that returns AU12 (n,) per frame as scoring reads it from a table."""

    def read(made, n=N, **options):
        path = tmp_path / "c.csv"
        path.write_text(text(made, **options))
        return read_openface(path, n)[:, AU12]

    return read


@pytest.fixture
def driving(tmp_path):
    """Return a function that returns AU12 (N,) per frame as it drives a method."""

    def read(made, name="openface", **options):
        (tmp_path / "aus" / name / "d.csv").write_text(text(made, **options))
        return source(name)(DRIVER).intensity[:, AU12]

    return read


def changed(k, **values):
    """Return the rows of a table in which row `k` has other `values`."""
    made = rows()
    made[k] |= values
    return made


@settings(max_examples=40)
@given(
    st.permutations(range(N)),
    st.integers(0, 1),
    st.sampled_from([",", ", ", ";", "\t", " ; "]),
    st.booleans(),
    st.sampled_from([(1, 0), (1.0, 0.0), (" True", "False "), ("TRUE", "FALSE")]),
    st.sets(st.integers(1, N - 2), max_size=2),
    st.sampled_from([0.0, 4.7, "", 99.0]),
)
def test_rows_in_any_order_and_style_are_the_same_frames(
    tmp_path_factory, order, first, delimiter, comma, words, lost, stale
):
    made = rows(first=first)
    for k, row in enumerate(made):
        row["success"] = words[k in lost]
        row |= {"AU12_r": stale, "AU12_c": 0} if k in lost else {}
    path = tmp_path_factory.getbasetemp() / "any_style.csv"
    path.write_text(text([made[k] for k in order], delimiter, comma and "," not in delimiter))
    found = read_openface(path, N)[:, AU12]
    assert np.flatnonzero(np.isnan(found)).tolist() == sorted(lost)
    assert np.array_equal(found[~np.isnan(found)], np.delete(TRUE, sorted(lost)))


def test_scoring_and_driving_read_the_same(scored, driving):
    capitals = [{name.title(): value for name, value in row.items()} for row in rows()[::-1]]
    small = [{name.lower(): value for name, value in row.items()} for row in rows()]
    for made in (
        rows(),
        rows()[::-1],
        capitals,
        small,
        rows(first=0),
        changed(3, AU12_r=-0.07),
        changed(3, AU12_r=5.13),
    ):
        assert np.array_equal(scored(made), driving(made))


@pytest.mark.parametrize("lost", [{"success": 0, "AU12_r": 0.0}, {"success": 0, "AU12_r": 4.7}, {"AU12_r": ""}, {}])
@pytest.mark.parametrize("name", ["openface", "table"])
def test_a_frame_without_a_face_is_missing_in_scores_and_bridged_in_driving(scored, driving, told, lost, name):
    made = changed(4, **lost)
    made = made if lost else [row for row in made if row["frame"] != 5]
    assert np.flatnonzero(np.isnan(scored(made))).tolist() == [4]
    assert driving(made, name) == pytest.approx(TRUE)
    assert any("action units of frame 5 are interpolated" in line for line in told)


@pytest.mark.parametrize("name", ["openface", "table"])
def test_interpolated_drivers_are_marked_as_long_as_their_tables_have_gaps(driving, told, name):
    method = UlmeGan("", {"au_source": name})
    cells = [SimpleNamespace(driver=SimpleNamespace(name=driver, n_frames=N, rendered=True)) for driver in "dde"]
    assert method.marks_on(cells) == {}, "without tables the cells fail"
    driving(changed(4, success=0), name)
    told.clear()
    (mark, sentence) = method.marks_on(cells).popitem()
    assert (mark, "interpolated" in sentence, told) == ("interpolated: 2 of 3", True, [])
    assert set(method.marks_on(cells[:2])) == {"interpolated"}
    driving(rows(), name)
    assert method.marks_on(cells) == UlmeGan("", {}).marks_on(cells) == {}
    cells[2].driver.rendered = False
    assert method.marks_on(cells) == {}


@pytest.mark.parametrize("maker", [UlmeGan, TpsRau])
def test_recordings_are_driven_by_flow_where_no_source_is_named_and_marked_so(maker):
    drivers = [SimpleNamespace(name=name, n_frames=N, rendered=name == "b", known=lambda: None) for name in "ab"]
    cells = [SimpleNamespace(driver=driver) for driver in drivers]
    free, bound = maker("", {}), maker("", {"au_source": "truth"})
    assert [free.identity_on(cell)["au_source"]["name"] for cell in cells] == ["flow", "truth"]
    assert [bound.identity_on(cell)["au_source"]["name"] for cell in cells] == ["truth", "truth"]
    free.check(cells[0])
    with pytest.raises(CellFailed, match="driver a is a recording, so its true action units are unknown"):
        bound.check(cells[0])
    ((word, sentence),) = free.marks_on(cells).items()
    assert word == "units from flow: 1 of 2"
    assert "share one flow" in sentence
    assert set(maker("", {"au_source": "flow"}).marks_on(cells)) == {"units from flow"}
    assert bound.marks_on(cells) == {}


@pytest.mark.parametrize(("lost", "said"), [((2, 3, 4, 5), "at most 3 frames in a row"), ((0,), "the clip begins")])
def test_tables_that_do_not_do_are_known_before_anything_is_animated(tmp_path, told, lost, said):
    method, cell = UlmeGan("", {"au_source": "openface"}), SimpleNamespace(driver=DRIVER)
    with pytest.raises(CellFailed, match=r"d\.csv does not exist"):
        method.check(cell)
    table = tmp_path / "aus" / "openface" / "d.csv"
    table.write_text(text(changed(3, success=0)))
    method.check(cell)
    table.write_text(text([row | {"success": 0} if k in lost else row for k, row in enumerate(rows())]))
    with pytest.raises(CellFailed, match=said):
        method.check(cell)
    assert told == [], "what is interpolated is told when it is done"


@pytest.mark.parametrize(
    ("lost", "words"),
    [
        ([3, 4, 5, 6], r"no action units in frames 3 to 6; at most 3 frames in a row are interpolated"),
        ([1], r"no action units in frame 1, where the clip begins"),
        ([7, 8], r"no action units in frames 7 to 8, where the clip ends"),
    ],
)
def test_what_cannot_be_bridged_fails_the_cell_with_its_frames(driving, lost, words):
    made = [row | {"success": int(row["frame"] not in lost)} for row in rows()]
    with pytest.raises(CellFailed, match=words):
        driving(made)
    bridged = [row | {"success": int(row["frame"] not in (3, 4, 5))} for row in rows()]
    assert driving(bridged) == pytest.approx(TRUE)


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (rows(N - 1), "frames 1 to 7 in 7 rows"),
        (rows(N + 1), "frames 1 to 9 in 9 rows"),
        (rows(N - 1, first=0), "frames 0 to 6 in 7 rows"),
        (rows()[1:], "frames 2 to 8 in 7 rows"),
        ([row for row in rows(N + 1) if row["frame"] != 5], "frames 1 to 9 in 8 rows"),
        (rows(first=361), r"frames 361 to 368 in 8 rows, but .* has 8 frames, numbered from 0 or 1\. Supply"),
        ([*rows(), *(row | {"face_id": 1} for row in rows())], r"rows for more than one face \(face_id 0, 1\)"),
        ([*rows(), rows()[2]], "rows for more than one face in frame 3"),
        (changed(3, AU12_r=9), "frame 4: AU12_r is 9; action units must be numbers from 0 to 5"),
        (changed(3, AU12_r=-0.6), "frame 4: AU12_r is -0.6"),
        (changed(3, AU12_r="high"), "line 5: AU12_r is 'high', not a number"),
        (changed(3, AU12_r='"1,3"'), "line 5: AU12_r is '1,3', not a number. Write numbers with a decimal point"),
        (changed(3, success="maybe"), "line 5: success is 'maybe', but must be 0 or 1"),
        (changed(3, frame=3.5), "line 5: '3.5' is not a frame number"),
    ],
)
def test_tables_of_another_clip_are_refused_by_both_readers(scored, driving, made, words):
    for read, clip in ((scored, "the clip"), (driving, "driver d")):
        with pytest.raises(BenchError, match=words) as stop:
            read(made)
        assert "\n" not in str(stop.value)
        assert f"{clip} has {N} frames" in str(stop.value) or "rows, " not in str(stop.value)


def test_values_a_little_outside_are_clipped_and_told_once(scored, driving, told):
    made = changed(3, AU12_r=-0.07)
    made[5]["AU25_r"] = 5.13
    assert scored(made)[3] == 0
    assert [line.partition(".csv: ")[2] for line in told] == [
        "AU12_r is -0.07 in frame 4, and 1 more; clipped to 0 to 5"
    ]
    driving(made)
    for _ in range(3):
        source("openface")(DRIVER)
    assert len(told) == 2, "once for each file, however many cells read it"


def test_zeros_without_a_word_about_the_face_are_no_face(scored, told):
    """A program's output may have lost its columns `confidence` and `success`; zeros then do not mean an expression."""
    made = [{k: v for k, v in row.items() if k not in ("confidence", "success")} for row in rows()]
    made[3]["AU12_r"] = 0.0
    found = scored(made)
    assert np.isnan(found[3])
    assert np.allclose(np.delete(found, 3), np.delete(TRUE, 3))
    assert [line.partition(".csv: ")[2] for line in told] == ["no face in frame 4"]


def test_gaps_and_lost_faces_are_named(scored, told):
    scored([row | {"success": int(row["frame"] != 7)} for row in rows() if row["frame"] not in (3, 4)])
    assert [line.partition(".csv: ")[2] for line in told] == ["no row for frames 3 to 4", "no face in frame 7"]
    assert spans([9, 1, 2, 3, 7]) == "frames 1 to 3, 7, 9"


@pytest.mark.parametrize(
    ("rename", "words"),
    [
        (
            lambda name: name.replace("_r", ""),
            "py-feat's names.* If the values are intensities from 0 to 5, name the columns AU01_r",
        ),
        (lambda name: f"au_{int(name[2:4])}_intensity" if "AU" in name else name, "LibreFace's columns"),
        (lambda name: f"AU_{int(name[2:4])}" if "AU" in name else name, "LibreFace's columns"),
        (lambda name: name.replace("AU0", "au"), "lacks the column AU01_r; .* The nearest is 'au1_r'"),
        (lambda name: name.replace("AU12_r", "AU13_r"), "lacks the column AU12_r"),
    ],
)
def test_columns_of_other_programs_are_named(scored, driving, rename, words):
    made = [{rename(name): value for name, value in row.items()} for row in rows()]
    for read in (scored, driving, lambda table: driving(table, "table")):
        with pytest.raises(BenchError, match=words):
            read(made)


def test_blank_lines_are_passed_over_and_lines_are_counted(tmp_path):
    path = tmp_path / "c.csv"
    header, *lines = text(changed(3, AU12_r="high")).splitlines()
    path.write_text("\n".join(["", " , ,", header, "", *lines]))
    with pytest.raises(BenchError, match=r"line 8: AU12_r is 'high'"):
        read_openface(path, N)
    whole = "\n".join(["", " , ,", header, "", *text(rows()).splitlines()[1:]])
    path.write_text(whole)
    assert np.array_equal(read_openface(path, N)[:, AU12], TRUE)
    (tmp_path / "aus" / "table" / "d.csv").write_text(whole)
    assert np.array_equal(source("table")(DRIVER).intensity[:, AU12], TRUE)


def test_a_blank_row_is_a_frame_without_units(scored, told):
    """Without a column `frame`, lines number the frames."""
    made = [{name: value for name, value in row.items() if name != "frame"} for row in rows()]
    made[3] = dict.fromkeys(made[3], "")
    found = scored(made)
    assert np.flatnonzero(np.isnan(found)).tolist() == [3]
    assert np.allclose(np.delete(found, 3), np.delete(TRUE, 3))


@pytest.mark.parametrize("blank", ["", "\n"])
def test_a_table_on_the_scale_of_0_to_1_is_told(tmp_path, told, blank):
    for largest, notes in ((1.0, 1), (0.7, 1), (1.1, 0), (0.0, 0)):
        openface._note_once.cache_clear()
        told.clear()
        made = [row | {"AU12_r": largest} for row in rows()]
        (tmp_path / "aus" / "table" / "d.csv").write_text(blank + text(made))
        assert source("table")(DRIVER).intensity.max() == largest
        assert len(told) == notes
        assert all(f"the largest intensity is {largest:.2g}; intensities are read as 0 to 5" in line for line in told)


def test_presences_are_needed_by_openface_and_not_by_table(driving):
    """A table like pyfaceau's counts frames from 0, writes success as True or False, and has intensities only."""
    made = [{k: v for k, v in row.items() if not k.endswith("_c")} | {"success": True} for row in rows(first=0)]
    with pytest.raises(CellFailed, match=r"lacks the column AU01_c.*au_source=table"):
        driving(made)
    assert np.array_equal(driving(made, "table"), TRUE)
    with pytest.raises(CellFailed, match="frame 3: AU12_c is 2; presences must be 0 or 1"):
        driving(changed(2, AU12_c=2))


def a_file_each(folder, names, made):
    folder.mkdir(parents=True)
    for name, row in zip(names, made, strict=True):
        (folder / name).write_text(text([{k: v for k, v in row.items() if k not in ("frame", "face_id", "success")}]))


@pytest.mark.parametrize(
    "names",
    [
        [f"frame{k}.csv" for k in range(1, 13)],
        [f"{k}.csv" for k in range(12)],
        [f"{k:05d}.csv" for k in range(12)],
        [f"reg_img{k}.csv" for k in range(95, 107)],
        [f"frame_det_00_{k:06d}.csv" for k in range(1, 13)],
        [f"smile_{k:03d}_30fps.CSV" for k in range(1, 13)],
    ],
)
def test_a_file_a_frame_goes_by_the_numbers(tmp_path, names):
    a_file_each(tmp_path / "aus" / "openface" / "d", names, rows(12))
    assert read_openface(tmp_path / "aus" / "openface" / "d", 12)[:, AU12] == pytest.approx(1 + 0.1 * np.arange(12))
    units = source("openface")(SimpleNamespace(name="d", n_frames=12))
    assert units.intensity[:, AU12] == pytest.approx(1 + 0.1 * np.arange(12))


def test_several_faces_in_a_picture_are_told_and_hidden_files_left_out(tmp_path, told):
    a_file_each(tmp_path / "two", [f"frame{k}.csv" for k in range(1, N + 1)], rows())
    (tmp_path / "two" / "._frame3.csv").write_bytes(b"\0\5\x16\7")
    with (tmp_path / "two" / "frame4.csv").open("a") as file:
        file.write(text([rows()[3] | {"confidence": 0.5}]).splitlines()[1] + "\n")
    assert read_openface(tmp_path / "two", N)[:, AU12] == pytest.approx(TRUE)
    assert told == [f"{tmp_path}/two: several faces in frame 4; the one with the highest confidence is used"]


@pytest.mark.parametrize("blank", ["", "NaN", "NA", "#N/A", "-nan(ind)"])
def test_values_that_a_found_face_lacks_are_missing_and_told(scored, told, blank):
    assert np.flatnonzero(np.isnan(scored(changed(3, AU12_r=blank)))).tolist() == [3]
    assert [line.partition(".csv: ")[2] for line in told] == ["values are missing in frame 4"]


def test_tables_are_found_whatever_their_ending(tmp_path, driving):
    expected = driving(rows())
    csv = tmp_path / "aus" / "openface" / "d.csv"
    for ending in (".CSV", ".tsv", ".TXT"):
        csv.rename(csv := csv.with_suffix(ending))
        assert au_sources.files_of("openface", DRIVER) == [csv]
        assert np.array_equal(source("openface")(DRIVER).intensity[:, AU12], expected)


def test_folders_that_do_not_fit_are_refused_and_gaps_in_them_named(tmp_path, told):
    names = [f"frame{k}.csv" for k in range(1, N + 1)]
    for case, (chosen, words) in {
        "doubled": ([*names[:-1], "frame07.csv"], "frame 7 is already in frame07.csv"),
        "last": (names[:-1], "frames 1 to 7 in 7 rows"),
        "nameless": (["a.csv", *names[1:]], "no frame number in its name"),
    }.items():
        a_file_each(tmp_path / case, chosen, rows(len(chosen)))
        with pytest.raises(BenchError, match=words):
            read_openface(tmp_path / case, N)
    a_file_each(tmp_path / "gap", [name for name in names if name != "frame3.csv"], rows(N - 1))
    assert np.flatnonzero(np.isnan(read_openface(tmp_path / "gap", N)).all(1)).tolist() == [2]
    assert told == [f"{tmp_path}/gap: no row for frame 3"]


def test_a_matrix_of_ones_own_is_read_in_every_dialect_or_named(tmp_path):
    path = tmp_path / "aus" / "table" / "d.csv"
    values = np.random.default_rng(0).uniform(0, 5, (N, 17)).round(3)
    for delimiter in (",", ";", "\t"):
        lines = [delimiter.join(map(str, row)) for row in values]
        path.write_text("\n".join(lines).replace(".", "," if delimiter == ";" else "."))
        assert np.allclose(source("table")(DRIVER).intensity, values)
    np.savetxt(path, values[:, ::-1], delimiter=",", header=",".join(COLUMNS[::-1]))  # the header is written after "# "
    assert np.allclose(source("table")(DRIVER).intensity, values)
    np.savetxt(path, values)
    with pytest.raises(CellFailed, match="has 1 column; it needs 17, separated by commas, semicolons or tabs"):
        source("table")(DRIVER)
    np.savetxt(path, values[1:], delimiter=",")
    with pytest.raises(CellFailed, match="has 7 rows, but driver d has 8 frames"):
        source("table")(DRIVER)
    np.savetxt(path, values + 1, delimiter=",")
    with pytest.raises(CellFailed, match="action units must be numbers from 0 to 5"):
        source("table")(DRIVER)


def test_what_is_kept_for_the_metric_reads_back_with_its_gaps():
    scores = np.random.default_rng(0).uniform(0, 5, (N, 17))
    scores[2], scores[4, 3] = np.nan, np.nan
    keep("content", scores)
    np.testing.assert_array_equal(kept("content", N), scores)
    assert kept("other", N) is None


@given(st.permutations(range(N)))
@settings(max_examples=20)
def test_rows_numbered_only_by_their_times_must_ascend(tmp_path_factory, order):
    made = [{name: value for name, value in row.items() if name != "frame"} for row in rows()]
    path = tmp_path_factory.mktemp("times") / "c.csv"
    path.write_text(text([made[k] for k in order]))
    if order == sorted(order):
        np.testing.assert_allclose(read_openface(path, N)[:, AU12], TRUE)
    else:
        with pytest.raises(BenchError, match=r"timestamp .* is before that of the row above .*Sort the rows by time"):
            read_openface(path, N)
