"""What TensorFlow itself makes of serialised TensorProtos: a process of its own, since TensorFlow runs in it.

Reads from standard input: for each tensor its length in four bytes, big-endian, and its bytes. Answers each with a
line of JSON: null where TensorFlow cannot parse it, else {"shape": [...], "data": hex} or, for strings,
{"shape": [...], "strings": [hex, ...]}.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from proxy.devserver.runtime import Tensor, TensorFlowError

DT_STRING = 7


def messages(data: bytes) -> Iterator[bytes]:
    pos = 0
    while pos < len(data):
        start = pos + 4
        pos = start + int.from_bytes(data[pos:start])
        yield data[start:pos]


def answer(message: bytes) -> dict[str, object] | None:
    try:
        tensor = Tensor.from_proto(message)
    except TensorFlowError:
        return None
    if 0 in tensor.shape:  # without elements there is no memory to look at
        return {"shape": tensor.shape, "data": "", "strings": []}
    if tensor.dtype == DT_STRING:
        return {"shape": tensor.shape, "strings": [each.hex() for each in tensor.strings]}
    return {"shape": tensor.shape, "data": bytes(tensor.values("B")).hex()}


if __name__ == "__main__":
    for message in messages(sys.stdin.buffer.read()):
        print(json.dumps(answer(message)))
