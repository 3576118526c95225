"""Golden entries of ULME-GAN: networks, one training step, action unit sequences, eight-bit pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from megbench.baselines.ulmegan.action_units import fitted, recoded, split_table, top_frame
from megbench.baselines.ulmegan.model import UlmeConfig, UlmeWeights, enlarged, networks, outside
from megbench.baselines.ulmegan.training import UlmeTrainer, gan_loss, total_variation
from megbench.training.plan import StagePlan, learning_rate
from tests.golden.files import Golden
from tests.golden.splines import filled, gradient_norm, outputs, pictures
from tests.golden.training import adams, backward

Entries = Iterator[tuple[str, Tensor]]
CONFIGS = {
    "default": UlmeConfig(schedule="published"),
    "masked": UlmeConfig(weights=UlmeWeights(mask=0.1, smooth=1e-5)),
}


def entries(golden: Golden, salt: str, vgg: Path) -> Entries:
    """Yield all entries of the golden files `ulmegan`, `ulmegan_train` and `ulmegan_au`."""
    if golden.path.stem.endswith("_train"):
        for name, config in CONFIGS.items():
            yield from training(golden, name, config, salt)
        yield from losses(golden)
        yield from rates()
    elif golden.path.stem.endswith("_au"):
        yield from sequences(golden)
        yield from eight_bits(golden)
    else:
        with torch.no_grad():
            yield from inference(golden, salt)


def seen_by(levels: Tensor) -> Tensor:
    """Convert pictures (N, H, W, 3) uint8 to the networks' input."""
    return (pictures(levels) - 0.5) / 0.5


def inference(golden: Golden, salt: str) -> Entries:
    """Yield both networks' outputs on three pictures."""
    nets = filled(networks(UlmeConfig()), salt)
    source = seen_by(golden["images_u8"])
    heads = {"color_logits": "color_top.0", "attention_logits": "au_top.0", "embed": "model"}
    with outputs(nets["gen"], {"model.": "model"}, heads) as seen:
        painted = nets["gen"](source, golden["aus"])
    seen |= {"color": painted.colour, "attention": painted.attention, "fake": painted.picture}
    yield from ((f"gen/{name}", value) for name, value in seen.items())
    with outputs(nets["dis"], {"model.": "model"}, {}) as seen:
        seen["patch"], seen["aus"] = nets["dis"](source)
    yield from ((f"dis/{name}", value) for name, value in seen.items())
    patch, units = nets["dis"](source[:1])
    yield "dis/patch_batch1", patch[0]
    yield "dis/aus_batch1", units[0]


def training(golden: Golden, name: str, config: UlmeConfig, salt: str) -> Entries:
    """Yield one step of discriminator and generator under `<name>/`."""
    if not golden.any(f"{name}/"):
        return
    trainer = UlmeTrainer(config)
    nets = filled(trainer.networks(), salt)
    calls: dict[str, list[Any]] = {"gen": [], "dis": []}
    for key, network in nets.items():
        network.train().register_forward_hook(lambda _, given, out, key=key: calls[key].append(out))
    optimisers = adams(trainer, "main")
    phases = trainer.phases(
        seen_by(golden["src_img_u8"]), golden["src_aus"], golden["tar_aus"], golden[f"{name}/gp_alpha"], generate=True
    )
    seen: dict[str, Tensor] = {}
    recorded(trainer, seen)
    for phase, short in zip(phases, ("dis", "gen"), strict=True):
        yield f"{name}/loss/{short}", torch.stack(list(phase.losses.values())).sum()
        backward(phase, list(nets[short].parameters()))
        yield f"{name}/{short}_gradnorm/{short}", gradient_norm(nets[short])
        yield from parameters(golden, f"{name}/grad/{short}.", nets[short], gradient=True)
        optimisers[short].step()
        yield from parameters(golden, f"{name}/after_step/{short}.", nets[short], gradient=False)
    yield from ((f"{name}/loss/{key}", loss) for key, loss in seen.items())
    fake, rebuilt = calls["gen"]
    yield f"{name}/color_mask", fake.colour
    yield f"{name}/aus_mask", fake.attention
    yield f"{name}/fake_img", fake.picture
    yield f"{name}/rec_color_mask", rebuilt.colour
    yield f"{name}/rec_aus_mask", rebuilt.attention
    yield f"{name}/rec_real_img", rebuilt.picture
    yield f"{name}/pred_real_aus", calls["dis"][0][1]


def _recording(made: Callable[..., dict[str, Tensor]], seen: dict[str, Tensor]) -> Callable[..., dict[str, Tensor]]:
    def terms(*given: Any) -> dict[str, Tensor]:
        found = made(*given)
        seen.update(found)
        return found

    return terms


def recorded(trainer: UlmeTrainer, seen: dict[str, Tensor]) -> None:
    """Make the trainer write its losses into `seen` before they are weighted."""
    for name in ("discriminator_terms", "generator_terms"):
        setattr(trainer, name, _recording(getattr(trainer, name), seen))


def parameters(golden: Golden, prefix: str, network: nn.Module, gradient: bool) -> Entries:
    """Yield the parameters, or their gradients, that the file names under `prefix`."""
    for name in sorted(golden.names):
        if name.startswith(prefix):
            parameter = network.get_parameter(name.removeprefix(prefix))
            value = parameter.grad if gradient else parameter
            assert value is not None, f"{name} has no gradient"
            yield name, value.detach().clone()


def losses(golden: Golden) -> Entries:
    """Yield the results of the loss functions on their own."""
    for kind in ("wgan-gp", "lsgan"):
        for real, name in ((True, "real"), (False, "fake")):
            yield f"ganloss/{kind}_{name}", gan_loss(kind, golden["ganloss/map"], real)
    yield "tv/out", total_variation(golden["tv/in"])


def rates() -> Entries:
    """Yield the published learning rates, one per epoch."""
    for epochs, start in ((20, 1), (40, 41)):
        spec = UlmeTrainer(replace(CONFIGS["default"], epochs=epochs)).optimisers("main")["gen"]
        plan = StagePlan(steps_per_epoch=1)
        found = [learning_rate(spec, plan, epoch - 1) for epoch in range(start, epochs + 11)]
        yield f"f64/lr_niter{epochs}_decay10_start{start}", torch.tensor(found, dtype=torch.double)


def sequences(golden: Golden) -> Entries:
    """Yield re-encoded tables, their apexes, and fitted sequences."""
    for case in ("a", "b", "c"):
        plain, presence = split_table(golden[f"f64/{case}/table"].numpy())
        for name, units in (("recoded", recoded(plain, presence)), ("plain", plain)):
            yield f"f64/{case}/{name}", torch.from_numpy(units)
            yield f"{case}/{name}_top_frame", torch.tensor(top_frame(units))
    units, template = golden["f64/curve/aus"].numpy(), golden["f64/curve/src_aus"].numpy()
    curves = {f"linear_top{top}": fitted(units, "linear", top, template, True) for top in (0, 1, 4, 9, 10)}
    curves |= {f"apex_top{top}": fitted(units, "apex", top, template, True) for top in (1, 4, 9, 10)}
    steps = (torch.arange(3.0).double() + 1)[:, None, None] / 3
    found = {name: torch.from_numpy(curve) for name, curve in curves.items()}
    found["linear_top4_factor1.5"] = 1.5 * found["linear_top4"]
    found["linear_top4_interp3"] = steps * found["linear_top4"]
    found["none_interp3"] = steps * torch.from_numpy(fitted(units, "none", 0))
    found["none_factor0.7"] = 0.7 * torch.from_numpy(fitted(units, "none", 0))
    yield from ((f"curve/{name}", curve.float()) for name, curve in found.items())


def eight_bits(golden: Golden) -> Entries:
    """Yield pictures truncated to eight bits, and the upper left corner of a picture of doubled size."""
    yield "quant/uint8", torch.from_numpy(outside(golden["quant/float"][None], as_published=True)[0])
    full = enlarged(golden["quant/uint8_full"].numpy(), 256)
    yield "quant/resized_256", torch.from_numpy(full[:64, :64].copy())
