# SPDX-License-Identifier: Apache-2.0
"""WHILE and IF of TensorFlow Lite, where what decides them is known: written out while reading.

Keras's recurrent layers are loops over a counter. Counters are constants, and constants are
computed while reading; so a loop is its body, as often as its condition holds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from edgebuild.errors.kernels import MODEL_MALFORMED, MODEL_TOO_LARGE, OPERATOR_UNSUPPORTED
from edgebuild.kernels import tflite_reader
from edgebuild.kernels.builder import LIMIT_OPERATORS, GraphBuilder
from edgebuild.kernels.flatbuffer import Table

#: a forged loop must not keep the tool busy
LIMIT_STEPS = 10 * LIMIT_OPERATORS


class Program:
    """The subgraphs of a file, each of which may run many times."""

    def __init__(self, model: Table) -> None:
        self.builder = GraphBuilder()
        self.subgraphs = model.tables(2)
        if not self.subgraphs:
            raise MODEL_MALFORMED("the model has no graph")
        self._buffers = model.tables(4)
        self._codes = [tflite_reader.operator_name(code) for code in model.tables(1)]
        self._operators: dict[int, list[Table]] = {}
        self._first: dict[int, tuple[list[str], list[bool], list[bool]]] = {}
        self._running: list[int] = []
        self._named = {0}
        self._steps = 0

    def tensors(self, number: int) -> list[str]:
        """New tensors for a run of a subgraph; its constants are there once."""
        builder = self.builder
        if number not in self._first:
            names = tflite_reader.tensors_of(builder, self.subgraphs[number], self._buffers)
            constant = [builder.tensors[name].data is not None for name in names]
            self._first[number] = names, constant, [name in builder.inferred for name in names]
            return list(names)
        made = []
        for name, held, inferred in zip(*self._first[number], strict=True):
            made.append(name if held else self._again(name, inferred=inferred))
        return made

    def _again(self, name: str, *, inferred: bool) -> str:
        tensor = self.builder.tensors[name]
        made = self.builder.tensor(name, tensor.shape, tensor.dtype,
                                   quantisation=tensor.quantisation)  # fmt: skip
        if inferred:
            self.builder.inferred.add(made)
        return made

    def run(self, number: int, names: list[str]) -> list[str]:
        """Write a subgraph's operators; ``names`` are its tensors'. Returns its outputs."""
        with self._inside(number):
            for position, table in enumerate(self._tables(number)):
                self._operator(
                    table, names, f"{position} " if not number else f"{number}.{position} "
                )
        outputs = self.subgraphs[number].vector(2, "<i4")
        return [tflite_reader.pick(names, index, "the model's outputs") for index in outputs]

    @contextmanager
    def _inside(self, number: int) -> Iterator[None]:
        if number in self._running:
            raise MODEL_MALFORMED("a subgraph that calls itself", where=f"subgraph {number}")
        self._running.append(number)
        yield
        self._running.pop()

    def _tables(self, number: int) -> list[Table]:
        if number not in self._operators:
            self._operators[number] = self.subgraphs[number].tables(3)
        found = self._operators[number]
        self._steps += 1 + len(found)
        if len(found) > LIMIT_OPERATORS or self._steps > LIMIT_STEPS:
            raise MODEL_TOO_LARGE(f"more than {LIMIT_STEPS} operators, loops written out")
        return found

    def _operator(self, table: Table, names: list[str], place: str) -> None:
        index = table.number(0, "<I")
        if index >= len(self._codes):
            raise MODEL_MALFORMED("an operator code that does not exist", where=place.strip())
        kind = self._codes[index]
        operator = tflite_reader.operator_of(self.builder, table, names, kind, place + kind)
        if kind not in ("WHILE", "IF"):
            tflite_reader.converted(operator)
            return
        values = self._while(operator) if kind == "WHILE" else self._if(operator)
        self._named |= {operator.option(0), operator.option(1)}
        outputs = table.vector(2, "<i4").tolist()
        if len(values) != len(outputs):
            raise MODEL_MALFORMED(f"{kind} with {len(outputs)} outputs", where=operator.source)
        for output, value in zip(outputs, values, strict=True):
            names[output] = value

    def _while(self, o: Any) -> list[str]:
        # cond_subgraph_index 0, body_subgraph_index 1
        state = [o.name(number) for number in range(len(o.inputs))]
        rounds = 0
        while self._truth(o, self._call(o, o.option(0), state)):
            state = self._call(o, o.option(1), state)
            rounds += 1
        self.builder.notes.append(f"a loop is written out: {rounds} rounds")
        return state

    def _if(self, o: Any) -> list[str]:
        # then_subgraph_index 0, else_subgraph_index 1
        chosen = 0 if self._truth(o, [o.name(0)]) else 1
        return self._call(o, o.option(chosen), [o.name(n) for n in range(1, len(o.inputs))])

    def _truth(self, o: Any, values: Sequence[str]) -> bool:
        data = self.builder.tensors[values[0]].data if len(values) == 1 else None
        if data is None or data.size != 1:
            raise OPERATOR_UNSUPPORTED(
                f"{o.kind} whose condition only the running model knows",
                where=f"operator {o.source}",
                hint="control flow over known counters is written out; export without other: "
                "Keras's recurrent layers with a fixed length, and without masks",
            )
        return bool(data.reshape(-1)[0])

    def _call(self, o: Any, number: int, values: Sequence[str]) -> list[str]:
        if not 0 < number < len(self.subgraphs):
            raise MODEL_MALFORMED(f"subgraph {number} of {len(self.subgraphs)}", where=o.source)
        inputs = self.subgraphs[number].vector(1, "<i4").tolist()
        if len(inputs) != len(values):
            raise MODEL_MALFORMED(f"{len(values)} values for {len(inputs)} inputs", where=o.source)
        names = self.tensors(number)
        for index, value in zip(inputs, values, strict=True):
            tflite_reader.pick(names, index, o.source)
            names[index] = value
        return self.run(number, names)

    def check(self) -> None:
        """Raises OPERATOR_UNSUPPORTED for subgraphs that nothing calls: other signatures."""
        if len(self._named) < len(self.subgraphs):
            raise OPERATOR_UNSUPPORTED(
                f"the model has {len(self.subgraphs)} subgraphs, and {len(self._named)} are called",
                hint="export one signature alone",
            )
