"""From prepared databases to recognisers, and from a run to its table, on look-alikes with known rules."""

import csv
import dataclasses
import json
import re
import shutil

import cv2
import numpy as np
import pytest

from megbench.commands.recognition import outputs_of
from megbench.core.confusion import confusion, uf1
from megbench.core.errors import BenchError
from megbench.core.frames import frame_path, grey, write_png
from megbench.engine.seal import faults, seal
from megbench.protocols.demo import SHEET
from megbench.recognition import moments
from megbench.recognition.flow_export import Exported, listed_name, write_flow
from megbench.recognition.flow_picture import SIDE, flow_picture, stretched
from megbench.recognition.folds import leave_one_out
from megbench.recognition.recogniser import RECOGNISERS, answers_left_out
from megbench.recognition.rendered import SERIES, UNITS, expressions
from megbench.recognition.samples import labelled, stored_samples
from megbench.recognition.ststnet import StstNet
from megbench.recognition.svm import LinearSvm
from megbench.recognition.view import Driver, Shown, label
from megbench.reports.html import Pictures, write_report
from megbench.reports.recognised import read_recognised
from megbench.reports.recognition import FEWER, recognition_tables
from megbench.reports.run_files import FinishedRun
from tests import planted_databases as planted
from tests.report_fixture import make_run

THREE = list(planted.RULES)


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    root = tmp_path_factory.mktemp("planted")
    return {
        "samm": planted.store(root / "samm", "samm", [11, 12, 13]),
        "smic": planted.store(root / "smic", "smic", [4, 5], takes=1),
    }


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def data(stores, cache):
    samples, notes = stored_samples(stores.values(), cache)
    return labelled(samples, "megc2019", notes)


def pair(person, emotion, take=0):
    frames = grey(planted.acted(person, emotion, take))
    return frames[0], frames[planted.APEX], planted.landmarks(person)


class TestPictures:
    def test_a_still_face_has_none(self):
        first, _, points = pair(11, "positive")
        assert not flow_picture(first, first, points).any()

    def test_mirrored_faces_have_mirrored_pictures(self):
        first, later, points = pair(11, "positive")
        order = [*range(16, -1, -1), *range(26, 16, -1), *range(27, 31), *range(35, 30, -1)]
        order += [45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40, *range(54, 47, -1), *range(59, 54, -1)]
        order += [*range(64, 59, -1), *range(67, 64, -1)]
        across = (points * [-1, 1] + [255, 0])[order]
        seen = flow_picture(first, later, points)
        other = flow_picture(first[:, ::-1].copy(), later[:, ::-1].copy(), across)[..., ::-1] * [[[-1]], [[1]], [[1]]]
        assert np.abs(seen - other).max() < 0.15 * np.abs(seen).max()

    def test_corners_of_a_smile_move_outwards_and_up_in_eye_distances(self):
        """At intensity 1, the fastest vertex moves by 5 % of the eye distance. Here the intensity is 0.8."""
        u, v, strain = flow_picture(*pair(11, "positive"))
        mouth = np.s_[17:24]
        assert u[mouth, :14].mean() < 0 < u[mouth, 14:].mean()
        assert v[mouth].min() < -0.008
        assert 0.01 < np.hypot(u, v).max() < 0.06
        assert strain.min() >= 0
        assert np.unravel_index(strain.argmax(), strain.shape)[0] > 14

    def test_the_heads_own_motion_is_taken_off(self):
        first, later, points = pair(11, "positive")
        moved = cv2.warpAffine(
            later, np.array([[1, 0, 1.5], [0, 1, -1.0]]), (256, 256), borderMode=cv2.BORDER_REPLICATE
        )
        still, shifted = flow_picture(first, later, points), flow_picture(first, moved, points)
        assert np.abs(still - shifted)[:2].max() < 0.3 * np.abs(still[:2]).max()

    def test_stretching_gives_noise_the_contrast_of_an_expression(self):
        one = flow_picture(*pair(11, "positive"))
        faint = stretched(np.stack([one, one / 50, 0 * one]))
        assert np.allclose(faint[0], faint[1], atol=1e-5)
        assert faint[0].min() == 0
        assert faint[0].max() == 1
        assert not faint[2].any()


class TestDatabases:
    def test_planted_rules_are_recognised(self, data):
        folds = leave_one_out(data)
        assert len(folds.people) == 5
        (said,) = answers_left_out(LinearSvm(), data, folds)
        assert uf1(confusion(data.labels, said, 3)) > 0.8

    def test_an_apex_that_nobody_coded_is_the_largest_motion_and_told(self, data):
        uncoded = [sample for sample in data.samples if sample.database == "smic"]
        assert [sample.apex for sample in uncoded] == [planted.APEX] * 6
        assert not any(sample.apex_coded for sample in uncoded)
        assert data.notes == (
            "smic: no coded apex in 6 of 6 clips; the frame with the largest motion is used there instead",
        )

    def test_what_was_measured_is_kept(self, stores, cache, data, monkeypatch):
        monkeypatch.setattr(moments, "_measured", None)
        again, _ = stored_samples(stores.values(), cache)
        assert np.array_equal(np.stack([sample.picture for sample in again]), data.pictures)

    def test_a_coded_clip_costs_one_flow(self, stores, monkeypatch):
        flows = []
        monkeypatch.setattr(
            moments, "flow_picture", lambda *_: flows.append(1) or np.zeros((3, SIDE, SIDE), np.float32)
        )
        monkeypatch.setattr(moments, "coarse_flow", None)
        monkeypatch.setattr(moments, "landmarks", None)  # the store has them
        assert len(stored_samples([stores["samm"]])[0]) == len(flows) == 18

    def test_clips_that_cannot_be_used_are_noted(self, stores, monkeypatch):
        monkeypatch.setattr(moments, "flow_picture", lambda *_: np.zeros((3, SIDE, SIDE), np.float32))
        monkeypatch.setattr(
            "megbench.recognition.samples.Moment",
            lambda *given: moments.Moment(*given[:4], 3 if "011" in given[0] else 0, *given[5:]),
        )
        samples, notes = stored_samples([stores["samm"]])
        assert len(samples) == 12
        assert notes[0].startswith("samm: 6 of 18 clips cannot be used (samm/011_ne_1: no frame follows its onset, ")


class Spy:
    """A recogniser that always answers the first class and remembers which samples it may learn from."""

    name = "spy"

    def answers(self, pictures, labels, training, asked, fold_of, n_classes):
        self.training = training[fold_of]
        return np.zeros((1, len(asked)), np.int64)


def frames_in(folder, frames):
    for index, frame in enumerate(frames):
        folder.mkdir(parents=True, exist_ok=True)
        write_png(frame_path(folder, index), frame)
    return folder


class TestView:
    def look(self, tmp_path, data, subject, frames, template):
        write_png(tmp_path / "template.png", template)
        driver = Driver("d", "samm", subject, frames_in(tmp_path / "d", frames), 4, 0, None)
        spy = Spy()
        found = label([Shown("m", "c", "d", driver.folder, tmp_path / "template.png")], [driver], data, spy, None)
        assert found.apexes == {"d": planted.APEX}
        held = len(set(data.people)) - len({who for who, row in zip(data.people, spy.training[0], strict=True) if row})
        (told,) = found.notes
        assert ("1 person in 1 of 1 cell" in told) if held else told.startswith("none of the clips")
        return {person for person, learns in zip(data.people, spy.training[0], strict=True) if not learns}

    def test_the_drivers_person_is_held_out_by_name(self, tmp_path, data):
        other = planted.acted(30, "positive", 0)
        assert self.look(tmp_path, data, "012", other, planted.neutral(31)) == {"samm/012"}
        assert self.look(tmp_path / "x", data, "099", other, planted.neutral(31)) == set()

    def test_the_drivers_person_is_held_out_by_content(self, tmp_path, data):
        """If the driver is a copy of a database clip under another name, the person in that clip is held out."""
        copied = planted.acted(12, "positive", 1)
        assert self.look(tmp_path, data, "driver", copied, planted.neutral(31)) == {"samm/012"}

    def test_the_templates_person_is_held_out_by_content(self, tmp_path, data):
        template = planted.acted(13, "surprise", 0)[0]
        assert self.look(tmp_path, data, "driver", planted.acted(30, "positive", 0), template) == {"samm/013"}

    def test_who_is_left_with_nothing_to_learn_from_is_told(self, tmp_path, data):
        alone = dataclasses.replace(data, samples=data.samples[:6], labels=data.labels[:6])
        folder = frames_in(tmp_path / "d", planted.acted(30, "positive", 0))
        driver = Driver("d", "samm", "011", folder, 4, 0, 2)
        found = label([Shown("m", "c", "d", folder, None)], [driver], alone, LinearSvm(), None)
        assert found.reasons == {0: "the clips on which svm is trained show only the driver's person"}
        pair = [*range(6), 6, 7]  # add a second person, who does not show every class
        two = dataclasses.replace(data, samples=tuple(data.samples[k] for k in pair), labels=data.labels[pair])
        found = label([Shown("m", "c", "d", folder, None)], [driver], two, LinearSvm(), None)
        assert found.notes[0] == "held out, by name and by identical frames: 1 person in 1 of 1 cell"
        assert found.notes[1].startswith(
            "labels from a recogniser that does not know all classes: 1 (the other classes"
        )
        assert found.fewer == {0}


def test_a_guessed_apex_has_its_reason():
    whys = [moments.why_guessed(4, apex, 10) for apex in (None, 4, 3, 5, 9, 10)]
    assert moments.guessed_notes(whys, "clips") == [
        "no coded apex in 1 of 6 clips; the frame with the largest motion is used there instead",
        "an apex at or before the onset in 2 of 6 clips; the frame with the largest motion is used there instead",
        "an apex outside the clip in 1 of 6 clips; the frame with the largest motion is used there instead",
    ]


def test_the_demos_recogniser_meets_nobody_of_the_demo():
    shown = expressions()
    of_demo = {frozenset(driver.units) for driver in SHEET.drivers}
    assert not of_demo & {frozenset(units) for sets in UNITS.values() for units in sets}
    assert all(driver.manner < 1000 < one.manner for driver in SHEET.drivers for one in shown)
    assert SHEET.series != SERIES
    assert len({one.key() for one in shown[:20]}) == 20


def run_of_faces(folder):
    """Make a run with planted faces at onset and apex (frames 1 and 6). fpfomm is right, wrong_driver shows foils."""
    make_run(folder, drivers=6)
    facts = json.loads((folder / "run.json").read_text())
    for cell in facts["cells"]:
        number = int(cell["driver"][1:]) - 1
        cell["emotion"], cell["foil"] = THREE[number % 3], f"d{(number + 1) % 6 + 1}"
        cell["subject"], cell["database"] = f"p{number}", "samm"
        person = 40 + ("ta", "tb").index(cell["template"])
        write_png(folder / "inputs" / "templates" / f"{cell['template']}.png", planted.neutral(person))
        onset_and_apex(folder / "inputs" / "drivers" / cell["driver"], planted.acted(30, THREE[number % 3], number))
        acted = planted.acted(person, THREE[number % 3], 0)
        still, foil = np.stack([acted[0]] * 4), planted.acted(person, THREE[(number + 1) % 3], 0)
        for row, frames in {"fpfomm": acted, "flow_warp": acted, "still": still, "wrong_driver": foil}.items():
            onset_and_apex(folder / "cells" / row / cell["name"], frames)
    (folder / "run.json").write_text(json.dumps(facts))
    return folder


def onset_and_apex(place, frames):
    for index, frame in ((1, frames[0]), (6, frames[planted.APEX])):
        path = frame_path(place / "frames", index)
        path.unlink(missing_ok=True)
        write_png(path, frame)
    if (place / "cell.json").exists():
        record = json.loads((place / "cell.json").read_text())
        (place / "cell.json").write_text(json.dumps({**record, "content": str(frames.mean())}))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return run_of_faces(tmp_path_factory.mktemp("runs") / "faces")


@pytest.mark.usefixtures("in_this_process")
class TestCommand:
    @pytest.fixture(autouse=True)
    def kept(self, cache, monkeypatch):
        monkeypatch.setattr("megbench.commands.recognition.STORE", cache)
        monkeypatch.setattr("megbench.commands.export.STORE", cache)

    def test_labels_a_run_by_a_database(self, call, run, stores):
        given = ",".join(f"{name}={path}" for name, path in stores.items())
        code, _, err = call("recognition", run, "--recogniser", given)
        assert code == 0, err
        assert "smic: no coded apex in 6 of 6 clips" in err
        (scores, taken) = recognition_tables(FinishedRun(run)).values()
        values = {row[0].value: [entry.value for entry in row[1:3]] for row in scores.rows()}
        assert values["fpfomm"] == values["flow_warp"] == values["the drivers themselves"] == [1, 1]
        assert values["still"] == pytest.approx([1 / 6, 1 / 3])  # 2a / (3 (1 + a)) for a = 1/3
        assert values["always negative"] == pytest.approx([1 / 6, 1 / 3])
        assert values["chance"] == pytest.approx([1 / 3, 1 / 3])
        assert values["wrong_driver"] == [0, 0]
        assert any(
            "compared with that driver's emotion it has UF1 1.00 and UAR 1.00 (12 cells)" in f for f in scores.footnotes
        )
        assert any("learned from samm: 18 clips of 3 people; smic: 6 clips of 2 people" in f for f in scores.footnotes)
        rows = {row[0].value: [entry.value for entry in row[1:]] for row in taken.rows()}
        assert rows["fpfomm"] == [4, 0, 0, 0, 4, 0, 0, 0, 4]
        assert rows["wrong_driver"] == [0, 4, 0, 0, 0, 4, 4, 0, 0]
        # Every second cell of this method failed, and the row says so.
        absent = next(row for row in scores.rows() if row[0].value == "fomm:mode=absolute")
        assert absent[1].value is None or "11/12" in absent[1].remark

    def test_rendered_drivers_need_no_database(self, call, run, monkeypatch):
        monkeypatch.setattr("megbench.recognition.rendered.expressions", lambda _: expressions(2))
        code, out, err = call("recognition", run)
        assert code == 0, err
        assert "learned from rendered: 18 clips of 2 people (6 negative, 6 positive, 6 surprise)" in out
        assert "\nalways negative" in out
        page = write_report(run, Pictures.none).read_text()
        assert '<a href="#recognition">' in page
        assert "compared with that driver&#39;s emotion" in page

    def test_seeds_are_summed_up(self, call, run, stores, monkeypatch):
        quick = StstNet(epochs=3, lr=0.01, batch=4, seeds=(0, 1))
        monkeypatch.setitem(RECOGNISERS, "ststnet", lambda: quick)
        code, out, err = call("recognition", run, "--recogniser", f"samm={stores['samm']}", "--by", "ststnet")
        assert code == 0, err
        assert "UF1 of seeds" in out
        found = read_recognised(FinishedRun(run))
        assert found.seeds == 2
        assert all(len(one.answers) in (0, 2) for cells in found.rows.values() for one in cells.values())

    def test_labels_of_other_frames_are_not_shown(self, call, run, stores):
        given = f"samm={stores['samm']}"
        assert call("recognition", run, "--recogniser", given)[0] == 0
        record = next((run / "cells" / "fpfomm").glob("*/cell.json"))
        before = record.read_text()
        record.write_text(before.replace('"content": "', '"content": "other '))
        found = read_recognised(FinishedRun(run))
        record.write_text(before)
        assert len(found.rows["fpfomm"]) == 11
        (run / "recognition.json").write_text('{"classes": ["one"]}')
        with pytest.raises(
            BenchError, match=r"recognition.json is not valid .*Run `python bench.py recognition` again"
        ):
            read_recognised(FinishedRun(run))
        (run / "recognition.json").unlink()
        assert recognition_tables(FinishedRun(run)) == {}

    def test_an_edited_file_is_one_line_and_not_declared_whole(self, call, run, stores, tmp_path):
        copy = shutil.copytree(run, tmp_path / "run")
        assert call("recognition", copy, "--recogniser", f"samm={stores['samm']}")[0] == 0
        seal(copy)
        path = copy / "recognition.json"
        whole = json.loads(path.read_text())
        cell = next(name for name, one in whole["rows"]["fpfomm"].items() if one["answers"])
        edits = {
            f"rows.fpfomm.{cell} has answer 7, which is not between -1 \\(no answer\\) and 2": [7],
            f"rows.fpfomm.{cell} has 2 answers for 1 seed": [0, 0],
            f"rows.fpfomm.{cell} has neither answers nor a reason": [],
        }
        for told, answers in edits.items():
            rows = {**whole["rows"], "fpfomm": {**whole["rows"]["fpfomm"], cell: {"answers": answers}}}
            path.write_text(json.dumps({**whole, "rows": rows}))
            with pytest.raises(BenchError, match=rf"{told}.*Run `python bench.py recognition` again"):
                read_recognised(FinishedRun(copy))
        for part, value in {"seeds": 0, "of_classes": [1, 2], "emotions": {"d1": "bored"}}.items():
            path.write_text(json.dumps({**whole, part: value}))
            with pytest.raises(BenchError, match=rf"{part}.*Run `python bench.py recognition` again"):
                read_recognised(FinishedRun(copy))
        rows = {**whole["rows"], "fpfomm": {**whole["rows"]["fpfomm"]}}
        rows["fpfomm"][cell] = {**rows["fpfomm"][cell], "fewer": True}
        path.write_text(json.dumps({**whole, "rows": rows}))
        scores = recognition_tables(FinishedRun(copy))["recognition"]
        remarks = {row[0].value: [entry.remark for entry in row[1:3]] for row in scores.rows()}
        assert remarks["fpfomm"] == ["1 by fewer classes"] * 2
        assert remarks["still"] == ["", ""]
        assert FEWER in scores.footnotes
        path.write_text(json.dumps({**whole, "drivers": {}}))  # well-formed, but forged
        code, _, err = call("report", copy, "--no-media")
        assert code == 0, err
        assert "recognition.json was altered after it was sealed" in err
        assert faults(copy) == ["recognition.json: altered"]
        code, _, err = call("recognition", copy, "--recogniser", f"smic={stores['smic']}", "--classes", "own")
        assert code == 0, err
        assert "replaces the labels of svm (megc2019: negative, positive, surprise; learned from samm)" in err
        assert faults(copy) == []

    def test_an_apex_outside_its_driver_is_told(self, call, run, stores, tmp_path):
        copy = shutil.copytree(run, tmp_path / "run")
        facts = json.loads((copy / "run.json").read_text())
        for cell in facts["cells"]:
            cell["apex_frame"] = {"d1": 99, "d2": cell["onset_frame"]}.get(cell["driver"], cell["apex_frame"])
        (copy / "run.json").write_text(json.dumps(facts))
        code, _, err = call("recognition", copy, "--recogniser", f"samm={stores['samm']}")
        assert code == 0, err
        assert "an apex outside the clip in 1 of 6 drivers" in err
        assert "an apex at or before the onset in 1 of 6 drivers" in err

    def test_a_run_that_is_not_finished_is_told(self, call, run, stores, tmp_path):
        copy = shutil.copytree(run, tmp_path / "run")
        facts = json.loads((copy / "run.json").read_text())
        (copy / "run.json").write_text(json.dumps({**facts, "finished": False}))
        shutil.rmtree(copy / "cells" / "fpfomm" / facts["cells"][0]["name"])
        asked = len(facts["methods"]) * len(facts["cells"])
        code, out, err = call("recognition", copy, "--recogniser", f"samm={stores['samm']}")
        assert code == 0, err
        there = len(outputs_of(FinishedRun(copy)))
        assert there < asked
        assert f"the run was not finished: {there} of the {asked} outputs were available" in err
        assert f"The run was not finished: {there} of the {asked}" in out

    def test_recordings_need_a_database(self, call, run):
        facts = json.loads((run / "run.json").read_text())
        text = (run / "run.json").read_text()
        (run / "run.json").write_text(
            json.dumps({**facts, "cells": [{**c, "rendered": False} for c in facts["cells"]]})
        )
        code, _, err = call("recognition", run)
        (run / "run.json").write_text(text)
        assert code == 2
        assert "6 of its drivers are recordings (d1)" in err
        code, _, err = call("recognition", run, "--by", "vgg")
        assert code == 2
        assert "Choices: ststnet, svm" in err

    def test_wrong_classes_are_told_before_anything_is_measured(self, call, run, stores, monkeypatch):
        monkeypatch.setattr("megbench.recognition.samples.measure", None)
        for asked in (("recognition", run, "--recogniser"), ("export", "flow", "--out", "new", "--clips")):
            code, _, err = call(*asked, f"samm={stores['samm']}", "--classes", "foo")
            assert code == 2
            assert "Choices: megc2019, own" in err

    def test_exports_a_run_beside_a_database(self, call, run, stores, tmp_path):
        out = tmp_path / "flow"
        code, _, err = call(
            "export", "flow", "--clips", f"samm={stores['samm']}", "--run", run, "--methods", "fpfomm", "--out", out
        )
        assert code == 0, err
        rows = list(csv.DictReader((out / "combined_3_class2_for_optical_flow.csv").open()))
        assert len(rows) == 18 + 12 == len(list((out / "STSNet_whole_norm_u_v_os").iterdir()))
        assert sorted(path.name for path in (out / "three_norm_u_v_os").iterdir()) == ["011", "012", "013"]
        assert len(list((out / "three_norm_u_v_os" / "011" / "u_train").rglob("*.png"))) == 12 + 12
        assert not list((out / "three_norm_u_v_os").rglob("u_test/*/*fpfomm*"))


class TestFlowExport:
    def clips(self, data):
        return [Exported(s, listed_name(s), data.classes[k]) for s, k in zip(data.samples, data.labels, strict=True)]

    def test_layout_is_the_published_one(self, data, tmp_path):
        out = tmp_path / "flow"
        assert write_flow(out, self.clips(data), "megc2019", data.notes) == 24
        for subject, own in {"011": 6, "012": 6, "013": 6, "s04": 3, "s05": 3}.items():
            train, test = (
                list((out / "three_norm_u_v_os" / subject / part).glob("[012]/*.png")) for part in ("u_train", "u_test")
            )
            assert (len(train), len(test)) == (24 - own, own)
            assert all(path.name.startswith(f"{subject}_") for path in test)
            assert not any(path.name.startswith(f"{subject}_") for path in train)
        lines = (out / "combined_3_class2_for_optical_flow.csv").read_text().splitlines()
        assert lines[0] == "dataset,sub,filename_o,label,apex,imagename,sub_filename"
        assert lines[1] == "samm,011,011_ne_1,0,2,011_011_ne_1.jpg,"
        assert lines[-1] == "smic,s05,s05_su_1,2,2,s05_s05_su_1.jpg,"
        arrays = np.load(out / "flow.npy")
        assert arrays.dtype == np.float32
        assert np.array_equal(arrays, data.pictures)
        path = out / "three_norm_u_v_os" / "012" / "u_train" / "0" / "011_011_ne_1 .png"  # the original has this space
        assert np.array_equal(
            cv2.imread(str(path))[..., ::-1], np.round(255 * np.moveaxis(stretched(arrays[0]), 0, -1))
        )
        recipe = (out / "recipe.txt").read_text()
        assert "Labels: 0 negative, 1 positive, 2 surprise." in recipe
        assert data.notes[0] in recipe

    def test_casme2s_clips_are_listed_without_their_subject(self, data):
        clip = dataclasses.replace(
            data.samples[0], database="casme2", person="casme2/sub01", clip="casme2/sub01_EP02_01f"
        )
        assert listed_name(clip) == "EP02_01f"

    def test_what_cannot_be_exported_is_one_line(self, data, tmp_path):
        clips = self.clips(data)
        with pytest.raises(BenchError, match=r"exists\. Pass another folder to --out"):
            write_flow(tmp_path, clips, "megc2019")
        with pytest.raises(BenchError, match="show 1 person;"):
            write_flow(tmp_path / "x", clips[:6], "megc2019")
        with pytest.raises(
            BenchError, match=r"show 0 people; .* drivers from a folder have no person or emotion labels"
        ):
            write_flow(tmp_path / "x", [], "megc2019")
        twice = dataclasses.replace(clips[0], sample=dataclasses.replace(clips[0].sample, clip="samm/other"))
        with pytest.raises(
            BenchError, match=re.escape("samm/011_ne_1 and samm/other would both be '011_011_ne_1 .png'")
        ):
            write_flow(tmp_path / "x", [*clips, twice], "megc2019")
        same = dataclasses.replace(clips[0], name="y", sample=dataclasses.replace(clips[0].sample, person="table/011"))
        with pytest.raises(BenchError, match="samm/011 and table/011 are different people with the same name"):
            write_flow(tmp_path / "x", [*clips, same], "megc2019")
        assert not (tmp_path / "x").exists()
