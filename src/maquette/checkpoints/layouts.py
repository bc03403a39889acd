"""Foreign weight files as they were published -> named tensors.

In the flow: a folder of somebody else's release -> this module -> the ``load`` of a network. It
knows files and names, not networks: one safetensors file or shards with an index, any float type,
three naming schemes of DINOv2. Pickles are refused, because reading one can run any program;
``rescue_pickle`` turns one into safetensors while allowing nothing but tensors in it.
"""

from __future__ import annotations

import contextlib
import itertools
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from maquette.containers import MemoryBudget, read_json
from maquette.errors import CheckpointError, InputError, contained
from maquette.output import atomic_write
from maquette.types import JsonObject, StrPath

StateDict = dict[str, Tensor]
Shapes = dict[str, tuple[int, ...]]  # key, of ours or published -> shape

# how diffusers and transformers name the weights of a component
STEMS = ("diffusion_pytorch_model", "model", "pytorch_model")
VARIANTS = ("", ".fp16", ".bf16", ".fp32")
PICKLES = (".pt", ".pth", ".ckpt", ".bin", ".pkl")
SHOWN = 3  # names of files that one message lists
FETCH = "fetch the model again"


def read_config(path: StrPath) -> JsonObject:
    """Read the object of a JSON file; CheckpointError names the file and what is wrong."""
    try:
        found = read_json(Path(path), f"{FETCH} or pass its folder", MemoryBudget())
    except InputError as error:
        raise CheckpointError(str(error)) from error
    if not isinstance(found, dict):
        raise CheckpointError(
            f"{path} holds {type(found).__name__}, expected a JSON object; {FETCH}"
        )
    return found


def find_weights(folder: StrPath, stems: Sequence[str] = STEMS) -> tuple[Path, ...]:
    """Return the safetensors files of a component: one file, or the shards that an index lists.
    CheckpointError when there are none.
    """
    folder = Path(folder)
    for stem, variant in itertools.product(stems, VARIANTS):
        single = folder / f"{stem}{variant}.safetensors"
        index = folder / f"{stem}.safetensors.index{variant}.json"
        if single.is_file():
            return (single,)
        if index.is_file():
            return _shards(index)
    if not folder.is_dir():
        raise CheckpointError(f"no folder {folder}; {FETCH} or pass the folder that holds it")
    there = sorted(path.name for path in folder.iterdir())
    for name in there:
        if name.endswith(PICKLES):
            raise CheckpointError(pickle_reason(folder / name))
    wanted = " or ".join(f"{stem}.safetensors" for stem in stems)
    seen = ", ".join(there[:SHOWN]) or "nothing"
    raise CheckpointError(f"{folder} has no {wanted}, only {seen}; {FETCH}")


def _shards(index: Path) -> tuple[Path, ...]:
    """Return the files that an index names, in its order; a missing one is named."""
    listed = read_config(index).get("weight_map")
    if not isinstance(listed, dict) or not listed:
        raise CheckpointError(f"{index} lists no weights; {FETCH}")
    files = [index.parent / name for name in dict.fromkeys(listed.values())]
    absent = [file.name for file in files if not file.is_file()]
    if absent:
        share = f"{len(absent)} of {len(files)} shards"
        raise CheckpointError(f"{index.parent} lacks {share}, the first is {absent[0]}; {FETCH}")
    return tuple(files)


@contextlib.contextmanager
def opened(path: StrPath) -> Iterator[Any]:
    """A safetensors file (``safetensors.safe_open``). CheckpointError for a missing, truncated or
    foreign one.
    """
    refuse_foreign(path)
    with (
        contained(f"{path} is not a complete safetensors file", FETCH, CheckpointError),
        safe_open(path, framework="pt") as file,
    ):
        yield file


def read_tensors(*files: StrPath) -> StateDict:
    """All tensors of one or several safetensors files, on the CPU, mapped from the disk and read
    when touched.

    CheckpointError for a missing, truncated or foreign file, a pickle, and a name that two files
    share.
    """
    tensors: StateDict = {}
    for path in files:
        with opened(path) as file:
            for name in file.keys():  # noqa: SIM118 (not a dict)
                if name in tensors:
                    raise CheckpointError(
                        f"{path} repeats the tensor {name!r} of another shard; {FETCH}"
                    )
                tensors[name] = file.get_tensor(name)
    return tensors


def read_shapes(*files: StrPath) -> Shapes:
    """Shapes by name, from the headers alone: what a model can be checked against before its
    weights are read.
    """
    shapes: Shapes = {}
    for path in files:
        with opened(path) as file:
            for name in file.keys():  # noqa: SIM118
                shapes[name] = tuple(file.get_slice(name).get_shape())
    return shapes


def refuse_foreign(path: StrPath) -> None:
    """Raise CheckpointError, with the reason, for what is no safetensors file: a pickle, a Git LFS
    pointer, a web page, an empty file.
    """
    path = Path(path)
    remedy = "check the path or fetch the model"
    with (
        contained(f"cannot read the weights {path}", remedy, CheckpointError),
        open(path, "rb") as file,
    ):
        start = file.read(64)
    if start[8:9] == b"{":  # safetensors begin with 8 bytes, any bytes, that give a length
        return
    if start.startswith((b"PK", b"\x80")):
        raise CheckpointError(pickle_reason(path))
    if start.startswith(b"version https://git-lfs"):
        raise CheckpointError(
            f"{path} is a Git LFS pointer, not the weights themselves; run `git lfs pull` there "
            "or fetch the model"
        )
    if start.startswith(b"<"):
        raise CheckpointError(
            f"{path} is a web page, not weights; the download went to a login or error page, "
            f"{FETCH}"
        )
    if not start:
        raise CheckpointError(f"{path} is empty; {FETCH}")


def pickle_reason(path: Path) -> str:
    """Say why a pickle is not read, and the way out."""
    return (
        f"{path} is a pickle: reading one can run any program, so maquette does not; "
        f"`maquette models convert {path}` takes the tensors out and nothing else"
    )


def rescue_pickle(source: StrPath, target: StrPath) -> int:
    """Write the tensors of a pickled state dict as safetensors; returns how many. Nothing but
    tensors and plain containers is unpickled.

    A state dict may stand alone or below ``state_dict`` or ``model``. CheckpointError when there is
    more in it than that.
    """
    remedy = "check the path, or ask its maker for safetensors"
    with contained(f"{source} is damaged or holds more than tensors", remedy, CheckpointError):
        found = torch.load(source, map_location="cpu", weights_only=True)
    for key in ("state_dict", "model"):
        if isinstance(found, dict) and isinstance(found.get(key), dict):
            found = found[key]
    holds_tensors = isinstance(found, dict) and all(isinstance(v, Tensor) for v in found.values())
    if not holds_tensors or not found:
        raise CheckpointError(
            f"{source} holds {type(found).__name__}, expected a state dict of tensors; ask its "
            "maker for safetensors"
        )
    tensors = {str(name): tensor.detach().contiguous().clone() for name, tensor in found.items()}
    with atomic_write(target) as temporary:
        save_file(tensors, temporary)
    return len(tensors)


# DINOv2 has three naming schemes for the same numbers: the hub's (fused qkv), transformers 4.x and
# transformers 5.
_DINO_TOP = {
    "embeddings.cls_token": "cls_token",
    "embeddings.mask_token": "mask_token",
    "embeddings.register_tokens": "register_tokens",
    "embeddings.position_embeddings": "pos_embed",
    "embeddings.patch_embeddings.projection.weight": "patch_embed.proj.weight",
    "embeddings.patch_embeddings.projection.bias": "patch_embed.proj.bias",
    "layernorm.weight": "norm.weight",
    "layernorm.bias": "norm.bias",
}
_DINO_LAYER = re.compile(r"encoder\.layer\.(\d+)\.(.+)")
_DINO_INNER = {
    "attention.output.dense": "attn.proj",
    "attention.o_proj": "attn.proj",
    "layer_scale1.lambda1": "ls1.gamma",
    "layer_scale2.lambda1": "ls2.gamma",
}
_DINO_QKV = re.compile(
    r"attention\.(?:attention\.)?(query|key|value|q_proj|k_proj|v_proj)\.(weight|bias)"
)


def dinov2_hub_names(tensors: Mapping[str, Tensor]) -> StateDict:
    """DINOv2 tensors under the names of its hub release, whichever of the three schemes they come
    in; a foreign name passes unchanged.

    query, key and value are stacked to one qkv in this order. A common prefix such as ``dinov2.``
    or ``base_img_conditioner.`` falls.
    """
    tensors = _without_prefix(tensors)
    if "embeddings.cls_token" not in tensors:
        return dict(tensors)
    named: StateDict = {}
    fused: dict[str, StateDict] = defaultdict(dict)
    for name, tensor in tensors.items():
        layer = _DINO_LAYER.fullmatch(name)
        if layer is None:
            named[_DINO_TOP.get(name, name)] = tensor
            continue
        number, inner = layer.groups()
        part = _DINO_QKV.fullmatch(inner)
        if part:
            fused[f"blocks.{number}.attn.qkv.{part[2]}"][part[1][0]] = tensor
            continue
        for old, new in _DINO_INNER.items():
            inner = inner.replace(old, new)
        named[f"blocks.{number}.{inner}"] = tensor
    for name, parts in fused.items():
        if set(parts) != set("qkv"):
            raise CheckpointError(
                f"DINOv2 weights have only {sorted(parts)} of query, key and value for {name}; "
                f"{FETCH}"
            )
        named[name] = torch.cat([parts[letter] for letter in "qkv"])
    return named


def _without_prefix(tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    anchor = next((name for name in tensors if name.endswith("cls_token")), "")
    prefix = anchor.removesuffix("cls_token").removesuffix("embeddings.")
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
