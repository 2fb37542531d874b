"""An address is public, private or never to be called, in whatever spelling or wrapping it comes."""

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.addresses import endpoint, is_forbidden, is_listed, is_private, literal, parse_endpoint, verdict

FORBIDDEN = [
    "0.0.0.0",
    "0.1.2.3",
    "169.254.169.254",
    "169.254.0.1",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
    "224.0.0.1",
    "239.1.2.3",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "fe80::1",
    "fe80::1%eth0",
    "febf::1",
    "fec0::1",
    "fd00:ec2::254",
    "ff02::1",
    "4000::1",
    "::2",
    "64:ff9b:1::7f00:1",
    "64:ff9b:1:808:8:800::",
    "2001:0:808:808::f7f7:f7f7",
    "2001:0:a9fe:a9fe::1",
    "2001:0:4136:e378:8000:63bf:5601:5601",
]
PRIVATE = [
    "127.0.0.1",
    "127.255.0.1",
    "10.0.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "100.64.0.1",
    "100.127.255.255",
    "198.18.0.1",
    "192.0.2.1",
    "::1",
    "fc00::1",
    "fd00::1",
    "fd12:3456::1",
    "2001:db8::1",
    "2001:1::1",
]
PUBLIC = ["1.1.1.1", "8.8.8.8", "172.32.0.1", "100.128.0.1", "192.169.0.1", "2606:4700::1111", "2001:4860:4860::8888"]

ipv4 = st.ip_addresses(v=4)


def wrapped(address: IPv4Address) -> list[IPv4Address | IPv6Address]:
    """An IPv4 address in all the IPv6 addresses that carry one."""
    number = int(address)
    return [
        IPv6Address(int(IPv6Address("::ffff:0:0")) | number),
        IPv6Address(int(IPv6Address("::ffff:0:0:0")) | number),
        IPv6Address(int(IPv6Address("64:ff9b::")) | number),
        IPv6Address(int(IPv6Address("2002::")) | number << 80 | 1),
    ]


def test_it_works() -> None:
    assert verdict("1.1.1.1", private_allowed=False) == ""
    assert "private" in verdict("127.0.0.1", private_allowed=False)
    assert verdict("127.0.0.1", private_allowed=True) == ""
    assert "never" in verdict("169.254.169.254", private_allowed=True)


@pytest.mark.parametrize("text", FORBIDDEN)
def test_it_is_never_called(text: str) -> None:
    assert (is_forbidden(text), is_private(text)) == (True, False)
    assert verdict(text, private_allowed=True)


@pytest.mark.parametrize("text", PRIVATE)
def test_it_is_private(text: str) -> None:
    assert (is_forbidden(text), is_private(text)) == (False, True)


@pytest.mark.parametrize("text", PUBLIC)
def test_it_is_public(text: str) -> None:
    assert (is_forbidden(text), is_private(text)) == (False, False)


@pytest.mark.parametrize("text", [text for text in FORBIDDEN + PRIVATE + PUBLIC if ":" not in text])
def test_wrapping_changes_nothing_known(text: str) -> None:
    for carrier in wrapped(IPv4Address(text)):
        assert (is_forbidden(carrier), is_private(carrier)) == (is_forbidden(text), is_private(text))


@given(ipv4)
def test_wrapping_changes_nothing(address: IPv4Address) -> None:
    verdicts = {(is_forbidden(each), is_private(each)) for each in [*wrapped(address), address]}
    assert len(verdicts) == 1


@given(st.ip_addresses())
def test_every_address_is_one_of_three(address: IPv4Address | IPv6Address) -> None:
    assert not (is_forbidden(address) and is_private(address))
    if not address.is_global and address not in map(ip_address, FORBIDDEN):
        assert verdict(address, private_allowed=False)


@pytest.mark.parametrize(
    "text", ["::127.0.0.1", "::10.0.0.1", "::ffff:127.0.0.1", "::ffff:0:127.0.0.1", "2002:7f00:1::"]
)
def test_what_carries_a_private_address_is_private(text: str) -> None:
    assert is_private(text)


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("127.1", "127.0.0.1"),
        ("127.0.1", "127.0.0.1"),
        ("0x7f000001", "127.0.0.1"),
        ("0X7F.0.0.1", "127.0.0.1"),
        ("2130706433", "127.0.0.1"),
        ("017700000001", "127.0.0.1"),
        ("0177.0.0.1", "127.0.0.1"),
        ("127.0.0.1.", "127.0.0.1"),
        ("0", "0.0.0.0"),
        ("[::1]", "::1"),
        ("::1", "::1"),
        ("[::ffff:127.0.0.1]", "::ffff:127.0.0.1"),
        ("localhost", "127.0.0.1"),
        ("LOCALHOST.", "127.0.0.1"),
        ("a.b.localhost", "127.0.0.1"),
        ("2852039166", "169.254.169.254"),
    ],
)
def test_an_odd_spelling_is_seen_through(host: str, address: str) -> None:
    assert literal(host) == ip_address(address)


@pytest.mark.parametrize("host", ["example.com", "localhost.example.com", "notlocalhost", "127.0.0.1.example.com", ""])
def test_a_name_is_no_address(host: str) -> None:
    assert literal(host) is None


@given(st.text())
def test_any_host_has_an_answer(host: str) -> None:
    assert literal(host) is None or verdict(literal(host) or "", private_allowed=False) is not None


@given(ipv4, st.integers(1, 65535))
def test_an_endpoint_is_spelled_in_one_way(address: IPv4Address, port: int) -> None:
    where = (str(address), port)
    assert endpoint(f"http://{address}:{port}/v1") == where
    assert endpoint(f"http://{int(address)}:{port}") == where
    assert parse_endpoint(f"{int(address):#x}:{port}") == where


def test_an_endpoint_knows_its_scheme() -> None:
    assert endpoint("http://Example.COM./v1") == ("example.com", 80)
    assert endpoint("https://[::1]/v1") == ("::1", 443)
    with pytest.raises(ValueError, match="host"):
        endpoint("not a url")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "localhost",
        ":8000",
        "localhost:",
        "localhost:0",
        "localhost:65536",
        "localhost:\uff18\uff10",
        "::1:8000",
        "a b:80",
        "http://localhost:8000",
        "10.0.0.0/8:80",
        "[fe80::1%eth0]:80",
        "[::1:80",
        "*:80",
    ],
)
def test_what_is_no_endpoint_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="host"):
        parse_endpoint(text)


def test_a_list_names_host_and_port() -> None:
    entries = ["garbage", "localhost:8000", "[::1]:9000", "10.0.0.1:80"]
    assert is_listed(endpoint("http://LOCALHOST:8000/v1"), entries)
    assert is_listed(endpoint("http://[0::1]:9000/v1"), entries)
    assert is_listed(endpoint("http://10.1/v1"), ["10.0.0.1:80"])
    assert not is_listed(endpoint("http://localhost:8001"), entries)
    assert not is_listed(endpoint("https://10.0.0.1"), entries)
