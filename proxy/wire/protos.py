"""The one place that decides where TensorFlow and TF Serving message classes come from.

Law: everything else imports message classes from here, and nothing here runs TensorFlow.
`tensorflow_serving.apis.predict_pb2` imports `tensorflow.core.framework.tensor_pb2`; the ordinary import of
the `tensorflow` package costs seconds and half a gigabyte. So unless the real package is loaded already, a
bare namespace over its folder is registered under its name, and only the generated `_pb2` modules load. The
real runtime can then no longer be imported in this process: the dev server imports it first.

Where a package is not installed, its place is taken by what the proxy carries (only tfs-proxy-slim does). So no
message class is ever there twice, which protobuf would not have: of each package there is one set of modules, under
the names that their own imports use.
"""

import importlib.machinery
import importlib.util
import sys
import types
from pathlib import Path
from typing import Final

_CARRIED: Final = Path(__file__).parents[1] / "carried"


def _folders(name: str) -> list[str]:
    """Where the package is installed, else where it is carried; nowhere."""
    spec = importlib.util.find_spec(name)
    if spec is not None and spec.submodule_search_locations:
        return list(spec.submodule_search_locations)
    carried = _CARRIED / name
    return [str(carried)] if carried.is_dir() else []


def _register_bare(name: str) -> None:
    if name in sys.modules:
        return
    folders = _folders(name)
    if not folders:
        raise ModuleNotFoundError(
            "the protobuf modules of TensorFlow are missing: install tensorflow-serving-api with its dependencies, "
            "or tfs-proxy-slim"
        )
    package = types.ModuleType(name, "Bare namespace: only generated protobuf modules load.")
    package.__path__ = folders
    # A spec keeps importlib.util.find_spec(name) working for whoever asks later.
    package.__spec__ = importlib.machinery.ModuleSpec(name, loader=None, is_package=True)
    package.__spec__.submodule_search_locations = package.__path__
    sys.modules[name] = package


_register_bare("tensorflow")
_register_bare("tensorflow_serving")

# ruff: isort: off
from tensorflow.core.framework import tensor_pb2, tensor_shape_pb2, types_pb2
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    model_pb2,
    model_service_pb2,
    predict_pb2,
    prediction_service_pb2,
    regression_pb2,
)
# ruff: isort: on

__all__ = [
    "classification_pb2",
    "get_model_metadata_pb2",
    "get_model_status_pb2",
    "inference_pb2",
    "meta_graph_pb2",
    "model_management_pb2",
    "model_pb2",
    "model_service_pb2",
    "predict_pb2",
    "prediction_service_pb2",
    "regression_pb2",
    "saved_model_pb2",
    "tensor_pb2",
    "tensor_shape_pb2",
    "types_pb2",
]
