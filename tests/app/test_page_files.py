"""The files of the page, looked at without a browser: nothing is missing, nothing comes from
elsewhere, nothing needs a build.
"""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

ASSETS = Path(__file__).parents[2] / "src" / "maquette" / "assets"
OURS = sorted([*(ASSETS / "app").rglob("*.js"), *(ASSETS / "viewer").rglob("*.js")])
VENDORED = sorted((ASSETS / "three").glob("*.js"))
TEXTS = [*OURS, *sorted((ASSETS / "app").rglob("*.css")), ASSETS / "app" / "index.html"]
IMPORT = re.compile(
    r"""(?:^|[;}\s])(?:import|export)[^'"();]*?from\s*["']([^"']+)["']|import\(\s*["']([^"']+)["']""",
    re.MULTILINE,
)


def named(path):
    return path.relative_to(ASSETS).as_posix()


def imports(path):
    return [first or second for first, second in IMPORT.findall(path.read_text(encoding="utf-8"))]


@pytest.mark.parametrize("path", [*OURS, *VENDORED], ids=named)
def test_every_import_is_a_file_of_the_package(path):
    for target in imports(path):
        assert target.startswith("."), f"{target}: bare names need an import map"
        assert (path.parent / target).resolve().is_file(), target
        assert (path.parent / target).resolve().is_relative_to(ASSETS)


@pytest.mark.parametrize("path", OURS, ids=named)
def test_what_is_imported_is_exported_there(path):
    text = path.read_text(encoding="utf-8")
    for names, target in re.findall(r"import \{([^}]*)\} from \"([^\"]+)\"", text):
        source = (path.parent / target).resolve()
        if source.parent.name != "three":
            there = source.read_text(encoding="utf-8")
            for name in (one.split(" as ")[0].strip() for one in names.split(",")):
                assert re.search(rf"export (async )?(function|const|class) {name}\b", there), (
                    f"{name} of {target}"
                )


def test_every_module_of_the_page_is_used():
    reached = set()
    waiting = [ASSETS / "app" / "main.js"]
    while waiting:
        path = waiting.pop()
        if path not in reached:
            reached.add(path)
            waiting += [(path.parent / target).resolve() for target in imports(path)]
    assert set(OURS) | set(VENDORED) == reached


def test_modules_do_not_import_in_circles():
    graph = {path: [(path.parent / target).resolve() for target in imports(path)] for path in OURS}
    done = set()

    def visit(path, above=()):
        assert path not in above, [named(one) for one in (*above, path)]
        if path not in done:
            for target in graph.get(path, []):
                visit(target, (*above, path))
            done.add(path)

    for path in OURS:
        visit(path)


@pytest.mark.parametrize("path", TEXTS, ids=named)
def test_nothing_comes_from_elsewhere(path):
    addresses = re.findall(
        r"(?:https?:)?//[\w.-]+\.\w+[^\s\"'`)]*", path.read_text(encoding="utf-8")
    )
    assert [one for one in addresses if "www.w3.org" not in one] == []
    assert "@import" not in path.read_text(encoding="utf-8")


def test_files_stay_small():
    lines = {named(path): len(path.read_text(encoding="utf-8").splitlines()) for path in TEXTS}
    assert {name: count for name, count in lines.items() if count > 400} == {}
    assert sum(path.stat().st_size for path in TEXTS) < 250_000
    assert sum(path.stat().st_size for path in VENDORED) < 900_000
    for picture in [*(ASSETS / "demo").iterdir(), *(ASSETS / "examples").rglob("*.*")]:
        assert picture.stat().st_size < 300_000


@pytest.mark.parametrize("path", OURS, ids=named)
def test_every_module_says_what_it_is_and_builds_no_html_from_text(path):
    text = path.read_text(encoding="utf-8")
    assert text.startswith("/**")
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new "
        r"Function|setAttribute\(\"style\"",
        text,
    )


def test_three_is_named_with_its_version_and_licence():
    version = re.search(
        r"Version ([\d.]+\d)", (ASSETS / "three" / "README.md").read_text(encoding="utf-8")
    )
    assert version and all(
        version[1] in path.read_text(encoding="utf-8")[:200] for path in VENDORED
    )
    assert "MIT License" in (ASSETS / "three" / "LICENSE").read_text(encoding="utf-8")


class Page(HTMLParser):
    """Collects elements with their attributes and the text inside of controls."""

    def __init__(self, text):
        super().__init__()
        self.elements = []
        self.open = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        element = {"tag": tag, "text": "", **dict(attributes)}
        self.elements.append(element)
        if tag not in ("meta", "link", "input", "img"):
            self.open.append(element)

    def handle_endtag(self, tag):
        while self.open and self.open.pop()["tag"] != tag:
            pass

    def handle_data(self, data):
        for element in self.open:
            element["text"] += data.strip()


PAGE = Page((ASSETS / "app" / "index.html").read_text(encoding="utf-8"))


def test_controls_of_the_page_have_names_and_their_icons_exist():
    icons = set(
        re.findall(
            r"^  (\w+): \"", (ASSETS / "app" / "icons.js").read_text(encoding="utf-8"), re.MULTILINE
        )
    )
    for element in PAGE.elements:
        if (
            element["tag"] in ("button", "input", "select", "canvas", "nav", "section", "aside")
            or "role" in element
        ):
            labelled = (
                element.get("aria-label") or element["text"] or element.get("role") == "status"
            )
            assert labelled, element
        if "data-icon" in element:
            assert element["data-icon"] in icons
    used = {
        name
        for path in OURS
        for name in re.findall(
            r"icon(?:Button)?\(\"(\w+)\"|icon: \"(\w+)\"", path.read_text(encoding="utf-8")
        )
    }
    assert {name for pair in used for name in pair if name} <= icons


def test_the_page_has_no_inline_scripts_and_styles_and_unique_ids():
    ids = [element["id"] for element in PAGE.elements if "id" in element]
    assert len(ids) == len(set(ids))
    for element in PAGE.elements:
        assert (
            element["tag"] != "style"
            and "style" not in element
            and not any(name.startswith("on") for name in element)
        )
        if element["tag"] == "script":
            assert element["src"] and not element["text"]
        for name in ("src", "href"):
            target = element.get(name, "")
            if target and not target.startswith("#"):
                assert (ASSETS / target).is_file(), target
    for path in OURS:
        used = set(re.findall(r"byId\(\"([\w-]+)\"\)", path.read_text(encoding="utf-8")))
        assert used <= set(ids), (named(path), used - set(ids))
