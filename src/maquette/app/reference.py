"""The reference page of the API: the OpenAPI document as plain HTML, without a script and without
another host.
"""

from __future__ import annotations

import json
from typing import Any
from xml.etree.ElementTree import Element, SubElement, tostring

from maquette.types import JsonObject

STYLE = """:root { color-scheme: light dark;
  --line: color-mix(in srgb, currentColor 18%, transparent); }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto;
  padding: 0 1.25rem; }
h1 { font-size: 1.6rem; } h2 { margin-top: 2.5rem; border-bottom: 1px solid var(--line); }
details { border: 1px solid var(--line); border-radius: 8px; margin: .5rem 0;
  padding: .5rem .8rem; }
summary { cursor: pointer; display: flex; gap: .8rem; align-items: baseline; flex-wrap: wrap; }
summary b { min-width: 4rem; font-size: .8rem; } summary code { font-weight: 600; }
summary span { opacity: .75; }
pre { overflow-x: auto; padding: .7rem; border-radius: 6px; background: var(--line);
  font-size: .85rem; }
table { border-collapse: collapse; }
td { padding: .15rem .8rem .15rem 0; vertical-align: top; } nav a { margin-right: 1rem; }
"""
VIEWPORT = {"name": "viewport", "content": "width=device-width"}
STYLESHEET = {"rel": "stylesheet", "href": "/api/docs.css"}
DEEPEST = 5  # levels of references that are put in


def page(document: JsonObject) -> str:
    """HTML of an OpenAPI document, grouped by its tags."""
    root = Element("html", {"lang": "en"})
    head = SubElement(root, "head")
    SubElement(head, "meta", {"charset": "utf-8"})
    SubElement(head, "meta", VIEWPORT)
    SubElement(head, "link", STYLESHEET)
    body = SubElement(root, "body")
    info = document["info"]
    _add(head, "title", info["title"])
    _add(body, "h1", f"{info['title']} {info['version']}")
    about = _add(body, "p", f"{info['description']} The same as data: ")
    _add(about, "a", "/openapi.json", href="/openapi.json")
    navigation = SubElement(body, "nav")
    for tag, operations in _grouped(document).items():
        anchor = tag.replace(" ", "-")
        _add(navigation, "a", tag, href=f"#{anchor}")
        _add(body, "h2", tag, id=anchor)
        for path, method in operations:
            _add_operation(body, path, method, document)
    return "<!doctype html>" + tostring(root, encoding="unicode", method="html")


def _add(
    parent: Element,
    tag: str,
    text: str,
    **attributes: str,
) -> Element:
    child = SubElement(parent, tag, attributes)
    child.text = text
    return child


def _grouped(document: JsonObject) -> dict[str, list[tuple[str, str]]]:
    """Path and method of all operations, by their tag."""
    groups: dict[str, list[tuple[str, str]]] = {}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            tag = operation.get("tags", ["other"])[0]
            groups.setdefault(tag, []).append((path, method))
    return groups


def _add_operation(
    body: Element,
    path: str,
    method: str,
    document: JsonObject,
) -> None:
    operation = document["paths"][path][method]
    details = SubElement(body, "details")
    summary = SubElement(details, "summary")
    said = operation.get("description") or operation.get("summary") or ""
    _add(summary, "b", method.upper())
    _add(summary, "code", path)
    _add(summary, "span", said.partition("\n")[0])
    if "parameters" in operation:
        table = SubElement(details, "table")
        for parameter in operation["parameters"]:
            row = SubElement(table, "tr")
            for cell in _cells(parameter):
                _add(row, "td", cell)
    for kind, content in operation.get("requestBody", {}).get("content", {}).items():
        _add(details, "p", f"Body: {kind}")
        shown = content.get("example") or _resolved(content.get("schema", {}), document)
        _add_json(details, shown)
    for status, answer in operation.get("responses", {}).items():
        _add(details, "p", f"{status} {answer.get('description', '')}")
        for content in answer.get("content", {}).values():
            if "example" in content:
                _add_json(details, content["example"])


def _cells(parameter: JsonObject) -> list[str]:
    optional = "" if parameter.get("required") else "optional"
    return [parameter["name"], parameter["in"], parameter.get("description", ""), optional]


def _add_json(parent: Element, value: Any) -> None:
    _add(parent, "pre", json.dumps(value, indent=2, ensure_ascii=False))


def _resolved(schema: Any, document: JsonObject, depth: int = DEEPEST) -> Any:
    """A schema with its references put in, for people: only what says what to send."""
    if isinstance(schema, list):
        return [_resolved(item, document, depth) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema and depth:
        name = schema["$ref"].rsplit("/", 1)[-1]
        return _resolved(document["components"]["schemas"].get(name, {}), document, depth - 1)
    return {
        key: _resolved(value, document, depth)
        for key, value in schema.items()
        if key not in ("title", "discriminator")
    }
