# SPDX-License-Identifier: Apache-2.0
"""Image and audio content to a tensor."""

from .model import Tensor
from .tensors import Refused


def decode(tensor: Tensor, block: dict) -> bytes:
    raise Refused(tensor.content + " content is not supported")
