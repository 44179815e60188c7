"""An add-on for mitmproxy that checks dtype and shape of every PredictRequest; for mitmproxy's own environment.

SIGNATURES and DESCRIPTORS in the environment are the files that the bench writes. Both sides speak HTTP/2
without TLS, which mitmproxy does when it takes ALPN for settled: the cheapest way through it.
"""

import json
import os
from pathlib import Path

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from mitmproxy import http

PREDICT = "/tensorflow.serving.PredictionService/Predict"
GRPC_PREFIX = 5
INVALID_ARGUMENT = "3"


def _predict_request():
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(
        Path(os.environ["DESCRIPTORS"]).read_bytes()
    ).file:
        pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("tensorflow.serving.PredictRequest"))


class SignatureCheck:
    def __init__(self):
        self.signatures = json.loads(Path(os.environ["SIGNATURES"]).read_text())
        self.parse = _predict_request().FromString

    def client_connected(self, client):
        client.alpn = b"h2"

    def server_connected(self, data):
        data.server.alpn = b"h2"

    def request(self, flow):
        if flow.request.path != PREDICT:
            return
        problem = self.problem(self.parse(flow.request.raw_content[GRPC_PREFIX:]))
        if problem:
            headers = {
                "content-type": "application/grpc",
                "grpc-status": INVALID_ARGUMENT,
                "grpc-message": problem,
            }
            flow.response = http.Response.make(200, b"", headers)

    def problem(self, request):
        signature = self.signatures.get(request.model_spec.name)
        if signature is None:
            return None
        if signature.keys() != request.inputs.keys():
            return "the inputs are not those of the signature"
        for alias, (dtype, shape) in signature.items():
            tensor = request.inputs[alias]
            sizes = [dim.size for dim in tensor.tensor_shape.dim]
            if tensor.dtype != dtype:
                return f"{alias} has another dtype than the signature"
            if len(sizes) != len(shape) or any(
                want not in {-1, got} for want, got in zip(shape, sizes, strict=True)
            ):
                return f"{alias} has another shape than the signature"
        return None


addons = [SignatureCheck()]
