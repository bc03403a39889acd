"""Bytes that each stage of a release needs: weights in their precision, and what one forward pass
holds at its widest point.

In the flow: configurations of networks -> estimates -> ``memory.choose_plan``. The constants count
live tensors per token and channel (or per cell, or per point); they were measured on small networks
by tracking every storage, and hold at full size because all of them are linear there (attention is
fused). ``docs/published-models.md`` has estimates beside measurements.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from maquette.checkpoints.published import (
    clip,
    dinov2,
    iscene,
    trellis_slat,
    trellis_structure,
    triposg,
)
from maquette.checkpoints.published.base import Config, class_name
from maquette.models.structure_flow import StructureFlowConfig
from maquette.models.vision import VisionConfig

# live values per token and channel: encoders; flows: TRELLIS, I-Scene, vector sets
VISION = 20
DENSE = 11.5
JOINT = 14.5
VECTORS = 17
# per asked point and channel; per latent vector and channel of the decoder
POINTS = 11.5
VECTOR_TOKENS = 45
# per active cell and channel of both guidance passes; per voxel and channel of the last level
SLAT = 9
VOLUME = 3.4
# bytes per cell of the fine grid, per active cell; values per cell and channel
MESH_GRID = 22
MESH_CELL = 120e3
MESH_CHANNEL = 53
FIELD = 24  # bytes per grid point of a field that is asked coarse to fine
CELLS = 12_000  # active cells of a typical object; the largest have 20,000 or more
LATENT_VECTORS = 2048
PICTURES = 8  # encoded at once
# pixels of the encoders' pictures
TRELLIS_SIDE = 518
VECTORS_SIDE = 224


@dataclass(frozen=True)
class Load:
    """What an estimate depends on besides the networks."""

    width: int  # bytes of a value of the large matrices
    instances: int
    batch: int  # instances in one pass
    points: int  # of a field, asked at once
    passes: int = 2  # guidance passes in one batch
    cells: int = CELLS


Configs = Mapping[str, Config]  # of a release's networks, by name
# name, networks it runs, bytes besides their weights
StageMemory = tuple[str, tuple[str, ...], float]


def stages_of(model: str, configs: Configs, load: Load) -> list[StageMemory]:
    """Stages of a release, in their order; a stage with several networks appears once for each."""
    return _STAGES[model](configs, load)


def _vision(
    config: VisionConfig,
    pictures: int,
    side: int,
    load: Load,
) -> float:
    return VISION * pictures * _tokens(config, side) * config.width * load.width


def _tokens(config: VisionConfig, side: int) -> int:
    """Tokens of a square picture of so many pixels a side."""
    return (side // config.patch) ** 2 + 1 + config.registers


def _contexts(
    rows: int,
    tokens: int,
    width: int,
    blocks: int,
    load: Load,
) -> float:
    """Keys and values of the pictures in all blocks."""
    return float(rows * tokens * 2 * width * blocks * load.width)


def _guided(active: float, contexts: float, load: Load) -> float:
    """A guided step holds all passes; a later, plain one holds one pass, but its own contexts
    beside those of the guided steps.
    """
    return max(load.passes * active + contexts, active + 2 * contexts)


def _structure(
    flow: StructureFlowConfig,
    rows: int,
    tokens: int,
    live: float,
    load: Load,
) -> float:
    active = live * rows * (flow.resolution // flow.patch) ** 3 * flow.width * load.width
    return _guided(active, _contexts(rows, tokens, flow.width, flow.blocks, load), load)


def _all_stages(
    configs: Configs,
    tokens: int,
    load: Load,
    before: tuple[float, float],
) -> list[StageMemory]:
    """Image encoder and structure flow, which take ``before``, then structure decoder, structured
    latents and mesh: one object at a time.
    """
    seen, made = before
    decoder = trellis_structure.vae_config(configs["structure-decoder"])
    flow = trellis_slat.flow_config(configs["slat-flow"])
    trunk = trellis_slat.trunk_config(configs["mesh-decoder"], 101)
    contexts = _contexts(1, tokens, flow.width, flow.blocks, load)
    cells = load.cells * (flow.resolution / 64) ** 2
    volume = VOLUME * decoder.decoder_channels[-1] * flow.resolution**3 * load.width * 2
    latents = SLAT * cells * flow.width * load.width + 2 * contexts
    of_cell = MESH_CELL + MESH_CHANNEL * trunk.width * load.width
    mesh = MESH_GRID * (4 * trunk.resolution) ** 3 + cells * of_cell
    return [
        ("image", ("dino",), seen),
        ("structure", ("structure-flow",), made),
        ("structure", ("structure-decoder",), volume),
        ("latents", ("slat-flow",), latents),
        ("mesh", ("mesh-decoder",), mesh),
    ]


def _iscene(configs: Configs, load: Load) -> list[StageMemory]:
    eyes = dinov2.hub_config({"args": configs["dino"].get("dinov2", {})})
    flow = iscene.flow_config(configs["structure-flow"])
    tokens = _tokens(eyes, TRELLIS_SIDE)
    rows = 1 + (flow.slots - 1) * load.batch
    seen = _vision(eyes, min(PICTURES, load.batch * 2 + 1), TRELLIS_SIDE, load)
    made = _structure(flow.flow, rows, tokens, JOINT, load)
    return _all_stages(configs, tokens, load, (seen, made))


def _trellis(configs: Configs, load: Load) -> list[StageMemory]:
    hub = class_name(configs["dino"]) == "dinov2_vitl14_reg"
    eyes = (dinov2.hub_config if hub else dinov2.transformers_config)(configs["dino"])
    flow = trellis_structure.flow_config(configs["structure-flow"])
    tokens = _tokens(eyes, TRELLIS_SIDE)
    seen = _vision(eyes, min(PICTURES, load.batch), TRELLIS_SIDE, load)
    made = _structure(flow, load.batch, tokens, DENSE, load)
    return _all_stages(configs, tokens, load, (seen, made))


def _vector_sets(
    configs: Configs,
    load: Load,
    together: bool,
    eyes: Mapping[str, VisionConfig],
) -> list[StageMemory]:
    """TripoSG and MIDI-3D, whose instances must be denoised in one pass."""
    flow = triposg.flow_config(configs["flow"])
    vae = triposg.vae_config(configs["vae"])
    rows = load.instances if together else load.batch
    tokens = _tokens(eyes["dino"], VECTORS_SIDE)
    active = VECTORS * rows * (LATENT_VECTORS + 1) * flow.width * load.width
    contexts = _contexts(rows, tokens, flow.width, flow.blocks, load)
    channels = vae.decoder_width * load.width
    asked = (POINTS * load.points + VECTOR_TOKENS * LATENT_VECTORS) * channels
    seeing = [
        ("image", (name,), _vision(config, load.batch, VECTORS_SIDE, load))
        for name, config in eyes.items()
    ]
    sampling = ("flow", ("flow",), _guided(active, contexts, load))
    return [*seeing, sampling, ("mesh", ("vae",), asked + FIELD * 257**3)]


def _midi(configs: Configs, load: Load) -> list[StageMemory]:
    seeing = {"clip": clip.vision_config, "dino": dinov2.transformers_config}
    eyes = {name: read(configs[name]) for name, read in seeing.items()}
    return _vector_sets(configs, load, True, eyes)


def _triposg(configs: Configs, load: Load) -> list[StageMemory]:
    return _vector_sets(configs, load, False, {"dino": dinov2.transformers_config(configs["dino"])})


_STAGES: dict[str, Callable[[Configs, Load], list[StageMemory]]] = {
    "trellis-iscene": _iscene,
    "trellis-large": _trellis,
    "midi-3d": _midi,
    "triposg": _triposg,
}
