# SPDX-License-Identifier: Apache-2.0
"""Arguments of a tool call to the raw bytes of the model's inputs."""

from . import jsontext, media, tensors
from .model import Model, Tensor
from .tensors import Refused

TEXT_DEPTH = 16


def inputs(model: Model, arguments: dict) -> list[bytes]:
    """One bytes object per input, in the model's order; Refused says what is wrong and where."""
    for key in sorted(arguments):
        if key != "inputs":
            raise Refused("unknown argument '%s'; the only one is 'inputs'" % key[:64])
    if "inputs" not in arguments:
        raise Refused("missing argument 'inputs'")
    given = unwrapped(arguments["inputs"])
    if len(model.inputs) == 1:
        return [_placed(model.inputs[0], given, "inputs")]
    if not isinstance(given, dict):
        raise Refused("inputs: expected an object with one member for each input tensor")
    names = [tensor.name for tensor in model.inputs]
    for key in sorted(given):
        if key not in names:
            raise Refused(
                "inputs: unknown tensor '%s'; known are %s" % (key[:64], ", ".join(names))
            )
    found = []
    for tensor in model.inputs:
        if tensor.name not in given:
            raise Refused("inputs: missing tensor '%s'" % tensor.name)
        found.append(_placed(tensor, given[tensor.name], "inputs." + tensor.name))
    return found


def unwrapped(given: object) -> object:
    """JSON in a string as what it says: some clients and language models can send no arrays.

    No base64 starts with a bracket, so nothing is guessed.
    """
    if not isinstance(given, str) or given[:1] not in ("[", "{"):
        return given
    try:
        return jsontext.loads(bytes(given, "utf-8"), TEXT_DEPTH)
    except jsontext.JsonError as error:
        words = "inputs: the JSON in this string is wrong at byte %d: %s"
        raise Refused(words % (error.offset, error.reason)) from None


def _placed(tensor: Tensor, value: object, place: str) -> bytes:
    try:
        return one(tensor, value)
    except Refused as error:
        raise Refused(place + ": " + str(error.args[0])) from None


def one(tensor: Tensor, value: object) -> bytes:
    """Numbers, base64 of raw bytes, or a content block, told apart by their JSON type."""
    if isinstance(value, list):
        return tensors.from_numbers(value, tensor.shape, tensor.dtype)
    if isinstance(value, str):
        return tensors.from_base64(value, tensor.bytes)
    if isinstance(value, dict) and tensor.content != "tensor":
        return media.decode(tensor, value)
    raise Refused(
        "expected an array of numbers or base64 text"
        + ("" if tensor.content == "tensor" else ", or " + tensor.content + " content")
    )
