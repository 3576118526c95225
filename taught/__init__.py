"""The unpublished training by exact motion that the demo weights come from, and all that only they need.

TAUGHT: what can be trained so, by the name it has under --methods: "module:Recipe".
"""

TAUGHT = {
    "fpfomm": "taught.fpfomm:Recipe",
    "fomm": "taught.fomm:Recipe",
    "mraa": "taught.mraa:Recipe",
    "tps": "taught.tps:Recipe",
    "tps_rau": "taught.tps_rau:Recipe",
    "ulmegan": "taught.ulmegan:Recipe",
}
