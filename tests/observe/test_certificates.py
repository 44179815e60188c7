"""Read from files that OpenSSL has written, which the ssl module would accept."""

import ssl
import subprocess
import time
from ipaddress import ip_address

import pytest

from proxy.observe.certificates import expiries, names, names_in, not_after
from tests.certificates import Authority
from tests.odd_servers import make_pki, self_signed

DAY = 86400


def told_by_openssl(path) -> float:
    done = subprocess.run(
        ["openssl", "x509", "-noout", "-enddate", "-in", path], check=True, capture_output=True, text=True
    )
    return ssl.cert_time_to_seconds(done.stdout.strip().removeprefix("notAfter="))


def test_a_file_expires_when_openssl_says_so(tmp_path):
    pki = make_pki(tmp_path)
    files = {"listen_cert": pki / "server.pem", "upstream_ca": pki / "ca.pem"}
    assert expiries(files) == {use: told_by_openssl(path) for use, path in files.items()}


@pytest.mark.parametrize("days", [1, 30, 36500], ids=["a day", "a month", "a century: another kind of time"])
def test_years_of_two_and_of_four_digits_are_read(tmp_path, days):
    path = self_signed(tmp_path, "one", days)
    found = expiries({"listen_cert": path})["listen_cert"]
    assert found == told_by_openssl(path)
    assert found == pytest.approx(time.time() + days * DAY, abs=DAY)


def test_of_a_chain_the_first_to_expire_counts_whatever_stands_between(tmp_path):
    long, short = (self_signed(tmp_path, name, days) for name, days in (("a", 90), ("b", 9)))
    chain = tmp_path / "chain.pem"
    chain.write_text(f"subject=a\n{long.read_text()}\n# naïve\n{short.read_text()}", encoding="utf-8")
    assert expiries({"upstream_ca": chain}) == {"upstream_ca": told_by_openssl(short)}


def test_files_that_are_not_set_missing_or_no_certificates_are_left_out(tmp_path):
    (tmp_path / "text.pem").write_text("no certificate")
    (tmp_path / "cut.pem").write_text("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n")
    uses = {
        "listen_cert": None,
        "listen_client_ca": tmp_path / "missing.pem",
        "upstream_ca": tmp_path / "text.pem",
        "upstream_cert": tmp_path / "cut.pem",
    }
    assert expiries(uses) == {}


@pytest.mark.parametrize("read", [not_after, names])
def test_whatever_is_cut_off_of_a_certificate_is_no_other_error(tmp_path, read):
    der = ssl.PEM_cert_to_DER_cert(Authority(tmp_path).sign("one", "DNS:a.example,IP:::1").read_text())
    for length in range(len(der)):
        try:
            read(der[:length])
        except (ValueError, IndexError):
            continue


def test_names_are_those_of_the_first_certificate_of_a_file(tmp_path):
    authority = Authority(tmp_path)
    first = authority.sign("a", "DNS:a.example,URI:spiffe://a/b,IP:127.0.0.1,IP:::1,DNS:*.b.example")
    chain = tmp_path / "chain.pem"
    chain.write_text(first.read_text() + authority.sign("b", "DNS:other.example").read_text())
    found = names_in(chain)
    assert found.dns == ("a.example", "*.b.example")
    assert found.addresses == {ip_address("127.0.0.1"), ip_address("::1")}
    for host in ("a.example", "A.Example", "x.b.example", "127.0.0.1", "[::1]", "::1"):
        assert found.carry(host), host
    for host in ("b.example", "x.y.b.example", "127.0.0.2", "other.example", ""):
        assert not found.carry(host), host


@pytest.mark.parametrize("alternative", ["", "URI:spiffe://a/b"])
def test_a_certificate_may_have_no_names(tmp_path, alternative):
    found = names_in(Authority(tmp_path).sign("a", alternative))
    assert (found.dns, found.addresses) == ((), frozenset())
    assert names_in(tmp_path / "missing.pem") == found
