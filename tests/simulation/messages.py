"""The messages of a simulated world, each full of the number of its call, so that no octet can be another's."""

from functools import cache

from proxy.wire.protos import get_model_metadata_pb2, get_model_status_pb2, predict_pb2
from tests.fake_serving import signature_def

MODEL = "m"
FLOAT = 1


class Mark:
    """A call's number, as what fills its messages."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __repr__(self) -> str:
        return f"call {self.number}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Mark) and other.number == self.number

    def __hash__(self) -> int:
        return self.number

    def fill(self, size: int) -> bytes:
        """So many octets, a multiple of four."""
        return self.number.to_bytes(4, "big") * (size // 4)

    @staticmethod
    def read(data: bytes) -> "Mark":
        """Whose it is. Raises ValueError when it is not one call's."""
        if len(data) < 4 or data != data[:4] * (len(data) // 4):
            raise ValueError("octets of several calls, or of none")
        return Mark(int.from_bytes(data[:4], "big"))


def predict(mark: Mark, width: int, rows: int) -> bytes:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = MODEL
    tensor = request.inputs["x"]
    tensor.dtype = FLOAT
    for size in (rows, width):
        tensor.tensor_shape.dim.add(size=size)
    tensor.tensor_content = mark.fill(4 * rows * width)
    return request.SerializeToString()


def read_predict(message: bytes) -> tuple[Mark, int]:
    request = predict_pb2.PredictRequest.FromString(message)
    tensor = request.inputs["x"]
    return Mark.read(tensor.tensor_content), tensor.tensor_shape.dim[1].size


@cache
def metadata(version: int, width: int) -> bytes:
    signature = signature_def({"x": (FLOAT, (-1, width))}, {"y": (FLOAT, (-1,))})
    answer = get_model_metadata_pb2.GetModelMetadataResponse()
    answer.model_spec.name = MODEL
    answer.model_spec.version.value = version
    answer.metadata["signature_def"].Pack(
        get_model_metadata_pb2.SignatureDefMap(signature_def={"serving_default": signature})
    )
    return answer.SerializeToString()


def status(version: int) -> bytes:
    answer = get_model_status_pb2.GetModelStatusResponse()
    answer.model_version_status.add(version=version, state=30)
    return answer.SerializeToString()
