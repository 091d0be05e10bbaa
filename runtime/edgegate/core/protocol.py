# SPDX-License-Identifier: Apache-2.0
"""JSON-RPC and MCP: one message in, one classification out. No transport, no state of peers."""

from . import arguments, base64text, jsontext, results, revisions, tools
from .records import Record
from .tensors import Refused

MAX_DEPTH = 24
VERSION_KEY = "io.modelcontextprotocol/protocolVersion"
CAPABILITIES_KEY = "io.modelcontextprotocol/clientCapabilities"
SERVER_KEY = "io.modelcontextprotocol/serverInfo"

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
METHODS = {
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


class Reply(Record):
    """An answer that is ready. `text` is the JSON-RPC message, None for a notification taken."""

    __slots__ = ("code", "method", "status", "text")


class Call(Record):
    """A model has to run before there is an answer; give its result to `Protocol.computed`."""

    __slots__ = ("identity", "inputs", "model", "revision")


def fault(code: int, message: str, data: "str | None" = None) -> Fault:
    return Fault(code=code, message=message, data=data)


def unsupported(requested: str) -> Fault:
    data = {"requested": requested, "supported": revisions.MODERN_NAMES}
    return fault(UNSUPPORTED_VERSION, "Unsupported protocol version", jsontext.dumps(data))


def identity_text(message: dict) -> "str | None":
    """The request's id as JSON; None when there is none that may be echoed."""
    identity = message.get("id")
    if isinstance(identity, str):
        return jsontext.quote(identity)
    if type(identity) is int:
        return str(identity)
    return None


def meta_version(message: dict) -> object:
    """The protocol version in `params._meta`, or None."""
    params = message.get("params")
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


class Protocol:
    """Every answer that does not depend on the request is made here, once, as text."""

    def __init__(self, models: list, info: dict, instructions: str, ttl_ms: int) -> None:
        self.models = models
        self.by_tool = dict([(model.tool, model) for model in models])
        self.by_uri = dict([(tools.resource_uri(model), model) for model in models])
        self.texts = [results.ResultText(model) for model in models]
        self.info = info
        self.instructions = instructions
        self.fixed = {}
        self.prefixes = {}
        for revision in revisions.ALL:
            self._prepare(revision, ttl_ms)

    def _prepare(self, revision: object, ttl_ms: int) -> None:
        prefix = ""
        cached = ""
        if revision.modern:
            meta = jsontext.dumps({SERVER_KEY: self.info})
            prefix = '"_meta":' + meta + ',"resultType":"complete",'
            cached = prefix + '"cacheScope":"public","ttlMs":%d,' % ttl_ms
        self.prefixes[revision.name] = (prefix, cached)
        lists = {
            "tools/list": ("tools", [tools.tool(model, revision) for model in self.models]),
            "resources/list": (
                "resources",
                [tools.resource(model, revision) for model in self.models],
            ),
            "resources/templates/list": ("resourceTemplates", []),
        }
        for method in sorted(lists):
            key, items = lists[method]
            text = "{" + cached + '"' + key + '":' + jsontext.dumps(items) + "}"
            self.fixed[(revision.name, method)] = text
        self.fixed[(revision.name, "ping")] = "{}"
        self.fixed[(revision.name, "server/discover")] = "{" + cached + self._hello(
            {"supportedVersions": revisions.MODERN_NAMES}
        )
        info = self.info
        if not revision.described:
            info = {"name": info["name"], "version": info["version"]}
        self.fixed[(revision.name, "initialize")] = "{" + self._hello(
            {"protocolVersion": revision.name, "serverInfo": info}
        )

    def _hello(self, members: dict) -> str:
        members["capabilities"] = {"resources": {}, "tools": {}}
        if self.instructions:
            members["instructions"] = self.instructions
        return jsontext.dumps(members)[1:]

    def parse(self, data: bytes) -> object:
        """The JSON value, or a Fault."""
        try:
            return jsontext.loads(data, MAX_DEPTH)
        except jsontext.JsonError as error:
            return fault(
                PARSE_ERROR, "Parse error at byte %d: %s" % (error.offset, error.reason)
            )

    def refuse(self, refusal: Fault, identity: "str | None", modern: bool, method: str) -> Reply:
        text = '{"jsonrpc":"2.0","id":%s,"error":{"code":%d,"message":%s' % (
            identity or "null",
            refusal.code,
            jsontext.quote(refusal.message),
        )
        if refusal.data is not None:
            text += ',"data":' + refusal.data
        status = STATUS.get(refusal.code, (200, 200))[0 if modern else 1]
        return Reply(status=status, text=text + "}}", method=method, code=refusal.code)

    def message(self, message: object, revision: object, headers: "dict | None") -> object:
        """A Reply or a Call for one message of a peer that speaks `revision`.

        `headers` are those of HTTP, names in lower case, or None where there are none.
        """
        refusal = check_envelope(message)
        modern = revision.modern
        if refusal is not None:
            identity = identity_text(message) if isinstance(message, dict) else None
            return self.refuse(refusal, identity, modern, "")
        if "method" not in message:
            if modern:
                return self.refuse(
                    fault(INVALID_REQUEST, "Responses are not taken"), None, modern, ""
                )
            return Reply(status=202, text=None, method="response", code=0)
        method = message["method"]
        if "id" not in message:
            return Reply(status=202, text=None, method="notification", code=0)
        identity = identity_text(message)
        known = method if method in METHODS else "unknown"
        refusal = check_modern(message, headers) if modern else None
        if refusal is None:
            refusal = self._check_method(method, message, modern)
        if refusal is not None:
            return self.refuse(refusal, identity, modern, known)
        return self._answer(method, message.get("params") or {}, identity, revision)

    def _check_method(self, method: str, message: dict, modern: bool) -> "Fault | None":
        era = METHODS[method][0] if method in METHODS else "none"
        if era != "both" and era != ("modern" if modern else "legacy"):
            return fault(METHOD_NOT_FOUND, "Method not found: " + method[:64])
        return check_params(method, message.get("params") or {})

    def _answer(self, method: str, params: dict, identity: str, revision: object) -> object:
        if method == "tools/call":
            return self._call(params, identity, revision)
        if method == "resources/read":
            return self._read(params["uri"], identity, revision)
        if method == "initialize":
            revision = revisions.negotiate(params["protocolVersion"])
        return self.reply(method, identity, self.fixed[(revision.name, method)])

    def reply(self, method: str, identity: str, result: str) -> Reply:
        text = '{"jsonrpc":"2.0","id":' + identity + ',"result":' + result + "}"
        return Reply(status=200, text=text, method=method, code=0)

    def _read(self, uri: str, identity: str, revision: object) -> Reply:
        model = self.by_uri.get(uri)
        if model is None:
            refusal = fault(
                revision.missing_resource, "Resource not found", jsontext.dumps({"uri": uri[:256]})
            )
            return self.refuse(refusal, identity, revision.modern, "resources/read")
        contents = [{"uri": uri, "mimeType": "application/json", "text": model.card}]
        result = "{" + self.prefixes[revision.name][1] + '"contents":%s}' % jsontext.dumps(contents)
        return self.reply("resources/read", identity, result)

    def _call(self, params: dict, identity: str, revision: object) -> object:
        model = self.by_tool.get(params["name"])
        if model is None:
            refusal = fault(INVALID_PARAMS, "Unknown tool: " + params["name"][:64])
            return self.refuse(refusal, identity, revision.modern, "tools/call")
        try:
            inputs = arguments.inputs(model, params.get("arguments") or {})
        except Refused as error:
            return self._refuse_arguments(str(error.args[0]), identity, revision)
        return Call(model=model, inputs=inputs, identity=identity, revision=revision)

    def _refuse_arguments(self, words: str, identity: str, revision: object) -> Reply:
        if not revision.argument_errors:
            refusal = fault(INVALID_PARAMS, words)
            return self.refuse(refusal, identity, revision.modern, "tools/call")
        result = results.failure(words, self.prefixes[revision.name][0])
        return self.reply("tools/call", identity, result)

    def computed(self, call: Call, outputs: "list[bytes] | None", code: int) -> Reply:
        """The answer to a Call: `outputs` of the model, or None and its error code."""
        prefix = self.prefixes[call.revision.name][0]
        if outputs is None:
            result = results.failure("the model failed with error %d" % code, prefix)
        else:
            structured = self.texts[call.model.index].structured(outputs)
            if structured is None:
                words = "the model's output is not finite (NaN or infinity) for this input"
                result = results.failure(words, prefix)
            else:
                result = results.success(structured, call.revision, prefix)
        return self.reply("tools/call", call.identity, result)
