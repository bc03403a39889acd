"""JavaScript modules -> one text that a page can hold, since a page opened from a file may not load
modules from other files.

Every module's relative imports become bare names; the page turns each module into a blob and names
it in an import map.
"""

from __future__ import annotations

import base64
import json
import posixpath
import re
import zlib
from importlib import resources
from pathlib import Path
from typing import Any

IMPORT = re.compile(r"""((?:\bfrom|\bimport)\s*)(["'])(\.{1,2}/[^"']+)\2""")
PREFIX = "maquette/"  # of the bare names


def assets_folder() -> Path:
    """Where the pages' parts lie in the package."""
    return Path(str(resources.files("maquette"))) / "assets"


def modules_of(entry: str, root: Path | None = None) -> dict[str, str]:
    """The module ``entry`` and all it imports: bare name -> source with bare imports, those that
    are imported first come first.
    """
    root = root or assets_folder()
    found: dict[str, str] = {}

    def visit(path: str) -> None:
        """Take in a module after everything that it imports."""
        if PREFIX + path in found:
            return
        found[PREFIX + path] = ""  # takes its place at once, so that circles end
        source = (root / path).read_text(encoding="utf-8")

        def rename(match: re.Match[str]) -> str:
            """The same import with the name that the module has in the page."""
            target = posixpath.normpath(posixpath.join(posixpath.dirname(path), match.group(3)))
            visit(target)
            return f"{match.group(1)}{match.group(2)}{PREFIX}{target}{match.group(2)}"

        source = IMPORT.sub(rename, source)
        del found[PREFIX + path]
        found[PREFIX + path] = source

    visit(entry)
    return found


def filled(folder: str, **values: str) -> str:
    """The page ``assets/<folder>/<folder>.html`` with its style, its script, and what else stands
    in {{braces}}.
    """
    files = assets_folder() / folder
    values["style"] = (files / f"{folder}.css").read_text(encoding="utf-8")
    unpacking = (assets_folder() / "share" / "unpack.js").read_text(encoding="utf-8")
    script = (files / f"{folder}.js").read_text(encoding="utf-8")
    values["script"] = f"{unpacking}\n{script}"
    template = (files / f"{folder}.html").read_text(encoding="utf-8")
    return re.sub(r"\{\{(\w+)\}\}", lambda match: values[match.group(1)], template)


def script_json(content: Any) -> str:
    """JSON that cannot end the <script> it stands in."""
    return json.dumps(content, separators=(",", ":"), ensure_ascii=False).replace("<", "\\u003c")


def packed(content: bytes) -> str:
    """Deflated (zlib) and base64: the page unpacks it with DecompressionStream."""
    return base64.b64encode(zlib.compress(content, 9)).decode("ascii")


def packed_modules(entry: str) -> str:
    """All modules as one packed JSON object: name -> source."""
    return packed(json.dumps(modules_of(entry)).encode())
