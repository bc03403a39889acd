"""TRELLIS, second stage: SLat flow, encoder, and decoders of Gaussians, radiance fields and meshes;
and FlexiCubes alone.

The released names carry an ``Elastic`` prefix in some files and none in others; both mean the same
network.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from maquette.checkpoints.published.base import (
    Config,
    Outputs,
    PublishedModel,
    Run,
    Tensors,
    arguments,
    configured,
    load_strictly,
    recorded,
)
from maquette.checkpoints.published.trellis_structure import heads_of
from maquette.errors import CheckpointError
from maquette.flow.guidance import Velocity
from maquette.flow.trellis import levels, sample_guided, sampling_from_config
from maquette.geometry.flexicubes import (
    Cells,
    corner_index,
    dual_mesh,
    mesh_of_cells,
    surface_cells,
)
from maquette.geometry.gaussians import covariances
from maquette.models.slat_flow import SLatFlow, SLatFlowConfig
from maquette.models.slat_vae import (
    GaussianDecoder,
    GaussianHead,
    MeshDecoder,
    SLatTransformer,
    SLatTransformerConfig,
    radiance_fields,
)
from maquette.nn.layers import of_kind
from maquette.nn.sparse import Voxels
from maquette.nn.sparse_conv import SubdivideBlock

# matrices of these are stored in half precision
TRUNK = ("blocks", "input_blocks", "out_blocks", "adaLN_modulation", "upsample")
MESH_CHANNELS = 53  # of a cell: 8 distances, 24 deformations, 21 weights; colours add 8 * 6


FLOW_FIELDS = {  # ours -> arguments of SLatFlowModel
    "resolution": "resolution",
    "channels": "in_channels",
    "width": "model_channels",
    "blocks": "num_blocks",
    "mlp_ratio": "mlp_ratio",
    "context_width": "cond_channels",
    "qk_norm": "qk_rms_norm",
    "share_modulation": "share_mod",
    "io_blocks": "num_io_res_blocks",
    "skips": "use_skip_connection",
}
TRUNK_FIELDS = {  # of encoders and decoders
    "resolution": "resolution",
    "width": "model_channels",
    "blocks": "num_blocks",
    "mlp_ratio": "mlp_ratio",
    "window": "window_size",
    "qk_norm": "qk_rms_norm",
}
HEAD_FIELDS = {  # of the representation of a decoder of Gaussians
    "count": "num_gaussians",
    "reach": "voxel_size",
    "perturb": "perturb_offset",
    "smallest": "3d_filter_kernel_size",
    "scale_bias": "scaling_bias",
    "opacity_bias": "opacity_bias",
}
# numbers of Gaussians before their activations: recorded name -> ours
RAW = {
    "xyz": "position",
    "scaling": "scale",
    "rotation": "rotation",
    "opacity": "opacity",
}
# of the flow: recorded name -> ours
WATCHED = {
    "in0": "input_blocks.0",
    "in1": "input_blocks.1",
    "blk1": "blocks",
    "ob0": "out_blocks.0",
    "ob1": "out_blocks.1",
}
RATES = ("_xyz", "_features_dc", "_scaling", "_rotation", "_opacity")


def flow_config(config: Config) -> SLatFlowConfig:
    """From the arguments of a SLatFlowModel. Raises CheckpointError for variants that no release
    uses.
    """
    a = arguments(config)
    widths = tuple(a.get("io_block_channels") or ())
    patch = a.get("patch_size", 2)
    position = a.get("pe_mode", "ape")
    if position != "ape" or a.get("qk_rms_norm_cross") or patch != 2 ** len(widths):
        normed = a.get("qk_rms_norm_cross")
        raise CheckpointError(
            f"pe_mode {position!r}, qk_rms_norm_cross {normed}, patch_size {patch} with "
            f"io_block_channels {list(widths)}; expected 'ape', false, and one halving for each "
            "width, as in the released model"
        )
    computed = {"heads": heads_of(a), "io_widths": widths}
    return configured(SLatFlowConfig, a, FLOW_FIELDS, qk_norm=False, **computed)


def trunk_config(config: Config, channels_out: int) -> SLatTransformerConfig:
    """From the arguments of an encoder or decoder. Raises CheckpointError for attention that no
    release uses.
    """
    a = arguments(config)
    attention = a.get("attn_mode", "swin")
    position = a.get("pe_mode", "ape")
    if attention != "swin" or position != "ape":
        raise CheckpointError(
            f"attn_mode {attention!r}, pe_mode {position!r}; expected 'swin' and 'ape', as released"
        )
    channels = {
        "channels_in": a.get("in_channels", a["latent_channels"]),
        "channels_out": channels_out,
    }
    return configured(SLatTransformerConfig, a, TRUNK_FIELDS, heads=heads_of(a), **channels)


def gaussian_head(config: Config) -> GaussianHead:
    """From a Gaussian decoder's representation_config."""
    r = arguments(config)["representation_config"]
    rates = tuple(float(r.get("lr", {}).get(name, 1.0)) for name in RATES)
    computed = {"rates": rates, "softplus": r.get("scaling_activation", "softplus") == "softplus"}
    return configured(GaussianHead, r, HEAD_FIELDS, perturb=False, **computed)


def field_size(config: Config) -> tuple[int, int]:
    """Rank and dim of a radiance field decoder."""
    r = arguments(config)["representation_config"]
    return r["rank"], r["dim"]


def build_flow(config: Config) -> SLatFlow:
    """The SLat flow of a configuration."""
    return SLatFlow(flow_config(config))


def build_encoder(config: Config) -> SLatTransformer:
    """The SLat encoder of a configuration."""
    return SLatTransformer(trunk_config(config, 2 * arguments(config)["latent_channels"]))


def build_gaussian_decoder(config: Config) -> GaussianDecoder:
    """The decoder of Gaussians of a configuration."""
    head = gaussian_head(config)
    return GaussianDecoder(trunk_config(config, 14 * head.count), head)


def build_field_decoder(config: Config) -> SLatTransformer:
    """The decoder of radiance fields of a configuration."""
    rank, dim = field_size(config)
    return SLatTransformer(trunk_config(config, rank * (3 * dim + 4)))


def build_mesh_decoder(config: Config) -> MeshDecoder:
    """The mesh decoder of a configuration."""
    colours = arguments(config).get("representation_config", {}).get("use_color", False)
    return MeshDecoder(trunk_config(config, MESH_CHANNELS + 48 * bool(colours)))


def load(network: nn.Module, tensors: Tensors, dtype: torch.dtype = torch.float32) -> None:
    """Load any of these networks strictly; ``dtype`` is the precision of the matrices of its
    blocks.
    """
    load_strictly(network, tensors, dtype, TRUNK)


def latent_normalisation(config: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
    """Mean and deviation (channels,) of ``slat_normalization`` in pipeline.json: latents = samples
    * deviation + mean.
    """
    found = config["slat_normalization"]
    return torch.tensor(found["mean"]), torch.tensor(found["std"])


def _cells(given: Tensors, config: Config, name: str = "coords") -> Voxels:
    return Voxels.of(given[name], arguments(config)["resolution"])


def _run_flow(network: SLatFlow, given: Tensors, config: Config) -> Outputs:
    voxels = _cells(given, config)
    coarse = voxels.parents[0]
    seen: Outputs = {}
    modulations = network.modulations(given["t"].double() / 1000.0)
    contexts = network.prepare(given["cond"])
    (out,) = network.velocity(given["feats"], voxels, modulations, contexts, trace=seen.__setitem__)
    outputs = {"out": out}
    for key, name in WATCHED.items():
        grid = coarse if key in ("in1", "blk1") else voxels
        outputs[f"{key}_feats"] = seen[name].flatten(0, -2)
        outputs[f"{key}_coords"] = grid.coords
    cells = _cells(given, config, "sample_coords")
    condition = given["sample_cond"]

    def told(tokens: Tensor) -> Velocity:
        return lambda x, t: network(x, cells, levels(t, 1), tokens)

    sampling = sampling_from_config(config["sampler"])
    unconditional = told(torch.zeros_like(condition))
    sampled = sample_guided(told(condition), unconditional, given["sample_noise"], sampling)
    mean, deviation = latent_normalisation(config)
    return outputs | {"sample_out": sampled, "sample_slat": sampled * deviation + mean}


def _run_encoder(network: SLatTransformer, given: Tensors, config: Config) -> Outputs:
    return dict(zip(("mean", "logvar"), network.moments(given["feats"], _cells(given, config))))


def _run_gaussians(network: GaussianDecoder, given: Tensors, config: Config) -> Outputs:
    voxels = _cells(given, config)
    watched = {f"block{i}": block for i, block in enumerate(network.blocks)}
    with recorded(watched) as seen:
        features = network(given["feats"], voxels)
    outputs = {key: rows[0] for key, rows in seen.items()} | {"out_feats": features}
    raw = network.raw(features, voxels)
    sizes = [network.head.count * n for n in voxels.counts]
    upper, right = torch.triu_indices(3, 3)
    for b, gaussians in enumerate(network.gaussians(features, voxels)):
        part = {name: value.split(sizes)[b] for name, value in raw.items()}
        found = {theirs: part[ours] for theirs, ours in RAW.items()}
        found["features_dc"] = part["colour"][:, None]
        found["get_xyz"] = gaussians.positions
        found["get_scaling"] = gaussians.scales
        found["get_rotation"] = gaussians.rotations
        found["get_opacity"] = gaussians.opacities[:, None]
        found["get_features"] = gaussians.harmonics[:, None]
        found["cov"] = covariances(gaussians)[:, upper, right]
        outputs |= {f"g{b}_{name}": value for name, value in found.items()}
    return outputs


def _run_fields(network: SLatTransformer, given: Tensors, config: Config) -> Outputs:
    voxels = _cells(given, config)
    features = network(given["feats"], voxels)
    outputs = {"out_feats": features}
    for b, field in enumerate(radiance_fields(features, voxels, *field_size(config))):
        outputs[f"r{b}_position"] = field.position
        outputs[f"r{b}_trivec"] = field.vectors
        outputs[f"r{b}_density"] = field.density
        outputs[f"r{b}_features_dc"] = field.colour
    return outputs


def _run_mesh(network: MeshDecoder, given: Tensors, config: Config) -> Outputs:
    voxels = _cells(given, config)
    fine = voxels.children.children
    trunk = network.trunk(given["feats"], voxels)
    first = of_kind(network.upsample[0], SubdivideBlock)
    outputs = {
        "blk1": trunk,
        "up0": first(trunk, voxels),
        "out_coords": fine.coords,
    }
    outputs["up0_skip"] = first.skip_connection(trunk).repeat_interleave(8, dim=0)
    outputs["out_feats"] = network(given["feats"], voxels)
    for b, features in enumerate(outputs["out_feats"].split(list(fine.counts))):
        mesh = mesh_of_cells(fine.sample(b).coords[:, 1:], features, fine.resolution)
        outputs[f"mesh{b}_vertices"] = mesh.vertices
        outputs[f"mesh{b}_faces"] = mesh.faces
        outputs[f"mesh{b}_attrs"] = mesh.attributes
    return outputs


def _run_flexicubes(network: nn.Module | None, given: Tensors, config: Config) -> Outputs:
    side = config["res"]
    cells = surface_cells((given["sdf"] < 0).view((side + 1,) * 3))
    corner = corner_index(cells, side)
    number = (cells * torch.tensor([side * side, side, 1])).sum(1)
    every = torch.cartesian_prod(*[torch.arange(side + 1)] * 3)
    reach = (1 - 1e-8) / (2 * side)
    position = every / side - 0.5 + reach * given["deform_raw"].tanh()
    raw = [given["beta_raw"], given["alpha_raw"], given["gamma_raw"][:, None]]
    colours = given["color_raw"].sigmoid()
    weights = torch.cat(raw, dim=1)[number]
    distance = given["sdf"][corner]
    mesh = dual_mesh(Cells(cells, side, distance, position[corner], colours[corner], weights))
    return {
        "grid_vertices": position,
        "vertices": mesh.vertices,
        "faces": mesh.faces,
        "colors": mesh.attributes,
    }


_FEATURES = frozenset({"feats", "coords"})
# The time embedding's rates differ between maths libraries by one unit in the last place (see
# trellis_structure.py); features reach 15.
_FLOW_TOLERANCES = {
    "in1_feats": 6e-5,
    "blk1_feats": 6e-5,
    "ob0_feats": 6e-5,
    "ob1_feats": 6e-5,
    "sample_slat": 3e-5,
}
# recorded in half precision, values up to 6
_STORED_AS_HALF = {
    "out_feats": 1e-3,
    "up0": 2e-3,
    "up0_skip": 2e-3,
}


def _with_features(
    name: str,
    classes: str,
    run: Run,
    build: Callable[[Config], nn.Module],
    **more: Any,
) -> PublishedModel:
    """A network of cells and their features; its classes are named with and without a prefix."""
    return PublishedModel(name, (classes, f"Elastic{classes}"), run, _FEATURES, build, load, **more)


MODELS: tuple[PublishedModel[Any], ...] = (
    PublishedModel(
        "trellis-slat-flow",
        ("SLatFlowModel", "ElasticSLatFlowModel"),
        _run_flow,
        _FEATURES | {"t", "cond", "sample_coords", "sample_noise", "sample_cond"},
        build_flow,
        load,
        tolerances=_FLOW_TOLERANCES,
    ),
    _with_features("trellis-slat-encoder", "SLatEncoder", _run_encoder, build_encoder),
    _with_features(
        "trellis-gaussian-decoder", "SLatGaussianDecoder", _run_gaussians, build_gaussian_decoder
    ),
    _with_features(
        "trellis-field-decoder", "SLatRadianceFieldDecoder", _run_fields, build_field_decoder
    ),
    _with_features(
        "trellis-mesh-decoder",
        "SLatMeshDecoder",
        _run_mesh,
        build_mesh_decoder,
        tolerances=_STORED_AS_HALF,
    ),
    PublishedModel(
        "flexicubes",
        ("FlexiCubes", "FlexiCubes(MaxtirError fork 815e075)"),
        _run_flexicubes,
        frozenset({"sdf", "deform_raw", "beta_raw", "alpha_raw", "gamma_raw", "color_raw"}),
        skipped={"L_dev": "a loss of training; maquette extracts meshes only"},
    ),
)
