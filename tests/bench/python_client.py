"""A Python client that makes one call of Predict at a time and times each: `python_client.py ADDRESS REQUESTS SECONDS`.

Law: the same words in and out as upstream/client.cc. Prints the microseconds of every call, one per line; exit
code 1, with the reason on stderr, as soon as one call is not answered OK with exactly the answer.
"""

import struct
import sys
import time
from pathlib import Path

import grpc

PREDICT = "/tensorflow.serving.PredictionService/Predict"
OPTIONS = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.enable_http_proxy", 0),
)


def records(data: bytes) -> list[bytes]:
    found, at = [], 0
    while at < len(data):
        (length,) = struct.unpack_from("<I", data, at)
        found.append(data[at + 4 : at + 4 + length])
        at += 4 + length
    return found


def main(address: str, requests: str, seconds: str) -> None:
    parts = records(Path(requests).read_bytes())
    exchanges = list(zip(parts[::2], parts[1::2], strict=True))
    times: list[int] = []
    with grpc.insecure_channel(address, options=OPTIONS) as channel:
        predict = channel.unary_unary(PREDICT)
        end = time.monotonic() + float(seconds)
        # Every request at least once, however short the time.
        while len(times) < len(exchanges) or time.monotonic() < end:
            message, expected = exchanges[len(times) % len(exchanges)]
            began = time.perf_counter_ns()
            try:
                answer = predict(message)
            except grpc.RpcError as error:
                sys.exit(f"call {len(times)}: status {error.code().value[0]}: {error.details()}")
            times.append((time.perf_counter_ns() - began) // 1000)
            if answer != expected:
                sys.exit(f"call {len(times) - 1}: another answer than the server's")
    print(*times, sep="\n")


main(*sys.argv[1:])
