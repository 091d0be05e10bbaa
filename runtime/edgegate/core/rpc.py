# SPDX-License-Identifier: Apache-2.0
"""JSON-RPC and MCP messages: what they must look like, and what is wrong with one that does not.

A check returns a Fault, or None when there is nothing to say.
"""

from . import base64text, jsontext, revisions
from .records import Record

VERSION_KEY = "io.modelcontextprotocol/protocolVersion"
CAPABILITIES_KEY = "io.modelcontextprotocol/clientCapabilities"

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603
HEADER_MISMATCH = -32020
UNSUPPORTED_VERSION = -32022

# error code → HTTP status (modern, legacy); what is not listed is 200.
STATUS = {
    PARSE_ERROR: (400, 400),
    INVALID_REQUEST: (400, 400),
    METHOD_NOT_FOUND: (404, 200),
    INVALID_PARAMS: (400, 200),
    HEADER_MISMATCH: (400, 400),
    UNSUPPORTED_VERSION: (400, 400),
}

# method → (eras it exists in, fields of params: name, type, required)
METHODS: dict = {
    "initialize": ("legacy", (("protocolVersion", str, True), ("clientInfo", dict, False))),
    "ping": ("legacy", ()),
    "server/discover": ("modern", ()),
    "tools/list": ("both", (("cursor", str, False),)),
    "tools/call": ("both", (("name", str, True), ("arguments", dict, False))),
    "resources/list": ("both", (("cursor", str, False),)),
    "resources/templates/list": ("both", (("cursor", str, False),)),
    "resources/read": ("both", (("uri", str, True),)),
}

# method → the member of params that the header Mcp-Name repeats
NAMED = {"tools/call": "name", "resources/read": "uri", "prompts/get": "name"}


class Fault(Record):
    """A refusal: JSON-RPC error code, words, and `data` as JSON text or None."""

    __slots__ = ("code", "data", "message")
    code: int
    data: "str | None"
    message: str


def fault(code: int, message: str, data: "str | None" = None) -> Fault:
    return Fault(code=code, message=message, data=data)


def unsupported(requested: str) -> Fault:
    data = {"requested": requested, "supported": revisions.MODERN_NAMES}
    return fault(UNSUPPORTED_VERSION, "Unsupported protocol version", jsontext.dumps(data))


def identity_text(message: object) -> "str | None":
    """The request's id as JSON; None when there is none that may be echoed."""
    if not isinstance(message, dict):
        return None
    identity = message.get("id")
    if isinstance(identity, str):
        return jsontext.quote(identity)
    if type(identity) is int:
        return str(identity)
    return None


def meta_version(message: object) -> object:
    """The protocol version in `params._meta`, or None."""
    params = message.get("params") if isinstance(message, dict) else None
    meta = params.get("_meta") if isinstance(params, dict) else None
    return meta.get(VERSION_KEY) if isinstance(meta, dict) else None


def check_envelope(message: object) -> "Fault | None":
    """Whether this is a JSON-RPC request, notification or response at all."""
    if not isinstance(message, dict) or message.get("jsonrpc") != "2.0":
        return fault(INVALID_REQUEST, "Not a JSON-RPC 2.0 message object")
    if "method" not in message and ("result" in message or "error" in message):
        return None
    if not isinstance(message.get("method"), str):
        return fault(INVALID_REQUEST, "method must be a string")
    if "id" in message and identity_text(message) is None:
        return fault(INVALID_REQUEST, "id must be a string or an integer")
    if "params" in message and not isinstance(message["params"], dict):
        return fault(INVALID_PARAMS, "params must be an object")
    return None


def offered_version(message: object) -> object:
    """The protocol version that an `initialize` asks for, or None."""
    params = message.get("params") if isinstance(message, dict) else None
    return params.get("protocolVersion") if isinstance(params, dict) else None


def needs_revision(message: object) -> bool:
    """Whether this is a request that a line peer may only make once a revision is agreed on."""
    if not isinstance(message, dict) or "id" not in message:
        return False
    return isinstance(message.get("method"), str) and message["method"] not in (
        "initialize",
        "ping",
    )


def check_batch(messages: list, limit: int) -> "Fault | None":
    """What forbids answering these messages together."""
    if not messages or len(messages) > limit:
        return fault(INVALID_REQUEST, "A batch holds 1 to %d messages" % limit)
    for message in messages:
        if isinstance(message, dict) and message.get("method") == "initialize":
            return fault(INVALID_REQUEST, "initialize may not be in a batch")
    return None


def check_modern(message: dict, headers: "dict | None") -> "Fault | None":
    """The metadata of a modern request, in the order the specification's errors have."""
    params = message.get("params")
    meta = params.get("_meta") if isinstance(params, dict) else None
    if not isinstance(meta, dict):
        return fault(INVALID_PARAMS, "params._meta must carry " + VERSION_KEY)
    for key in (VERSION_KEY, CAPABILITIES_KEY):
        if key not in meta:
            return fault(INVALID_PARAMS, "params._meta lacks " + key)
    version = meta[VERSION_KEY]
    if headers is not None:
        refusal = check_headers(message, version, headers)
        if refusal is not None:
            return refusal
    if not isinstance(version, str):
        return fault(INVALID_PARAMS, VERSION_KEY + " must be a string")
    if version not in revisions.MODERN_NAMES:
        return unsupported(version)
    if not isinstance(meta[CAPABILITIES_KEY], dict):
        return fault(INVALID_PARAMS, CAPABILITIES_KEY + " must be an object")
    return None


def check_headers(message: dict, version: object, headers: dict) -> "Fault | None":
    """Headers repeat members of the body; a proxy may have routed by them, so they must agree."""
    method = message["method"]
    pairs = [("MCP-Protocol-Version", version), ("Mcp-Method", method)]
    if method in NAMED and NAMED[method] in message["params"]:
        pairs.append(("Mcp-Name", message["params"][NAMED[method]]))
    for name, expected in pairs:
        given = headers.get(name.lower())
        if given is None:
            return fault(HEADER_MISMATCH, "Header mismatch: " + name + " is missing")
        if name == "Mcp-Name":
            given = decoded_header(given)
        if given != expected:
            return fault(HEADER_MISMATCH, "Header mismatch: " + name + " differs from the body")
    return None


def decoded_header(value: str) -> "str | None":
    """A header value, taken out of its `=?base64?…?=` wrapping if it has one."""
    if not (value.startswith("=?base64?") and value.endswith("?=")):
        return value
    data = base64text.decode(value[9:-2])
    try:
        return None if data is None else str(data, "utf-8")
    except ValueError:
        return None


def check_method(message: dict, modern: bool) -> "Fault | None":
    """Whether this era has the method, and its params the right members."""
    method = message["method"]
    era = METHODS[method][0] if method in METHODS else "none"
    if era != "both" and era != ("modern" if modern else "legacy"):
        return fault(METHOD_NOT_FOUND, "Method not found: " + method[:64])
    return check_params(method, message.get("params") or {})


def check_params(method: str, params: dict) -> "Fault | None":
    for name, kind, required in METHODS[method][1]:
        if name not in params:
            if required:
                return fault(INVALID_PARAMS, "params." + name + " is missing")
        elif not isinstance(params[name], kind):
            words = "a string" if kind is str else "an object"
            return fault(INVALID_PARAMS, "params." + name + " must be " + words)
    if "cursor" in params:
        return fault(INVALID_PARAMS, "Unknown cursor: every list is one page")
    return None
