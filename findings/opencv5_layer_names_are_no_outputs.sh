#!/usr/bin/env bash
# opencv-python-headless 5.0.0.93: `net.getLayerNames()` still lists a network's layers, but `net.forward(name)` raises
# an error for each of them. In 4.12.0.88, passing such a name is the usual way to read features from the middle of a
# network (perceptual distances need five of them). Layers are also merged, so that a ReLU after a convolution no longer
# has a name. What works in both versions is to declare the intermediate values as outputs of the ONNX graph and to
# request all outputs at once.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat > "$work/show.py" <<'PYTHON'
import sys

import cv2
import numpy as np
from onnx import TensorProto, helper, numpy_helper


def network(*outputs):
    """Return a network of an identity convolution, a ReLU and a sign change. outputs: the outputs of its graph."""
    weights = numpy_helper.from_array(np.ones((1, 1, 1, 1), np.float32), "weights")
    nodes = [
        helper.make_node("Conv", ["picture", "weights"], ["first"], kernel_shape=[1, 1]),
        helper.make_node("Relu", ["first"], ["second"]),
        helper.make_node("Neg", ["second"], ["last"]),
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 1, 2, 2]) for name in ("picture", *outputs)]
    graph = helper.make_graph(nodes, "graph", ends[:1], ends[1:], [weights])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    made = cv2.dnn.readNetFromONNX(np.frombuffer(model.SerializeToString(), np.uint8))
    made.setInput(np.full((1, 1, 2, 2), 3, np.float32))
    return made


made, answers = network("last"), {}
for name in made.getLayerNames():
    try:
        answers[name] = float(made.forward(name).ravel()[0])
    except cv2.error as error:
        answers[name] = f"raises {error.code}"
print(cv2.__version__, answers)
declared = network("second", "last")
both = sorted(float(values.ravel()[0]) for values in declared.forward(declared.getUnconnectedOutLayersNames()))
print(cv2.__version__, "declared as outputs:", both)
inner = [answer for name, answer in answers.items() if not name.endswith("last")]
as_said = all(isinstance(answer, float) for answer in inner) == (sys.argv[1] == "4") and both == [-3.0, 3.0]
sys.exit(0 if as_said and len(inner) >= 2 else 1)
PYTHON
for version in 4.12.0.88 5.0.0.93; do
  python3 -m venv "$work/$version"
  "$work/$version/bin/pip" -q --disable-pip-version-check install "opencv-python-headless==$version" onnx==1.23.2
  "$work/$version/bin/python" "$work/show.py" "${version%%.*}"
done
