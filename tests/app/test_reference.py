"""The reference page says what the document says, and nothing in it becomes markup."""

from maquette.app import reference

DOCUMENT = {
    "info": {"title": "t<", "version": "1", "description": "d"},
    "paths": {
        "/a/{b}": {
            "post": {
                "tags": ["x y"],
                "description": "Does <b>.\nMore.",
                "parameters": [{"name": "b", "in": "path", "required": True}],
                "requestBody": {
                    "content": {
                        "application/json": {"schema": {"$ref": "#/components/schemas/Loop"}}
                    }
                },
                "responses": {
                    "200": {
                        "description": "Done",
                        "content": {"application/json": {"example": {"key": "<script>"}}},
                    }
                },
            }
        }
    },
    "components": {
        "schemas": {"Loop": {"properties": {"again": {"$ref": "#/components/schemas/Loop"}}}}
    },
}


def test_it_shows_operations_examples_and_schemas_that_contain_themselves():
    page = reference.page(DOCUMENT)
    assert (
        "<code>/a/{b}</code><span>Does &lt;b&gt;.</span>" in page
        and "&lt;script&gt;" in page
        and "<script" not in page
    )
    assert (
        page.count("again") >= 5
        and 'href="#x-y"' in page
        and 'id="x-y"' in page
        and "style=" not in page
    )
