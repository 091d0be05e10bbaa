# SPDX-License-Identifier: Apache-2.0
"""Counters, and their text in the Prometheus exposition format 0.0.4.

Label values come from closed sets (known methods, error codes, model names), so what a peer
sends cannot make the number of series grow.
"""

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

# name → (type, help)
FAMILIES = {
    "edgegate_build_info": ("gauge", "Constant 1, labelled with name and version."),
    "edgegate_connections": ("gauge", "Open connections."),
    "edgegate_http_responses_total": ("counter", "HTTP responses by status."),
    "edgegate_inference_seconds_sum": ("counter", "Time spent in a model's kernels."),
    "edgegate_inferences_total": ("counter", "Runs of a model, by outcome."),
    "edgegate_request_errors_total": ("counter", "JSON-RPC errors by code."),
    "edgegate_requests_total": ("counter", "MCP messages by method."),
    "edgegate_uptime_seconds": ("gauge", "Seconds since the gateway started."),
}


class Metrics:
    """Values by family and label text."""

    def __init__(self) -> None:
        self.values: dict[tuple[str, str], float] = {}

    def add(self, family: str, labels: str, amount: float) -> None:
        key = (family, labels)
        self.values[key] = self.values.get(key, 0) + amount

    def put(self, family: str, labels: str, value: float) -> None:
        self.values[(family, labels)] = value

    def text(self) -> str:
        lines = []
        previous = ""
        for family, labels in sorted(self.values):
            if family != previous:
                kind, words = FAMILIES[family]
                lines.append("# HELP %s %s" % (family, words))
                lines.append("# TYPE %s %s" % (family, kind))
                previous = family
            value = self.values[(family, labels)]
            number = str(value) if isinstance(value, int) else "%.6f" % value
            lines.append("%s%s %s" % (family, "{" + labels + "}" if labels else "", number))
        return "\n".join(lines) + "\n"


def label(name: str, value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return name + '="' + escaped + '"'
