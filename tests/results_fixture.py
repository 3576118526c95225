"""Results files for tests: one built in memory with everything that a check examines, and a small sealed run."""

import copy
import json
import shutil
from pathlib import Path

import numpy as np

from megbench.results.digests import digests_of
from megbench.results.export import completed, values_of
from megbench.results.means import kept, mean_of, pooled_of
from megbench.results.submission import FORMAT, CellResult, Metric
from tests.fakes import Shift, make_clips

DRIVERS, TEMPLATES = [f"d{k}" for k in range(6)], ("ta", "tb")
# The people known to the row "trained": those of the first two drivers, and one who is not in these cells.
KNOWN = ["samm/s0", "samm/s1", "samm/elsewhere"]
CONTROLS = ("still", "still_noise", "rigid", "apex_ramp", "reversed", "wrong_driver", "ceiling", "truth")
DEMO_HASH, OWN_HASH = "d" * 32, "e" * 32
HOSTILE = '<script>alert("x")</script>'


def figure(name, pooling="mean", least=None, most=None, ideal=1.0, still=0.0):
    """Return a figure's entry."""
    texts = {"title": name.capitalize(), "label": name, "description": f"What {name} is.", "target": "driver"}
    numbers = {"ideal": ideal, "still": still, "least": least, "most": most, "decimals": 2, "order": 1}
    return {"name": name, **texts, "unit": "", "group": "Motion", "brief": True, "pooling": pooling, **numbers}


METRIC = {
    "name": "motion_agreement",
    "version": "2",
    "recipe": "a" * 32,
    "figures": [
        figure("agreement", least=-1.0, most=1.0),
        figure("gain"),
        figure("error", least=0.0, ideal=0.0, still=1.0),
        figure("agreement_pooled", "pooled", least=-1.0, most=1.0),
    ],
}
CELLS = [
    {
        "name": f"{driver}__{template}",
        "driver": driver,
        "template": template,
        "database": "samm",
        "emotion": HOSTILE,
        "subject": f"s{number}",
        "frames": 40 + number,
        "fps": 200.0,
        "rendered": False,
        "foil": DRIVERS[(number + 1) % len(DRIVERS)],
        "driver_content": f"{number + 1:032x}",
        "template_content": f"{TEMPLATES.index(template) + 100:032x}",
        "truth_content": f"{number * 2 + TEMPLATES.index(template) + 200:032x}",
    }
    for number, driver in enumerate(DRIVERS)
    for template in TEMPLATES
]
MADE = {
    "date": "2026-01-01",
    "commit": "c" * 40,
    "modified": False,
    "python": "3.11",
    "packages": {"torch": "2.13"},
    "system": "Linux",
    "processor": "a processor",
    "device": "cpu",
    "precision": {"dtype": "float32"},
}


def row(label, number, status="no weights", marks=None, weights=None, **more):
    """Return a row's entry with randomly drawn scores and everything computed from them."""
    rng = np.random.default_rng(number)
    cells = {}
    for cell in CELLS:
        drawn = [kept(value) for value in rng.uniform(0.1, 0.9, 6)]
        sums = {"motion_agreement": {"driver": [drawn[3] * 0.5, drawn[4], drawn[5]]}}
        scores = {"agreement": drawn[0], "gain": drawn[1], "error": drawn[2], "agreement_pooled": drawn[0]}
        output = f"{number * 1000 + len(cells):032x}"
        work = {"seconds": 2.0, "peak_mb": 500.0 + len(cells)}
        cells[cell["name"]] = {"status": "ok", "output": output, **work, "scores": scores, "sums": sums}
    made = {
        "label": label,
        "name": label,
        "variant": "",
        "is_control": label in CONTROLS,
        "status": status,
        "marks": marks or {},
        "weights": {"weights": weights} if weights else None,
        "identity": f"{number + 7:032x}",
        **{name: more.get(name, []) for name in ("people_known", "seen_drivers", "seen_people")},
        "cells": cells,
    }
    return resummed(made)


def resummed(made):
    """Return a row with its means, intervals, time and memory recomputed from its cells, as a forger would do."""
    cells = {name: CellResult(**cell) for name, cell in made["cells"].items()}
    driver_of = {cell["name"]: cell["driver"] for cell in CELLS}
    frames = sum(cell["frames"] for cell in CELLS)
    seconds = sum(cell.seconds for cell in cells.values())
    scores = {}
    for one in METRIC["figures"]:
        value, low, high, n = mean_of(one["name"], cells, driver_of)
        if one["pooling"] == "pooled":
            metric = Metric.model_validate(METRIC)
            pooled = next(each for each in metric.figures if each.name == one["name"])
            value, low, high = pooled_of(metric, pooled, list(cells.values())), None, None
        scores[one["name"]] = {"value": value, "low": low, "high": high, "n_scored": n, "n_cells": len(CELLS)}
    work = {"seconds": seconds, "frames_per_second": kept(frames / seconds)}
    return {**made, "scores": scores, **work, "peak_mb": max(cell.peak_mb for cell in cells.values())}


def results(metric=METRIC, **more):
    """Return a file's JSON values: three methods, flow_warp and all controls on twelve cells of six drivers."""
    marks = {"trained on 1 of 6 drivers, 1 of 6 people": "A sentence."}
    seen = {"people_known": KNOWN, "seen_drivers": ["d0"], "seen_people": ["d1"]}
    methods = [
        row("fomm", 1, "demo weights", {"demo weights": "A sentence."}, DEMO_HASH),
        row("trained", 2, "own weights", marks, OWN_HASH, **seen),
        row("fomm@untrained", 3, "untrained", {"untrained": "A sentence."}),
    ]
    rows = [*methods, *(row(label, 10 + k) for k, label in enumerate(("flow_warp", *CONTROLS)))]
    facts = {
        "format": FORMAT,
        "kind": "sealed run",
        "note": "",
        "protocol": {"name": "folder", "version": "1"},
        "cells": CELLS,
        "metrics": [metric],
        "asked": {"methods": [method["label"] for method in methods], "controls": True, "seed": 0, "device": "cpu"},
        "made": MADE,
        "rows": rows,
        "seal": "5" * 32,
    }
    return values_of(completed(copy.deepcopy({**facts, **more})))


def mended(facts):
    """Return a file's values with the hashes of its parts recomputed, as a forger would do."""
    return {**facts, "digests": digests_of(facts)}


def write(facts, path: Path) -> Path:
    """Write a file's values and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(facts))
    return path


class Companion(Shift):
    """A stand-in for a companion that would detect faces; tests need only its row."""

    is_control = True
    name = "companion"


RUN = ("--methods", "shift", "--protocol", "fakes", "--drivers", "clips", "--metrics", "difference", "--out", "out")


# Folders of the small run and its clips, made once.
SMALL_RUNS: list[Path] = []


def make_small_run(call, folder: Path, monkeypatch, kept: Path) -> Path:
    """Make a sealed run of noise clips with all companions that these cells allow; most of them are stand-ins.

    The run is made once and stored in `kept`; later calls copy it.
    """
    from megbench.methods import METHODS

    for name in ("flow_warp", "rigid", "apex_ramp", "reversed"):
        stand_in = type(name, (Companion,), {"name": name, "is_control": name != "flow_warp", "__module__": __name__})
        globals()[f"_{name}"] = stand_in
        monkeypatch.setitem(METHODS, name, f"tests.results_fixture:_{name}")
    if SMALL_RUNS:
        shutil.copytree(SMALL_RUNS[0], folder, dirs_exist_ok=True)
    else:
        make_clips(folder / "clips", count=2)
        code, out, err = call(*RUN)
        assert code == 0, out + err
        for part in ("clips", "out"):
            shutil.copytree(folder / part, kept / part)
        SMALL_RUNS.append(kept)
    return folder / "out"
