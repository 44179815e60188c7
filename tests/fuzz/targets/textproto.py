"""Protobuf text format: read as protobuf reads it where it does, or a line, a column and what is wrong."""

from google.protobuf import text_format

from proxy.lint.textproto import Field, read_text
from proxy.wire.config_text import ConfigTextError, check_text
from proxy.wire.protos import predict_pb2  # noqa: F401  TensorFlow's modules, by which those of the server are found

# isort: split
from tensorflow_serving.config import model_server_config_pb2

_MESSAGES = ("ModelServerConfig", "BatchingParameters", "MonitoringConfig")


def seeds() -> list[bytes]:
    return [
        b'model_config_list {\n  config {\n    name: "m"  # it\n    base_path: "/models/m"\n    model_platform: \'tensorflow\'\n'
        b'    model_version_policy { specific { versions: 1 versions: 0x2 } }\n    version_labels { key: "stable" value: 1 }\n  }\n}\n',
        b'model_config_list: < config: [{name: "a" "b", base_path: "\\x2f\\057m\\n\\u00e9"}, {name: "c"}]; >',
        b"max_batch_size { value: 128 }\nallowed_batch_sizes: [1, 2]\npad_variable_length_inputs: true",
        b'prometheus_config { enable: true, path: "/metrics" }',
        b'platform_configs { key: "tensorflow" value { source_adapter_config { [type.googleapis.com/a.B] { } } } }',
    ]


def check(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    try:
        root = read_text(text)
    except ConfigTextError as error:
        _check_error(error, text)
        root = None
    for name in _MESSAGES:
        try:
            check_text(name, text)
        except ConfigTextError as error:
            _check_error(error, text)
        else:
            assert root is not None, "protobuf reads it, and we do not"
            if name == "ModelServerConfig":
                _compare(root, text)
    if root is not None:
        for field in root.walk():
            assert 1 <= field.line <= text.count("\n") + 1
            assert field.column >= 1
            assert field.number is None or isinstance(field.number, int)


def _check_error(error: ConfigTextError, text: str) -> None:
    assert str(error)
    assert 1 <= error.line <= text.count("\n") + 2
    assert error.column >= 1


def _compare(root: Field, text: str) -> None:
    config = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    ours = [model for each in root.all("model_config_list") for model in each.all("config")]
    assert [each.value("name") for each in ours] == [each.name for each in config.model_config_list.config]
    assert [each.value("base_path") for each in ours] == [
        each.base_path for each in config.model_config_list.config
    ]
