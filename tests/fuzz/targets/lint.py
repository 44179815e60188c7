"""Configuration files of the server, and the SavedModel and warm-up file that they lead to: findings, never an error.

The first octet says which flag of the server the file belongs to (none: find out), and in what follows `DISK` stands for
a folder that is there and has two versions.
"""

from proxy.lint.base_path import Disk
from proxy.lint.configs import Kind, UnknownKindError, check_config
from tests.fuzz.files import folder
from tests.fuzz.targets import textproto

_FOLDER = folder()
_FILE = _FOLDER / "models.config"
_MODELS = _FOLDER / "m"
for _version in ("1", "3"):
    (_MODELS / _version).mkdir(parents=True)
_KINDS = (None, *Kind)
_DISK = Disk()


def seeds() -> list[bytes]:
    on_disk = (
        b'model_config_list { config { name: "m" base_path: "DISK" model_platform: "tensorflow" '
        b'model_version_policy { latest { num_versions: 2 } } version_labels { key: "a" value: 7 } } }'
    )
    specific = on_disk.replace(b"latest { num_versions: 2 }", b"specific { versions: 1 versions: 2 }")
    each = [*textproto.seeds(), on_disk, specific, on_disk.replace(b"latest", b"all")]
    return [bytes((number % 2 * (number % 5),)) + text for number, text in enumerate(each)]


def check(data: bytes) -> None:
    if not data:
        return
    _FILE.write_bytes(data[1:].replace(b"DISK", str(_MODELS).encode()))
    try:
        found = list(check_config(_FILE, _KINDS[data[0] % len(_KINDS)], _DISK))
    except UnknownKindError as error:
        assert str(error)
        return
    for each in found:
        assert each.message
        assert each.message.isprintable()
