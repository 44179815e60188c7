"""The clients that are not Python: what can be run is run, the rest is parsed, and held to golden/ by test_words.py."""

import json
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import grpc
import pytest
from google.protobuf import json_format
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxy.client_code import go, grpcurl, java, node
from proxy.client_code.request import example_request
from proxy.client_code.server import Server
from proxy.core.types import PREDICT_METHOD, ModelKey, Servable, Signature, TensorSpec
from proxy.wire.protos import predict_pb2

FLOAT, INT32, STRING, INT64 = 1, 3, 7, 9
DETECTOR = ModelKey("detector", 3)
ODD = 'a"b\\c$(id)`id`\n\u2028\U0001f600__proto__'


SERVERS = {
    "": Server("tfs.example:8500"),
    "-tls": Server("tfs.example:8500", True, "ca.pem"),
    "-all": Server("10.0.0.1:8600", True, "ca.pem", "proxy.example", "client.pem", "client.key", True),
}
"""By what is added to the name of the golden file: a server that asks for nothing, for TLS, for all there is."""

ODD_SERVER = Server("10.0.0.1:8600", True, ODD, ODD, ODD, ODD, True)


def example(alias="image_bytes", *, server=SERVERS[""], key=DETECTOR, signature="embed"):
    inputs = {
        alias: TensorSpec(alias, STRING, (-1, 2), "s:0"),
        "pixels": TensorSpec("pixels", FLOAT, (-1, -1, -1, 3), "p:0"),
        "query": TensorSpec("query", STRING, (-1,), "q:0"),
        "tokens": TensorSpec("tokens", INT64, (-1,), "t:0"),
        "tokens_1": TensorSpec("tokens_1", INT64, (-1,), "t1:0"),
        "weights": TensorSpec("weights", FLOAT, (-1,), "w:0"),
        "weights_1": TensorSpec("weights_1", INT32, (-1,), "w1:0"),
    }
    outputs = {"scores": TensorSpec("scores", FLOAT, (-1, 3), "o:0")}
    servable = Servable(key.model, 3, {signature: Signature(signature, PREDICT_METHOD, inputs, outputs)})
    return example_request(servable, key, signature, server)


def run(*command, **more):
    return subprocess.run(command, capture_output=True, text=True, check=False, **more)


def recorded(script: str, folder: Path) -> tuple[list[str], str]:
    """What the script calls grpcurl with: its arguments and its input."""
    stub = folder / "grpcurl"
    stub.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {folder}/arguments\ncat > {folder}/input\n')
    stub.chmod(0o755)
    file = folder / "client.sh"
    file.write_text(script)
    done = run("sh", file, env=os.environ | {"PATH": f"{folder}:{os.environ['PATH']}"})
    assert done.returncode == 0, done.stderr
    assert not done.stdout
    assert not done.stderr
    return (folder / "arguments").read_text().splitlines(), (folder / "input").read_text()


async def test_what_grpcurl_would_send_gets_an_answer_from_every_signature(every_request, tmp_path):
    for name, request in every_request.items():
        arguments, text = recorded(grpcurl.render(request), tmp_path)
        assert arguments[-2:] == [request.server.target, "tensorflow.serving.PredictionService/Predict"]
        assert "-plaintext" in arguments
        message = json_format.Parse(text, predict_pb2.PredictRequest()).SerializeToString()
        async with grpc.aio.insecure_channel(request.server.target) as channel:
            try:
                await channel.unary_unary("/tensorflow.serving.PredictionService/Predict")(
                    message, timeout=60
                )
            except grpc.aio.AioRpcError as error:
                pytest.fail(f"{name}: {error.details()}")


NAMES = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=1, max_size=20)


@given(alias=NAMES | st.just(ODD), model=NAMES | st.just(ODD), signature=NAMES | st.just(ODD))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_odd_names_reach_grpcurl_as_they_are(alias, model, signature, tmp_path):
    request = example(alias, key=ModelKey(model, None, alias), signature=signature)
    _, text = recorded(grpcurl.render(request), tmp_path)
    message = json_format.Parse(text, predict_pb2.PredictRequest())
    assert (message.model_spec.name, message.model_spec.version_label) == (model, alias)
    assert message.model_spec.signature_name == ("" if signature == "serving_default" else signature)
    assert alias in message.inputs


def test_grpcurl_is_told_of_tls_deadline_and_size(tmp_path):
    arguments, _ = recorded(grpcurl.render(example(server=SERVERS["-tls"])), tmp_path)
    assert "-plaintext" not in arguments
    assert arguments[:6] == ["-cacert", "ca.pem", "-max-time", "10", "-max-msg-sz", "2147483647"]


def test_grpcurl_takes_files_of_any_name_and_no_token_as_an_argument(tmp_path, monkeypatch):
    monkeypatch.setenv("TFS_PROXY_TOKEN", "0123456789abcdef")
    arguments, _ = recorded(
        grpcurl.render(example(server=replace(ODD_SERVER, ca="ca's $(id).pem"))), tmp_path
    )
    assert arguments[:2] == ["-cacert", "ca's $(id).pem"]
    at = arguments.index("-H")
    assert arguments[at - 1 : at + 2] == ["-expand-headers", "-H", "authorization: Bearer ${TFS_PROXY_TOKEN}"]


@pytest.mark.parametrize("alias", ["image_bytes", ODD], ids=["plain", "odd"])
@pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
def test_the_node_client_is_javascript(alias, tmp_path):
    script = tmp_path / "client.js"
    script.write_text(
        node.render(example(alias, server=SERVERS[""] if alias != ODD else ODD_SERVER)), encoding="utf-8"
    )
    done = run("node", "--check", script)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
def test_odd_names_reach_node_as_they_are(tmp_path):
    (tmp_path / "node_modules" / "@grpc" / "grpc-js").mkdir(parents=True)
    (tmp_path / "node_modules" / "protobufjs").mkdir()
    (tmp_path / "node_modules" / "@grpc" / "grpc-js" / "index.js").write_text(
        "exports.credentials = { createInsecure() {} }; exports.Metadata = class {}; exports.Client = class {"
        " makeUnaryRequest(path, encode, decode, request) { console.log(JSON.stringify(request)); } };"
    )
    (tmp_path / "node_modules" / "protobufjs" / "index.js").write_text(
        "exports.parse = () => ({ root: { lookupType() {} } });"
    )
    script = tmp_path / "client.js"
    script.write_text(node.render(example(ODD, key=ModelKey(ODD))), encoding="utf-8")
    done = run("node", script)
    assert done.returncode == 0, done.stderr
    sent = json.loads(done.stdout)
    assert sent["model_spec"] == {"name": ODD, "signature_name": "embed"}
    ragged = ["tokens", "tokens_1", "weights", "weights_1"]
    assert list(sent["inputs"]) == sorted([ODD, "pixels", "query", *ragged])
    assert sent["inputs"]["tokens_1"]["int64_val"] == [0, 2]
    assert sent["inputs"]["weights_1"]["int_val"] == [0, 2]
    assert len(sent["inputs"]["pixels"]["tensor_content"]["data"]) == 224 * 224 * 3 * 4


@pytest.mark.parametrize("alias", ["image_bytes", ODD], ids=["plain", "odd"])
@pytest.mark.skipif(shutil.which("gofmt") is None, reason="needs gofmt")
def test_the_go_client_is_formatted_go(alias, tmp_path):
    program = tmp_path / "client.go"
    program.write_text(
        go.render(example(alias, server=SERVERS[""] if alias != ODD else ODD_SERVER)), encoding="utf-8"
    )
    done = run("gofmt", "-d", program)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


@pytest.mark.parametrize("alias", ["image_bytes", ODD], ids=["plain", "odd"])
@pytest.mark.skipif(shutil.which("javac") is None, reason="needs javac")
def test_the_java_client_lacks_nothing_but_its_libraries(alias, tmp_path):
    program = tmp_path / "Example.java"
    program.write_text(
        java.render(example(alias, server=SERVERS[""] if alias != ODD else ODD_SERVER)), encoding="utf-8"
    )
    done = run("javac", "-d", tmp_path, program)
    errors = [line for line in done.stderr.splitlines() if ": error: " in line]
    assert errors
    # What cannot be parsed is reported before, and instead of, what cannot be found.
    assert all(line.endswith(("does not exist", "cannot find symbol")) for line in errors), done.stderr


@pytest.mark.parametrize("language", [go, java, node], ids=["go", "java", "node"])
def test_no_name_ends_its_string_or_its_comment(language):
    # The same lines as for a plain name, with the name escaped in some of them.
    odd, plain = (
        language.render(example(ODD, server=ODD_SERVER)).splitlines(),
        language.render(example("image_bytes", server=SERVERS["-all"])).splitlines(),
    )
    assert len(odd) == len(plain)
    assert all(line.isascii() for line in odd)
