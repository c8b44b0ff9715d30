"""What a table written by somebody else may lead to."""

from __future__ import annotations

import ipaddress
import socket
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from encdec_batch.errors import SpecError
from encdec_batch.plan.discover import find_scenes
from encdec_batch.plan.trust import Rules, is_below, refusal, rules_of
from encdec_batch.spec.source import TableSource
from encdec_batch.store.public import is_public


def rules(*schemes: str, prefixes: tuple[str, ...] = (), hosts: tuple[str, ...] = ()) -> Rules:
    return Rules(schemes=frozenset(schemes), prefixes=prefixes, hosts=frozenset(hosts))


WEB = rules("http", "https")


def host_of(host: str, *, rules: Rules = WEB) -> str | None:
    refused = refusal(f"http://{host}/a.tif", rules)
    assert refused is None or refused.hint
    return refused and refused.reason


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST",
        "localhost.",
        "a.localhost",
        "ip6-localhost",
        "metadata",
        "metadata.google.internal",
        "instance-data",
        "printer.local",
        "127.0.0.1",
        "127.0.0.1.",
        "127.0.0.1:80",
        "127.1",
        "127.0.1",
        "0",
        "0.0.0.0",
        "2130706433",
        "0x7f000001",
        "0X7F000001",
        "0x7f.1",
        "0177.0.0.1",
        "017700000001",
        "10.0.0.1",
        "172.16.5.4",
        "192.168.0.1",
        "169.254.169.254",
        "2852039166",
        "0xA9FEA9FE",
        "168.63.129.16",
        "100.100.100.200",
        "224.0.0.1",
        "255.255.255.255",
        "[0:0:0:0:0:0:0:1]",
        "[0:0:0:0:0:0:0:0]",
        "[0:0:0:0:0:0:0:1]:8080",
        "[fe80:0:0:0:0:0:0:1]",
        "[fd00:ec2:0:0:0:0:0:254]",
        "[0:0:0:0:0:ffff:127.0.0.1]",
        "[0:0:0:0:0:FFFF:a9fe:a9fe]",
        "[0:0:0:0:0:0:127.0.0.1]",
        "[64:ff9b:0:0:0:0:7f00:1]",
        "[2002:7f00:1:0:0:0:0:0]",
        "999.1.1.1",
        "1.2.3.4.5",
    ],
)
def test_hosts_of_this_machine_and_of_private_networks_are_refused(host):
    assert "private network" in host_of(host)


@pytest.mark.parametrize(
    "host",
    [
        "①②⑦.⓪.⓪.①",
        "127。0。0。1",
        "\uff4cocalhost",
        "[fe80::1%25eth0]",
        "[::1",
        "[::1]",
        "a b",
        "h:port",
        "h:123456",
        "",
        "%6c%6f",
        "h%00",
    ],
)
def test_hosts_that_are_no_plain_names_are_refused(host):
    assert host_of(host) is not None


@pytest.mark.parametrize(
    "host",
    [
        "files.example.org",
        "FILES.example.org:8443",
        "8.8.8.8",
        "[2606:4700:0:0:0:0:0:1111]",
        "xn--bcher-kva.example",
        "a.co.",
    ],
)
def test_public_hosts_are_let_in(host):
    assert host_of(host) is None


def test_a_host_that_the_spec_names_is_let_in_and_no_other():
    named = rules("http", hosts=("files.lan", "10.1.2.3"))
    assert host_of("files.lan", rules=named) is None
    assert host_of("Files.LAN.:8080", rules=named) is None
    assert host_of("10.1.2.3", rules=named) is None
    assert host_of("10.1.2.4", rules=named) is not None
    assert host_of("evil.files.lan", rules=named) is not None


def _around(number: int) -> tuple[int, ...]:
    """IPv6 addresses that stand for an IPv4 one: mapped, compatible, NAT64, 6to4."""
    return 0xFFFF << 32 | number, number, 0x64FF9B << 96 | number, 0x2002 << 112 | number << 80


@given(st.ip_addresses(v=4).filter(lambda address: not address.is_global))
def test_no_spelling_of_a_private_address_gets_through(address):
    number = int(address)
    parts = str(address).split(".")
    spellings = [
        str(address),
        str(number),
        hex(number),
        ".".join(hex(int(part)) for part in parts),
        ".".join(f"0{int(part):o}" for part in parts),
        f"{parts[0]}.{number & 0xFFFFFF}",
        f"{address}.",
        f"[::ffff:{address}]",
        *(f"[{ipaddress.IPv6Address(inner).exploded}]" for inner in _around(number)),
    ]
    assert [spelling for spelling in spellings if host_of(spelling) is None] == []


@given(st.text(string.hexdigits + "x.", min_size=1, max_size=20))
def test_what_the_system_takes_for_an_address_is_judged_as_one(host):
    try:
        address = socket.inet_ntoa(socket.inet_aton(host.rstrip(".")))
    except OSError:
        return
    if not is_public(address):
        assert host_of(host) is not None


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("s3://archive/a::http://x/y", "chain"),
        ("simplecache::s3://archive/a.tif", "chain"),
        ("file:///etc/passwd", "file://"),
        ("FILE:///etc/passwd", "file://"),
        ("local:///etc/passwd", "file://"),
        ("/etc/passwd", "file://"),
        ("//host/share/a.tif", "file://"),
        ("http://files.example.org/a.tif", "http://"),
        ("zip://a.tif", "zip://"),
        ("s3://archive/../other/a.tif", "path"),
        ("s3://archive/x/./a.tif", "path"),
        ("s3://archive/%2e%2e/a.tif", "path"),
        ("s3://archive/%252E%252e/a.tif", "path"),
        ("s3://archive/.%2e%2fa.tif", "path"),
        ("s3://archive/\uff0e\uff0e/a.tif", "path"),
        ("s3://archive/‥/a.tif", "path"),
        ("s3://../a.tif", "path"),
        ("s3://archive/a.tif\n", "control"),
        ("s3://archive/a\0.tif", "control"),
        ("s3://archive\\evil/a.tif", "control"),
        ("s3://archive/a\u202e.tif", "control"),
        (" s3://archive/a.tif", "control"),
        ("s3://key:secret@archive/a.tif", "password"),
        ("s3://169.254.169.254/latest/a.tif", "bucket"),
        ("s3://localhost:9000/archive/a.tif", "bucket"),
        ("s3:///a.tif", "bucket"),
    ],
)
def test_uris_that_a_table_on_s3_may_not_name(uri, words):
    refused = refusal(uri, rules("s3"))
    assert words in refused.reason
    assert refused.hint


@pytest.mark.parametrize(
    "uri",
    [
        "s3://archive/a.tif",
        "S3://archive/a.tif",
        "s3a://other-bucket/x/ü b.tif",
        "s3://archive/a%2Fb.tif",
        "s3://a.b/c..d/..e",
    ],
)
def test_uris_that_it_may(uri):
    assert refusal(uri, rules("s3")) is None


@pytest.mark.parametrize(
    ("uri", "inside"),
    [
        ("s3://archive/2024/a.tif", True),
        ("s3a://archive/2024/x/a.tif", True),
        ("s3://archive/20245/a.tif", False),
        ("s3://archive/2024", True),
        ("s3://archive/2024//a.tif", True),
        ("s3://archive//2024/a.tif", False),
        ("s3://Archive/2024/a.tif", False),
        ("s3://archive2/2024/a.tif", False),
        ("https://Files.example.org/in/a.tif", True),
        ("https://files.example.org.evil.example/in/a.tif", False),
        ("https://files.example.org/in", True),
        ("https://files.example.org/inside/a.tif", False),
    ],
)
def test_prefixes(uri, inside):
    allowed = rules("s3", "https", prefixes=("s3://archive/2024/", "https://files.example.org/in/"))
    assert (refusal(uri, allowed) is None) == inside


PARTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


@given(st.lists(st.one_of(PARTS, st.sampled_from([".", "..", "%2e%2e", "a", "2024", "%2F"])), max_size=6))
def test_what_lies_below_a_prefix_stays_there_however_a_server_reads_it(parts):
    from posixpath import normpath
    from urllib.parse import unquote

    uri = "/".join(["s3://archive/2024", *parts])
    if refusal(uri, rules("s3", prefixes=("s3://archive/2024",))) is not None:
        return
    path = uri.removeprefix("s3://")
    for _ in range(3):
        assert normpath(path).startswith("archive/2024")
        path = unquote(path)
    assert is_below(uri, "s3://archive/2024/")


@given(st.text(max_size=40))
def test_any_text_is_let_in_or_refused_with_a_reason(text):
    for uri in (text, f"http://{text}", f"s3://{text}", f"http://{text}/a.tif"):
        refused = refusal(uri, WEB)
        assert refused is None or (refused.reason and refused.hint)


def test_the_default_is_the_tables_own_scheme():
    for uri, scheme in {
        "s3://a/t.csv": "s3",
        "/x/t.csv": "file",
        "file:///x/t.csv": "file",
        "https://h.org/t.csv": "https",
    }.items():
        assert rules_of(TableSource(kind="table", uri=uri)).schemes == {scheme}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"uri": "s3://a/t.csv", "schemes": ["s3", "file"]}, "files of this machine"),
        ({"uri": "s3://a/t.csv", "schemes": ["S3"]}, "no scheme"),
        ({"uri": "s3://a/t.csv", "schemes": ["s3://"]}, "no scheme"),
        ({"uri": "s3://a/t.csv", "schemes": ["simplecache"]}, "names other files"),
        ({"uri": "s3://a/t.csv", "schemes": ["zip"]}, "names other files"),
        ({"uri": "s3://a/t.csv", "schemes": []}, "at least 1"),
        ({"uri": "s3://a/t.csv", "prefixes": ["https://h.org/"]}, "none of the schemes"),
        ({"uri": "s3://a/t.csv", "prefixes": ["/data"]}, "none of the schemes"),
        ({"uri": "s3://a/t.csv", "hosts": ["h.lan"]}, "no effect"),
        ({"uri": "s3://a/t.csv", "follow_links": True}, "no effect"),
        ({"uri": "/x/t.csv", "follow_links": True}, "no effect"),
    ],
)
def test_options_that_cannot_be_meant(options, words):
    with pytest.raises(ValidationError, match=words):
        TableSource(kind="table", **options)


@pytest.mark.parametrize(
    "options",
    [
        {"uri": "/x/t.csv", "prefixes": ["/data/", "scenes"], "follow_links": True},
        {"uri": "/x/t.csv", "schemes": ["file", "s3"], "prefixes": ["file:///data", "s3://archive/"]},
        {"uri": "s3://a/t.csv", "schemes": ["https"], "hosts": ["h.lan"]},
    ],
)
def test_options_that_can(options):
    TableSource(kind="table", **options)


def test_a_refused_row_is_set_aside_and_the_others_go_on(tmp_path):
    table = tmp_path / "scenes.csv"
    table.write_text(
        "uri,scene_id\na.tif,a\ns3://user:secret@archive/b.tif,b\nhttp://127.0.0.1/a.tif,a\nc.tif,\n../x/../../d.tif,d\n"
    )
    kept, aside, _ = find_scenes(TableSource(kind="table", uri=str(table), prefixes=(str(tmp_path),)))
    assert [scene.scene_id for scene in kept] == ["a", "c"]
    assert all(row.reason.startswith(f"a row of {table}: ") for row in aside)
    assert aside[0].uri == "s3://archive/b.tif"
    assert aside[0].scene_id == "b"
    assert len({"a", "c", *(row.scene_id for row in aside)}) == 5
    assert all(row.hint and row.stage == "plan" and not row.transient for row in aside)
    assert "secret" not in repr(aside)


def test_a_table_of_which_no_row_may_be_opened_is_a_fault_of_the_whole(tmp_path):
    table = tmp_path / "scenes.csv"
    table.write_text("uri\ns3://archive/a.tif\ns3://archive/b.tif\n")
    with pytest.raises(SpecError, match=r"no row may be opened; row 1: .*s3://") as caught:
        find_scenes(TableSource(kind="table", uri=str(table)))
    assert "source.schemes" in caught.value.hint


def test_a_relative_row_does_not_climb_out_of_its_bucket(monkeypatch):
    import pyarrow as pa

    rows = pa.table({"uri": ["../../other/x.tif", "../../../../y.tif", "../z.tif"]})
    monkeypatch.setattr("encdec_batch.plan.discover.read_table", lambda source: rows)
    kept, aside, _ = find_scenes(TableSource(kind="table", uri="s3://bucket/2024/scenes.csv"))
    assert [scene.uri for scene in kept] == ["s3://bucket/z.tif"]
    assert len(aside) == 2
