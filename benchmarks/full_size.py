"""Every published network at its published size, with random weights: one evaluation, its
operations, time and memory.

    python benchmarks/full_size.py --threads 1 --out table.md [--only iscene,midi]

One network at a time, in bfloat16, so that 12 GB are enough. "floor" is what the evaluation needs
at least (matrix products, attention, convolutions, with keys, values and modulations that exist
already); "counted" is what torch.utils.flop_counter sees in the run."""

from __future__ import annotations

import argparse
import gc
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from maquette.checkpoints.full_size import CONFIGS
from maquette.checkpoints.memory import peak_memory, reset_peak, resident_memory
from maquette.checkpoints.verify import model_of
from maquette.models.vision import trellis_tokens
from maquette.nn.sparse import Voxels

CPU = torch.device("cpu")


def fused_attention(query, key, value, *rest, out_shape=None, **options) -> int:
    """Operations of the processor's fused attention, which torch's counter does not know."""
    return sdpa_flop_count(query, key, value)


KNOWN = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: fused_attention}


def network(name: str, dtype: torch.dtype) -> nn.Module:
    """The network at its published size with small random weights, loaded as from a file."""
    config = CONFIGS[name]
    generator = torch.Generator().manual_seed(0)
    model = model_of(config, name)
    with torch.device("meta"):
        built = model.build(config)
    draw = {
        key: torch.empty(shape, dtype=dtype).normal_(0, 0.02, generator=generator)
        for key, shape in model.shapes(built).items()
    }
    model.load(built, draw, dtype)
    return built


def ball(radius: float, resolution: int = 64) -> Voxels:
    """The cells of a sphere's shell, about as many as an object has."""
    axis = torch.arange(resolution) - (resolution - 1) / 2
    distance = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij")).norm(dim=0)
    cells = torch.nonzero((distance - radius).abs() < 1.0)
    return Voxels.of(torch.cat([torch.zeros_like(cells[:, :1]), cells], dim=1), resolution, 1)


def vision(side: int, channels: int, released: bool) -> Callable[[nn.Module], Tensor]:
    def run(net: nn.Module) -> Tensor:
        pictures = torch.rand(1, channels, side, side)
        return trellis_tokens(net, pictures) if released else net.normed(pictures)

    return run


def structure(net: nn.Module) -> Tensor:
    return net(torch.randn(1, 8, 16, 16, 16), torch.tensor([0.7]), torch.randn(1, 1374, 1024))


def scene_context(net: nn.Module) -> Tensor:
    return net(torch.randn(1, 3, 8, 16, 16, 16), torch.tensor([0.7]), torch.randn(1, 3, 1374, 1024))


def latents(net: nn.Module) -> Tensor:
    voxels = ball(19.0)
    return net(torch.randn(len(voxels), 8), voxels, torch.tensor([0.7]), torch.randn(1, 1374, 1024))


def trunk(channels: int) -> Callable[[nn.Module], Tensor]:
    def run(net: nn.Module) -> Tensor:
        voxels = ball(19.0)
        return net(torch.randn(len(voxels), channels), voxels)

    return run


def mesh(net: nn.Module) -> Tensor:
    voxels = ball(9.0)  # an object of a quarter of the cells: the fine grid has 64 times as many
    return net(torch.randn(len(voxels), 8), voxels)


def vectors(widths: tuple[int, ...], tokens: tuple[int, ...]) -> Callable[[nn.Module], Tensor]:
    def run(net: nn.Module) -> Tensor:
        contexts = [
            torch.randn(1, count, width).to(net.proj_in.weight.dtype)
            for count, width in zip(tokens, widths)
        ]
        return net(torch.randn(1, 2048, 64), torch.tensor([0.7]), contexts)

    return run


def field(net: nn.Module) -> Tensor:
    return net.field(torch.rand(1, 100_000, 3), net.prepare(torch.randn(1, 2048, 64)))


@dataclass(frozen=True)
class Case:
    """One network and what is run of it."""

    name: str
    what: str
    run: Callable[[nn.Module], Tensor]
    floor: float | None = None  # TFLOP


CASES = (
    Case("dinov2_vitl14_reg", "one picture of 518 pixels", vision(518, 3, True), 1.02),
    Case("ss_flow_img_dit_L_16l8_fp16", "one forward pass", structure, 5.227),
    Case(
        "iscene_denoiser",
        "one forward pass, one instance, three slots",
        scene_context,
        3 * 5.227 + 0.687,
    ),
    Case(
        "ss_dec_conv3d_16l8_fp16",
        "one latent to 64^3",
        lambda net: net.decode_raw(torch.randn(1, 8, 16, 16, 16)),
        0.813,
    ),
    Case("slat_flow_img_dit_L_64l8p2_fp16", "one forward pass", latents),
    Case("slat_dec_gs_swin8_B_64l8gs32_fp16", "one object", trunk(8)),
    Case("slat_dec_mesh_swin8_B_64l8m256c_fp16", "one object, to 256^3", mesh),
    Case("slat_enc_swin8_B_64l8_fp16", "one object", trunk(1024)),
    Case(
        "clip_vit_l14_proj",
        "one picture of 224 pixels",
        lambda net: net.summary(torch.rand(1, 3, 224, 224)),
    ),
    Case("dinov2_large_7ch", "one picture of 224 pixels", vision(224, 7, False)),
    Case(
        "midi_transformer", "one forward pass, one instance", vectors((768, 1024), (1, 257)), 6.979
    ),
    Case("triposg_transformer", "one forward pass", vectors((1024,), (257,))),
    Case("triposg_vae", "100,000 points of one latent", field),
)


def measured(case: Case, dtype: torch.dtype, held: float) -> tuple[str, ...]:
    """One row of the table; ``held``: MB of the process before the first network."""
    start = time.perf_counter()
    net = network(case.name, dtype)
    made = time.perf_counter() - start
    parameters = sum(p.numel() for p in net.parameters())
    weights = sum(t.numel() * t.element_size() for t in net.state_dict().values()) / 2**20
    gc.collect()
    reset_peak(CPU)
    start = time.process_time()
    wall = time.perf_counter()
    with torch.inference_mode(), FlopCounterMode(display=False, custom_mapping=KNOWN) as counter:
        out = case.run(net)
    seconds = time.process_time() - start
    wall = time.perf_counter() - wall
    finite = bool(torch.isfinite(out.float()).all())
    count = counter.get_total_flops() / 1e12
    peak = peak_memory(CPU) - held
    print(
        f"{case.name}: {count:.3f} TFLOP, {seconds:.1f} s of processor time, {wall:.1f} s, peak "
        f"+{peak:.0f} MB, made in {made:.0f} s, "
        f"shape {tuple(out.shape)}, {'finite' if finite else 'NOT FINITE'}",
        flush=True,
    )
    floor = "-" if case.floor is None else f"{case.floor:.3f}"
    return (
        f"`{case.name}`",
        f"{parameters / 1e6:.1f}",
        case.what,
        f"{count:.3f}",
        floor,
        f"{seconds:.1f}",
        f"{count / seconds:.2f}",
        f"{weights:.0f}",
        f"{peak:.0f}" if math.isfinite(peak) else "-",
    )


def counted(case: Case) -> str:
    """Operations of a network on the meta device, where nothing is computed; sparse networks need
    real cells and cannot be counted so.
    """
    with (
        torch.device("meta"),
        torch.inference_mode(),
        FlopCounterMode(display=False, custom_mapping=KNOWN) as counter,
    ):
        net = model_of(CONFIGS[case.name], case.name).build(CONFIGS[case.name]).eval()
        try:
            case.run(net)
        except NotImplementedError:
            return f"{case.name}: depends on its cells"
    return f"{case.name}: {counter.get_total_flops() / 1e12:.3f} TFLOP, floor {case.floor or '-'}"


def main() -> None:
    """Run the cases one after the other, or only count their operations; write the table row by
    row.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", default="", help="names, separated by commas; in this order")
    parser.add_argument("--dtype", default="bfloat16", choices=("bfloat16", "float32"))
    parser.add_argument("--out", type=Path, help="write the table there, row by row")
    parser.add_argument(
        "--count", action="store_true", help="only count operations, without computing"
    )
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    cases = {case.name: case for case in CASES}
    if args.count:
        print(
            "\n".join(
                counted(cases[name]) for name in (args.only.split(",") if args.only else cases)
            )
        )
        return
    head = (
        "network",
        "parameters (M)",
        "what was run",
        "TFLOP counted",
        "floor",
        "processor s",
        "TFLOP/s",
        "weights MB",
        "peak MB",
    )
    rows = [head, tuple("---" for _ in head)]
    held = resident_memory() / 2**20
    for name in args.only.split(",") if args.only else cases:
        rows.append(measured(cases[name], getattr(torch, args.dtype), held))
        gc.collect()
        if args.out:
            args.out.write_text(
                "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n", encoding="utf-8"
            )


if __name__ == "__main__":
    main()
