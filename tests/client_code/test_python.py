"""The Python clients run unedited, against every signature, and are Python whatever names are in it."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.client_code import python, python_light
from proxy.client_code.request import example_request
from proxy.client_code.server import Server
from proxy.core.types import DTYPES, IN_NUMPY, PREDICT_METHOD, ModelKey, Servable, Signature, TensorSpec

RUN_ALL = Path(__file__).parent / "run_all.py"
# For python-light nothing of protobuf or TensorFlow exists.
ABSENT = {"python": [], "python_light": ["--without", "tensorflow,tensorflow_serving,google.protobuf,proxy"]}


@pytest.mark.parametrize(
    "language", [python, python_light], ids=lambda module: module.__name__.rpartition(".")[2]
)
def test_the_client_of_every_signature_gets_an_answer(language, every_request, tmp_path):
    scripts = []
    for name, request in every_request.items():
        scripts.append(tmp_path / f"{name}.py")
        scripts[-1].write_text(language.render(request), encoding="utf-8")
    assert len(scripts) >= 35
    absent = ABSENT[language.__name__.rpartition(".")[2]]
    done = subprocess.run(
        [sys.executable, RUN_ALL, *absent, *scripts],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    results = json.loads(done.stdout)
    failed = {name: result["error"] for name, result in results.items() if result["error"]}
    assert not failed
    printed = {Path(name).stem: result["printed"] for name, result in results.items()}
    assert all(printed.values())
    # What comes back is what the model computed, not only an answer.
    assert "ids_out int64 (1, 4) [0 0 0 0]" in printed["two_serving_default"]
    assert "y float32 () [1.]" in printed["scalar_serving_default"]
    assert "y float16 (1, 4) [0. 0. 0. 0.]" in printed["half_serving_default"]
    assert "mean float32 (1,)" in printed["enc_serving_default"]
    assert "128" in printed["enc_serving_default"]  # the grey of the picture
    assert "lens int32 (1,) [4]" in printed["two_serving_default"]
    assert "text_out object (1,) [b'text']" in printed["two_serving_default"]


@pytest.mark.parametrize("language", [python, python_light], ids=["python", "python_light"])
def test_a_refusal_is_one_line_and_exit_code_1(language, dev_server, tmp_path):
    spec = TensorSpec("x", 1, (-1, 3), "x:0")  # the model wants [?,2]
    model = Servable("twosig_def", 1, {"sig_b": Signature("sig_b", PREDICT_METHOD, {"z": spec}, {})})
    request = example_request(model, ModelKey("twosig_def", 1), "sig_b", Server(dev_server.target))
    script = tmp_path / "client.py"
    script.write_text(language.render(request))
    done = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("INVALID_ARGUMENT: ")
    assert "Traceback" not in done.stderr


NAMES = st.text(min_size=1, max_size=30) | st.sampled_from(
    [
        "'",
        '"',
        '"""',
        "\\",
        "a\nimport os",
        "#\r",
        "{x}",
        "%s",
        "\u2028",
        "\x00",
        "__proto__",
        "$(id)",
        "`id`",
    ]
)


def test_the_light_client_reads_an_element_of_every_dtype_that_has_a_size():
    servable = Servable(
        "m", 1, {"s": Signature("s", PREDICT_METHOD, {"x": TensorSpec("x", 1, (), "x:0")}, {})}
    )
    script = ast.parse(python_light.render(example_request(servable, ModelKey("m"), "s", Server("h:1"))))
    (told,) = [
        ast.literal_eval(node.value)
        for node in script.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "DTYPES"
    ]
    assert {number: np.dtype(each).itemsize for number, each in told.items()} == {
        number: kind.size for number, kind in DTYPES.items() if kind.size
    }
    for number, each in told.items():
        kind = DTYPES[number]
        if kind.name in IN_NUMPY:
            assert np.dtype(each).name == kind.name
        elif kind.field == "int_val":
            assert np.iinfo(each).min <= (kind.low or 0) <= (kind.high or 0) <= np.iinfo(each).max


@given(
    names=st.lists(NAMES, min_size=4, max_size=4, unique=True),
    dtype=st.sampled_from(sorted(set(DTYPES) - {20, 21})),
    label=st.booleans(),
)
@settings(deadline=None)
def test_odd_names_stay_strings(names, dtype, label):
    model, signature, alias, version = names
    spec = TensorSpec(alias, dtype, (-1,), f"{alias}:0")
    servable = Servable(model, 1, {signature: Signature(signature, PREDICT_METHOD, {alias: spec}, {})})
    key = ModelKey(model, None, version) if label else ModelKey(model, 7)
    request = example_request(servable, key, signature, Server(f"{model}:1", True, *[alias] * 4, token=True))
    for language in (python, python_light):
        tree = ast.parse(language.render(request))
        constants = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
        assert {model, alias} <= constants
        # No name has become code: the same statements as for plain names.
        plain = example_request(
            Servable("m", 1, {signature: Signature(signature, PREDICT_METHOD, {"a": spec}, {})}),
            ModelKey("m", None, "l") if label else ModelKey("m", 7),
            signature,
            Server("h:1", True, *["a"] * 4, token=True),
        )
        assert _kinds(tree) == _kinds(ast.parse(language.render(plain)))


def _kinds(tree):
    return [type(node) for node in ast.walk(tree)]
