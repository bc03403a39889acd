"""The reference page of the API: the OpenAPI document as plain HTML, without a script and without
another host.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from html import escape
from typing import Any

STYLE = """:root { color-scheme: light dark; --line: color-mix(in srgb, currentColor 18%, transparent); }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1.25rem; }
h1 { font-size: 1.6rem; } h2 { margin-top: 2.5rem; border-bottom: 1px solid var(--line); }
details { border: 1px solid var(--line); border-radius: 8px; margin: .5rem 0; padding: .5rem .8rem; }
summary { cursor: pointer; display: flex; gap: .8rem; align-items: baseline; flex-wrap: wrap; }
summary b { min-width: 4rem; font-size: .8rem; } summary code { font-weight: 600; }
summary span { opacity: .75; } pre { overflow-x: auto; padding: .7rem; border-radius: 6px; background: var(--line); font-size: .85rem; }
table { border-collapse: collapse; } td { padding: .15rem .8rem .15rem 0; vertical-align: top; } nav a { margin-right: 1rem; }
"""

JsonObject = dict[str, Any]


def page(document: JsonObject) -> str:
    """HTML of an OpenAPI document, grouped by its tags."""
    groups: dict[str, list[str]] = {}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            groups.setdefault(operation.get("tags", ["other"])[0], []).append(
                "".join(_operation(path, method, operation, document))
            )
    links = "".join(f'<a href="#{_anchor(tag)}">{escape(tag)}</a>' for tag in groups)
    sections = "".join(
        f'<h2 id="{_anchor(tag)}">{escape(tag)}</h2>{"".join(entries)}'
        for tag, entries in groups.items()
    )
    info = document["info"]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" '
        'content="width=device-width">'
        f'<title>{escape(info["title"])}</title><link rel="stylesheet" '
        'href="/api/docs.css"></head><body>'
        f"<h1>{escape(info['title'])} "
        f"{escape(info['version'])}</h1><p>{escape(info['description'])} "
        "The same as data: <a "
        f'href="/openapi.json">/openapi.json</a>.</p><nav>{links}</nav>{sections}</body></html>'
    )


def _operation(
    path: str, method: str, operation: JsonObject, document: JsonObject
) -> Iterator[str]:
    first = (operation.get("description") or operation.get("summary") or "").split("\n")[0]
    yield f"<details><summary><b>{method.upper()}</b><code>{escape(path)}</code><span>{escape(first)}</span></summary>"
    rows = [
        (
            given["name"],
            given["in"],
            given.get("description", ""),
            "" if given.get("required") else "optional",
        )
        for given in operation.get("parameters", [])
    ]
    if rows:
        yield (
            "<table>"
            + "".join(
                "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>"
                for row in rows
            )
            + "</table>"
        )
    for kind, body in operation.get("requestBody", {}).get("content", {}).items():
        yield f"<p>Body: <code>{escape(kind)}</code></p>{_shown(body.get('example', _resolved(body.get('schema', {}), document)))}"
    for status, answer in operation.get("responses", {}).items():
        examples = [
            body["example"] for body in answer.get("content", {}).values() if "example" in body
        ]
        yield (
            f"<p><b>{escape(status)}</b> "
            f"{escape(answer.get('description', ''))}</p>{''.join(map(_shown, examples))}"
        )
    yield "</details>"


def _resolved(schema: Any, document: JsonObject, depth: int = 5) -> Any:
    """A schema with its references put in, for people: only what says what to send."""
    if isinstance(schema, list):
        return [_resolved(item, document, depth) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema and depth:
        return _resolved(
            document["components"]["schemas"].get(schema["$ref"].rsplit("/", 1)[-1], {}),
            document,
            depth - 1,
        )
    return {
        key: _resolved(value, document, depth)
        for key, value in schema.items()
        if key not in ("title", "discriminator")
    }


def _shown(value: Any) -> str:
    return f"<pre>{escape(json.dumps(value, indent=2, ensure_ascii=False))}</pre>"


def _anchor(tag: str) -> str:
    return escape(tag.replace(" ", "-"))
