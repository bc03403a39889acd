"""Time and operations of the published samplers with and without each exact saving, on random
weights: python benchmarks/savings.py.

Small sizes by default, so that a CPU answers within minutes; ``--scale published`` needs an
accelerator. Every variant is timed in turn, several rounds, and the fastest round counts. Results
are ratios to the plain path on the same machine."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import fields, replace

import torch

from maquette.flow.trellis import TrellisSampling
from maquette.models.iscene3d import draw_noise, sample_slots
from maquette.models.midi3d import MidiCondition, MidiSampling, decode_field, sample_midi
from maquette.models.savings import ALL, PLAIN, Savings
from maquette.models.scene_context_flow import SceneContextFlow, SceneContextFlowConfig
from maquette.models.structure_flow import StructureFlowConfig
from maquette.models.vecset_flow import VecSetFlow, VecSetFlowConfig, midi_joint_blocks
from maquette.models.vecset_vae import VecSetVAE, VecSetVAEConfig

# structure: resolution, width, blocks, context tokens; vector set: width, blocks, latent vectors;
# grid cells
SCALES = {
    "small": ((6, 128, 6, 100), (128, 7, 128), 64),
    "published": ((16, 1024, 24, 1374), (2048, 21, 2048), 256),
}


def structure(
    scale: str, device: str, dtype: torch.dtype, steps: int, instances: int
) -> Callable[[Savings], torch.Tensor]:
    """I-Scene's structure stage."""
    resolution, width, blocks, tokens = SCALES[scale][0]
    flow = StructureFlowConfig(
        resolution=resolution,
        channels=8,
        width=width,
        blocks=blocks,
        heads=width // 64,
        patch=1,
        context_width=width,
        share_modulation=False,
        scene_context_blocks=0,
        lift_channels=0,
    )
    network = (
        SceneContextFlow(SceneContextFlowConfig(flow, key_gate=True))
        .eval()
        .requires_grad_(False)
        .to(device)
    )
    torch.nn.init.normal_(network.flow.out_layer.weight, std=0.02)
    network.flow.blocks.to(dtype)
    context = torch.randn(instances, 3, tokens, width, device=device)
    context[:, 1] = context[0, 1]
    noise = draw_noise(network, torch.Generator().manual_seed(0))
    return lambda savings: sample_slots(
        network, context, noise, TrellisSampling(steps=steps, strength=3.0), savings
    )


def joint(
    scale: str, device: str, dtype: torch.dtype, steps: int, instances: int
) -> Callable[[Savings], torch.Tensor]:
    """MIDI-3D's sampling."""
    width, blocks, vectors = SCALES[scale][1]
    heads = width // 64 if scale == "small" else 16
    config = VecSetFlowConfig(
        64, width, blocks, heads, (width * 3 // 8, width // 2), midi_joint_blocks(blocks)
    )
    network = VecSetFlow(config).eval().requires_grad_(False).to(device)
    network.blocks.to(dtype)
    summary = torch.randn(instances, 1, width * 3 // 8, device=device)
    tokens = torch.randn(instances, 257, width // 2, device=device)
    condition = MidiCondition(summary, tokens)
    noise = torch.randn(instances, vectors, 64, device=device)
    return lambda savings: sample_midi(network, condition, noise, MidiSampling(steps), savings)


def field(
    scale: str, device: str, dtype: torch.dtype, steps: int, instances: int
) -> Callable[[Savings], torch.Tensor]:
    """Decoding of one instance; the bias is set so that a surface passes through the cube."""
    width = SCALES[scale][1][0]
    vectors = SCALES[scale][1][2]
    cells = SCALES[scale][2]
    network = VecSetVAE(
        VecSetVAEConfig(
            heads=8,
            encoder_width=64,
            encoder_blocks=1,
            decoder_width=width // 2,
            decoder_blocks=8,
            frequencies=2,
        )
    )
    network = network.eval().requires_grad_(False).to(device)
    network.decoder.blocks.to(dtype)
    latent = torch.randn(vectors, 64, device=device)
    corner = torch.tensor([[[0.4, 0.4, 0.4]]], device=device)
    network.decoder.proj_out.bias += network.field(corner, network.prepare(latent[None])).item()
    return lambda savings: decode_field(network, latent, cells, savings)[0].values


def measure(
    run: Callable[[Savings], torch.Tensor], variants: dict[str, Savings], rounds: int, device: str
) -> dict[str, float]:
    """Fastest seconds of each variant; all variants in turn in every round. On a CPU its own
    seconds count, whatever else runs.
    """
    clock = time.process_time if device == "cpu" else time.perf_counter
    best = dict.fromkeys(variants, float("inf"))
    for _ in range(rounds):
        for name, savings in variants.items():
            started = clock()
            float(run(savings).flatten()[0])  # waits for the device
            best[name] = min(best[name], clock() - started)
    return best


def main() -> None:
    """Print one table per task."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scale", default="small", choices=tuple(SCALES))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16", "float16"))
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--instances", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=2)
    args = parser.parse_args()
    useful = {
        "structure": ("one_batch", "constants", "cache", "shared_scene"),
        "joint": ("one_batch", "constants", "cache"),
        "field": ("octree",),
    }
    assert set().union(*useful.values()) == {f.name for f in fields(Savings)}
    for name, make in (("structure", structure), ("joint", joint), ("field", field)):
        run = make(args.scale, args.device, getattr(torch, args.dtype), args.steps, args.instances)
        variants = (
            {"plain": PLAIN} | {s: replace(PLAIN, **{s: True}) for s in useful[name]} | {"all": ALL}
        )
        seconds = measure(run, variants, args.rounds, args.device)
        reference = run(PLAIN)
        print(
            f"\n{name} ({args.scale}, {args.dtype}, {args.instances} instances, {args.steps} steps)"
        )
        for variant, took in seconds.items():
            error = (
                (run(variants[variant]) - reference).abs().max().item()
                if name != "field"
                else float("nan")
            )
            print(
                f"| {variant:12s} | {took:7.2f} s | {seconds['plain'] / took:5.2f} x | "
                f"{error:.1e} |"
            )


if __name__ == "__main__":
    main()
