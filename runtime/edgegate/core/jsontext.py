# SPDX-License-Identifier: Apache-2.0
"""JSON (RFC 8259), bounded and strict, for peers that are not trusted.

The one law: nothing is accepted that another JSON reader might read differently. Refused are
duplicate keys, lone surrogates, NaN and Infinity, numbers beyond a double's range, literals of
more than 64 characters, nesting beyond `max_depth`, and anything after the value.

`jsontext.pxd` gives the same text C types where Cython compiles it; the source stays plain
Python, because MicroPython's own json module reads wrong input as right.
"""

MAX_NUMBER_CHARS = 64
MAX_EXACT_CHARS = 16  # fifteen digits and the point: below 2**53

_QUOTE = 34
_BACKSLASH = 92
_ESCAPES = {34: '"', 92: "\\", 47: "/", 98: "\b", 102: "\f", 110: "\n", 114: "\r", 116: "\t"}
_OUT_ESCAPES = {
    '"': '\\"',
    "\\": "\\\\",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
}


class JsonError(Exception):
    """Not JSON, or not within the bounds; never crosses the border of `core`."""

    def __init__(self, reason: str, offset: int) -> None:
        super().__init__(reason, offset)
        self.reason = reason
        self.offset = offset


class Reader:
    """One pass over one document; a NUL behind the last byte stops every loop."""

    def __init__(self, data: bytes, max_depth: int) -> None:
        self.data = data + b"\0"
        self.octets = self.data
        self.end = len(data)
        self.at = 0
        self.depth = max_depth

    def document(self) -> object:
        """The only value of the text, with nothing but white space around it."""
        self.space()
        value = self.value()
        self.space()
        if self.at != self.end:
            raise JsonError("unexpected text after the value", self.at)
        return value

    def space(self) -> int:
        octets = self.octets
        at = self.at
        while octets[at] == 32 or octets[at] == 10 or octets[at] == 13 or octets[at] == 9:
            at += 1
        self.at = at
        return at

    def value(self) -> object:
        octet = self.octets[self.at]
        if octet == _QUOTE:
            return self.string()
        if octet == 45 or 48 <= octet <= 57:
            return self.number()
        if octet == 91:
            return self.sequence()
        if octet == 123:
            return self.mapping()
        if octet == 116:
            return self.word(b"true", True)
        if octet == 102:
            return self.word(b"false", False)
        if octet == 110:
            return self.word(b"null", None)
        raise JsonError("expected a value", self.at)

    def word(self, text: bytes, value: object) -> object:
        if self.data[self.at : self.at + len(text)] != text:
            raise JsonError("expected a value", self.at)
        self.at += len(text)
        return value

    def enter(self) -> int:
        """Go one level down, past the opening bracket."""
        self.depth -= 1
        if self.depth < 0:
            raise JsonError("nested too deep", self.at)
        self.at += 1
        return self.space()

    def leave(self) -> int:
        self.depth += 1
        self.at += 1
        return self.at

    def sequence(self) -> object:
        items: list[object] = []
        self.enter()
        if self.octets[self.at] == 93:
            self.leave()
            return items
        while True:
            items.append(self.value())
            self.space()
            octet = self.octets[self.at]
            if octet == 93:
                self.leave()
                return items
            if octet != 44:
                raise JsonError("expected ',' or ']'", self.at)
            self.at += 1
            self.space()

    def mapping(self) -> object:
        members: dict[str, object] = {}
        self.enter()
        if self.octets[self.at] == 125:
            self.leave()
            return members
        while True:
            self.member(members)
            self.space()
            octet = self.octets[self.at]
            if octet == 125:
                self.leave()
                return members
            if octet != 44:
                raise JsonError("expected ',' or '}'", self.at)
            self.at += 1
            self.space()

    def member(self, members: dict[str, object]) -> object:
        start = self.at
        if self.octets[start] != _QUOTE:
            raise JsonError("expected a key", start)
        key = self.string()
        if key in members:
            raise JsonError("duplicate key", start)
        self.space()
        if self.octets[self.at] != 58:
            raise JsonError("expected ':'", self.at)
        self.at += 1
        self.space()
        members[key] = self.value()
        return None

    def number(self) -> object:
        octets = self.octets
        start = self.at
        at = start
        if octets[at] == 45:
            at += 1
        first = at
        amount = 0
        while 48 <= octets[at] <= 57:
            amount = amount * 10 + (octets[at] - 48)
            at += 1
            if at - start > MAX_NUMBER_CHARS:
                raise JsonError("number too long", start)
        if at == first or (octets[first] == 48 and at - first > 1):
            raise JsonError("malformed number", start)
        if octets[at] == 46 or octets[at] == 101 or octets[at] == 69:
            return self.real(start, at, amount)
        self.at = at
        if at - first > 18:
            return int(str(self.data[start:at], "ascii"))
        result = amount
        if first != start:
            return 0 - result
        return result

    def real(self, start: int, at: int, amount: int) -> object:
        """Fraction and exponent; `at` is behind the integer part, whose digits say `amount`."""
        octets = self.octets
        if octets[at] == 46:
            point = at
            at = self.digits(start, at + 1)
            if at - start <= MAX_EXACT_CHARS and octets[at] != 101 and octets[at] != 69:
                return self.fraction(start, point, at, amount)
        if octets[at] == 101 or octets[at] == 69:
            at += 1
            if octets[at] == 43 or octets[at] == 45:
                at += 1
            at = self.digits(start, at)
        value = float(str(self.data[start:at], "ascii"))
        if value - value != 0.0:
            raise JsonError("number out of range", start)
        self.at = at
        return value

    def fraction(self, start: int, point: int, stop: int, amount: int) -> object:
        """A short decimal. Its digits and the power of ten are doubles without rounding, so that
        one division rounds as the text should (Clinger 1990)."""
        power = 1.0
        for index in range(point + 1, stop):
            amount = amount * 10 + (self.octets[index] - 48)
            power *= 10.0
        value = amount / power
        self.at = stop
        return -value if self.octets[start] == 45 else value

    def digits(self, start: int, at: int) -> int:
        octets = self.octets
        first = at
        while 48 <= octets[at] <= 57:
            at += 1
            if at - start > MAX_NUMBER_CHARS:
                raise JsonError("number too long", start)
        if at == first:
            raise JsonError("malformed number", start)
        return at

    def string(self) -> str:
        octets = self.octets
        start = self.at + 1
        at = start
        while octets[at] != _QUOTE:
            if octets[at] == _BACKSLASH:
                return self.escaped(start, at)
            if octets[at] < 32:
                raise JsonError("control character or end of text in a string", at)
            at += 1
        self.at = at + 1
        return self.utf8(start, at)

    def utf8(self, start: int, stop: int) -> str:
        try:
            return str(self.data[start:stop], "utf-8")
        except ValueError:
            raise JsonError("not UTF-8", start) from None

    def escaped(self, start: int, at: int) -> str:
        """A string with escapes; `at` is at the first backslash."""
        octets = self.octets
        pieces = []
        while octets[at] != _QUOTE:
            if octets[at] == _BACKSLASH:
                pieces.append(self.utf8(start, at))
                self.at = at
                pieces.append(self.escape())
                at = self.at
                start = at
            elif octets[at] < 32:
                raise JsonError("control character or end of text in a string", at)
            else:
                at += 1
        pieces.append(self.utf8(start, at))
        self.at = at + 1
        return "".join(pieces)

    def escape(self) -> str:
        octet = self.octets[self.at + 1]
        if octet != 117:
            text = _ESCAPES.get(octet)
            if text is None:
                raise JsonError("unknown escape", self.at)
            self.at += 2
            return text
        unit = self.unit(self.at)
        if 0xDC00 <= unit <= 0xDFFF:
            raise JsonError("lone surrogate", self.at)
        if 0xD800 <= unit <= 0xDBFF:
            low = 0
            if self.data[self.at + 6 : self.at + 8] == b"\\u":
                low = self.unit(self.at + 6)
            if not 0xDC00 <= low <= 0xDFFF:
                raise JsonError("lone surrogate", self.at)
            unit = 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00)
            self.at += 6
        self.at += 6
        return chr(unit)

    def unit(self, at: int) -> int:
        """The UTF-16 code unit of the `\\uXXXX` at offset `at`."""
        unit = 0
        for index in range(at + 2, at + 6):
            octet = self.octets[index]
            if 48 <= octet <= 57:
                unit = unit * 16 + octet - 48
            elif 97 <= octet <= 102:
                unit = unit * 16 + octet - 87
            elif 65 <= octet <= 70:
                unit = unit * 16 + octet - 55
            else:
                raise JsonError("malformed \\u escape", at)
        return unit


def loads(data: bytes, max_depth: int) -> object:
    """The value of a UTF-8 JSON text; JsonError says why and at which byte it is none."""
    return Reader(data, max_depth).document()


def quote(text: str) -> str:
    """A string as JSON, in ASCII, so that every port writes the same bytes."""
    pieces = ['"']
    for char in text:
        code = ord(char)
        if char in _OUT_ESCAPES:
            pieces.append(_OUT_ESCAPES[char])
        elif 32 <= code < 127:
            pieces.append(char)
        elif code > 0xFFFF:
            code -= 0x10000
            pieces.append("\\u%04x\\u%04x" % (0xD800 + (code >> 10), 0xDC00 + (code & 0x3FF)))
        else:
            pieces.append("\\u%04x" % code)
    pieces.append('"')
    return "".join(pieces)


def real_text(value: float) -> str:
    """The shortest of a few decimal forms that reads back as the same double."""
    for digits in (6, 9, 12, 15, 16):
        text = "%.*g" % (digits, value)
        if float(text) == value:
            return text
    return "%.17g" % value


def dumps(value: object) -> str:
    """A value as compact JSON with sorted keys; not for numbers that are not finite."""
    if value is None:
        return "null"
    if value is True:
        return "true"
    if value is False:
        return "false"
    if isinstance(value, str):
        return quote(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return real_text(value)
    if isinstance(value, dict):
        return "{" + ",".join([quote(key) + ":" + dumps(value[key]) for key in sorted(value)]) + "}"
    assert isinstance(value, (list, tuple))
    return "[" + ",".join([dumps(item) for item in value]) + "]"
