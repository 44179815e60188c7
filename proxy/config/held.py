"""What the files hold that settings name: tokens, and whether certificates and keys can be used.

Law: reads and tells all that is wrong at once, without a word of what is secret. It keeps nothing, and knows no edge:
who uses a file makes of it what he needs.
"""

import ssl
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from proxy.config.reading import SettingsError
from proxy.config.settings import Settings
from proxy.core.tokens import Tokens, TokensError, read_tokens

_MOST_OCTETS: Final = 1 << 20


def tokens_in(path: Path | None) -> Tokens | None:
    """The tokens in a file; None: there is none. Raises SettingsError."""
    if path is None:
        return None
    try:
        with path.open("rb") as file:
            octets = file.read(_MOST_OCTETS + 1)
        if len(octets) > _MOST_OCTETS:
            raise SettingsError(f"{path} is longer than {_MOST_OCTETS >> 20} MiB: these are not tokens")
        return read_tokens(octets.decode("utf-8-sig"))
    except OSError as error:
        raise SettingsError(f"cannot read {path}: {(error.strerror or str(error)).lower()}") from error
    except UnicodeDecodeError:
        raise SettingsError(f"{path} is not UTF-8 text") from None
    except TokensError as error:
        raise SettingsError(f"{path}: {error}") from error


def readable_by_all(settings: Settings) -> list[Path]:
    """The files of tokens and keys that every user of this machine may read."""
    secret = (settings.client_tokens, settings.admin_tokens, settings.listen_key, settings.admin_key)
    found = []
    for path in (*secret, settings.upstream_key):
        try:
            if path is not None and path.stat().st_mode & stat.S_IROTH:
                found.append(path)
        except OSError:
            continue
    return found


def unusable(settings: Settings) -> list[str]:
    """What is wrong with the files that the settings name, each as a sentence."""
    return list(_problems(settings))


def _problems(settings: Settings) -> Iterator[str]:
    for flag, path in (
        ("--client-tokens", settings.client_tokens),
        ("--admin-tokens", settings.admin_tokens),
    ):
        try:
            tokens_in(path)
        except SettingsError as error:
            yield f"{flag}: {error}"
    for flag, certificate, key in (
        ("--listen-cert", settings.listen_cert, settings.listen_key),
        ("--admin-cert", settings.admin_cert, settings.admin_key),
        ("--upstream-cert", settings.upstream_cert, settings.upstream_key),
    ):
        if certificate is not None and key is not None:
            try:
                # A password stops OpenSSL from asking at the terminal.
                _context().load_cert_chain(certificate, key, password="")
            except OSError as error:  # ssl.SSLError is one
                yield f"{flag}: {certificate} and {key} cannot be used: {_why(error)}"
    for flag, roots in (
        ("--listen-client-ca", settings.listen_client_ca),
        ("--upstream-ca", settings.upstream_ca),
    ):
        if roots is not None:
            try:
                _context().load_verify_locations(roots)
            except OSError as error:
                yield f"{flag}: {roots} cannot be used: {_why(error)}"


def _context() -> ssl.SSLContext:
    return ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)


def _why(error: OSError) -> str:
    if not isinstance(error, ssl.SSLError):
        return (error.strerror or str(error)).lower()
    # What Python has to say of a file without a reason is "PEM lib".
    reason: str | None = error.reason
    return "no PEM, or a key with a password" if not reason else reason.replace("_", " ").lower()
