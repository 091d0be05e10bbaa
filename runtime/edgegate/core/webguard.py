# SPDX-License-Identifier: Apache-2.0
"""Which web requests may come in at all: Host and Origin (DNS rebinding), routes, media types."""

from . import http1

MCP = "/mcp"

# path → methods
ROUTES = {MCP: ("POST",), "/health": ("GET", "HEAD"), "/metrics": ("GET", "HEAD")}


def host_name(authority: str) -> str:
    """The host of `host:port`, in lower case, without the brackets of IPv6."""
    if authority.startswith("["):
        return authority[1:].split("]", 1)[0].lower()
    return authority.split(":", 1)[0].lower()


def is_address(name: str) -> bool:
    """Whether it is a literal IP address: that a rebinding name server cannot forge."""
    if ":" in name:
        return not name.lstrip("0123456789abcdef:.")
    parts = name.split(".")
    for part in parts:
        if not part or len(part) > 3 or part.lstrip("0123456789"):
            return False
    return len(parts) == 4


def is_loopback(name: str) -> bool:
    return name in ("localhost", "::1") or (is_address(name) and name.startswith("127."))


def host_allowed(authority: str, allowed: list) -> bool:
    if "*" in allowed:
        return True
    name = host_name(authority)
    return name == "localhost" or is_address(name) or name in allowed


def origin_allowed(origin: str, authority: str, allowed: list) -> bool:
    """The page's own origin must be this server, loopback, or listed; `null` is none of them."""
    if "*" in allowed or origin in allowed:
        return True
    for scheme in ("http://", "https://"):
        if origin.startswith(scheme):
            place = origin[len(scheme) :]
            return place.lower() == authority.lower() or is_loopback(host_name(place))
    return False


def check(request: http1.Request, settings: dict) -> "tuple[int, str] | None":
    """Status and words of the first thing wrong with the request's head, or None."""
    headers = request.headers
    host = headers.get("host", "localhost")
    if not host_allowed(host, settings["allowed_hosts"]):
        return (421, "Host is not allowed here; list it in allowed_hosts")
    origin = headers.get("origin")
    if origin is not None and not origin_allowed(origin, host, settings["allowed_origins"]):
        return (403, "Origin is not allowed here; list it in allowed_origins")
    if request.path not in ROUTES:
        return (404, "Nothing here; MCP is at " + MCP)
    if request.method not in ROUTES[request.path]:
        return (405, "Allowed methods: " + ", ".join(ROUTES[request.path]))
    if request.path == MCP:
        return check_media(headers)
    return None


def check_media(headers: dict) -> "tuple[int, str] | None":
    kind = headers.get("content-type", "").split(";")[0].strip().lower()
    if kind != "application/json":
        return (415, "Content-Type must be application/json")
    if not http1.accepts(headers.get("accept"), "application/json"):
        return (406, "Accept must allow application/json")
    return None
