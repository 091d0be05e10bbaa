# SPDX-License-Identifier: Apache-2.0
"""What a model computed, as the JSON of a tool result.

The text is put together from pieces made once per model: for tensors of one byte per value, each
of the 256 stored values has its JSON, stored and real, ready.
"""

from . import jsontext, tensors
from .model import Model, Tensor
from .revisions import Revision


class OutputText:
    """Renders one output tensor; `score_text` and `reals` serve classification."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor
        self.head = '{"dtype":%s,"name":%s,' % (
            jsontext.quote(tensor.dtype),
            jsontext.quote(tensor.name),
        )
        self.tail = '"shape":%s,"values":[' % jsontext.dumps(tensor.shape)
        self.stored_texts: list[str] = []
        self.real_texts: list[str] = []
        if tensor.dtype in ("int8", "uint8", "bool"):
            self._prepare(tensor)

    def _prepare(self, tensor: Tensor) -> None:
        for octet in range(256):
            stored = octet - 256 if tensor.dtype == "int8" and octet > 127 else octet
            self.stored_texts.append(str(stored))
            if tensor.scale is not None:
                self.real_texts.append("%.9g" % ((stored - tensor.zero_point) * tensor.scale))

    def render(self, data: bytes) -> "str | None":
        """The tensor's object, or None when a value is not finite, which JSON cannot say."""
        tensor = self.tensor
        if self.stored_texts:
            real = joined(self.real_texts, data) if self.real_texts else None
            stored = joined(self.stored_texts, data)
        else:
            values = tensors.numbers(data, tensor.dtype)
            if not tensors.finite(values):
                return None
            stored = tensors.text(values, tensor.dtype)
            real = None
            if tensor.scale is not None:
                reals = tensors.dequantised(values, tensor.scale, tensor.zero_point)
                real = tensors.text(tuple(reals), "float32")
        middle = '"real":[' + real + "]," if real is not None else ""
        return self.head + middle + self.tail + stored + "]}"

    def real(self, stored: float) -> float:
        if self.tensor.scale is None:
            return stored
        return (stored - self.tensor.zero_point) * self.tensor.scale


def joined(texts: list[str], data: bytes) -> str:
    """The text of each byte, with commas between."""
    pieces = []
    for octet in data:
        pieces.append(texts[octet])
    return ",".join(pieces)


def best(values: "tuple[float | int, ...]", count: int) -> list[int]:
    """Indices of the `count` largest values; of equals, the lower index first."""
    found: list[int] = []
    for index in range(len(values)):
        place = len(found)
        while place > 0 and values[found[place - 1]] < values[index]:
            place -= 1
        if place < count:
            found.insert(place, index)
            if len(found) > count:
                found.pop()
    return found


class ResultText:
    """Renders the structured content of one model."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.outputs = [OutputText(tensor) for tensor in model.outputs]
        self.labels = [jsontext.quote(label) for label in model.labels or []]

    def structured(self, outputs: list[bytes]) -> "str | None":
        """JSON that conforms to the tool's outputSchema; None when a value is not finite."""
        texts = []
        for index in range(len(self.outputs)):
            text = self.outputs[index].render(outputs[index])
            if text is None:
                return None
            texts.append(text)
        body = '"outputs":[' + ",".join(texts) + "]"
        if self.model.task != "classify":
            return "{" + body + "}"
        ranked = self._ranked(outputs[0])
        return "{" + ranked[0] + "," + body + ',"top":[' + ",".join(self._braced(ranked)) + "]}"

    def _braced(self, texts: list[str]) -> list[str]:
        return ["{" + text + "}" for text in texts]

    def _ranked(self, data: bytes) -> list[str]:
        output = self.outputs[0]
        values = tensors.numbers(data, output.tensor.dtype)
        texts = []
        for index in best(values, min(self.model.top, len(values))):
            label = self.labels[index] if self.labels else '"%d"' % index
            texts.append(
                '"index":%d,"label":%s,"score":%.6g' % (index, label, output.real(values[index]))
            )
        return texts


def success(structured: str, revision: Revision, prefix: str) -> str:
    """A tool result; the same JSON as text serves clients that do not read structured content.

    `prefix` holds the members that every result of the revision starts with.
    """
    escaped = structured.replace("\\", "\\\\").replace('"', '\\"')
    text = "{" + prefix + '"content":[{"type":"text","text":"' + escaped + '"}],"isError":false'
    if revision.structured:
        text += ',"structuredContent":' + structured
    return text + "}"


def failure(message: str, prefix: str) -> str:
    """A tool result that says what to change, for the caller's model to read."""
    return (
        "{"
        + prefix
        + '"content":[{"type":"text","text":'
        + jsontext.quote(message)
        + '}],"isError":true}'
    )
