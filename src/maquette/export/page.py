"""A scene as one web page that is a single file: it opens without network, in any browser, turning
slowly, with its photo as an inset.

In the flow: Scene -> .html, for `maquette view`, for sharing, and for the last line of a notebook's
cell. The page is assets/share with the viewer of the app; meshes are those of the .glb file.
"""

from __future__ import annotations

import base64
import io
from html import escape
from pathlib import Path

from PIL import Image

from maquette.document.values import finite_or_none
from maquette.export.bundle import filled, packed, packed_modules, script_json
from maquette.export.glb import glb_bytes
from maquette.output import write_files
from maquette.types import Scene

PHOTO_SIDE = 1024  # pixels of the longer side of the photo in the page
FRAME_HEIGHT = 460  # CSS pixels of a scene in a notebook
TITLE = "Scene"


def write_page(scene: Scene, path: Path) -> None:
    """Write the scene as a page called after its file. OutputError when it cannot be written."""
    title = path.stem if path.stem != "scene" else path.resolve().parent.name
    write_files({path: scene_page(scene, title or TITLE).encode()})


def scene_page(scene: Scene, title: str = TITLE) -> str:
    """The text of the page. InputError for a mesh or a transform that glTF cannot express."""
    shown = scene.visible()
    objects = [{"label": int(i.label), "name": i.node_name} for i in shown.instances]
    around = [
        {"name": i.node_name, "confidence": finite_or_none(i.confidence)} for i in scene.around
    ]
    return filled(
        "share",
        title=escape(title),
        index=script_json(
            {
                "title": title,
                "objects": objects,
                "around": around,
                "photo": _photo(scene),
            }
        ),
        glb=packed(glb_bytes(shown)),
        modules=packed_modules("viewer/viewer.js"),
    )


def notebook_frame(scene: Scene) -> str:
    """The page as an element of a notebook, in a frame of its own so that neither touches the
    other.
    """
    page = escape(scene_page(scene), quote=True)
    style = f"width:100%;height:{FRAME_HEIGHT}px;border:0;border-radius:10px"
    return f'<iframe title="{escape(repr(scene))}" style="{style}" srcdoc="{page}"></iframe>'


def _photo(scene: Scene) -> str | None:
    """The photo as an address that holds it."""
    if scene.input is None:
        return None
    photo = Image.fromarray(scene.input.image)
    photo.thumbnail((PHOTO_SIDE, PHOTO_SIDE))
    stream = io.BytesIO()
    photo.save(stream, "JPEG", quality=88)
    return f"data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode('ascii')}"
