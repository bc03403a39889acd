"""I-Scene at its published size on a graphics card, with random weights: seconds and memory of each
stage against the floor.

    python benchmarks/gpu_iscene.py --out iscene.json                      # five instances, 25 + 25
    steps, guidance 3, bfloat16 python benchmarks/gpu_iscene.py --compile reduce-overhead
    # torch.compile of the blocks, with CUDA graphs python benchmarks/gpu_iscene.py --slots 3
    # with the instance in its own crop too python benchmarks/gpu_iscene.py --tiny --device cpu
    # rehearsal in seconds

Nothing is downloaded: times do not depend on the values of the weights. Only the number of active
cells does, so it is given (--cells). The aim: at most twice the operations' floor at the card's
rate (--peak, in TFLOP/s), and 1.5 s per instance. Each stage runs once to warm up and then --rounds
times; the fastest round counts."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from maquette.checkpoints.full_size import CONFIGS, RELEASE_NETWORKS, release_size
from maquette.checkpoints.memory import MemoryPlan, estimated, peak_memory, reset_peak
from maquette.checkpoints.verify import model_of
from maquette.flow.trellis import TrellisSampling
from maquette.models.iscene3d import draw_noise, encode_slots, sample_slots
from maquette.models.trellis3d import LatentStage, decode_meshes, sample_latents
from maquette.nn.sparse import Voxels

NETWORKS = RELEASE_NETWORKS["trellis-iscene"]
SETTINGS = {
    2: "global",
    3: "global local",
}  # the release, and the form that its code has by default
TINY: dict[str, dict[str, Any]] = {
    "dino": {"dinov2": {"embed_dim": 64, "depth": 2, "num_heads": 2}},
    "structure-flow": {
        "model_channels": 64,
        "cond_channels": 64,
        "num_blocks": 6,
        "num_heads": 2,
        "resolution": 8,
    },
    "structure-decoder": {"channels": [32, 16, 8]},
    "slat-flow": {
        "model_channels": 64,
        "cond_channels": 64,
        "num_blocks": 2,
        "num_heads": 2,
        "io_block_channels": [32],
    },
    "mesh-decoder": {"model_channels": 256, "num_blocks": 2, "num_heads": 4},
}


def config_of(part: str, args: argparse.Namespace) -> dict[str, Any]:
    """The published configuration, or a small one of the same form."""
    config = dict(CONFIGS[NETWORKS[part]])
    if part == "structure-flow":
        config |= {"args": config["args"] | {"exp_setting": SETTINGS[args.slots]}}
    if args.tiny:
        config |= {"args": config["args"] | TINY[part]} if part != "dino" else TINY[part]
    return config


def random_network(part: str, args: argparse.Namespace) -> nn.Module:
    """A network with random weights, loaded as from a file, on the device."""
    model = model_of(config := config_of(part, args), part)
    with torch.device("meta"):
        network = model.build(config)
    draw = {
        key: torch.empty(shape, dtype=args.dtype, device=args.device).normal_(0, 0.02)
        for key, shape in model.shapes(network).items()
    }
    model.load(network, draw, args.dtype)
    return network.to(args.device)


def compiled(network: nn.Module, mode: str | None) -> nn.Module:
    """The same network with its transformer blocks compiled."""
    blocks = getattr(network, "flow", network).blocks
    if mode:
        for index, block in enumerate(blocks):
            blocks[index] = torch.compile(block, mode=mode, dynamic=False)
    return network


def ball(cells: int, device: torch.device, resolution: int = 64) -> Voxels:
    """The shell of a sphere with about so many cells."""
    axis = torch.arange(resolution) - (resolution - 1) / 2
    distance = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij")).norm(dim=0)
    radius = min(
        range(2, resolution // 2), key=lambda r: abs(int(((distance - r).abs() < 1).sum()) - cells)
    )
    rows = torch.nonzero((distance - radius).abs() < 1)
    return Voxels.of(
        torch.cat([torch.zeros_like(rows[:, :1]), rows], dim=1).to(device), resolution, 1
    )


def timed(run: Callable[[], Any], args: argparse.Namespace) -> dict[str, float]:
    """Fastest seconds, counted operations and peak memory of a stage."""

    def once() -> float:
        synchronise(args.device)
        start = time.perf_counter()
        run()
        synchronise(args.device)
        return time.perf_counter() - start

    with FlopCounterMode(display=False) as counter:
        first = once()
    reset_peak(args.device)
    seconds = min(once() for _ in range(args.rounds))
    return {
        "seconds": seconds,
        "first_seconds": first,
        "tflop": counter.get_total_flops() / 1e12,
        "peak_mb": peak_memory(args.device),
    }


def synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def show(stage: str, result: dict[str, float]) -> dict[str, dict[str, float]]:
    print(
        f"{stage:<10} {result['seconds']:8.3f} s  {result['tflop']:8.2f} TFLOP  peak "
        f"{result['peak_mb']:8.0f} MB",
        flush=True,
    )
    return {stage: result}


# One function for each stage, so that its networks are freed when it returns, as in a staged plan.
def image_stage(args: argparse.Namespace) -> tuple[dict[str, dict[str, float]], torch.Tensor]:
    eyes = random_network("dino", args)
    side = 70 if args.tiny else 518
    pictures = torch.rand(args.instances, args.slots, 3, side, side, device=args.device)
    return show("image", timed(lambda: encode_slots(eyes, pictures), args)), encode_slots(
        eyes, pictures
    )


def structure_stage(args: argparse.Namespace, context: torch.Tensor) -> dict[str, dict[str, float]]:
    flow = compiled(random_network("structure-flow", args), args.compile)
    noise = draw_noise(flow, torch.Generator().manual_seed(0))
    return show(
        "structure", timed(lambda: sample_slots(flow, context, noise, sampling_of(args)), args)
    )


def cells_stage(args: argparse.Namespace) -> dict[str, dict[str, float]]:
    decoder = random_network("structure-decoder", args)
    latents = torch.randn(
        args.instances * args.slots, decoder.config.latent_channels, *(16,) * 3, device=args.device
    )
    return show(
        "cells", timed(lambda: [decoder.decode_raw(latent) for latent in latents.split(1)], args)
    )


def latents_stage(
    args: argparse.Namespace, context: torch.Tensor, voxels: Voxels
) -> dict[str, dict[str, float]]:
    slat = compiled(random_network("slat-flow", args), args.compile)
    sampling = sampling_of(args)
    stage = LatentStage(slat, torch.zeros(8), torch.ones(8))
    start = torch.randn(len(voxels), 8)
    return show(
        "latents",
        timed(
            lambda: [
                sample_latents(stage, voxels, tokens[:1], start, sampling) for tokens in context
            ],
            args,
        ),
    )


def mesh_stage(args: argparse.Namespace, voxels: Voxels) -> dict[str, dict[str, float]]:
    decoder = random_network("mesh-decoder", args)
    drawn = torch.randn(len(voxels), 8, device=args.device)
    return show(
        "mesh",
        timed(lambda: [decode_meshes(decoder, drawn, voxels) for _ in range(args.instances)], args),
    )


def sampling_of(args: argparse.Namespace) -> TrellisSampling:
    return TrellisSampling(steps=args.steps, strength=args.strength)


def benchmark(args: argparse.Namespace) -> dict[str, Any]:
    found, context = image_stage(args)
    voxels = ball(args.cells, args.device)
    found |= (
        structure_stage(args, context)
        | cells_stage(args)
        | latents_stage(args, context, voxels)
        | mesh_stage(args, voxels)
    )
    return summary(args, found, len(voxels))


def summary(
    args: argparse.Namespace, found: dict[str, dict[str, float]], cells: int
) -> dict[str, Any]:
    """The measurement as a table for people and as JSON: seconds of all stages against the floor of
    their operations.
    """
    seconds = sum(stage["seconds"] for stage in found.values())
    least = sum(stage["tflop"] for stage in found.values())
    device = torch.cuda.get_device_name(args.device) if args.device.type == "cuda" else "processor"
    result = {
        "device": device,
        "torch": torch.__version__,
        "dtype": str(args.dtype),
        "compile": args.compile,
        "instances": args.instances,
        "slots": args.slots,
        "steps": args.steps,
        "cells": cells,
        "tiny": args.tiny,
        "stages": found,
        "seconds": seconds,
        "seconds_per_instance": seconds / args.instances,
        "floor_tflop": least,
        "floor_seconds": least / args.peak,
        "times_the_floor": seconds / (least / args.peak),
    }
    if not args.tiny:
        plan = MemoryPlan(args.dtype, staged=True)
        size = release_size("trellis-iscene")
        result["estimated_mb"] = estimated(plan, size, args.device, args.instances).estimates
    print(
        f"{device}: {seconds:.2f} s in all, {result['seconds_per_instance']:.2f} s per instance, "
        f"floor {least:.1f} TFLOP = "
        f"{result['floor_seconds']:.3f} s at {args.peak:.0f} TFLOP/s, "
        f"{result['times_the_floor']:.1f} times the floor"
    )
    return result


def main() -> None:
    """Measure what the arguments ask for, and write it to ``--out``."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cuda", type=torch.device)
    parser.add_argument("--dtype", default="bfloat16", type=lambda name: getattr(torch, name))
    parser.add_argument("--instances", type=int, default=5)
    parser.add_argument(
        "--slots",
        type=int,
        default=2,
        choices=tuple(SETTINGS),
        help="of each instance: 2 as released (default), or 3",
    )
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument(
        "--strength",
        type=float,
        default=3.0,
        help="the release's cfg_strength; guidance weight minus 1",
    )
    parser.add_argument("--cells", type=int, default=12_000)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--compile", choices=("default", "reduce-overhead", "max-autotune"))
    parser.add_argument(
        "--peak", type=float, default=790.0, help="TFLOP/s of the card in bfloat16 (default: H200)"
    )
    parser.add_argument("--tiny", action="store_true", help="small networks: a rehearsal")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    if args.tiny:
        args.cells, args.steps, args.instances = (
            min(args.cells, 300),
            min(args.steps, 4),
            min(args.instances, 2),
        )
    with torch.inference_mode():
        result = benchmark(args)
    if args.out:
        args.out.write_text(json.dumps(result, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
