"""The descriptor of ULME-GAN: what drives it, its modes, networks and weights."""

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
            "drops units present in less than half of the frames, and makes the others rise linearly to the apex and"
            " fall again, as in the entry for MEGC2021",
            NETWORKS,
        ),
        "recode": Mode("drops units present in less than half of the frames", NETWORKS),
        "plain": Mode("uses the action units unchanged", NETWORKS),
        "apex_frame": Mode(
            "drops units present in less than half of the frames, then goes linearly from rest to the units of the apex"
            " frame and back",
            NETWORKS,
        ),
    },
    mode_variants=True,
    options={"fit": ("intended", "published"), "output": ("clean", "published")},
    model="megbench.baselines.ulmegan.model:UlmeConfig",
    training="megbench.baselines.ulmegan.training",
    weights={
        "demo": Weights(
            "demo with another architecture",
            "it moves the template instead of painting it, and has action units as gates and narrower layers",
        )
    },
)
