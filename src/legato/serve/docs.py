"""The description of the interfaces for people, at /docs: a page without scripts and without external resources."""

from html import escape
from inspect import getdoc
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.responses import HTMLResponse
from starlette.requests import Request
from starlette.routing import BaseRoute

router = APIRouter()

_STYLE = """
:root { color-scheme: light dark; --line: color-mix(in srgb, currentColor 20%, transparent); }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
section { border-top: 1px solid var(--line); padding: .5rem 0 1rem; }
h2 { font-size: 1.1rem; } h2 code { font-size: 1.1rem; }
table { border-collapse: collapse; width: 100%; margin: .5rem 0; }
td, th { border-bottom: 1px solid var(--line); padding: .3rem .6rem .3rem 0; text-align: left; vertical-align: top; }
code { font-family: ui-monospace, monospace; font-size: .95em; }
"""


@router.get("/docs", include_in_schema=False)
def docs(request: Request) -> HTMLResponse:
    """Return the page."""
    app: FastAPI = request.app
    return HTMLResponse(page(app), headers={"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"})


def page(app: FastAPI) -> str:
    """Return a page with every HTTP operation and every WebSocket of an application."""
    described = app.openapi()
    operations = [
        _operation(method, path, operation)
        for path, methods in described["paths"].items()
        for method, operation in methods.items()
    ]
    sockets = [_socket(route) for route in _all_routes(app.routes) if "WebSocket" in type(route).__name__]
    title = escape(f"{described['info']['title']} {described['info']['version']}")
    about = escape(described["info"].get("description", ""))
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{_STYLE}</style>'
        f'<h1>{title}</h1><p>{about} For programs: <a href="openapi.json">openapi.json</a>.</p>'
        f"<main>{''.join(operations)}{''.join(sockets)}</main></html>"
    )


def _all_routes(routes: list[BaseRoute]) -> list[BaseRoute]:
    """Return all routes, nested ones included."""
    found = []
    for route in routes:
        inner: list[BaseRoute] = getattr(route, "routes", None) or []
        found += _all_routes(inner) if inner else [route]
    return found


def _operation(method: str, path: str, operation: dict[str, Any]) -> str:
    """Describe an operation: its purpose, its fields and its answers."""
    fields = [
        (parameter["name"], _described(parameter), bool(parameter.get("required")))
        for parameter in operation.get("parameters", [])
    ]
    for content in operation.get("requestBody", {}).get("content", {}).values():
        needed = content["schema"].get("required", [])
        fields += [(name, schema, name in needed) for name, schema in content["schema"].get("properties", {}).items()]
    rows = "".join(
        f"<tr><td><code>{escape(name)}</code><td>{_kind(schema)}{', required' if needed else ''}"
        f"<td>{_text(schema.get('description', ''))}{_default(schema)}"
        for name, schema, needed in fields
    )
    answers = "".join(
        f"<tr><td><code>{escape(status)}</code><td>{_text(answer.get('description', ''))}"
        for status, answer in operation.get("responses", {}).items()
    )
    table = f"<table><tr><th>Field<th>Type<th>Meaning{rows}</table>" if rows else ""
    return (
        f"<section><h2><code>{escape(method.upper())} {escape(path)}</code> {escape(operation.get('summary', ''))}</h2>"
        f"<p>{_text(operation.get('description', ''))}</p>{table}"
        f"<table><tr><th>Status<th>Meaning{answers}</table></section>"
    )


def _described(parameter: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a parameter with its description."""
    return {"description": parameter.get("description", ""), **parameter.get("schema", {})}


def _socket(route: BaseRoute) -> str:
    """Describe a WebSocket with the docstring of its function."""
    about = getdoc(getattr(route, "endpoint", None)) or ""
    paragraphs = "".join(f"<p>{_text(part)}</p>" for part in about.split("\n\n"))
    return f"<section><h2><code>WebSocket {escape(getattr(route, 'path', ''))}</code></h2>{paragraphs}</section>"


def _kind(schema: dict[str, Any]) -> str:
    """Return the type of a field."""
    if "enum" in schema:
        return ", ".join(f"<code>{escape(str(value))}</code>" for value in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_kind(schema['items'])}"
    if "const" in schema:
        return f"<code>{escape(str(schema['const']))}</code>"
    return escape("file" if schema.get("format") == "binary" else schema.get("type", "any"))


def _default(schema: dict[str, Any]) -> str:
    default = schema.get("default")
    if default in (None, "", []):
        return ""
    shown = ", ".join(default) if isinstance(default, list) else str(default).lower()
    return f" Default: <code>{escape(shown)}</code>."


def _text(text: str) -> str:
    """Return a text as HTML, with code between backquotes."""
    parts = escape(text).split("`")
    return "".join(f"<code>{part}</code>" if number % 2 else part for number, part in enumerate(parts))
