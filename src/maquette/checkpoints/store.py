"""One file = one model: safetensors with the configuration, the history and the scores in the
header.

In the flow: training writes these files, the embedded weights are such files, generation reads
them. A model that is another one with changes (its submodule ``base``) is stored as the difference:
the tensors that are not the base's own, and the base's sha256.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import nn

from maquette.checkpoints.layouts import opened, read_tensors
from maquette.checkpoints.published.base import bounded, check_shapes, check_sizes, own_shapes
from maquette.errors import CheckpointError, contained
from maquette.models.coherent import Coherent, CoherentConfig
from maquette.models.generator import Generator, GeneratorConfig
from maquette.models.image_encoder import GeometryNet, GeometryNetConfig
from maquette.models.image_prior import ImagePrior
from maquette.models.multi_instance import MultiInstanceConfig, MultiInstanceGenerator
from maquette.models.part_shapes import PartShapes, PartShapesConfig
from maquette.models.scene_context_flow import SceneContextFlow, SceneContextFlowConfig
from maquette.models.segmenter import SegmenterConfig, SegmenterNet
from maquette.models.text_to_image import TextToImage, TextToImageConfig
from maquette.models.volume_vae import VolumeVAE, VolumeVAEConfig
from maquette.nn.layers import of_kind
from maquette.output import atomic_write, sha256_of
from maquette.types import JsonObject, StrPath

TRAIN_AGAIN = "fetch or train it again"

# The kind in a file's header -> how to build the model. A file of another kind is refused.
KINDS: dict[str, tuple[type[nn.Module], type]] = {
    "volume-vae": (VolumeVAE, VolumeVAEConfig),
    "image-encoder": (GeometryNet, GeometryNetConfig),
    "segmenter": (SegmenterNet, SegmenterConfig),
    "generator": (Generator, GeneratorConfig),
    "midi": (MultiInstanceGenerator, MultiInstanceConfig),
    "shapes": (PartShapes, PartShapesConfig),
    "coherent": (Coherent, CoherentConfig),
    "text-to-image": (TextToImage, TextToImageConfig),
    # fine-tuned from published weights
    "scene-context-flow": (SceneContextFlow, SceneContextFlowConfig),
}


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A loaded model and what its file says about it."""

    model: nn.Module | ImagePrior  # in eval mode, float32, on the CPU
    kind: str
    sha256: str  # of the file
    metadata: JsonObject = field(default_factory=dict)  # steps, data, compute, scores, ...


def _decode(config_class: type, values: dict[str, Any]) -> Any:
    """Build a (nested) config dataclass from JSON; unknown and missing keys are errors."""
    defaults = {f.name: _default(f) for f in dataclasses.fields(config_class)}
    unknown = set(values) - set(defaults)
    if unknown:
        raise CheckpointError(
            f"the configuration has unknown keys {sorted(unknown)}; the file is newer than this "
            "maquette, or damaged"
        )
    decoded = {}
    for name, value in values.items():
        if dataclasses.is_dataclass(defaults[name]):
            value = _decode(type(defaults[name]), value)
        decoded[name] = tuple(value) if isinstance(value, list) else value
    return config_class(**decoded)


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


def save_model(
    path: StrPath,
    model: nn.Module,
    metadata: JsonObject | None = None,
    half: bool = True,
    base: Checkpoint | None = None,
) -> Path:
    """Write a model of a known kind; ``half`` stores floating-point tensors as float16. Raises
    OutputError.

    With ``base``, the checkpoint that the model's submodule ``base`` started from, only what
    differs from it is written.
    """
    kind = next(name for name, (cls, _) in KINDS.items() if type(model) is cls)
    config: Any = model.config  # of the kind's class, which torch does not tell
    header = {
        "kind": kind,
        "config": json.dumps(dataclasses.asdict(config)),
        "metadata": json.dumps(metadata or {}),
    }
    known: dict[str, torch.Tensor] = {}
    if base is not None:
        known = _base_tensors(base)
        header["base"] = json.dumps({"kind": base.kind, "sha256": base.sha256})
    tensors = {}
    for name, tensor in model.state_dict().items():
        tensor = tensor.detach().cpu().contiguous()
        if name not in known or not torch.equal(tensor, known[name]):
            halved = half and tensor.is_floating_point()
            tensors[name] = tensor.half() if halved else tensor
    with atomic_write(path) as temporary:
        temporary.write_bytes(save(tensors, metadata=header))
    return Path(path)


def _base_tensors(base: Checkpoint) -> dict[str, torch.Tensor]:
    state = of_kind(base.model, nn.Module).state_dict()
    return {f"base.{name}": tensor.cpu() for name, tensor in state.items()}


def load_model(
    path: StrPath,
    kind: str | None = None,
    sha256: str | None = None,
    base: Checkpoint | None = None,
) -> Checkpoint:
    """Read a model, strictly: every key, shape and (when given) the file's sha256 must match.
    Raises CheckpointError.

    ``base`` is needed for a file that holds a difference: the very checkpoint it was made from.
    """
    path = Path(path)
    with contained(f"cannot read the weights {path}", "check the path", CheckpointError):
        digest = sha256_of(path.read_bytes())
    if sha256 is not None and digest != sha256:
        raise CheckpointError(
            f"the weights {path} are damaged: sha256 {digest[:12]}..., expected {sha256[:12]}...; "
            "reinstall maquette, or leave manifest.json out of a folder of your own"
        )
    tensors = read_tensors(path)
    header = _header(path)
    found = header.get("kind", "?")
    if found not in KINDS or kind not in (None, found):
        raise CheckpointError(
            f"{path} holds a model of kind {found!r}, expected {kind or ' or '.join(KINDS)}; pass "
            "the right file"
        )
    model_class, config_class = KINDS[found]
    with _damaged_header(path):
        config = _decode(config_class, json.loads(header["config"]))
        metadata = json.loads(header.get("metadata", "{}"))
    if "base" in header:
        tensors = _on_base(header["base"], base, path) | tensors
    with contained(f"{path}: its configuration makes no {found}", TRAIN_AGAIN, CheckpointError):
        try:
            check_sizes(dataclasses.asdict(config), tensors)
            with bounded():
                model = model_class(config)
            check_shapes(own_shapes(model), tensors)
        except CheckpointError as error:
            raise CheckpointError(f"{path}: {error}") from error
    expected = model.state_dict()
    model.load_state_dict({name: t.to(expected[name].dtype) for name, t in tensors.items()})
    return Checkpoint(model.eval(), found, digest, metadata)


def kind_of(path: StrPath) -> str:
    """The kind of a weights file, from its header alone; "?" when it names none. Raises
    CheckpointError.
    """
    return _header(path).get("kind", "?")


def describe_file(path: StrPath) -> JsonObject:
    """Kind and configuration of a weights file, from its header alone, as JSON. Raises
    CheckpointError.
    """
    header = _header(path)
    with _damaged_header(Path(path)):
        return {"kind": header["kind"], "config": json.loads(header["config"])}


def _header(path: StrPath) -> dict[str, str]:
    with opened(path) as file:
        return file.metadata() or {}


def _damaged_header(path: Path) -> contextlib.AbstractContextManager[None]:
    what = f"the header of {path} is damaged or of another program"
    return contained(what, TRAIN_AGAIN, CheckpointError)


def _on_base(wanted: str, base: Checkpoint | None, path: Path) -> dict[str, torch.Tensor]:
    """The base's tensors under their names in the model that is stored as a difference to it."""
    with _damaged_header(path):
        kind, sha256 = (str(json.loads(wanted)[name]) for name in ("kind", "sha256"))
    if base is None or base.sha256 != sha256:
        given = "none was given" if base is None else f"got {base.sha256[:12]}..."
        raise CheckpointError(
            f"{path} is a difference to the {kind} {sha256[:12]}..., {given}; put both files of a "
            "release in one folder"
        )
    return _base_tensors(base)
