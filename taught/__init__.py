"""The unpublished training by exact motion that the demo weights come from, and all that only they need.

TAUGHT: what can be trained so, by the name it has under --methods: "module:Recipe". TRAININGS: the same for each kind
of training. CONFIGS: the settings of the demo weights, a file a method.
"""

from pathlib import Path

from training import TRAINABLES

CONFIGS = Path(__file__).with_name("configs")
TAUGHT = {
    "fpfomm": "taught.fpfomm:Recipe",
    "fomm": "taught.fomm:Recipe",
    "mraa": "taught.mraa:Recipe",
    "tps": "taught.tps:Recipe",
    "tps_rau": "taught.tps_rau:Recipe",
    "ulmegan": "taught.ulmegan:Recipe",
}
TRAININGS = {"published": TRAINABLES, "taught": TAUGHT}
