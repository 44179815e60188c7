"""A client that knows no service before it asks: `python client_reflection.py ADDRESS`.

It finds the method and its messages by grpcio-reflection's own client, puts the request into JSON and out of it again, as
grpcurl does, and looks up what stands in the details of a status.
"""

import sys
from typing import Any

import grpc
from google.protobuf import json_format, message_factory
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.descriptor_pool import DescriptorPool
from google.rpc import status_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from tests.clients.client_python import OPTIONS
from tests.clients.telling import Told, answer, hello, read


def play(channel: grpc.Channel, pool: DescriptorPool, told: Told) -> str:
    _, service, name = told.path.split("/")
    method = pool.FindServiceByName(service).FindMethodByName(name)
    request, response = (
        message_factory.GetMessageClass(each) for each in (method.input_type, method.output_type)
    )
    text = json_format.MessageToJson(request.FromString(told.messages[0]), descriptor_pool=pool)
    stub = channel.unary_unary(
        told.path, request_serializer=request.SerializeToString, response_deserializer=response.FromString
    )
    how: dict[str, Any] = {"compression": grpc.Compression.Gzip} if told.gzip else {}
    call: Any = stub.future(
        json_format.Parse(text, request(), descriptor_pool=pool),
        timeout=told.timeout,
        metadata=told.metadata,
        **how,
    )
    messages = []
    try:
        messages.append(call.result().SerializeToString(deterministic=True))
    except grpc.RpcError:
        for key, value in call.trailing_metadata():
            if key == "grpc-status-details-bin":
                _look_up(pool, value)
    return answer(
        told,
        call.code().value[0],
        call.details(),
        messages,
        call.initial_metadata(),
        call.trailing_metadata() or (),
    )


def _look_up(pool: DescriptorPool, value: bytes) -> None:
    """Every detail is of a type that reflection tells, and can be read."""
    detail: AnyMessage
    for detail in status_pb2.Status.FromString(value).details:
        kind = message_factory.GetMessageClass(pool.FindMessageTypeByName(detail.TypeName()))
        kind.FromString(detail.value)


def main() -> None:
    hello(f"grpcio-reflection, grpcio {grpc.__version__}")
    with grpc.insecure_channel(sys.argv[1], OPTIONS) as channel:
        pool = DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
        for line in sys.stdin:
            print(play(channel, pool, read(line)), flush=True)


if __name__ == "__main__":
    main()
