"""The advice on bfloat16 depends on the processor's instructions and the length of a run."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from megbench.commands import precision
from megbench.commands.precision import MANY_FRAMES, advice, hint
from megbench.core import provenance


def job(frames, precision):
    identity = {"arithmetic": {"precision": precision}} if precision else {}
    return SimpleNamespace(
        row=SimpleNamespace(identity=identity), cell=SimpleNamespace(driver=SimpleNamespace(n_frames=frames))
    )


@pytest.mark.parametrize(
    ("flags", "kind", "said"),
    [
        ("avx512f avx512_bf16 amx_bf16 amx_tile", "AMX", "AMX's bfloat16 instructions"),
        ("avx512f avx512_bf16", "AVX-512", "1.2 to 1.3 times as fast"),
        ("asimd bf16", "other", "not measured"),
        ("avx2 fma", None, "many times slower"),
    ],
)
def test_the_advice_follows_the_processor(flags, kind, said, monkeypatch):
    monkeypatch.setattr(Path, "read_text", lambda path: f"flags : fpu {flags} sse\n")
    assert provenance.bfloat16_instructions() == kind
    assert provenance.lacks_bfloat16() is (kind is None)
    assert said in advice()


@pytest.mark.parametrize(
    ("kind", "jobs", "left", "is_said"),
    [
        ("AVX-512", [job(MANY_FRAMES, "float32")], 1, True),
        ("AVX-512", [job(MANY_FRAMES // 2, "float32")] * 2, 2, True),
        ("AVX-512", [job(MANY_FRAMES // 2, "float32")] * 2, 1, False),
        ("AVX-512", [job(MANY_FRAMES - 1, "float32")], 1, False),
        ("AVX-512", [job(MANY_FRAMES, "bf16"), job(MANY_FRAMES, None)], 2, False),
        (None, [job(MANY_FRAMES, "float32")], 1, False),
        ("other", [job(MANY_FRAMES, "float32")], 1, False),
    ],
)
def test_only_long_runs_in_float32_are_told_where_it_would_be_faster(kind, jobs, left, is_said, monkeypatch):
    monkeypatch.setattr(precision, "bfloat16_instructions", lambda: kind)
    assert bool(hint(jobs, lambda: jobs[:left])) is is_said
