r"""grpcurl from a shell: protobuf's JSON on standard input.

Law: see the package. The JSON stands in a here-document in which the shell replaces `$(…)`, so everything
that comes from a signature has `\\`, `$` and the backtick escaped on top of its JSON.
"""

import base64
import json
import re
import shlex
from collections.abc import Iterator
from typing import Any

from proxy.client_code.request import DEADLINE_SECONDS, ExampleRequest, Input
from proxy.client_code.server import TOKEN_VARIABLE, Server

_SHELL = re.compile(r"[\\$`]")
_NOTES = """\
# grpcurl asks the server how to encode this. tfs-proxy answers such questions (reflection); a bare
# tensorflow_model_server does not: give grpcurl the .proto files of TensorFlow Serving and TensorFlow then,
#   -import-path serving -import-path tensorflow -proto tensorflow_serving/apis/prediction_service.proto
# tensorContent is base64 of the tensor's bytes (C order, little-endian): $(base64 < pixels.bin | tr -d '\\n')"""


def render(request: ExampleRequest) -> str:
    """A shell script: sends the request, prints the answer as JSON."""
    key, server = request.key, request.server
    spec: dict[str, Any] = {"name": key.model}
    if request.signature:
        spec["signatureName"] = request.signature
    if key.version is not None:
        spec["version"] = str(key.version)
    elif key.label is not None:
        spec["versionLabel"] = key.label
    flags = " ".join((*_security(server), f"-max-time {DEADLINE_SECONDS} -max-msg-sz {2**31 - 1}"))
    inputs = ",\n".join(f"    {_text(each.alias)}: {_tensor(each)}" for each in request.inputs)
    notes = [f"# {each.alias!a}: {each.declared}{each.note and ': ' + each.note}" for each in request.inputs]
    return "\n".join(
        (
            "#!/bin/sh",
            *(f"# needs {each}" for each in server.needs()),
            f"# {request.accepts}",
            *notes,
            _NOTES,
            f"grpcurl {flags} -d @ {shlex.quote(server.target)} tensorflow.serving.PredictionService/Predict <<JSON",
            "{",
            f'  "modelSpec": {_text(spec)},',
            f'  "inputs": {{\n{inputs}\n  }}',
            "}",
            "JSON",
            "",
        )
    )


def _security(server: Server) -> Iterator[str]:
    if not server.tls:
        yield "-plaintext"
    else:
        files = {"-cacert": server.ca, "-cert": server.certificate, "-key": server.key}
        for flag, value in {**files, "-authority": server.name}.items():
            if value:
                yield f"{flag} {shlex.quote(value)}"
    if server.token:
        # grpcurl fills it in: of a command, whoever is on the machine sees the arguments.
        yield f"-expand-headers -H 'authorization: Bearer ${{{TOKEN_VARIABLE}}}'"


def _text(value: object) -> str:
    return _SHELL.sub(r"\\\g<0>", json.dumps(value))


def _tensor(each: Input) -> str:
    dims = ", ".join(f'{{"size": "{size}"}}' for size in each.dims)
    return f'{{"dtype": "{each.proto_dtype}", "tensorShape": {{"dim": [{dims}]}}, {_payload(each)}}}'


def _payload(each: Input) -> str:
    if each.numbers:
        field = {"int32": "intVal", "int64": "int64Val"}[each.dtype.name]
        return f'"{field}": {list(each.numbers)}'
    if each.element is not None:
        one = f'"{base64.b64encode(each.element).decode()}"'
        # One value fills the tensor (`tensor.cc`), however large it is.
        return f'"stringVal": [{one}]'
    return f'"tensorContent": "$(head -c {each.content_bytes} /dev/zero | base64 | tr -d \'\\n\')"'
