"""The unpublished training by exact motion that the demo weights come from, and all that only they need.

TAUGHT: what can be trained so, by the name it has under --methods: "module:Recipe". TRAININGS: the same for each kind
of training. CONFIGS: the settings of the demo weights, a file a method.
"""

from pathlib import Path

from megbench.training import TRAINABLES

CONFIGS = Path(__file__).with_name("configs")
TAUGHT = {
    "fpfomm": "megbench.taught.fpfomm:Recipe",
    "fomm": "megbench.taught.fomm:Recipe",
    "mraa": "megbench.taught.mraa:Recipe",
    "tps": "megbench.taught.tps:Recipe",
    "tps_rau": "megbench.taught.tps_rau:Recipe",
    "ulmegan": "megbench.taught.ulmegan:Recipe",
}
TRAININGS = {"published": TRAINABLES, "taught": TAUGHT}
