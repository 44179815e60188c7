"""The version that answered is found, and an answer kept whole, wherever the response is cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.types import ModelKey
from proxy.edge.native import kept_answer, served_version
from proxy.edge.native.kept_answer import keep_answer, message_in
from proxy.edge.native.served_version import ServedVersion, VersionSuffixes
from proxy.wire.protos import predict_pb2


def framed(message, flag=0):
    return bytes((flag,)) + len(message).to_bytes(4, "big") + message


def read(octets, cuts):
    served = ServedVersion()
    found = []
    turn = 0
    while octets:
        cut = cuts[turn % len(cuts)]
        turn += 1
        version = served.feed(memoryview(octets)[:cut])
        octets = octets[cut:]
        if version is not None:
            found.append(version)
    return found


cuts = st.lists(st.integers(1, 300), min_size=1, max_size=20)


@given(st.integers(0, 2**63 - 1), st.lists(st.integers(0, 400), max_size=4), cuts)
def test_the_version_is_found_however_the_response_is_cut(version, outputs, cuts):
    response = predict_pb2.PredictResponse()
    response.model_spec.name = "m"
    response.model_spec.version.value = version
    for number, size in enumerate(outputs):
        response.outputs[f"y{number}"].tensor_content = bytes(size)
    assert read(framed(response.SerializeToString()), cuts) == [version]


@given(st.binary(max_size=200), cuts)
def test_anything_else_is_passed_over(octets, cuts):
    assert len(read(octets, cuts)) <= 1


def test_a_response_without_a_version_or_compressed_says_nothing():
    response = predict_pb2.PredictResponse()
    response.outputs["y"].tensor_content = b"x"
    assert read(framed(response.SerializeToString()), [7]) == []
    response.model_spec.version.value = 3
    assert read(framed(response.SerializeToString(), flag=1), [7]) == []


def kept(*pieces):
    whole = b""
    for piece in pieces:
        whole = keep_answer(whole, piece)
    return bytes(message_in(whole))


def test_an_answer_that_is_kept_is_whole_however_it_was_cut():
    frame = b"\x00\x00\x00\x00\x05hello"
    for cut in range(len(frame) + 1):
        assert kept(frame[:cut], memoryview(frame)[cut:]) == b"hello"


@pytest.mark.parametrize(
    "frame", [b"", b"\x00\x00", b"\x00\x00\x00\x00\x05hell", b"\x01\x00\x00\x00\x05hello", b"\x00" * 6]
)
def test_an_answer_that_is_not_whole_or_is_compressed_is_not_kept(frame):
    assert kept(frame) == b""


def test_an_answer_that_is_huge_is_not_kept(set_constant):
    set_constant(kept_answer, "LARGEST", 8)
    assert kept(b"\x00\x00\x00\x00\x05", b"hell", b"o") == b""
    assert len(keep_answer(keep_answer(b"", bytes(9)), bytes(9))) == 1


KEY = ModelKey("m", None, None)


def scores(version, content=b"1234"):
    response = predict_pb2.PredictResponse()
    response.outputs["y"].tensor_content = content
    response.model_spec.name = "m"
    response.model_spec.version.value = version
    return framed(response.SerializeToString())


def test_a_response_of_the_same_version_is_known_again():
    suffixes = VersionSuffixes()
    assert not suffixes.fits(KEY, 3, scores(3))
    suffixes.learn(KEY, 3, scores(3))
    assert suffixes.fits(KEY, 3, scores(3, b"other content"))
    assert not suffixes.fits(KEY, 3, scores(4))
    assert not suffixes.fits(KEY, 4, scores(4))


def test_nothing_is_learned_from_a_part_of_a_response():
    suffixes = VersionSuffixes()
    suffixes.learn(KEY, 3, scores(3)[:-1])
    suffixes.learn(KEY, 3, b"\x00")
    suffixes.learn(KEY, 3, memoryview(scores(3)))
    assert not suffixes.fits(KEY, 3, scores(3)[:-1])
    assert not suffixes.fits(KEY, 3, scores(3))


def test_only_so_many_endings_are_remembered(set_constant):
    set_constant(served_version, "MOST_SUFFIXES", 10)
    suffixes = VersionSuffixes()
    for number in range(25):
        suffixes.learn(ModelKey(f"m{number}", None, None), 1, scores(1))
    assert len(suffixes) <= 10
    assert suffixes.fits(ModelKey("m24", None, None), 1, scores(1))
