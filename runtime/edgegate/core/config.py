# SPDX-License-Identifier: Apache-2.0
"""The configuration: one table is the decoder, the schema and the reference documentation.

Input is the parsed `mcp-edge.toml` (or the same as JSON): nested dicts. A mistake is a Problem
with its place, never an exception; all of them are found at once.
"""

from .records import Record

TOOL_CHARS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-"


class Field(Record):
    """One key. `kind`: text, integer, texts. `low`, `high`: bounds of the number, the length of
    the text, or the count of items. `choices`: all allowed texts, or None. `chars`: the allowed
    characters of a text, or None. `default` None means: decided by the model or at start.
    """

    __slots__ = ("chars", "choices", "default", "doc", "high", "kind", "low", "name")
    chars: "str | None"
    choices: "list[str] | None"
    default: object
    doc: str
    high: int
    kind: str
    low: int
    name: str


class Problem(Record):
    """`place`: the key, as `[gateway] listen`. `reason`: a sentence. `nearest`: a known key."""

    __slots__ = ("nearest", "place", "reason")
    nearest: "str | None"
    place: str
    reason: str


class Config(Record):
    """`gateway`: every key of the table with its value. `models`: name → only the keys given."""

    __slots__ = ("gateway", "models")
    gateway: dict
    models: dict


def _field(
    name: str,
    kind: str,
    default: object,
    low: int,
    high: int,
    doc: str,
    choices: "list[str] | None" = None,
    chars: "str | None" = None,
) -> Field:
    return Field(
        name=name,
        kind=kind,
        default=default,
        low=low,
        high=high,
        doc=doc,
        choices=choices,
        chars=chars,
    )


def _text(name: str, default: object, low: int, high: int, doc: str) -> Field:
    return _field(name, "text", default, low, high, doc)


def _number(name: str, default: object, low: int, high: int, doc: str) -> Field:
    return _field(name, "integer", default, low, high, doc)


def _texts(name: str, default: object, high: int, doc: str) -> Field:
    return _field(name, "texts", default, 0, high, doc)


def _choice(name: str, choices: list[str], doc: str) -> Field:
    return _field(name, "text", None, 1, 64, doc, choices=choices)


def _tool(name: str, doc: str) -> Field:
    return _field(name, "text", None, 1, 128, doc, chars=TOOL_CHARS)


GATEWAY = [
    _text("name", "edgegate", 1, 128, "The server's name, as clients see it."),
    _text("title", "", 0, 128, "The server's name for people; empty: none."),
    _text("instructions", "", 0, 8192, "How to use this server, for a client's language model."),
    _text(
        "listen",
        "127.0.0.1:8080",
        3,
        128,
        "Address and port of HTTP. Port 0 takes a free one. 0.0.0.0 or [::] is every interface: "
        "there is no authentication yet, so only do that on a network you trust.",
    ),
    _texts(
        "allowed_hosts",
        [],
        64,
        "Host names, beside localhost and literal IP addresses, that requests may name in Host; "
        "'*' allows all. A defence against DNS rebinding.",
    ),
    _texts(
        "allowed_origins",
        [],
        64,
        "Origins of web pages, beside those on this very host and on loopback, that may send "
        "requests; '*' allows all.",
    ),
    _number(
        "max_request_bytes",
        None,
        1024,
        268435456,
        "Largest body of a request. Default: what the largest model input needs as JSON numbers, "
        "at least 64 KiB.",
    ),
    _number("max_header_bytes", 16384, 1024, 131072, "Largest head of a request."),
    _number("max_connections", 64, 1, 4096, "Connections at one time; one more gets status 503."),
    _number(
        "max_buffered_bytes",
        None,
        4096,
        1073741824,
        "Memory for the half-received requests of all connections together; one that would "
        "exceed it gets status 503. Default: four times max_request_bytes.",
    ),
    _number(
        "request_timeout_ms",
        10000,
        100,
        3600000,
        "A request must have arrived, and its response have been taken, within this time each.",
    ),
    _number("idle_timeout_ms", 60000, 100, 3600000, "A connection without a request is closed."),
    _number(
        "cache_ttl_ms",
        300000,
        0,
        86400000,
        "How long clients may keep the lists of tools and resources (revision 2026-07-28).",
    ),
]

MODEL = [
    _tool("tool", "Name of the tool. Default: classify_<name> or infer_<name>."),
    _text("title", None, 1, 128, "Name of the tool for people."),
    _text("description", None, 1, 4096, "What the model does, for a client's language model."),
    _choice(
        "task",
        ["classify", "infer"],
        "classify: the first output has one value per class, and the best are named. infer: "
        "the values only. Default: as the model's card says.",
    ),
    _texts("labels", None, 65536, "Names of the classes, in the order of the output's values."),
    _number("top", 5, 1, 1000, "How many of the best classes to name."),
    _choice(
        "content",
        ["tensor", "image", "audio"],
        "What else the input may be given as: image (height x width x 1 or 3) or audio (samples) "
        "content blocks. Default: as the model's card says.",
    ),
    _choice(
        "pixel_range",
        ["0..255", "0..1", "-1..1"],
        "The real values that the model wants pixels as. Default: the whole range of an integer "
        "input, 0..1 for a float input.",
    ),
    _text("licence", None, 1, 256, "The model's licence, an SPDX expression."),
]

TABLES = {"gateway": GATEWAY, "models": MODEL}


def distance(one: str, other: str) -> int:
    """Edit distance (Levenshtein)."""
    row = list(range(len(other) + 1))
    for i in range(len(one)):
        before = row
        row = [i + 1]
        for j in range(len(other)):
            cost = 0 if one[i] == other[j] else 1
            row.append(min(before[j] + cost, before[j + 1] + 1, row[j] + 1))
    return row[len(other)]


def nearest(key: str, known: list[str]) -> "str | None":
    """The known key that was probably meant; None when nothing is close."""
    best = None
    least = max(2, len(key) // 3) + 1
    for candidate in known:
        if abs(len(candidate) - len(key)) < least:
            far = distance(key[:64], candidate)
            if far < least:
                best = candidate
                least = far
    return best


def problem(place: str, reason: str, near: "str | None") -> Problem:
    return Problem(place=place, reason=reason, nearest=near)


def check_value(field: Field, value: object) -> "str | None":
    """What is wrong with a value, or None."""
    if field.kind == "integer":
        if type(value) is not int:
            return "must be an integer"
        if not field.low <= value <= field.high:
            return "must be between %d and %d, not %d" % (field.low, field.high, value)
        return None
    if field.kind == "texts":
        return _check_texts(field, value)
    if not isinstance(value, str):
        return "must be a string"
    if field.choices is not None and value not in field.choices:
        return "must be one of " + ", ".join(field.choices)
    if not field.low <= len(value) <= field.high:
        return "must have %d to %d characters" % (field.low, field.high)
    if field.chars is not None and value.lstrip(field.chars):
        return "may only have letters, digits, '_', '-' and '.'"
    if field.name == "listen" and split_address(value) is None:
        return "must be ADDRESS:PORT, as 127.0.0.1:8080 or [::1]:8080"
    return None


def _check_texts(field: Field, value: object) -> "str | None":
    if not isinstance(value, list):
        return "must be a list of strings"
    for item in value:
        if not isinstance(item, str):
            return "must be a list of strings"
    if len(value) > field.high:
        return "must have at most %d items" % field.high
    return None


def split_address(text: str) -> "tuple[str, int] | None":
    """ADDRESS:PORT to its parts, brackets of IPv6 taken off; None when it is not that."""
    colon = text.rfind(":")
    host = text[:colon]
    port = text[colon + 1 :]
    if colon < 1 or not port or port.lstrip("0123456789") or len(port) > 5:
        return None
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        return None
    if int(port) > 65535:
        return None
    return (host, int(port))


def _table(fields: list, given: object, place: str, problems: list) -> dict:
    """The valid keys of one table; what is wrong goes to `problems`."""
    if not isinstance(given, dict):
        problems.append(problem(place, "must be a table", None))
        return {}
    known = dict([(field.name, field) for field in fields])
    values = {}
    for key in sorted(given):
        if key not in known:
            near = nearest(key, sorted(known))
            problems.append(problem(place + " " + key, "is not a known key", near))
            continue
        reason = check_value(known[key], given[key])
        if reason is not None:
            problems.append(problem(place + " " + key, reason, None))
        else:
            values[key] = given[key]
    return values


def parse(document: object, model_names: "list[str] | None") -> "tuple[Config, list[Problem]]":
    """The configuration and everything that is wrong with it; use it only if that is nothing.

    `model_names` are the models there are, or None where they are not known yet.
    """
    problems: list = []
    if not isinstance(document, dict):
        return (defaults(), [problem("the file", "must be a table", None)])
    for key in sorted(document):
        if key not in TABLES:
            near = nearest(key, sorted(TABLES))
            problems.append(problem("[" + key + "]", "is not a known table", near))
    config = defaults()
    config.gateway.update(_table(GATEWAY, document.get("gateway", {}), "[gateway]", problems))
    config.models = _models(document.get("models", {}), model_names, problems)
    return (config, problems)


def _models(given: object, model_names: "list[str] | None", problems: list) -> dict:
    if not isinstance(given, dict):
        problems.append(problem("[models]", "must be a table of tables", None))
        return {}
    models = {}
    tools: dict[str, str] = {}
    for name in sorted(given):
        place = "[models." + name + "]"
        if model_names is not None and name not in model_names:
            near = nearest(name, model_names)
            problems.append(problem(place, "is not a model of this gateway", near))
        models[name] = _table(MODEL, given[name], place, problems)
        tool = models[name].get("tool")
        if tool in tools:
            problems.append(problem(place + " tool", "is also that of " + tools[tool], None))
        elif tool is not None:
            tools[tool] = place
    return models


def defaults() -> Config:
    return Config(
        gateway=dict([(field.name, field.default) for field in GATEWAY]),
        models={},
    )


def describe(found: Problem) -> str:
    words = found.place + " " + found.reason
    if found.nearest is not None:
        words += "; did you mean '" + found.nearest + "'?"
    return words


def field_schema(field: Field) -> dict:
    schema: dict = {"description": field.doc}
    if field.default is not None:
        schema["default"] = field.default
    if field.kind == "integer":
        schema.update({"type": "integer", "minimum": field.low, "maximum": field.high})
    elif field.kind == "texts":
        schema.update({"type": "array", "items": {"type": "string"}, "maxItems": field.high})
    else:
        schema.update({"type": "string", "minLength": field.low, "maxLength": field.high})
        if field.choices is not None:
            schema["enum"] = field.choices
        if field.chars is not None:
            schema["pattern"] = "^[A-Za-z0-9_.-]+$"
        if field.name == "listen":
            schema["pattern"] = "^(\\[[^\\[\\]]+\\]|[^:]+):[0-9]{1,5}$"
    return schema


def table_schema(fields: list) -> dict:
    properties = dict([(field.name, field_schema(field)) for field in fields])
    return {"type": "object", "properties": properties, "additionalProperties": False}


def schema() -> dict:
    """The JSON Schema (2020-12) that `config.schema.json` holds."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "mcp-edge.toml",
        "description": "Configuration of the gateway.",
        "type": "object",
        "properties": {
            "gateway": table_schema(GATEWAY),
            "models": {
                "type": "object",
                "propertyNames": {"pattern": "^[a-z0-9_]{1,32}$"},
                "additionalProperties": table_schema(MODEL),
            },
        },
        "additionalProperties": False,
    }
