"""TRELLIS, second stage: SLat flow, encoder, and decoders of Gaussians, radiance fields and meshes;
and FlexiCubes alone.

The released names carry an ``Elastic`` prefix in some files and none in others; both mean the same
network.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from maquette.checkpoints.published.base import Config, PublishedModel, arguments, load_strictly
from maquette.errors import CheckpointError
from maquette.flow.trellis import levels, sample, sampling_from_config
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
from maquette.nn.sparse import Voxels

TRUNK = (
    "blocks",
    "input_blocks",
    "out_blocks",
    "adaLN_modulation",
    "upsample",
)  # matrices of these are stored in half precision
MESH_CHANNELS = 53  # of a cell: 8 distances, 24 deformations, 21 weights; colours add 8 * 6


def flow_config(config: Config) -> SLatFlowConfig:
    """From the arguments of a SLatFlowModel. Raises CheckpointError for variants that no release
    uses.
    """
    a = arguments(config)
    widths = tuple(a.get("io_block_channels") or ())
    if (
        a.get("pe_mode", "ape") != "ape"
        or a.get("qk_rms_norm_cross")
        or a.get("patch_size", 2) != 2 ** len(widths)
    ):
        raise CheckpointError(
            f"pe_mode {a.get('pe_mode')!r}, qk_rms_norm_cross {a.get('qk_rms_norm_cross')}, patch_size "
            f"{a.get('patch_size')} with io_block_channels {list(widths)}; expected 'ape', false, and one halving for "
            "each width, as in the released model"
        )
    return SLatFlowConfig(
        a["resolution"],
        a["in_channels"],
        a["model_channels"],
        a["num_blocks"],
        _heads(a),
        float(a.get("mlp_ratio", 4)),
        a["cond_channels"],
        bool(a.get("qk_rms_norm", False)),
        bool(a.get("share_mod", False)),
        widths,
        a.get("num_io_res_blocks", 2),
        bool(a.get("use_skip_connection", True)),
    )


def trunk_config(config: Config, channels_out: int) -> SLatTransformerConfig:
    """From the arguments of an encoder or decoder. Raises CheckpointError for attention that no
    release uses.
    """
    a = arguments(config)
    if a.get("attn_mode", "swin") != "swin" or a.get("pe_mode", "ape") != "ape":
        raise CheckpointError(
            f"attn_mode {a.get('attn_mode')!r}, pe_mode {a.get('pe_mode')!r}; expected 'swin' and 'ape', as released"
        )
    encoder = "in_channels" in a
    return SLatTransformerConfig(
        a["in_channels"] if encoder else a["latent_channels"],
        channels_out,
        a["resolution"],
        a["model_channels"],
        a["num_blocks"],
        _heads(a),
        float(a.get("mlp_ratio", 4)),
        a.get("window_size", 8),
        bool(a.get("qk_rms_norm", False)),
    )


def _heads(a: Mapping[str, Any]) -> int:
    return a.get("num_heads") or a["model_channels"] // a.get("num_head_channels", 64)


def gaussian_head(config: Config) -> GaussianHead:
    """From a Gaussian decoder's representation_config."""
    r = arguments(config)["representation_config"]
    rates = tuple(
        float(r.get("lr", {}).get(name, 1.0))
        for name in ("_xyz", "_features_dc", "_scaling", "_rotation", "_opacity")
    )
    return GaussianHead(
        r["num_gaussians"],
        float(r["voxel_size"]),
        bool(r.get("perturb_offset", False)),
        rates,
        float(r.get("3d_filter_kernel_size", 9e-4)),
        float(r.get("scaling_bias", 4e-3)),
        float(r.get("opacity_bias", 0.1)),
        r.get("scaling_activation", "softplus") == "softplus",
    )


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


def load(
    network: nn.Module, tensors: Mapping[str, Tensor], dtype: torch.dtype = torch.float32
) -> None:
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


def _cells(given: Mapping[str, Tensor], config: Config, name: str = "coords") -> Voxels:
    return Voxels.of(given[name], arguments(config)["resolution"])


@torch.no_grad()
def _run_flow(network: SLatFlow, given: Mapping[str, Tensor], config: Config) -> dict[str, Tensor]:
    voxels = _cells(given, config)
    seen = {}
    modulations = network.modulations(given["t"].double() / 1000.0)
    contexts = network.prepare(given["cond"])
    outputs = {
        "out": network.velocity(
            given["feats"], voxels, modulations, contexts, trace=seen.__setitem__
        )[0]
    }
    names = {
        "in0": "input_blocks.0",
        "in1": "input_blocks.1",
        "blk1": "blocks",
        "ob0": "out_blocks.0",
        "ob1": "out_blocks.1",
    }
    outputs |= {f"{key}_feats": seen[name].flatten(0, -2) for key, name in names.items()}
    coarse = voxels.parents[0]
    grids = {"in0": voxels, "in1": coarse, "blk1": coarse, "ob0": voxels, "ob1": voxels}
    outputs |= {f"{key}_coords": grid.coords for key, grid in grids.items()}
    cells = _cells(given, config, "sample_coords")
    passes = [
        lambda x, t, c=c: network(x, cells, levels(t, 1), c)
        for c in (given["sample_cond"], torch.zeros_like(given["sample_cond"]))
    ]
    outputs["sample_out"] = sample(
        *passes, given["sample_noise"], sampling_from_config(config["sampler"])
    )
    mean, deviation = latent_normalisation(config)
    return outputs | {"sample_slat": outputs["sample_out"] * deviation + mean}


@torch.no_grad()
def _run_encoder(
    network: SLatTransformer, given: Mapping[str, Tensor], config: Config
) -> dict[str, Tensor]:
    return dict(zip(("mean", "logvar"), network.moments(given["feats"], _cells(given, config))))


@torch.no_grad()
def _run_gaussians(
    network: GaussianDecoder, given: Mapping[str, Tensor], config: Config
) -> dict[str, Tensor]:
    voxels = _cells(given, config)
    outputs = {}
    hooks = [
        block.register_forward_hook(
            lambda _, __, out, key=f"block{i}": outputs.update({key: out[0]})
        )
        for i, block in enumerate(network.blocks)
    ]
    features = outputs["out_feats"] = network(given["feats"], voxels)
    for hook in hooks:
        hook.remove()
    raw = network.raw(features, voxels)
    sizes = [network.head.count * n for n in voxels.counts]
    upper = torch.triu_indices(3, 3)
    for b, gaussians in enumerate(network.gaussians(features, voxels)):
        part = {name: value.split(sizes)[b] for name, value in raw.items()}
        covariance = covariances(gaussians)[:, upper[0], upper[1]]
        outputs |= {
            f"g{b}_{name}": value
            for name, value in {
                "xyz": part["position"],
                "features_dc": part["colour"][:, None],
                "scaling": part["scale"],
                "rotation": part["rotation"],
                "opacity": part["opacity"],
                "get_xyz": gaussians.positions,
                "get_scaling": gaussians.scales,
                "get_rotation": gaussians.rotations,
                "get_opacity": gaussians.opacities[:, None],
                "get_features": gaussians.harmonics[:, None],
                "cov": covariance,
            }.items()
        }
    return outputs


@torch.no_grad()
def _run_fields(
    network: SLatTransformer, given: Mapping[str, Tensor], config: Config
) -> dict[str, Tensor]:
    voxels = _cells(given, config)
    outputs = {"out_feats": network(given["feats"], voxels)}
    for b, field in enumerate(radiance_fields(outputs["out_feats"], voxels, *field_size(config))):
        outputs |= {
            f"r{b}_position": field.position,
            f"r{b}_trivec": field.vectors,
            f"r{b}_density": field.density,
            f"r{b}_features_dc": field.colour,
        }
    return outputs


@torch.no_grad()
def _run_mesh(
    network: MeshDecoder, given: Mapping[str, Tensor], config: Config
) -> dict[str, Tensor]:
    voxels = _cells(given, config)
    fine = voxels.children.children
    trunk = network.trunk(given["feats"], voxels)
    first = network.upsample[0]
    outputs = {
        "blk1": trunk,
        "up0": first(trunk, voxels),
        "up0_skip": first.skip_connection(trunk).repeat_interleave(8, dim=0),
        "out_coords": fine.coords,
    }
    outputs["out_feats"] = network(given["feats"], voxels)
    for b, features in enumerate(outputs["out_feats"].split(list(fine.counts))):
        mesh = mesh_of_cells(fine.sample(b).coords[:, 1:], features, fine.resolution)
        outputs |= {
            f"mesh{b}_vertices": mesh.vertices,
            f"mesh{b}_faces": mesh.faces,
            f"mesh{b}_attrs": mesh.attributes,
        }
    return outputs


def _run_flexicubes(
    network: None, given: Mapping[str, Tensor], config: Config
) -> dict[str, Tensor]:
    side = config["res"]
    cells = surface_cells((given["sdf"] < 0).view(side + 1, side + 1, side + 1))
    corner = corner_index(cells, side)
    number = (cells * torch.tensor([side * side, side, 1])).sum(1)
    every = torch.cartesian_prod(*[torch.arange(side + 1)] * 3)
    position = every / side - 0.5 + (1 - 1e-8) / (2 * side) * given["deform_raw"].tanh()
    weights = torch.cat(
        [given["beta_raw"], given["alpha_raw"], given["gamma_raw"][:, None]], dim=1
    )[number]
    mesh = dual_mesh(
        Cells(
            cells,
            side,
            given["sdf"][corner],
            position[corner],
            given["color_raw"].sigmoid()[corner],
            weights,
        )
    )
    return {
        "grid_vertices": position,
        "vertices": mesh.vertices,
        "faces": mesh.faces,
        "colors": mesh.attributes,
    }


_FEATURES = frozenset({"feats", "coords"})
_FLOW_INPUTS = _FEATURES | {"t", "cond", "sample_coords", "sample_noise", "sample_cond"}
_FLEXICUBES_INPUTS = frozenset(
    {"sdf", "deform_raw", "beta_raw", "alpha_raw", "gamma_raw", "color_raw"}
)
# The time embedding's rates differ between maths libraries by one unit in the last place (see
# trellis_structure.py); features reach 15.
_FLOW_TOLERANCES = {
    "in1_feats": 6e-5,
    "blk1_feats": 6e-5,
    "ob0_feats": 6e-5,
    "ob1_feats": 6e-5,
    "sample_slat": 3e-5,
}
_STORED_AS_HALF = {
    "out_feats": 1e-3,
    "up0": 2e-3,
    "up0_skip": 2e-3,
}  # recorded in half precision, values up to 6
MODELS = (
    PublishedModel(
        "trellis-slat-flow",
        ("SLatFlowModel", "ElasticSLatFlowModel"),
        _run_flow,
        _FLOW_INPUTS,
        build_flow,
        load,
        tolerances=_FLOW_TOLERANCES,
    ),
    PublishedModel(
        "trellis-slat-encoder",
        ("SLatEncoder", "ElasticSLatEncoder"),
        _run_encoder,
        _FEATURES,
        build_encoder,
        load,
    ),
    PublishedModel(
        "trellis-gaussian-decoder",
        ("SLatGaussianDecoder", "ElasticSLatGaussianDecoder"),
        _run_gaussians,
        _FEATURES,
        build_gaussian_decoder,
        load,
    ),
    PublishedModel(
        "trellis-field-decoder",
        ("SLatRadianceFieldDecoder", "ElasticSLatRadianceFieldDecoder"),
        _run_fields,
        _FEATURES,
        build_field_decoder,
        load,
    ),
    PublishedModel(
        "trellis-mesh-decoder",
        ("SLatMeshDecoder", "ElasticSLatMeshDecoder"),
        _run_mesh,
        _FEATURES,
        build_mesh_decoder,
        load,
        tolerances=_STORED_AS_HALF,
    ),
    PublishedModel(
        "flexicubes",
        ("FlexiCubes", "FlexiCubes(MaxtirError fork 815e075)"),
        _run_flexicubes,
        _FLEXICUBES_INPUTS,
        skipped={"L_dev": "a loss of training; maquette extracts meshes only"},
    ),
)
