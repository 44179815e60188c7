"""What a user would build without a proxy of ours: a service that Envoy's ext_proc filter asks, with our gate.

`ext_proc.py LISTEN UPSTREAM XDS_PROTOS`. Envoy buffers the body of each Predict, sends it here over one stream
per call, and waits for the verdict. XDS_PROTOS is where the package xds-protos is installed.
"""

import sys

import google.protobuf  # noqa: F401  before the path grows: xds-protos has a `google` of its own
import grpc.aio
import uvloop

from proxy.core.policy import Policies
from proxy.gate import PREDICT, Gate, Message, Refuse
from proxy.upstream.channel import open_channel
from proxy.upstream.control import ChannelControl
from proxy.upstream.signatures import SignatureCache

UNLIMITED = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
GRPC_PREFIX = 5


async def main(listen, upstream, xds_protos):
    sys.path.append(xds_protos)
    from envoy.service.ext_proc.v3 import external_processor_pb2 as ext_proc

    gate = Gate(SignatureCache(ChannelControl(open_channel(upstream))), Policies())
    passes = ext_proc.ProcessingResponse(request_body=ext_proc.BodyResponse())

    def refused(status):
        answer = ext_proc.ImmediateResponse(grpc_status={"status": status.code}, details=status.text)
        return ext_proc.ProcessingResponse(immediate_response=answer)

    async def process(requests, context):
        async for request in requests:
            message = request.request_body.body[GRPC_PREFIX:]
            decision = gate.judge_now(Message(PREDICT, message)) or await gate.judge(
                Message(PREDICT, message)
            )
            yield refused(decision.status) if isinstance(decision, Refuse) else passes

    handler = grpc.stream_stream_rpc_method_handler(
        process, ext_proc.ProcessingRequest.FromString, ext_proc.ProcessingResponse.SerializeToString
    )
    server = grpc.aio.server(options=UNLIMITED)
    server.add_generic_rpc_handlers(
        [
            grpc.method_handlers_generic_handler(
                "envoy.service.ext_proc.v3.ExternalProcessor", {"Process": handler}
            )
        ]
    )
    server.add_insecure_port(listen)
    await server.start()
    await server.wait_for_termination()


uvloop.run(main(*sys.argv[1:]))
