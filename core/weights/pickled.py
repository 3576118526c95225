"""Read published checkpoints: pickled state dicts in their usual wrappers, without running code from the file.

DataParallel prepends `module.` to every entry, some trainers put everything under "state_dict", other scripts save one
flat dict, and training loops leave NumPy scalars beside the networks. All of these forms can be read. Complete pickled
modules are refused, since reading them can run code from the file.
"""

from __future__ import annotations

import contextlib
import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from megbench.core.errors import BenchError, clause, few
from megbench.core.files.wrong_file import AGAIN, check_weights
from megbench.core.progress import note

if TYPE_CHECKING:
    from torch import Tensor

# For comparison, the largest published checkpoint of these generators (with optimiser states) has about 0.75 GB.
LARGEST_WEIGHTS_BYTES = 2_000_000_000
CHUNK_BYTES = 1 << 20
# Keys under which training scripts put all networks, or one network's entries.
WRAPPERS = ("state_dict", "model_state_dict", "model", "net", "params", "ema", "model_ema", "params_ema")
MOST_WRAPPERS = 3
# Prefixes that DataParallel and torch.compile add to every entry.
PREFIX = re.compile(r"(?:module\.|_orig_mod\.)+")
# Every published checkpoint of these generators has one of these networks; their names reveal a flat dict of networks.
MAIN_NETWORKS = ("generator", "kp_detector", "region_predictor", "inpainting_network", "gen")

State = dict[str, "Tensor"]
Value = TypeVar("Value")


def check_size(path: Path) -> None:
    """Raise BenchError if a file is larger than any real weights, on disk or unpacked (a zip bomb).

    torch.save stores entries uncompressed, but the reader also unpacks compressed ones.
    """
    if path.stat().st_size > LARGEST_WEIGHTS_BYTES:
        raise BenchError(f"Weights {path} are larger than {LARGEST_WEIGHTS_BYTES} bytes. Pass a checkpoint.")
    if zipfile.is_zipfile(path):
        with contextlib.suppress(zipfile.BadZipFile, ValueError), zipfile.ZipFile(path) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > LARGEST_WEIGHTS_BYTES:
                raise BenchError(
                    f"Weights {path} unpack to more than {LARGEST_WEIGHTS_BYTES} bytes. Pass a checkpoint."
                )


def damaged_part(path: Path) -> str:
    """Return the first entry of a zip file that does not have the CRC-32 stored with it, which torch never compares.

    Return "" if there is none, and for files in torch's older format, which has no checksums. An entry whose checksum
    is 0 was saved without one (torch.serialization.set_crc32_options).
    """
    if not zipfile.is_zipfile(path):
        return ""
    part = "its index"
    try:
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist():
                part = f"its entry {entry.filename}"
                if entry.CRC:
                    with archive.open(entry) as opened:
                        while opened.read(CHUNK_BYTES):
                            pass
    except Exception as error:  # whatever zip files raise on damaged data
        return f"{part} ({clause(error)})"
    return ""


def read_published(path: Path) -> dict[str, State]:
    """Return the state dicts of a pickled checkpoint by network name, with dtypes unchanged.

    A single state dict (torchvision's) becomes the network "". Anything without entries (optimisers, epochs) is left
    out. Raise BenchError if the file is too large, damaged, not a checkpoint, or would run code.
    """
    import torch

    check_size(path)
    check_weights(path)
    if part := damaged_part(path):
        raise BenchError(f"{path} cannot be read safely as weights: it is damaged in {part}. {AGAIN}.")
    try:
        # Pass an open file, since torch chooses another reader for some file names.
        with path.open("rb") as file, torch.serialization.safe_globals(_numpy_scalars()), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's remarks on pickles written by other programs
            content = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # torch's reader may raise anything on a damaged pickle
        raise BenchError(f"{path} cannot be read safely as weights: {_refusal(error)}.") from None
    if not isinstance(content, dict):
        raise BenchError(f"{path} must contain a dict of state dicts, got {type(content).__name__}. Pass a checkpoint.")
    networks = networks_in(content)
    if not networks:
        entries = few(list(map(str, content))) or "none"
        raise BenchError(f"{path} contains no networks. Its entries are: {entries}. Pass a checkpoint.")
    if len(copies := _copies(content)) > 1:
        note(f"{path} contains several copies of networks: using {copies[0]!r} and ignoring {', '.join(copies[1:])}.")
    return {name: _dense(path, state) for name, state in networks.items()}


def networks_in(content: Mapping[Any, Any]) -> dict[str, State]:
    """Return the state dicts in a checkpoint's content by network name, without prefixes and wrappers."""
    inner = _unwrapped(content)
    networks = {name: state for name, value in inner.items() if isinstance(name, str) and (state := _state(value))}
    if networks:
        return {PREFIX.sub("", name, count=1).removesuffix("_state_dict"): state for name, state in networks.items()}
    flat = _bare(_state(inner))
    parts = by_network(flat)
    if not set(parts).intersection(MAIN_NETWORKS):
        return {"": flat} if flat else {}
    return parts


def by_network(flat: Mapping[str, Value]) -> dict[str, dict[str, Value]]:
    """Return the entries of a flat dict grouped by network: the first part of a name, once prefixes are removed."""
    parts: dict[str, dict[str, Value]] = {}
    for entry, value in _bare(flat).items():
        head, _, rest = entry.partition(".")
        parts.setdefault(head, {})[rest] = value
    return {head: _without_prefix(part) for head, part in parts.items()}


def _bare(flat: Mapping[str, Value]) -> dict[str, Value]:
    """Return the entries without the prefixes `module.` and `model.` (from Lightning), if all entries have them.

    If other entries are beside the networks in a wrapper, as a Lightning module's losses are, only the wrapper counts.
    """
    flat = _without_prefix(flat)
    for wrapper in WRAPPERS:
        start = f"{wrapper}."
        inside = {entry.removeprefix(start): value for entry, value in flat.items() if entry.startswith(start)}
        inside = _without_prefix(inside)
        names = {entry.partition(".")[0] for entry in inside}
        if inside and (len(inside) == len(flat) or names.intersection(MAIN_NETWORKS)):
            return inside
    return flat


def _copies(content: Mapping[Any, Any]) -> list[str]:
    """Return the wrappers that contain tensors, such as those of a model and of its average. Only the first is read."""
    if any(name in content for name in MAIN_NETWORKS):
        return []
    return [key for key in WRAPPERS if isinstance(content.get(key), dict) and _has_tensors(content[key])]


def _has_tensors(value: Any, depth: int = MOST_WRAPPERS + 1) -> bool:
    """Return whether a value is a tensor or contains one, at most `depth` mappings deep."""
    import torch

    if isinstance(value, dict):
        return depth > 0 and any(_has_tensors(entry, depth - 1) for entry in value.values())
    return isinstance(value, torch.Tensor)


def _unwrapped(content: Mapping[Any, Any]) -> Mapping[Any, Any]:
    """Return the content without any wrappers around it."""
    for _ in range(MOST_WRAPPERS):
        copies = _copies(content)
        if not copies:
            break
        content = content[copies[0]]
    return content


def _state(value: Any) -> State:
    """Return the tensors of a state dict by entry, without prefixes; {} if it has none."""
    import torch

    inner = _unwrapped(value) if isinstance(value, dict) else {}
    tensors = {key: entry for key, entry in inner.items() if isinstance(key, str) and isinstance(entry, torch.Tensor)}
    return _without_prefix(tensors)


def _without_prefix(state: Mapping[str, Value]) -> dict[str, Value]:
    if state and all(PREFIX.match(entry) for entry in state):
        return {PREFIX.sub("", entry, count=1): value for entry, value in state.items()}
    return dict(state)


def _numpy_scalars() -> list[Any]:
    """Return the types besides tensors that the reader may build: NumPy scalars, under their names in NumPy 1 and 2."""
    codes = np.typecodes["AllInteger"] + np.typecodes["Float"] + "?"
    scalar = np.float64(0).__reduce__()[0]
    names = ("numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar")
    return [np.dtype, *{type(np.dtype(code)) for code in codes}, *((scalar, name) for name in names)]


def _refusal(error: Exception) -> str:
    """Return why torch cannot read a file, without torch's advice on how to read it unsafely."""
    found = re.search(r"(?:GLOBAL|class|type) ([\w.]+\.[\w.]+)", str(error))
    if isinstance(error, pickle.UnpicklingError) and "Unsupported" in str(error) and found:
        return (
            f"besides tensors, it contains Python objects ({found[1]}), and reading them can run code from the file."
            " Save only state dicts: torch.save({'generator': generator.state_dict(), ...}, FILE)"
        )
    if isinstance(error, pickle.UnpicklingError):
        return f"it is damaged or was not written by torch.save. {AGAIN}"
    said = clause(error)
    return f"it is truncated or damaged{'' if 'weights_only' in said else f' ({said})'}. {AGAIN}"


def _dense(path: Path, state: State) -> State:
    """Return `state` if all tensors are dense. Raise BenchError for other tensors and views larger than their data."""
    import torch

    for entry, value in state.items():
        if value.layout != torch.strided or value.device.type != "cpu" or value.is_quantized:
            raise BenchError(f"{path}: the entry {entry} is not a dense tensor. Pass a file of dense tensors.")
        # With a stride of 0, a tensor of any size takes no space in the file.
        if value.numel() * value.element_size() > value.untyped_storage().nbytes():
            raise BenchError(
                f"{path}: the entry {entry} {tuple(value.shape)} is larger than its data. Save the file again."
            )
    return state
