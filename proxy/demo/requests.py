"""What the demonstration sends: correct requests, and the mistakes that people report most.

Law: data and how to build it. `reason` and `warning` are what the proxy should say, never what is shown: the
demonstration fails when they differ. The order is that of the story; the request that kills the server is
the last but one, so that the last can show that both are alive again. The mistakes are those catalogued in
the reports of TF Serving's users (`About.failures` in core/reasons.py): names, dtypes and encodings,
payloads, shapes, models and versions.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from proxy.core.reasons import Reason
from proxy.wire.arrays import tensor_of
from proxy.wire.protos import predict_pb2, tensor_pb2, types_pb2

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class Sample:
    """One request of the demonstration.

    `title` says what is sent, in a few words. `reason`: the proxy should refuse it, with this as the first;
    `warning`: it should forward it and warn of this; neither: the request is right.
    """

    title: str
    build: Callable[[], predict_pb2.PredictRequest]
    reason: Reason | None = None
    warning: Reason | None = None


def image() -> Array:
    """A red square on black, uint8 [1,120,160,3]: the detector finds it."""
    pixels = np.zeros((1, 120, 160, 3), np.uint8)
    pixels[:, 30:90, 40:100, 0] = 230
    return pixels


def photo() -> Array:
    """An all-red picture for the classifier, float32 [1,300,300,3] in 0 to 1."""
    pixels = np.zeros((1, 300, 300, 3), np.float32)
    pixels[..., 0] = 0.9
    return pixels


def two_colours() -> Array:
    """A red and a green picture, float32 [2,150,300,3]: half as high as the classifier wants."""
    pixels = np.zeros((2, 150, 300, 3), np.float32)
    pixels[0, ..., 0] = pixels[1, ..., 1] = 0.9
    return pixels


def words(*texts: str) -> Array:
    """DT_STRING [n]."""
    return np.array([text.encode() for text in texts or ("great service", "slow and bad")], dtype=object)


def ids(rows: int = 2) -> Array:
    """int64 [rows,4]."""
    return np.arange(4 * rows, dtype=np.int64).reshape(rows, 4)


def _request(
    model: str,
    inputs: Mapping[str, Array | tensor_pb2.TensorProto],
    *,
    signature: str = "",
    version: int | None = None,
    outputs: Sequence[str] = (),
) -> Callable[[], predict_pb2.PredictRequest]:
    def build() -> predict_pb2.PredictRequest:
        request = predict_pb2.PredictRequest(output_filter=outputs)
        request.model_spec.name = model
        request.model_spec.signature_name = signature
        if version is not None:
            request.model_spec.version.value = version
        for alias, value in inputs.items():
            tensor = value if isinstance(value, tensor_pb2.TensorProto) else tensor_of(value)
            request.inputs[alias].CopyFrom(tensor)
        return request

    return build


def _edited(array: Array, edit: Callable[[Any], None]) -> tensor_pb2.TensorProto:
    """The tensor of `array`, as a client of its own making got it wrong."""
    tensor = tensor_of(array)
    edit(tensor)
    return tensor


def _without_dtype(tensor: Any) -> None:
    tensor.dtype = types_pb2.DT_INVALID


def _without_values(tensor: Any) -> None:
    tensor.ClearField("tensor_content")


def _cut_in_half(tensor: Any) -> None:
    tensor.tensor_content = tensor.tensor_content[: len(tensor.tensor_content) // 2]


def _in_int_val(tensor: Any) -> None:
    tensor.ClearField("tensor_content")
    tensor.int_val.extend([1] * (300 * 300 * 3))


def _too_few_values(tensor: Any) -> None:
    tensor.ClearField("tensor_content")
    tensor.int64_val.extend(range(6))


_JPEG_HEAD: Final = bytes.fromhex("ffd8ffe000104a46494600010100000100010000ffdb")

GOOD: Final = (
    Sample("a picture", _request("detector", {"image_tensor": image()})),
    Sample("a batch of 4 pictures", _request("detector", {"image_tensor": image().repeat(4, 0)})),
    Sample("a picture of 300x300 floats", _request("classifier", {"images": photo()})),
    Sample("two texts with their ids", _request("text", {"text": words(), "ids": ids()})),
)

NAMES: Final = (
    Sample("another input name", _request("detector", {"image": image()}), Reason.INPUT_UNKNOWN),
    Sample("input name in other case", _request("detector", {"Image_Tensor": image()}), Reason.INPUT_UNKNOWN),
    Sample(
        "the graph's name for the input",
        _request("detector", {"serving_default_image_tensor:0": image()}),
        Reason.INPUT_UNKNOWN,
    ),
    Sample("an input forgotten", _request("text", {"text": words()}), Reason.INPUT_MISSING),
    Sample(
        "a signature that is not there",
        _request("detector", {"image_tensor": image()}, signature="predict_images"),
        Reason.SIGNATURE_NOT_FOUND,
    ),
    Sample(
        "an output that is not there",
        _request("detector", {"image_tensor": image()}, outputs=["scores"]),
        Reason.OUTPUT_UNKNOWN,
    ),
)

DTYPES_AND_PAYLOADS: Final = (
    Sample(
        "floats where uint8 is wanted",
        _request("detector", {"image_tensor": (image() / 255).astype(np.float32)}),
        Reason.DTYPE_MISMATCH,
    ),
    Sample(
        "int32 where int64 is wanted",
        _request("text", {"text": words(), "ids": ids().astype(np.int32)}),
        Reason.DTYPE_MISMATCH,
    ),
    Sample(
        "a JPEG where pixels are wanted",
        _request("classifier", {"images": np.array([_JPEG_HEAD], dtype=object)}),
        Reason.DTYPE_MISMATCH,
    ),
    Sample(
        "two inputs swapped",
        _request("text", {"text": ids(), "ids": words()}),
        Reason.DTYPE_MISMATCH,
    ),
    Sample(
        "dtype not set",
        _request("classifier", {"images": _edited(photo(), _without_dtype)}),
        Reason.DTYPE_INVALID,
    ),
    Sample(
        "half of the bytes",
        _request("classifier", {"images": _edited(photo(), _cut_in_half)}),
        Reason.PAYLOAD_LENGTH_MISMATCH,
    ),
    Sample(
        "a shape but no values",
        _request("classifier", {"images": _edited(photo(), _without_values)}),
        Reason.PAYLOAD_MISSING,
    ),
    Sample(
        "floats written into int_val",
        _request("classifier", {"images": _edited(photo(), _in_int_val)}),
        Reason.PAYLOAD_FIELD_MISMATCH,
    ),
    Sample(
        "6 values for 8 elements",
        _request("text", {"text": words(), "ids": _edited(ids(), _too_few_values)}),
        Reason.PAYLOAD_COUNT_MISMATCH,
    ),
)

SHAPES: Final = (
    Sample(
        "a picture not resized: 150x600",
        _request("classifier", {"images": photo().reshape(1, 150, 600, 3)}),
        Reason.SHAPE_MISMATCH,
    ),
    Sample(
        "two pictures of half the height",
        _request("classifier", {"images": two_colours()}),
        Reason.SHAPE_MISMATCH,
    ),
    Sample(
        "channels first",
        _request("detector", {"image_tensor": image().transpose(0, 3, 1, 2)}),
        Reason.SHAPE_MISMATCH,
    ),
    Sample(
        "one text, three rows of ids",
        _request("text", {"text": words("great service"), "ids": ids(3)}),
        warning=Reason.BATCH_MISMATCH,
    ),
)

MODELS: Final = (
    Sample("a model name misspelt", _request("detecter", {"image_tensor": image()}), Reason.MODEL_NOT_FOUND),
    Sample(
        "a model name in other case", _request("Detector", {"image_tensor": image()}), Reason.MODEL_NOT_FOUND
    ),
    Sample(
        "a version that is not loaded",
        _request("detector", {"image_tensor": image()}, version=7),
        Reason.VERSION_NOT_FOUND,
    ),
)

DEADLY: Final = (
    Sample(
        "a picture without its batch dimension",
        _request("classifier", {"images": photo()[0]}),
        Reason.RANK_MISMATCH,
    ),
    Sample("a correct one again", _request("classifier", {"images": photo()})),
)

SAMPLES: Final = (*GOOD, *NAMES, *DTYPES_AND_PAYLOADS, *SHAPES, *MODELS, *DEADLY)
"""In the order in which they are sent."""
