import base64
import json
import re
import zlib

from maquette.export.bundle import IMPORT, assets_folder, modules_of, packed_modules


def write(folder, **files):
    for name, text in files.items():
        path = folder / f"{name.replace('__', '/')}.js"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_imports_become_names_and_dependencies_come_first(tmp_path):
    main = 'import {b} from "./b.js";\nimport * as C from"../c.js"; export{b}from\'./b.js\';'
    write(tmp_path, a__main=main, a__b='import "../c.js";', c="export const c = 1;")
    modules = modules_of("a/main.js", tmp_path)
    assert list(modules) == ["maquette/c.js", "maquette/a/b.js", "maquette/a/main.js"]
    assert (
        modules["maquette/a/main.js"].count('"maquette/a/b.js"') == 1
        and "'maquette/a/b.js'" in modules["maquette/a/main.js"]
    )


def test_circles_end(tmp_path):
    write(tmp_path, a='import "./b.js";', b='import "./a.js";')
    assert set(modules_of("a.js", tmp_path)) == {"maquette/a.js", "maquette/b.js"}


def test_the_page_needs_nothing_that_is_not_in_it():
    modules = json.loads(zlib.decompress(base64.b64decode(packed_modules("report/scene-view.js"))))
    assert {"maquette/viewer/viewer.js", "maquette/three/three.core.min.js"} <= set(modules)
    for name, source in modules.items():
        assert not IMPORT.search(source), name
        asked = set(re.findall(r"""\b(?:from|import)\s*["'](maquette/[^"']+)["']""", source))
        assert asked <= set(modules), name
    assert (assets_folder() / "report" / "report.html").is_file()
