"""Requests that users got wrong and were mended wrongly: what is told is obeyed, and the real runtime answers right.

A right answer means that the order of elements and inputs survived: each of these models answers otherwise if not.
"""

import json

import numpy as np
import pytest
from google.rpc import error_details_pb2, status_pb2
from tensorflow.core.example import example_pb2

from proxy.wire.arrays import tensor_of
from proxy.wire.mended import mended
from proxy.wire.protos import predict_pb2
from proxy.wire.tensors import array_of
from tests.judging import predict, tensor

PIXELS = np.random.default_rng(7).random((28, 28), np.float32)
SOUND = np.random.default_rng(7).random((40, 100), np.float32)
COLUMNS = {number: np.array([[number + 0.5]], np.float32) for number in range(30)}
TOKENS = np.arange(8)[None]


def sent(model, **arrays):
    return predict(model, **{alias: tensor_of(array) for alias, array in arrays.items()})


def told_to_machines(told):
    """The metadata of ErrorInfo."""
    for packed in status_pb2.Status.FromString(dict(told.answer.trailing)["grpc-status-details-bin"]).details:
        info = error_details_pb2.ErrorInfo()
        if packed.Unpack(info):
            return dict(info.metadata)
    raise AssertionError("no ErrorInfo")


def answer_to(request, enforcing):
    told = enforcing(request)
    assert told.code == "OK", told.words
    return array_of(predict_pb2.PredictResponse.FromString(told.answer.messages[0]).outputs["y"])


def keras(first, second, *, names=("keras_tensor_1", "keras_tensor_2")):
    values = (np.array([[value]], np.float32) for value in (first, second))
    return sent("keras", **dict(zip(names, values, strict=True)))


def columns(first):
    return sent("columns", **{f"f_{first + number:03}": column for number, column in COLUMNS.items()})


THE_MENDING = [
    # failure, what was sent, what was meant, words
    ("F105", sent("spectrogram", x=SOUND.T), sent("spectrogram", x=SOUND[None]), "np.transpose(x, (1,0))[None]"),
    ("F105", sent("spectrogram", x=SOUND.T[None]), sent("spectrogram", x=SOUND[None]), "np.transpose(x, (0,2,1))"),
    ("F106", sent("flat", x=PIXELS[None]), sent("flat", x=PIXELS.reshape(1, 784)), "np.reshape(x, (1,784))"),
    ("F106", sent("flat", x=PIXELS.reshape(784, 1)), sent("flat", x=PIXELS.reshape(1, 784)), "np.reshape(x, (1,784))"),
    ("F107", keras(7, 1, names=("keras_tensor", "keras_tensor_1")), keras(7, 1), "off by 1: send 'keras_tensor' as 'keras_tensor_1'"),
    ("F109", columns(1), columns(0), "off by 1: send 'f_001' as 'f_000'"),
    ("F109", columns(7), columns(0), "off by 7: send 'f_007' as 'f_000'"),
    ("F111", sent("column", age=np.float32(4)), sent("column", age=np.array([[4]], np.float32)), "one value: send [1,1]"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("failure", "wrong", "meant", "words"),
    THE_MENDING,
    ids=[f"{case[0]}-{n}" for n, case in enumerate(THE_MENDING)],
)
def test_the_mending_obeyed_brings_the_answer_that_was_wanted(enforcing, failure, wrong, meant, words):
    told = enforcing(wrong)
    assert told.code == "INVALID_ARGUMENT"
    assert words in told.words
    metadata = told_to_machines(told)
    assert metadata["certainty"] == "the"
    obeyed = mended(wrong, json.loads(metadata["steps"]))
    np.testing.assert_array_equal(answer_to(obeyed, enforcing), answer_to(meant, enforcing))


TO_CHOOSE = [
    # failure, what was sent, words, words that must not be there
    ("F106", sent("flat", x=PIXELS), "if this is one example", "pad"),
    ("F106", sent("flat", x=np.zeros((1, 100), np.float32)), "got [1,100]", "pad|reshape|send ["),
    ("F105", sent("spectrogram", x=np.zeros((2, 2000), np.float32)), "got rank 2 [2,2000]", "send [1,40,100]"),
    ("F108", sent("bert", input_word_ids=TOKENS, input_mask=TOKENS, input_type_ids=TOKENS), "expected 'attention_mask', 'input_ids', 'token_type_ids'", "did you mean"),
    ("F110", sent("examples", age=np.array([4], np.float32), hours=np.array([40], np.float32)), "takes serialised tf.train.Example: build one from these features and send it as 'examples'", "did you mean"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("failure", "wrong", "words", "never"),
    TO_CHOOSE,
    ids=[f"{case[0]}-{n}" for n, case in enumerate(TO_CHOOSE)],
)
def test_where_nothing_tells_what_was_meant_nothing_claims_to(enforcing, failure, wrong, words, never):
    told = enforcing(wrong)
    assert told.code == "INVALID_ARGUMENT"
    assert words in told.words
    assert not any(each in told.words for each in never.split("|")), told.words
    assert told_to_machines(told).get("certainty") != "the"


def test_f110_an_example_built_as_told_is_answered(enforcing):
    example = example_pb2.Example()
    example.features.feature["age"].float_list.value.append(4)
    obeyed = sent("examples", examples=np.array([example.SerializeToString()], object))
    np.testing.assert_array_equal(answer_to(obeyed, enforcing), [8])


def test_f121_one_value_for_many_elements_is_answered_with_a_warning(enforcing):
    told = enforcing(predict("twosig_def", x=tensor("float32", (5, 2), float_val=[1.0])))
    assert told.code == "OK"
    assert "PAYLOAD_SINGLE_VALUE" in told.words


@pytest.mark.parametrize(
    ("string", "words"),
    [
        (str(b"\x89PNG\r\n\x1a\n" + bytes(40)).encode(), "bytes written as Python text (str of bytes)"),
        (b"data:image/png;base64,iVBORw0KGgo=", "a data: URL"),
        (b"https://images.example/cat.jpg", "an address"),
        (b"/data/images/cat.jpg", "the path of a file"),
    ],
)
def test_f122_a_string_that_only_tells_where_the_image_is_is_named(observing, string, words):
    told = observing(predict("enc", image_bytes=tensor("string", (1,), string_val=[string])))
    assert told.code == "INVALID_ARGUMENT"
    assert f"the string holds {words}" in told.words
