"""``maquette models``: the published models - list, fetch, convert, check, verify, and plan their
memory. Thin.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING

from maquette.cli.text import aligned
from maquette.errors import InputError
from maquette.options import parse_memory

if TYPE_CHECKING:
    from maquette.checkpoints.catalogue import Release
    from maquette.checkpoints.verify import Verification

EPILOG = """examples:
  maquette models                               what there is, with sizes, licences and limits
  maquette models fetch trellis-iscene          says size and licence, asks, then brings it
  maquette models plan midi-3d --memory 8GB     what --memory would do, without doing it
  maquette models pack -o maquette-weights      the embedded weights as a Hub repository
  maquette models verify tests/golden/*/        recorded outputs of the original code against ours
  maquette generate photo.jpg --masks masks.png -o out --model trellis-iscene --memory 8GB
"""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Declare the command and its actions; without an action it lists."""
    parser = subparsers.add_parser(
        "models",
        help="published models: list, fetch, verify, plan their memory",
        description="The published models that maquette runs: what there is, fetching, checking, "
        "and the memory they need.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run_list)
    actions = parser.add_subparsers(dest="action", metavar="ACTION")

    fetch = actions.add_parser("fetch", help="bring a model onto this machine")
    fetch.add_argument("name", metavar="NAME", help="of the list that `maquette models` prints")
    fetch.add_argument(
        "--to", metavar="FOLDER", help="folder of weights (default: ~/.cache/maquette)"
    )
    fetch.add_argument("--yes", action="store_true", help="do not ask")
    fetch.add_argument("--quiet", action="store_true", help="no progress bars")
    fetch.set_defaults(run=run_fetch)

    check = actions.add_parser("check", help="sum a fetched model's files again")
    check.add_argument("name", metavar="NAME")
    check.add_argument(
        "--weights", metavar="DIR", help="folder of weights (default: ~/.cache/maquette)"
    )
    check.set_defaults(run=run_check)

    convert = actions.add_parser(
        "convert",
        help="take the tensors out of a pickle (.pt, .pth, .ckpt, .bin), and nothing else",
    )
    convert.add_argument("file", metavar="FILE")
    convert.add_argument(
        "-o", "--out", metavar="OUT", help="default: the same name with .safetensors"
    )
    convert.add_argument("--overwrite", action="store_true", help="replace OUT")
    convert.set_defaults(run=run_convert)

    plan = actions.add_parser("plan", help="how a model would be run within a memory limit")
    plan.add_argument("name", metavar="NAME")
    plan.add_argument("--memory", metavar="SIZE", help="such as 8GB (default: what is free)")
    plan.add_argument(
        "--objects",
        type=int,
        default=5,
        metavar="N",
        help="in the photo (default 5)",
    )
    plan.add_argument(
        "--device",
        default="auto",
        choices=("auto", "cpu", "cuda", "mps"),
        help="default: auto; need not be there",
    )
    plan.add_argument(
        "--weights", metavar="DIR", help="plan for these files instead of the published sizes"
    )
    plan.add_argument("--json", action="store_true", help="print JSON")
    plan.set_defaults(run=run_plan)

    _add_pack(actions)
    verify = actions.add_parser(
        "verify",
        help="compare with recorded outputs: FOLDER holds config.json, model.safetensors, io.npz",
    )
    verify.add_argument("folders", nargs="+", metavar="FOLDER")
    verify.add_argument("--json", action="store_true", help="print JSON")
    verify.set_defaults(run=run_verify)


def _add_pack(actions: argparse._SubParsersAction) -> None:
    pack = actions.add_parser(
        "pack",
        help="the embedded weights, or those of a folder, in the layout of a Hugging Face Hub "
        "repository: files, config.json and model card",
    )
    pack.add_argument(
        "-o",
        "--out",
        required=True,
        metavar="FOLDER",
        help="what to write",
    )
    pack.add_argument("--weights", metavar="DIR", help="these instead of the embedded ones")
    pack.add_argument("--name", default="maquette", help="title of the card (default: maquette)")
    pack.add_argument("--overwrite", action="store_true", help="replace FOLDER")
    pack.set_defaults(run=run_pack)


def run_list(args: argparse.Namespace) -> int:
    """Print the catalogue."""
    import dataclasses

    from maquette.checkpoints.catalogue import HUB_MODELS, RELEASES, default_root, is_here

    here = {release.name: is_here(release, default_root()) for release in RELEASES}
    if args.json:
        found = [
            dataclasses.asdict(release) | {"bytes": release.bytes, "here": here[release.name]}
            for release in RELEASES
        ]
        print(json.dumps(found, indent=2))
        return 0
    rows = [("model", "makes", "download", "here", "")]
    for release in RELEASES:
        makes = "scene" if release.scene else "object"
        there = "yes" if here[release.name] else "no"
        rows.append((release.name, makes, _download(release), there, release.title))
    print("\n".join(aligned(rows)))
    for release in RELEASES:
        print(f"\n{release.name}: {release.what}")
        print("\n".join(f"  {what:<10}  {fact}" for what, fact in _facts(release).items()))
    print("\nfor --perception, and for `maquette masks make` (any other OWNER/NAME as well):")
    print("\n".join(aligned([(f"  {model.name}", model.offer) for model in HUB_MODELS])))
    return 0


def run_pack(args: argparse.Namespace) -> int:
    """Write the folder."""
    from pathlib import Path

    from maquette.checkpoints.embedded import load_models
    from maquette.checkpoints.pack import pack

    folder = pack(load_models(args.weights), Path(args.out), args.name, args.overwrite)
    print(f"{folder}: {', '.join(sorted(path.name for path in folder.iterdir()))}")
    print(f"use it with --weights {folder}, or upload the folder as it is")
    return 0


def _download(release: Release) -> str:
    """How much a release is to fetch."""
    return f"{release.bytes / 1e9:.2f} GB{'' if release.exact else ' (about)'}"


def _facts(release: Release) -> dict[str, str]:
    """What should be known of a release before it is fetched."""
    card, saving = release.memory
    places = []
    for source in release.sources:
        commit = source.revision[:12] if source.revision else "(pinned at the first fetch)"
        places.append(f"{source.repository} at {commit}, {len(source.files)} files")
    return {
        "licence": release.licence,
        "limits": release.limits,
        "paper": release.paper,
        "needs": release.needs,
        "memory": f"about {card} GB on a graphics card for five objects, {saving} GB with --memory",
        "parameters": f"{release.parameters / 1000:.2f} billion",
        "files": "; ".join(places),
    }


def run_fetch(args: argparse.Namespace) -> int:
    """Say what would come and under which licence, ask, bring it."""
    from pathlib import Path

    from maquette.checkpoints.catalogue import HUB_MODELS, default_root, release
    from maquette.checkpoints.fetch import any_repository, check_space, fetch, survey
    from maquette.checkpoints.hub import HuggingFace

    root = Path(args.to) if args.to else default_root()
    hub = HuggingFace(quiet=args.quiet)
    if "/" in args.name or args.name in [model.name for model in HUB_MODELS]:
        wanted = any_repository(args.name, hub)
    else:
        wanted = release(args.name)
    print(f"{wanted.title}: {_download(wanted)}")
    print(f"licence: {wanted.licence}\nlimits:  {wanted.limits}", flush=True)
    missing = survey(wanted, root, hub)
    if not missing:
        print(f"{wanted.name} is complete in {root}")
        return 0
    size = sum(item.size for item in missing)
    check_space(size, root)
    print(f"to come: {len(missing)} files, {size / 1e9:.2f} GB, to {root}", flush=True)
    unknown = sum(not item.trusted and item.size > 2**20 for item in missing)
    if unknown:
        print(
            f"note:    {unknown} of them have no sum in maquette's catalogue; "
            "what arrives now is recorded and checked from then on"
        )
    if not args.yes and not _agrees():
        print("nothing was fetched")
        return 1
    fetch(missing, root, hub, lambda line: print(line, flush=True))
    print(f"{wanted.name} is complete in {root}")
    return 0


def run_check(args: argparse.Namespace) -> int:
    """Sum the files again."""
    from pathlib import Path

    from maquette.checkpoints.catalogue import default_root, release
    from maquette.checkpoints.fetch import check_release, locate

    wanted = release(args.name)
    root = Path(args.weights) if args.weights else default_root()
    locate(wanted, root)
    wrong = check_release(wanted, root)
    print("\n".join(wrong) if wrong else f"{wanted.name}: every file is as it was when it came")
    return int(bool(wrong))


def run_convert(args: argparse.Namespace) -> int:
    """Pickle -> safetensors."""
    from pathlib import Path

    from maquette.checkpoints.layouts import rescue_pickle
    from maquette.output import refuse_overwrite

    target = Path(args.out) if args.out else Path(args.file).with_suffix(".safetensors")
    refuse_overwrite(target, args.overwrite)
    print(f"{target}: {rescue_pickle(args.file, target)} tensors")
    return 0


def run_plan(args: argparse.Namespace) -> int:
    """Print the plan and its estimates; weights need not be here."""
    import torch

    from maquette.checkpoints.catalogue import release
    from maquette.checkpoints.full_size import release_size
    from maquette.checkpoints.memory import choose_plan
    from maquette.checkpoints.released import open_release
    from maquette.hardware import choose_device

    wanted = release(args.name)
    device = choose_device("auto") if args.device == "auto" else torch.device(args.device)
    budget = None if args.memory is None else parse_memory(args.memory)
    if budget is None and device.type == "cuda" and not torch.cuda.is_available():
        raise InputError(
            "there is no CUDA device here whose memory could be asked; pass --memory SIZE"
        )
    if args.objects < 1:
        raise InputError(f"a plan needs at least one object, got --objects {args.objects}")
    if args.weights is None:
        plan = choose_plan(release_size(wanted.name), device, args.objects, budget)
    else:
        plan = open_release(wanted, args.weights).plan(device, args.objects, budget)
    if args.json:
        found = {
            "model": wanted.name,
            "device": device.type,
            "objects": args.objects,
            "plan": plan.describe(),
            "peak_mb": round(plan.peak),
            "stages_mb": {stage: round(peak) for stage, peak in plan.estimates.items()},
        }
        print(json.dumps(found, indent=2))
        return 0
    print(f"{wanted.name} with {args.objects} objects on {device.type}: {plan.describe()}")
    rows = [(stage, f"{peak / 1024:.2f} GB") for stage, peak in plan.estimates.items()]
    print("\n".join(aligned([("stage", "estimated peak"), *rows])))
    return 0


def run_verify(args: argparse.Namespace) -> int:
    """Print the largest absolute error of each output; 1 when one is beyond its tolerance."""
    import dataclasses

    from maquette.checkpoints.verify import Verification, verify
    from maquette.errors import MaquetteError

    found = []
    for folder in args.folders:
        try:
            found.append(verify(folder))
        except MaquetteError as error:
            if len(args.folders) == 1:
                raise
            found.append(Verification(folder, "", (), str(error)))
    if args.json:
        rows = [dataclasses.asdict(one) | {"passed": one.passed} for one in found]
        print(json.dumps(rows, indent=2).replace("NaN", "null"))
    else:
        print("\n".join(_one(found[0]) if len(found) == 1 else _several(found)))
    return int(not all(one.passed for one in found))


def _one(verification: Verification) -> list[str]:
    rows = [("output", "largest error", "allowed", "")]
    for compared in verification.comparisons:
        error = "-" if compared.skipped else f"{compared.error:.2e}"
        verdict = compared.skipped or ("" if compared.passed else "FAILED")
        rows.append((compared.output, error, f"{compared.tolerance:.0e}", verdict))
    return [f"{verification.folder}: {verification.model}", *aligned(rows)]


def _several(verifications: Sequence[Verification]) -> list[str]:
    rows: list[tuple[str, ...]] = [("folder", "model", "outputs", "largest error", "of", "")]
    rows += [_summary(verification) for verification in verifications]
    problems = [one.problem for one in verifications if one.problem]
    passed = sum(one.passed for one in verifications)
    return [*aligned(rows), *problems, f"{passed} of {len(verifications)} folders pass"]


def _summary(verification: Verification) -> tuple[str, ...]:
    """A row of the table of several folders."""
    worst = verification.worst
    skipped = sum(bool(compared.skipped) for compared in verification.comparisons)
    outputs = str(len(verification.comparisons) - skipped)
    return (
        PurePath(verification.folder).name,
        verification.model,
        f"{outputs} (+{skipped} not)" if skipped else outputs,
        "-" if worst is None else f"{worst.error:.2e}",
        "-" if worst is None else worst.output,
        "" if verification.passed else "FAILED",
    )


def _agrees() -> bool:
    if not sys.stdin.isatty():
        raise InputError(
            "fetching asks before it downloads, and there is no terminal to ask on; "
            "pass --yes to agree"
        )
    return input("fetch it? [y/N] ").strip().lower() in ("y", "yes")
