"""The version that answered is found wherever the response is cut."""

from hypothesis import given
from hypothesis import strategies as st

from proxy.edge.native.served import ServedVersion
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
