"""Reading and writing network weights: the only place that loads checkpoints.

Two forms. The suite's own: `NAME.safetensors` (float16 or float32, names "network.entry") with a `NAME.json` beside
it that holds the resolved config. The published: `.pth` or `.pth.tar`, a pickled dict of state dicts, read with
weights_only=True and never otherwise, since a pickle can run code.
"""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core import weight_files
from core.errors import BenchError
from core.sources import file_hash
from core.store import write_json

if TYPE_CHECKING:
    from torch import Tensor, nn

# The largest published checkpoint of the family (with optimiser states) is about 0.75 GB.
LARGEST_WEIGHTS_BYTES = 2_000_000_000
LARGEST_CARD_BYTES = 20_000_000
PUBLISHED = (".pth", ".tar", ".pt")
VGG19 = weight_files.DEFAULT_FOLDER / weight_files.FILES["vgg19"].file
# How many entries an error names before it says "and N more".
NAMED = 3

State = dict[str, "Tensor"]


def card_path(weights: Path) -> Path:
    """The JSON beside a weights file."""
    return weights.with_suffix(".json")


def save_weights(path: Path, networks: Mapping[str, nn.Module], card: Mapping[str, Any]) -> None:
    """Write networks as `path` (.safetensors), floating entries as float16, and `card` beside it.

    BenchError if an entry is not finite in float16.
    """
    states = {network: module.state_dict() for network, module in networks.items()}
    halved = {
        network: {entry: value.half() if value.is_floating_point() else value for entry, value in state.items()}
        for network, state in states.items()
    }
    save_states(path, halved, card)


def save_states(path: Path, states: Mapping[str, State], card: Mapping[str, Any]) -> dict[str, Any]:
    """Write state dicts as `path` (.safetensors), as they are, and `card` (JSON values) beside it.

    The card gets the file's sha256 and is returned; the weights are renamed last. BenchError if an entry is not finite.
    """
    import torch
    from safetensors.torch import save

    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {}
    for network, state in states.items():
        for entry, value in state.items():
            _check_finite(path, f"{network}.{entry}", value)
            tensors[f"{network}.{entry}"] = torch.clone(value.detach().cpu(), memory_format=torch.contiguous_format)
    data = save(tensors)
    whole = {**card, "sha256": hashlib.sha256(data).hexdigest()}
    write_json(card_path(path), whole)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
    return whole


def read_card(weights: Path) -> dict[str, Any]:
    """The JSON beside a weights file. BenchError if it is missing, too large or not a JSON object."""
    path = card_path(weights)
    try:
        if path.stat().st_size > LARGEST_CARD_BYTES:
            raise BenchError(f"{path} is larger than {LARGEST_CARD_BYTES} bytes; it is not a card of this suite.")
        card = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise BenchError(f"{path} must describe {weights.name}, but cannot be read ({_one_line(error)}).") from None
    if not isinstance(card, dict):
        raise BenchError(f"{path} must be a JSON object, got {type(card).__name__}.")
    return card


def clips_seen(weights: Path) -> dict[str, list[str]]:
    """Recordings ("clips") and people that weights were trained on or chosen by, as their card says.

    {} where nobody knows: published checkpoints have no card, and rendered clips are none of a database's.
    """
    if not card_path(weights).is_file():
        return {}
    data = read_card(weights).get("data")
    if not isinstance(data, dict) or "clips_seen" not in data:
        return {}
    seen = {kind: data.get(f"{kind}_seen") for kind in ("clips", "people")}
    for kind, names in seen.items():
        if not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
            raise BenchError(f"{card_path(weights)}: data.{kind}_seen must be a list of names.")
    return seen  # type: ignore[return-value]


def read_weights(path: Path) -> dict[str, State]:
    """State dicts by network name, on the CPU, floating entries as float32.

    A file with no networks in it (torchvision's VGG) comes back as the one network "". BenchError if the file is
    missing, too large, damaged, or not in one of the two forms; entries that are not state dicts are left out.
    """
    if not path.is_file():
        raise BenchError(f"Weights {path} do not exist.")
    if path.stat().st_size > LARGEST_WEIGHTS_BYTES:
        raise BenchError(f"Weights {path} are larger than {LARGEST_WEIGHTS_BYTES} bytes.")
    networks = dict(_read_safetensors(path)) if path.suffix == ".safetensors" else read_published(path)
    return {
        name: {entry: _checked(path, entry, value) for entry, value in state.items()}
        for name, state in networks.items()
    }


def load_networks(path: Path, networks: Mapping[str, nn.Module]) -> None:
    """Load a weights file into networks, strictly: every name and shape must fit.

    Networks in the file that nobody asks for are ignored, and a network without entries needs none. A file that is one
    bare state dict (ULME-GAN's) is that of the only network asked for. BenchError names the first entries that do not
    fit.
    """
    states = read_weights(path)
    if len(networks) == 1 and set(states) == {""}:
        states = dict.fromkeys(networks, states[""])
    networks = {name: network for name, network in networks.items() if network.state_dict()}
    missing = [name for name in networks if name not in states]
    if missing:
        found = ", ".join(sorted(states)) or "none"
        raise BenchError(f"{path} lacks the network {missing[0]!r}; it holds: {found}.")
    for name, network in networks.items():
        load_state(path, name, network, states[name])


def network_names(path: Path) -> set[str]:
    """Names of the networks in a weights file; only the header of a safetensors file is read for it."""
    if path.suffix != ".safetensors":
        return set(read_weights(path))
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            return {entry.partition(".")[0] for entry in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError) as error:
        raise BenchError(f"{path} is not a readable safetensors file ({_one_line(error)}).") from None


def load_state(path: Path, name: str, network: nn.Module, state: State) -> None:
    """Load one state dict strictly. BenchError with the first missing, unexpected and mismatched entries."""
    own = network.state_dict()
    wrong = {
        "missing": [entry for entry in own if entry not in state],
        "unexpected": sorted(entry for entry in state if entry not in own),
        "of another kind": [
            f"{entry} {_kind(state[entry])} instead of {_kind(own[entry])}"
            for entry in own
            if entry in state and state[entry].is_floating_point() != own[entry].is_floating_point()
        ],
        "of another shape": [
            f"{entry} {tuple(state[entry].shape)} instead of {tuple(own[entry].shape)}"
            for entry in own
            if entry in state and state[entry].shape != own[entry].shape
        ],
    }
    faults = [f"{kind}: {_first(entries)}" for kind, entries in wrong.items() if entries]
    if faults:
        raise BenchError(f"{path} does not fit the network {name!r} of this config ({'; '.join(faults)}).")
    network.load_state_dict(state)


def _kind(value: Tensor) -> str:
    return str(value.dtype).removeprefix("torch.")


def load_vgg19(path: Path, network: nn.Module) -> nn.Module:
    """Load torchvision's VGG-19 weights into a network that has some of its entries (`features.N.weight`).

    A file that is not at `path` is looked for as all external weights are. BenchError if it is nowhere, with the two
    ways out.
    """
    found = path if path.is_file() else weight_files.find("vgg19")
    if found is None:
        raise BenchError(
            f"The perceptual loss: {weight_files.absence('vgg19')}. Or choose --set loss.perceptual=pyramid,"
            " which needs no weights."
        )
    load_part(found, "vgg19", network)
    return network


def load_part(path: Path, name: str, network: nn.Module) -> None:
    """Load those entries of a file without networks in it that `network` has; BenchError where one is lacking."""
    own = network.state_dict()
    state = read_weights(path).get("", {})
    load_state(path, name, network, {entry: value for entry, value in state.items() if entry in own})


def weights_hash(path: Path) -> str:
    """blake2b of a weights file, 32 hexadecimal digits. BenchError if it cannot be read."""
    found = file_hash(path)
    if found is None:
        raise BenchError(f"Weights {path} cannot be read. Put the file there, readable for you.")
    return found


def _read_safetensors(path: Path) -> list[tuple[str, State]]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors = load_file(path, device="cpu")
    except (SafetensorError, OSError, ValueError) as error:
        raise BenchError(f"{path} is not a readable safetensors file ({_one_line(error)}).") from None
    networks: dict[str, State] = {}
    for key, value in tensors.items():
        name, _, entry = key.partition(".")
        networks.setdefault(name, {})[entry] = value
    return list(networks.items())


def read_published(path: Path) -> dict[str, State]:
    """State dicts of a pickled checkpoint by network name, entries as they are.

    BenchError if it is too large, damaged, would run code, or holds no dict; entries that are no state dicts are left
    out.
    """
    import torch

    if path.stat().st_size > LARGEST_WEIGHTS_BYTES:
        raise BenchError(f"Weights {path} are larger than {LARGEST_WEIGHTS_BYTES} bytes.")
    if path.suffix not in PUBLISHED:
        raise BenchError(f"{path} is no published checkpoint: its name must end in {', '.join(PUBLISHED)}.")
    try:
        _check_archive(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except BenchError:
        raise
    except Exception as error:  # a damaged pickle makes torch's reader raise whatever it stumbles over
        raise BenchError(
            f"{path} cannot be read safely as weights ({_one_line(error)}). Give a file of tensors only."
        ) from None
    if not isinstance(content, dict):
        raise BenchError(f"{path} must hold a dict of state dicts, got {type(content).__name__}.")
    if _is_state(content):
        return {"": _dense(path, content)}
    return {name: _dense(path, state) for name, state in content.items() if isinstance(name, str) and _is_state(state)}


def _check_archive(path: Path) -> None:
    """BenchError for a zip bomb: torch stores entries as they are, but unpacks what others have packed."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > LARGEST_WEIGHTS_BYTES:
                raise BenchError(f"Weights {path} unpack to more than {LARGEST_WEIGHTS_BYTES} bytes.")


def _dense(path: Path, state: State) -> State:
    """`state`, if its tensors are plain numbers. BenchError for sparse ones and for views larger than their data."""
    import torch

    for entry, value in state.items():
        if value.layout != torch.strided or value.device.type != "cpu" or value.is_quantized:
            raise BenchError(f"{path}: the entry {entry} is no plain tensor. Give a file of dense tensors.")
        # A stride of 0 declares any size at no cost.
        if value.numel() * value.element_size() > value.untyped_storage().nbytes():
            raise BenchError(f"{path}: the entry {entry} {tuple(value.shape)} is larger than its data. Save it anew.")
    return state


def _is_state(value: Any) -> bool:
    import torch

    return (
        isinstance(value, dict)
        and bool(value)
        and all(isinstance(key, str) and isinstance(entry, torch.Tensor) for key, entry in value.items())
    )


def _checked(path: Path, entry: str, value: Tensor) -> Tensor:
    value = value.float() if value.is_floating_point() else value
    _check_finite(path, entry, value)
    return value


def _check_finite(path: Path, entry: str, value: Tensor) -> None:
    if value.is_floating_point() and not bool(value.isfinite().all()):
        raise BenchError(f"{path}: the entry {entry} holds NaN or infinite numbers; the weights are unusable.")


def _first(entries: list[str]) -> str:
    more = f" and {len(entries) - NAMED} more" if len(entries) > NAMED else ""
    return ", ".join(entries[:NAMED]) + more


def _one_line(error: BaseException) -> str:
    return " ".join((str(error) or type(error).__name__).split())[:200]
