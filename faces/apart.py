"""Third-party libraries in separate processes, which receive arrays and return arrays.

Importing such a library takes seconds and much memory, and the library may change the environment or crash the process.
None of this may happen in a process that scores. A message is a length followed by .npz data. A process that has ended
is restarted for the next request, so that a crash costs only one result.
"""

from __future__ import annotations

import atexit
import io
import os
import struct
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from megbench.core.errors import BenchError, clause
from megbench.core.installation import IMPORTED_FROM

Arrays = dict[str, npt.NDArray[Any]]

LENGTH = struct.Struct("<Q")


class Apart:
    """A process that runs `python -m MODULE ARGUMENTS`, which calls `serve`; it is started by the first request.

    title: the library's name in messages. environment: variables set for the process, in addition to those that limit
    it to a single thread.
    """

    def __init__(self, title: str, module: str, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
        self._title, self._module, self._arguments = title, module, arguments
        places = os.pathsep.join(filter(None, (str(IMPORTED_FROM), os.environ.get("PYTHONPATH"))))
        self._environment = {**os.environ, "OMP_NUM_THREADS": "1", **environment, "PYTHONPATH": places}
        self._process: subprocess.Popen[bytes] | None = None
        atexit.register(self.stop)

    def ask(self, arrays: Arrays) -> Arrays:
        """Send `arrays` and return the process's reply. Raise BenchError if the process ends or reports an error."""
        if self._process is None or self._process.poll() is not None:
            self._process = self._start()
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            raise BenchError(f"{self._title}'s process has no pipes.")
        try:
            send(stdin, arrays)
            answer = receive(stdout)
        except (OSError, EOFError):
            code = self._process.wait()
            why = f"To see why, run: python -m {self._module} {' '.join(self._arguments)}"
            raise BenchError(f"{self._title}'s process ended with exit code {code}. {why}") from None
        if "error" in answer:
            raise BenchError(f"{self._title}: {answer['error']}")
        return answer

    def stop(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", self._module, *self._arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=self._environment,
            cwd=IMPORTED_FROM,
        )


def serve(set_up: Callable[[], Callable[[Arrays], Arrays]]) -> None:
    """Run the child process: call `set_up`, then apply the function it returns to each message until stdin ends."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # so that the output of libraries is not mixed with the replies
    answer = set_up()
    while True:
        try:
            message = receive(sys.stdin.buffer)
        except EOFError:
            return
        try:
            send(answers, answer(message))
        except Exception as error:  # the other side must learn of any error
            send(answers, {"error": np.array(f"{type(error).__name__}: {clause(str(error))}")})


def send(stream: IO[bytes], arrays: Arrays) -> None:
    """Write one message."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    stream.write(LENGTH.pack(buffer.tell()) + buffer.getvalue())
    stream.flush()


def receive(stream: IO[bytes]) -> Arrays:
    """Read one message. Raise EOFError if the other side has ended."""
    head = stream.read(LENGTH.size)
    if len(head) < LENGTH.size:
        raise EOFError
    with np.load(io.BytesIO(stream.read(*LENGTH.unpack(head))), allow_pickle=False) as arrays:
        return dict(arrays)
