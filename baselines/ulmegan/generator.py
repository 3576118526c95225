"""ULME-GAN's descriptor."""

from megbench.core.generator import Generator, Mode, Weights

NETWORKS = ("gen",)

GENERATOR = Generator(
    name="ulmegan",
    title="ULME-GAN",
    paper="zhou2023ulme",
    licence="MIT",
    driven_by="action units",
    modes={
        "recode_linear": Mode(
            "units present in under half of the frames dropped, the others linear up to the apex and down again, as"
            " entered for MEGC2021",
            NETWORKS,
        ),
        "recode": Mode("units present in under half of the frames dropped", NETWORKS),
        "plain": Mode("the action units as they are", NETWORKS),
        "apex_frame": Mode("recoded, from rest up to the units of the apex frame and down again", NETWORKS),
    },
    mode_variants=True,
    options={"fit": ("intended", "published"), "output": ("clean", "published")},
    model="megbench.baselines.ulmegan.model:UlmeConfig",
    training="megbench.baselines.ulmegan.training",
    weights={
        "demo": Weights(
            "demo with another architecture",
            "it moves the template by what it paints instead of painting it, action units as gates, narrower layers",
        )
    },
)
