"""Addresses of servers as people write them."""

import re
from typing import NamedTuple, Tuple

from ..errors import UsageError

MAX_PORT = (1 << 16) - 1
#: Of `coachc serve` where nothing else is said.
EXAMPLE_PORT = 8700
TLS = "https://"


class ServerAddress(NamedTuple):
    """Where a server is asked, and whether through TLS."""

    host: str
    port: int
    tls: bool


def parse_server(text: str) -> ServerAddress:
    """HOST:PORT, or https://HOST:PORT; raises as `parse_address` does."""
    tls = text.startswith(TLS)
    host, port = parse_address(text[len(TLS) :] if tls else text, "--server")
    return ServerAddress(host, port, tls)


def parse_address(text: str, flag: str) -> Tuple[str, int]:
    """HOST:PORT, or [IPv6]:PORT.

    Raises
    ------
    UsageError
        If it is neither, or the port is none; names `flag` and what is wrong.
    """
    match = re.match(r"(\[[0-9A-Fa-f:.%]+\]|[^:\s\[\]/]+):([0-9]+)\Z", text)
    if match is None:
        raise UsageError(f"{flag} '{text}' is not HOST:PORT", hint=_hint(text, flag))
    if int(match.group(2)) > MAX_PORT:
        raise UsageError(
            f"{flag} '{text}': there is no port {match.group(2)}",
            [f"expected  0 to {MAX_PORT}"],
            f"for example {flag} {match.group(1)}:{EXAMPLE_PORT}",
        )
    return match.group(1).strip("[]"), int(match.group(2))


def _hint(text: str, flag: str) -> str:
    """What was probably meant by an address that is none."""
    bare = re.sub(r"^[A-Za-z]+://|/.*$", "", text)
    if bare != text and re.match(r"[^\s/]+:[0-9]+\Z", bare):
        return f"leave out all but host and port: {flag} {bare}"
    if bare.count(":") > 1 and "[" not in bare and re.match(r"[0-9A-Fa-f:.%]+\Z", bare):
        return f"an IPv6 address stands in brackets: {flag} [{bare}]:{EXAMPLE_PORT}"
    if re.match(r"[A-Za-z0-9._-]+:?\Z", bare):
        return f"give the port too: {flag} {bare.rstrip(':')}:{EXAMPLE_PORT}"
    return f"for example {flag} 192.168.1.10:{EXAMPLE_PORT}"
