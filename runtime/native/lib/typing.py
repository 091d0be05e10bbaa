# SPDX-License-Identifier: Apache-2.0
"""The few names of typing that tomllib needs when it runs: 0.1 MB and a third of its start-up less.

Anything else is an ImportError at build time or at the first import, never a wrong answer.
"""

from collections import namedtuple

Any = BinaryIO = object


class _Subscripted:
    """Callable[[str], Any] and the like: evaluated once, looked at by nobody."""

    def __getitem__(self, item):
        return object


Callable = Tuple = _Subscripted()


class _NamedTuple:
    """The base in ``class Output(NamedTuple)``: a named tuple of the class's annotations."""

    def __mro_entries__(self, bases):
        return (_Fields,)


class _FieldsType(type):
    def __new__(cls, name, bases, namespace):
        if not bases:
            return super().__new__(cls, name, bases, namespace)
        return namedtuple(name, list(namespace["__annotations__"]))


class _Fields(metaclass=_FieldsType):
    pass


NamedTuple = _NamedTuple()
