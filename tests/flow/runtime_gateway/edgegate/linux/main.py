# SPDX-License-Identifier: Apache-2.0
"""A gateway that answers questions about the executable it is in, as JSON."""

import _thread
import contextlib
import json
import os
import sys
import time

from edgegate.core import rules as core_rules
from edgegate.linux import rules as linux_rules


def isolation():
    return {
        "path": sys.path,
        "flags": [sys.flags.isolated, sys.flags.ignore_environment, sys.flags.utf8_mode],
        "hooks": [hook.__name__ for hook in sys.meta_path],
        "names": [core_rules.name(), linux_rules.name()],
        "encoding": sys.getfilesystemencoding(),
    }


def kernels():
    import _edge_kernels

    answer = {"cards": [card.decode() for card in _edge_kernels.models()]}
    answer["outputs"] = [out.hex() for out in _edge_kernels.run(0, [b"\x01\x02\x03\x04"])]
    answer["view"] = [out.hex() for out in _edge_kernels.run(0, [memoryview(bytearray(4))])]
    for key, index, inputs in (
        ("no such model", 9, []),
        ("negative", -1, []),
        ("too few", 0, []),
        ("too short", 0, [b"123"]),
        ("too long", 0, [b"12345"]),
        ("not bytes", 0, ["1234"]),
        ("kernel error", 0, [b"\xff123"]),
    ):
        try:
            _edge_kernels.run(index, inputs)
        except Exception as error:
            answer[key] = [type(error).__name__, *map(str, error.args)]
    return answer


def threads():
    """Two threads of one model take turns; one of another runs beside; all give right answers."""
    import _edge_kernels

    wrong, running = [], [1, 1, 1]

    def work(number):
        for round_number in range(2000):
            data = bytes([number, round_number & 127, 0, 1])
            if _edge_kernels.run(0, [data]) != [data[::-1]]:
                wrong.append(number)
        running.pop()

    for number in range(3):
        _thread.start_new_thread(work, (number,))
    while running:
        time.sleep(0.01)
    return {"wrong": wrong}


def tls():
    """A handshake in memory with the certificate in the files named on the command line."""
    import ssl

    certificate, key = sys.argv[2:4]
    answer = {"version": ssl.OPENSSL_VERSION}
    for name in ("TLSv1_2", "TLSv1_3"):
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.load_cert_chain(certificate, key)
        client = ssl.create_default_context(cafile=certificate)
        client.maximum_version = client.minimum_version = ssl.TLSVersion[name]
        wires = [ssl.MemoryBIO() for _ in range(2)]
        one = client.wrap_bio(wires[0], wires[1], server_hostname="device.example")
        two = server.wrap_bio(wires[1], wires[0], server_side=True)
        for side in (one, two, one, two):
            with contextlib.suppress(ssl.SSLWantReadError):
                side.do_handshake()
        one.write(b"hello")
        answer[name] = [one.version(), two.read(5).decode(), one.cipher()[0]]
    return answer


def sqlite():
    import sqlite3

    base = sqlite3.connect(sys.argv[2])
    base.execute("pragma journal_mode=wal")
    base.execute("create table t(a, b)")
    base.executemany("insert into t values (?, ?)", [(1, "x"), (2, "y")])
    base.commit()
    rows = base.execute("select sum(a), json_group_array(b), sqrt(16) from t").fetchone()
    try:
        base.execute("create virtual table f using fts5(x)")
        search = "there"
    except sqlite3.OperationalError as error:
        search = str(error)
    return {"rows": rows, "search": search}


def modules():
    """Imports everything that the executable holds; the names come on the command line."""
    failed = {}
    for name in sys.argv[2:]:
        try:
            __import__(name)
        except Exception as error:
            failed[name] = repr(error)
    return {"failed": failed}


def embedded():
    import _edge_config

    return {
        "config": _edge_config.config().decode(),
        "licences": _edge_config.licences().decode()[:200],
    }


def leave():
    """Threads are running when the gateway ends: no crash, and the status is kept."""
    for _ in range(4):
        _thread.start_new_thread(time.sleep, (0.001,))
    print("last words", end="")
    raise SystemExit(int(sys.argv[2]))


def broken():
    raise ValueError("on purpose")


def lookup():
    import _socket

    found = _socket.getaddrinfo("localhost", 80, 0, _socket.SOCK_STREAM)
    return {"addresses": sorted({entry[4][0] for entry in found}), "pid": os.getpid() > 0}


ANSWERS = {
    "isolation": isolation,
    "kernels": kernels,
    "threads": threads,
    "tls": tls,
    "sqlite": sqlite,
    "modules": modules,
    "embedded": embedded,
    "leave": leave,
    "broken": broken,
    "lookup": lookup,
}


def main(argv):
    print(json.dumps(ANSWERS[argv[0]]()))
    return len(argv)
