"""docs/training.md from the first command to the last, run on look-alikes of the databases with small networks."""

import csv
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml
from PIL import Image

from megbench.experts.judgements import ITEMS
from megbench.methods import COMPANIONS
from megbench.protocols.megc2021 import recordings
from megbench.reports.published import MEGC2021_EXPERTS
from megbench.training.log import read_log
from tests.lookalikes import STATES, between, coded, faces, frames

ROOT = Path(__file__).parent.parent
HOURGLASS = {"hourglass": {"block_expansion": 4, "max_features": 8, "num_blocks": 2}, "down": 8}
WIDTHS = {"block_expansion": 4, "max_features": 8}
LOSS = {"perceptual": "pyramid", "factors": [8]}
# Steps of the training that is killed, of the others, and between validations. Each validation saves a state.
STEPS, FEW, VALIDATED = 20, 5, 10
# Skips let the warped template show through, because after so few steps the networks paint no face.
NETWORKS = {
    "detector": HOURGLASS,
    "dense_motion": HOURGLASS,
    "generator": {**WIDTHS, "num_bottleneck_blocks": 1, "skips": True},
}
SMALL = {
    "fpfomm": {**NETWORKS, "discriminator": {**WIDTHS, "num_blocks": 1, "factors": [8]}, "loss": LOSS},
    "mraa": {**NETWORKS, "background": HOURGLASS["hourglass"], "avd": {"hidden": [16]}, "loss": LOSS},
}
SMALL["fomm"] = SMALL["fpfomm"]
PLAN = {"stages": {"main": {"steps": FEW, "batch_size": 1}}, "log_every": 4, "validate_every": VALIDATED}
ALL = ("casme2", "samm", "smic")
VARIANTS = {f"fpfomm@{name}": (name,) for name in ALL} | {f"{name}@mix": ALL for name in ("fpfomm", "fomm", "mraa")}
# Two drivers of the kit that are each other's foils, with their clips in the database. There is one template.
KIT = {
    "Smic_challenge/Positive_s3_po_05": "HS/s3/micro/positive/s3_po_05",
    "Smic_challenge/Surprise_s20_sur_01": "HS/s20/micro/surprise/s20_sur_01",
}
CELLS = {"smic_positive__asianFemale": 30, "smic_surprise__asianFemale": 38}
TEAMS = ("3295", "3311")


def recipe() -> list[list[str]]:
    """Return the commands of docs/training.md, without "python bench.py"."""
    text = (ROOT / "docs/training.md").read_text().replace("\\\n", "")
    lines = [line.strip() for line in text.splitlines() if line.startswith("    python bench.py ")]
    return [shlex.split(line)[2:] for line in lines]


@pytest.fixture
def disk(tmp_path, databases):
    """Write the recipe's inputs: databases under data/, a part of the kit, two teams' videos and the teams' names."""
    for name in ("casme2", "samm", "smic"):
        shutil.copytree(databases[name], tmp_path / "data" / name.upper(), copy_function=os.link)
    for person in ("s2", "s4"):  # without the kit's drivers, the look-alike contains only one person
        clip = tmp_path / f"data/SMIC/SMIC_all_raw/HS/{person}/micro/positive/{person}_po_01"
        frames(clip, between("image{:06d}.bmp", 200, 206), coded("astronaut", (640, 480), "BMP"))
    for of_kit, of_database in KIT.items():
        clip = tmp_path / "data/SMIC/SMIC_all_raw" / of_database
        shutil.copytree(clip, tmp_path / "KIT/source_samples" / of_kit, copy_function=os.link)
    portrait = tmp_path / "KIT/target_template_face/normalized_asianFemale.jpg"
    portrait.parent.mkdir()
    Image.fromarray(faces("astronaut")[0]).save(portrait)
    moving = coded("astronaut", (256, 256), "PNG")
    of_kit = [f"{Path(clip).name}__normalized_asianFemale" for clip in KIT]
    for team, files, names in zip(TEAMS, (moving, moving[:1] * STATES), (CELLS, of_kit), strict=True):
        for name, count in zip(names, CELLS.values(), strict=True):
            frames(tmp_path / "teams" / team / name, between("{:03d}.png", 1, count), files)
    rows = {"methods": {int(team): f"outputs@{team}" for team in TEAMS}}
    (tmp_path / "teams.yaml").write_text(yaml.safe_dump(rows))
    for name, model in SMALL.items():
        settings = {"model": model, "plan": PLAN, "data": {"held_out": 1}}
        (tmp_path / f"{name}.yaml").write_text(json.dumps(settings))  # JSON is YAML without anchors
    return tmp_path


@pytest.mark.slow
@pytest.mark.usefixtures("in_this_process")
def test_the_recipe_leads_from_databases_to_table_1(disk, call):
    """Every command of the recipe succeeds and produces what the document says."""

    def done(arguments, *more):
        code, out, err = call(*arguments, *more)
        assert code == 0, (arguments, out, err)
        return out + err

    look, prepare, (*train, mix, fomm, mraa), (run, judge, agree, export, table_1) = parts(recipe())
    for arguments, database in zip([*look, *prepare], ALL * 2, strict=True):
        told = done([argument.replace("/data", f"{disk}/data") for argument in arguments])
        assert f"drivers of MEGC2021: {database}/" in told or f"clips of {database}, " in told
    for arguments in (*train, fomm, mraa):
        done(small(arguments))
    mix = [*small(mix), "--set", f"plan.stages.main.steps={STEPS}"]
    lost = kill_after(mix, disk, VALIDATED + 2)
    told = f"Resuming at step {VALIDATED} of {STEPS} of stage main; {lost} later logged step"
    assert told in done(mix)
    done([*mix, "--as", "whole"])
    weights = disk / ".megbench/weights"
    assert (weights / "fpfomm@mix.safetensors").read_bytes() == (weights / "fpfomm@whole.safetensors").read_bytes()
    for stem, databases in VARIANTS.items():
        check_card(json.loads((weights / f"{stem}.json").read_text()), databases)

    done([*run, "--metrics", "motion_agreement,au_flow"])
    judgements = fitting(disk / "fitting_experts.csv")
    done([argument.replace("reports/published/megc2021", "fitting") for argument in judge])
    done(agree)
    done(export)
    check_report(disk / "runs/megc2021", judgements)
    done([argument.replace("reports", f"{ROOT}/reports") for argument in table_1])
    assert "2.937" in (disk / "table_1/table_1.tex").read_text()


def parts(commands):
    """Group the commands by purpose: validate, prepare, train, and the run with everything after it."""
    kinds = [arguments[0] for arguments in commands]
    assert kinds[:12] == [kind for kind, count in (("validate", 3), ("prepare", 3), ("train", 6)) for _ in range(count)]
    assert kinds[12:] == ["--methods", "experts", "experts", "report", "experts"]
    return commands[:3], commands[3:6], commands[6:12], commands[12:]


def small(arguments):
    """Return a training command of the recipe, changed to use small networks and few steps."""
    return [*arguments, "--config", f"{arguments[1]}.yaml", "--device", "cpu"]


def kill_after(arguments, folder, step):
    """Start training in a new process and kill it once `step` is logged. Return the number of logged steps lost."""
    log = folder / ".megbench/training/fpfomm@mix"
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    child = subprocess.Popen([sys.executable, ROOT / "bench.py", *arguments], cwd=folder, env=environment)
    while max((line["step"] for line in read_log(log)), default=0) < step:
        assert child.poll() is None, "it should not have ended yet"
        time.sleep(0.02)
    child.kill()
    assert child.wait() == -signal.SIGKILL
    return max(line["step"] for line in read_log(log)) - VALIDATED


def check_card(card, databases):
    """Check that a card lists clips of its databases as seen, and all their drivers as left out."""
    drivers = {driver for driver in recordings() if driver.partition("/")[0] in databases}
    assert set(card["data"]["clips_left_out"]) == drivers
    assert len(drivers) == 3 * len(databases)
    assert card["data"]["clips_seen"]
    assert not set(card["data"]["clips_seen"]) & recordings()
    assert {clip.partition("/")[0] for clip in card["data"]["clips_seen"]} == set(databases)


def fitting(path):
    """Write the published judgements of the two teams on this kit's cells to `path`, and return their rows."""
    with MEGC2021_EXPERTS.open() as file:
        rows = list(csv.DictReader(line for line in file if not line.startswith("#")))
    cells = [cell.partition("__")[0] for cell in CELLS]
    kept = [
        row
        for row in rows
        if row["team"] in TEAMS
        and f"{row['database'].lower()}_{row['emotion']}" in cells
        and row["template"] == "asian_female"
    ]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, kept[0])
        writer.writeheader()
        writer.writerows(kept)
    return kept


def check_report(run, judgements):
    """Check rows, action units, marks and experts' means on the page and in tables, and experts' sums in Table 1."""
    page = (run / "report.html").read_text()
    board = (run / "tables/leaderboard.tex").read_text()
    with (run / "tables/leaderboard.csv").open(newline="") as file:
        rows = {row["method"]: row for row in csv.DictReader(file)}
    for label in (*VARIANTS, *(f"outputs@{team}" for team in TEAMS), *COMPANIONS):
        if label != "truth":  # recordings have no truth
            assert f">{label}<" in page, label
            assert label.replace("_", r"\_") in board, label
    for stem in VARIANTS:
        assert re.search(rf"{stem} \((5|10|20) steps\) ", board)
    for heading in ("Action units, from flow", "Experts, means"):
        assert heading in page
    assert {"au_flow_cosine", "au_flow_icc"} <= rows["flow_warp"].keys()
    first = (run / "tables/table_1.tex").read_text()
    for team in TEAMS:
        mine = [sum(int(row[item]) for item in ITEMS) for row in judgements if row["team"] == team]
        assert len(mine) == 3 * len(CELLS)
        assert re.search(rf"outputs@{team} & .* & (\\textbf{{)?{sum(mine)}}}? & ", first), first
        assert float(rows[f"outputs@{team}"]["sum"]) == pytest.approx(sum(mine) / len(mine))
