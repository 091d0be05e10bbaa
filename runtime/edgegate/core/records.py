# SPDX-License-Identifier: Apache-2.0
"""The base of every record: named fields in `__slots__`, equality, and a readable repr."""


class Record:
    """Fields are given by name, each exactly once; a subclass lists them in `__slots__`."""

    __slots__: tuple[str, ...] = ()

    def __init__(self, **fields: object) -> None:
        for name in self.__slots__:
            setattr(self, name, fields.pop(name))
        if fields:
            raise TypeError("unknown field " + sorted(fields)[0])

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return False
        for name in self.__slots__:
            if getattr(self, name) != getattr(other, name):
                return False
        return True

    def __hash__(self) -> int:
        return id(self)

    def __repr__(self) -> str:
        inside = ", ".join([name + "=" + repr(getattr(self, name)) for name in self.__slots__])
        return type(self).__name__ + "(" + inside + ")"
