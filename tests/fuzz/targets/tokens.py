"""A file of tokens: who has which, or what is wrong with it by line, without a word of a token."""

from proxy.config.held import SettingsError, tokens_in
from proxy.observe.certificates import expiries
from tests.fuzz.files import folder
from tests.fuzz.texts import sentence

_FOLDER = folder()
_FILE = _FOLDER / "tokens"


def seeds() -> list[bytes]:
    return [
        b"# clients\nbatch: 0123456789abcdef\nbatch:sha256:" + b"0a" * 32 + b"\n\nother:abcdefghijklmnop==\n",
        b"no token\nname:short\n:0123456789abcdef\n",
        b"\xef\xbb\xbfa:" + b"x" * 40,
    ]


def check(data: bytes) -> None:
    _FILE.write_bytes(data)
    lines = data.decode("utf-8-sig", "replace").splitlines()
    secrets = {line.strip().partition(":")[2].strip() for line in lines}
    try:
        tokens = tokens_in(_FILE)
    except SettingsError as error:
        told = str(error).replace(str(_FILE), "")
        assert sentence(told)
        assert not any(len(secret) >= 16 and secret in told for secret in secrets)
        return
    assert tokens is not None
    assert len(tokens) > 0
    for line in lines:
        name, _, token = (part.strip() for part in line.strip().partition(":"))
        if line.strip() and not line.strip().startswith("#") and not token.startswith("sha256:"):
            assert tokens.name_of(token.encode()) is not None
            assert tokens.name_of(token.encode() + b"x") in {None, name}
    assert tokens.name_of(b"") is None
    assert expiries({"file": _FILE}) == {}
