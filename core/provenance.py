"""Where results come from: the code, the packages, the machine."""

from __future__ import annotations

import ast
import functools
import hashlib
import platform
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
# Packages whose version may change a number.
PACKAGES = ("torch", "torchvision", "numpy", "scipy", "opencv-python-headless", "dlib-bin", "av", "pillow", "pandas")


def provenance(device: str) -> dict[str, Any]:
    """Code version, packages, machine, precision and date, as JSON values."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "argv": sys.argv,
        "code": _git_state(),
        "python": platform.python_version(),
        "packages": {name: installed for name in PACKAGES if (installed := version_of(name))},
        "machine": {"system": platform.platform(), "processor": _processor(), "device": _device_name(device)},
        "precision": {"dtype": "float32", "threads_per_worker": 1, **_torch_precision(device)},
    }


def version_of(package: str) -> str | None:
    """The installed version of a package, None where it is missing."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _git_state() -> dict[str, Any]:
    """Commit and whether tracked files differ from it; without git, a hash of all sources."""
    try:
        commit = _git("rev-parse", "HEAD")
        return {"commit": commit, "modified": bool(_git("status", "--porcelain", "--untracked-files=no"))}
    except (OSError, subprocess.SubprocessError):
        sources = sorted(path for path in ROOT.glob("*/**/*.py") if not path.relative_to(ROOT).parts[0].startswith("."))
        return {"sources": _hash_files(sources)}


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(ROOT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout.strip()


def _processor() -> str:
    """The processor's name as Linux gives it, else what Python knows."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def lacks_bfloat16() -> bool:
    """Whether this machine's processor is known to have no bfloat16 instructions, without which bf16 is slower."""
    try:
        return not re.search(r"\b(avx512_bf16|amx_bf16|bf16)\b", Path("/proc/cpuinfo").read_text())
    except OSError:
        return False


def _device_name(device: str) -> str:
    if device == "cpu":
        return device
    import torch

    return str(torch.cuda.get_device_name())


def _torch_precision(device: str) -> dict[str, Any]:
    if device == "cpu":
        return {}
    import torch

    return {"tf32_matmul": torch.backends.cuda.matmul.allow_tf32, "tf32_cudnn": torch.backends.cudnn.allow_tf32}


@functools.cache
def code_version(module: str) -> str:
    """Hash of a module's source and of every module of the same tree that it imports, directly or not.

    Comments and layout do not count. The tree is the checkout for our modules, the folder of the module for others.
    """
    file = sys.modules[module].__file__ or ""
    root = ROOT if Path(file).resolve().is_relative_to(ROOT) else Path(file).resolve().parent
    found: dict[str, str] = {}
    waiting = [Path(file).resolve()]
    while waiting:
        path = waiting.pop()
        if str(path) in found:
            continue
        tree = ast.parse(path.read_bytes())
        found[str(path)] = ast.dump(tree)
        waiting += [source for name in imported_modules(tree) if (source := _source(root, name))]
    text = "\0".join(found[path] for path in sorted(found))
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def imported_modules(tree: ast.AST) -> Iterator[str]:
    """Absolute names of the modules that a source imports anywhere; `from a import b` gives a and a.b."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _source(root: Path, module: str) -> Path | None:
    """The file of a module under `root`, None for modules from elsewhere."""
    base = root.joinpath(*module.split("."))
    return next((path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()), None)


def _hash_files(paths: list[Path]) -> str:
    state = hashlib.blake2b(digest_size=8)
    for path in paths:
        state.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return state.hexdigest()
