"""The descriptor of FOMM: what drives it, its modes, networks and weights."""

from megbench.core.generator import Generator, Mode, Published, Weights

NETWORKS = ("generator", "kp_detector")
# vox-adv-256 differs from vox-256 in having a trained discriminator and no milestones.
ADVERSARIAL = {
    "discriminator": {"spectral_norm": False, "use_kp": True},
    "loss": {"generator_gan": 1.0},
    "milestones": [],
}

GENERATOR = Generator(
    name="fomm",
    title="First Order Motion Model",
    paper="siarohin2019first",
    licence="MIT",
    driven_by="pictures",
    modes={
        "relative": Mode(
            "applies the change of the driver's points and jacobians to the template's key points", NETWORKS
        ),
        "relative_scale": Mode(
            "like relative, but scales the change of the points by the ratio of the two faces' sizes", NETWORKS
        ),
        "relative_value": Mode(
            "applies the change of the driver's points, but uses the driver's jacobians unchanged", NETWORKS
        ),
        "absolute": Mode("gives the template the driver's points and jacobians", NETWORKS),
    },
    model="megbench.baselines.fomm.model:FommConfig",
    training="megbench.baselines.fomm.training",
    published=Published(required=NETWORKS, settings=({}, ADVERSARIAL)),
    weights={
        "demo": Weights(
            "demo with another architecture",
            "MRAA's skips, bicubic sampling of the template, narrower layers",
        )
    },
)
