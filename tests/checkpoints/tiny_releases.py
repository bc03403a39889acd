"""Small random checkpoints in the original file layouts: folders that look to maquette like a
fetched release.
"""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from maquette.checkpoints.published import clip, triposg
from maquette.checkpoints.published.dinov2 import TRANSFORMERS_NAMES, build_transformers
from maquette.checkpoints.published.names import to_published

WIDTH = 32
LATENT = 8
CLIP = {
    "architectures": ["CLIPVisionModelWithProjection"],
    "hidden_size": 32,
    "intermediate_size": 64,
    "projection_dim": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 28,
    "patch_size": 14,
    "hidden_act": "quick_gelu",
}
DINO = {
    "architectures": ["Dinov2Model"],
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 70,
    "patch_size": 14,
    "mlp_ratio": 4,
}
FLOW = {
    "_class_name": "TripoSGDiTModel",
    "_diffusers_version": "0.30",
    "num_attention_heads": 2,
    "width": WIDTH,
    "in_channels": LATENT,
    "num_layers": 5,
}
VAE = {
    "_class_name": "Tripo2VAEModel",
    "in_channels": 3,
    "latent_channels": LATENT,
    "num_attention_heads": 2,
    "width_encoder": 32,
    "width_decoder": 32,
    "num_layers_encoder": 1,
    "num_layers_decoder": 1,
    "embed_frequency": 2,
}
CLIP_EYES = {
    "size": {"shortest_edge": 28},
    "crop_size": {"height": 28, "width": 28},
    "do_center_crop": True,
    "resample": 3,
    "image_mean": [0.48, 0.45, 0.40],
    "image_std": [0.26, 0.26, 0.27],
}
DINO_EYES = {
    "size": {"shortest_edge": 64},
    "crop_size": {"height": 56, "width": 56},
    "do_center_crop": True,
    "resample": 3,
    "image_mean": [0.485, 0.456, 0.406],
    "image_std": [0.229, 0.224, 0.225],
}


def seeded(build, config, seed=0) -> nn.Module:
    """A network with random weights, without disturbing the global random state."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = build(config)
    return network.eval()


def put_json(path: Path, content) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def put_tensors(path: Path, tensors, dtype=torch.float16) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(
        {name: t.detach().to(dtype).contiguous().clone() for name, t in tensors.items()}, path
    )
    return path


@torch.no_grad()
def with_surface(vae: nn.Module) -> nn.Module:
    """Make the field a ball for every latent, nearly: its last layer is solved for, and the latents
    hardly count.
    """
    vae.post_quant.weight.mul_(0.02)
    points = torch.cartesian_prod(*(torch.linspace(-1, 1, 13),) * 3)
    tokens = vae.decoder_tokens(torch.zeros(1, 16, LATENT))
    seen = {}
    hook = vae.decoder.proj_out.register_forward_hook(
        lambda module, given, out: seen.update(features=given[0][0])
    )
    vae.field(points[None], tokens)
    hook.remove()
    wanted = -(
        0.6 - points.norm(dim=1)
    )  # the published sign: field = -proj_out(...), positive inside
    features = torch.cat([seen["features"], torch.ones(len(points), 1)], dim=1)
    solution = torch.linalg.lstsq(features, wanted[:, None], driver="gelsd").solution[:, 0]
    vae.decoder.proj_out.weight.copy_(solution[:-1][None])
    vae.decoder.proj_out.bias.copy_(solution[-1:])
    return vae


def write_midi(root: Path, dtype=torch.float16, shards: bool = False) -> Path:
    """The folder of VAST-AI/MIDI-3D, small, below ``root``."""
    folder = root / "MIDI-3D"
    flow_config = FLOW | {
        "cross_attention_dim": CLIP["projection_dim"],
        "cross_attention_2_dim": DINO["hidden_size"],
    }
    dino_config = DINO | {"num_channels": 7}
    put_json(folder / "model_index.json", {"_class_name": "MIDIPipeline"})
    scheduler = {"_class_name": "RectifiedFlowScheduler", "num_train_timesteps": 1000, "shift": 1.0}
    put_json(folder / "scheduler" / "scheduler_config.json", scheduler)
    put_json(folder / "feature_extractor_1" / "preprocessor_config.json", CLIP_EYES)
    put_json(folder / "feature_extractor_2" / "preprocessor_config.json", DINO_EYES)
    eyes = seeded(clip.build, CLIP, 1)
    dino = seeded(build_transformers, dino_config, 2)
    flow = seeded(triposg.build_flow, flow_config, 3)
    vae = with_surface(seeded(triposg.build_vae, VAE, 4))
    heads = triposg.attention_rules
    parts = {
        "image_encoder_1": (CLIP, to_published(eyes.state_dict(), clip.NAMES), "model"),
        "image_encoder_2": (
            dino_config,
            to_published(dino.state_dict(), TRANSFORMERS_NAMES),
            "model",
        ),
        "transformer": (
            flow_config,
            to_published(flow.state_dict(), heads(flow.config.heads)),
            "diffusion_pytorch_model",
        ),
        "vae": (
            VAE,
            to_published(vae.state_dict(), heads(vae.config.heads)),
            "diffusion_pytorch_model",
        ),
    }
    for name, (config, tensors, stem) in parts.items():
        put_json(folder / name / "config.json", config)
        if shards and name == "transformer":
            put_shards(folder / name, stem, tensors, dtype)
        else:
            put_tensors(
                folder / name / f"{stem}.safetensors",
                tensors,
                torch.float32 if name == "vae" else dtype,
            )
    return root


def write_triposg(root: Path, dtype=torch.float32) -> Path:
    """The folder of VAST-AI/TripoSG, small, below ``root``."""
    folder = root / "TripoSG"
    flow_config = FLOW | {"cross_attention_dim": DINO["hidden_size"]}
    dino_config = DINO | {"num_channels": 3}
    put_json(folder / "model_index.json", {"_class_name": "TripoSGPipeline"})
    put_json(
        folder / "scheduler" / "scheduler_config.json",
        {"_class_name": "RectifiedFlowScheduler", "shift": 1},
    )
    put_json(folder / "feature_extractor_dinov2" / "preprocessor_config.json", DINO_EYES)
    dino = seeded(build_transformers, dino_config, 2)
    flow = seeded(triposg.build_flow, flow_config, 3)
    vae = with_surface(seeded(triposg.build_vae, VAE, 4))
    heads = triposg.attention_rules
    weights = "diffusion_pytorch_model"
    for name, config, tensors, stem in (
        (
            "image_encoder_dinov2",
            dino_config,
            to_published(dino.state_dict(), TRANSFORMERS_NAMES),
            "model",
        ),
        (
            "transformer",
            flow_config,
            to_published(flow.state_dict(), heads(flow.config.heads)),
            weights,
        ),
        ("vae", VAE, to_published(vae.state_dict(), heads(vae.config.heads)), weights),
    ):
        put_json(folder / name / "config.json", config)
        put_tensors(folder / name / f"{stem}.safetensors", tensors, dtype)
    return root


def put_shards(folder: Path, stem: str, tensors, dtype) -> None:
    """Two shards and their index, as diffusers writes them."""
    names = sorted(tensors)
    halves = (names[::2], names[1::2])
    where = {}
    for k, half in enumerate(halves, 1):
        file = f"{stem}-{k:05d}-of-00002.safetensors"
        put_tensors(folder / file, {name: tensors[name] for name in half}, dtype)
        where |= dict.fromkeys(half, file)
    put_json(folder / f"{stem}.safetensors.index.json", {"metadata": {}, "weight_map": where})
