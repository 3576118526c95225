"""The unpublished training on exact motion that produces the demo weights, and everything needed only for it.

TAUGHT: the generators that can be trained this way, as "module:Recipe" by the name passed with --methods. TRAININGS:
such a table for each kind of training. CONFIGS: the settings of the demo weights, one file per method.
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
