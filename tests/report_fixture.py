"""A small look-alike of a run folder, written directly rather than by the engine: moving blobs, scores and failures.

The run has two drivers on two templates, a method, a method that fails with a hostile string in its reason, flow_warp
and two controls.
"""

import dataclasses
import functools
import hashlib
import json
from pathlib import Path

import numpy as np
import pandas as pd

from megbench.core.clip import pixel_grid
from megbench.core.figures import Figure
from megbench.core.frames import Frames, frame_path, write_png
from megbench.metrics.identity_distance import IdentityDistance
from megbench.metrics.motion_agreement import MotionAgreement
from megbench.reports.run_files import FinishedRun

HOSTILE = '<script>alert("x")</script> & </script><img src=x onerror=alert(1)>'
LABELS = {"fpfomm": 0.8, "fomm:mode=absolute": 0.3, "flow_warp": 0.95}
CONTROLS = {"still": 0.0, "wrong_driver": 0.1}
FRAMES = 12
DEMO = {"demo weights": "Not the published model: a stand-in's sentence on what differs."}
MARKS = {
    "fpfomm": DEMO,
    "fomm:mode=absolute": DEMO | {"GIF: 1 of 3": "A sentence on colours & palettes, 50 % true_ish."},
}
SEEN = {"fomm:mode=absolute": ["d1"]}
GROUPS = ("brows", "eyes", "nose", "cheeks", "mouth", "head")


ENCODED: dict[bytes, bytes] = {}


def write_frames(folder: Path, frames: Frames) -> None:
    """Write frames as the suite does, but encode each picture only once, because every run has the same ones."""
    folder.mkdir(parents=True, exist_ok=True)
    for index, frame in enumerate(frames):
        path, key = frame_path(folder, index), hashlib.blake2b(frame.tobytes()).digest()
        if key in ENCODED:
            path.write_bytes(ENCODED[key])
        else:
            write_png(path, frame)
            ENCODED[key] = path.read_bytes()


@functools.cache
def moving_face(strength: float, seed: int, frames: int = FRAMES, noise: float = 1.0) -> Frames:
    """Return a textured disc with two blobs that move by up to `strength` pixels: (T, 256, 256, 3) uint8."""
    rng = np.random.default_rng(seed)
    grid = pixel_grid()
    x, y = grid[..., 0], grid[..., 1]
    base = 120 + 40 * np.sin(x / 9 + seed) * np.cos(y / 13) + 30 * ((x - 128) ** 2 + (y - 128) ** 2 < 100**2)
    clip = []
    for k in range(frames):
        shift = strength * np.sin(np.pi * k / max(frames - 1, 1))
        blobs = sum(60 * np.exp(-((x - cx - shift) ** 2 + (y - cy) ** 2) / 200) for cx, cy in ((90, 100), (160, 180)))
        picture = (base + blobs)[..., None] + np.array([8, 0, -8]) + rng.normal(0, noise, (256, 256, 3))
        clip.append(np.clip(picture.round(), 0, 255))
    return np.stack(clip).astype(np.uint8)


def write_field(path: Path, frames: int) -> Path:
    """Write the field (32 x 32 blocks) that scoring stores for a clip whose middle moves right 0.2 pixels a frame."""
    field = np.zeros((frames, 32, 32, 2), np.float16)
    field[:, 8:24, 8:24, 0] = 0.2 * np.arange(frames)[:, None, None]
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, field=field)
    return path


def make_judged_run(folder: Path, frames: int, drivers: int = 2) -> Path:
    """Write the run with a content hash in every cell, which links judgements to outputs; return its folder."""
    made = make_run(folder, frames, drivers)
    for path in made.glob("cells/*/*/cell.json"):
        record = json.loads(path.read_text())
        path.write_text(json.dumps({**record, "content": f"{path.parent.parent.name} {path.parent.name}"}))
    return made


def make_run(folder: Path, frames: int = FRAMES, drivers: int = 2) -> Path:
    """Write the run into `folder` and return `folder`."""
    kinds = (("grey200", "negative"), ("colour100", HOSTILE))
    cells = [
        {
            "name": f"{driver}__{template}",
            "driver": driver,
            "template": template,
            "database": database,
            "emotion": emotion,
            "subject": "s1",
            "fps": 100.0,
            "n_frames": frames,
            "onset_frame": 1,
            "apex_frame": frames // 2,
            "offset_frame": None if driver == "d2" else frames - 1,
            "action_units": "4+7",
            "rendered": True,
            "colour": "grey" if database == "grey200" else "rgb",
            "has_truth": template == "ta",
            "known_aus": {"AU04": np.linspace(0, 1, frames).tolist(), "AU07": np.linspace(0, 0.5, frames).tolist()},
        }
        for driver, (database, emotion) in ((f"d{k + 1}", kinds[k % 2]) for k in range(drivers))
        for template in ("ta", "tb")
    ]
    rows = []
    for number, cell in enumerate(cells):
        _write_inputs(folder, cell, number, frames)
        for label, quality in {**LABELS, **CONTROLS}.items():
            fails = label.startswith("fomm") and number == 1
            _write_cell(folder, label, cell, quality, fails, number, frames)
            rows += _cell_rows(label, cell, quality, fails)
    for label, quality in {**LABELS, **CONTROLS}.items():
        rows += _combined_rows(label, quality, cells)
    pd.DataFrame(rows).to_csv(folder / "scores.csv", index=False)
    (folder / "run.json").write_text(json.dumps(_facts(cells)))
    return folder


def _write_inputs(folder: Path, cell: dict, number: int, frames: int) -> None:
    inputs = folder / "inputs"
    write_frames(inputs / "drivers" / cell["driver"] / "frames", moving_face(3, 1, frames))
    write_field(folder / "motion" / "inputs" / "drivers" / f"{cell['driver']}.npz", frames)
    if cell["has_truth"]:
        write_frames(inputs / "truth" / cell["name"] / "frames", moving_face(3, 2, frames, 0))
    (inputs / "templates").mkdir(parents=True, exist_ok=True)
    write_png(inputs / "templates" / f"{cell['template']}.png", moving_face(0, number % 2 + 2, 1)[0])


def _write_cell(folder: Path, label: str, cell: dict, quality: float, fails: bool, number: int, frames: int) -> None:
    place = folder / "cells" / label / cell["name"]
    place.mkdir(parents=True)
    if not fails:
        write_frames(place / "frames", moving_face(3 * quality, number % 2 + 2, frames, 0))
        write_field(folder / "motion" / "cells" / label / f"{cell['name']}.npz", frames)
    record = {"key": "k", "status": "failed" if fails else "ok", "reason": f"no face in {HOSTILE}" if fails else ""}
    (place / "cell.json").write_text(json.dumps({**record, "n_frames": frames, "seconds": 1.0, "files": {}}))
    bump = np.sin(np.pi * np.arange(frames) / max(frames - 1, 1))
    series = {f"{g}_driver": list(bump * (3 if g == "brows" else 0.3)) for g in GROUPS}
    series |= {f"{g}_output": list(bump * quality * (3 if g == "brows" else 0.3)) for g in GROUPS}
    partial = {
        "version": "1",
        "status": "ok",
        "reason": "",
        "values": {},
        "sums": {"driver": [quality, 1.0, 1.0], "truth": [quality, 1.0, 1.0]},
        "series": {} if fails else series,
    }
    partials = folder / "partials" / label
    partials.mkdir(parents=True, exist_ok=True)
    (partials / f"{cell['name']}.json").write_text(json.dumps({"motion_agreement": partial}))


FIGURES = {
    "motion_agreement": ["agreement", "gain", "error", "agreement_pooled", "agreement_truth"],
    "identity_distance": ["identity_distance"],
}
KNOWN = {figure.name: figure for metric in (MotionAgreement, IdentityDistance) for figure in metric.figures}


def _value(figure: str, quality: float, cell: dict | None) -> float | None:
    values = {"gain": quality, "error": 1 - quality, "identity_distance": 0.65 * (1 - quality)}
    if figure == "agreement_truth" and cell is not None and not cell["has_truth"]:
        return None
    if figure == "agreement_pooled" and cell is not None:
        return None
    return values.get(figure, quality)


def _row(label: str, scope: str, group: str, cell: dict | None, metric: str, figure: str) -> dict:
    facts = {name: cell[name] if cell else "" for name in ("driver", "template", "database", "emotion")}
    control = label in CONTROLS
    return {
        "method": label,
        "is_control": control,
        "scope": scope,
        "group": group,
        **facts,
        "metric": metric,
        "figure": figure,
    }


def _cell_rows(label: str, cell: dict, quality: float, fails: bool) -> list[dict]:
    rows = []
    for metric, figures in FIGURES.items():
        for figure in figures:
            value = None if fails else _value(figure, quality, cell)
            reason = f"no face in {HOSTILE}" if fails else "" if value is not None else "no truth in this cell"
            status = "failed" if fails else "ok" if value is not None else "unavailable"
            score = {
                "value": value,
                "status": status,
                "reason": reason,
                "warning": "",
                "n_scored": int(value is not None),
                "n_cells": 1,
            }
            rows.append(_row(label, "cell", "", cell, metric, figure) | score)
    return rows


def _combined_rows(label: str, quality: float, cells: list[dict]) -> list[dict]:
    rows = []
    places = {("all", ""): cells}
    for scope in ("database", "emotion", "template"):
        for cell in cells:
            places.setdefault((scope, cell[scope]), []).append(cell)
    for (scope, group), members in places.items():
        for metric, figures in FIGURES.items():
            for figure in figures:
                scored = [m for m in members if figure == "agreement_pooled" or _value(figure, quality, m) is not None]
                value = _value(figure, quality, None) if scored else None
                score = {"value": value, "status": "ok" if scored else "unavailable"}
                score |= {
                    "reason": "" if scored else "no cell has a truth",
                    "warning": "",
                    "n_scored": len(scored),
                    "n_cells": len(members),
                }
                rows.append(_row(label, scope, group, None, metric, figure) | score)
    return rows


def _facts(cells: list[dict]) -> dict:
    def method(label: str, control: bool) -> dict:
        name, _, _ = label.partition(":")
        identity = {
            "code": "abc",
            **({"weights": {"sha256": "0123"}} if "f" in name[:1] and name != "flow_warp" else {}),
        }
        return {
            "label": label,
            "name": name,
            "variant": "",
            "is_control": control,
            "identity": identity,
            "marks": MARKS.get(label, {}),
            "seen_drivers": SEEN.get(label, []),
            "seconds_per_frame": None if control else 0.012,
        }

    return {
        "id": "0a1b2c3d",
        "finished": True,
        "request": {"methods": list(LABELS), "note": HOSTILE},
        "provenance": {
            "date": "2026-11-20T12:00:00+00:00",
            "argv": ["/somewhere/bench.py", "--methods", "fpfomm,fomm:mode=absolute", "--drivers", "my clips; rm -rf"],
            "machine": {"processor": "test", "device": "cpu"},
            "code": {},
        },
        "protocol": {"name": "demo", "version": "1", "description": "Rendered."},
        "cells": cells,
        "methods": [method(label, False) for label in LABELS] + [method(label, True) for label in CONTROLS],
        "metrics": [
            {
                "name": metric,
                "version": "1",
                "figures": [
                    dataclasses.asdict(KNOWN[name]) | {"title": name.capitalize(), "description": f"What {name} is."}
                    for name in figures
                ],
            }
            for metric, figures in FIGURES.items()
        ],
    }


def with_metric(folder: Path, named: bool, value: str, *figures: Figure) -> FinishedRun:
    """Return the run with one more metric, which has the given value in every row, for each cell and over all cells."""
    facts = json.loads((folder / "run.json").read_text())
    facts["metrics"].append({"name": "extra", "version": "1", "figures": [dataclasses.asdict(f) for f in figures]})
    facts["request"]["named_metrics"] = ["extra"] if named else []
    (folder / "run.json").write_text(json.dumps(facts))
    scores = pd.read_csv(folder / "scores.csv", keep_default_na=False, dtype="str")
    like = scores[scores.figure == "gain"]
    more = [
        like.assign(metric="extra", figure=f.name, value=value, reason="" if value else "no weights") for f in figures
    ]
    pd.concat([scores, *more]).to_csv(folder / "scores.csv", index=False)
    return FinishedRun(folder)
