"""FOMM's descriptor."""

from megbench.core.generator import Generator, Mode, Published, Weights

NETWORKS = ("generator", "kp_detector")
# vox-adv-256 differs from vox-256 in that its discriminator is trained and that it has no milestones.
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
        "relative": Mode("the template's key points take on the change of the driver's points and jacobians", NETWORKS),
        "relative_scale": Mode("as relative, the points' change scaled by the ratio of the two faces' sizes", NETWORKS),
        "relative_value": Mode("the change of the driver's points alone, with the driver's jacobians", NETWORKS),
        "absolute": Mode("the template takes on the driver's points and jacobians", NETWORKS),
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
