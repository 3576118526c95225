"""One loop for every trainable method: stages, parts of batches, phases, logged losses, saved state.

A run can be killed at any moment, and the same command continues from the last saved state. All draws depend only on
the seed, the stage, the step and the sample, so a resumed run ends with the same result as an uninterrupted one.

The losses stay on the device and are read every `log_every` steps. In between, nothing waits for the device.
"""

from __future__ import annotations

import functools
import itertools
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from megbench.core.contracts import Phase, Trainable
from megbench.core.errors import BenchError, plural
from megbench.core.progress import progress
from megbench.nets.fast import speed_up
from megbench.training import resume
from megbench.training.average import Average, load, states
from megbench.training.batch_norm import batch_norms, settle, share
from megbench.training.loader import SETTLE, TRAIN, VALIDATE, Batches, Loader, Part
from megbench.training.log import Log, read_log
from megbench.training.plan import Limits, Plan, StagePlan, check_plan, learning_rate
from megbench.training.processes import Group
from megbench.training.strips import write_strip

SETTLING_BATCHES = 24

Losses = dict[str, Tensor]
Optimisers = dict[str, torch.optim.Optimizer]


def fastest_layout(device: torch.device) -> torch.memory_format:
    """Return the memory layout for training networks: channels last, except on processors without AVX-512 (planar).

    On those processors, oneDNN takes up to 5 times as long for weight gradients in channels last (docs/performance.md).
    """
    planar = device.type == "cpu" and torch.backends.cpu.get_cpu_capability() != "AVX512"
    return torch.contiguous_format if planar else torch.channels_last


class TrainingRun:
    """A training run in the folder `out` (for its files see training/resume.py, log.py and strips.py).

    If `group` has several processes, each of them trains on an equal share of every batch. Gradients are averaged and
    batch statistics are shared, so that together the processes are equivalent to one process with the full batch.
    """

    def __init__(
        self, method: Trainable, batches: Batches, plan: Plan, out: Path, group: Group, limits: Limits | None = None
    ) -> None:
        check_plan(plan, method.stages, group.size)
        self.method, self.batches, self.plan, self.out, self.group = method, batches, plan, out, group
        self.limits = limits or Limits()
        self.stages = [name for name in method.stages if name in plan.stages and plan.stages[name].steps]
        self.networks = method.networks()
        for network in self.networks.values():
            network.to(group.device).to(memory_format=fastest_layout(group.device))
            if group.device.type == "cpu":
                speed_up(network)
        self.progress: dict[str, Any] = {"stage": 0, "step": 0, "best": float("inf"), "seconds": 0.0, "kept": {}}
        out.mkdir(parents=True, exist_ok=True)
        self.log = Log(out, plan.tensorboard and group.is_first)

    def train(self) -> bool:
        """Run every stage of the plan to its end, from any saved state; return False if a limit stopped it.

        Afterwards, the networks hold the best checkpoint of the last stage that has one.
        """
        if self.group.size > 1:
            self.group.check_shared(self.out)
            share(self.networks)
        saved = self._resume()
        self._began, self._before = time.monotonic(), self.progress["seconds"]
        for number in range(self.progress["stage"], len(self.stages)):
            done = self._train_stage(number, saved)
            saved = None
            self._load_best(self.stages[number])
            if not done:
                return False
            self.progress |= {"stage": number + 1, "step": 0, "best": float("inf")}
            self._save({"networks": states(self.networks)})
        return True

    def repeated(self, name: str) -> Iterator[Losses]:
        """Repeat a stage's step on its first batch and yield each repetition's losses, for comparison and measurement.

        After each step, the parameters hold the gradients that it used. Nothing is validated, logged or saved.
        """
        stage, loader = self.plan.stages[name], self._loader(self.stages.index(name))
        parts, optimisers = loader.one(TRAIN, 0), self._optimisers(name)
        for step in itertools.count():
            self._set_modes(name, stage, step, loader)
            yield self._step(name, step, parts, optimisers)

    def _train_stage(self, number: int, saved: dict[str, Any] | None) -> bool:
        """Train one stage to its end; return False if a limit stopped it."""
        name = self.stages[number]
        stage = self.plan.stages[name]
        loader = self._loader(number)
        optimisers, average = self._optimisers(name), Average(self.networks, self.plan.ema)
        if saved and "optimisers" in saved:
            for key, optimiser in optimisers.items():
                optimiser.load_state_dict(saved["optimisers"][key])
            average.resume(saved["average"])
        everything = functools.partial(self._everything, optimisers, average)
        since: list[Losses] = []  # losses of the steps since they were last read
        last_save = time.monotonic()
        first, end = self.progress["step"], self._end(number)
        bar = progress(f"stage {name}", "step", stage.steps, first, silent=not self.group.is_first)
        for step, parts in loader.steps(range(first, end)):
            self._set_modes(name, stage, step, loader)
            since.append(self._step(name, step, parts, optimisers))
            average.update()
            self.progress["step"] = step + 1
            bar.update()
            due = (step + 1) % self.plan.validate_every == 0 or step + 1 == stage.steps
            kept = self.plan.keep_every > 0 and (step + 1) % self.plan.keep_every == 0
            if not due and not kept and step + 1 != end and (step + 1) % self.plan.log_every:
                continue
            # Reading the losses is the only point at which the loop waits for the device.
            self.progress["seconds"] = self._before + time.monotonic() - self._began
            bar.set_postfix(self._record(name, step, "train", since, loader))
            since = []
            if due:
                with average.shown():
                    self._validate(name, step, loader)
            if kept:
                self._write(resume.numbered(self.out, name, step + 1), {"networks": states(self.networks)})
            stop = step + 1 == end or self._out_of_time()
            if due or stop or time.monotonic() - last_save > self.plan.save_seconds:
                self._save(everything())
                last_save = time.monotonic()
            if stop:
                break
        bar.close()
        return bool(self.progress["step"] >= stage.steps)

    def _step(self, name: str, step: int, parts: Sequence[Part], optimisers: Optimisers) -> Losses:
        """Run one training step, every phase in turn over all parts of the batch, and return the mean losses."""
        stage, specs = self.plan.stages[name], self.method.optimisers(name)
        torch.manual_seed(self._seed(name, step))  # a network's own draws also depend on the step
        runs = [self.method.step(name, part.batch, step // stage.steps_per_epoch, step, part.rng) for part in parts]
        losses: Losses = {}
        while (phase := self._phase(runs[0])) is not None:
            stepped = {key: optimisers[key] for key in phase.optimisers}
            parameters = [value for one in stepped.values() for group in one.param_groups for value in group["params"]]
            for optimiser in stepped.values():
                optimiser.zero_grad(set_to_none=True)
            for index, run in enumerate(runs):
                if index:
                    phase = self._phase(run)
                    assert phase is not None, "every part of a batch has the same phases"
                total = torch.stack(list(phase.losses.values())).sum() / len(runs)
                # Parameters that no optimiser of this phase updates get no gradient, except those of a Conv3x3.
                total.backward(inputs=parameters)
                for key, loss in phase.losses.items():
                    part_loss = loss.detach() / len(runs)
                    losses[key] = losses[key] + part_loss if key in losses else part_loss
            self.group.share_gradients(parameters)
            for key, optimiser in stepped.items():
                for group in optimiser.param_groups:
                    group["lr"] = learning_rate(specs[key], stage, step)
                    if (norm := specs[key].clip_norm) is not None:
                        torch.nn.utils.clip_grad_norm_(group["params"], norm, specs[key].clip_order)
                optimiser.step()
        return losses

    def _phase(self, run: Iterator[Phase]) -> Phase | None:
        with torch.autocast(self.group.device.type, torch.bfloat16, enabled=self.plan.precision == "bf16"):
            return next(run, None)

    def _optimisers(self, stage: str) -> Optimisers:
        made: Optimisers = {}
        for name, spec in self.method.optimisers(stage).items():
            parameters = [
                parameter
                for network in spec.networks
                for parameter in self.networks[network].parameters()
                if parameter.requires_grad
            ]
            made[name] = torch.optim.Adam(parameters, spec.lr, spec.betas, weight_decay=spec.weight_decay, fused=True)
        return made

    def _set_modes(self, name: str, stage: StagePlan, step: int, loader: Loader) -> None:
        """Put all networks into training mode.

        From step `freeze_batch_norm_at` on, batch normalisation keeps settled statistics instead.
        """
        for network in self.networks.values():
            network.train()
        if stage.freeze_batch_norm_at is None or step < stage.freeze_batch_norm_at:
            return
        norms = batch_norms(self.networks)
        if step == stage.freeze_batch_norm_at:
            parts = (part for index in range(SETTLING_BATCHES) for part in loader.one(SETTLE, index))
            settle(norms, (functools.partial(self._look_at, name, part, step) for part in parts))
        for norm in norms:
            norm.eval()

    def _look_at(self, name: str, part: Part, step: int) -> Phase:
        """Run the first phase on a part of a batch and return it; only its losses or its batch statistics are used."""
        phase = self._phase(self.method.step(name, part.batch, 0, step, part.rng))
        assert phase is not None
        return phase

    def _validate(self, name: str, step: int, loader: Loader) -> None:
        """Log the losses of the first phase on held-out people; the lowest sum defines the best checkpoint.

        Every validation uses the same pairs, so that the results are comparable. A strip shows the first pairs.
        """
        for network in self.networks.values():
            network.eval()
        found = []
        with torch.no_grad():
            for index in range(self.plan.validation_batches):
                for part in loader.one(VALIDATE, index):
                    phase = self._look_at(name, part, index)
                    found.append({key: loss.detach() for key, loss in phase.losses.items()})
                    if len(found) == 1 and phase.pictures and self.group.is_first:
                        write_strip(self.out / "strips" / f"{name}-{step + 1:08d}.png", part.batch, phase.pictures)
        mean = self._record(name, step, "validation", found, loader)
        total = sum(mean.values())
        if total < self.progress["best"]:
            self.progress["best"] = total
            self.progress["kept"][name] = step + 1
            content = {"networks": states(self.networks), "step": step + 1, "validation": mean}
            self._write(resume.best(self.out, name), content)

    def _record(self, name: str, step: int, split: str, window: Sequence[Losses], loader: Loader) -> dict[str, float]:
        """Log the mean losses of several steps; return them in every process. Raise BenchError if one is not finite."""
        keys = list(dict.fromkeys(key for losses in window for key in losses))
        missing = torch.zeros((), device=self.group.device)
        table = [torch.stack([losses.get(key, missing).float() for key in keys]) for losses in window]
        rows = torch.stack(table)  # steps, keys
        rows = self.group.mean(rows).cpu()
        if not bool(rows.isfinite().all()):
            self._diverged(name, step, keys, rows, split, loader)
        counts = [sum(key in losses for losses in window) for key in keys]
        mean = {key: float(rows[:, index].sum()) / counts[index] for index, key in enumerate(keys)}
        if self.group.is_first:
            self.log.write(name, step + 1, split, mean, self.progress["seconds"])
        return mean

    def _diverged(self, name: str, step: int, keys: list[str], rows: Tensor, split: str, loader: Loader) -> None:
        """Redraw and save the first batch whose losses are not finite, and raise BenchError with the remedy."""
        row = int((~rows.isfinite()).any(1).nonzero()[0, 0])
        purpose, first = (TRAIN, step + 1 - len(rows)) if split == "train" else (VALIDATE, 0)
        at = first + row if split == "train" else row // loader.parts
        shown = {key: float(value) for key, value in zip(keys, rows[row], strict=True)}
        path = self.out / "diverged.pt"
        self._write(path, {"stage": name, "step": at, "losses": shown, "batch": loader.whole(purpose, at)})
        raise BenchError(
            f"Training diverged at step {at if split == 'train' else step} of stage {name}"
            f" ({', '.join(f'{key} {value:.3g}' for key, value in shown.items())}). The batch is in {path}. Start again"
            f" in another --out with a lower learning rate: --set plan.stages.{name}.lr_scale=0.3"
        )

    def _resume(self) -> dict[str, Any] | None:
        saved = resume.read(self.out / resume.LAST, self.group.device)
        if saved is not None:
            self.progress = saved["progress"]
            load(self.networks, saved["networks"])
        if self.group.is_first:
            if told := self._resumed():
                print(told)
            self.log.cut(self.progress.get("log_bytes", 0))
        return saved

    def _resumed(self) -> str:
        """Return a note on the step from which the run resumes and on lost logged steps, or "" for a new run."""
        lines = [line for line in read_log(self.out) if line["split"] == "train"]
        if not lines or self.progress["stage"] == len(self.stages):
            return ""
        stage, step = self.stages[self.progress["stage"]], self.progress["step"]
        logged = sum({line["stage"]: int(line["step"]) for line in lines}.values())
        again = f"; {plural(logged - self.done, 'later logged step')} will be computed again" * (logged > self.done)
        return f"Resuming at step {step} of {self.plan.stages[stage].steps} of stage {stage}{again}."

    @property
    def kept_steps(self) -> dict[str, int]:
        """The step of each stage whose networks are kept: the best validated step, or the last if there was none."""
        kept: dict[str, int] = dict(self.progress["kept"])
        if step := self.progress["step"]:  # a limit stopped this stage, perhaps before it was validated
            kept.setdefault(self.stages[self.progress["stage"]], step)
        return kept

    @property
    def done(self) -> int:
        """The number of steps done in all stages together."""
        before = self.stages[: self.progress["stage"]]
        return sum(self.plan.stages[name].steps for name in before) + int(self.progress["step"])

    def _everything(self, optimisers: Optimisers, average: Average) -> dict[str, Any]:
        return {
            "networks": states(self.networks),
            "optimisers": {key: optimiser.state_dict() for key, optimiser in optimisers.items()},
            "average": average.state(),
        }

    def _save(self, content: Mapping[str, Any]) -> None:
        self.progress["log_bytes"] = self.log.size
        self._write(self.out / resume.LAST, {**content, "progress": self.progress})

    def _write(self, path: Path, content: dict[str, Any]) -> None:
        if self.group.is_first:
            resume.write(path, content)

    def _load_best(self, stage: str) -> None:
        self.group.wait()  # the first process writes the file
        if (best := resume.read(resume.best(self.out, stage), self.group.device)) is not None:
            load(self.networks, best["networks"])

    def _loader(self, number: int) -> Loader:
        stage = self.plan.stages[self.stages[number]]
        group, key = self.group, (self.plan.seed, number)
        return Loader(self.batches, stage.batch_size, stage.accumulate, key, group.device, group.rank, group.size)

    def _end(self, number: int) -> int:
        """Return the step at which the stage ends, or an earlier step at which the run reaches its limit."""
        stage = self.plan.stages[self.stages[number]]
        if self.limits.steps is None:
            return stage.steps
        before = sum(self.plan.stages[name].steps for name in self.stages[:number])
        return max(0, min(stage.steps, self.limits.steps - before))

    def _out_of_time(self) -> bool:
        """Return whether the time limit has been exceeded, by the first process's clock."""
        if self.limits.minutes is None:
            return False
        late = time.monotonic() - self._began > 60 * self.limits.minutes
        return bool(self.group.of_first(late))

    def _seed(self, name: str, step: int) -> int:
        return hash((self.plan.seed, self.stages.index(name), step, self.group.rank)) % 2**63
