# SPDX-License-Identifier: Apache-2.0
"""Would a gateway with this configuration and these models start? Asked while it is built.

    python check.py CONFIG CARD...

CONFIG is the configuration as JSON, each CARD a model card; this is the very code that runs on
the device, so that a mistake is found here and not there. Exit code 0, or 1 with the mistake on
standard error: one line of text, then, where they are known, lines `where: ` and `hint: `.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from edgegate.core import jsontext, setup


def main(argv: list[str]) -> int:
    texts = [Path(name).read_bytes() for name in argv]
    try:
        document = jsontext.loads(texts[0] or b"{}", 16)
        setup.gateway(texts[1:], document, argv[0], "0", 0)
    except jsontext.JsonError as error:
        print(f"byte {error.offset}: {error.reason}\nwhere: {argv[0]}", file=sys.stderr)
        return 1
    except setup.SetupError as error:
        print(error.message, file=sys.stderr)
        for name, value in (("where", error.where), ("hint", error.hint)):
            if value:
                print(f"{name}: {value}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
