"""How many operations the published networks need: 2 per multiply-add, matrix products, attention
and convolutions only.

For planning and for judging measured times against what is unavoidable. The counts equal those of
torch's own counter (tests).
"""

from __future__ import annotations

from maquette.models.scene_context_flow import SceneContextFlowConfig
from maquette.models.structure_flow import StructureFlowConfig
from maquette.models.vecset_flow import VecSetFlowConfig
from maquette.models.vecset_vae import VecSetVAEConfig
from maquette.models.vision import VisionConfig


def linear(tokens: int, width_in: int, width_out: int) -> int:
    """Operations of a linear layer on ``tokens`` tokens."""
    return 2 * tokens * width_in * width_out


def attention(queries: int, keys: int, width: int) -> int:
    """Operations of softmax(Q K^T) V with all heads together ``width`` wide, without the
    projections.
    """
    return 4 * queries * keys * width


def _self_block(tokens: int, width: int, mlp_ratio: float) -> int:
    hidden = int(width * mlp_ratio)
    return (
        linear(tokens, width, 4 * width)
        + attention(tokens, tokens, width)
        + 2 * linear(tokens, width, hidden)
    )


def _cross(tokens: int, keys: int, width: int, context_width: int, cached: bool) -> int:
    made = 0 if cached else linear(keys, context_width, 2 * width)
    return 2 * linear(tokens, width, width) + attention(tokens, keys, width) + made


def vision_flops(config: VisionConfig) -> int:
    """Operations for one square picture of the trained size."""
    c = config
    patches = linear(c.patches, c.channels * c.patch**2, c.width)
    return patches + c.blocks * _self_block(c.tokens, c.width, c.mlp_ratio)


def structure_flow_flops(
    config: StructureFlowConfig, context_tokens: int | None, cached: bool = False
) -> int:
    """Operations of one evaluation of one sequence, without a lift.

    ``context_tokens`` None: the context is a constant (unconditional pass). ``cached``: keys,
    values and modulations exist already.
    """
    c = config
    tokens = (c.resolution // c.patch) ** 3
    folded = c.channels * c.patch**3
    total = linear(tokens, folded, c.width) * 2 + c.blocks * _self_block(
        tokens, c.width, c.mlp_ratio
    )
    if not cached:
        total += linear(1, 256, c.width) + linear(1, c.width, c.width)
        total += linear(1, c.width, 6 * c.width) * (1 if c.share_modulation else c.blocks)
    if context_tokens is not None:
        total += c.blocks * _cross(tokens, context_tokens, c.width, c.context_width, cached)
    return total


def scene_context_flops(
    config: SceneContextFlowConfig,
    instances: int,
    context_tokens: int | None,
    cached: bool = True,
    shared_scene: bool = True,
) -> int:
    """Operations of one evaluation of all slots of ``instances`` instances."""
    c = config.flow
    tokens = (c.resolution // c.patch) ** 3
    slots = config.slots
    rows = 1 + instances * (slots - 1) if shared_scene else instances * slots
    seen = instances * config.context_blocks * attention(tokens, tokens * (slots - 1), c.width)
    return rows * structure_flow_flops(c, context_tokens, cached) + seen


def vecset_flow_flops(
    config: VecSetFlowConfig,
    tokens: int,
    context_tokens: tuple[int | None, ...],
    instances: int = 1,
    cached: bool = False,
) -> int:
    """Operations of one evaluation per instance, ``instances`` of which share a scene; ``None``
    tokens: that context is a constant.
    """
    c = config
    length = tokens + 1
    total = 2 * linear(tokens, c.channels, c.width) + 2 * linear(1, c.width, 4 * c.width)
    total += c.blocks * _self_block(length, c.width, 4.0) + (c.blocks - c.first_skip) * linear(
        length, 2 * c.width, c.width
    )
    total += len(c.joint_blocks) * attention(length, (instances - 1) * length, c.width)
    for keys, width in zip(context_tokens, c.context_widths):
        total += 0 if keys is None else c.blocks * _cross(length, keys, c.width, width, cached)
    return total


def vecset_decode_flops(config: VecSetVAEConfig, tokens: int, points: int) -> int:
    """Operations to decode one latent and ask at ``points`` points."""
    c = config
    width = config.decoder_width
    prepared = linear(tokens, c.latent_channels, width) + linear(tokens, width, 2 * width)
    prepared += c.decoder_blocks * _self_block(tokens, width, 4.0)
    asked = linear(points, c.point_width, width) + _cross(points, tokens, width, width, cached=True)
    return prepared + asked + 2 * linear(points, width, 4 * width) + linear(points, width, 1)


def iscene_structure_flops(
    config: SceneContextFlowConfig,
    instances: int,
    steps: int,
    guided: int,
    context_tokens: int = 1374,
) -> int:
    """Operations of the structure stage with all savings: ``steps`` conditional and ``guided``
    unconditional evaluations.
    """
    keys_values = (
        linear(context_tokens, config.flow.context_width, 2 * config.flow.width)
        * config.flow.blocks
    )
    rows = 1 + instances * (config.slots - 1)
    conditional = scene_context_flops(config, instances, context_tokens)
    return (
        rows * keys_values
        + steps * conditional
        + guided * scene_context_flops(config, instances, None)
    )
