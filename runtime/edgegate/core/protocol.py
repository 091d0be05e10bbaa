# SPDX-License-Identifier: Apache-2.0
"""MCP: one message in, a Reply or a Call out. No transport, and no memory of peers."""

from . import arguments, jsontext, results, revisions, rpc, tools
from .model import Model
from .records import Record
from .revisions import Revision
from .rpc import Fault
from .tensors import Refused

MAX_DEPTH = 24
SERVER_KEY = "io.modelcontextprotocol/serverInfo"


class Reply(Record):
    """An answer that is ready. `text` is the JSON-RPC message, None for a notification taken."""

    __slots__ = ("code", "method", "status", "text")
    code: int
    method: str
    status: int
    text: "str | None"


class Call(Record):
    """A model has to run before there is an answer; give its result to `Protocol.computed`."""

    __slots__ = ("identity", "inputs", "model", "revision")
    identity: str
    inputs: list[bytes]
    model: Model
    revision: Revision


class Protocol:
    """Every answer that does not depend on the request is made here, once, as text."""

    def __init__(self, models: list, info: dict, instructions: str, ttl_ms: int) -> None:
        self.models = models
        self.by_tool = dict([(model.tool, model) for model in models])
        self.by_uri = dict([(tools.resource_uri(model), model) for model in models])
        self.texts = [results.ResultText(model) for model in models]
        self.info = info
        self.instructions = instructions
        self.fixed: dict = {}
        self.prefixes: dict = {}
        for revision in revisions.ALL:
            self._prepare(revision, ttl_ms)

    def _prepare(self, revision: Revision, ttl_ms: int) -> None:
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
        self.fixed[(revision.name, "server/discover")] = (
            "{" + cached + self._hello({"supportedVersions": revisions.MODERN_NAMES})
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
            return rpc.fault(
                rpc.PARSE_ERROR, "Parse error at byte %d: %s" % (error.offset, error.reason)
            )

    def refuse(self, refusal: Fault, identity: "str | None", modern: bool, method: str) -> Reply:
        text = '{"jsonrpc":"2.0","id":%s,"error":{"code":%d,"message":%s' % (
            identity or "null",
            refusal.code,
            jsontext.quote(refusal.message),
        )
        if refusal.data is not None:
            text += ',"data":' + refusal.data
        status = rpc.STATUS.get(refusal.code, (200, 200))[0 if modern else 1]
        return Reply(status=status, text=text + "}}", method=method, code=refusal.code)

    def message(
        self, message: object, revision: Revision, headers: "dict | None"
    ) -> "Reply | Call":
        """The answer to one message of a peer that speaks `revision`.

        `headers` are those of HTTP, names in lower case, or None where there are none.
        """
        identity = rpc.identity_text(message)
        refusal = rpc.check_envelope(message)
        if refusal is not None:
            return self.refuse(refusal, identity, revision.modern, "")
        assert isinstance(message, dict)
        if "method" not in message:
            return self._response(revision)
        if identity is None:
            return Reply(status=202, text=None, method="notification", code=0)
        method = message["method"]
        if revision.modern:
            refusal = rpc.check_modern(message, headers)
        if refusal is None:
            refusal = rpc.check_method(message, revision.modern)
        if refusal is not None:
            known = method if method in rpc.METHODS else "unknown"
            return self.refuse(refusal, identity, revision.modern, known)
        return self._answer(method, message.get("params") or {}, identity, revision)

    def _response(self, revision: Revision) -> Reply:
        """A client's response to a request that we never make: modern ones may not send any."""
        if revision.modern:
            refusal = rpc.fault(rpc.INVALID_REQUEST, "Responses are not taken")
            return self.refuse(refusal, None, True, "")
        return Reply(status=202, text=None, method="response", code=0)

    def _answer(
        self, method: str, params: dict, identity: str, revision: Revision
    ) -> "Reply | Call":
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

    def _read(self, uri: str, identity: str, revision: Revision) -> Reply:
        model = self.by_uri.get(uri)
        if model is None:
            refusal = rpc.fault(
                revision.missing_resource, "Resource not found", jsontext.dumps({"uri": uri[:256]})
            )
            return self.refuse(refusal, identity, revision.modern, "resources/read")
        contents = [{"uri": uri, "mimeType": "application/json", "text": model.card}]
        result = "{" + self.prefixes[revision.name][1] + '"contents":%s}' % jsontext.dumps(contents)
        return self.reply("resources/read", identity, result)

    def _call(self, params: dict, identity: str, revision: Revision) -> "Reply | Call":
        model = self.by_tool.get(params["name"])
        if model is None:
            refusal = rpc.fault(rpc.INVALID_PARAMS, "Unknown tool: " + params["name"][:64])
            return self.refuse(refusal, identity, revision.modern, "tools/call")
        try:
            inputs = arguments.inputs(model, params.get("arguments") or {})
        except Refused as error:
            return self._refuse_arguments(str(error.args[0]), identity, revision)
        return Call(model=model, inputs=inputs, identity=identity, revision=revision)

    def _refuse_arguments(self, words: str, identity: str, revision: Revision) -> Reply:
        if not revision.argument_errors:
            refusal = rpc.fault(rpc.INVALID_PARAMS, words)
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
