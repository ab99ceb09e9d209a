"""From a name to a connection: resolved once, every address judged, and the very one that was judged is dialled."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import NamedTuple

TIMEOUT = 10.0
"""Seconds for the name, and again for the connection with its TLS."""
ATTEMPTS = 3

_CLOSED = tuple(
    ip_network(text)
    for text in (
        # RFC 6890 and its successors, by name: what the standard library holds for global has changed between versions.
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
        "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
        "224.0.0.0/4", "240.0.0.0/4",
        "168.63.129.16/32",  # a public address that is a cloud's own, on its machines
        # All IPv6 but what is assigned for the public; within that, what carries an IPv4 address, and examples.
        "::/3", "4000::/2", "8000::/1", "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20",
    )
)  # fmt: skip
_NEVER = tuple(ip_network(text) for text in ("0.0.0.0/8", "224.0.0.0/3", "::/128", "ff00::/8"))


class Refused(Exception):
    """The address may not be dialled, or can't be; `str()` says why."""


class Connection(NamedTuple):
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


def address_refused(text: str, *, private: bool) -> str:
    """Why `text`, an address as the resolver gave it, may not be dialled; empty when it may."""
    try:
        address = ip_address(text)
    except ValueError:
        return "not an address"
    closed = _NEVER if private else _CLOSED
    if any(address in network for network in closed if network.version == address.version):
        return "not an address of a single host" if private else "a private or reserved address"
    if not private and _own(address):
        return "an address of this machine"
    return ""


def _own(address: IPv4Address | IPv6Address) -> bool:
    """Only an address of one of our interfaces can be bound to."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as trial:
            trial.bind((str(address), 0))
    except OSError:
        return False
    return True


async def _resolved(host: str, port: int) -> list[str]:
    """The addresses of `host`, once each. In a thread that nobody waits for: a resolver that hangs must not hold up the
    end of the process, as one of the loop's own threads would. Raises `OSError` or `UnicodeError`."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[list[str]] = loop.create_future()

    def settle(found: list[str], error: Exception | None) -> None:
        if answer.done():
            return
        if error:
            answer.set_exception(error)
        else:
            answer.set_result(found)

    def resolve() -> None:
        found: list[str] = []
        trouble: Exception | None = None
        try:
            entries = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            found = list(dict.fromkeys(str(entry[4][0]) for entry in entries))
        except (OSError, UnicodeError) as error:
            trouble = error
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(settle, found, trouble)

    threading.Thread(target=resolve, name="resolver", daemon=True).start()
    return await answer


async def unfit(host: str, port: int) -> str:
    """Why a proxy is not to be asked for `host`, as far as it can be told from here; a name that only the proxy can
    resolve is left to it."""
    try:
        async with asyncio.timeout(TIMEOUT):
            addresses = await _resolved(host, port)
    except (OSError, UnicodeError, TimeoutError):
        return ""
    return next(filter(None, (address_refused(address, private=False) for address in addresses)), "")


async def dial(host: str, port: int, *, private: bool, tls: ssl.SSLContext | None, limit: int) -> Connection:
    """Connect to `host`. One address that may not be dialled refuses the name: what mixes them means no good.

    Raises `Refused`.
    """
    try:
        async with asyncio.timeout(TIMEOUT):
            addresses = await _resolved(host, port)
    except TimeoutError as error:
        raise Refused(f"{host}: its name was not resolved within {TIMEOUT:g} s") from error
    except (OSError, UnicodeError) as error:
        raise Refused(f"{host}: its name can't be resolved") from error
    for address in addresses:
        if reason := address_refused(address, private=private):
            raise Refused(f'{host}: {reason}; egress.hosts allows one with "private": true')
    why = "no address"
    for address in addresses[:ATTEMPTS]:
        try:
            async with asyncio.timeout(TIMEOUT):
                name = host if tls else None
                return Connection(
                    *await asyncio.open_connection(address, port, ssl=tls, server_hostname=name, limit=limit)
                )
        except ssl.SSLCertVerificationError as error:
            raise Refused(f"{host}: its certificate does not hold: {error.verify_message}") from error
        except (OSError, TimeoutError) as error:
            why = str(error) or "no answer"
    raise Refused(f"{host}: can't be reached: {why}")
