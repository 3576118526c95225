"""From databases on disk to stores of clips, and from stores to batches, weights and marked rows, on look-alikes."""

import dataclasses
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml

import bench
from megbench.clips import prepare as clip_store
from megbench.clips.databases import DATABASES
from megbench.clips.prepare import prepare
from megbench.commands.clip_stores import clip_stores
from megbench.commands.databases import CHALLENGE, given_points
from megbench.commands.train import training_data
from megbench.core.clip import Clip
from megbench.core.errors import BenchError
from megbench.core.files.folder_lock import CLIP_STORE, locked_folder
from megbench.core.frames import grey
from megbench.core.prepared_clips import ClipStore, three_channels
from megbench.core.registry import load
from megbench.core.weights.network_weights import clips_seen, save_weights
from megbench.engine.benchmark import seen_facts
from megbench.engine.runner import Row
from megbench.faces.landmarks import landmarks
from megbench.fpfomm.points import given_points as points_of
from megbench.protocols.megc2021 import recordings
from megbench.protocols.self_ import Self
from megbench.training.command import train
from megbench.training.mirror import LANDMARK_PARTNERS
from megbench.training.prepared import PreparedSet, jittered, prepared_set
from megbench.training.variation import Jitter, PreparedSettings

PLAIN = PreparedSettings(flip=False, jitter=Jitter(0, 0, 0, 0))


def survey(name, path, names=None):
    """Return a look-alike's survey, with only the named clips if `names` is given."""
    found = load("database", name, DATABASES).survey(path)
    kept = [clip for clip in found.clips if names is None or clip.recording.name in names]
    return dataclasses.replace(found, clips=tuple(kept))


def prepared(found, out, colour="recorded"):
    return prepare(found, out, given_points, recordings(), CHALLENGE, colour, workers=1)


@pytest.fixture(scope="module")
def stores(databases, tmp_path_factory):
    """Prepare stores of a few clips each, with three drivers, colour and grey pictures, and one clip without a face."""
    root = tmp_path_factory.mktemp("stores")
    casme2 = ("sub02_EP01_01f", "sub04_EP12_01f", "sub05_EP03_06", "sub08_EP12_07f", "sub09_EP02_02f")
    chosen = {
        "casme2": casme2,
        "samm": ("006_1_2", "007_7_1", "011_2_1", "011_2_2"),
        "smic": None,
        "smic-vis": None,
    }
    return {
        name: prepared(survey(name, databases[name.split("-")[0]], names), root / name)
        for name, names in chosen.items()
    }


def test_frames_are_those_that_everybody_gets(stores, databases, tmp_path):
    """A stored clip has exactly the frames that are read from the same files in a folder of drivers."""
    from megbench.clips.folder import ClipFolder

    (tmp_path / "drivers").mkdir()
    source = databases["casme2"] / "CASME2_RAW_selected" / "sub02" / "EP01_01f"
    (tmp_path / "drivers" / "x").symlink_to(source)
    (clip,) = ClipFolder(tmp_path / "drivers", tmp_path / "cache").clips()
    store = stores["casme2"]
    stored = next(clip for clip in store.clips if clip.name == "sub02_EP01_01f")
    assert np.array_equal(three_channels(store.frames(stored)), clip.frames())
    assert stored.box == clip.box


def test_a_time_is_announced_only_if_the_frames_are_counted(capsys):
    def told(*counts):
        tasks = [SimpleNamespace(recording=SimpleNamespace(files=(Path("x.png"),) * count)) for count in counts]
        clip_store._announce("ours", tasks, 5, Path("OUT"), 1)
        return capsys.readouterr().err

    assert told(250, 250) == (
        "Note: preparing 2 clips of ours (3 more are already prepared), 500 pictures, into OUT. On an otherwise idle"
        " machine, this takes about 6 s (not timed here).\n"
    )
    assert told(250, 0) == "Note: preparing 2 clips of ours (3 more are already prepared), 250 pictures, into OUT.\n"


@pytest.mark.usefixtures("in_this_process")
def test_several_prepare_one_database_together(databases, tmp_path, monkeypatch, capsys):
    """Several processes do this when a training uses several devices."""
    monkeypatch.chdir(tmp_path)
    for _ in range(2):  # first all clips, then only those that cannot be prepared
        with ThreadPoolExecutor(3) as together:
            labels = {label for label, _ in together.map(training_data, [f"table={databases['table']}"] * 3)}
        assert labels == {"table"}
        told = capsys.readouterr()
        assert told.out.count("left out: p4_third.3: its offset 90 is after its last frame, 4") == 3
        assert told.out.count("missing on disk: 1 of the sheet's rows (line ") == 3
        assert told.out.count("incomplete: 1 of the sheet's rows (line 9: no fps)") == 3
        assert "waiting for it" in told.err
        assert "preparing 5 clips of our_clips, 10 pictures, into" in told.err or "preparing 1 clip of" in told.err
    (store,) = (tmp_path / ".megbench" / "prepared").glob("*/store.json")
    assert len(ClipStore(store.parent).clips) == 4


def test_the_list_of_clips_stays_while_nothing_changes(databases, tmp_path):
    found = survey("table", databases["table"])
    prepared(found, tmp_path / "out")
    listed = tmp_path / "out" / "store.json"
    before = listed.stat()
    prepared(found, tmp_path / "out")
    assert (listed.stat().st_mtime_ns, listed.stat().st_ino) == (before.st_mtime_ns, before.st_ino)


def test_a_store_whose_faces_may_be_stretched_is_refused(stores, tmp_path):
    facts = json.loads((stores["samm"].folder / "store.json").read_text())
    (tmp_path / "store.json").write_text(json.dumps(facts | {"version": "1"}))
    with pytest.raises(BenchError, match=r"version '1'.* may be stretched.* Run `python bench.py prepare` again"):
        ClipStore(tmp_path)


def test_facts_of_a_clip_are_kept(stores):
    clip = next(clip for clip in stores["casme2"].clips if clip.name == "sub05_EP03_06")
    assert (clip.onset_frame, clip.apex_frame, clip.offset_frame, clip.n_frames) == (0, 3, 5, 6)
    assert (clip.subject, clip.emotion, clip.action_units, clip.fps) == ("sub05", "surprise", "1+R2+25", 200)
    assert clip.person == "casme2/sub05"
    frame = three_channels(stores["casme2"].frames(clip))[:1]
    found = landmarks(grey(frame)[0], "test")
    assert np.array_equal(clip.landmarks, found)
    assert np.allclose(clip.points, points_of(torch.from_numpy(found)[None])[0])
    assert any("casme2-apex" in line for line in stores["casme2"].facts.corrected)


def test_grey_clips_take_a_third_of_the_room(stores):
    clip = stores["samm"].clips[0]
    assert clip.colour == "grey"
    assert stores["samm"].frames(clip).shape == (clip.n_frames, 256, 256)
    assert stores["smic"].clips[0].colour == "rgb"


def test_a_clip_without_a_face_is_listed(stores):
    assert list(stores["casme2"].facts.left_out) == ["sub08_EP12_07f"]
    assert "no frontal face found in the first frame" in stores["casme2"].facts.left_out["sub08_EP12_07f"]
    assert "sub08_EP12_07f" not in stores["casme2"].facts.clips


def test_drivers_are_known_whichever_camera_saw_them(stores):
    marked = {clip.recording for store in stores.values() for clip in store.clips if clip.driver_of}
    assert marked == {"samm/007_7_1", "smic/s11_ne_02", "smic/s3_po_05", "smic/s20_sur_01", "smic-vis/s11_ne_02"}


def test_grey_by_luma_and_as_published_differ_as_red_and_blue_do(databases, tmp_path):
    found = survey("casme2", databases["casme2"], ("sub04_EP12_01f",))
    colour, luma, swapped = (prepared(found, tmp_path / name, name) for name in ("recorded", "luma", "swapped"))
    picture = three_channels(colour.frames(colour.clips[0])).astype(float)
    for store, weights in ((luma, (0.299, 0.587, 0.114)), (swapped, (0.114, 0.587, 0.299))):
        (clip,) = store.clips
        assert clip.colour == "grey"
        assert np.abs(store.frames(clip) - picture @ weights).max() <= 0.51
    assert (luma.frames(luma.clips[0]) != swapped.frames(swapped.clips[0])).mean() > 0.5


def test_preparation_goes_on_where_it_was_cut_off(databases, tmp_path, monkeypatch):
    found = survey("casme2", databases["casme2"], ("sub02_EP01_01f", "sub04_EP12_01f", "sub09_EP02_02f"))
    done = []
    cut = clip_store.cut_frames

    def slowly(recording):
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(recording.name)
        return cut(recording)

    monkeypatch.setattr(clip_store, "cut_frames", slowly)
    with pytest.raises(KeyboardInterrupt):
        prepared(found, tmp_path / "out")
    with pytest.raises(BenchError, match="but every finished clip store contains it"):
        ClipStore(tmp_path / "out")
    (tmp_path / "out" / ".sub09_EP02_02f.1.tmp").mkdir()  # left by a killed process
    stamps = {name: (tmp_path / "out" / name / "frames.npy").stat().st_mtime_ns for name in done}
    monkeypatch.setattr(clip_store, "cut_frames", cut)
    store = prepared(found, tmp_path / "out")
    assert [clip.name for clip in store.clips] == ["sub02_EP01_01f", "sub04_EP12_01f", "sub09_EP02_02f"]
    assert {name: (tmp_path / "out" / name / "frames.npy").stat().st_mtime_ns for name in done} == stamps
    assert not list((tmp_path / "out").glob(".*.tmp"))

    before = (tmp_path / "out" / "store.json").read_bytes()
    prepared(found, tmp_path / "out")
    assert (tmp_path / "out" / "store.json").read_bytes() == before
    fewer = dataclasses.replace(found, clips=found.clips[:1])
    assert len(prepared(fewer, tmp_path / "out").clips) == 1
    assert not (tmp_path / "out" / "sub09_EP02_02f").exists()


def test_what_was_altered_is_noticed(databases, tmp_path):
    store = prepared(survey("casme2", databases["casme2"], ("sub04_EP12_01f",)), tmp_path / "out")
    frames = tmp_path / "out" / "sub04_EP12_01f" / "frames.npy"
    data = bytearray(frames.read_bytes())
    data[-1] ^= 1
    frames.write_bytes(data)
    ClipStore(store.folder)
    with pytest.raises(BenchError, match="sub04_EP12_01f was altered"):
        ClipStore(store.folder, check=True)
    frames.write_bytes(data[:-1])
    with pytest.raises(BenchError, match="was altered or is damaged"):
        ClipStore(store.folder)
    facts = tmp_path / "out" / "store.json"
    facts.write_text(facts.read_text().replace("sub04_EP12_01f", "../../elsewhere"))
    with pytest.raises(BenchError, match="cannot be used"):
        ClipStore(store.folder)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "photo.jpg").touch()
    with pytest.raises(BenchError, match="is not a clip store"):
        prepared(survey("casme2", databases["casme2"], ()), tmp_path / "mine")


def test_no_usable_clip_is_an_error(databases, tmp_path):
    with pytest.raises(BenchError, match="No clip of casme2 can be used"):
        prepared(survey("casme2", databases["casme2"], ("sub08_EP12_07f",)), tmp_path / "out")


# Batches


@pytest.fixture(scope="module")
def mix(stores):
    return [stores[name].folder for name in ("casme2", "samm", "smic")]


def test_drivers_are_not_trained_on_unless_asked(mix):
    data = PreparedSet(mix, held_out=2)
    seen = data.facts()["clips_seen"]
    assert len(seen) == 4 + 3 + 1
    assert not set(seen) & recordings()
    assert data.facts()["clips_left_out"] == ["samm/007_7_1", "smic/s11_ne_02", "smic/s20_sur_01", "smic/s3_po_05"]
    everything = PreparedSet(mix, 2, PreparedSettings("nothing"))
    assert len(everything.facts()["clips_seen"]) == 12
    assert everything.left_out == ()


def test_the_people_in_the_drivers_can_be_left_out_whole(databases, tmp_path):
    """Subject 2 is one of the drivers here, so another clip of the same person is also left out."""
    found = survey(
        "casme2", databases["casme2"], ("sub02_EP01_01f", "sub04_EP12_01f", "sub05_EP03_06", "sub07_EP06_01")
    )
    first, second, *others = found.clips
    second = dataclasses.replace(second, recording=dataclasses.replace(second.recording, subject="sub02"))
    found = dataclasses.replace(found, clips=(first, second, *others))
    prepare(found, tmp_path / "out", given_points, {first.recording.recording}, "A challenge", "recorded", 1)
    left_out = {
        what: PreparedSet([tmp_path / "out"], 1, PreparedSettings(what)).left_out
        for what in ("nothing", "drivers", "people")
    }
    assert left_out == {
        "nothing": (),
        "drivers": ("casme2/sub02_EP01_01f",),
        "people": ("casme2/sub02_EP01_01f", "casme2/sub04_EP12_01f"),
    }


def test_nobody_is_on_both_sides_of_the_split(stores, mix):
    data = PreparedSet([*mix, stores["smic-vis"].folder], 3, PreparedSettings("nothing"))
    people = {split: set(data.identities(split)) for split in ("train", "validation")}
    assert len(people["validation"]) == 3
    assert not people["train"] & people["validation"]
    # Two cameras recorded s11, ...
    both = [split for split in people if {"smic/s11_ne_02", "smic-vis/s11_ne_02"} & set(data.recordings(split))]
    assert len(both) == 1  # ... and the clips of both are on one side.
    assert data.videos == len(data.recordings("train"))
    assert "casme2, samm, smic, smic-vis" in data.describe()


def test_a_pair_is_two_frames_of_one_clip_in_order(stores):
    data = PreparedSet([stores["casme2"].folder], 1, PLAIN)
    batch = data.batch("train", 10, np.random.default_rng(0))
    assert {name: tuple(value.shape) for name, value in batch.items()} == {
        "source": (10, 3, 256, 256), "driving": (10, 3, 256, 256), "landmarks": (10, 68, 2),
    }  # fmt: skip
    frames = {
        clip.name: three_channels(stores["casme2"].frames(clip)).transpose(0, 3, 1, 2)
        for clip in stores["casme2"].clips
        if clip.recording in data.recordings("train")
    }
    drawn = set()
    for source, driving, points in zip(*batch.values(), strict=True):
        found = [
            (clip.name, i, j)
            for clip in stores["casme2"].clips
            if clip.name in frames and np.allclose(clip.landmarks, points)
            for i, frame in enumerate(frames[clip.name])
            if np.array_equal(frame, (source * 255).round())
            for j, other in enumerate(frames[clip.name])
            if np.array_equal(other, (driving * 255).round())
        ]
        assert any(i <= j for _, i, j in found)
        drawn |= {name for name, _, _ in found}
    assert len(drawn) > 1


def test_batches_come_from_the_generator_alone(mix):
    one, other = (PreparedSet(mix, 2, check=False).batch("train", 3, np.random.default_rng(5)) for _ in range(2))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_mirrored_pair_has_mirrored_landmarks(stores):
    flipped = dataclasses.replace(PLAIN, flip=True)
    plain = PreparedSet([stores["casme2"].folder], 1, PLAIN)
    kinds = set()
    for seed in range(12):
        still = plain.batch("train", 1, np.random.default_rng(seed))
        turned = PreparedSet([stores["casme2"].folder], 1, flipped).batch("train", 1, np.random.default_rng(seed))
        left = dataclasses.replace(flipped, mirror_points=False)
        published = PreparedSet([stores["casme2"].folder], 1, left).batch("train", 1, np.random.default_rng(seed))
        assert torch.equal(published["landmarks"], still["landmarks"])
        assert torch.equal(published["source"], turned["source"])

        def shows(name, picture, turned=turned):
            return torch.allclose(turned[name], picture, atol=1e-5)

        if shows("source", still["source"].flip(3)):
            kinds.add("mirrored")
            back = turned["landmarks"][:, list(LANDMARK_PARTNERS)] * torch.tensor([-1, 1]) + torch.tensor([255, 0])
            assert torch.equal(back, still["landmarks"])
            continue
        assert torch.equal(turned["landmarks"], still["landmarks"])
        backwards = not shows("source", still["source"])
        kinds.add("backwards" if backwards else "as it is")
        assert shows("source", still["driving" if backwards else "source"])
        assert shows("driving", still["source" if backwards else "driving"])
    assert kinds == {"mirrored", "backwards", "as it is"}


def test_validation_pairs_are_never_varied(stores):
    varied = PreparedSet([stores["casme2"].folder], 1, PreparedSettings())
    plain = PreparedSet([stores["casme2"].folder], 1, PLAIN)
    one, other = (data.batch("validation", 4, np.random.default_rng(0)) for data in (varied, plain))
    assert torch.equal(one["driving"], other["driving"])


def test_jitter_changes_both_frames_alike():
    rng = np.random.default_rng
    picture = rng(0).uniform(0.2, 0.8, (16, 16, 3)).astype(np.float32)
    pair = np.stack([picture, picture])
    varied = jittered(pair, Jitter(), rng(1))
    assert varied.dtype == np.float32
    assert np.array_equal(varied[0], varied[1])
    assert np.abs(varied - pair).max() > 0.02
    assert np.allclose(jittered(pair, Jitter(0, 0, 0, 0), rng(1)), pair, atol=1e-6)


def test_each_jitter_changes_what_it_says():
    pair = np.random.default_rng(0).uniform(0.2, 0.8, (1, 16, 16, 3)).astype(np.float32)
    luma = np.array([0.299, 0.587, 0.114])
    for seed in range(4):
        brighter = jittered(pair, Jitter(0.2, 0, 0, 0), np.random.default_rng(seed))
        assert np.ptp(brighter / pair) < 1e-4
        harder = jittered(pair, Jitter(0, 0.2, 0, 0), np.random.default_rng(seed))
        np.testing.assert_allclose((harder @ luma).mean(), (pair @ luma).mean(), atol=1e-3)
        assert abs(harder.std() / pair.std() - 1) > 1e-3
        paler = jittered(pair, Jitter(0, 0, 0.2, 0), np.random.default_rng(seed))
        np.testing.assert_allclose(paler @ luma, pair @ luma, atol=1e-5)
        hue = jittered(pair, Jitter(0, 0, 0, 0.1), np.random.default_rng(seed))
        np.testing.assert_allclose(hue.max(-1), pair.max(-1), atol=1e-4)
        np.testing.assert_allclose(hue.min(-1), pair.min(-1), atol=1e-4)
        assert np.abs(hue - pair).max() > 0.01
    dull = np.repeat(pair[..., :1], 3, axis=-1)
    np.testing.assert_allclose(jittered(dull, Jitter(0, 0, 0, 0.1), np.random.default_rng(2)), dull, atol=1e-6)


def test_what_cannot_be_trained_on_is_said(mix, stores, tmp_path):
    with pytest.raises(BenchError, match=r"data\.held_out must be from 1 to 6, .* 7 people, got 8\. Use --set"):
        PreparedSet(mix, held_out=8)
    with pytest.raises(BenchError, match="is in several of the stores"):
        PreparedSet([mix[0], mix[0]])
    with pytest.raises(BenchError, match="exact flow of rendered clips"):
        train("fomm", {"published": {}, "taught": {}}, prepared_set(mix), None, ["training=taught"], *2 * [tmp_path])
    with pytest.raises(BenchError, match="must be demo or NAME=PATH"):
        training_data("samm")
    with pytest.raises(BenchError, match="the store there contains casme2"):
        training_data(f"samm={stores['casme2'].folder}")
    with pytest.raises(BenchError, match="Did you mean 'casme2'"):
        training_data("casme=/nowhere")


# Rows trained on a driver are marked


def test_a_store_is_a_folder_of_drivers(stores, tmp_path):
    cells = Self(tmp_path / "cache", stores["samm"].folder).cells()
    assert [cell.driver.recording for cell in cells] == [clip.recording for clip in stores["samm"].clips]
    driver = cells[0].driver
    assert (driver.action_units, driver.apex_frame, driver.colour) == ("12A+ref(24)", 2, "grey")
    assert np.array_equal(driver.frames(), three_channels(stores["samm"].frames(stores["samm"].clips[0])))
    assert Self(tmp_path / "cache", stores["samm"].folder).cells()[0].driver == driver


def test_seen_drivers_are_told_from_seen_people(tmp_path):
    def cell(recording, database, subject):
        driver = Clip(tmp_path, recording.replace("/", "."), database, subject, "", 2, "", recording=recording)
        return type("Cell", (), {"driver": driver})

    cells = [
        cell("smic/s11_ne_02", "smic", "s11"),
        cell("smic/s3_po_05", "smic", "s3"),
        cell("samm/018_3_1", "samm", "018"),
        cell("", "folder", "s3"),
    ]
    known = {"clips": ["smic-vis/s11_ne_02"], "people": ["smic/s11", "smic/s3"]}
    row = Row("m", "m", "", {}, None, False, {}, seen=known)
    assert seen_facts(row, cells) == {"seen_drivers": ["smic.s11_ne_02"], "seen_people": ["smic.s3_po_05"]}
    assert seen_facts(dataclasses.replace(row, seen={}), cells) == {"seen_drivers": [], "seen_people": []}


def test_a_card_says_what_its_weights_have_seen(tmp_path):
    weights = tmp_path / "fomm@x.safetensors"
    assert clips_seen(weights) == {}
    save_weights(weights, {}, {"data": {"clips_seen": ["samm/006_1_2"], "people_seen": ["samm/006"]}})
    assert clips_seen(weights) == {"clips": ["samm/006_1_2"], "people": ["samm/006"]}
    save_weights(weights, {}, {"data": {"held_out": 4}})
    assert clips_seen(weights) == {}
    save_weights(weights, {}, {"data": {"clips_seen": "all"}})
    with pytest.raises(BenchError, match="must be a list of names"):
        clips_seen(weights)


TINY = {
    "model": {
        "detector": {"hourglass": {"block_expansion": 4, "max_features": 8, "num_blocks": 3}},
        "dense_motion": {"hourglass": {"block_expansion": 4, "max_features": 8, "num_blocks": 3}},
        "generator": {"block_expansion": 4, "max_features": 8, "num_bottleneck_blocks": 1},
        "discriminator": {"block_expansion": 4, "max_features": 8, "num_blocks": 2},
    },
    "loss": {"perceptual": "pyramid"},
    "data": {"held_out": 2},
    "plan": {"stages": {"main": {"steps": 2, "batch_size": 2}}, "validate_every": 2, "validation_batches": 1},
}


@pytest.mark.usefixtures("in_this_process")
def test_from_databases_to_a_marked_report(databases, stores, tmp_path, monkeypatch, capfd):
    """The commands validate, prepare, train on a mix of raw and prepared data, and benchmark the trained variant."""
    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text(yaml.safe_dump(TINY))

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["bench.py", *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as stop:
            bench.main()
        out, err = capfd.readouterr()
        assert stop.value.code in (0, None), err
        return out

    told = call("validate", "casme2", databases["casme2"])
    assert "10 usable clips of 10 people" in told
    assert "drivers of MEGC2021: casme2/sub01_EP19_06f, casme2/sub17_EP01_13, casme2/sub19_EP01_01f" in told
    told = call("prepare", "casme2", databases["casme2"], "--out", "CASME2", "--workers", 1)
    assert "9 clips of 9 people in CASME2, 1 left out" in told
    assert "left out: sub08_EP12_07f: no frontal face" in told

    mix = f"casme2=CASME2,samm={databases['samm']},smic={stores['smic'].folder}"
    told = call("train", "fpfomm", "--clips", mix, "--config", "tiny.yaml", "--device", "cpu")
    assert "14 clips of 13 people (2 held out for validation) of casme2, samm, smic; 9 clips" in told
    card = json.loads(Path(".megbench/weights/fpfomm@mix.json").read_text())
    assert not set(card["data"]["clips_seen"]) & recordings()
    assert len(card["data"]["clips_seen"]) == 14
    assert card["data"]["clips_left_out"] == sorted(recordings())
    assert "no frontal face" in card["data"]["clips_unusable"]["casme2/sub08_EP12_07f"]

    arguments = ["--methods", "fpfomm@mix", "--protocol", "self", "--no-controls", "--metrics", "sharpness"]
    told = call(*arguments, "--drivers", stores["casme2"].folder, "--out", "run", "--device", "cpu", "--workers", 1)
    assert "trained on 4 of 4 drivers" in told
    (row,) = json.loads(Path("run/run.json").read_text())["methods"]
    assert row["seen_drivers"] == [clip.name for clip in stores["casme2"].clips]
    assert "Trained on clips of this run." in Path("run/report.html").read_text()


def test_a_store_that_is_not_finished_is_no_database(tmp_path):
    with locked_folder(tmp_path / "store", CLIP_STORE):
        pass  # `prepare` was interrupted before its first clip
    with pytest.raises(BenchError, match=r"store there is not finished\. Run the same `prepare casme2` command"):
        clip_stores(f"casme2={tmp_path / 'store'}", "--clips")
    with pytest.raises(BenchError, match=r"--clips casme2=.*nowhere: there is no such folder\. Pass"):
        clip_stores(f"casme2={tmp_path / 'nowhere'}", "--clips")
