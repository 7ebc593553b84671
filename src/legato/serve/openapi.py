"""The OpenAPI description: that of FastAPI, with the errors and keys of this server."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from legato.serve.auth import PUBLIC

_ERROR = {"application/json": {"schema": {"$ref": "#/components/schemas/ErrorBody"}}}
_REFUSALS = {
    "401": "The server requires an API key, and the request has none or an invalid one.",
    "403": "The server has no API keys, and the request comes from a page of another origin.",
}


def describe(app: FastAPI) -> None:
    """Make an application describe itself with our errors."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _with_errors(
                get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
            )
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # the way that FastAPI documents


def _with_errors(schema: dict[str, Any]) -> dict[str, Any]:
    components = schema.setdefault("components", {})
    components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    for name in ("HTTPValidationError", "ValidationError"):
        components.get("schemas", {}).pop(name, None)
    for path, methods in schema["paths"].items():
        for operation in methods.values():
            answers = operation["responses"]
            if answers.pop("422", None):  # such errors are answered with 400
                answers.setdefault("400", {"description": "A field is wrong.", "content": _ERROR})
            for status, description in _REFUSALS.items():
                answers[status] = {"description": description, "content": _ERROR}
            if path not in PUBLIC:
                operation["security"] = [{"key": []}, {}]
    return schema
