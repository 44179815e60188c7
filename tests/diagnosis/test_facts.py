"""Which input TensorFlow means by arg[i]."""

from proxy.core.types import Signature, TensorSpec
from proxy.diagnosis.facts import input_of_arg


def signature(**graph_names):
    return Signature(
        "s", "", {alias: TensorSpec(alias, 1, None, name) for alias, name in graph_names.items()}, {}
    )


def test_inputs_count_in_alphabetical_order_of_their_graph_names():
    two = signature(text="serving_default_text:0", ids="serving_default_ids:0")
    assert input_of_arg(two, 0).alias == "ids"
    assert input_of_arg(two, 1).alias == "text"
    assert input_of_arg(two, 2) is None


def test_nothing_is_guessed_where_a_graph_name_is_unknown():
    assert input_of_arg(signature(a="a:0", b=""), 0) is None
