"""What a person is told of a request that was tried: the verdict, and the first values of an answer."""

import pytest

from proxy.core.policy import Policies
from proxy.gate import Gate
from proxy.trial import Trials
from proxy.upstream.control import ControlError
from proxy.wire.protos import predict_pb2, tensor_pb2
from tests.judging import FixedSignatures, predict, servable, signature, tensor

SERVABLE = servable(signature({"x": ("float32", (-1, 3))}))
FITS = predict(x=tensor("float32", (1, 3))).SerializeToString()
WRONG = predict(x=tensor("float32", (3,))).SerializeToString()


class Server:
    """Answers with one message, or fails; counts what it was sent."""

    def __init__(self, answer: bytes | ControlError = b"") -> None:
        self.sent: list[tuple[str, bytes]] = []
        self._answer = answer

    async def ask(self, method: str, message: bytes, timeout: float) -> bytes:
        self.sent.append((method, message))
        if isinstance(self._answer, ControlError):
            raise self._answer
        return self._answer


def trials(server: Server, *, may_send: bool = True) -> Trials:
    return Trials(Gate(FixedSignatures(SERVABLE), Policies()), server, may_send=may_send)


def response(**outputs: tensor_pb2.TensorProto) -> bytes:
    message = predict_pb2.PredictResponse()
    for alias, each in outputs.items():
        message.outputs[alias].CopyFrom(each)
    return message.SerializeToString()


async def test_the_verdict_is_told_in_full():
    server = Server()
    told = await trials(server).attempt(WRONG, True)
    assert (told["verdict"], told["code"]) == ("refuse", "INVALID_ARGUMENT")
    assert [each["reason"] for each in told["violations"]] == ["RANK_MISMATCH"]
    assert told["mending"]["steps"] == [{"do": "expand_dims", "input": "x", "axis": 0}]
    assert server.sent == [], "what is refused is not sent"


@pytest.mark.parametrize(("may_send", "send"), [(False, True), (True, False), (False, False)])
async def test_nothing_is_sent_unless_it_is_allowed_and_asked_for(may_send, send):
    server = Server(response())
    told = await trials(server, may_send=may_send).attempt(FITS, send)
    assert told["verdict"] == "forward"
    assert "answer" not in told
    assert server.sent == []


@pytest.mark.parametrize(
    ("output", "shape", "values", "more"),
    [
        (tensor("float32", (2,), float_val=[0.25, 1e-9]), "float32[2]", ["0.25", "1e-09"], False),
        (tensor("float32", (3,)), "float32[3]", ["0", "0", "0"], False),
        (tensor("int64", (20,), int64_val=range(20)), "int64[20]", [str(each) for each in range(8)], True),
        (tensor("uint8", (9,)), "uint8[9]", ["0"] * 8, True),
        (tensor("bool", (1,), bool_val=[True]), "bool[1]", ["True"], False),
        (
            tensor("string", (1,), string_val=[b"caf\xc3\xa9 \xff\n"]),
            "string[1]",
            [r"'caf\xe9 \\xff\n'"],
            False,
        ),
        (tensor("float16", (1,), half_val=[15360]), "float16[1]", ["not shown"], False),
        (tensor("bfloat16", (2,)), "bfloat16[2]", ["not shown"], False),
        (tensor("float32", (0,), float_val=[]), "float32[0]", [], False),
    ],
)
async def test_of_an_answer_the_first_values_are_told(output, shape, values, more):
    told = (await trials(Server(response(y=output))).attempt(FITS, True))["answer"]
    assert told["outputs"] == [{"alias": "y", "tensor": shape, "values": values, "more": more}]
    assert told["seconds"] >= 0
    assert told["problem"] == ""


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (ControlError(14, "gone"), "UNAVAILABLE: gone"),
        (ControlError(2, "odd"), "code 2: odd"),
        (b"\xff\xff", "the answer is no PredictResponse"),
    ],
)
async def test_a_failure_of_the_server_is_told(answer, problem):
    told = (await trials(Server(answer)).attempt(FITS, True))["answer"]
    assert told["problem"] == problem
