# SPDX-License-Identifier: Apache-2.0
"""The MCP tool of a model: name, words for a language model, and both JSON Schemas (2020-12)."""

from . import tensors
from .model import Model, Tensor
from .revisions import Revision

LABEL_ENUM_LIMIT = 64

MEDIA_WORDS = {
    "image": "an image content block (PNG, PPM, PGM or BMP of exactly that size)",
    "audio": "an audio content block (WAV, PCM, one channel)",
}


def value_schema(tensor: Tensor) -> dict:
    """One stored value, with the range of its type."""
    if tensor.dtype in tensors.REALS:
        return {"type": "number"}
    _size, _letter, low, high = tensors.INTEGERS[tensor.dtype]
    return {"type": "integer", "minimum": low, "maximum": high}


def array_schema(tensor: Tensor, shape: list) -> dict:
    schema = value_schema(tensor)
    for extent in reversed_list(shape):
        schema = {"type": "array", "items": schema, "minItems": extent, "maxItems": extent}
    return schema


def reversed_list(values: list) -> list:
    return [values[len(values) - 1 - index] for index in range(len(values))]


def media_schema(kind: str) -> dict:
    return {
        "type": "object",
        "properties": {
            "type": {"const": kind},
            "data": {"type": "string", "contentEncoding": "base64"},
            "mimeType": {"type": "string"},
        },
        "required": ["type", "data"],
    }


def tensor_schema(tensor: Tensor) -> dict:
    """Everything that one input may be given as, told apart by its JSON type."""
    ways = [array_schema(tensor, shape) for shape in tensors.shapes(tensor.shape)]
    length = (tensor.bytes + 2) // 3 * 4
    ways.append(
        {
            "type": "string",
            "contentEncoding": "base64",
            "description": "base64 of the %d raw little-endian bytes" % tensor.bytes,
            "minLength": length,
            "maxLength": length,
        }
    )
    if tensor.content != "tensor":
        ways.append(media_schema(tensor.content))
    return {"description": tensor_words(tensor), "anyOf": ways}


def tensor_words(tensor: Tensor) -> str:
    """What to put there, in one sentence that a language model can act on."""
    words = "%d %s values (shape %s), flat or nested, or base64 of the raw bytes" % (
        tensor.count,
        tensor.dtype,
        tensors.shape_text(tensor.shape),
    )
    if tensor.content != "tensor":
        words += ", or " + MEDIA_WORDS[tensor.content] + media_range(tensor)
    if tensor.scale is not None:
        words += "; real value = (stored - %d) * %.9g" % (tensor.zero_point, tensor.scale)
    return words


def media_range(tensor: Tensor) -> str:
    """What pixels or samples become, where the type alone does not say it."""
    if tensor.content == "audio":
        return "; samples become -1..1" if tensor.dtype in tensors.REALS else ""
    if tensor.pixel_range is None and tensor.dtype not in tensors.REALS:
        return ""
    return "; pixels become " + (tensor.pixel_range or "0..1")


def input_schema(model: Model) -> dict:
    """`inputs` is the tensor itself for a model with one input, else an object by tensor name."""
    if len(model.inputs) == 1:
        inputs = tensor_schema(model.inputs[0])
    else:
        properties = {}
        for tensor in model.inputs:
            properties[tensor.name] = tensor_schema(tensor)
        inputs = {
            "type": "object",
            "properties": properties,
            "required": sorted(properties),
            "additionalProperties": False,
        }
    return {
        "type": "object",
        "properties": {"inputs": inputs},
        "required": ["inputs"],
        "additionalProperties": False,
    }


def output_tensor_schema(tensor: Tensor) -> dict:
    properties = {
        "name": {"const": tensor.name},
        "shape": {"const": tensor.shape},
        "dtype": {"const": tensor.dtype},
        "values": array_schema(tensor, [tensor.count]),
    }
    if tensor.scale is not None:
        properties["real"] = {
            "type": "array",
            "items": {"type": "number"},
            "minItems": tensor.count,
            "maxItems": tensor.count,
            "description": "the values, dequantised",
        }
    return {"type": "object", "properties": properties, "required": sorted(properties)}


def class_schema(model: Model) -> dict:
    label: dict = {"type": "string"}
    if model.labels and len(model.labels) <= LABEL_ENUM_LIMIT:
        label["enum"] = sorted(set(model.labels))
    return {
        "label": label,
        "index": {"type": "integer", "minimum": 0, "maximum": model.outputs[0].count - 1},
        "score": {"type": "number"},
    }


def output_schema(model: Model) -> dict:
    outputs = [output_tensor_schema(tensor) for tensor in model.outputs]
    properties = {
        "outputs": {
            "type": "array",
            "prefixItems": outputs,
            "minItems": len(outputs),
            "maxItems": len(outputs),
        }
    }
    if model.task == "classify":
        properties.update(class_schema(model))
        properties["top"] = {
            "type": "array",
            "maxItems": min(model.top, model.outputs[0].count),
            "items": {
                "type": "object",
                "properties": class_schema(model),
                "required": ["index", "label", "score"],
            },
        }
    return {"type": "object", "properties": properties, "required": sorted(properties)}


def description(model: Model) -> str:
    """The configured or model's own words, then what the tool takes and gives."""
    words = model.description
    if words and not words.endswith("."):
        words += "."
    takes = ", ".join(
        ["%s %s" % (tensors.shape_text(one.shape), one.dtype) for one in model.inputs]
    )
    gives = (
        "the best classes with their scores" if model.task == "classify" else "the output values"
    )
    return (words + " Takes " + takes + ", gives " + gives + ".").strip()


def tool(model: Model, revision: Revision) -> dict:
    """The entry of tools/list, with only the fields that this revision knows."""
    entry = {
        "name": model.tool,
        "description": description(model),
        "inputSchema": input_schema(model),
        "annotations": {
            "readOnlyHint": True,
            "idempotentHint": True,
            "openWorldHint": False,
            "title": model.title,
        },
    }
    if revision.titles:
        entry["title"] = model.title
    if revision.structured:
        entry["outputSchema"] = output_schema(model)
    return entry


def resource_uri(model: Model) -> str:
    return "model://" + model.name + "/card"


def resource(model: Model, revision: Revision) -> dict:
    entry = {
        "uri": resource_uri(model),
        "name": model.name + " card",
        "description": "Model card: signature, quantisation, size, licence.",
        "mimeType": "application/json",
        "size": len(model.card),
    }
    if revision.titles:
        entry["title"] = "Model card of " + model.name
    return entry
