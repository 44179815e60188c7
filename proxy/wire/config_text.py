"""Whether a configuration file of tensorflow_model_server is valid text of its protobuf message.

Law: says line, column and what is wrong, or nothing. BatchingParameters and MonitoringConfig are not in the
tensorflow-serving-api package: their fields, as `session_bundle_config.proto` and `monitoring_config.proto`
name them, are declared here in a pool of their own, so that no other definition can clash with them.
"""

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Any, Final

from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    message_factory,
    text_encoding,
    text_format,
    wrappers_pb2,
)
from tensorflow_serving.config import model_server_config_pb2

_PACKAGE: Final = "tensorflow.serving"
_FieldProto = descriptor_pb2.FieldDescriptorProto
_KINDS: Final = {
    "int64": _FieldProto.TYPE_INT64,
    "bool": _FieldProto.TYPE_BOOL,
    "string": _FieldProto.TYPE_STRING,
    "message": _FieldProto.TYPE_MESSAGE,
}

# name: (number, type); a type with a capital is a message, "*" marks a repeated field.
_DECLARED: Final[Mapping[str, Mapping[str, tuple[int, str]]]] = MappingProxyType(
    {
        "BatchingParameters": {
            "max_batch_size": (1, "google.protobuf.Int64Value"),
            "batch_timeout_micros": (2, "google.protobuf.Int64Value"),
            "max_enqueued_batches": (3, "google.protobuf.Int64Value"),
            "num_batch_threads": (4, "google.protobuf.Int64Value"),
            "thread_pool_name": (5, "google.protobuf.StringValue"),
            "allowed_batch_sizes": (6, "int64*"),
            "pad_variable_length_inputs": (7, "bool"),
            "enable_large_batch_splitting": (8, "google.protobuf.BoolValue"),
            "max_execution_batch_size": (9, "google.protobuf.Int64Value"),
        },
        "PrometheusConfig": {"enable": (1, "bool"), "path": (2, "string")},
        "MonitoringConfig": {"prometheus_config": (1, f"{_PACKAGE}.PrometheusConfig")},
    }
)


class ConfigTextError(ValueError):
    """The text is not valid; `line` and `column` count from 1."""

    def __init__(self, message: str, line: int, column: int) -> None:
        super().__init__(message)
        self.line = line
        self.column = column


def check_text(message_name: str, text: str) -> None:
    """Parse `text` as ModelServerConfig, BatchingParameters or MonitoringConfig; raises ConfigTextError."""
    try:
        text_format.Parse(text, _message(message_name))
    except text_format.ParseError as error:
        # "1:40 : 'the line': what is wrong" or "1:40 : what is wrong"
        problem = str(error).partition(" : ")[2] or str(error)
        if problem.startswith("'"):
            problem = problem.rpartition("': ")[2]
        raise ConfigTextError(problem, error.GetLine() or 1, error.GetColumn() or 1) from error


def field_names(message_name: str) -> tuple[str, ...]:
    """The fields of a message and of the messages inside it, for did-you-mean."""
    names: list[str] = []
    todo, seen = [_message(message_name).DESCRIPTOR], set()
    while todo:
        descriptor = todo.pop()
        if descriptor.full_name in seen:
            continue
        seen.add(descriptor.full_name)
        for field in descriptor.fields:
            names.append(field.name)
            if field.message_type is not None:
                todo.append(field.message_type)
    return tuple(names)


def unquoted(literal: str) -> str:
    """The text that a quoted literal of the text format stands for. Raises ValueError where an escape is none."""
    return text_encoding.CUnescape(literal[1:-1]).decode("utf-8", "replace")


def _message(name: str) -> Any:
    if name == "ModelServerConfig":
        return model_server_config_pb2.ModelServerConfig()
    return message_factory.GetMessageClass(_pool().FindMessageTypeByName(f"{_PACKAGE}.{name}"))()


@cache
def _pool() -> descriptor_pool.DescriptorPool:
    wrappers = descriptor_pb2.FileDescriptorProto()
    wrappers_pb2.DESCRIPTOR.CopyToProto(wrappers)
    file = descriptor_pb2.FileDescriptorProto(
        name="tfs_proxy/declared.proto", package=_PACKAGE, syntax="proto3", dependency=[wrappers.name]
    )
    for message_name, fields in _DECLARED.items():
        message = file.message_type.add(name=message_name)
        for name, (number, kind) in fields.items():
            bare = kind.removesuffix("*")
            field = message.field.add(name=name, number=number)
            field.label = _FieldProto.LABEL_REPEATED if bare != kind else _FieldProto.LABEL_OPTIONAL
            field.type = _KINDS[bare if "." not in bare else "message"]
            if "." in bare:
                field.type_name = f".{bare}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(wrappers)
    pool.Add(file)
    return pool
