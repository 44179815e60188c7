"""Which settings take effect when they are read anew, and where each came from afterwards."""

import dataclasses
from pathlib import Path

import pytest

from proxy.config import DECLARED, Settings, SettingsError, about, reading
from proxy.config.again import Effective, named_files, read_again, taken
from proxy.config.held import readable_by_all
from proxy.core.policy import Mode
from tests.certificates import Authority, key_of

TOKENS = "me:0123456789abcdef\n"


def running(tmp_path: Path, text: str = "", **settings) -> Effective:
    file = tmp_path / "proxy.yaml"
    file.write_text(text)
    return Effective(Settings(**settings), dict.fromkeys(settings, "flag"), file)


def test_a_flag_goes_on_to_win_over_the_file(tmp_path):
    change = read_again(running(tmp_path, "mode: observe\nmax-batch: 4\n", mode=Mode.OFF))
    assert (change.now.settings.mode, change.now.settings.max_batch) == (Mode.OFF, 4)
    assert (change.now.origins["mode"], change.now.origins["max_batch"]) == ("flag", "file")
    assert (change.changed, change.restart) == (["max_batch"], [])


def test_a_file_that_is_empty_may_still_be_written_and_says_nothing(tmp_path):
    first = read_again(running(tmp_path, "max-batch: 4\n")).now
    first.file.write_text("")
    with pytest.raises(SettingsError, match="is empty"):
        read_again(first)


def test_a_file_that_has_always_been_empty_is_no_reason_to_leave_others_unread(tmp_path):
    assert not read_again(running(tmp_path, "")).changed


def test_what_stands_no_more_in_the_file_is_the_default_again(tmp_path):
    first = read_again(running(tmp_path, "max-batch: 4\nmodels: {m: {mode: off}}\n")).now
    first.file.write_text("{}")
    change = read_again(first)
    assert change.now.settings == Settings()
    assert change.changed == ["max_batch", "models"]
    assert change.now.origins["max_batch"] == "default"
    assert "models" not in change.now.origins


def test_what_waits_for_a_restart_keeps_value_and_origin_and_is_named_each_time(tmp_path):
    change = read_again(running(tmp_path, "refusals: 3\nmax-batch: 4\n"))
    assert (change.changed, change.restart) == (["max_batch"], ["refusals"])
    assert change.now.settings.refusals == Settings().refusals
    assert "refusals" not in change.now.origins
    assert read_again(change.now).restart == ["refusals"]


def test_what_reaches_one_edge_only_waits_for_a_restart_with_the_other():
    found = Effective(Settings(stall_seconds=3), {})
    assert taken(Effective(Settings(), {}), found).changed == ["stall_seconds"]
    grpcio = dataclasses.replace(found.settings, edge="grpcio")
    assert taken(Effective(Settings(edge="grpcio"), {}), Effective(grpcio, {})).restart == ["stall_seconds"]


def test_everything_that_is_wrong_is_told_in_one_message(tmp_path):
    authority = Authority(tmp_path)
    one, other = authority.sign("one"), authority.sign("other")
    tokens = tmp_path / "tokens"
    tokens.write_text("me:short\n")
    now = running(
        tmp_path,
        "mode: strict\nmax_batsh: 1\n",
        listen_cert=one,
        listen_key=key_of(other),
        admin_tokens=tokens,
    )
    with pytest.raises(SettingsError) as caught:
        read_again(now)
    for words in (
        "strict",
        "max_batsh",
        f"{one} and",
        "key values mismatch",
        "--admin-tokens",
        "line 1: the token",
    ):
        assert words in str(caught.value)


def test_a_file_that_is_gone_is_one_of_the_problems(tmp_path):
    now = running(tmp_path, listen_cert=tmp_path / "gone.pem", listen_key=tmp_path / "gone.key")
    with pytest.raises(SettingsError, match=r"gone\.pem and .* no such file"):
        read_again(now)


def test_a_setting_that_contradicts_what_stays_is_refused(tmp_path):
    now = running(tmp_path, "max-connections: 1\n", workers=2)
    with pytest.raises(SettingsError, match="--max-connections 1 leaves nothing"):
        read_again(now)


@pytest.mark.parametrize("name", ["client_tokens", "admin_tokens", "listen_client_ca"])
def test_a_file_that_comes_or_goes_waits_for_a_restart_and_another_one_does_not(tmp_path, name):
    authority = Authority(tmp_path)
    tls = {"listen_cert": authority.sign("one"), "listen_key": tmp_path / "one.key"}
    for path in (tmp_path / "a", tmp_path / "b"):
        path.write_text(authority.roots.read_text() if name.endswith("ca") else TOKENS)

    def settings(path: Path | None) -> Effective:
        return Effective(Settings(**tls, **{name: path}), {})

    a, b, none = (settings(path) for path in (tmp_path / "a", tmp_path / "b", None))
    assert taken(a, b).changed == [name]
    assert taken(a, none).restart == taken(none, a).restart == [name]
    assert named_files(a)[name] == tmp_path / "a"
    assert name not in named_files(none)


def test_every_file_that_is_read_at_the_start_is_looked_at_with_the_native_edge():
    files = {setting.name for setting in DECLARED if about(setting).parse is reading.file}
    assert all(about(setting).reload for setting in DECLARED if setting.name in files)


def test_secrets_that_everyone_may_read_are_found(tmp_path):
    open_, closed = tmp_path / "open", tmp_path / "closed"
    for path, mode in ((open_, 0o644), (closed, 0o640)):
        path.write_text(TOKENS)
        path.chmod(mode)
    assert readable_by_all(Settings(client_tokens=open_, admin_tokens=closed)) == [open_]
    assert readable_by_all(Settings(client_tokens=tmp_path / "gone")) == []


@pytest.mark.parametrize(
    "name",
    [
        "batch.example.com",
        "*.example.com",
        "localhost",
        "spiffe://td/ns/ml/sa/a",
        "spiffe://td/*",
        "https://a.b/c?d",
    ],
)
def test_names_of_clients(name):
    assert reading.client_san(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "*",
        "*.*.example.com",
        "a*.example.com",
        "batch.example.com:8600",
        "spiffe://*",
        "spiffe://td/a*",
        "a b",
        "me@b.c",
    ],
)
def test_what_is_no_name_of_a_client(name):
    with pytest.raises(SettingsError, match="neither a DNS name nor a URI"):
        reading.client_san(name)


@pytest.mark.parametrize("address", ["10.0.0.1", "127.0.0.1"])
def test_an_address_would_never_let_anybody_in_and_is_no_name_of_a_client(address):
    with pytest.raises(SettingsError, match=r"is an address: .* only DNS names and URIs"):
        reading.client_san(address)


def test_who_may_call_is_said_in_one_way(tmp_path):
    with pytest.raises(SettingsError, match="--client-san needs --listen-client-ca"):
        Settings(client_san=("a.example",))
    with pytest.raises(SettingsError, match="both say who may call"):
        Settings(
            client_san=("a.example",),
            client_tokens=tmp_path,
            listen_client_ca=tmp_path,
            listen_cert=tmp_path,
            listen_key=tmp_path,
        )
