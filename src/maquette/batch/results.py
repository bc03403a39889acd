"""The folder of one result: what stands in it, what it was made from, and writing it completely or
not at all.

In the flow: a Scene -> OUT/scene.glb (and other formats), OUT/preview.png, OUT/scene.json with
OUT/scene_files. A result is finished when scene.json is there, which is moved into place last; its
provenance says what it was made from, so that a second run can tell.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from maquette.batch.finished import (
    DOCUMENT,
    PREVIEW,
    SEPARATE,
    Products,
    listed_files,
    own_names,
)
from maquette.document.scene_json import saving
from maquette.errors import OutputError
from maquette.export import export_scene, surrounded
from maquette.output import (
    RESULT_SUFFIX,
    abandoned,
    as_output_error,
    flush_folder,
    temporary_path,
    writable_folder,
    write_files,
)
from maquette.photos.pixels import encoded
from maquette.render.preview import preview
from maquette.types import Scene

FAST = 3  # of zlib: a tenth larger than the usual 6, in half of its time

# In the folder in which a result is prepared.
_NEW = "new"
_OLD = "old"
_JOURNAL = "journal.json"


def write_result(scene: Scene, folder: Path, products: Products) -> None:
    """Write everything under hidden names first, then let each file take its place with one rename,
    the document last. OutputError leaves what stood there before.
    """
    folder = Path(os.path.realpath(writable_folder(folder)))
    recover(folder)
    stage = temporary_path(folder / f"result{RESULT_SUFFIX}")
    try:
        with as_output_error(folder):
            (stage / _NEW).mkdir(parents=True)
            made = _write_products(scene, stage / _NEW, products)
            with saving(made, folder / DOCUMENT):
                _move_in(stage, folder)
    except OutputError as error:
        raise OutputError(str(error).replace(str(stage / _NEW), str(folder))) from error
    finally:
        _settle(stage)


def recover(folder: Path) -> None:
    """Settle what a run left that was killed while its result took its place: the old result comes
    back, unless the new document was already there.
    """
    for stage in abandoned(folder):
        if stage.suffix == RESULT_SUFFIX:
            _settle(stage)


def _write_products(scene: Scene, folder: Path, products: Products) -> Scene:
    """Write all but the document; returns the scene with what its document should say of them."""
    start = time.perf_counter()
    scene = surrounded(scene, products.around)
    if products.preview:
        content = encoded(Image.fromarray(preview(scene)), "PNG", compress_level=FAST)
        write_files({folder / PREVIEW: content})
    drawn = time.perf_counter()
    said = dataclasses.asdict(products.space) | dataclasses.asdict(products.around)
    wanted = {"formats": products.formats, **said}
    export_scene(scene, folder / "scene.glb", **wanted)
    if products.separate:
        export_scene(scene, folder / "scene.glb", separate=True, **wanted)
    spent = {"preview": round(drawn - start, 3), "export": round(time.perf_counter() - drawn, 3)}
    before = scene.provenance.get("seconds")
    about = {
        "seconds": (before if isinstance(before, dict) else {}) | spent,
        "files": _files_below(folder),
    }
    return dataclasses.replace(scene, provenance=scene.provenance | about)


def _move_in(stage: Path, folder: Path) -> None:
    """Let the new products take their places. What stood there gets a second name in the stage, and
    the journal says what to do when this is interrupted (``_settle``).
    """
    entering = _files_below(stage / _NEW)
    for name in entering:
        if os.path.lexists(folder / name):
            (stage / _OLD / name).parent.mkdir(parents=True, exist_ok=True)
            _link(folder / name, stage / _OLD / name)
    leaving = listed_files(folder) - set(entering)
    journal = {
        "document": _identity(folder / DOCUMENT),
        "entering": entering,
        "leaving": sorted(leaving),
    }
    write_files({stage / _JOURNAL: json.dumps(journal).encode()})
    flush_folder(folder)
    for name in entering:
        (folder / name).parent.mkdir(exist_ok=True)
        os.replace(stage / _NEW / name, folder / name)
    flush_folder(folder)


def _settle(stage: Path) -> None:
    """End the exchange of two results, wherever it was, and delete the stage.

    The document decides: as long as it is the old one, the old products come back; as soon as it is
    the new one, products that only the old result had are deleted.
    """
    folder = stage.parent
    with contextlib.suppress(OSError, ValueError, KeyError):  # no journal: nothing was moved
        journal = json.loads((stage / _JOURNAL).read_bytes())
        if _identity(folder / DOCUMENT) == journal["document"]:
            _bring_back(stage, own_names(journal["entering"]))
        else:
            for name in own_names(journal["leaving"]):
                (folder / name).unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        (folder / SEPARATE).rmdir()  # if it is empty
    shutil.rmtree(stage, ignore_errors=True)


def _bring_back(stage: Path, entering: Sequence[str]) -> None:
    """Undo a move that did not end: what was there comes back, what is new goes."""
    for name in entering:
        place = stage.parent / name
        if os.path.lexists(stage / _OLD / name):
            os.replace(stage / _OLD / name, place)
        elif not (stage / _NEW / name).exists():  # it was moved to where nothing stood before
            place.unlink(missing_ok=True)


def _link(source: Path, target: Path) -> None:
    """Give a file a second name, or where that is impossible a copy."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target, follow_symlinks=False)


def _identity(path: Path) -> list[int] | None:
    """What tells a file from one that has replaced it; None for no file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return [found.st_ino, found.st_mtime_ns, found.st_size]


def _files_below(folder: Path) -> list[str]:
    """Paths below a folder, relative to it, sorted."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return sorted(path.relative_to(folder).as_posix() for path in files)
