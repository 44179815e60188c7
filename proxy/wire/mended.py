"""PredictRequest and the steps of a mending → the request that they yield.

Law: obeys steps in their machine-readable form (`proxy/core/mending/remedies.py`) to the letter and judges nothing.
Never invents, rounds away or drops a value: what a step cannot do without that is refused. For commands, not for
traffic; numpy is imported on use.
"""

from collections.abc import Iterable, Mapping
from math import prod
from typing import Any, Final

from proxy.core.explain import quote
from proxy.core.types import DTYPES, DType
from proxy.wire.protos import predict_pb2, tensor_pb2
from proxy.wire.tensors import numpy_dtype, values_of

_BY_NAME: Final = {kind.name: kind for kind in DTYPES.values()}
_KEEPS_THE_ORDER: Final = frozenset({"expand_dims", "squeeze", "reshape", "set_shape"})
_MOST_ELEMENTS: Final = 2**28


class CannotApplyError(ValueError):
    """The step cannot be obeyed on this request; the text says why."""


def mended(
    request: predict_pb2.PredictRequest, steps: Iterable[Mapping[str, Any]]
) -> predict_pb2.PredictRequest:
    """A copy of `request` after `steps`, each as `Step.form()` gives it; payloads keep their encoding.

    Raises CannotApplyError, the message being for people.
    """
    result = predict_pb2.PredictRequest.FromString(request.SerializeToString())
    dropped: list[int] = []
    for step in steps:
        match step:
            case {"do": "rename_inputs", "names": names}:
                _rename(result, names)
            case {"do": "drop_input", "input": alias}:
                _tensor(result, alias)
                del result.inputs[alias]
            case {"do": "set_signature", "name": name}:
                result.model_spec.signature_name = name
            case {"do": "rename_output", "index": index, "to": name}:
                result.output_filter[index] = name
            case {"do": "drop_output", "index": index}:
                # Indices are those of the request as it was.
                dropped.append(index)
            case {"do": _, "input": alias}:
                _in_tensor(_tensor(result, alias), alias, step)
            case _:
                raise CannotApplyError(_by_hand(step))
    for index in sorted(set(dropped), reverse=True):
        del result.output_filter[index]
    return result


def _by_hand(step: Mapping[str, Any]) -> str:
    return f"{str(step.get('do')).replace('_', ' ')}: only whoever made the request can do that"


def _tensor(request: predict_pb2.PredictRequest, alias: str) -> tensor_pb2.TensorProto:
    if alias not in request.inputs:
        raise CannotApplyError(f"there is no input {quote(alias)}")
    return request.inputs[alias]


def _rename(request: predict_pb2.PredictRequest, names: Mapping[str, str]) -> None:
    kept = request.inputs.keys() - names.keys()
    taken = [to for to in names.values() if to in kept]
    if taken or len(set(names.values())) != len(names):
        raise CannotApplyError("two inputs would have one alias")
    moved = {}
    for alias, to in names.items():
        moved[to] = _tensor(request, alias).SerializeToString()
    for alias in names:
        del request.inputs[alias]
    for to, tensor in moved.items():
        request.inputs[to].MergeFromString(tensor)


def _in_tensor(proto: tensor_pb2.TensorProto, alias: str, step: Mapping[str, Any]) -> None:
    dims = tuple(dim.size for dim in proto.tensor_shape.dim)
    do = step["do"]
    if do in _KEEPS_THE_ORDER:
        wanted = _dims_after(step, dims)
        if do != "set_shape" and prod(wanted) != prod(dims):
            raise CannotApplyError(f"input {quote(alias)} does not hold as many values")
        _set_dims(proto, wanted)
    elif do == "transpose":
        _transpose(proto, alias, dims, step["axes"])
    elif do == "cast":
        _cast(proto, alias, _BY_NAME[step["dtype"]])
    elif do == "set_dtype":
        proto.dtype = _BY_NAME[step["dtype"]].number
    elif do == "move_values":
        _move(proto, alias, step["source"], step["target"])
    else:
        raise CannotApplyError(f"input {quote(alias)}: {_by_hand(step)}")


# === shapes ===


def _dims_after(step: Mapping[str, Any], dims: tuple[int, ...]) -> tuple[int, ...]:
    if step["do"] == "expand_dims":
        return (*dims[: step["axis"]], 1, *dims[step["axis"] :])
    if step["do"] == "squeeze":
        return (*dims[: step["axis"]], *dims[step["axis"] + 1 :])
    return tuple(step["shape"])


def _set_dims(proto: tensor_pb2.TensorProto, dims: tuple[int, ...]) -> None:
    proto.tensor_shape.Clear()
    proto.tensor_shape.SetInParent()
    for size in dims:
        proto.tensor_shape.dim.add(size=size)


def _transpose(proto: tensor_pb2.TensorProto, alias: str, dims: tuple[int, ...], axes: list[int]) -> None:
    import numpy as np  # not needed to run the proxy

    kind = DTYPES[proto.dtype]
    _set_dims(proto, tuple(dims[axis] for axis in axes))
    if proto.tensor_content and not kind.size:
        raise CannotApplyError(f"input {quote(alias)} has its strings in tensor_content")
    field = getattr(proto, kind.field)
    if not proto.tensor_content and len(field) <= kind.per_element:
        return  # one value for every element, or none at all
    if prod(dims) > _MOST_ELEMENTS:
        raise CannotApplyError(f"input {quote(alias)} is too large")
    order = np.arange(prod(dims)).reshape(dims).transpose(axes).ravel()
    if proto.tensor_content:
        proto.tensor_content = np.frombuffer(proto.tensor_content, f"V{kind.size}")[order].tobytes()
    elif kind.field == "float8_val":
        proto.float8_val = np.frombuffer(field, "u1")[order].tobytes()
    else:
        each = kind.per_element
        values = [field[each * at + part] for at in order.tolist() for part in range(each)]
        proto.ClearField(kind.field)
        getattr(proto, kind.field).extend(values)


# === values ===


def _cast(proto: tensor_pb2.TensorProto, alias: str, want: DType) -> None:
    import numpy as np

    got = DTYPES[proto.dtype]
    try:
        values = values_of(proto)
        target = numpy_dtype(want.name)
    except (ValueError, TypeError):
        raise CannotApplyError(
            f"numpy cannot cast {got.name} to {want.name} (input {quote(alias)})"
        ) from None
    with np.errstate(all="ignore"):
        cast = values.astype(target)
        rounds = values.dtype.kind in "fc" and target.kind in "fc"
        if rounds:
            # Neither too great nor so small that nothing is left of it.
            kept = (np.isfinite(values) == np.isfinite(cast)) & ((values == 0) == (cast == 0))
        else:
            kept = cast.astype(values.dtype) == values
    if not np.all(kept) or (values.dtype.kind == "f" and not rounds and not np.all(np.isfinite(values))):
        raise CannotApplyError(f"input {quote(alias)} holds values that are none of {want.name}")
    content = bool(proto.tensor_content)
    proto.ClearField("tensor_content")
    proto.ClearField(got.field)
    proto.dtype = want.number
    if content:
        proto.tensor_content = cast.tobytes()
    elif want.field == "half_val":
        proto.half_val.extend(cast.view("<u2").tolist())
    elif want.per_element == 2:
        parts = cast.view("<f4" if want.size == 8 else "<f8")
        getattr(proto, want.field).extend(parts.tolist())
    else:
        getattr(proto, want.field).extend(cast.tolist())


def _move(proto: tensor_pb2.TensorProto, alias: str, source: str, target: str) -> None:
    values = list(getattr(proto, source))
    if target == "bool_val" and not {int(each) for each in values} <= {0, 1}:
        raise CannotApplyError(f"input {quote(alias)} holds more than 0 and 1 in {source}")
    proto.ClearField(source)
    try:
        getattr(proto, target).extend(values)
    except (ValueError, TypeError):
        raise CannotApplyError(f"input {quote(alias)} holds values that {target} cannot hold") from None
