"""The settings file, with its policies: settings that can be used, or one sentence and more that a person can read."""

from proxy.config import Settings, SettingsError, read_file
from proxy.core.policy import Mode
from proxy.core.reasons import Reason, Severity
from tests.fuzz.files import folder
from tests.fuzz.texts import sentence

_FILE = folder() / "proxy.yaml"


def seeds() -> list[bytes]:
    return [
        b"upstream: localhost:8500\nmode: observe\nmax-inflight-bytes: 64MiB\nallow-methods:\n  - /a.B/C\n  - /a.B/*\n",
        b"severities:\n  SHAPE_MISMATCH: warn\n  BATCH_MISMATCH: off\nmodels:\n  detector:\n    mode: enforce\n    max_batch: 8\n"
        b"    max_calls: 4\n    sample: 10\n    inputs:\n      images: {min: 0, max: 1.5, kind: image}\n"
        b"    severities: {VALUE_NOT_FINITE: refuse}\n",
        b"a: &a {mode: off}\nmodels: {x: *a, y: {<<: *a, max_batch: 1}}\n",
        b"client_tokens: /none\nlisten: unix:///run/x.sock\nlabels: 2026-01-01\nstall_seconds: .inf\nadaptive: yes\n",
        b"# nothing\n",
    ]


def check(data: bytes) -> None:
    _FILE.write_bytes(data)
    try:
        found = read_file(_FILE)
        settings = Settings(**found)
    except SettingsError as error:
        assert sentence(str(error), 20_000), str(error)
        return
    assert isinstance(settings.mode, Mode)
    for reason, severity in settings.severities.items():
        assert isinstance(reason, Reason)
        assert isinstance(severity, Severity)
    for name, model in settings.models.items():
        assert isinstance(name, str)
        for policy in model.inputs.values():
            assert policy.low is None or policy.high is None or policy.low <= policy.high
