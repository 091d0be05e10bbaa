# SPDX-License-Identifier: Apache-2.0
"""A model as the gateway sees it: its card, with what the configuration says over it."""

from . import jsontext, tensors
from .records import Record

CARD_DEPTH = 16
CARD_BYTES = 4 * 1024 * 1024


class CardError(Exception):
    """A card that this gateway cannot serve; found at start, before anyone is answered."""


class Tensor(Record):
    """One input or output: declared shape, element type, and how stored values become real.

    `scale` is None for a tensor that is not quantised; `bytes` is its size, raw. `pixel_range` is
    what the model wants of a picture, None when that follows from the type.
    """

    __slots__ = (
        "bytes",
        "content",
        "count",
        "dtype",
        "name",
        "pixel_range",
        "scale",
        "shape",
        "zero_point",
    )
    bytes: int
    content: str
    count: int
    dtype: str
    name: str
    pixel_range: "str | None"
    scale: "float | None"
    shape: list[int]
    zero_point: int


class Model(Record):
    """What a tool is made from; `card` is the JSON text that the resource gives out."""

    __slots__ = (
        "card",
        "description",
        "index",
        "inputs",
        "labels",
        "licence",
        "name",
        "outputs",
        "task",
        "title",
        "tool",
        "top",
    )
    card: str
    description: str
    index: int
    inputs: list[Tensor]
    labels: "list[str] | None"
    licence: "str | None"
    name: str
    outputs: list[Tensor]
    task: str
    title: str
    tool: str
    top: int


def tensor(entry: dict, pixel_range: "str | None") -> Tensor:
    dtype = entry["dtype"]
    size = tensors.value_bytes(dtype)
    if size == 0:
        raise CardError("tensor '%s' has type %s, which is not served" % (entry["name"], dtype))
    count = tensors.elements(entry["shape"])
    if count < 1 or count * size != entry["bytes"]:
        raise CardError("tensor '%s': shape and bytes disagree" % entry["name"])
    scale = None
    zero_point = 0
    quantisation = entry.get("quantisation")
    if quantisation and len(quantisation["scale"]) == 1:
        scale = float(quantisation["scale"][0])
        zero_point = int((quantisation["zero_point"] or [0])[0])
    return Tensor(
        name=entry["name"],
        shape=entry["shape"],
        dtype=dtype,
        bytes=entry["bytes"],
        count=count,
        content=entry.get("content") or "tensor",
        pixel_range=pixel_range,
        scale=scale,
        zero_point=zero_point,
    )


def load(index: int, card_text: bytes, configured: dict) -> Model:
    """The model of a card; CardError says what is wrong with card or configuration.

    `configured`: the validated `[models.<name>]` tables by model name.
    """
    try:
        card = jsontext.loads(card_text, CARD_DEPTH)
        if not isinstance(card, dict):
            raise CardError("card %d is not an object" % index)
        return _model(index, card, configured.get(card["name"], {}))
    except jsontext.JsonError as error:
        raise CardError("card %d is not JSON: %s" % (index, error.reason)) from None
    except (KeyError, TypeError, IndexError, ValueError, AttributeError) as error:
        raise CardError("card %d is not a model card: %s" % (index, repr(error))) from None


def _model(index: int, card: dict, overrides: dict) -> Model:
    card = dict(card)
    for key in ("description", "labels", "licence", "task", "title"):
        if overrides.get(key):
            card[key] = overrides[key]
    if overrides.get("content"):
        card["inputs"] = [dict(entry, content=overrides["content"]) for entry in card["inputs"]]
    inputs = [tensor(entry, overrides.get("pixel_range")) for entry in card["inputs"]]
    outputs = [tensor(entry, None) for entry in card["outputs"]]
    name = card["name"]
    task = card["task"]
    labels = card.get("labels") or None
    if not inputs or not outputs:
        raise CardError("model '%s' has no inputs or no outputs" % name)
    if labels and task == "classify" and len(labels) != outputs[0].count:
        raise CardError(
            "model '%s' has %d classes but %d labels" % (name, outputs[0].count, len(labels))
        )
    return Model(
        index=index,
        name=name,
        task=task,
        tool=overrides.get("tool") or task + "_" + name,
        title=card.get("title") or _default_title(task, name),
        description=card.get("description") or "",
        labels=labels,
        licence=card.get("licence"),
        top=overrides.get("top") or 5,
        inputs=inputs,
        outputs=outputs,
        card=jsontext.dumps(card),
    )


def _default_title(task: str, name: str) -> str:
    return ("Classify with " if task == "classify" else "Run ") + name.replace("_", " ")
