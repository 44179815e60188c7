"""Right requests whose leading dimensions disagree: what is no batch is not taken for one, before the real TensorFlow."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from proxy.wire.arrays import tensor_of
from proxy.wire.protos import predict_pb2
from tests.e2e.conftest import Client, wait_until_ready
from tests.proxy_process import running_proxy

MODELS = ("ragged", "nested", "sparse", "stacked", "retrieval")
MAX_BATCH = 4


def request(model: str, **inputs: np.ndarray) -> predict_pb2.PredictRequest:
    message = predict_pb2.PredictRequest()
    message.model_spec.name = model
    for alias, array in inputs.items():
        message.inputs[alias].CopyFrom(tensor_of(array))
    return message


def ragged(*lengths: int) -> predict_pb2.PredictRequest:
    """Rows of so many tokens each."""
    splits = np.cumsum([0, *lengths])
    return request("ragged", tokens=np.arange(splits[-1]), tokens_1=splits)


def sparse(rows: int, values: int) -> predict_pb2.PredictRequest:
    indices = np.array([[at // 10, at % 10] for at in range(values)], np.int64).reshape(-1, 2)
    ones = np.ones(values, np.float32)
    return request("sparse", features=indices, features_1=ones, features_2=np.array([rows, 10]))


def nested(*lengths: int) -> predict_pb2.PredictRequest:
    """Rows of so many sentences of three words each."""
    outer = np.cumsum([0, *lengths])
    inner = np.arange(outer[-1] + 1) * 3
    return request("nested", words=np.array([b"word"] * int(inner[-1])), words_1=outer, words_2=inner)


def stacked(layers: int, batch: int, time: int) -> predict_pb2.PredictRequest:
    return request(
        "stacked", state=np.ones((layers, batch, 8), np.float32), x=np.ones((batch, time, 4), np.float32)
    )


def retrieval(queries: int, items: int) -> predict_pb2.PredictRequest:
    return request(
        "retrieval", queries=np.ones((queries, 4), np.float32), items=np.ones((items, 4), np.float32)
    )


@pytest.fixture(params=[(), ("--max-batch", f"{MAX_BATCH}")], ids=["any batch", "at most 4"])
def fresh(request, dev_server, edge, connect: Callable[[str], Client]) -> Iterator[Client]:
    """A proxy that has seen no answer yet."""
    named = [flag for model in MODELS for flag in ("--model", model)]
    with running_proxy("--upstream", dev_server.target, *named, *edge, *request.param) as proxy:
        wait_until_ready(proxy)
        yield connect(proxy.target)


def served(client: Client, direct: Client, message: predict_pb2.PredictRequest) -> tuple[str, ...]:
    """The warnings behind the answer, which is the server's own."""
    answer, wanted = client.predict(message), direct.predict(message)
    assert (wanted.code, wanted.text) == ("OK", "")
    assert (answer.code, answer.text) == ("OK", "")
    assert answer.response == wanted.response
    return answer.warnings


def test_ragged_and_sparse_inputs_are_served_without_a_word_from_the_first_on(fresh, direct):
    for message in (ragged(2, 3), ragged(9), ragged(0, 0, 0), ragged(7, 0, 1, 1)):
        assert served(fresh, direct, message) == ()
    for message in (nested(2, 3), nested(9, 0, 1, 1)):
        assert served(fresh, direct, message) == ()
    for message in (sparse(4, 29), sparse(1, 7), sparse(4, 0)):
        assert served(fresh, direct, message) == ()


@pytest.mark.parametrize(
    ("first", "others"),
    [
        pytest.param(
            stacked(2, 3, 5), [stacked(3, 2, 1), stacked(9, 4, 2), stacked(2, 1, 1)], id="the state of an RNN"
        ),
        pytest.param(retrieval(1, 9), [retrieval(2, 50), retrieval(4, 3)], id="queries and items"),
    ],
)
def test_what_the_server_has_answered_is_warned_of_no_more(fresh, direct, first, others):
    (warning,) = served(fresh, direct, first)
    assert warning.startswith("BATCH_MISMATCH")
    for message in (first, *others, first):
        assert served(fresh, direct, message) == ()


def test_what_is_learnt_of_one_signature_is_no_licence_for_another(fresh, direct):
    served(fresh, direct, retrieval(1, 3))
    (warning,) = served(fresh, direct, stacked(2, 3, 5))
    assert warning.startswith("BATCH_MISMATCH")


def test_an_error_teaches_nothing(fresh, direct):
    # Its batches differ where they must not.
    wrong = request("stacked", state=np.ones((2, 3, 8), np.float32), x=np.ones((4, 1, 4), np.float32))
    assert direct.predict(wrong).code == "INVALID_ARGUMENT"
    for _ in range(3):
        assert fresh.predict(wrong).code == "INVALID_ARGUMENT"
    (warning,) = served(fresh, direct, stacked(2, 3, 5))
    assert warning.startswith("BATCH_MISMATCH")


@pytest.mark.parametrize("fresh", [("--max-batch", f"{MAX_BATCH}")], indirect=True)
@pytest.mark.parametrize(
    ("message", "size"),
    [
        pytest.param(ragged(1, 1, 1, 0, 0), 5, id="ragged"),
        pytest.param(stacked(9, 5, 1), 5, id="stacked"),
        pytest.param(retrieval(6, 7), 6, id="retrieval"),
    ],
)
def test_a_batch_is_too_large_where_every_leading_dimension_is(fresh, message, size):
    answer = fresh.predict(message)
    assert answer.reason == "BATCH_TOO_LARGE"
    assert f"expected a batch of at most 4, got {size}" in answer.text
