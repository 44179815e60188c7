"""Under which names the admin port may be asked."""

import pytest

from proxy.observe.admin.hosts import Asked, Hosts

HOSTS = Hosts(["proxy", "TFS-Proxy.Example."])


@pytest.mark.parametrize(
    "host",
    [
        *("localhost", "localhost:8601", "LocalHost", "localhost.", "a.localhost:1", "a.b.localhost"),
        *("127.0.0.1", "127.0.0.1:8601", "127.0.0.1.", "10.1.2.3:80", "0.0.0.0:8601", "127.0.0.1:"),
        *("[::1]", "[::1]:8601", "[2001:DB8::7]:80", "[::ffff:10.0.0.1]", "[fe80::1%25eth0]:8601"),
        *("proxy", "proxy:8601", "PROXY", "proxy.", "tfs-proxy.example", "tfs-proxy.example.:9"),
    ],
)
def test_this_machine_addresses_and_allowed_names_are_known_by_any_port(host):
    assert HOSTS.judge("/", [host]) is Asked.KNOWN


@pytest.mark.parametrize(
    "host",
    [
        *(
            "attacker.example",
            "attacker.example:8601",
            "localhost.attacker.example",
            "notlocalhost",
            "xproxy",
        ),
        *("proxy.attacker.example", "a.proxy", "127.0.0.1.attacker.example", "127.0.0.1.nip.io"),
        # A browser writes these as addresses; as names they could be anybody's.
        *("127.1", "0x7f000001", "2130706433", "0177.0.0.1", "256.0.0.1", "localhost..", "1.2.3"),
    ],
)
def test_every_other_name_is_foreign(host):
    assert HOSTS.judge("/", [host]) is Asked.FOREIGN


@pytest.mark.parametrize(
    "fields",
    [
        *([], [""], [" "], [":8601"], ["localhost", "localhost"], ["localhost", "attacker.example"]),
        *(["user@localhost"], ["localhost:8601@attacker.example"], ["localhost/x"], ["localhost, evil"]),
        *(
            ["local host"],
            ["::1"],
            ["[::1"],
            ["[localhost]"],
            ["[::1]x"],
            ["localhost:http"],
            ["l\xf6calhost"],
        ),
        *(["localhost\0"], ["localhost\n"], ["http://localhost"], ["localhost?x"], ["localhost#x"], ["*"]),
    ],
)
def test_what_is_not_one_host_is_malformed(fields):
    assert HOSTS.judge("/", fields) is Asked.MALFORMED


def test_before_http_1_1_no_browser_leaves_the_host_out():
    assert HOSTS.judge("/", [], since_http_1_1=False) is Asked.KNOWN
    assert HOSTS.judge("/", ["attacker.example"], since_http_1_1=False) is Asked.FOREIGN
    assert HOSTS.judge("/", ["a", "b"], since_http_1_1=False) is Asked.MALFORMED


@pytest.mark.parametrize(
    ("target", "host", "asked"),
    [
        ("http://localhost:8601/api/config", "localhost", Asked.KNOWN),
        ("HTTP://proxy/", "localhost", Asked.KNOWN),
        ("http://attacker.example/api/config", "localhost", Asked.FOREIGN),
        ("http://localhost/api/config", "attacker.example", Asked.FOREIGN),
        ("http://localhost@attacker.example/", "localhost", Asked.MALFORMED),
        ("http:///api/config", "localhost", Asked.MALFORMED),
        ("ftp://localhost/", "localhost", Asked.MALFORMED),
        ("attacker.example:443", "localhost", Asked.MALFORMED),
        ("//attacker.example/api/config", "localhost", Asked.KNOWN),
        ("*", "attacker.example", Asked.FOREIGN),
    ],
)
def test_a_whole_uri_as_target_counts_as_much_as_the_host(target, host, asked):
    assert HOSTS.judge(target, [host]) is asked


def test_a_whole_uri_as_target_needs_no_host_before_http_1_1():
    assert HOSTS.judge("http://localhost/", [], since_http_1_1=False) is Asked.KNOWN
    assert HOSTS.judge("http://attacker.example/", [], since_http_1_1=False) is Asked.FOREIGN
