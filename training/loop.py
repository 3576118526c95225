"""One loop for every trainable method: stages, phases, validation, saved state.

A run can be killed at any moment; the same command goes on from the last saved state. Batches are drawn from the
seed, the stage and the step alone, so a resumed run sees what an undisturbed one would have seen.
"""

import csv
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from lightning.fabric import Fabric
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm
from tqdm import tqdm

from core.contracts import Trainable
from core.errors import BenchError
from training.plan import Plan, StagePlan, learning_rate

STATE, LOG = "state.pt", "log.csv"
SETTLING_BATCHES = 24


class Batches(Protocol):
    """Where pairs come from."""

    def batch(self, split: str, size: int, rng: np.random.Generator) -> dict[str, Tensor]:
        """A batch of the "train" or "validation" split."""


class Run:
    """A training run in the folder `out`: `state.pt` (everything), `best.pt` (networks), `log.csv` (losses)."""

    def __init__(self, method: Trainable, batches: Batches, plan: Plan, out: Path, fabric: Fabric) -> None:
        unknown = set(plan.stages) - set(method.stages)
        if unknown:
            raise BenchError(f"Stage {sorted(unknown)[0]!r} is unknown. Choices: {', '.join(method.stages)}.")
        self.method, self.batches, self.plan, self.out, self.fabric = method, batches, plan, out, fabric
        self.networks = method.networks()
        self.progress: dict[str, Any] = {"stage": 0, "step": 0, "best": float("inf"), "seconds": 0.0, "kept": {}}
        out.mkdir(parents=True, exist_ok=True)

    def train(self) -> None:
        """Run every stage of the plan to its end, from the saved state if there is one."""
        for network in self.networks.values():
            network.to(self.fabric.device).to(memory_format=torch.channels_last)  # a quarter faster on a CPU
        saved = self._load_state()
        names = [name for name in self.method.stages if name in self.plan.stages]
        for number in range(self.progress["stage"], len(names)):
            self._train_stage(number, names[number], saved)
            saved = None
            self.progress |= {"stage": number + 1, "step": 0, "best": float("inf")}
            self._load_networks(self.out / f"best-{names[number]}.pt")
            self._save_state({})

    def _train_stage(self, number: int, name: str, saved: dict[str, Any] | None) -> None:
        stage = self.plan.stages[name]
        optimisers = self._optimisers(name)
        for key, state in (saved or {}).get("optimisers", {}).items():
            optimisers[key].load_state_dict(state)
        started = last_save = time.monotonic()
        before = self.progress["seconds"]
        window: list[dict[str, float]] = []
        bar = tqdm(total=stage.steps, initial=self.progress["step"], desc=f"stage {name}", unit="step", mininterval=1)
        for step in range(self.progress["step"], stage.steps):
            window.append(self._step(name, stage, number, step, optimisers))
            self.progress |= {"step": step + 1, "seconds": before + time.monotonic() - started}
            bar.update()
            due = (step + 1) % self.plan.validate_every == 0 or step + 1 == stage.steps
            if (step + 1) % self.plan.log_every == 0 or due:
                bar.set_postfix(self._log(name, step + 1, "train", window))
                window = []
            if due:
                self._validate(name, number, step + 1)
            if due or time.monotonic() - last_save > self.plan.save_seconds:
                self._save_state({key: optimiser.state_dict() for key, optimiser in optimisers.items()})
                last_save = time.monotonic()
        bar.close()

    def _optimisers(self, stage: str) -> dict[str, torch.optim.Optimizer]:
        made: dict[str, torch.optim.Optimizer] = {}
        for name, spec in self.method.optimisers(stage).items():
            parameters = [
                parameter
                for network in spec.networks
                for parameter in self.networks[network].parameters()
                if parameter.requires_grad
            ]
            made[name] = torch.optim.Adam(parameters, spec.lr, spec.betas, weight_decay=spec.weight_decay)
        return made

    def _step(
        self, name: str, stage: StagePlan, number: int, step: int, optimisers: Mapping[str, torch.optim.Optimizer]
    ) -> dict[str, float]:
        """One training step: every phase of the method in turn. Returns the losses."""
        specs = self.method.optimisers(name)
        for network in self.networks.values():
            network.train()
        if stage.freeze_batch_norm_at is not None and step >= stage.freeze_batch_norm_at:
            if step == stage.freeze_batch_norm_at:
                self._settle_batch_norm(name, stage, number)
            for norm in self._batch_norms():
                norm.eval()
        rng = np.random.default_rng((self.plan.seed, number, step))
        batch = self._to_device(self.batches.batch("train", stage.batch_size, rng))
        losses: dict[str, float] = {}
        for phase in self.method.step(name, batch, step // stage.steps_per_epoch, step, rng):
            total = torch.stack([loss.float() for loss in phase.losses.values()]).sum()
            losses |= {key: float(loss.detach()) for key, loss in phase.losses.items()}
            if not torch.isfinite(total):
                shown = ", ".join(f"{key} {value:.3g}" for key, value in losses.items())
                raise BenchError(
                    f"Training diverged at step {step} of stage {name} ({shown}). Start again in another --out with a"
                    f" lower learning rate: --set plan.stages.{name}.lr_scale=0.3"
                )
            for key in phase.optimisers:
                optimisers[key].zero_grad(set_to_none=True)
            self.fabric.backward(total)
            for key in phase.optimisers:
                optimiser, spec = optimisers[key], specs[key]
                for group in optimiser.param_groups:
                    group["lr"] = learning_rate(spec, stage, step)
                    if spec.clip_norm is not None:
                        torch.nn.utils.clip_grad_norm_(group["params"], spec.clip_norm, spec.clip_order)
                optimiser.step()
        return losses

    def _settle_batch_norm(self, name: str, stage: StagePlan, number: int) -> None:
        """Replace the running statistics, which lag behind the weights, by the mean over some batches."""
        norms = self._batch_norms()
        before = [(norm.momentum, {key: value.clone() for key, value in norm.state_dict().items()}) for norm in norms]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # a plain mean over what follows
        with torch.no_grad():
            for index in range(SETTLING_BATCHES):
                rng = np.random.default_rng((self.plan.seed, number, index, 2))
                batch = self._to_device(self.batches.batch("train", stage.batch_size, rng))
                next(self.method.step(name, batch, 0, index, rng))
        for norm, (momentum, state) in zip(norms, before, strict=True):
            norm.momentum = momentum
            if not norm.num_batches_tracked:  # not part of this stage
                norm.load_state_dict(state)

    def _batch_norms(self) -> list[_BatchNorm]:
        modules = (module for network in self.networks.values() for module in network.modules())
        return [module for module in modules if isinstance(module, _BatchNorm)]

    def _validate(self, name: str, number: int, step: int) -> None:
        """Losses of the first phase on identities never trained on; the lowest sum is the best checkpoint."""
        for network in self.networks.values():
            network.eval()
        found = []
        with torch.no_grad():
            for index in range(self.plan.validation_batches):
                # The same pairs at every look, so that looks can be compared.
                rng = np.random.default_rng((self.plan.seed, number, index, 1))
                batch = self._to_device(self.batches.batch("validation", self.plan.stages[name].batch_size, rng))
                phase = next(self.method.step(name, batch, 0, index, rng))
                found.append({key: float(loss) for key, loss in phase.losses.items()})
        mean = self._log(name, step, "validation", found)
        total = sum(mean.values())
        if total < self.progress["best"]:
            self.progress["best"] = total
            self.progress["kept"][name] = step
            self._write(f"best-{name}.pt", {"networks": self._network_states(), "step": step, "validation": mean})

    def _log(self, stage: str, step: int, split: str, window: list[dict[str, float]]) -> dict[str, float]:
        mean = {key: float(np.mean([losses[key] for losses in window if key in losses])) for key in window[0]}
        path = self.out / LOG
        fresh = not path.exists()
        with path.open("a", newline="") as file:
            writer = csv.writer(file)
            if fresh:
                writer.writerow(("seconds", "stage", "step", "split", "loss", "value"))
            for key, value in mean.items():
                writer.writerow((round(self.progress["seconds"], 1), stage, step, split, key, f"{value:.6g}"))
        return mean

    def _to_device(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        return {key: value.to(self.fabric.device, non_blocking=True) for key, value in batch.items()}

    def _network_states(self) -> dict[str, dict[str, Tensor]]:
        return {name: network.state_dict() for name, network in self.networks.items()}

    def _save_state(self, optimisers: dict[str, Any]) -> None:
        self.progress["log_bytes"] = (self.out / LOG).stat().st_size if (self.out / LOG).exists() else 0
        state = {"progress": self.progress, "networks": self._network_states(), "optimisers": optimisers}
        self._write(STATE, state)

    def _write(self, name: str, content: dict[str, Any]) -> None:
        temporary = self.out / f".{name}.{os.getpid()}.tmp"
        torch.save(content, temporary)
        os.replace(temporary, self.out / name)

    def _load_state(self) -> dict[str, Any] | None:
        path = self.out / STATE
        if not path.exists():
            return None
        state: dict[str, Any] = torch.load(path, weights_only=True, map_location=self.fabric.device)
        self.progress = state["progress"]
        # What was logged after this state was saved will be logged again.
        if (self.out / LOG).exists():
            os.truncate(self.out / LOG, self.progress["log_bytes"])
        self._set_networks(state["networks"])
        return state

    def _load_networks(self, path: Path) -> None:
        if path.exists():
            self._set_networks(torch.load(path, weights_only=True, map_location=self.fabric.device)["networks"])

    def _set_networks(self, states: Mapping[str, Mapping[str, Tensor]]) -> None:
        for name, network in self.networks.items():
            network.load_state_dict(states[name])
