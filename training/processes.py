"""The processes of a training run, which find each other and exchange values. A single process exchanges nothing."""

from __future__ import annotations

import contextlib
import datetime
import os
import secrets
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from megbench.core.errors import BenchError, plural

PATIENCE = datetime.timedelta(minutes=30)  # the time to open a training set or to write a checkpoint
LAST_WORDS = 20  # the seconds that a process has to end on its own after another has ended
LOOK = 1  # seconds between two checks of the other processes

T = TypeVar("T")


@dataclass(frozen=True)
class Group:
    """The place of this process among the `size` processes of a training run, and the `device` on which it computes."""

    device: torch.device
    rank: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this is the process that prints, logs and writes for all processes."""
        return self.rank == 0

    def wait(self) -> None:
        """Wait until every process has reached this point."""
        if self.size > 1:
            dist.barrier()

    def of_first(self, value: T) -> T:
        """Return the first process's value, whatever the other processes passed. The value must be picklable."""
        if self.size == 1:
            return value
        values = [value]
        dist.broadcast_object_list(values, device=self.device)
        return values[0]

    def mean(self, value: Tensor) -> Tensor:
        """Replace a contiguous tensor by its mean over all processes; return it."""
        if self.size > 1:
            dist.all_reduce(value)
            value /= self.size
        return value

    def share_gradients(self, parameters: Sequence[Tensor]) -> None:
        """Replace every gradient by its mean over all processes, in one message."""
        if self.size == 1:
            return
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        message = self.mean(torch.cat([gradient.flatten() for gradient in gradients]))
        for gradient, part in zip(gradients, message.split([one.numel() for one in gradients]), strict=True):
            gradient.copy_(part.view_as(gradient))

    def check_shared(self, folder: Path) -> None:
        """Raise BenchError, in every process, unless all processes see the same folder.

        The other processes read from this folder what the first process has written.
        """
        mark = folder / f".{self.of_first(secrets.token_hex(8))}.tmp"
        if self.is_first:
            mark.touch()
        self.wait()
        seen = self.mean(torch.tensor(float(mark.exists()), device=self.device))
        if self.is_first:
            mark.unlink()
        if seen < 1:
            raise BenchError(
                f"{folder} is not the same folder on every machine. Pass a folder on a shared disk to --out."
            )


@dataclass(frozen=True)
class Machine:
    """Training hardware: `device` "cpu" or "cuda", `devices` on each machine, and `nodes`, the number of machines.

    Each device has a process.
    """

    device: str = "cpu"
    devices: int = 1
    nodes: int = 1

    @property
    def starts_first(self) -> bool:
        """Whether this process is the first of the training run, according to the environment."""
        machine = os.environ.get("NODE_RANK", "0") if self.nodes > 1 else "0"
        return os.environ.get("RANK", machine) == "0"

    @contextlib.contextmanager
    def processes(self) -> Iterator[Group]:
        """Make this process one of the group (NCCL on GPUs, gloo on CPUs), and start this machine's other processes.

        torchrun's variables state the place of each process; if torchrun has started this process, no others are
        started. Raise BenchError if the variables state another number of processes, or if it is unknown which of
        several machines this one is.
        """
        size = self.devices * self.nodes
        started = "RANK" in os.environ
        if started:
            _check_torchrun(os.environ)
        if started and (told := os.environ.get("WORLD_SIZE")) != str(size):
            raise BenchError(
                f"torchrun's WORLD_SIZE is {told}, but --devices {self.devices} --nodes {self.nodes} make {size}."
                " Make them equal."
            )
        gpu = self.device == "cuda"
        if gpu and self.devices > (found := torch.cuda.device_count()):
            raise BenchError(
                f"--devices {self.devices}: this machine has {plural(found, 'GPU')}. Use --devices {found}."
            )
        if size == 1:
            yield Group(torch.device("cuda", 0) if gpu else torch.device("cpu"))
            return
        places: Sequence[Mapping[str, str]] = [os.environ] if started else self._places()
        own = places[0]
        device = torch.device("cuda", int(own["LOCAL_RANK"])) if gpu else torch.device("cpu")
        if gpu:
            torch.cuda.set_device(device)
        if "OMP_NUM_THREADS" not in os.environ:  # the processes of a machine divide its cores
            torch.set_num_threads(max(1, torch.get_num_threads() // self.devices))
        others = [subprocess.Popen([sys.executable, *sys.orig_argv[1:]], env=os.environ | one) for one in places[1:]]
        with ending_together(others):
            dist.init_process_group(
                "nccl" if gpu else "gloo",
                init_method=f"tcp://{own['MASTER_ADDR']}:{own['MASTER_PORT']}",
                rank=int(own["RANK"]),
                world_size=size,
                timeout=PATIENCE,
                device_id=device if gpu else None,
            )
            try:
                group = Group(device, dist.get_rank(), size)
                yield group
                group.wait()  # the first to leave would close the connection
            finally:
                dist.destroy_process_group()

    def _places(self) -> list[dict[str, str]]:
        """Return torchrun's variables for each process of this machine."""
        if self.nodes == 1:
            shared = {"NODE_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
        else:
            names = ("NODE_RANK", "MASTER_ADDR", "MASTER_PORT")
            if missing := [name for name in names if name not in os.environ]:
                raise BenchError(
                    f"--nodes {self.nodes} needs {', '.join(missing)} in the environment of each machine: its number"
                    " (0, 1 ...), and the address and a free port of machine 0. Set them, or start with torchrun."
                )
            shared = {name: os.environ[name] for name in names}
        shared["WORLD_SIZE"] = str(self.devices * self.nodes)
        first = int(shared["NODE_RANK"]) * self.devices
        return [{**shared, "RANK": str(first + local), "LOCAL_RANK": str(local)} for local in range(self.devices)]


def free_port() -> int:
    """Return an unused port of this machine."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextlib.contextmanager
def ending_together(others: Sequence[subprocess.Popen[bytes]]) -> Iterator[None]:
    """End this process if another fails, because it would then wait in vain; end the others when this process ends."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(LOOK):
            failed = [other.returncode for other in others if other.poll()]
            if failed and not over.wait(LAST_WORDS):  # an error in every process ends this one anyway
                print(f"One of the training processes exited with status {failed[0]}.", file=sys.stderr, flush=True)
                for other in others:
                    other.kill()
                os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        over.set()
        for other in others:
            try:
                other.wait(LAST_WORDS)
            except subprocess.TimeoutExpired:
                other.kill()


def _check_torchrun(told: Mapping[str, str]) -> None:
    """Raise BenchError unless all of torchrun's variables are set and those that must be numbers are."""
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        value = told.get(name, "")
        if not value or not (name == "MASTER_ADDR" or value.isdecimal()):
            what = f"is {value!r}, which is not a number" if value else "is not set"
            raise BenchError(f"RANK is set, as by torchrun, but {name} {what}. Start with torchrun, or unset RANK.")
