"""A refusal fits into metadata, is one line of printable ASCII, and shows nothing of a payload."""

from google.rpc import status_pb2
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.policy import Policies
from proxy.core.types import DTYPES, Servable, Signature, TensorSpec
from proxy.gate import Gate, Refuse
from proxy.wire.protos import predict_pb2
from proxy.wire.status import DETAILS_BUDGET, TEXT_BUDGET
from tests.judging import FixedSignatures, decide

SECRET = b"s3cr3t-p4yl04d"
SECRET_NUMBER = 987654321

nasty = st.one_of(
    st.text(st.characters(exclude_categories=("Cs",)), max_size=300),
    st.sampled_from(
        ("\r\ngrpc-status: 0", "\x00\x1b[31m", "漢字" * 600, "x" * 5000, "\\" * 400, "'", "%0a", "\u202e")
    ),
)
dtypes = st.sampled_from((0, *DTYPES, 101, 999))
dims = st.lists(st.sampled_from((-1, 0, 1, 3, 2**62)), max_size=5)


@st.composite
def bad_requests(draw: st.DrawFn) -> tuple[Servable, bytes]:
    """A request of which little is right, with a mark in every payload, and a servable with names as odd."""
    shapes = st.none() | dims.map(lambda sizes: tuple(max(size, -1) for size in sizes))
    aliases = draw(st.lists(nasty, min_size=1, max_size=4, unique=True))
    inputs = {alias: TensorSpec(alias, draw(dtypes), draw(shapes), draw(nasty)) for alias in aliases}
    name = draw(st.sampled_from(("serving_default", "漢字" * 200)))
    signature = Signature(name, draw(nasty), inputs, {draw(nasty): TensorSpec("", 1, None)})
    model = draw(nasty.filter(bool))
    request = predict_pb2.PredictRequest(output_filter=draw(st.lists(nasty, max_size=3)))
    request.model_spec.name = draw(st.sampled_from((model, model, model, f"{model}!")))
    request.model_spec.signature_name = draw(st.sampled_from((name, name, "", "x" * 3000)))
    if draw(st.integers(0, 5)) == 0:
        request.model_spec.version_label = draw(nasty)
    for alias in draw(st.lists(st.sampled_from(aliases) | nasty, max_size=5)):
        tensor = request.inputs[alias]
        tensor.dtype = draw(dtypes)
        for size in draw(dims):
            tensor.tensor_shape.dim.add(size=size, name=SECRET.decode())
        tensor.string_val.extend([SECRET] * draw(st.integers(0, 2)))
        tensor.int_val.extend([SECRET_NUMBER] * draw(st.integers(0, 2)))
        tensor.float_val.extend([SECRET_NUMBER] * draw(st.integers(0, 2)))
        tensor.tensor_content = SECRET * draw(st.integers(0, 1))
    for number in range(draw(st.sampled_from((0, 0, 0, 0, 60, 1000)))):
        request.inputs[f"unknown {number}"].dtype = 1
    return Servable(model, 1, {name: signature}), request.SerializeToString()


@given(bad_requests())
def test_every_refusal_is_short_printable_and_silent_about_payloads(case):
    servable, message = case
    decision = decide(Gate(FixedSignatures(servable), Policies()), message)
    if not isinstance(decision, Refuse):
        return
    code, text, details = decision.status
    assert code == decision.verdict.status_code
    assert 0 < len(text.encode()) <= TEXT_BUDGET
    assert all(" " <= character <= "~" for character in text)
    assert len(details) <= DETAILS_BUDGET
    status = status_pb2.Status.FromString(details)
    assert (status.code, status.message) == (code, text)
    for shown in (text.encode(), details):
        assert SECRET not in shown
        assert str(SECRET_NUMBER).encode() not in shown
