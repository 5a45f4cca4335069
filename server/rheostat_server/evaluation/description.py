"""OFREP as the API's description has it: what is asked, what is answered, for programs. Pure."""

from typing import Any

from rheostat.model.evaluation import ErrorCode, Reason
from rheostat_server.evaluation.context import BODY_BYTES

Json = dict[str, Any]

_SIZE = f"The request is larger than {BODY_BYTES >> 10} KiB."


def ofrep_description() -> Json:
    """Return OFREP's share of an OpenAPI document: ``paths`` and ``components``."""
    return {
        "paths": {
            "/ofrep/v1/evaluate/flags": {"post": _bulk()},
            "/ofrep/v1/evaluate/flags/{key}": {"post": _single()},
        },
        "components": {
            "schemas": _schemas(),
            "securitySchemes": {
                "api_key": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "X-API-Key",
                    "description": "The same keys and tokens, in the other header that clients use.",
                }
            },
        },
    }


def _single() -> Json:
    return {
        "tags": ["OFREP"],
        "operationId": "OfrepEvaluateFlag",
        "summary": "Evaluate a flag",
        "description": "Evaluate one flag for a context (OFREP 0.3). It counts as an evaluation of the service.",
        "security": [{"key": []}, {"api_key": []}],
        "parameters": [
            {"name": "key", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}},
            {
                "name": "Rheostat-Service",
                "in": "header",
                "required": False,
                "schema": {"type": "string"},
                "description": "Who asks, for the flag's usage; else the key's label.",
            },
        ],
        "requestBody": _body(),
        "responses": {
            "200": _answer("The flag's value, or without `value` the caller's default.", "OfrepSuccess"),
            "400": _answer("The request or its context cannot be evaluated.", "OfrepFlagError"),
            "404": _answer("There is no such flag for this key.", "OfrepFlagError"),
            **_refusals("OfrepFlagError"),
        },
    }


def _bulk() -> Json:
    tag = {"ETag": {"schema": {"type": "string"}, "description": "Of the whole context and its answers."}}
    return {
        "tags": ["OFREP"],
        "operationId": "OfrepEvaluateFlags",
        "summary": "Evaluate all flags",
        "description": "Evaluate every flag that the key may see for a context (OFREP 0.3). Nothing is counted.",
        "security": [{"key": []}, {"api_key": []}],
        "parameters": [
            {
                "name": "If-None-Match",
                "in": "header",
                "required": False,
                "schema": {"type": "string"},
                "description": "ETags of earlier answers; 304 where one still holds for this context.",
            },
            {
                "name": "flagConfigEtag",
                "in": "query",
                "required": False,
                "schema": {"type": "string"},
                "description": "What an event stream told of; a node that is behind waits for it, 2 s at most.",
            },
        ],
        "requestBody": _body(),
        "responses": {
            "200": {**_answer("All flags, in the order of their keys.", "OfrepBulk"), "headers": tag},
            "304": {"description": "Nothing changed for this context.", "headers": tag},
            "400": _answer("The request or its context cannot be evaluated.", "OfrepError"),
            "404": _answer("The key's environment is gone.", "OfrepError"),
            **_refusals("OfrepError"),
        },
    }


def _body() -> Json:
    return {"required": True, "content": {"application/json": {"schema": _ref("OfrepRequest")}}}


def _answer(description: str, form: str) -> Json:
    return {"description": description, "content": {"application/json": {"schema": _ref(form)}}}


def _refusals(form: str) -> Json:
    retry = {"schema": {"type": "integer", "minimum": 1}, "description": "Whole seconds."}
    return {
        "401": _answer("No key came, or one that is unknown, expired or revoked.", form),
        "403": _answer("It is an API token and not an SDK key.", form),
        "413": _answer(_SIZE, form),
        "500": _answer("The server made a mistake.", form),
        "503": {**_answer("The node has not read its flags yet.", form), "headers": {"Retry-After": retry}},
    }


def _schemas() -> Json:
    text = {"type": "string"}
    metadata = {
        "type": "object",
        "additionalProperties": {"anyOf": [{"type": "boolean"}, text, {"type": "number"}]},
    }
    error = {
        "errorDetails": text,
        "errorCode": {"type": "string", "enum": [code.value for code in ErrorCode]},
        "metadata": metadata,
    }
    return {
        "OfrepRequest": {
            "type": "object",
            "required": ["context"],
            "properties": {
                "context": {
                    "type": "object",
                    "properties": {"targetingKey": {"anyOf": [text, {"type": "integer"}, {"type": "null"}]}},
                    "additionalProperties": _ref("OfrepAttribute"),
                }
            },
        },
        "OfrepAttribute": {
            "description": "Null is as good as absent; objects are read by dotted paths.",
            "anyOf": [
                text,
                {"type": "number"},
                {"type": "boolean"},
                {"type": "null"},
                {"type": "array", "items": text},
                {"type": "object", "additionalProperties": _ref("OfrepAttribute")},
            ],
        },
        "OfrepSuccess": {
            "type": "object",
            "required": ["key", "reason", "variant"],
            "properties": {
                "key": text,
                "value": {"anyOf": [{"type": kind} for kind in ("boolean", "string", "number", "object", "array")]},
                "reason": {"type": "string", "enum": [reason.value for reason in Reason]},
                "variant": {"type": "string", "description": "Empty for the caller's default."},
                "metadata": metadata,
            },
        },
        "OfrepFlagError": {
            "type": "object",
            "required": ["key", "errorCode", "errorDetails"],
            "properties": {"key": text, **error},
        },
        "OfrepError": {"type": "object", "required": ["errorCode", "errorDetails"], "properties": error},
        "OfrepBulk": {
            "type": "object",
            "required": ["flags"],
            "properties": {
                "flags": {"type": "array", "items": {"anyOf": [_ref("OfrepSuccess"), _ref("OfrepFlagError")]}},
                "eventStreams": {"type": "array", "items": _ref("OfrepEventStream")},
                "metadata": metadata,
            },
        },
        "OfrepEventStream": {
            "description": "Where to listen for changes, by GET, with the origin of this request. Good for an hour.",
            "type": "object",
            "required": ["type", "endpoint"],
            "properties": {
                "type": {"type": "string", "enum": ["sse"]},
                "endpoint": {"type": "object", "required": ["requestUri"], "properties": {"requestUri": text}},
            },
        },
    }


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}
