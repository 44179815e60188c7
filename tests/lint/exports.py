"""SavedModels to break: small, synthesised, and good until a test spoils them."""

from pathlib import Path

from proxy.lint.paths import lint
from proxy.wire.protos import meta_graph_pb2, saved_model_pb2, types_pb2


def good_saved_model():
    """A SavedModel with one variable and signature serving_default: x float[?,4] -> y float[?,2]."""
    saved_model = saved_model_pb2.SavedModel(saved_model_schema_version=1)
    meta_graph = saved_model.meta_graphs.add()
    meta_graph.meta_info_def.tags.append("serve")
    nodes = meta_graph.graph_def.node
    nodes.add(name="x", op="Placeholder")
    nodes.add(name="w", op="VarHandleOp")
    nodes.add(name="w/read", op="ReadVariableOp", input=["w"])
    nodes.add(name="y", op="MatMul", input=["x", "w/read"])
    nodes.add(name="saver_filename", op="Placeholder")
    add_signature(meta_graph, "serving_default")
    return saved_model


def tensor(name, dims, dtype=types_pb2.DT_FLOAT):
    info = meta_graph_pb2.TensorInfo(name=name, dtype=dtype)
    for dim in dims:
        info.tensor_shape.dim.add(size=dim)
    return info


def add_signature(meta_graph, name):
    signature = meta_graph.signature_def[name]
    signature.method_name = "tensorflow/serving/predict"
    signature.inputs["x"].CopyFrom(tensor("x:0", (-1, 4)))
    signature.outputs["y"].CopyFrom(tensor("y:0", (-1, 2)))
    return signature


def write_version(directory: Path, saved_model=None) -> Path:
    """A complete version directory; returns it."""
    variables = directory / "variables"
    variables.mkdir(parents=True)
    (directory / "saved_model.pb").write_bytes((saved_model or good_saved_model()).SerializeToString())
    (variables / "variables.index").write_bytes(b"index")
    (variables / "variables.data-00000-of-00001").write_bytes(b"data")
    return directory


def rules(path, *args) -> list[str]:
    """The rules broken, in the order found."""
    return [each.rule.id for each in lint(path, *args)]


def only(path, *args):
    """The one finding there is."""
    (found,) = lint(path, *args)
    return found
