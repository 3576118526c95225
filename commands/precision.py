"""Advice on whether `precision=bf16` is faster on this machine's processor, and what it costs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from megbench.core.errors import plural
from megbench.core.provenance import bfloat16_instructions
from megbench.engine.runner import Job

# How much faster bf16 is with each kind of bfloat16 instructions, as measured for docs/performance.md.
GAINS = {
    "AVX-512": "demo networks animate 1.2 to 1.3 times as fast as in float32, full-size FPB-FOMM 1.1 to 1.4 times",
    "AMX": "an earlier version animated published sizes twice as fast as in float32; this one was not measured",
}
COST = "With demo weights, the PSNR to frames in float32 is 60 to 67 dB, and agreement changes by at most .003"
# The number of frames from which a hint is worthwhile: demo networks take ten minutes for them in float32 on one core.
MANY_FRAMES = 10_000


def advice() -> str:
    """Return a sentence on bf16 for this machine's processor."""
    kind = bfloat16_instructions()
    if kind is None:
        return "precision=bf16: this processor has no bfloat16 instructions; bf16 would be many times slower."
    if kind not in GAINS:
        return "precision=bf16: not measured on a processor of this kind."
    return f"precision=bf16: this processor has {kind}'s bfloat16 instructions; {GAINS[kind]}. {COST}."


def hint(jobs: Sequence[Job], missing: Callable[[], Sequence[Job]]) -> str:
    """Return `advice` if networks have many frames to animate in float32 and bf16 is known to be faster, otherwise "".

    missing: a function that returns the remaining jobs; it is called only if all jobs together have many frames.
    """
    if (
        bfloat16_instructions() not in GAINS
        or _frames(jobs) < MANY_FRAMES
        or (left := _frames(missing())) < MANY_FRAMES
    ):
        return ""
    return f"{plural(left, 'frame')} to animate in float32. {advice()}"


def _frames(jobs: Sequence[Job]) -> int:
    """Return the number of frames in these jobs that networks animate in float32."""
    precisions = ((job, job.row.identity.get("arithmetic", {}).get("precision")) for job in jobs)
    return sum(job.cell.driver.n_frames for job, precision in precisions if precision == "float32")
