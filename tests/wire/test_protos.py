"""The message classes come without TensorFlow."""

import subprocess
import sys

IMPORT_ALL = """
import sys
import proxy.wire.protos, proxy.gate
print(*(name for name in sys.modules if name.split(".")[0] == "tensorflow"))
runtime = [name for name in sys.modules if name.startswith(("tensorflow.python", "numpy", "keras", "jax"))]
assert not runtime, runtime
assert not hasattr(sys.modules["tensorflow"], "constant")
import importlib.util
assert importlib.util.find_spec("tensorflow").submodule_search_locations
"""

STAND_IN = """
import sys, types
import importlib.util
spec = importlib.util.find_spec("tensorflow")
loaded = types.ModuleType("tensorflow")
loaded.__path__ = list(spec.submodule_search_locations)
sys.modules["tensorflow"] = loaded
import proxy.wire.protos
assert sys.modules["tensorflow"] is loaded
"""

MISSING = """
import importlib.util, sys
importlib.util.find_spec = lambda name: None
import proxy.wire.protos
"""


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_only_generated_modules_of_tensorflow_are_loaded():
    done = run(IMPORT_ALL)
    assert done.returncode == 0, done.stderr
    names = done.stdout.split()
    assert "tensorflow" in names
    assert "tensorflow.core.framework.tensor_pb2" in names
    folders = {name.rpartition(".")[0] for name in names} | {"tensorflow.core"}
    assert all(name.endswith("_pb2") for name in set(names) - folders)


def test_a_tensorflow_that_is_loaded_already_is_left_alone():
    done = run(STAND_IN)
    assert done.returncode == 0, done.stderr


def test_without_the_modules_the_error_says_what_to_install():
    done = run(MISSING)
    assert done.returncode != 0
    assert "install tensorflow-serving-api" in done.stderr


def test_messages_of_both_packages_are_of_one_kind():
    from proxy.wire.protos import predict_pb2, tensor_pb2

    request = predict_pb2.PredictRequest()
    assert type(request.inputs["x"]) is tensor_pb2.TensorProto
