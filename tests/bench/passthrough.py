"""The bare grpc.aio pass-through: `passthrough.py LISTEN UPSTREAM`. Judges, counts and promises nothing."""

import sys

import grpc.aio
import uvloop

UNLIMITED = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]


class Relay(grpc.GenericRpcHandler):
    def __init__(self, channel):
        self.channel = channel

    def service(self, details):
        forward = self.channel.unary_unary(details.method)

        async def handler(request, context):
            return await forward(request, timeout=context.time_remaining())

        return grpc.unary_unary_rpc_method_handler(handler)


async def main(listen, upstream):
    server = grpc.aio.server(options=UNLIMITED)
    server.add_generic_rpc_handlers([Relay(grpc.aio.insecure_channel(upstream, options=UNLIMITED))])
    server.add_insecure_port(listen)
    await server.start()
    await server.wait_for_termination()


uvloop.run(main(*sys.argv[1:]))
