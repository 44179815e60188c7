"""What fits a live signature, as text: client code in each language, and the tensors of a request as JSON.

Law: a listing in, plain data out. What an example sends is `client_code.request`'s business; that none can be written
is told in its words.
"""

import base64
import json
from collections.abc import Iterable
from importlib import import_module
from typing import Any, Final

from proxy.client_code.request import ExampleRequest, Input, NoExampleError, example_request
from proxy.client_code.server import Server
from proxy.core.types import DEFAULT_SIGNATURE, ModelKey, Servable
from proxy.observe.admin.views import ModelListing

LANGUAGES: Final = {
    "Python": "python",
    "Python, light": "python_light",
    "grpcurl": "grpcurl",
    "Node": "node",
    "Go": "go",
    "Java": "java",
}
"""As a person calls it, and the module of client_code that writes it."""

_UNKNOWN: Final = "No version of the model is known, so that there is no signature to write code for."
_MOST_VALUES: Final = 256
"""Of a tensor, one by one; of a larger one there is a single value, which fills its shape."""


def code_for(models: Iterable[ModelListing], model: str, signature: str, server: Server) -> dict[str, Any]:
    """Client code for a signature: by language, or why there is none; and what it takes from where it runs."""
    request = _request(models, model, signature, server)
    if isinstance(request, str):
        return {"languages": {}, "needs": [], "why_not": request}
    return {
        "languages": {
            name: import_module(f"proxy.client_code.{module}").render(request)
            for name, module in LANGUAGES.items()
        },
        "needs": list(server.needs()),
        "why_not": "",
    }


def inputs_for(models: Iterable[ModelListing], model: str, signature: str) -> dict[str, Any]:
    """The tensors of a request that fits, each as the JSON of a TensorProto; or why there are none."""
    request = _request(models, model, signature, Server(""))
    if isinstance(request, str):
        return {"inputs": [], "why_not": request}
    return {"inputs": [_tensor(each) for each in request.inputs], "why_not": ""}


def _request(
    models: Iterable[ModelListing], model: str, signature: str, server: Server
) -> ExampleRequest | str:
    servable = _newest(models, model)
    if servable is None:
        return _UNKNOWN
    name = None if signature in {"", DEFAULT_SIGNATURE} else signature
    try:
        return example_request(servable, ModelKey(model), name, server)
    except NoExampleError as error:
        return str(error)


def _newest(models: Iterable[ModelListing], model: str) -> Servable | None:
    found = (servable for each in models if each.name == model for servable in each.servables)
    return max(found, key=lambda each: each.version, default=None)


def _tensor(each: Input) -> dict[str, Any]:
    shape = {"dim": [{"size": str(size)} for size in each.dims]} if each.dims else {}
    text = json.dumps(
        {"dtype": each.proto_dtype, "tensorShape": shape, _field(each.dtype.field): _values(each)},
        indent=None,
    )
    # One part of the tensor a line: that is short and can be read.
    shown = text.replace('", "tensorShape"', '",\n "tensorShape"').replace('}, "', '},\n "')
    return {
        "alias": each.alias,
        "declared": each.declared,
        "note": "; ".join(filter(None, (each.note, _written(each), _filled(each)))),
        "json": shown,
        "rows": min(8, max(3, shown.count("\n") + 1 + len(shown) // 160)),
    }


def _values(each: Input) -> list[Any] | str:
    if each.numbers:
        return list(each.numbers)
    count = each.count if each.count <= _MOST_VALUES else 1
    if each.element is not None:
        return [base64.b64encode(each.element).decode()] * count
    if each.dtype.field == "float8_val":
        return base64.b64encode(bytes(count)).decode()
    zero: Any = False if each.dtype.name == "bool" else 0
    return [zero] * each.dtype.per_element * count


def _written(each: Input) -> str:
    if each.element is None:
        return ""
    return "JSON writes it in base64" + (f", here '{each.text}'" if each.text else "")


def _filled(each: Input) -> str:
    if each.numbers or each.count <= _MOST_VALUES:
        return ""
    return f"one value stands for all {each.count}, which is allowed and warned of"


def _field(name: str) -> str:
    """The name of a field in proto3's JSON."""
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)
