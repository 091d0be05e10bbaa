# SPDX-License-Identifier: Apache-2.0
"""The command line. Libraries raise; this package alone prints errors and exits."""

from __future__ import annotations

import errno
import io
import json
import os
import signal
import sys
import traceback
from collections.abc import Sequence

from edgebuild.errors import EdgebuildError
from edgebuild.errors.general import SYSTEM_REFUSES, UNFORESEEN

INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; answer the exit status (docs/reference/cli.md has the table)."""
    from edgebuild.cli.parser import make_parser

    _print_whatever_comes()
    arguments = make_parser().parse_args(argv)
    # what tools were started is ended as well, as for Ctrl-C
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        status = int(arguments.run(arguments) or 0)
        sys.stdout.flush()
        return status
    except EdgebuildError as error:
        return tell(error, as_json=arguments.json)
    except KeyboardInterrupt:
        sys.stderr.write("\nstopped; the previous release is as it was\n")
        return INTERRUPTED
    except BrokenPipeError:
        _say_no_more()
        return INTERRUPTED
    except OSError as error:
        if error.filename is None and error.errno == errno.ENOSPC:
            _say_no_more()  # what is buffered would fail again at the end
        refused = SYSTEM_REFUSES(
            error.strerror or str(error), where=str(error.filename or "standard output")
        )
        return tell(refused, as_json=arguments.json)
    except Exception as error:  # a traceback on a user's screen is a defect
        log = _keep_traceback()
        return tell(
            UNFORESEEN(f"{type(error).__name__}: {error}", where=log, hint="please report it"),
            as_json=arguments.json,
        )


def _print_whatever_comes() -> None:
    """A terminal of another character set shows question marks; it is no reason to stop."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _say_no_more() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def tell(error: EdgebuildError, *, as_json: bool) -> int:
    """Print an error, for people or as JSON; answer its exit status."""
    if as_json:
        print(json.dumps({"error": error.to_json()}))
    else:
        print(colour(str(error)), file=sys.stderr)
    return error.kind.exit_status


def colour(text: str) -> str:
    """Make the first word red, on a terminal that wants colours."""
    if sys.stderr.isatty() and "NO_COLOR" not in os.environ:
        head, _, rest = text.partition(":")
        return f"\x1b[1;31m{head}:\x1b[0m{rest}"
    return text


def _keep_traceback() -> str:
    from edgebuild.host import paths
    from edgebuild.host.files import atomic_write

    log = paths.cache_dir() / "log" / f"error-{os.getpid()}.log"
    atomic_write(log, traceback.format_exc().encode())
    return str(log)
