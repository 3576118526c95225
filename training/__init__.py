"""What can be trained, by the name it has under --methods: "module:Recipe"."""

TRAINABLES = {
    "fpfomm": "fpfomm.recipe:FpFommRecipe",
    "fomm": "baselines.recipes:FommRecipe",
    "mraa": "baselines.recipes:MraaRecipe",
    "tps": "baselines.recipes:TpsRecipe",
    "tps_rau": "baselines.recipes:RauRecipe",
    "ulmegan": "baselines.recipes:UlmeRecipe",
}
