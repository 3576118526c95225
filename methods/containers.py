"""Run an untrusted program in a container, without network access and with one writable folder."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

# The number of seconds allowed for removing a container.
REMOVAL_S = 60


def started(
    image: str, work: Path, read: Sequence[str], variables: Mapping[str, str], inside: str, gpu: bool
) -> list[str]:
    """Return the words of the command line that precede the program to be run in the image.

    work: the folder of this run, after which the container is named. It is writable and is the program's home, because
    the user does not exist in the image. read: the read-only folders. inside: the folder in which the program starts.
    All folders have the same paths inside and outside the container.
    """
    mounts = [f"{work}:{work}", *(f"{folder}:{folder}:ro" for folder in read)]
    given = {"HOME": str(work), "TMPDIR": str(work), **variables}
    return [
        *("docker", "run", "--rm", "--init", "--name", work.name, "--network", "none"),
        *(["--user", f"{os.getuid()}:{os.getgid()}"] if hasattr(os, "getuid") else []),
        *(["--gpus", "all"] if gpu else []),
        *(word for mount in mounts for word in ("-v", mount)),
        *(word for name, value in given.items() for word in ("-e", f"{name}={value}")),
        *("-w", inside, image),
    ]


def remove(work: Path) -> None:
    """Stop and remove the container started for `work`, which would outlive its client if the client were killed."""
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        subprocess.run(["docker", "rm", "--force", work.name], capture_output=True, timeout=REMOVAL_S, check=False)
