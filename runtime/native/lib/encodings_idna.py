# SPDX-License-Identifier: Apache-2.0
"""The "idna" codec, for names that are ASCII already.

socket.getaddrinfo and ssl encode host names with it. The full codec draws in unicodedata, a
megabyte of tables, to turn a name that a person typed into the form that is on the wire; a
device's configuration holds the form on the wire ("xn--…").
"""

import codecs


def _check(text):
    for label in text.split("."):
        if len(label) > 63:
            raise UnicodeError("label too long: " + label)


class Codec(codecs.Codec):
    def encode(self, text, errors="strict"):
        encoded = text.encode("ascii")
        _check(text)
        return encoded, len(text)

    def decode(self, data, errors="strict"):
        return bytes(data).decode("ascii"), len(data)


def getregentry():
    codec = Codec()
    return codecs.CodecInfo(name="idna", encode=codec.encode, decode=codec.decode)
