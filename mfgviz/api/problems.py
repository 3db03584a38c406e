"""Errors as problem+json (RFC 9457), with the codes and remedies of the command line."""

from __future__ import annotations

import http
import logging
import math
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.routing import compile_path

from mfgviz import errors, wire
from mfgviz.errors import MfgvizError

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
# The first that fits.
STATUSES: tuple[tuple[type[MfgvizError], int], ...] = (
    (errors.UnauthenticatedError, 401),
    (errors.ForbiddenError, 403),
    (errors.TooManyError, 429),
    (errors.UploadTooLargeError, 413),
    (errors.GeometryTooLargeError, 413),
    (errors.NotFoundError, 404),
    (errors.GeometryNotFoundError, 404),
    (errors.ConflictError, 409),
    (errors.InvalidInputError, 422),
    (errors.UnavailableError, 503),
    (errors.ToolMissingError, 503),
    (errors.DatabaseNotMigratedError, 503),
)
RETRY_AFTER_S = 2
# For the documentation of every route: what each may answer besides what it is for.
MEANINGS = {
    400: "The request cannot be read.",
    401: "No token or signature, or one that is not valid.",
    403: "The token has not the scope that this needs.",
    404: "There is no such thing.",
    409: "It does not fit what is recorded.",
    413: "The body is larger than allowed.",
    422: "A field cannot be used; `errors` names it.",
    429: "Too many at a time; `Retry-After` says when to come back.",
    503: "A service that is needed does not answer.",
}


def describe(schema: dict[str, Any]) -> None:
    """Add to an OpenAPI description what routes refer to and do not answer with."""
    components = schema["components"]["schemas"]
    kinds: tuple[type[BaseModel], ...] = (wire.Problem, wire.JobEvent, wire.PreviewEvent)
    for kind in kinds:
        own = kind.model_json_schema(ref_template="#/components/schemas/{model}", mode="serialization")
        components.update(own.pop("$defs", {}))
        components[kind.__name__] = own


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What a route documents of the errors that it may answer with."""
    return {
        status: {
            "description": MEANINGS[status],
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status in statuses
    }


def status_of(error: MfgvizError) -> int:
    """The HTTP status that an error stands for."""
    return next((status for kind, status in STATUSES if isinstance(error, kind)), 500)


def problem(
    status: int, told: dict[str, str], title: str, fields: list[wire.FieldError] | None = None
) -> JSONResponse:
    """An answer of code, message and remedy."""
    body = wire.Problem(
        type=f"urn:mfgviz:error:{told['code']}",
        title=title,
        status=status,
        detail=told["message"],
        code=told["code"],
        remedy=told["remedy"],
        errors=fields,
    )
    return JSONResponse(body.model_dump(exclude_none=True), status, media_type=MEDIA_TYPE)


def of_error(error: MfgvizError) -> JSONResponse:
    """The answer for one of our errors."""
    status = status_of(error)
    title = (type(error).__doc__ or "").strip().splitlines()[0]
    answer = problem(status, error.as_json(), title)
    if isinstance(error, errors.UnauthenticatedError):
        signed = isinstance(error, errors.WrongSignatureError | errors.MessageTooOldError)
        answer.headers["WWW-Authenticate"] = "Signature" if signed else "Bearer"
    if isinstance(error, errors.TooManyError):
        answer.headers["Retry-After"] = str(max(1, math.ceil(error.retry_after_s)))
    elif status == 503:
        answer.headers["Retry-After"] = str(RETRY_AFTER_S)
    return answer


def install(app: FastAPI) -> None:
    """Let the app answer every error so."""
    app.add_exception_handler(MfgvizError, _ours)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _plain)
    app.add_exception_handler(Exception, _unforeseen)


async def _ours(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, MfgvizError)
    if status_of(error) >= 500:
        log.warning("%s", error.message)
    return of_error(error)


async def _invalid(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    fields = [
        wire.FieldError(field=".".join(map(str, one["loc"])), message=str(one["msg"]))
        for one in error.errors()
    ]
    first = fields[0]
    told = {
        "code": "invalid-request",
        "message": f"{first.field}: {first.message}",
        "remedy": "GET /api/v1/openapi.json describes every field.",
    }
    return problem(422, told, "That request cannot be used.", fields)


async def _plain(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    title = http.HTTPStatus(error.status_code).phrase
    code = title.lower().replace(" ", "-")
    if error.status_code == 404:
        answer = of_error(errors.NoSuchRouteError())
    else:
        told = {"code": code, "message": str(error.detail), "remedy": errors.NoSuchRouteError.default_remedy}
        answer = problem(error.status_code, told, title)
    answer.headers.update(error.headers or {})
    if error.status_code == 405:
        answer.headers["Allow"] = ", ".join(_allowed(request))
    return answer


def _allowed(request: Request) -> list[str]:
    """All methods of an address. (The router answers with those of the first route there alone.)"""
    found: set[str] = set()
    for path, operations in request.app.openapi()["paths"].items():
        if compile_path(path)[0].match(request.url.path):
            found |= {method.upper() for method in operations}
    return sorted(found) or ["GET"]


async def _unforeseen(request: Request, error: Exception) -> JSONResponse:
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    told = {
        "code": "unexpected",
        "message": "Something unforeseen went wrong. Nothing was changed by this request.",
        "remedy": "The server's log has the cause.",
    }
    return problem(500, told, "Something unforeseen went wrong.")
