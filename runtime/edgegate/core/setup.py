# SPDX-License-Identifier: Apache-2.0
"""From model cards and a parsed configuration to a Gateway, or to words about what is wrong."""

from . import config, media, model, tensors
from .gateway import Gateway

MIN_REQUEST_BYTES = 65536
_ENVELOPE_BYTES = 4096


class SetupError(Exception):
    """The gateway cannot start. `where` and `hint` may be empty."""

    def __init__(self, message: str, where: str, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.hint = hint


def request_bytes(models: list) -> int:
    """What the largest tool call needs when its numbers are written out generously."""
    most = MIN_REQUEST_BYTES
    for one in models:
        need = _ENVELOPE_BYTES
        for tensor in one.inputs:
            digits = 26
            if tensor.dtype in tensors.INTEGERS:
                digits = len(str(tensors.INTEGERS[tensor.dtype][2])) + 1
            need += tensor.count * (digits + 5)
        most = max(most, need)
    return most


def decide(settings: dict, models: list) -> dict:
    """The settings with every default that depends on the models filled in."""
    if settings["max_request_bytes"] is None:
        settings["max_request_bytes"] = request_bytes(models)
    if settings["max_buffered_bytes"] is None:
        settings["max_buffered_bytes"] = 4 * settings["max_request_bytes"]
    return settings


def load_models(cards: list, found: config.Config) -> list:
    models = []
    tools: dict[str, str] = {}
    for index in range(len(cards)):
        try:
            one = model.load(index, cards[index], found.models)
        except model.CardError as error:
            raise SetupError(str(error.args[0]), "model %d" % index, "") from None
        if one.tool in tools:
            raise SetupError(
                "two models have the tool name '%s'" % one.tool,
                tools[one.tool] + " and " + one.name,
                "set tool in [models." + one.name + "]",
            )
        tools[one.tool] = one.name
        _check_content(one)
        models.append(one)
    return models


def _check_content(one: model.Model) -> None:
    for tensor in one.inputs:
        reason = media.unsuitable(tensor)
        if reason is not None:
            raise SetupError(
                "input '%s' cannot be %s content: %s" % (tensor.name, tensor.content, reason),
                "model '%s'" % one.name,
                "set content in [models.%s]" % one.name,
            )


def gateway(cards: list, document: object, where: str, version: str, now_ms: int) -> Gateway:
    """A gateway; SetupError names the first thing wrong. `where` names the configuration."""
    found, problems = config.parse(document, None)
    if not problems:
        models = load_models(cards, found)
        found, problems = config.parse(document, [one.name for one in models])
    if problems:
        words = [config.describe(one) for one in problems]
        raise SetupError(words[0], where, "; ".join(words[1:]))
    settings = decide(found.gateway, models)
    info = {"name": settings["name"], "version": version}
    if settings["title"]:
        info["title"] = settings["title"]
    return Gateway(models, settings, info, now_ms)
