"""Count and time the cost of a template and of a frame for each method, on one thread: `make bench`.

Multiply-adds are those of convolutions and matrix products. Bytes are those that every operation reads and writes, that
is, the memory traffic of a machine without caches. There is no target; the test prints a table for docs/performance.md.
"""

import time

import pandas as pd
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from megbench.core.clip import Template
from megbench.methods import make_method
from tests.moving_face import MOUTH, face, make_clip

FRAMES = 4
TRAINED = ("fomm", "fpfomm", "mraa", "tps", "tps_rau", "ulmegan")


class Traffic(TorchDispatchMode):
    """A counter of the bytes that operations read and write; views and repeated single values are free."""

    def __init__(self):
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        found = function(*args, **(kwargs or {}))
        given = [value for value in torch.utils._pytree.tree_leaves((args, kwargs)) if isinstance(value, torch.Tensor)]
        made = [value for value in torch.utils._pytree.tree_leaves(found) if isinstance(value, torch.Tensor)]
        places = {value.untyped_storage().data_ptr() for value in given}
        is_view = all(value.untyped_storage().data_ptr() in places for value in made)
        if function._schema.is_mutable or (given and not is_view):
            seen = given if "out" in function._overloadname else (*given, *made)  # outputs are among `given`
            self.bytes += sum(min(v.nbytes, v.untyped_storage().nbytes()) for v in seen)
        return found


def prepared(name, published):
    """Return a method with random weights, in the demo's or the published network sizes."""
    method = make_method(name)("untrained", {})
    if published:
        method.settings = dict
    method.prepare("cpu")
    return method


def counted(work):
    """Return the GMAC and the megabytes of traffic of one call to `work`."""
    with FlopCounterMode(display=False) as flops, Traffic() as traffic:
        work()
    return flops.get_total_flops() / 2e9, traffic.bytes / 1e6


def timed(work):
    """Return the seconds of one call to `work`, which must have been called before as a warm-up."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def costs(name, published, template, clip):
    """Return one row of the table."""
    method = prepared(name, published)

    def encode():
        method._faces.clear()
        method.face(template)

    def animate():
        method._driver = None
        method.animate(template, clip)

    gmac, megabytes = counted(encode)
    frame_gmac, frame_megabytes = (value / FRAMES for value in counted(animate))  # the template is already encoded
    numbers = sum(value.numel() for network in method.networks.values() for value in network.state_dict().values())
    return {
        "method": name,
        "sizes": "published" if published else "demo",
        "million numbers": numbers / 1e6,
        "template GMAC": gmac,
        "template MB": megabytes,
        "template s": timed(encode),
        "frame GMAC": frame_gmac,
        "frame MB": frame_megabytes,
        "frame s": timed(animate) / FRAMES,
    }


def test_cost_of_a_frame(tmp_path, benchmark):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    template, clip = Template.of("face", "astronaut", face()), make_clip(tmp_path, "driver", MOUTH, n_frames=FRAMES)
    rows = [costs(name, published, template, clip) for published in (False, True) for name in TRAINED]
    torch.set_num_threads(threads)
    benchmark.pedantic(lambda: None, rounds=1)
    table = pd.DataFrame(rows)
    print("\n" + table.to_string(index=False, float_format="{:.3g}".format))
    assert (table["frame GMAC"] > 0).all()
