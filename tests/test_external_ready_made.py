"""Ready-made descriptions: their commands use only arguments that programs accept; their list; trials of programs."""

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from megbench.commands import external_trial
from megbench.commands.external_trial import COUNT, check, made_frames
from megbench.core.clip import Template
from megbench.core.errors import BenchError
from megbench.methods.external import External
from megbench.methods.external_description import ABOUT, READY_MADE, read_description
from megbench.methods.external_run import said_last
from tests.external_programs import ROOT, TAKEN, own_words, parser, ready_made, write_program
from tests.fakes import make_clips

NAMES = sorted(path.stem for path in READY_MADE.glob("*.yaml"))
# Descriptions that run a script of the suite, which calls the program: the arguments that the script passes.
WRAPPED = {"fpb": ["--mode", "animate", "--config", "c", "--checkpoint", "k"]}
UNREAD = {"awp"}


def words_of(name):
    return WRAPPED[name] if name in WRAPPED else own_words(ready_made(name)["command"])


@pytest.mark.parametrize("name", sorted(set(NAMES) - UNREAD))
def test_a_command_has_only_arguments_that_its_program_takes(name):
    parser(ready_made(name)["arguments"]).parse_args(words_of(name))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("lia", {"--model": "--modell"}),
        ("lia", {"vox": "vox2"}),
        ("fsrt", {"--config": "--relative"}),
        ("dagan", {"--kp_num": "--kp"}),
        ("liveportrait", {"all": "face"}),
        ("liveportrait_float32", {"--no-flag-use-half-precision": "--no-flag-half-precision"}),
        ("performrecast", {"2": "--inference-mode"}),
        ("xportrait", {"--output_dir": "--output"}),
    ],
)
def test_an_argument_that_a_program_does_not_take_is_noticed(name, change, capsys):
    words = [change.get(word, word) for word in words_of(name)]
    assert words != words_of(name)
    with pytest.raises(SystemExit):
        parser(ready_made(name)["arguments"]).parse_args(words)
    assert "error: " in capsys.readouterr().err


def test_every_list_of_arguments_is_of_a_description_and_every_description_says_what_must_be_known(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    described = {name: read_description(name) for name in NAMES}
    assert {one.arguments for one in described.values()} == {*TAKEN, ""}
    assert {name for name, one in described.items() if not one.read_at} == UNREAD
    for one in described.values():
        assert all(getattr(one, entry) for entry in ABOUT - {"arguments"})


def test_what_is_said_to_people_is_no_part_of_the_identity(tmp_path, trial):
    before = trial("fomm").identity()
    assert trial("fomm", "paper=Another").identity() == before
    assert trial("fomm", "panel=1/2").identity() != before


def test_the_list_says_whose_arguments_were_read_and_one_of_them_tells_all(call):
    code, out, _ = call("external", "list")
    rows = {line.split()[0]: line.split()[1] for line in out.splitlines()[1:-1]}
    assert (code, rows["fsrt"], rows["awp"]) == (0, "0325d9f", "unverified")
    assert set(rows) == set(NAMES)
    code, out, _ = call("external", "list", "fsrt")
    assert code == 0
    for words in ("licence: MIT", "licence of the weights: not stated", "micro-motion: Key points", "/0325d9f"):
        assert words in out
    code, _, err = call("external", "list", "fsrd")
    assert (code, err.count("\n")) == (2, 1)
    assert "Did you mean 'fsrt'" in err


@pytest.fixture
def trial(tmp_path, monkeypatch):
    """Return a function that makes External from a ready-made description, changed, with everything that it needs."""
    monkeypatch.chdir(tmp_path)
    clip = make_clips(tmp_path / "clips", count=1, n_frames=COUNT)[0]
    still = Template.of("t", "t", np.random.default_rng(3).integers(0, 256, (256, 256, 3), np.uint8))
    monkeypatch.setattr(external_trial, "made_frames", lambda _: (still, clip))

    def make(name, *sets):
        checkout = tmp_path / "checkout" / name
        entries = ready_made(name)
        write_program(checkout, name, entries["command"])
        for weights in entries.get("weights", []):
            (checkout / weights).parent.mkdir(parents=True, exist_ok=True)
            (checkout / weights).write_bytes(b"weights")
        given = (f"checkout={yaml.safe_dump(str(checkout)).splitlines()[0]}", f"python={sys.executable}", "gpu=false")
        return External.of(name, read_description(name, [*given, *sets]))

    return make


def test_a_description_that_works_is_told_with_its_speed(trial, tmp_path):
    told = check(trial("fsrt"))
    assert told.startswith("fsrt works: 2 frames of 256x256 in ")
    assert "s per frame" in told


BROKEN = {
    "no script": "program not found: .* has no demo.py. Give a checkout of github andrerochow/fsrt",
    "no weights": r"weights missing: .*vox256\.pt. Get them from: Google Drive",
    "no interpreter": "environment missing: /no/such/python does not run. Required: Python 3.9",
}


@pytest.mark.parametrize("what", BROKEN)
def test_what_is_not_there_is_told_before_anything_is_run(trial, tmp_path, what):
    method = trial("fsrt", *(["python=/no/such/python"] if what == "no interpreter" else []))
    if what == "no script":
        (Path(method.description.checkout) / "demo.py").unlink()
    if what == "no weights":
        shutil.rmtree(Path(method.description.checkout) / "fsrt_checkpoints")
    with pytest.raises(BenchError, match=f"^fsrt: {BROKEN[what]}") as error:
        check(method)
    assert "\n" not in str(error.value)


# An error message printed by tyro.
BOX = """
loading
╭─ Unrecognized options ───────────────────╮
│ Unrecognized options: --foo, 1           │
│ ──────────────────────────────────────── │
│ For full helptext, run inference.py -h   │
╰──────────────────────────────────────────╯
"""

COMMAND = (
    '["{python}", "{checkout}/demo.py", --config, c, --checkpoint, k, --source_idx, "0", --source_image, "{template}", '
)
COMMAND += '--driving_video, "{driver}", '


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            [f"command={COMMAND}--outcome, o]"],
            "the program rejects an argument: .*unrecognized arguments: --outcome o. .* 0325d9f",
        ),
        (
            [f'command={COMMAND}--result_video, "{{work}}/elsewhere.mp4"]'],
            "FSRT left 0 outputs, but one video is needed; {output} contains nothing: correct `output`",
        ),
        (["panel=3/3"], r"512x256 pictures, which cannot be split into 3 panels .* \(panel: 3/3\)"),
        (["panel="], "FSRT made 512x256 pictures, but its description says 256x256"),
        (["panel=1/2"], r"its output looks like the driver, not like the template. .*\(panel\)"),
        (["timeout_s=0.05"], r"FSRT took longer than 0.05 s\. Increase timeout_s"),
    ],
)
def test_what_does_not_fit_is_told_in_a_line(trial, tmp_path, changes, words):
    with pytest.raises(BenchError, match=f"^fsrt: .*{words}") as error:
        check(trial("fsrt", *changes))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "import no_such_module",
            "its environment is unsuitable: .*No module named 'no_such_module'. Install .*Python 3.9",
        ),
        ("raise RuntimeError('Found no NVIDIA driver on your system')", "it finds no GPU: .*NVIDIA"),
        ("open('weights/kp_detector.pt')", "a file is missing: .*kp_detector.pt'. Get its weights from: .*weights/"),
        (
            f"print({BOX!r})\nraise SystemExit(2)",
            "the program rejects an argument: .*code 2: Unrecognized options: --foo, 1. .*0325d9f",
        ),
        ("raise SystemExit('no face in the picture')", "FSRT ended with exit code 1: no face in the picture$"),
    ],
)
def test_a_program_that_fails_says_why(trial, tmp_path, text, words):
    method = trial("fsrt")
    (Path(method.description.checkout) / "demo.py").write_text(text)
    with pytest.raises(BenchError, match=f"^fsrt: {words}"):
        check(method)


def test_another_count_is_told(trial, tmp_path):
    method = trial(
        "xportrait",
        'command=["{python}", "{checkout}/core/test_xportrait.py", --out_frames, "-1", --num_mix, "4",'
        ' --best_frame, "0", --source_image, "{template}", --driving_video, "{driver}", --output_dir, "{output}"]',
    )
    with pytest.raises(BenchError, match="xportrait: X-Portrait made 1 frame, but the driver has 2"):
        check(method)


def test_the_command_takes_changes_and_ends_with_an_error_where_something_is_wrong(call, tmp_path):
    checkout = tmp_path / "lia"
    write_program(checkout, "lia", ready_made("lia")["command"])
    code, _, err = call("external", "check", "lia", "--set", f"checkout={checkout}")
    assert (code, err.count("\n")) == (2, 1)
    assert "weights missing" in err
    for change, words in (
        ("chekout=x", "lia.yaml with --set: Unknown key 'chekout'. Did you mean 'checkout'? Choices: "),
        ("checkout", "KEY=VALUE"),
        ('panel="2"', "lia.yaml with --set is not valid: panel is '2'"),
    ):
        code, _, err = call("external", "check", "lia", "--set", change)
        assert (code, err.count("\n")) == (2, 1)
        assert words in err
    code, _, err = call("external", "check", "lia")
    assert code == 2
    assert "external add lia --checkout DIR" in err


def test_the_frames_of_the_trial_are_two_people_and_one_of_them_moves(tmp_path):
    template, driver = made_frames(tmp_path)
    frames = driver.frames().astype(int)
    assert frames.shape == (2, 256, 256, 3)
    assert 0.05 < np.abs(frames[0] - frames[1]).mean() < 5 < np.abs(template.image.astype(int) - frames[0]).mean()


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        (
            "*.mov",
            "left 0 outputs, but one video is needed; {output} contains vox/template_driver.mp4: correct `found`$",
        ),
        ("vox/*", "left 2 outputs, but one video is needed; `found` matches vox/another.mp4, vox/template_driver.mp4$"),
    ],
)
def test_what_lies_in_the_output_is_named_where_the_pattern_does_not_fit(trial, tmp_path, pattern, words):
    method = trial("lia", f"found='{pattern}'")
    script = Path(method.description.checkout) / "run_demo.py"
    if pattern == "vox/*":
        more = (
            "import shutil\nshutil.copy(f'{sys.argv[-1]}/vox/template_driver.mp4', f'{sys.argv[-1]}/vox/another.mp4')\n"
        )
        script.write_text(script.read_text() + more)
    with pytest.raises(BenchError, match=f"^lia: LIA {words}"):
        check(method)


def test_a_message_in_a_box_is_taken_out_of_it(tmp_path):
    log = tmp_path / "log.txt"
    log.write_text(BOX)
    assert said_last(log) == "Unrecognized options: --foo, 1"
    log.write_text(BOX + "and went on\n")
    assert said_last(log) == "and went on"
    log.write_text("╰──╯\n")
    assert said_last(log) == "╰──╯"


def test_the_lists_of_arguments_name_their_source():
    text = (ROOT / "tests/external_arguments.yaml").read_text()
    assert all(link.startswith("https://github.com/") and text.count(link) == 1 for link in TAKEN)
