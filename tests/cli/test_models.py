"""`tfs-proxy models` shows what GetModelStatus says, and says where it has the names from."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from tests.certificates import Authority, key_of
from tests.proxy_process import running_proxy


@pytest.fixture
def admin():
    """The admin port of a proxy that has seen the model `two`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            body = json.dumps({"models": [{"name": "two"}]}).encode()
            self.send_response(200 if self.path == "/api/models" else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_every_version_is_shown_with_its_state(run, dev_server):
    result = run("models", "--upstream", dev_server.target, "--model", "multi", "--model", "ssd")
    assert result.exit_code == 0, result.output
    cells = [[cell.strip() for cell in line.split("|")[1:4]] for line in result.output.splitlines()]
    assert [cell for cell in cells if "AVAILABLE" in cell] == [
        ["multi", "3", "AVAILABLE"],
        ["", "1", "AVAILABLE"],
        ["ssd", "1", "AVAILABLE"],
    ]


def test_a_failed_version_comes_with_the_servers_own_text(run, dev_server):
    result = run("models", "--upstream", dev_server.target, "--model", "corrupt", "--json")
    assert result.exit_code == 1
    (version,) = json.loads(result.output)[0]["versions"]
    assert version["state"] == "END"
    assert version["error"] == "Read less bytes than requested"
    shown = run("models", "--upstream", dev_server.target, "--model", "corrupt")
    assert "Read less bytes than requested" in shown.output


def test_an_unknown_model_is_a_finding(run, dev_server):
    result = run("models", "--upstream", dev_server.target, "--model", "ssd", "--model", "Ssd")
    assert result.exit_code == 1
    assert "Could not find any versions of this model" in result.output


def test_names_come_from_the_configuration_file(run, dev_server, tmp_path):
    config = tmp_path / "proxy.yaml"
    config.write_text(f"upstream: {dev_server.target}\nmodel: [two, half]\n")
    result = run("models", "--config", config, "--json")
    assert [each["name"] for each in json.loads(result.output)] == ["two", "half"]


def test_names_come_from_a_running_proxy_when_none_is_given(run, dev_server, admin):
    result = run("models", "--upstream", dev_server.target, "--admin", admin, "--json")
    assert [each["name"] for each in json.loads(result.output)] == ["two"]


def test_names_on_the_command_line_go_first(run, dev_server, admin):
    result = run("models", "--upstream", dev_server.target, "--admin", admin, "--model", "half", "--json")
    assert [each["name"] for each in json.loads(result.output)] == ["half"]


def test_without_any_name_it_says_why_it_needs_one(run, nobody):
    result = run("models", "--admin", nobody)
    assert result.exit_code == 2
    assert "TensorFlow Serving cannot list its models" in result.output
    assert "--model NAME" in result.output


@pytest.mark.parametrize(
    ("admin_port", "words"),
    [
        ("nowhere", "no model to ask for"),
        ("127.0.0.1:99999", "--admin must be"),
        ("[::", "--admin must be"),
        ("", "--admin must be"),
    ],
)
def test_a_bad_admin_address_is_said(run, admin_port, words):
    result = run("models", "--admin", admin_port)
    assert result.exit_code == 2
    assert words in result.output


@pytest.fixture(scope="module")
def guarded(dev_server, tmp_path_factory):
    """The admin port of a proxy that answers HTTPS and wants a token, with what it takes to ask it."""
    folder = tmp_path_factory.mktemp("guarded")
    authority = Authority(folder)
    server, token, tokens = authority.sign("server"), folder / "token", folder / "tokens"
    token.write_text("0123456789abcdef-admin\n")
    tokens.write_text("me:0123456789abcdef-admin\n")
    for path in (token, tokens):
        path.chmod(0o600)
    flags = ("--admin-tokens", str(tokens), "--admin-cert", str(server), "--admin-key", str(key_of(server)))
    with running_proxy("--upstream", dev_server.target, "--model", "half", *flags) as proxy:
        proxy.wait_for("upstream_up")
        yield f"https://localhost:{proxy.admin.rpartition(':')[2]}", str(authority.roots), token


def test_a_proxy_is_asked_with_its_token_over_https(run, dev_server, guarded):
    admin, roots, token = guarded
    asked = ("models", "--upstream", dev_server.target, "--admin", admin, "--ca", roots, "--json")
    without = run(*asked)
    assert (without.exit_code, "--token-file" in without.output) == (2, True)
    result = run(*asked, "--token-file", str(token))
    assert [each["name"] for each in json.loads(result.output)] == ["half"], result.output


@pytest.mark.parametrize(
    "written", [b"secret-one\nsecret-two", b"name secret-one", b"secret-\xff", b"", b"secret-\x7f"]
)
@pytest.mark.parametrize("command", ["models", "top"])
def test_what_is_no_token_is_not_shown(run, guarded, tmp_path, command, written):
    admin, roots, _ = guarded
    file = tmp_path / "token"
    file.write_bytes(written)
    result = run(command, "--admin", admin, "--ca", roots, "--token-file", str(file))
    assert (result.exit_code, "holds no token" in result.output) == (2, True), result.output
    assert "secret" not in result.output


def test_an_unreachable_server_is_no_finding(run, nobody):
    result = run("models", "--upstream", nobody, "--model", "ssd")
    assert result.exit_code == 2
    assert f"no answer from {nobody}" in result.output
    assert "--upstream HOST:PORT" in result.output
