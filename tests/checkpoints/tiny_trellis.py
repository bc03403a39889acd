"""Small random TRELLIS and I-Scene checkpoints in the original file layouts. They make something: a
ball of cells, with a surface.
"""

from pathlib import Path

import torch
from torch import nn

from maquette.checkpoints.published import iscene, trellis_slat, trellis_structure
from maquette.checkpoints.published.dinov2 import (
    HUB_NAMES,
    TRANSFORMERS_NAMES,
    build_hub,
    build_transformers,
)
from maquette.checkpoints.published.names import to_published
from maquette.models.scene_context_flow import SceneContextFlow
from tests.checkpoints.tiny_releases import put_json, put_tensors, seeded

# cells a side; width of the encoder
GRID = 16
EYE = 32
_DIT = {
    "model_channels": 48,
    "cond_channels": EYE,
    "num_blocks": 3,
    "num_heads": 2,
    "mlp_ratio": 2,
    "pe_mode": "ape",
    "qk_rms_norm": True,
    "in_channels": 8,
    "out_channels": 8,
    "use_fp16": True,
}
_SWIN = {
    "resolution": GRID,
    "model_channels": 256,
    "latent_channels": 8,
    "num_blocks": 1,
    "num_heads": 4,
    "mlp_ratio": 1,
    "attn_mode": "swin",
    "window_size": 4,
    "use_fp16": True,
    "representation_config": {"use_color": True},
}
STRUCTURE = _DIT | {"resolution": GRID // 4, "patch_size": 1}
SLAT = _DIT | {
    "resolution": GRID,
    "patch_size": 2,
    "num_io_res_blocks": 2,
    "io_block_channels": [32],
    "use_skip_connection": True,
}
DECODER = {
    "out_channels": 1,
    "latent_channels": 8,
    "num_res_blocks": 1,
    "num_res_blocks_middle": 1,
    "channels": [8, 4, 4],
    "use_fp16": True,
}
SAMPLER = {
    "name": "FlowEulerGuidanceIntervalSampler",
    "args": {"sigma_min": 1e-5},
    "params": {"steps": 25, "cfg_strength": 5.0, "cfg_interval": [0.5, 1.0], "rescale_t": 3.0},
}
DINO = {
    "img_size": 518,
    "patch_size": 14,
    "embed_dim": EYE,
    "depth": 2,
    "num_heads": 2,
    "num_register_tokens": 4,
}


@torch.no_grad()
def ball_of_cells(decoder: nn.Module) -> nn.Module:
    """Make a structure decoder say nearly the same ball for every latent: its first layer hardly
    sees them, its last is solved for.
    """
    decoder.decoder[0].weight.mul_(1e-3)
    position = torch.zeros(1, 8, *(GRID // 4,) * 3)
    features = {}
    last = decoder.to_volume[-1]
    hook = last.register_forward_hook(lambda module, given, out: features.update(x=given[0]))
    decoder.decode_raw(position)
    hook.remove()
    patches = nn.functional.unfold(
        features["x"][0].transpose(0, 1), 3, padding=1
    )  # of each x-slice; enough to see y and z
    axis = (torch.arange(GRID) + 0.5) / GRID - 0.5
    distance = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij")).norm(dim=0)
    weight = torch.zeros_like(last.weight)
    channels = last.weight.shape[1]
    table = torch.cat([patches.permute(0, 2, 1).flatten(0, 1), torch.ones(GRID**3, 1)], dim=1)
    solution = torch.linalg.lstsq(
        table, 10.0 * (0.4 - distance).flatten()[:, None], driver="gelsd"
    ).solution[:, 0]
    weight[0, :, 1] = solution[:-1].reshape(channels, 3, 3)
    last.weight.copy_(weight)
    last.bias.copy_(solution[-1:])
    return decoder


@torch.no_grad()
def with_sdf(decoder: nn.Module) -> nn.Module:
    """Give a mesh decoder's distances opposite signs in different cells, so that there is a
    surface.
    """
    decoder.out_layer.weight[:8].mul_(3.0)
    decoder.out_layer.bias[:8].zero_()
    return decoder


def write_base(root: Path, dtype=torch.float16) -> Path:
    """The folder of microsoft/TRELLIS-image-large, small, below ``root``."""
    folder = root / "TRELLIS-image-large"
    flow = seeded(trellis_structure.build_flow, {"args": STRUCTURE}, 1)
    slat = seeded(trellis_slat.build_flow, {"args": SLAT}, 2)
    for network in (flow, slat):  # released networks do not start at zero
        torch.nn.init.normal_(
            network.out_layer.weight, std=0.1, generator=torch.Generator().manual_seed(0)
        )
    decoder = ball_of_cells(seeded(trellis_structure.build_vae, {"args": DECODER}, 3))
    meshes = with_sdf(seeded(trellis_slat.build_mesh_decoder, {"args": _SWIN}, 4))
    names = trellis_structure.vae_names(decoder)
    state = decoder.state_dict()
    files = {
        "sparse_structure_flow_model": (
            "ss_flow",
            "SparseStructureFlowModel",
            STRUCTURE,
            flow.state_dict(),
        ),
        "sparse_structure_decoder": (
            "ss_dec",
            "SparseStructureDecoder",
            DECODER,
            {theirs: state[ours] for ours, theirs in names.items()},
        ),
        "slat_flow_model": ("slat_flow", "ElasticSLatFlowModel", SLAT, slat.state_dict()),
        "slat_decoder_mesh": ("slat_dec_mesh", "SLatMeshDecoder", _SWIN, meshes.state_dict()),
    }
    for name, kind, arguments, tensors in files.values():
        put_json(folder / "ckpts" / f"{name}.json", {"name": kind, "args": arguments})
        put_tensors(
            folder / "ckpts" / f"{name}.safetensors",
            tensors,
            torch.float32 if name == "ss_dec" else dtype,
        )
    arguments = {
        "models": {entry: f"ckpts/{name}" for entry, (name, *_) in files.items()},
        "sparse_structure_sampler": SAMPLER,
        "slat_sampler": SAMPLER,
        "slat_normalization": {"mean": [0.0] * 8, "std": [1.0] * 8},
        "image_cond_model": "dinov2_vitl14_reg",
    }
    put_json(folder / "pipeline.json", {"name": "TrellisImageTo3DPipeline", "args": arguments})
    return root


def write_trellis(root: Path) -> Path:
    """What ``trellis-large`` needs, small: the base, and DINOv2 as transformers stores it."""
    write_base(root)
    config = {
        "architectures": ["Dinov2WithRegistersModel"],
        "hidden_size": EYE,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": 518,
        "patch_size": 14,
        "mlp_ratio": 4,
        "num_register_tokens": 4,
    }
    eyes = seeded(build_transformers, config, 5)
    put_json(root / "dinov2-with-registers-large" / "config.json", config)
    put_tensors(
        root / "dinov2-with-registers-large" / "model.safetensors",
        to_published(eyes.state_dict(), TRANSFORMERS_NAMES),
    )
    return root


def write_iscene(
    root: Path, gates: bool = True, pickles: bool = False, setting: str = "global local"
) -> Path:
    """What ``trellis-iscene`` needs, small: the base, and I-Scene's two checkpoints with their
    configuration.

    The release, IScene-v1, has no gates and the setting "global": two slots, the instance and the
    scene."""
    write_base(root)
    folder = root / "IScene"
    kinds = "enable_gate enable_k_bias" if gates else None
    arguments = STRUCTURE | {
        "scene_context_attn_num": 2,
        "type_embedding_type": kinds,
        "k_bias_scale": 0.2,
        "exp_setting": setting,
    }
    flow = seeded(
        lambda config: SceneContextFlow(iscene.flow_config(config)), {"args": arguments}, 6
    )
    torch.nn.init.normal_(
        flow.flow.out_layer.weight, std=0.1, generator=torch.Generator().manual_seed(0)
    )
    eyes = seeded(build_hub, {"args": DINO}, 7)
    prefixed = {
        f"base_img_conditioner.{name}": t
        for name, t in to_published(eyes.state_dict(), HUB_NAMES).items()
    }
    config = {
        "models": {
            "denoiser": {"name": "SparseStructureSceneContextFlowModel", "args": arguments},
            "img_conditioner": {
                "name": "ImageConditioner",
                "args": {"cond_in_channels": 3},
                "dinov2": DINO,
            },
        },
        "dataset": {"args": {"exp_setting": setting}},
    }
    put_json(folder / "config.yml", config)  # JSON is YAML
    suffix = "pt" if pickles else "safetensors"
    put_json(
        folder / "iscene_config.json",
        {
            "base_model_id": "microsoft/TRELLIS-image-large",
            "config_file": "config.yml",
            "denoiser_checkpoint": f"ckpts/iscene_denoiser.{suffix}",
            "image_conditioner_checkpoint": f"ckpts/iscene_image_conditioner.{suffix}",
        },
    )
    for name, tensors in (
        ("iscene_denoiser", iscene.published_tensors(flow)),
        ("iscene_image_conditioner", prefixed),
    ):
        if pickles:
            (folder / "ckpts").mkdir(exist_ok=True)
            torch.save(
                {key: t.detach().clone() for key, t in tensors.items()},
                folder / "ckpts" / f"{name}.pt",
            )
        else:
            put_tensors(folder / "ckpts" / f"{name}.safetensors", tensors)
    return root
