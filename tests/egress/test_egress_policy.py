"""What may leave, decided without a network: names, classes, labels, patterns, secrets, settings."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.app.config import load_settings
from assay.app.egress import described, make_egress, read_egress
from assay.core.egress import Host, Operation, Outbound, host_and_port, host_name
from assay.core.errors import UsageError
from assay.core.policy import Label
from assay.policy.egress import EgressPolicy, judge, path_fits
from assay.policy.tripwire import Tripwire, secret_values
from assay.workspace.sandbox.egress.dial import address_refused
from assay.workspace.sandbox.egress.guards import Push, Stopped, Watched

OPERATOR = Label()
SECRET = "s3cr3t-Value/with+signs=0123456789"


@given(st.text(max_size=40))
def test_a_host_name_holds_nothing_but_letters_digits_hyphens(text: str) -> None:
    name = host_name(text)
    if name is not None:
        assert name == text.lower() and name.isascii()
        assert all(part and part[0] != "-" and part[-1] != "-" for part in name.split("."))
        assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-.")


@given(st.from_regex(r"[a-z]([a-z0-9]{0,8}[a-z0-9])?(\.[a-z]([a-z0-9]{0,8}[a-z0-9])?){0,3}", fullmatch=True))
def test_ordinary_names_are_names(name: str) -> None:
    assert host_name(name.upper()) == name
    assert host_and_port(f"{name}:8443", None) == (name, 8443)
    assert host_and_port(name, 443) == (name, 443)


@pytest.mark.parametrize(
    "text",
    ["", ".", "a.", ".a", "a..b", "1", "127.1", "0x7f000001", "0x7f.1", "a.0x1", "017700000001", "1.2.3.4.5",
     "256.1.1.1", "01.2.3.4", "::1", "[::1]", "a_b", "-a", "a-", "a b", "a\0b", "a%00", "a@b", "a/b", "a:b", "xn--a",
     "b.xn--a.c", "é", "ａ", "١.2.3.4", "a" * 64, ".".join(["a" * 60] * 5), "a\n", "\ta", "a#b", "a?b", "*", "*.a"],
)  # fmt: skip
def test_what_is_no_name(text: str) -> None:
    assert host_name(text) is None


@pytest.mark.parametrize("text", ["a", "a:", "a:0", "a:080", "a:65536", "a:99999999", "a:-1", "a:1:2", "a:٣", "a: 1"])
def test_what_is_no_port(text: str) -> None:
    assert host_and_port(text, None) is None


@pytest.mark.parametrize(
    "address",
    ["0.0.0.0", "10.1.2.3", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.9.9.9", "169.254.169.254", "172.16.0.1",
     "172.31.255.255", "192.168.1.1", "192.0.0.192", "198.18.0.1", "224.0.0.1", "255.255.255.255", "168.63.129.16",
     "::", "::1", "::ffff:8.8.8.8", "::ffff:127.0.0.1", "::7f00:1", "64:ff9b::8.8.8.8", "64:ff9b:1::1", "2002:7f00:1::",
     "2001::1", "2001:db8::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%1", "fec0::1", "ff02::1", "no address"],
)  # fmt: skip
def test_addresses_that_are_not_dialled(address: str) -> None:
    assert address_refused(address, private=False)


@pytest.mark.parametrize("address", ["8.8.8.8", "151.101.0.223", "2a04:4e42::223", "2606:4700::6810:84e5"])
def test_public_addresses(address: str) -> None:
    assert not address_refused(address, private=False)


def test_what_private_opens() -> None:
    assert not any(address_refused(each, private=True) for each in ("127.0.0.1", "10.0.0.1", "::1", "fd00::1"))
    assert all(
        address_refused(each, private=True) for each in ("0.0.0.0", "224.0.0.1", "255.255.255.255", "::", "ff02::1")
    )


CLASSES = {
    "mirror": Host("mirror"),
    "api": Host("api", allow=(Operation("GET", "/v1/**"),)),
    "cleared": Host("api", allow=(Operation("GET", "/v1/**"),), clearance="project"),
    "forge": Host("forge", remote="/v1/x"),
    "tunnel": Host("tunnel"),
}


@pytest.mark.parametrize(
    ("label", "open_to"),
    [
        (Label("operator", "public"), {"mirror", "api", "cleared", "forge", "tunnel"}),
        (Label("workspace", "project"), {"mirror", "api", "cleared", "forge", "tunnel"}),
        (Label("external", "public"), {"mirror", "api", "cleared", "forge", "tunnel"}),
        (Label("external", "project"), {"mirror", "cleared"}),
        (Label("external", "secret"), {"mirror"}),
    ],
)
def test_the_rule_of_two(label: Label, open_to: set[str]) -> None:
    asked = Outbound("CONNECT", "https", "h", 443)
    assert {name for name, host in CLASSES.items() if not judge(host, asked, label)} == open_to


@given(st.text(alphabet="/abc.%25eE2fF\\0~;:@?&=#\0\n é", max_size=30))
def test_an_api_gets_only_paths_that_mean_what_they_say(text: str) -> None:
    host = Host("api", allow=(Operation("GET", "/a/**"),))
    if not judge(host, Outbound("GET", "https", "h", 443, "/a/" + text), OPERATOR):
        path = text.partition("?")[0].lower()
        assert ".." not in ("/" + path).split("/") and "%2e" not in path and "%2f" not in path and "\\" not in path
        assert path.isascii() and path.isprintable() and " " not in path


def test_patterns() -> None:
    assert path_fits("/a/*", "/a/b") and not path_fits("/a/*", "/a/b/c") and path_fits("/a/**", "/a/b/c")
    assert not path_fits("/a.b", "/aXb") and not path_fits("/a", "/a/") and path_fits("/*/x", "/y/x")


def test_what_an_unknown_host_and_an_unlisted_port_get() -> None:
    policy = EgressPolicy({"h": Host("mirror")}, lambda: OPERATOR, {})
    assert "egress.hosts" in policy(Outbound("GET", "https", "g", 443, "/")).reason
    assert "ports" in policy(Outbound("GET", "http", "h", 80, "/")).reason
    assert policy(Outbound("GET", "https", "h", 443, "/")).narrow


def pkt(text: str) -> bytes:
    return b"%04x%s" % (len(text) + 4, text.encode())


class Pieces:
    def __init__(self, *pieces: bytes) -> None:
        self.left = list(pieces)

    async def next(self) -> bytes:
        return self.left.pop(0) if self.left else b""


async def drained(pieces: object) -> bytes:
    found = b""
    while piece := await pieces.next():  # type: ignore[attr-defined]
        found += piece
    return found


ONE, TWO, NONE = "1" * 40, "2" * 40, "0" * 40


async def test_a_push_of_the_named_branch_is_passed_on_whole() -> None:
    data = pkt(f"{ONE} {TWO} refs/heads/agent\0 report-status side-band-64k") + b"0000" + b"PACK" + bytes(5000)
    for size in (1, 7, 4096, len(data)):
        pieces = [data[at : at + size] for at in range(0, len(data), size)]
        assert await drained(Push(Pieces(*pieces), "refs/heads/agent")) == data
    assert await drained(Push(Pieces(b"0000"), "refs/heads/agent")) == b"0000"


@pytest.mark.parametrize(
    "data",
    [
        pkt(f"{ONE} {TWO} refs/heads/main\0caps") + b"0000",
        pkt(f"{ONE} {TWO} refs/heads/agent\0caps") + pkt(f"{ONE} {TWO} refs/heads/main") + b"0000",
        pkt(f"{ONE} {NONE} refs/heads/agent\0caps") + b"0000",
        pkt(f"{ONE} {TWO} refs/heads/agent/../main\0caps") + b"0000",
        pkt("push-cert\0caps") + b"0000",
        pkt(f"{ONE} {TWO} refs/heads/agent"),
        b"0001" + b"0000",
        b"zzzz",
        b"00",
        b"",
        b"FFFF",
        pkt(f"shallow {ONE}") * 2000,
    ],
)
async def test_any_other_push_is_stopped_before_its_first_byte(data: bytes) -> None:
    with pytest.raises(Stopped):
        await drained(Push(Pieces(*[data[at : at + 100] for at in range(0, len(data), 100)]), "refs/heads/agent"))


@given(st.binary(max_size=80), st.binary(max_size=80), st.integers(1, 60), st.integers(0, 2))
def test_a_secret_is_found_wherever_it_starts(before: bytes, after: bytes, width: int, form: int) -> None:
    watch = Tripwire([SECRET])
    data = before + SECRET.encode() + after
    if form == 1:
        data = base64.b64encode(data)
        data = b"\n".join(data[at : at + 8 * width] for at in range(0, len(data), 8 * width))
    elif form == 2:
        data = data.hex().encode()
    assert watch.found(data)


@given(st.binary(max_size=200), st.lists(st.integers(1, 40), max_size=8))
async def test_watching_changes_nothing_else(data: bytes, sizes: list[int]) -> None:
    watch = Tripwire([SECRET])
    pieces, at = [], 0
    for size in [*sizes, 1000]:
        pieces.append(data[at : at + size])
        at += size
    assert await drained(Watched(Pieces(*[piece for piece in pieces if piece]), watch)) == data


@given(st.integers(0, 200), st.lists(st.integers(1, 60), max_size=10))
async def test_no_byte_of_a_secret_goes_out(start: int, sizes: list[int]) -> None:
    data = b"a" * start + SECRET.encode() + b"b" * 400
    pieces, at = [], 0
    for size in [*sizes, 1000]:
        pieces.append(data[at : at + size])
        at += size
    watched, out = Watched(Pieces(*[piece for piece in pieces if piece]), Tripwire([SECRET])), b""
    with pytest.raises(Stopped):
        while piece := await watched.next():
            out += piece
    assert set(out) <= {ord("a")}


def test_which_variables_hold_secrets() -> None:
    environ = {"API_KEY": "k" * 12, "MY_TOKEN": "t" * 20, "SHORT_KEY": "k" * 11, "PATH": "p" * 30,
               "SSH_AUTH_SOCK": "s" * 30, "X": "x" * 20, "KEY_FILE": "f" * 20, "db_password": "d" * 12}  # fmt: skip
    assert secret_values(environ, ["X"]) == sorted(["k" * 12, "t" * 20, "x" * 20, "d" * 12])
    assert not Tripwire([]).found(b"anything") and Tripwire([]).window == 0
    assert Tripwire(["k" * 12]).found_in_text("a" + "k" * 12)


GOOD = {
    "hosts": {
        "pypi.org": {"class": "mirror", "paths": ["/simple/**"]},
        "api.example.com": {"class": "api", "allow": [{"method": "GET", "path": "/v1/**"}], "credential": {"env": "K"}},
        "git.example.com": {"class": "forge", "remote": "/o/r", "branch": "agent", "clearance": "project"},
        "tunnel.example.com": {"class": "tunnel"},
    },
    "bytesOut": 1000,
}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"hosts": {"*.example.com": {"class": "mirror"}}}, "not a host"),
        ({"hosts": {"PyPI.org": {"class": "mirror"}}}, "not a host"),
        ({"hosts": {"https://pypi.org": {"class": "mirror"}}}, "not a host"),
        ({"hosts": {"pypi.org": {}}}, "class"),
        ({"hosts": {"pypi.org": {"class": "open"}}}, "class"),
        ({"hosts": {"pypi.org": {"class": "mirror", "port": 1}}}, "port"),
        ({"hosts": {"pypi.org": {"class": "mirror", "ports": [0]}}}, "ports"),
        ({"hosts": {"pypi.org": {"class": "mirror", "branch": "x"}}}, "branch is not for class mirror"),
        ({"hosts": {"pypi.org": {"class": "mirror", "paths": ["simple"]}}}, "not a path"),
        ({"hosts": {"10.0.0.1": {"class": "mirror"}}}, "private"),
        ({"hosts": {"a.test": {"class": "api"}}}, "allow"),
        ({"hosts": {"a.test": {"class": "api", "allow": [{"method": "get", "path": "/"}]}}}, "method"),
        ({"hosts": {"a.test": {"class": "forge"}}}, "path"),
        ({"hosts": {"a.test": {"class": "forge", "remote": "/o/r.git"}}}, "remote"),
        ({"hosts": {"a.test": {"class": "tunnel", "credential": {"env": "K"}}}}, "credential"),
        ({"hosts": {"a.test": {"class": "tunnel", "clearance": "project"}}}, "clearance"),
        ({"hosts": {"a.test": {"class": "mirror", "credential": {"env": "K", "format": "x"}}}}, "format"),
        ({"hosts": {"a.test": {"class": "mirror", "credential": {"env": "K", "header": "a b"}}}}, "header"),
        ({"bytesOut": -1}, "bytesOut"),
        ({"allow": []}, "allow"),
        ({"hosts": []}, "hosts"),
    ],
)
def test_impossible_settings_name_the_file_and_the_key(tmp_path: Path, change: dict[str, object], said: str) -> None:
    file = tmp_path / "settings.json"
    file.write_text(json.dumps({"egress": change}))
    with pytest.raises(UsageError) as caught:
        load_settings(file, tmp_path, frozenset({"user"}))
    assert str(file) in str(caught.value) and said in str(caught.value) and "egress" in str(caught.value)


def test_a_project_can_only_take_hosts_away(tmp_path: Path) -> None:
    user, project = tmp_path / "user.json", tmp_path / ".assay" / "settings.json"
    project.parent.mkdir()
    more = {"evil.test": {"class": "tunnel"}}
    project.write_text(json.dumps({"egress": {"hosts": more, "deny": ["pypi.org"], "bytesOut": 10**9}}))
    from hashlib import sha256

    trusted = [f"sha256:{sha256(project.read_bytes()).hexdigest()}"]
    for trust in ([], trusted):
        user.write_text(json.dumps({"egress": GOOD, "trustedSettings": trust}))
        settings, notices = load_settings(user, tmp_path, frozenset({"user", "project"}))
        found = read_egress(settings.egress)
        assert set(found.hosts) == set(GOOD["hosts"]) - {"pypi.org"}  # type: ignore[call-overload]
        assert found.bytes_out == 1000
        assert any("ignored egress but for deny" in notice for notice in notices)
    settings, _ = load_settings(user, tmp_path, frozenset({"user", "project"}), json.dumps({"egress": {"hosts": more}}))
    assert set(read_egress(settings.egress).hosts) == {*GOOD["hosts"], "evil.test"} - {"pypi.org"}  # type: ignore[misc]


def test_without_hosts_there_is_no_proxy(tmp_path: Path) -> None:
    from assay.app.egress import Attached

    attached = Attached(tmp_path)
    assert make_egress(read_egress({}), {}, tmp_path, attached) is None
    assert make_egress(read_egress({"hosts": {}, "deny": ["a.test"]}), {}, tmp_path, attached) is None
    assert make_egress(read_egress(GOOD), {"K": "k" * 20}, tmp_path, attached) is not None
    with pytest.raises(UsageError, match="variable K"):
        make_egress(read_egress(GOOD), {"K": "a\nb"}, tmp_path, attached)


def test_hosts_are_described_for_people() -> None:
    lines = [described(name, host) for name, host in read_egress(GOOD).hosts.items()]
    assert lines == [
        "pypi.org: mirror (/simple/**)",
        "api.example.com: api (GET /v1/**; credential K)",
        "git.example.com: forge (/o/r, push to agent; cleared for project data)",
        "tunnel.example.com: tunnel (anything over TLS)",
    ]


DOCS = Path(__file__).parents[2] / "docs"


def test_the_pages_say_what_the_settings_are(tmp_path: Path) -> None:
    import re

    import msgspec

    from assay.app.egress import EgressSettings
    from assay.core.egress import Credential

    text = (DOCS / "reference.md").read_text("utf-8").partition("\n## Egress\n")[2].partition("\n## ")[0]
    for struct in (EgressSettings, Host, Operation, Credential):
        for field in msgspec.structs.fields(struct):
            assert f"`{field.encode_name}`" in text or f'"{field.encode_name}"' in text, field.encode_name
    example = re.search(r"```json egress\n(.*?)```", (DOCS / "guide.md").read_text("utf-8"), re.S)
    assert example
    (tmp_path / "settings.json").write_text(example[1])
    settings, notices = load_settings(tmp_path / "settings.json", tmp_path, frozenset({"user"}))
    assert notices == [] and len(read_egress(settings.egress).hosts) == 5
