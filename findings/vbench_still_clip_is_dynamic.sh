#!/usr/bin/env bash
# VBench's dynamic degree classifies a still clip as dynamic if it samples only two of its frames. Every round(fps /
# 8)th frame is kept, n in all, and at least round(n / 4) of the pairs between them must move. Python rounds halves to
# the nearest even number, so n = 2 requires round(0.5) = 0 pairs, and the first pair satisfies that whatever it shows.
# At 200 frames per second, two frames are all that is kept of a quarter of a second, that is, of most micro-expressions
# as CASME II and SAMM record them. With three or more frames, the same still clip is static, as is everything that
# moves by less than 6 pixels of 256.
# Seen with vbench 0.1.5. The rule is run as installed; only what its network needs (torch, RAFT) is left out.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check numpy==2.4.6
venv/bin/pip install --quiet --disable-pip-version-check --no-deps vbench==0.1.5
venv/bin/python - <<'PY'
import importlib.metadata
import importlib.util
import sys
from pathlib import Path
from unittest import mock

import numpy as np

print("vbench", importlib.metadata.version("vbench"))
package = Path(importlib.util.find_spec("numpy").origin).parents[1] / "vbench"
absent = ["torch", "cv2", "tqdm", "easydict", "vbench", "vbench.utils", "vbench.distributed"]
absent += ["vbench.third_party.RAFT.core.raft", "vbench.third_party.RAFT.core.utils_core.utils"]
for name in absent:
    sys.modules[name] = mock.MagicMock()
spec = importlib.util.spec_from_file_location("vbench.dynamic_degree", package / "dynamic_degree.py")
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)

rule = object.__new__(module.DynamicDegree)  # without loading a network
kept = rule.extract_frame(list(range(44)), max(1, round(200 / 8)))
print(f"44 frames at 200 per second: frames {kept} are kept")
found = {}
for count in range(1, 9):
    rule.set_params(frame=np.zeros((1, 3, 256, 256)), count=count)
    found[count] = rule.check_move([0.0] * (count - 1))  # the flow of a still clip: nothing moves
    print(f"{count} frames, none of which moves: {rule.params['count_num']} pairs must move, dynamic: {found[count]}")
if len(kept) != 2 or [count for count, dynamic in found.items() if dynamic] != [2]:
    sys.exit("the behaviour has changed")
print("as described: with two frames, any clip is dynamic, even a still one")
PY
