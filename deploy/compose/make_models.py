"""Write two small SavedModels for tensorflow_model_server: make_models.py DIRECTORY.

Built from the protobuf messages alone, so that no TensorFlow is needed to make them: `half_plus_two`, which
computes x / 2 + 2 of float32 [?], and `brightness`, the mean of each image of a uint8 [?,?,?,3] batch.
"""

import struct
import sys
from pathlib import Path

from proxy.wire.protos import meta_graph_pb2, saved_model_pb2, types_pb2

FLOAT, INT32, UINT8 = types_pb2.DT_FLOAT, types_pb2.DT_INT32, types_pb2.DT_UINT8


def _node(meta, name, op, inputs=(), **types):
    node = meta.graph_def.node.add(name=name, op=op, input=inputs)
    for attribute, number in types.items():
        node.attr[attribute].type = number
    return node


def _placeholder(meta, name, dtype, shape):
    node = _node(meta, name, "Placeholder", dtype=dtype)
    for size in shape:
        node.attr["shape"].shape.dim.add(size=size)


def _constant(meta, name, dtype, form, values, shape=()):
    tensor = _node(meta, name, "Const", dtype=dtype).attr["value"].tensor
    tensor.dtype = dtype
    tensor.tensor_content = struct.pack(f"<{len(values)}{form}", *values)
    for size in shape:
        tensor.tensor_shape.dim.add(size=size)


def _tensor(info, graph_name, dtype, shape):
    info.name, info.dtype = graph_name, dtype
    for size in shape:
        info.tensor_shape.dim.add(size=size)


def _model():
    meta = meta_graph_pb2.MetaGraphDef()
    meta.meta_info_def.tags.append("serve")
    meta.graph_def.versions.producer = 1087
    signature = meta.signature_def["serving_default"]
    signature.method_name = "tensorflow/serving/predict"
    return meta, signature


def half_plus_two():
    """Y = x / 2 + 2."""
    meta, signature = _model()
    _placeholder(meta, "x", FLOAT, (-1,))
    _constant(meta, "half", FLOAT, "f", (0.5,))
    _constant(meta, "two", FLOAT, "f", (2.0,))
    _node(meta, "product", "Mul", ("x", "half"), T=FLOAT)
    _node(meta, "y", "AddV2", ("product", "two"), T=FLOAT)
    _tensor(signature.inputs["x"], "x:0", FLOAT, (-1,))
    _tensor(signature.outputs["y"], "y:0", FLOAT, (-1,))
    return meta


def brightness():
    """The mean of every image."""
    meta, signature = _model()
    _placeholder(meta, "image", UINT8, (-1, -1, -1, 3))
    _node(meta, "pixels", "Cast", ("image",), SrcT=UINT8, DstT=FLOAT)
    _constant(meta, "axes", INT32, "i", (1, 2, 3), (3,))
    _node(meta, "mean", "Mean", ("pixels", "axes"), T=FLOAT, Tidx=INT32)
    _tensor(signature.inputs["image"], "image:0", UINT8, (-1, -1, -1, 3))
    _tensor(signature.outputs["mean"], "mean:0", FLOAT, (-1,))
    return meta


def main(directory):
    """Write every model as version 1."""
    for build in (half_plus_two, brightness):
        saved_model = saved_model_pb2.SavedModel(saved_model_schema_version=1, meta_graphs=[build()])
        version = Path(directory) / build.__name__ / "1"
        version.mkdir(parents=True, exist_ok=True)
        (version / "saved_model.pb").write_bytes(saved_model.SerializeToString())
        print(f"wrote {version}", flush=True)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    main(sys.argv[1])
