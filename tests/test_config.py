"""Settings: what they accept, what the file may say, and the sentence for everything else."""

import contextlib
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config import DECLARED, ModelSettings, Settings, SettingsError, about, plain, read_file, reading
from proxy.core.policy import Mode
from proxy.core.reasons import Reason, Severity
from proxy.core.values import InputPolicy, StringKind


@pytest.fixture
def write(tmp_path: Path):
    def write(text: str) -> Path:
        path = tmp_path / "proxy.yaml"
        path.write_text(text)
        return path

    return write


def parse(name: str, value):
    return next(about(setting).parse for setting in DECLARED if setting.name == name)(value)


def test_the_defaults_are_those_promised():
    settings = Settings()
    assert (settings.upstream, settings.listen, settings.admin_listen) == (
        "localhost:8500",
        "0.0.0.0:8600",
        "127.0.0.1:8601",
    )
    assert settings.mode is Mode.ENFORCE
    assert settings.max_message_bytes == -1
    assert not settings.allow_admin_methods


@pytest.mark.parametrize("setting", DECLARED, ids=lambda setting: setting.name)
def test_every_setting_is_explained_and_accepts_its_own_default(setting):
    declared = about(setting)
    assert declared.help.endswith((".", "Repeatable."))
    default = getattr(Settings(), setting.name)
    if default not in (None, (), {}):
        assert declared.parse(default) == default
        assert declared.parse(str(default)) == default
    assert declared.shown == "" or declared.parse(declared.shown) == default


def test_no_setting_collides_with_the_variables_that_kubernetes_makes_of_a_service_name():
    names = {setting.name for setting in DECLARED}
    assert not any(name == "port" or name.startswith(("port_", "service_")) for name in names)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1000", 1000),
        ("64MiB", 64 << 20),
        ("1GB", 10**9),
        ("1.5k", 1500),
        ("0", -1),
        ("-1", -1),
        (5, 5),
        ("3B", 3),
    ],
)
def test_sizes_have_units(text, size):
    assert parse("max_message_bytes", text) == size


@pytest.mark.parametrize("written", ["unix:/run/x.sock", "unix:///run/x.sock"])
def test_a_unix_socket_is_written_with_three_slashes_or_none(written):
    assert parse("listen", written) == "unix:/run/x.sock"


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("listen", "8600", "'8600' is not HOST:PORT"),
        ("listen", "::1:8600", "an IPv6 address stands in brackets"),
        *(
            ("otlp_endpoint", value, "is not the address of a collector, for example http://localhost:4317")
            for value in (
                "",
                "collector:4317",
                "ftp://a:1",
                "http://",
                "http://u:secret@a:1",
                "http://a:1/v1/traces",
            )
        ),
        ("trace_sample", "2", "1"),
        ("listen", "host:99999", "is not HOST:PORT"),
        ("listen", "unix:", "'unix:' names no socket, for example unix:/run/tfs-proxy.sock"),
        ("listen", "unix:/run/", "names no socket"),
        ("listen", "unix://run/x.sock", "three slashes or none"),
        ("listen", "unix:/" + 107 * "x", "at most 107 bytes"),
        ("admin_listen", "unix:/run/admin.sock", "is not HOST:PORT"),
        ("upstream", "http://tfs:8500", "must not have a scheme"),
        ("max_message_bytes", "many", "'many' is not a size"),
        ("max_message_bytes", "-5", "is not a size"),
        ("max_batch", "1.5", "is not a whole number"),
        ("default_deadline", "soon", "'soon' is not a number of seconds"),
        ("default_deadline", "nan", "at least 0"),
        ("poll_seconds", "0", "at least 0.05"),
        ("mode", "strict", "'strict' is none of enforce, observe, off"),
        ("log_level", "loud", "none of debug"),
        ("severities", "SHAPE_MISMACH=warn", "did you mean SHAPE_MISMATCH?"),
        ("severities", "SHAPE_MISMATCH", "write for example SHAPE_MISMATCH=warn"),
        ("severities", "SHAPE_MISMATCH=maybe", "none of refuse, warn, off"),
        ("severities", "OVERLOADED=warn", "no severity changes it"),
        ("severities", "UPSTREAM_RESET=off", "no severity changes it"),
        ("listen_cert", "/nowhere/cert.pem", "cannot read /nowhere/cert.pem: no such file or directory"),
        ("reflection", "perhaps", "neither true nor false"),
    ],
)
def test_what_cannot_be_used_is_refused_with_a_sentence(name, value, sentence):
    with pytest.raises(SettingsError) as caught:
        parse(name, value)
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ("upstream_cert", "--upstream-key"),
        ("listen_key", "--listen-cert"),
        ("listen_client_ca", "--listen-cert"),
    ],
)
def test_halves_of_a_pair_are_refused(given, missing):
    with pytest.raises(SettingsError) as caught:
        Settings(**{given: Path("x.pem")})
    assert f"needs {missing}" in str(caught.value)


def test_all_halves_are_told_at_once():
    with pytest.raises(SettingsError, match="--upstream-key needs --upstream-cert; --listen-cert needs"):
        Settings(upstream_key=Path("x.pem"), listen_cert=Path("x.pem"))


def test_any_tls_file_means_tls():
    assert not Settings().speaks_tls
    assert Settings(upstream_tls=True).speaks_tls
    assert Settings(upstream_ca=Path("ca.pem")).speaks_tls


def test_a_file_may_say_everything(write):
    found = read_file(
        write(
            """
            upstream: tfs:8500
            admin-listen: 127.0.0.1:0   # dashes as in the flag
            model: [detector, text]
            mode: off
            severities: {INPUT_MISSING: warn, BATCH_EMPTY: off}
            max_message_bytes: 64MiB
            reflection: no
            models:
              detector: {mode: observe, max_batch: 8}
              text:
                severities: {BATCH_EMPTY: refuse}
              plain:
            """
        )
    )
    assert found == {
        "upstream": "tfs:8500",
        "admin_listen": "127.0.0.1:0",
        "model": ("detector", "text"),
        "mode": Mode.OFF,
        "severities": {Reason.INPUT_MISSING: Severity.WARN, Reason.BATCH_EMPTY: Severity.OFF},
        "max_message_bytes": 64 << 20,
        "reflection": False,
        "models": {
            "detector": ModelSettings(Mode.OBSERVE, {}, 8),
            "text": ModelSettings(None, {Reason.BATCH_EMPTY: Severity.REFUSE}, None),
            "plain": ModelSettings(),
        },
    }


def test_all_mistakes_are_told_at_once_each_with_its_line_and_key(write):
    path = write(
        """\
upstraem: tfs:8500
mode: strict
listen: 8600
model: [a, 5, [b]]
severities: {BATCH_EMTY: off, SHAPE_MISMATCH: maybe, INPUT_MISSING: warn}
poll_seconds:
models:
  detector: &all
    mode: loud
    max_bach: 4
    sample: 0
    inputs:
      x: {min: low, max: 1}
      y: {min: 2, max: 1, kind: photo}
  text: [mode]
  copy:
    <<: *all
    mode: observe
"""
    )
    with pytest.raises(SettingsError) as caught:
        read_file(path)
    head, *lines = str(caught.value).splitlines()
    assert head == f"{path}: {len(lines)} mistakes"
    beginnings = [
        "line 1: unknown key 'upstraem'; did you mean 'upstream'?",
        "line 2: mode: 'strict' is none of",
        "line 3: listen: 8600 is not HOST:PORT",
        "line 4: model: 5 is not a text",
        "line 4: model: ['b'] is not a text",
        "line 5: severities: 'BATCH_EMTY' is not a reason; did you mean BATCH_EMPTY?",
        "line 5: severities: SHAPE_MISMATCH: 'maybe' is none of",
        "line 10: models: detector: unknown key 'max_bach'; did you mean 'max_batch'?",
        "line 9: models: detector: mode: 'loud' is none of",
        "line 11: models: detector: sample: must be 1",
        "line 13: models: detector: inputs: x: min: must be a number, not 'low'",
        "line 14: models: detector: inputs: y: kind: must be one of image, example, not 'photo'",
        "line 14: models: detector: inputs: y: min 2 is more than max 1",
        "line 15: models: text: must be a mapping of settings",
        "line 10: models: copy: unknown key 'max_bach'",
        "line 11: models: copy: sample: must be 1",
        "line 13: models: copy: inputs: x: min: must be a number, not 'low'",
        "line 14: models: copy: inputs: y: kind:",
        "line 14: models: copy: inputs: y: min 2 is more than max 1",
    ]
    for line, beginning in zip(lines, beginnings, strict=True):
        assert line.strip().startswith(beginning)


def test_of_a_great_many_mistakes_twenty_are_told(write):
    path = write("\n".join(f"x{number}: 1" for number in range(1000)))
    with pytest.raises(SettingsError) as caught:
        read_file(path)
    lines = str(caught.value).splitlines()
    assert (len(lines), lines[0], lines[-1]) == (22, f"{path}: 1000 mistakes", "  and 980 more")


def test_a_key_without_a_value_says_nothing(write):
    assert read_file(write("upstream_ca:\nmode: null\nmodels: {m: {mode: ~, inputs: }}")) == {
        "models": {"m": ModelSettings()}
    }


def test_an_empty_file_says_nothing(write):
    assert read_file(write("")) == {}
    assert read_file(write("# upstream: tfs:8500")) == {}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("upstraem: x:1", "unknown key 'upstraem'; did you mean 'upstream'?"),
        ("zzz: 1", "unknown key 'zzz'; known are access_log,"),
        ("models: {m: {mod: off}}", "models: m: unknown key 'mod'; did you mean 'mode'?"),
        ("models: {m: {mode: loud}}", "models: m: mode: 'loud' is none of"),
        ("models: [m]", "models: must be a mapping of settings by model"),
        ("models: {m: {severities: {BATCH_EMTY: off}}}", "did you mean BATCH_EMPTY?"),
        (
            "models: {m: {severities: {PROFILER_FORBIDDEN: warn}}}",
            "models: m: severities: PROFILER_FORBIDDEN is about no model",
        ),
        ("severities: [BATCH_EMPTY]", "must be a mapping of severities, such as `INPUT_MISSING: warn`"),
        ("listen: 8600", "listen: 8600 is not HOST:PORT"),
        ("- upstream", "must be a mapping of settings"),
        ("a: b: c", "is not YAML"),
        ("max_batch: true", "max_batch: True is not a whole number"),
    ],
)
def test_a_mistake_in_the_file_is_named_with_the_file(write, text, sentence):
    path = write(text)
    with pytest.raises(SettingsError) as caught:
        read_file(path)
    assert str(caught.value).startswith(str(path))
    assert sentence in str(caught.value)


def _laughs(levels: int, each: str) -> str:
    lines = ["x0: &x0 [a, b, c, d, e, f, g, h, i]"]
    lines += [each.format(level, level - 1) for level in range(1, levels)]
    return "\n".join(lines)


HOSTILE = {
    "nested sequences": ("[" * 2000, "line 1, column 21: nested more than 20 deep"),
    "nested mappings": ("{a: " * 2000, "nested more than 20 deep"),
    "nested blocks": ("\n".join(" " * i + "a:" for i in range(1000)), "nested more than 20 deep"),
    "nested keys": ("? " * 2000 + "a", "nested more than 20 deep"),
    "aliases": (_laughs(9, "x{0}: &x{0} [" + ", ".join(["*x{1}"] * 9) + "]"), "more than 100000 values"),
    "aliases in a setting": (
        _laughs(9, "x{0}: &x{0} [" + ", ".join(["*x{1}"] * 9) + "]") + "\nupstream: *x8",
        "more than 100000 values",
    ),
    "merges": (
        "x0: &x0 {a: 1}\n"
        + "\n".join(f"x{i}: &x{i} {{<<: [{', '.join([f'*x{i - 1}'] * 9)}]}}" for i in range(1, 9)),
        "more than 100000 values",
    ),
    "an anchor within itself": ("models: &m {a: *m}", "*m stands within what it names"),
    "an anchor within itself, deeper": ("&m [[{a: [*m]}]]", "*m stands within what it names"),
    "an anchor that is none": ("mode: *m", "found undefined alias"),
    "a key twice": ("mode: off\nmode: observe", "line 2, column 1: 'mode' stands there twice"),
    "a key twice, deeper": ("models: {m: {mode: off}, m: {}}", "'m' stands there twice"),
    "a key twice, written differently": ("admin-listen: 1.2.3.4:5\nadmin_listen: 1.2.3.4:5", "twice"),
    "a key that is a list": ("[a, b]: c", "found unhashable key"),
    "a tag": ("mode: !!timestamp x", "settings have no tags"),
    "a tag of Python": ("mode: !!python/object/apply:os.system [true]", "settings have no tags"),
    "an own tag": ("mode: !x off", "settings have no tags"),
    "a date that is none": ("mode: 2026-99-99", "a value cannot be read"),
    "a number of many digits": (f"max_batch: {'9' * 5000}", "a value cannot be read"),
    "a tab": ("models:\n\tm:\n\t\tmode: off", "YAML is indented with spaces"),
    "a control character": ("mode: \x1b[31m", "unacceptable character"),
    "two documents": ("mode: off\n---\nmode: off", "expected a single document"),
    "never closed": ("models: {m: {", "line 1"),
    "a long value": (f"mode: {'x' * 100_000}", "is none of enforce"),
    "a large value": (f"mode: [{'x, ' * 50_000}]", "is none of enforce"),
    "a long key": (f"? {'x' * 100_000}\n: 1", "unknown key"),
    "a model name with escapes": ('models: {"a\\e[31m": {mode: loud}}', "is none of"),
    "a bound that no float holds": (
        f"models: {{m: {{inputs: {{x: {{min: {10**400}}}}}}}}}",
        "a float can hold",
    ),
}


@pytest.mark.parametrize(("text", "sentence"), HOSTILE.values(), ids=HOSTILE)
def test_a_file_that_is_made_to_hurt_is_refused_in_one_sentence_and_at_once(write, text, sentence):
    path = write(text)
    began = time.monotonic()
    with pytest.raises(SettingsError) as caught:
        read_file(path)
    assert time.monotonic() - began < 10
    told = str(caught.value)
    assert told.startswith(str(path))
    assert sentence in told
    assert told.isprintable(), "one line"
    assert len(told) < 1500


@pytest.mark.parametrize("octets", [b"mode: \xff", b"\xff\xfem\0o\0", b"a: 1\nb: \xc3\x28", b"\xed\xa0\x80"])
def test_a_file_that_is_not_utf_8_is_told_so_with_the_line(tmp_path, octets):
    path = tmp_path / "proxy.yaml"
    path.write_bytes(octets)
    with pytest.raises(SettingsError, match=r"is not YAML: line \d+ is not UTF-8 text$"):
        read_file(path)


def test_a_byte_order_mark_is_passed_over(tmp_path):
    path = tmp_path / "proxy.yaml"
    path.write_bytes(b"\xef\xbb\xbfmode: off")
    assert read_file(path) == {"mode": Mode.OFF}


def test_a_file_is_not_read_without_end():
    with pytest.raises(SettingsError, match="is longer than 1 MiB"):
        read_file(Path("/dev/zero"))


def test_anchors_and_merges_stay_of_use(write):
    text = """
    models:
      a: &all {mode: observe, max_batch: 4}
      b: *all
      c: {<<: *all, max_batch: 8}
    """
    models = read_file(write(text))["models"]
    assert models["a"] == models["b"] == ModelSettings(Mode.OBSERVE, {}, 4)
    assert models["c"] == ModelSettings(Mode.OBSERVE, {}, 8)


@given(st.text() | st.text("[]{}:&*?-!|>'\"#%@ \n\tabc<0189.~"))
def test_whatever_a_file_holds_is_read_or_refused_in_a_sentence(text):
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", errors="surrogatepass", newline="") as file:
        file.write(text)
        file.flush()
        with contextlib.suppress(SettingsError):
            read_file(Path(file.name))


@pytest.mark.parametrize("setting", DECLARED, ids=lambda setting: setting.name)
@given(
    value=st.text()
    | st.from_regex(r"[0-9]{0,9000}|[^:]*:[0-9]{1,9000}|[0-9.eE+-]+[kKMG]?i?B?", fullmatch=True)
)
def test_whatever_a_setting_is_given_is_read_or_refused_in_a_sentence(setting, value):
    with contextlib.suppress(SettingsError):
        about(setting).parse(value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(SettingsError, match=r"cannot read .*absent.yaml: no such file"):
        read_file(tmp_path / "absent.yaml")


def test_what_the_file_says_of_a_model_adds_to_what_holds_for_all():
    policies = Settings(
        mode=Mode.OBSERVE,
        severities={Reason.BATCH_EMPTY: Severity.OFF, Reason.INPUT_MISSING: Severity.WARN},
        max_batch=16,
        models={
            "own": ModelSettings(Mode.ENFORCE, {Reason.BATCH_EMPTY: Severity.REFUSE}, 4),
            "free": ModelSettings(max_batch=-1),
        },
    ).policies
    own, free, other = policies.of("own"), policies.of("free"), policies.of("other")
    assert (own.mode, own.max_batch) == (Mode.ENFORCE, 4)
    assert own.severities[Reason.BATCH_EMPTY] is Severity.REFUSE
    assert own.severities[Reason.INPUT_MISSING] is Severity.WARN
    assert (free.mode, free.max_batch) == (Mode.OBSERVE, None)
    assert (other.mode, other.max_batch) == (Mode.OBSERVE, 16)
    assert other.severities[Reason.BATCH_EMPTY] is Severity.OFF


def test_settings_are_shown_as_plain_values():
    shown = plain(Settings(severities={Reason.BATCH_EMPTY: Severity.OFF}, model=("a",), listen_cert=None))
    assert shown["severities"] == {"BATCH_EMPTY": "off"}
    assert shown["model"] == ["a"]
    assert shown["mode"] == "enforce"
    assert shown["listen_cert"] is None


def test_the_file_says_what_values_of_an_input_must_be(write):
    text = """
    models:
      detector:
        severities: {VALUE_OUTSIDE_POLICY_RANGE: warn}
        inputs:
          image: {min: 0, max: 1.5}
          photo: {kind: image}
        sample: 10
    """
    policy = Settings(**read_file(write(text))).policies.of("detector")
    assert policy.inputs == {"image": InputPolicy(0, 1.5), "photo": InputPolicy(kind=StringKind.IMAGE)}
    assert policy.sample == 10
    assert policy.looks_at_values


@pytest.mark.parametrize(
    ("inputs", "problem"),
    [
        ("inputs: [x]", "must be a mapping of settings by input"),
        ("inputs: {x: {min: low}}", "line 1: models: detector: inputs: x: min: must be a number"),
        ("inputs: {x: {min: 2, max: 1}}", "min 2 is more than max 1"),
        ("inputs: {x: {kind: photo}}", "kind: must be one of image, example"),
        ("inputs: {x: {maxx: 1}}", "did you mean 'max'"),
        ("sample: 0", "sample: must be 1"),
    ],
)
def test_nonsense_about_values_is_told_with_its_place(write, inputs, problem):
    with pytest.raises(SettingsError, match=problem) as caught:
        read_file(write(f"models: {{detector: {{{inputs}}}}}"))
    assert "models: detector" in str(caught.value)


@pytest.mark.parametrize(
    ("written", "share"), [("1%", 0.01), ("0.5 %", 0.005), (0.25, 0.25), ("1", 1.0), ("100%", 1.0)]
)
def test_a_share_is_a_part_or_a_percentage(written, share):
    assert parse("capture_sample", written) == pytest.approx(share)


@pytest.mark.parametrize("written", ["0", "101%", "2", "-1%", "all", "", "nan", True])
def test_what_is_no_share_is_said(written):
    with pytest.raises(SettingsError, match="is not a share above 0 and up to 1"):
        parse("capture_sample", written)


@pytest.mark.parametrize(
    ("written", "part"), [("0", 0), (0.0, 0), ("0%", 0), ("off", 0), (False, 0), ("1%", 0.01)]
)
def test_outputs_may_be_looked_at_in_part_or_not_at_all(written, part):
    assert parse("output_sample", written) == part


def test_no_part_of_the_outputs_is_more_than_all_of_them():
    with pytest.raises(SettingsError, match=r"'2' is not a share above 0 and up to 1.*; 0: none"):
        parse("output_sample", "2")


def test_captures_need_a_limit_and_a_folder(tmp_path):
    with pytest.raises(SettingsError, match="captures need a limit"):
        parse("capture_max_bytes", "-1")
    assert parse("capture_max_bytes", "1MiB") == 1 << 20
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(SettingsError, match="is not a folder"):
        parse("capture", str(file))
    assert parse("capture", str(tmp_path / "new")) == tmp_path / "new"


@pytest.mark.parametrize("where", ["http://collector:4317", "https://collector", "http://[::1]:4317/"])
def test_an_address_of_a_collector_means_traces(where):
    assert not Settings().traces
    assert Settings(tracing=True).traces
    assert Settings(otlp_endpoint=reading.collector(where)).traces
