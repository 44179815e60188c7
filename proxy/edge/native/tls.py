"""
TLS as HTTP/2 wants it: version 1.2 or later, ALPN `h2` (RFC 9113 §3.3, §9.2).

Law: files to contexts; raises ValueError with a sentence for a person.
"""

import ssl
from pathlib import Path

from proxy.upstream.channel import Tls

_ALPN = ["h2"]


def server_context(certificate: Path, key: Path, client_ca: Path | None = None) -> ssl.SSLContext:
    """Answer clients with this certificate; with `client_ca` they must show one of their own."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(_ALPN)
    try:
        # A password stops OpenSSL from asking at the terminal.
        context.load_cert_chain(certificate, key, password="")
        if client_ca is not None:
            context.load_verify_locations(client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
    except OSError as error:  # ssl.SSLError is one
        raise ValueError(f"cannot use the TLS files of --listen-…: {error.strerror or error}") from error
    return context


def client_context(tls: Tls) -> ssl.SSLContext:
    """Meet the server as `tls` says; without a CA file the system's roots are trusted."""
    try:
        context = ssl.create_default_context(cafile=tls.ca)
        # From Python 3.13 on it would refuse roots of one's own that every client of gRPC takes.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        if tls.certificate is not None:
            context.load_cert_chain(tls.certificate, tls.key, password="")
    except OSError as error:
        files = ", ".join(str(each) for each in (tls.ca, tls.certificate, tls.key) if each is not None)
        raise ValueError(f"cannot use the TLS files {files}: {error.strerror or error}") from error
    context.set_alpn_protocols(_ALPN)
    return context
