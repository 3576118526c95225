"""Training in separate processes: one that is killed at any moment, and two that act as one."""

import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time

import pytest
import torch

from megbench.core.errors import BenchError
from megbench.training.log import read_log
from megbench.training.processes import Group, Machine, ending_together, free_port
from tests.small_training import train

STEPS = 10
ALONE = Group(torch.device("cpu"))


def start(target, *arguments):
    """Call a function in a new process, forked from one that has done nothing but the imports.

    Other tests may make autograd use threads in this process, and after that no fork of it could train.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.small_training"])
    process = context.Process(target=target, args=arguments)
    process.start()
    return process


def finish(processes):
    for process in processes:
        process.join(300)
    assert [process.exitcode for process in processes] == [0] * len(processes)


def start_two(target, *arguments):
    """Call a function in two processes, started as torchrun would start them. `target` also gets their group."""
    port = free_port()
    return [start(as_one_of_two, rank, port, target, *arguments) for rank in range(2)]


def as_one_of_two(rank, port, target, *arguments):
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2"}
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "OMP_NUM_THREADS": "1"}
    with Machine("cpu", 2).processes() as group:
        assert (group.rank, group.size) == (rank, 2)
        target(*arguments, group)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Train without interruption, and return the folder."""
    out = tmp_path_factory.mktemp("whole")
    train(out, STEPS, torch.float32, ALONE)
    return out


def last(out):
    return torch.load(out / "last.pt", weights_only=True)["networks"]


def losses(out, split):
    return [line["losses"] for line in read_log(out) if line["split"] == split]


def test_a_training_killed_at_a_random_step_ends_with_the_same_weights(whole, tmp_path):
    step = random.randrange(2, STEPS - 2)
    child = start(train, tmp_path, STEPS, torch.float32, ALONE)
    while sum(line["split"] == "train" for line in read_log(tmp_path)) < step:
        assert child.is_alive()
        time.sleep(0.005)
    child.kill()
    child.join()
    assert child.exitcode == -signal.SIGKILL
    train(tmp_path, STEPS, torch.float32, ALONE)
    one, other = last(whole), last(tmp_path)
    different = [f"{net}.{entry}" for net in one for entry in one[net] if not one[net][entry].equal(other[net][entry])]
    assert different == [], f"killed at step {step}"
    assert losses(whole, "train") == losses(tmp_path, "train")


def check_twice(one, other, group):
    group.check_shared(one)
    try:
        group.check_shared(one if group.is_first else other)
    except BenchError as error:
        (one / f"told{group.rank}").write_text(str(error))


def test_a_folder_that_is_not_shared_is_an_error_in_every_process(tmp_path):
    for folder in ("one", "other"):
        (tmp_path / folder).mkdir()
    finish(start_two(check_twice, tmp_path / "one", tmp_path / "other"))
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == ["told0", "told1"]
    assert "not the same folder on every machine" in (tmp_path / "one" / "told1").read_text()


def test_two_processes_are_one_with_the_whole_batch(tmp_path):
    """The test uses float64, because Adam's first steps are set by the signs of gradients, which float32 may flip."""
    children = start_two(train, tmp_path / "2", 6, torch.float64)
    train(tmp_path / "1", 6, torch.float64, ALONE)
    finish(children)
    for split, count in (("train", 6), ("validation", 2)):
        alone, together = losses(tmp_path / "1", split), losses(tmp_path / "2", split)
        assert len(alone) == len(together) == count
        for step, (one, other) in enumerate(zip(alone, together, strict=True)):
            assert one == pytest.approx(other, rel=1e-5), f"{split} {step}"


def exchange(out, group):
    """Write what this process receives from the other one."""
    gradients = [torch.zeros(3), torch.zeros(2, 2), torch.zeros(1)]
    for tensor in gradients[:2]:
        tensor.grad = torch.full_like(tensor, float(group.rank))
    group.share_gradients(gradients)
    told = [tensor.grad.unique().tolist() for tensor in gradients[:2]], gradients[2].grad
    (out / str(group.rank)).write_text(json.dumps([group.of_first({"rank": group.rank}), *told]))


def test_the_first_tells_its_value_and_gradients_become_their_mean(tmp_path):
    finish(start_two(exchange, tmp_path))
    assert [json.loads((tmp_path / rank).read_text()) for rank in "01"] == [[{"rank": 0}, [[0.5], [0.5]], None]] * 2


def test_the_processes_of_a_machine_get_torchruns_variables(monkeypatch):
    for machines, node, ranks in ((1, None, "012"), (2, "1", "345")):
        if node:
            for name, value in (("NODE_RANK", node), ("MASTER_ADDR", "machine0"), ("MASTER_PORT", "29500")):
                monkeypatch.setenv(name, value)
        places = Machine("cpu", 3, machines)._places()
        assert [(place["RANK"], place["LOCAL_RANK"]) for place in places] == list(zip(ranks, "012", strict=True))
        assert {place["WORLD_SIZE"] for place in places} == {str(3 * machines)}
        assert {place["MASTER_ADDR"] for place in places} == {"machine0" if node else "127.0.0.1"}


TORCHRUN = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "machine0", "MASTER_PORT": "29500"}


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"NODE_RANK": "0"}, "--nodes 2 needs MASTER_ADDR, MASTER_PORT in the environment"),
        ({**TORCHRUN, "WORLD_SIZE": "3"}, "WORLD_SIZE is 3, but --devices 1 --nodes 2 make 2"),
        ({"RANK": "0", "WORLD_SIZE": "2"}, "LOCAL_RANK is not set"),
        ({**TORCHRUN, "MASTER_ADDR": ""}, "MASTER_ADDR is not set"),
        ({**TORCHRUN, "RANK": "x"}, "RANK is 'x', which is not a number"),
    ],
)
def test_machines_that_cannot_find_each_other_are_an_error(environment, expected, monkeypatch):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(BenchError, match=expected), Machine("cpu", 1, 2).processes():
        pass


def test_more_devices_than_a_machine_has_are_an_error(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(BenchError, match="--devices 2: this machine has 1 GPU"), Machine("cuda", 2).processes():
        pass


def test_a_process_that_fails_ends_the_one_that_waits_for_it(tmp_path, monkeypatch):
    monkeypatch.setattr("megbench.training.processes.LAST_WORDS", 0.1)
    monkeypatch.setattr("megbench.training.processes.LOOK", 0.01)

    def wait_for_it():
        os.dup2(os.open(tmp_path / "told", os.O_WRONLY | os.O_CREAT), 2)
        sys.stderr = os.fdopen(2, "w")
        with ending_together([subprocess.Popen([sys.executable, "-S", "-c", "raise SystemExit(3)"])]):
            time.sleep(60)

    child = multiprocessing.get_context("fork").Process(target=wait_for_it)  # safe, as it trains nothing
    child.start()
    child.join(60)
    assert child.exitcode == 1
    assert "training processes exited with status 3" in (tmp_path / "told").read_text()
