"""What can be trained as published, by the name it has under --methods: "module:Recipe"."""

TRAINABLES = {
    "fpfomm": "megbench.fpfomm.training:Recipe",
    "fomm": "megbench.baselines.fomm.training:Recipe",
    "mraa": "megbench.baselines.mraa.training:Recipe",
    "tps": "megbench.baselines.tps.training:Recipe",
    "tps_rau": "megbench.baselines.tps_rau.training:Recipe",
    "ulmegan": "megbench.baselines.ulmegan.training:Recipe",
}
