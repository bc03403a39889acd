"""``maquette masks``: look at instance masks, convert them, make them. Logic lives in
``maquette.masks``.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maquette.cli.text import aligned, counted
from maquette.errors import InputError

if TYPE_CHECKING:
    from maquette.masks.diagnose import Diagnosis
    from maquette.masks.propose import Prompts, Rectangle
    from maquette.masks.read import MaskReading
    from maquette.photos.read import Photo
    from maquette.types import InstanceMask

_OVERLAY_SUFFIXES = (".png", ".jpg", ".webp")
_COLUMNS = (
    "label",
    "name",
    "pixels",
    "share",
    "box x0,y0,x1,y1",
    "border",
    "parts",
    "holes",
    "overlap",
    "warnings",
)
_TEXT_COLUMNS = ("name", "box x0,y0,x1,y1", "border", "overlap")
_CLICK = re.compile(r"(?P<x>[^,]+),(?P<y>[^,]+)(,\s*(?P<what>[+-]?|[+-]?0*[1-9]\d*)\s*)?")
_FORMS = ("label", "rgb", "folder", "coco", "coco-rle", "labelme", "npz")

_DESCRIPTION = """\
Instance masks say which pixels of a photo belong to which object. They come as a label PNG (the
value of a pixel is its label, 0 is the background), an RGB PNG (each colour an object, black is the
background), a folder of black and white PNGs (one per object), a TIFF with a page per object, .npy
or .npz, and as COCO, LabelMe, CVAT for images, YOLO, Label Studio and VIA write them."""

_INSPECT_EXAMPLES = """\
examples:
  maquette masks inspect masks.png --image photo.jpg
  maquette masks inspect masks/ --image photo.jpg --overlay overlay.png
  maquette masks inspect instances.json --image photo.jpg --json"""

_CONVERT_EXAMPLES = """\
examples:
  maquette masks convert masks.png masks/                     a folder with one PNG per object
  maquette masks convert instances.json masks.png --image photo.jpg
  maquette masks convert masks/ instances.json --form coco-rle
  maquette masks convert masks.npz colours.png --form rgb"""

_MAKE_EXAMPLES = """\
examples:
  maquette masks make photo.jpg -o masks.png --auto           objects on a plain background
  maquette masks make photo.jpg -o masks.png --everything     objects on any background
  maquette masks make photo.jpg -o masks.png --everything --model sam2.1
  maquette masks make photo.jpg -o masks.png --find 'chair, lamp' --model sam2.1
  maquette masks make photo.jpg -o masks.png --box 40,60,200,310 --name cup --box 220,90,400,300
  maquette masks make photo.jpg -o masks.png --click 120,180 --click 130,60,+ --click 310,200

clicks: X,Y starts a new object; X,Y,+ is one more point of the object before; X,Y,- is background
        for the object before (before any object: for all); X,Y,3 is a point of object 3, X,Y,-3 one
        that is not of object 3."""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "masks",
        help="inspect, convert or make instance masks",
        description=_DESCRIPTION,
        **_RAW,
    )
    commands = parser.add_subparsers(
        dest="action",
        metavar="ACTION",
        required=True,
    )
    _add_inspect(commands)
    _add_convert(commands)
    _add_make(commands)


_RAW: dict[str, Any] = {"formatter_class": argparse.RawDescriptionHelpFormatter}


def _add_inspect(commands: argparse._SubParsersAction) -> None:
    about = (
        "a table of the objects and of what may go wrong with them, "
        "and a picture of the masks over the photo"
    )
    parser = commands.add_parser(
        "inspect",
        help=about,
        description=about,
        epilog=_INSPECT_EXAMPLES,
        **_RAW,
    )
    parser.add_argument(
        "masks",
        metavar="MASKS",
        type=Path,
        help="a mask file or folder",
    )
    parser.add_argument(
        "--image",
        metavar="PHOTO",
        type=Path,
        help="the photo; masks of another size are fitted to it",
    )
    parser.add_argument(
        "--overlay",
        metavar="PNG",
        type=Path,
        help="write the masks drawn over the photo (needs --image)",
    )
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object instead of the table"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an existing overlay")
    parser.set_defaults(run=run_inspect)


def _add_convert(commands: argparse._SubParsersAction) -> None:
    about = "write masks in another form"
    parser = commands.add_parser(
        "convert",
        help=about,
        description=about,
        epilog=_CONVERT_EXAMPLES,
        **_RAW,
    )
    parser.add_argument(
        "masks",
        metavar="IN",
        type=Path,
        help="a mask file or folder",
    )
    parser.add_argument(
        "output",
        metavar="OUT",
        type=Path,
        help="the file or folder to write",
    )
    form_help = (
        "what to write; by default what OUT's suffix says: "
        ".png label, .json coco, .npz npz, none a folder"
    )
    parser.add_argument("--form", choices=_FORMS, help=form_help)
    parser.add_argument(
        "--image",
        metavar="PHOTO",
        type=Path,
        help="fit the masks to this photo; also selects the image of a COCO file",
    )
    parser.add_argument(
        "--only", metavar="LABELS", help="keep these labels or names, separated by commas"
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace an existing file or folder of masks"
    )
    parser.set_defaults(run=run_convert)


def _add_make(commands: argparse._SubParsersAction) -> None:
    about = "make masks from boxes, clicks or words, or of everything"
    parser = commands.add_parser(
        "make",
        help=about,
        description=about,
        epilog=_MAKE_EXAMPLES,
        **_RAW,
    )
    parser.add_argument(
        "photo",
        metavar="PHOTO",
        type=Path,
        help="the photo",
    )
    parser.add_argument(
        "-o",
        "--output",
        metavar="OUT",
        type=Path,
        required=True,
        help="the masks: .png, .json, .npz or a folder's name",
    )
    how = parser.add_mutually_exclusive_group(required=True)
    how.add_argument(
        "--box",
        metavar="X0,Y0,X1,Y1",
        action="append",
        help="a box around one object, in pixels; repeat for more",
    )
    how.add_argument(
        "--click",
        metavar="X,Y[,WHAT]",
        action="append",
        help="a point on an object, in pixels; repeat for more (see below)",
    )
    how.add_argument(
        "--auto",
        action="store_true",
        help="everything that stands on a plain background, or the parts of a cut-out",
    )
    how.add_argument(
        "--everything",
        action="store_true",
        help="all objects that the model finds, whatever is behind them",
    )
    how.add_argument(
        "--find",
        metavar="WORDS",
        help="objects by words, such as 'chair, lamp', in the boxes of --detector",
    )
    parser.add_argument(
        "--model",
        metavar="NAME",
        default="embedded",
        help="what finds outlines: embedded (default), colour (GrabCut), sam2.1, mask2former "
        "(everything, with names), any such model OWNER/NAME, or a folder",
    )
    parser.add_argument(
        "--detector",
        metavar="NAME",
        default="grounding-dino",
        help="what finds boxes for --find: grounding-dino (default), OWNER/NAME, or a folder",
    )
    parser.add_argument(
        "--name",
        metavar="NAME",
        action=_Name,
        help="of the object of the --box or --click before; with --auto of the next object from "
        "the left. It becomes the name of the object's node",
    )
    parser.add_argument(
        "--overlay",
        metavar="PNG",
        type=Path,
        help="also write the masks drawn over the photo",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace existing files")
    parser.set_defaults(run=run_make)


class _Name(argparse.Action):
    """Remembers how many boxes and clicks stood before each name."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        before = len(namespace.box or namespace.click or ())
        namespace.name = [*(namespace.name or ()), (before, values)]


def run_inspect(args: argparse.Namespace) -> int:
    """Print the table or the JSON object; write the overlay."""
    from maquette.masks.diagnose import diagnose
    from maquette.photos.read import read_image

    if args.overlay and not args.image:
        raise InputError("--overlay needs the photo; add --image PHOTO")
    _check_outputs(None, args.overlay, args.overwrite)
    photo = None if args.image is None else read_image(args.image)
    reading = _load(args, None if photo is None else photo.shape[:2])
    diagnoses = diagnose(reading.masks)
    if args.overlay:
        _write_overlay(photo, reading.masks, args.overlay)
    if args.json:
        print(json.dumps(_as_json(args, reading, diagnoses), indent=2))
        return 0
    print(_table(diagnoses))
    _print_warnings([*reading.warnings, *_warnings(diagnoses)], sys.stdout)
    if args.overlay:
        print(f"\noverlay: {args.overlay}")
    return 0


def run_convert(args: argparse.Namespace) -> int:
    """Read, select, write."""
    from maquette.masks.diagnose import diagnose
    from maquette.masks.read import select_masks
    from maquette.masks.write import form_of, write_masks
    from maquette.photos.read import read_image

    form = args.form or form_of(args.output)
    _check_outputs(args.output, None, args.overwrite)
    size = None if args.image is None else read_image(args.image).shape[:2]
    reading = _load(args, size)
    masks = select_masks(reading.masks, args.only.split(",")) if args.only else reading.masks
    warnings = list(reading.warnings)
    if form in ("label", "rgb") and any(d.overlaps for d in diagnose(masks)):
        warnings.append(
            f"some pixels belong to several objects; the form {form!r} holds one label per pixel, "
            "the smaller object is kept"
        )
    image_name = args.image.name if args.image else ""
    write_masks(masks, args.output, form, overwrite=args.overwrite, image_name=image_name)
    _print_warnings(warnings, sys.stderr)
    height, width = masks[0].mask.shape
    print(f"{args.output}: {_count(masks)} of {width} x {height} pixels as {form}")
    return 0


def run_make(args: argparse.Namespace) -> int:
    """Segment and write."""
    from maquette.masks.diagnose import diagnose
    from maquette.masks.read import read_masks
    from maquette.masks.write import form_of, write_masks
    from maquette.photos.read import read_photo

    prompts = _prompts(args)
    names = _names(args)
    form_of(args.output)
    _check_outputs(args.output, args.overlay, args.overwrite)
    read = read_photo(args.photo)
    masks = _made(args, read, prompts)
    masks = list(read_masks(masks, names=names)) if names else masks
    write_masks(masks, args.output, overwrite=args.overwrite, image_name=args.photo.name)
    if args.overlay:
        _write_overlay(read.image, masks, args.overlay)
    diagnoses = diagnose(masks)
    print(_table(diagnoses))
    _print_warnings(_warnings(diagnoses), sys.stdout)
    print(f"\nmasks: {args.output} ({_count(masks)})")
    if args.overlay:
        print(f"overlay: {args.overlay}")
    return 0


def _made(args: argparse.Namespace, read: Photo, prompts: Prompts) -> Sequence[InstanceMask]:
    """What the arguments ask for."""
    from maquette.checkpoints.mask_networks import find
    from maquette.hardware import choose_device
    from maquette.masks.edit import find_all
    from maquette.masks.segment import ByColour, segment
    from maquette.stages.point import proposer_named

    if args.auto:
        return find_all(ByColour(read.image), read.alpha).masks
    look = proposer_named(args.model, choose_device("auto"))
    if args.find:
        return find(read.image, args.find.split(","), args.detector, look)
    return segment(read.image, prompts, look)


def _load(args: argparse.Namespace, size: tuple[int, int] | None) -> MaskReading:
    """The masks that are given, of the photo's size (height, width) when there is one."""
    from maquette.masks.read import load_masks

    return load_masks(args.masks, size, image_name=args.image and str(args.image))


def _warnings(diagnoses: Sequence[Diagnosis]) -> list[str]:
    return [sentence for diagnosis in diagnoses for sentence in diagnosis.warnings]


def _check_outputs(output: Path | None, overlay: Path | None, overwrite: bool) -> None:
    """Refuse wrong names before any work is done."""
    from maquette.output import refuse_overwrite

    for path in filter(None, (output, overlay)):
        refuse_overwrite(path, overwrite)
    if overlay and overlay == output:
        raise InputError(f"{overlay}: is given for two outputs; choose two names")
    if overlay and overlay.suffix.lower() not in _OVERLAY_SUFFIXES:
        raise InputError(
            f"{overlay}: an overlay is written as {', '.join(_OVERLAY_SUFFIXES)}; rename it"
        )


def _prompts(args: argparse.Namespace) -> Prompts:
    from maquette.masks.propose import Prompts

    boxes = tuple(_box(text) for text in args.box or ())
    return Prompts(boxes, tuple(parse_clicks(args.click or ())))


def _names(args: argparse.Namespace) -> dict[int, str]:
    """Label -> name, of the objects that are named. Raises InputError."""
    named: dict[int, str] = {}
    for place, (before, name) in enumerate(args.name or (), 1):
        label = place if args.auto or args.everything else before
        if args.click:
            positive = [click for click in parse_clicks(args.click[:before]) if click.positive]
            label = positive[-1].label if positive else 0
        if not label or label in named:
            raise InputError(f"--name {name}: expected after the --box or --click of its object")
        named[label] = name
    return named


def _box(text: str) -> Rectangle:
    numbers = _numbers(text.split(","))
    if numbers is None or len(numbers) != 4:
        raise InputError(
            f"--box {text}: expected four numbers X0,Y0,X1,Y1 in pixels, such as 40,60,200,310"
        )
    left, top, right, bottom = numbers
    return left, top, right, bottom


def parse_clicks(texts: Sequence[str]) -> list[Any]:
    """Turn ``X,Y[,WHAT]`` into clicks; the grammar is in the help text. Raises InputError."""
    from maquette.masks.propose import Click

    clicks: list[Click] = []
    before = highest = 0
    for text in texts:
        x, y, what = _split_click(text, first=not before)
        positive = not what.startswith("-")
        number = what.lstrip("+-")
        if number:
            label = int(number)
        else:
            label = highest + 1 if what == "" else before
        clicks.append(Click(x, y, label, positive))
        if positive:
            before = label
            highest = max(highest, label)
    return clicks


def _split_click(text: str, first: bool) -> tuple[float, float, str]:
    """``X,Y[,WHAT]`` -> x, y and what: "", "+", "-", or a label with or without a sign."""
    found = _CLICK.fullmatch(text)
    numbers = None if found is None else _numbers(found.group("x", "y"))
    what = "" if found is None else found["what"] or ""
    if numbers is None or (first and what == "+"):
        raise InputError(
            f"--click {text}: expected X,Y or X,Y,+ or X,Y,- or X,Y,LABEL in pixels, "
            "the first of them on an object"
        )
    return numbers[0], numbers[1], what


def _numbers(parts: Sequence[str]) -> list[float] | None:
    try:
        numbers = [float(part) for part in parts]
    except ValueError:
        return None
    return numbers if all(abs(number) < 1e6 for number in numbers) else None  # also refuses nan


def _write_overlay(photo: Any, masks: Sequence[InstanceMask], path: Path) -> None:
    from PIL import Image

    from maquette.masks.overlay import overlay
    from maquette.output import atomic_write

    with atomic_write(path) as temporary:
        Image.fromarray(overlay(photo, masks)).save(temporary)


def _table(diagnoses: Sequence[Diagnosis]) -> str:
    numbers = [k for k, column in enumerate(_COLUMNS) if column not in _TEXT_COLUMNS]
    return "\n".join(aligned([_COLUMNS, *map(_table_row, diagnoses)], right=numbers))


def _table_row(diagnosis: Diagnosis) -> list[str]:
    overlaps = [f"{other}:{100 * share:.0f}%" for other, share in diagnosis.overlaps[:3]]
    return [
        str(diagnosis.label),
        diagnosis.name or "-",
        str(diagnosis.pixels),
        f"{100 * diagnosis.share:.1f} %",
        ",".join(map(str, diagnosis.box)),
        " ".join(diagnosis.borders) or "-",
        str(diagnosis.fragments),
        str(diagnosis.holes),
        " ".join(overlaps) or "-",
        str(len(diagnosis.warnings) or "-"),
    ]


def _as_json(
    args: argparse.Namespace, reading: MaskReading, diagnoses: Sequence[Diagnosis]
) -> dict[str, Any]:
    import dataclasses

    height, width = reading.masks[0].mask.shape
    found = {
        "masks": str(args.masks),
        "width": width,
        "height": height,
        "instances": [
            dataclasses.asdict(diagnosis) | {"overlaps": dict(diagnosis.overlaps)}
            for diagnosis in diagnoses
        ],
        "warnings": list(reading.warnings),
    }
    return found | {"overlay": str(args.overlay)} if args.overlay else found


def _print_warnings(warnings: Sequence[str], stream: Any) -> None:
    if warnings:
        print("", *(f"warning: {sentence}" for sentence in warnings), sep="\n", file=stream)


def _count(masks: Sequence[InstanceMask]) -> str:
    return counted(len(masks), "object")
