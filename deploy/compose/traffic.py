"""Send traffic to the models of make_models.py, nine good requests to one bad: traffic.py HOST:PORT [CALLS].

Without CALLS it goes on until it is stopped. The first answer to every kind of mistake is printed.
"""

import itertools
import random
import signal
import struct
import sys
import threading
from collections import Counter

import grpc

from proxy.wire.protos import predict_pb2, types_pb2

PER_SECOND = 20


def _request(model, alias, dtype, shape, content, signature=""):
    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = model, signature
    tensor = request.inputs[alias]
    tensor.dtype, tensor.tensor_content = dtype, content
    for size in shape:
        tensor.tensor_shape.dim.add(size=size)
    return request


def _floats(count):
    return struct.pack(f"<{count}f", *(random.random() for _ in range(count)))


def good():
    """A request as it should be."""
    if random.random() < 0.5:
        count = random.randint(1, 64)
        return _request("half_plus_two", "x", types_pb2.DT_FLOAT, [count], _floats(count))
    side = random.randint(8, 64)
    return _request(
        "brightness", "image", types_pb2.DT_UINT8, [1, side, side, 3], random.randbytes(side * side * 3)
    )


BAD = {
    "wrong dtype": lambda: _request(
        "half_plus_two", "x", types_pb2.DT_DOUBLE, [1], struct.pack("<d", random.random())
    ),
    "no batch dimension": lambda: _request("brightness", "image", types_pb2.DT_UINT8, [8, 8, 3], bytes(192)),
    "channels first": lambda: _request("brightness", "image", types_pb2.DT_UINT8, [1, 3, 8, 8], bytes(192)),
    "wrong alias": lambda: _request("half_plus_two", "x:0", types_pb2.DT_FLOAT, [1], _floats(1)),
    "too few bytes": lambda: _request("half_plus_two", "x", types_pb2.DT_FLOAT, [4], _floats(3)),
    "misspelt model": lambda: _request("half_plus_tow", "x", types_pb2.DT_FLOAT, [1], _floats(1)),
    "unknown signature": lambda: _request(
        "half_plus_two", "x", types_pb2.DT_FLOAT, [1], _floats(1), signature="predict"
    ),
}


def main(target, calls=None):
    """Send until `calls` are made or the process is asked to stop."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    codes = Counter()
    told = set()
    mistakes = itertools.cycle(BAD)
    with grpc.insecure_channel(target) as channel:
        predict = channel.unary_unary(
            "/tensorflow.serving.PredictionService/Predict",
            predict_pb2.PredictRequest.SerializeToString,
            predict_pb2.PredictResponse.FromString,
        )
        while not stop.is_set() and (calls is None or codes.total() < calls):
            mistake = next(mistakes) if codes.total() % 10 == 9 else ""
            try:
                predict(BAD[mistake]() if mistake else good(), timeout=5)
                codes["OK"] += 1
            except grpc.RpcError as error:
                codes[error.code().name] += 1
                if mistake not in told:
                    told.add(mistake)
                    print(
                        f"{mistake or 'a good request'}: {error.code().name}: {error.details()}", flush=True
                    )
            stop.wait(1 / PER_SECOND if calls is None else 0)
    print("sent", dict(codes), flush=True)


if __name__ == "__main__":
    if len(sys.argv) not in {2, 3}:
        raise SystemExit(__doc__)
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) == 3 else None)
