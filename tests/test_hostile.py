"""Every hostile input, at every entry point that reads it, is refused in one clear line or gives correct results.

A case puts a file where an entry point reads it, runs the command line in this process, and states how the command must
end. Every case must end in time, use little memory, show no traceback, and leave nothing outside the suite's folders.
"""

import contextlib
import functools
import json
import resource
import shlex
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from megbench.clips.databases.sheets import read_sheet
from megbench.core.clip import load_clip
from megbench.core.config import parse_set, read_overlay
from megbench.core.errors import BenchError
from megbench.core.files.names import check_name
from megbench.core.pictures import read_picture
from megbench.core.video import read_clip
from megbench.experts.blinded import make_key
from megbench.faces.openface import COLUMNS, read_openface
from megbench.methods.generator import GeneratorMethod
from tests import hostile_files as files
from tests.fakes import make_clips
from tests.golden.fill import undrawn

SECONDS, MEGABYTES = 20, 1000
# What the suite creates in the working folder.
OURS = {".megbench", "runs", "out"}
LONG = "x" * 300
SMALL = {
    "detector": {"hourglass": {"block_expansion": 2, "max_features": 4}},
    "dense_motion": {"hourglass": {"block_expansion": 2, "max_features": 4}},
    "generator": {"block_expansion": 2, "max_features": 4, "num_bottleneck_blocks": 1},
}


def small_database(where):
    """Write a clip of CASME II: three frames."""
    folder = where / "db" / "sub01" / "EP01_01"
    folder.mkdir(parents=True)
    for number in (1, 2, 3):
        (folder / f"img{number}.jpg").write_bytes(files.picture("JPEG", files.FACE[:16, :16]))


def portrait(where):
    """Write a valid template."""
    put(where / "templates" / "face.png", files.picture())


def driver(where):
    """Write a valid driver: a folder of frames."""
    for number, frame in enumerate(files.shaking(2)):
        put(where / "drivers" / "good" / f"{number}.png", files.picture(image=frame))


def clip(where):
    """Write a clip for the fake protocol."""
    make_clips(where / "clips", count=1)


def sheet(where):
    """Write a valid score sheet."""
    put(where / "good.csv", files.lines(files.HEAD, files.SCORE))


def kit(where):
    """Write a kit with one clip."""
    for number, frame in enumerate(files.shaking(2)):
        put(
            where / "kit" / "source_samples" / "casme2_challenge" / "EP19_06f" / f"{number}.png",
            files.picture(image=frame),
        )


def nothing(where):
    """Write nothing."""


def put(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def start_from(where, place):
    """Run only this part of `train --init`, because rendering its training set would take minutes."""
    from megbench.training.command import start_from

    start_from(where / place, SimpleNamespace(networks=lambda: {"generator": nn.Linear(3, 1)}))


@pytest.fixture(autouse=True)
def networks_undrawn():
    """Build networks without drawing initial weights, which would take longer than everything else."""
    with undrawn():
        yield


@dataclass(frozen=True)
class Entry:
    """Where a file is put ({} is its name) and which command reads it; `around` writes what else that command needs."""

    place: str
    command: str
    around: Callable[[Path], None] = nothing


FOLDER = "--methods shift --protocol folder --drivers drivers --templates templates --dry-run"
FAKES = "--protocol fakes --drivers clips --metrics difference --no-controls --out out"
ENTRIES = {
    "templates": Entry("templates/{}", FOLDER, driver),
    "drivers": Entry("drivers/{}", FOLDER, portrait),
    "frames": Entry("drivers/good/9_{}", FOLDER, lambda where: (portrait(where), driver(where))),
    "self": Entry("drivers/{}", "--methods shift --protocol self --drivers drivers --dry-run"),
    "portraits": Entry("portraits/{}", "--methods shift --protocol demo --portraits portraits --dry-run"),
    "kit": Entry("kit/target_template_face/{}", "--methods shift --protocol megc2021 --data kit --dry-run", kit),
    "archive": Entry("{}", "--methods shift --protocol megc2021 --data {} --dry-run"),
    "outputs": Entry("made/{}", f"--methods outputs:made {FAKES} --dry-run", clip),
    "mapping of outputs": Entry("made/mapping.csv", f"--methods outputs:made {FAKES} --dry-run", clip),
    "import": Entry("{}", "import fomm {}"),
    "weights": Entry(".megbench/weights/fomm@x{}", f"--methods fomm@x {FAKES}", clip),
    "init": Entry("{}", ""),
    "experts": Entry("{}", "experts import {}"),
    "validate": Entry("{}", "validate casme2 db --sheet {}", small_database),
    "prepare": Entry("{}", "prepare casme2 db --out out --sheet {}", small_database),
    "table": Entry("{}", "validate table {}"),
    "config": Entry("{}", "train fomm --config {}"),
    "mapping": Entry("{}", "experts import good.csv --mapping {}", sheet),
    "external": Entry(".megbench/external/x.yaml", f"--methods external@x {FAKES} --dry-run", clip),
}


@dataclass(frozen=True)
class Case:
    """One file for one entry. code: the command's exit code. says: a text it must write to stderr or stdout."""

    entry: str
    name: str
    content: Callable[[], bytes] | bytes
    says: str
    code: int = 2


def each(entries, name, content, says, code=2):
    """Return a case for each of several entries."""
    return [Case(entry, name, content, says, code) for entry in entries.split(", ")]


PICTURES = "templates, frames, kit"
VIDEOS = "drivers, self, outputs"
SHEETS = "validate, prepare"
SETTINGS = "config, mapping, external"
EMPTY, F = b"", files
# A kit's template and an output must have certain names; the names of all other files describe them.
NAMES = {"kit": "normalized_asianFemale", "outputs": "d0__t0"}

CASES = [
    # Checkpoints
    *each("import, weights, init", ".pth", F.code, "cannot be read safely"),
    *each("import, weights, init", ".pth", F.checkpoint()[:-300], "cannot be read safely"),
    *each("import, weights, init", ".pth.tar", EMPTY, "cannot be read safely"),
    *each("import, weights, init", ".pth", b"\x80\x02}(.", "cannot be read safely"),
    *each("import, weights, init", ".pth", b"\x80\x020.", "cannot be read safely"),
    *each("import, weights, init", ".pth", F.stretched, "is larger than its data"),
    *each("import, weights, init", ".pth", F.sparse, "is not a dense tensor"),
    *each("import, weights, init", ".pth", F.meta, "is not a dense tensor"),
    *each("weights, init", ".pth", F.nan, "contains NaN or infinite numbers"),
    *each("import, weights, init", ".pth", functools.partial(F.swelling, "a/data/9", 60_000_000, F.checkpoint()),
          "unpack to more than 50000000 bytes"),
    Case("import", ".pth", F.checkpoint, "does not have the published layout"),
    Case("weights", ".pth", F.checkpoint, "does not fit the network"),
    Case("import", ".pth", functools.partial(F.checkpoint, generator=[1]), "no networks. Its entries are: generator"),
    Case("import", ".bin", F.checkpoint, "does not have the published layout"),
    Case("import", ".safetensors", F.tensors, "does not have the published layout"),
    # Safetensors and their cards
    *each("weights, init", ".safetensors", functools.partial(F.header, length=10**15), "not a readable safetensors"),
    *each("weights, init", ".safetensors", functools.partial(F.header, length=10**8 + 1), "not a readable safetensors"),
    *each("weights, init", ".safetensors", functools.partial(F.header, (0, 10**9)), "not a readable safetensors"),
    *each("weights, init", ".safetensors", functools.partial(F.header, (4, 2)), "not a readable safetensors"),
    *each("weights, init", ".safetensors", functools.partial(F.header, shape=(2**62, 8)), "not a readable safetensors"),
    *each("weights, init", ".safetensors", functools.partial(
        F.header, more={"generator.v": {"dtype": "F32", "shape": [3], "data_offsets": [0, 12]}}),
        "not a readable safetensors"),
    *each("weights, init", ".safetensors", functools.partial(F.header, dtype="X9"), "not a readable safetensors"),
    *each("weights, init", ".safetensors", EMPTY, "it is an empty file"),
    Case("init", ".safetensors", lambda: F.safetensors({"generator.weight": F.torch.ones(1, 3).long(),
                                                        "generator.bias": F.torch.ones(1)}),
         "of another kind: weight int64 instead of float32"),
    Case("init", ".safetensors", lambda: F.safetensors({"generator.bias": F.torch.tensor([1e300]).double()}),
         "bias contains NaN or infinite"),
    Case("init", ".safetensors", lambda: F.safetensors({"generator.bias": F.torch.ones(1).to(F.torch.float8_e4m3fn)}),
         "missing: weight"),
    # Pictures
    *each(PICTURES, "bomb.png", functools.partial(F.png, 60_000, 60_000), "larger than 64000000 pixels"),
    *each(PICTURES, "strip.png", F.strip, "has a side longer than 30000 pixels"),
    *each(PICTURES, "radiance.png", F.RADIANCE, "not a picture in a known format"),
    *each(PICTURES, "deep.tif", functools.partial(F.deep_tiff, 60_000, 60_000), "larger than 64000000 pixels"),
    *each(PICTURES, "cut.jpg", F.picture("JPEG")[:9000], "the picture cannot be read"),
    *each(PICTURES, "cut.png", F.picture()[:9000], "the picture cannot be read"),
    *each(PICTURES, "text.png", b"no picture", "not a picture in a known format"),
    *each(PICTURES, "drawing.png", F.SVG, "not a picture in a known format"),
    *each(PICTURES, "nothing.png", EMPTY, "is empty. Replace it"),
    *each(PICTURES, "float.tif", lambda: F.picture("TIFF", F.FACE[..., 0].astype(np.float32) / 255), "32-bit pixels"),
    *each("portraits", "bomb.png", functools.partial(F.png, 60_000, 60_000), "larger than 64000000 pixels"),
    Case("templates", "drawing.svg", F.SVG, "has no pictures (it contains 'drawing.svg')"),
    # Videos
    *each(VIDEOS, "cut.mp4", F.video()[:20_000], "truncated or damaged"),
    *each(VIDEOS, "cut.mkv", F.encoded(F.shaking(), ".mkv")[:60_000], "truncated or damaged"),
    *each(VIDEOS, "nothing.mp4", EMPTY, "truncated or damaged"),
    *each(VIDEOS, "text.mp4", b"no video\n" * 200, "truncated or damaged"),
    *each(VIDEOS, "list.mp4", b"ffconcat version 1.0\nfile ../secret.mp4\n", "truncated or damaged"),
    *each(VIDEOS, "hls.mp4", b"#EXTM3U\n#EXTINF:1.0,\n/etc/passwd\n#EXT-X-ENDLIST\n", "truncated or damaged"),
    *each(VIDEOS, "picture.mp4", F.picture, "a picture (PNG), not a video"),
    *each(VIDEOS, "frameless.avi", lambda: F.encoded(F.shaking()[:0], ".avi", "mpeg4"), ""),
    # Sheets of experts
    Case("experts", "bomb.xlsx", functools.partial(F.swelling, "xl/a.xml", 60_000_000), "unpacks to more than"),
    Case("experts", "million.csv", lambda: b"1,1,1,1,1,1,1\n" * 1_000_000, "larger than 5000000 bytes"),
    Case("experts", "million.xlsx", functools.partial(F.workbook, F.HEAD, far="A20002"), "more than 20000 rows"),
    Case("experts", "wide.xlsx", functools.partial(F.workbook, F.HEAD, far="XFD2"), "60 columns"),
    Case("experts", "many.xlsx", functools.partial(F.workbook, F.HEAD, sheets=60), "more than 50 sheets"),
    Case("experts", "entity.xlsx", F.doctype, "XML declarations"),
    Case("experts", "kit.xlsx", F.slip, "not a readable XLSX workbook"),
    Case("experts", "nothing.csv", EMPTY, "has no row with the headings upper, lower and noise"),
    Case("experts", "nothing.xlsx", F.workbook, "has no row with the headings upper, lower and noise"),
    Case("experts", "formula.csv", lambda: F.lines(F.HEAD, [*F.SCORE[:4], "=1+1", 2, 3]),
         "1 contradiction or fault (formula.csv row 2)"),
    Case("experts", "formula.xlsx", lambda: F.workbook(F.HEAD, F.SCORE, ["", "SAMM", "Positive", "asian female",
         "=1+1", 2, 3]),
         "no score for upper: the row is left out", 0),
    Case("experts", "merged.xlsx", lambda: F.workbook(F.HEAD, F.SCORE, [None, None, *F.SCORE[2:3],
         "western male", 1, 1, 1],
                                                      merge="A2:A3"), "2 judgements", 0),
    Case("experts", "chinese.htm", lambda: F.page(["微表情"], F.HEAD, F.SCORE), "1 judgement;", 0),
    Case("experts", "marked.csv", lambda: F.lines(F.HEAD, F.SCORE, encoding="utf-16"), "1 judgement;", 0),
    Case("experts", "script.htm", lambda: F.page(F.HEAD, F.SCORE, head="<script>'<td>9'</script>"), "1 judgement;", 0),
    Case("experts", "unclosed.htm", lambda: F.page(F.HEAD, F.SCORE) + b"<script>" + b"x" * 1000,
         "1 judgement;", 0),
    Case("experts", "slow.htm", lambda: b"<table>" + b"<!" * 1_000_000, "the page ends within"),
    Case("experts", "odd.htm", b"<table><![x[ y", "not a readable page"),
    Case("experts", "spans.htm", lambda: b"<table><tr>" + b"<td rowspan=9 colspan=60>" * 150_000, "60 columns"),
    Case("experts", "tables.htm", lambda: b"<table>" * 100_000, "more than 50 tables"),
    Case("experts", "codec.htm", b"<html><meta charset=undefined><table><tr><td>a</table>", "has no row with the"),
    Case("experts", "quote.csv", lambda: F.lines(F.HEAD) + b'"fomm,1\n' + F.lines(F.SCORE), "unexpected end of data"),
    Case("experts", "<script>.csv", lambda: F.lines(F.HEAD, ["<script>\x1b[2J", *F.SCORE[1:]]), "1 judgement;", 0),
    # Sheets of databases
    *each(SHEETS, "bomb.xlsx", functools.partial(F.swelling, "xl/a.xml", 210_000_000), "unpacks to more than"),
    *each(SHEETS, "far.xlsx", lambda: F.workbook(F.CODED, F.CLIP, far="XFD1"), "200 columns"),
    *each(SHEETS, "commas.csv", lambda: b"," * 3000 + b"\n" * 30_000, "200 columns"),
    *each(SHEETS, "million.csv", lambda: b"1,2\n" * 1_000_000, "more than 20000 rows"),
    *each(SHEETS, "entity.xlsx", F.doctype, "XML declarations"),
    *each(SHEETS, "damaged.xlsx", lambda: F.workbook(F.CODED, F.CLIP)[:-200], "not a readable XLSX workbook"),
    *each(SHEETS, "apart.xlsx", lambda: F.workbook(F.CODED, F.CLIP, far="XFD1048576"), "its cells extend beyond"),
    *each(SHEETS, "damaged.xls", b"\xd0\xcf\x11\xe0" + bytes(600), "not a readable XLS workbook"),
    *each(SHEETS, "picture.csv", F.picture, "a PNG picture, not a coding sheet"),
    *each(SHEETS, "zip.xlsx", F.slip, "a ZIP archive without sheets"),
    Case("validate", "chinese.csv", lambda: F.lines(F.CODED, [*F.CLIP[:5], "厌恶"], encoding="gb2312"), "厌恶", 0),
    Case("validate", "marked.csv", lambda: F.lines(F.CODED, F.CLIP, encoding="utf-16"), "1 usable clip of 1 person", 0),
    *each(SHEETS, "quote.csv", lambda: F.lines(F.CODED) + b'"01,EP01_01\n', "unexpected end of data"),
    *each(SHEETS, "nothing.csv", EMPTY, "no header with clip, offset, onset, subject"),
    Case("validate", "page.csv", lambda: F.page(F.CODED, F.CLIP), "1 usable clip of 1 person", 0),
    Case("validate", "digits.csv", lambda: F.lines(F.CODED, ["1" * 5000, *F.CLIP[1:]]), "missing on disk: 1", 1),
    Case("validate", "formula.xlsx", lambda: F.workbook(F.CODED, [*F.CLIP[:4], "=1+2", "x"]), "offset is not coded", 1),
    Case("validate", "merged.xlsx", lambda: F.workbook(F.CODED, F.CLIP, merge="A2:A3"), "1 usable clip of 1 person", 0),
    Case("validate", "breaks.csv", lambda: F.lines(F.CODED, [*F.CLIP[:5], "dis\u2028gust\x1b[2J"]),
         "dis\\u2028gust\\x1b", 0),
    Case("table", "t.csv", lambda: F.lines(["path", "subject", "fps"], [LONG, "p", 25]), "is too long", 1),
    Case("table", "t.csv", lambda: F.lines(["path", "subject", "fps"], ["a\0b", "p", 25]),
         "neither a video nor a folder", 1),
    Case("table", "t.csv", lambda: F.lines(["path", "subject", "fps"], [".", "../x", 25]), "name '../x_"),
    Case("table", "t.csv", lambda: b"," * 3000 + b"\n" * 30_000, "200 columns"),
    Case("mapping of outputs", "", lambda: F.lines(["output", "driver", "template"], ["../clips", "d0", "t0"]),
         "is outside"),
    Case("mapping of outputs", "", lambda: F.lines(["output", "driver", "template"], [".", "../d0", "t0"]), "'../d0'"),
    Case("mapping of outputs", "", b"\xff\xfe\0", "cannot be read as CSV"),
    # Settings
    *each(SETTINGS, "a.yaml", b"a: &a [1]\nb: &b [*a, *a]\nc: [*b, *b]\n", "uses YAML anchors"),
    *each(SETTINGS, "a.yaml", b"a: !!python/object/apply:os.mkdir [was_here]\n", "is not valid YAML"),
    *each(SETTINGS, "a.yaml", b"a: " + b"[" * 50_000, "nested deeper than 20"),
    *each(SETTINGS, "a.yaml", b"- " * 40_000, "nested deeper than 20"),
    *each(SETTINGS, "a.yaml", b"a: 2021-13-45\n", "is not valid YAML"),
    *each(SETTINGS, "a.yaml", b"a: " + b"9" * 5000, "is not valid YAML"),
    *each(SETTINGS, "a.yaml", b"a: 1\na: 2\n", "the key 'a' is repeated"),
    *each(SETTINGS, "a.yaml", b"- 1\n", "must be a mapping"),
    *each(SETTINGS, "a.yaml", b"\xff\xfe\0", "cannot be read as UTF-8"),
    *each(SETTINGS, "a.yaml", b"#" * 100_001, "is larger than 100000 bytes"),
    Case("mapping", "a.yaml", b"1: 2\n", "a.yaml is not valid (1: Keys should be strings)"),
    Case("external", "a.yaml", b"1: 2\n", "system: Field required"),
    Case("config", "a.yaml", b"modle: {}\n", "Did you mean 'model'?"),
    Case("config", "a.yaml", b"plan: 3\n", "Setting plan must be a mapping"),
    Case("config", "a.yaml", b"data:\n", "must be a mapping"),
    Case("config", "a.yaml", b"x" * 1000 + b": 1\n", "Unknown setting in the config: 'xxxx"),
    Case("mapping", "a.yaml", b"methods: [1]\n", "methods: Input should be a valid dictionary"),
    Case("external", "a.yaml", b"sytem: x\n", "system: Field required"),
    # Kits
    Case("archive", "kit.zip", F.slip, "is not a folder. Pass the unpacked MEGC2021 kit to --data"),
]  # fmt: skip


def label(case):
    return f"{case.entry}-{case.name}-{case.says[:25]}"


@pytest.fixture
def here(monkeypatch, in_this_process):
    """Do all work in this process, and compare checkpoints without a card with a small network."""
    settings = GeneratorMethod.settings
    monkeypatch.setattr(GeneratorMethod, "settings", lambda method: settings(method) or SMALL)
    monkeypatch.setattr(
        "megbench.core.weights.pickled.LARGEST_WEIGHTS_BYTES", 50_000_000
    )  # a bomb of 2 GB would take long to make
    monkeypatch.setattr("megbench.taught.training_set.demo_set", lambda folder: folder)


@contextlib.contextmanager
def bounded():
    """Fail if the block takes too long or uses too much memory."""

    def late(*_):
        raise KeyboardInterrupt(f"longer than {SECONDS} s")  # which no code handles as an ordinary failure

    # The limit is on processor seconds of this process, because the machine may be busy.
    handler = signal.signal(signal.SIGPROF, late)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, handler)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MEGABYTES * 1024


def outcome(call, where, arguments):
    """Run a command; return exit code, stdout and stderr. It may write only into its working folder, `where`."""
    around, inside = set(where.parent.iterdir()), set(where.iterdir())
    with bounded():
        code, out, err = call(*arguments)
    assert "Traceback" not in out + err
    assert set(where.parent.iterdir()) == around
    assert {path.name for path in set(where.iterdir()) - inside} <= OURS
    assert not list(where.rglob("was_here"))
    errors = [line for line in err.splitlines() if line.startswith("Error: ")]
    assert len(errors) == (code == 2), err
    if errors:
        assert err.rstrip().endswith(errors[0])
    return code, out, err


@pytest.mark.parametrize("case", CASES, ids=label)
def test_hostile_files_end_in_one_line_or_are_read(call, tmp_path, monkeypatch, here, case):
    where = tmp_path / "work"
    where.mkdir()
    monkeypatch.chdir(where)
    entry = ENTRIES[case.entry]
    entry.around(where)
    suffix = Path(case.name).suffix or case.name
    name = NAMES[case.entry] + suffix if case.entry in NAMES else case.name
    name = f"weights{name}" if case.entry in ("import", "init") else name
    put(tmp_path / "secret.mp4", files.video()) if "secret" in str(case.content) else None
    path = put(where / entry.place.format(name), case.content() if callable(case.content) else case.content)
    if case.entry == "weights" and suffix == ".safetensors":
        put(path.with_suffix(".json"), json.dumps({"config": SMALL}).encode())
    if case.entry == "init":
        with bounded(), pytest.raises(BenchError) as stop:
            start_from(where, path.name)
        assert case.says in str(stop.value)
        assert path.name in str(stop.value)
        assert "\n" not in str(stop.value)
        return
    code, out, err = outcome(call, where, shlex.split(entry.command.replace("{}", shlex.quote(name))))
    assert code == case.code, err
    failures = "".join(line for line in err.splitlines() if line.startswith(("Error", "Failed")))
    told = failures if case.code == 2 else err + out
    assert case.says in told
    if case.code == 2:
        assert path.name in told or case.entry == "archive" or repr(path.name) in told, told


# Inputs that are accepted

UPRIGHT = {
    "sixteen.png": lambda: files.picture(image=files.FACE[..., 0].astype(np.uint16) * 257),
    "sixteen.tif": files.deep_tiff,
    "alpha.png": lambda: files.picture(mode="RGBA"),
    "palette.png": lambda: files.picture(mode="P"),
    "clear.png": lambda: files.picture(mode="P", transparency=bytes(range(256))),
    "ink.jpg": lambda: files.picture("JPEG", mode="CMYK", quality=95),
    "turned.jpg": files.turned,
    "odd.png": lambda: files.picture(image=files.FACE[:383, :381]),
    "grey.png": lambda: files.picture(mode="L"),
}


@pytest.mark.parametrize("name", UPRIGHT)
def test_pictures_of_every_kind_are_templates(call, tmp_path, name):
    driver(tmp_path)
    path = put(tmp_path / "templates" / name, UPRIGHT[name]())
    code, out, err = call(*FOLDER.split())
    assert code == 0, err
    assert "1 cell:" in out
    found, whole = read_picture(path).astype(float), files.FACE.astype(float)
    whole = whole[: found.shape[0], : found.shape[1]]
    if name in ("sixteen.png", "grey.png"):
        found, whole = found.mean(-1), whole[..., 0] if name == "sixteen.png" else whole @ [0.299, 0.587, 0.114]
    assert np.abs(found - whole).mean() < 16  # a palette is coarse


CLIPS = {
    "variable.mkv": lambda: files.encoded(files.shaking(), ".mkv", times=(0, 7, 300, 310)),
    "rotated.mp4": files.rotated,
    "odd.mkv": lambda: files.encoded(files.shaking()[:, :383, :381], ".mkv"),
    "long.mp4": files.lying_length,
}


@pytest.mark.parametrize("name", CLIPS)
def test_videos_of_every_kind_are_drivers(call, tmp_path, name):
    portrait(tmp_path)
    path = put(tmp_path / "drivers" / name, CLIPS[name]())
    code, out, err = call(*FOLDER.split())
    assert code == 0, err
    assert "4 frames" in out
    found = np.stack(list(read_clip(path)))
    assert np.array_equal(found, files.shaking()[:, : found.shape[1], : found.shape[2]])


@pytest.mark.parametrize("name", ["clip.gif", "CLIP.MTS"])
def test_lossy_kinds_of_video_are_drivers_and_marked(call, tmp_path, name):
    portrait(tmp_path)
    put(tmp_path / "drivers" / name, files.gif() if name == "clip.gif" else files.interlaced())
    code, out, err = call(*FOLDER.split())
    assert code == 0, err
    assert "4 frames" in out
    medium = {"clip.gif": "a GIF: at most 256 colours", "CLIP.MTS": "an interlaced video: every frame is woven"}[name]
    assert f"Note: {name.partition('.')[0]}: each is {medium}" in err
    (kept,) = (load_clip(path.parent) for path in (tmp_path / ".megbench" / "clips").glob("*/clip.json"))
    assert kept.medium.startswith(medium)


@pytest.mark.parametrize("bits", [12, 14])
def test_pictures_that_hold_fewer_bits_than_they_say_are_told(call, tmp_path, bits):
    driver(tmp_path)
    deep = np.rint(files.FACE[..., 0] / 255 * (2**bits - 1)).astype(np.uint16)
    put(tmp_path / "templates" / "deep.png", files.picture(image=deep))
    code, _, err = call(*FOLDER.split())
    assert code == (2 if bits == 12 else 0)  # with 14 bits, the face is still found at a quarter of its contrast
    assert "deep.png: " in err
    assert "t is nearly black: its bright parts reach only level " in err


# Names

ODD = ["a\nb", "<script>", "x" * 200, "f\u043emm", "a\u202eb", "a b", "CON", "nul.v1", "a..b", "a__b", "-a", "a."]
# No folder or file can have these names, so only `check_name` is tested with them.
PATHS = ["../x", "", ".x", "/x", "x/y", LONG]


@pytest.mark.parametrize("name", [*ODD, *PATHS], ids=ascii)
def test_names_that_no_system_takes_are_refused(name):
    with pytest.raises(BenchError, match="cannot be used, because it becomes a folder name") as stop:
        check_name("driver", name)
    assert "\n" not in str(stop.value)


@pytest.mark.parametrize("name", ODD, ids=ascii)
@pytest.mark.parametrize("what", ["drivers", "templates", "variant", "value", "outputs", "expert", "as"])
def test_odd_names_are_refused_wherever_they_enter(call, tmp_path, what, name):
    if what in ("drivers", "templates"):
        (driver if what == "templates" else portrait)(tmp_path)
        path = tmp_path / what / name / "0.png" if what == "drivers" else tmp_path / what / f"{name}.png"
        put(path, files.picture())
        arguments = FOLDER.split()
    elif what == "outputs":
        put(tmp_path / name / "d__t" / "0.png", files.picture())
        arguments = ["--methods", f"outputs:{name}", *FOLDER.split()[2:]]
        driver(tmp_path)
        portrait(tmp_path)
    elif what == "expert":
        with pytest.raises(BenchError, match="The expert name"):
            make_key("run", name, [])
        return
    elif what == "as":
        arguments = ["import", "fomm", "x.pth", f"--as={name}"]
    else:
        clip(tmp_path)
        chosen = f"shift@{name}" if what == "variant" else f"shift:by={name}"
        arguments = ["--methods", chosen, *FAKES.split(), "--dry-run"]
    code, _, err = outcome(call, tmp_path, arguments)
    assert code == 2
    assert "cannot be used, because it becomes a folder name" in err


@pytest.mark.parametrize("option", ["--drivers", "--templates", "--out", "--config", "--mapping", "--sheet"])
def test_paths_that_are_too_long_are_one_line(call, tmp_path, here, option):
    driver(tmp_path)
    portrait(tmp_path)
    sheet(tmp_path)
    small_database(tmp_path)
    commands = {
        "--config": "train fomm",
        "--mapping": "experts import good.csv",
        "--sheet": "validate casme2 db",
        "--out": FOLDER.removesuffix(" --dry-run"),
    }
    arguments = commands.get(option, FOLDER.replace(f" {option} {option[2:]}", "")).split()
    code, _, err = outcome(call, tmp_path, [*arguments, option, LONG])
    assert code == 2
    assert LONG[:100] in err


def test_a_broken_line_in_a_message_is_shown_escaped(call, tmp_path):
    code, _, err = outcome(call, tmp_path, ["--methods", "shift", "--protocol", "a\nError: b"])
    assert code == 2
    assert "a\\nError: b" in err


# Links


def test_a_link_out_of_the_folder_is_read_and_nothing_is_written_through_it(call, tmp_path):
    where = tmp_path / "elsewhere"
    driver(where)
    portrait(tmp_path)
    (tmp_path / "drivers").symlink_to(where / "drivers")
    before = {path: path.stat().st_mtime_ns for path in where.rglob("*")}
    code, out, err = outcome(call, tmp_path, FOLDER.split())
    assert code == 0, err
    assert "1 cell:" in out
    assert {path: path.stat().st_mtime_ns for path in where.rglob("*")} == before


def test_loops_and_links_to_nowhere_are_told(call, tmp_path):
    portrait(tmp_path)
    driver(tmp_path)
    (tmp_path / "drivers" / "loop").symlink_to(tmp_path / "drivers")
    (tmp_path / "drivers" / "gone.mp4").symlink_to(tmp_path / "nowhere.mp4")
    code, _, err = outcome(call, tmp_path, FOLDER.split())
    assert code == 0, err
    assert "2 entries are not drivers and are left out: 'gone.mp4', 'loop'" in err
    (tmp_path / "drivers" / "good" / "2.png").symlink_to("2.png")
    code, _, err = outcome(call, tmp_path, FOLDER.split())
    assert code == 2
    assert "2.png: the link's target does not exist" in err


def test_a_kit_with_loops_is_read(call, tmp_path):
    kit(tmp_path)
    put(tmp_path / "kit" / "target_template_face" / "normalized_asianFemale.png", files.picture())
    (tmp_path / "kit" / "source_samples" / "SAMM_challenge").symlink_to(tmp_path / "kit")
    code, out, err = outcome(call, tmp_path, ENTRIES["kit"].command.split())
    assert code == 0, err
    assert "1 cell:" in out
    assert "17 of 18 cells are missing" in err


# Parsers


@settings(max_examples=50)
@given(st.text(max_size=60) | st.text("a:[]{}&*!-?| \n'\"0123456789.%@", max_size=60))
def test_any_text_is_settings_or_one_line(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_bytes(text.encode(errors="surrogatepass"))
    for read in (lambda: read_overlay(path), lambda: parse_set(f"a={text}")):
        with contextlib.suppress(BenchError):
            assert isinstance(read(), dict)


@settings(max_examples=50)
@given(st.binary(max_size=200) | st.text(",\"'\n0123456789abc\0\u2028", max_size=100).map(str.encode))
def test_any_bytes_are_a_coding_sheet_or_one_line(tmp_path_factory, data):
    for suffix in (".csv", ".xlsx"):
        path = tmp_path_factory.getbasetemp() / f"any{suffix}"
        path.write_bytes(b"Subject,Filename,OnsetF,OffsetF\n" * (suffix == ".csv") + data)
        with contextlib.suppress(BenchError):
            read_sheet(path)


values = st.sampled_from(["1", "2", "3", "0", "-1", "1.5", "nan", "inf", "1e99", "", "x", '"', "9" * 30])


@settings(max_examples=50)
@given(st.lists(st.lists(values, min_size=19, max_size=20), max_size=4), st.binary(max_size=60), st.booleans())
def test_any_table_is_intensities_or_one_line(tmp_path_factory, rows, data, whole):
    path = tmp_path_factory.getbasetemp() / "any_openface.csv"
    text = "\n".join(",".join(row) for row in [["frame", "success", *COLUMNS], *rows])
    path.write_bytes(text.encode() if whole else text.encode()[:150] + data)
    with contextlib.suppress(BenchError):
        scores = read_openface(path, 3)
        assert scores.shape == (3, 17)
        assert not np.nanmax(scores, initial=0) > 5
        assert not np.nanmin(scores, initial=0) < 0


@settings(max_examples=50)
@given(
    st.sampled_from(["PNG", "JPEG", "TIFF", "BMP", "WEBP"]), st.lists(st.tuples(st.floats(0, 1), st.binary(max_size=4)))
)
def test_any_damage_is_a_picture_or_one_line(tmp_path_factory, kind, damage):
    data = bytearray(files.picture(kind, files.FACE[:24, :24]))
    for place, change in damage:
        start = int(place * min(len(data), 400))
        data[start : start + len(change)] = change
    path = tmp_path_factory.getbasetemp() / "any.png"
    path.write_bytes(data)
    with contextlib.suppress(BenchError):
        assert read_picture(path).shape[2] == 3
