"""Which addresses a provider may have: pure functions, for the form that takes a URL and for every connection made."""

import re
import socket
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# What is never a provider's, whoever says so: the metadata services of the clouds, and what is no one host's address.
_FORBIDDEN: tuple[Network, ...] = tuple(
    ip_network(text)
    for text in (
        "0.0.0.0/8",  # "this host"; Linux connects 0.0.0.0 to itself
        "169.254.0.0/16",  # link-local, metadata of AWS, Google, Azure and others
        "100.100.100.200/32",  # metadata of Alibaba Cloud
        "168.63.129.16/32",  # the platform address of Azure
        "192.0.0.192/32",  # metadata of Oracle Cloud
        "fd00:ec2::254/128",  # metadata of AWS
        "fd20:ce::254/128",  # metadata of Google Cloud
        "fd00:42::42/128",  # metadata of Scaleway
        "64:ff9b:1::/48",  # NAT64 of a network's own, RFC 8215: where the IPv4 address stands differs
        "2001::/32",  # Teredo, RFC 4380: wraps two IPv4 addresses
        "fe80::/10",
        "fec0::/10",
    )
)
# IPv6 prefixes that carry an IPv4 address, and how many bits stand behind it.
_CARRIERS: tuple[tuple[IPv6Network, int], ...] = tuple(
    (IPv6Network(prefix), bits)
    for prefix, bits in (
        ("::ffff:0:0/96", 0),  # IPv4-mapped, RFC 4291
        ("::ffff:0:0:0/96", 0),  # IPv4-translated, RFC 2765
        ("::/96", 0),  # IPv4-compatible, RFC 4291
        ("64:ff9b::/96", 0),  # NAT64, RFC 6052
        ("2002::/16", 80),  # 6to4, RFC 3056
    )
)
_CGNAT = IPv4Network("100.64.0.0/10")
_HOST_NAME = re.compile(r"[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?\.?")


def is_forbidden(ip: Address | str) -> bool:
    """Whether nothing may ever be sent there, however it was configured. Raises ValueError for what is no address."""
    ip = _carried(ip)
    if ip.is_loopback:
        return False
    return ip.is_multicast or ip.is_reserved or ip.is_unspecified or any(ip in network for network in _FORBIDDEN)


def is_private(ip: Address | str) -> bool:
    """Whether it is neither forbidden nor an address of the public internet: loopback, RFC 1918, CGNAT, ULA."""
    ip = _carried(ip)
    return not is_forbidden(ip) and (ip in _CGNAT or not ip.is_global)


def verdict(ip: Address | str, *, private_allowed: bool) -> str:
    """Why no connection may be made to `ip`, or an empty text when it may."""
    if is_forbidden(ip):
        return f"{ip} is a link-local, metadata or reserved address, which is never called"
    if is_private(ip) and not private_allowed:
        return f"{ip} is a private address, which only a configuration file or TOKENHUB_PRIVATE_UPSTREAMS can allow"
    return ""


def literal(host: str) -> Address | None:
    """
    The address that `host` stands for without asking a name server, or None if it is a name.

    In every spelling that a resolver takes: 127.1, 0x7f000001, 2130706433, 017700000001, [::1], localhost.
    """
    bare = host.strip("[]").rstrip(".").lower()
    if bare == "localhost" or bare.endswith(".localhost"):
        return IPv4Address("127.0.0.1")
    try:
        return ip_address(bare)
    except ValueError:
        pass
    try:
        return IPv4Address(socket.inet_aton(bare))
    except (OSError, ValueError):
        return None


def endpoint(url: str) -> tuple[str, int]:
    """Host and port that a URL leads to, spelled in one way only. Raises ValueError where there is none."""
    parts = urlsplit(url)
    if not parts.hostname:
        raise ValueError("the URL names no host")
    return _spelled(parts.hostname), parts.port or (443 if parts.scheme == "https" else 80)


def parse_endpoint(text: str) -> tuple[str, int]:
    """Host and port of a `host:port` or `[IPv6]:port`, as `endpoint` spells them. Raises ValueError for other texts."""
    host, separator, port = text.strip().rpartition(":")
    if not separator or not port.isascii() or not port.isdecimal() or not 0 < int(port) < 65_536:
        raise ValueError("it is not host:port with a port from 1 to 65535")
    if not (_HOST_NAME.fullmatch(host.lower()) or _is_ipv6_in_brackets(host)):
        raise ValueError("its host is neither a name nor an address (IPv6 in brackets)")
    return _spelled(host), int(port)


def entry(host: str, port: int) -> str:
    """Return the `host:port` that lists an `endpoint`."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_listed(where: tuple[str, int], entries: Iterable[str]) -> bool:
    """Whether an `endpoint` is among `host:port` entries; entries that are none count for nothing."""
    for entry in entries:
        try:
            if parse_endpoint(entry) == where:
                return True
        except ValueError:  # the system check tells it
            continue
    return False


def _is_ipv6_in_brackets(host: str) -> bool:
    if not (host.startswith("[") and host.endswith("]")) or "%" in host:
        return False
    return isinstance(literal(host), IPv6Address)


def _spelled(host: str) -> str:
    """One spelling a host: addresses in their canonical form, names in lower case without the final dot."""
    bare = host.strip("[]").rstrip(".").lower()
    address = None if bare == "localhost" or bare.endswith(".localhost") else literal(host)
    return bare if address is None else str(address)


def _carried(ip: Address | str) -> Address:
    """The IPv4 address within a carrier prefix, else the address itself."""
    if isinstance(ip, str):
        ip = ip_address(ip)
    if isinstance(ip, IPv4Address) or ip.is_loopback or ip.is_unspecified:
        return ip
    # the scope says which link, not which address
    number = int(ip)
    for prefix, bits in _CARRIERS:
        if IPv6Address(number) in prefix:
            return IPv4Address((number >> bits) & 0xFFFF_FFFF)
    return IPv6Address(number)
