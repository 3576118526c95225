"""The whole table of `bench.py gpu` on the CPU, which takes minutes."""

from megbench.baselines import GENERATORS
from tests.test_without_dlib import ROOT, python


def test_every_generator_is_compared_and_measured_without_dlib(tmp_path):
    done = python(tmp_path, str(ROOT / "bench.py"), "gpu", "--device", "cpu", "--out", "table.md")
    assert done.returncode == 0, done.stderr[-2000:]
    page = (tmp_path / "table.md").read_text()
    rows = [line.strip("| ").split(" | ") for line in page.splitlines() if "float32 |" in line]
    assert [row[0] for row in rows] == [f"{name}, float32" for name in GENERATORS]
    for row in rows:
        assert [float(entry) for entry in row[1:5]] == [0, 0, 0, 0], "the CPU agrees with itself"
        assert all(" TFLOP/s)" in row[place] and float(row[place].split()[0]) > 0 for place in (5, 7))
    assert "TOO LARGE" not in page
    assert "at most 1 level of 255" in page
