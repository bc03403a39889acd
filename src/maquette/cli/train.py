"""``maquette train``: train or fine-tune one of the networks, resumably."""

from __future__ import annotations

import argparse
import sys

EPILOG = """examples:
  maquette data import MESHES/ --out library
  maquette train volume-vae    --data library --out runs/vae      --minutes 20
  maquette train image-encoder --data library --out runs/encoder  --minutes 60
  maquette train instance      --data library --out runs/instance --minutes 30 --vae runs/vae/weights.safetensors
  maquette train iscene        --data library --out runs/iscene   --minutes 60 --vae runs/vae/weights.safetensors \\
                               --init runs/instance/weights.safetensors
  maquette train midi          --data library --out runs/midi     --minutes 40 --vae runs/vae/weights.safetensors \\
                               --init runs/iscene/weights.safetensors
  maquette train shapes        --data library --out runs/shapes   --minutes 30 --vae runs/vae/weights.safetensors
  maquette train coherent      --data library --out runs/coherent --minutes 60 --vae runs/vae/weights.safetensors \\
                               --generator runs/iscene/weights.safetensors --shapes runs/shapes/weights.safetensors
  maquette train text-to-image --data library --out runs/words    --minutes 90
  maquette train iscene        --data library --out runs/large    --steps 40000 --base ~/.cache/maquette --device cuda
ablations of I-Scene: --no-scene-context, --frame canonical, --scenes rooms
ablations of the other methods: see the groups below
several GPUs: torchrun --nproc-per-node 4 -m maquette train iscene ... --device cuda
"""


# network -> samples per step, learning rate, optimizer: muon where it was measured to be better
# (docs/log.md)
DEFAULTS = {
    "volume-vae": (16, 1e-3, "adamw"),
    "image-encoder": (16, 1e-3, "muon"),
    "lift": (4, 1e-3, "adamw"),
    "instance": (6, 6e-4, "adamw"),
    "iscene": (5, 4e-4, "adamw"),
    "midi": (4, 2e-4, "adamw"),
    "shapes": (8, 1e-3, "adamw"),
    "coherent": (8, 5e-4, "adamw"),
    "text-to-image": (4, 1e-3, "adamw"),
}
FINE_TUNING = (8, 5e-5, "adamw")  # the same with --base: the paper's


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "train",
        help="train or fine-tune a network",
        description="Train one of the networks on random scenes composed from an asset library.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "network",
        choices=tuple(DEFAULTS),
        help="what to train; lift = only the generator's first guess, a cheap start for the next two",
    )
    parser.add_argument(
        "--data", required=True, metavar="LIBRARY", help="asset library (see: maquette data import)"
    )
    parser.add_argument(
        "--held-out",
        metavar="LIBRARY",
        help="library for the examination (default: the same assets in unseen scenes)",
    )
    parser.add_argument(
        "--views",
        metavar="SHARDS",
        help="rendered views (maquette data build); default: render while training",
    )
    parser.add_argument(
        "--out",
        required=True,
        metavar="RUN",
        help="run folder: checkpoints, log.csv, loss.png, pictures",
    )
    parser.add_argument("--resume", action="store_true", help="continue the run in --out")
    length = parser.add_mutually_exclusive_group(required=True)
    length.add_argument(
        "--minutes",
        type=float,
        metavar="M",
        help="training time in all; the learning rate ends with it",
    )
    length.add_argument("--steps", type=int, metavar="N", help="number of steps in all")
    parser.add_argument(
        "--slice", type=float, metavar="M", help="stop after M minutes of this call, to be resumed"
    )
    parser.add_argument(
        "--batch",
        type=int,
        default=None,
        metavar="N",
        help="samples per step (views, for the generator)",
    )
    parser.add_argument("--learning-rate", type=float, default=None, metavar="R")
    parser.add_argument(
        "--optimizer",
        choices=("muon", "adamw"),
        help="default: muon for the image encoder, else adamw",
    )
    parser.add_argument(
        "--workers",
        type=int,
        default=1,
        metavar="N",
        help="processes that prepare data (default 1)",
    )
    parser.add_argument(
        "--threads", type=int, default=None, metavar="N", help="CPU threads for the network"
    )
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda", "mps"))
    parser.add_argument("--precision", default="auto", choices=("auto", "fp32", "bf16"))
    parser.add_argument("--compile", action="store_true", help="torch.compile the network")
    parser.add_argument(
        "--preset",
        default="cpu",
        choices=("tiny", "cpu", "gpu"),
        help="size of the networks (default: cpu = embedded)",
    )
    parser.add_argument(
        "--picture",
        type=int,
        metavar="PX",
        help="side of the image encoder's pictures, 16 k (default: its own)",
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--vae", metavar="FILE", help="weights of the volume VAE (default: embedded)"
    )
    parser.add_argument("--init", metavar="FILE", help="weights to start from")
    parser.add_argument(
        "--base",
        metavar="FOLDER",
        help="iscene: fine-tune published weights (the folder of `maquette models fetch`)",
    )
    parser.add_argument(
        "--generator",
        metavar="FILE",
        help="coherent: generator whose encoder it looks through (default: embedded)",
    )
    parser.add_argument(
        "--shapes", metavar="FILE", help="coherent: weights of its shapes (default: embedded)"
    )
    parser.add_argument(
        "--scenes",
        default="mixed",
        choices=("mixed", "random", "rooms"),
        help="training scenes (rooms: ablation)",
    )
    parser.add_argument(
        "--frame",
        default="view-centric",
        choices=("view-centric", "canonical"),
        help="canonical: ablation",
    )
    parser.add_argument(
        "--no-scene-context", action="store_true", help="ablation without scene-context attention"
    )
    midi = parser.add_argument_group("midi, with its ablations")
    midi.add_argument(
        "--joint-blocks",
        type=int,
        metavar="K",
        help="blocks with multi-instance attention (default: half; 0 = none)",
    )
    midi.add_argument(
        "--no-scene-image", action="store_true", help="without the picture of the whole scene"
    )
    midi.add_argument(
        "--single-objects",
        type=float,
        default=0.3,
        metavar="SHARE",
        help="share of single objects (default 0.3; 0 = none)",
    )
    coherent = parser.add_argument_group("coherent, with its ablations")
    coherent.add_argument(
        "--no-diffusion", action="store_true", help="regress poses and shapes in one step"
    )
    coherent.add_argument(
        "--no-intra-scene", action="store_true", help="objects do not see each other"
    )
    coherent.add_argument(
        "--no-joint", action="store_true", help="poses and shapes apart, without the alignment loss"
    )
    coherent.add_argument(
        "--no-yaw",
        action="store_true",
        help="shapes in the view's axes instead of their own with a yaw",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Train."""
    import os
    from pathlib import Path

    import torch

    from maquette.errors import InputError
    from maquette.pipeline import choose_device
    from maquette.train.coherent import CoherentOptions
    from maquette.train.finetune import write_release
    from maquette.train.loop import LoopConfig, Run
    from maquette.train.midi import MidiOptions
    from maquette.train.runs import RunOptions, base_of, build_task, data_record

    if args.threads:
        torch.set_num_threads(args.threads)
    if not args.resume and (Path(args.out) / "checkpoint.pt").exists():
        raise InputError(
            f"{args.out} already holds a run; pass --resume to continue it or choose another folder"
        )
    torch.manual_seed(args.seed)
    options = RunOptions(
        args.network,
        args.data,
        args.held_out,
        args.preset,
        args.scenes,
        not args.no_scene_context,
        args.frame,
        args.vae,
        args.init,
        args.views,
        picture_size=args.picture,
        seed=args.seed,
        base=args.base,
        generator=args.generator,
        shapes=args.shapes,
        midi=MidiOptions(args.joint_blocks, not args.no_scene_image, args.single_objects),
        coherent=CoherentOptions(
            not args.no_diffusion, not args.no_intra_scene, not args.no_joint, not args.no_yaw
        ),
    )
    default_batch, default_rate, default_optimizer = (
        FINE_TUNING if args.base else DEFAULTS[args.network]
    )
    config = LoopConfig(
        steps=args.steps,
        minutes=args.minutes,
        slice_minutes=args.slice,
        batch=args.batch or default_batch,
        learning_rate=args.learning_rate or default_rate,
        seed=args.seed,
        workers=args.workers,
        precision=args.precision,
        compile=args.compile,
        optimizer=args.optimizer or default_optimizer,
    )
    task = build_task(options)
    training = Run(
        task,
        args.out,
        config,
        choose_device(args.device).type,
        data_record(options),
        base_of(options),
    )
    if args.resume:
        training.resume()
    parameters = sum(p.numel() for p in training.model.parameters() if p.requires_grad)
    main = int(os.environ.get("RANK", 0)) == 0

    def log(line: str) -> None:
        if main:
            print(line, flush=True)

    precision = "bf16" if training.bf16 else "fp32"
    log(
        f"{args.network}: {parameters / 1e6:.2f} M parameters, {training.device}, {precision}, batch {config.batch} -> {args.out}"
    )
    try:
        training.train(log)
    except KeyboardInterrupt:
        print(f"stopped at step {training.progress.step}; continue with --resume", file=sys.stderr)
        return 130
    log(
        f"done: {training.progress.step} steps, {training.progress.seconds / 60:.1f} minutes; weights in {args.out}/weights.safetensors"
    )
    if args.base and main:
        log(
            f"and in the layout of the release in {write_release(args.out, training.average, task.base)}"
        )
    return 0
