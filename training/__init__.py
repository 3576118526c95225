"""What can be trained as published, by the name it has under --methods: "module:Recipe"."""

TRAINABLES = {
    "fpfomm": "fpfomm.training:Recipe",
    "fomm": "baselines.fomm.training:Recipe",
    "mraa": "baselines.mraa.training:Recipe",
    "tps": "baselines.tps.training:Recipe",
    "tps_rau": "baselines.tps_rau.training:Recipe",
    "ulmegan": "baselines.ulmegan.training:Recipe",
}
