"""Where servers are: hosts and ports, as apps write them.

Used by `client`. Flags of commands are read by `tcpservice_flags`, which is stricter: their texts stand in lists, while
an app also gives pairs, IPv6 addresses without brackets and host names in any script.
"""

from __future__ import annotations

from collections.abc import Iterable

from tcpservice.addresses import Address


def read_address(given: str | tuple[str, int]) -> Address:
    """Read `"host:port"` or `("host", port)`. Raises ValueError."""
    if isinstance(given, str):
        host, colon, port = given.rpartition(":")
        if not colon or not host or not port.isdecimal():
            raise ValueError(f'expected an address such as "10.0.0.1:3001", got {given!r}')
        given = (host.strip("[]"), int(port))
    host, number = given
    if not host or not is_port(number, 1):
        raise ValueError(f"expected a host and a port from 1 to 65535, got {host!r} and {number!r}")
    check_host(host)
    return Address(host, number)


def is_port(value: object, least: int) -> bool:
    """Whether a value is the number of a port from `least` on."""
    return isinstance(value, int) and not isinstance(value, bool) and least <= value < 65536


def check_host(host: str) -> None:
    """Refuse what the resolver could only refuse again with each dial. Raises ValueError."""
    if host.count(":") == 1:
        raise ValueError(f"expected a host name or an IP address, got {host!r}; give the port as a number of its own")
    if not host.isprintable() or " " in host:
        raise ValueError(f"expected a host name or an IP address, got {host!r}")
    try:
        host.encode("idna")
    except UnicodeError as error:
        reason = str(error.__cause__ or error)
        raise ValueError(f"expected a host name or an IP address, got {host!r}: {reason}") from error


def read_addresses(given: Iterable[str | tuple[str, int]]) -> tuple[Address, ...]:
    """Read at least one; each once. Raises ValueError."""
    if isinstance(given, str):
        # Each wrong setting is a ValueError.
        raise ValueError(  # noqa: TRY004
            f"addresses: expected a list, such as [{given!r}], got a string"
        )
    addresses = tuple(dict.fromkeys(read_address(one) for one in given))
    if not addresses:
        raise ValueError("expected at least one address, got none")
    return addresses
