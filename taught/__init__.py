"""The unpublished training on exact motion that produces the demo weights, together with the code that only this
training needs.

TAUGHT: maps the --methods name of each generator that can be trained this way to its "module:Recipe". TRAININGS: a
similar table for each kind of training. CONFIGS: the settings of the demo weights, one file per method.
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
