"""The table of `bench.py gpu`: every generator's differences from the CPU, then its speeds and memory by precision."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

from megbench.baselines import GENERATORS
from megbench.commands.gpu_agreement import BOUNDS, PAIRS, Difference, difference
from megbench.commands.gpu_material import STATES, Material
from megbench.commands.gpu_peaks import Peak
from megbench.commands.gpu_speed import (
    SCALES,
    Precision,
    Scale,
    Speed,
    frame_flops,
    generation,
    step_flops,
    training,
)
from megbench.core.errors import clause, plural
from megbench.core.progress import track
from megbench.core.provenance import provenance
from megbench.methods.generator import BATCH_SIZES
from megbench.reports.table import Column, Entry, Section, Table

COLUMNS = (
    Column("generator"),
    Column("frames, largest difference (levels)", decimals=0),
    Column("frames, mean difference (levels)", decimals=4),
    Column("step's loss, relative difference", decimals=7),
    Column("step's gradient, relative difference", decimals=6),
    Column("frames/s", decimals=1),
    Column("generation's memory (MB)", decimals=0),
    Column("training pairs/s", decimals=1),
    Column("training's memory (MB)", decimals=0),
)
BFLOAT16 = "only float32 is compared: bfloat16 keeps eight bits"
NOT_TOLD = "this system does not report the peak memory of a process"


@dataclass(frozen=True)
class Row:
    """The results for a generator.

    frame_flops, pair_flops: the number of floating-point operations per frame and per training pair. generation,
    training: the speeds by precision; for a speed that could not be measured, the reason as text.
    """

    name: str
    difference: Difference
    frame_flops: float
    pair_flops: float
    generation: Mapping[Precision, Speed | str]
    training: Mapping[Precision, Speed | str]


def measured(device: str, material: Material) -> list[Row]:
    """Compare and measure all generators, with TensorFloat-32 off."""
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    scale = SCALES[device]

    def row(name: str) -> Row:
        return Row(
            name,
            difference(name, device, material),
            frame_flops(name, device, material),
            step_flops(name, device, material),
            {one: _within_memory(generation, name, one, device, material) for one in scale.precisions},
            {one: _within_memory(training, name, one, device, material) for one in scale.precisions},
        )

    return [row(name) for name in track(list(GENERATORS), "comparing and measuring", "generator")]


def _within_memory(
    measure: Callable[[str, Precision, str, Material], Speed],
    name: str,
    precision: Precision,
    device: str,
    material: Material,
) -> Speed | str:
    """Return the measured speed, or the reason as text if the device has too little memory."""
    try:
        return measure(name, precision, device, material)
    except torch.OutOfMemoryError as error:
        return f"out of memory: {clause(error)}"


def table_of(device: str, rows: list[Row]) -> Table:
    """Return the table: a row for each generator and precision."""
    where = provenance(device)
    chip = where["machine"]["device"]
    scale, peak = SCALES[device], Peak.of(chip)
    entries = tuple(_entries(row, precision, peak) for row in rows for precision in scale.precisions)
    title = f"Generators on {where['machine']['processor'] if device == 'cpu' else chip}"
    return Table(title, COLUMNS, (Section("", entries),), _notes(device, scale, where["date"]))


def _entries(row: Row, precision: Precision, peak: Peak) -> tuple[Entry, ...]:
    """Return a row of the table."""
    differences = [
        Entry(getattr(row.difference, name), remark="" if getattr(row.difference, name) <= bound else "TOO LARGE")
        if precision == "float32"
        else Entry(None, BFLOAT16)
        for name, bound in BOUNDS.items()
    ]
    speeds = [
        entry
        for found, flops in ((row.generation, row.frame_flops), (row.training, row.pair_flops))
        for entry in _speed(found[precision], flops, peak, precision)
    ]
    return (Entry(f"{row.name}, {precision}"), *differences, *speeds)


def _speed(found: Speed | str, flops: float, peak: Peak, precision: Precision) -> tuple[Entry, Entry]:
    """Return the entries for a speed and the memory used."""
    if isinstance(found, str):
        return Entry(None, found), Entry(None, found)
    arithmetic = peak.used(found.per_second * flops / 1e12, precision)
    return Entry(found.per_second, remark=arithmetic), Entry(found.memory_mb, NOT_TOLD)


def _notes(device: str, scale: Scale, date: str) -> tuple[str, ...]:
    """Return the notes below the table, which say how everything was compared and measured."""
    sizes = "narrow networks" if scale.sizes else "networks of the published sizes"
    bounds = BOUNDS
    return (
        f"Measured {date} with PyTorch {torch.__version__}, {torch.get_num_threads()} CPU threads, TensorFloat-32 off.",
        f"Differences between {device} and cpu, with the demo weights: {STATES} frames of 256 x 256 pixels (at most"
        f" {bounds['largest']:g} level of 255, on average {bounds['mean']:g}); a step of the training that made these"
        f" weights, on {PAIRS} pairs (losses {bounds['loss']:g} of their sum, gradients {bounds['gradient']:g} of their"
        " norm).",
        f"Speeds and peak memory: {sizes}; {scale.frames} frames, {BATCH_SIZES[device]} at once, the fastest of"
        f" {scale.rounds}; {plural(scale.steps, 'training step')} of {plural(scale.pairs, 'pair')} with the published"
        " losses and perceptual=pyramid, not counting the time to draw the pairs.",
        "TFLOP/s: the matrix products and convolutions of the plain networks in the measured time, where a multiply-add"
        " counts as two operations. Shares are relative to the manufacturer's dense peak, and are left out if it is"
        " unknown.",
    )
