"""With the signature and the request's shapes known, a diagnosis names the input and the cause."""

import pytest

from proxy.core.reasons import Reason
from proxy.core.types import ModelKey, RequestView, Servable, Signature, TensorSpec, TensorView
from proxy.diagnosis import Call, diagnose

PREDICT = "/tensorflow.serving.PredictionService/Predict"
FLOAT, UINT8, STRING, INT64, INT32 = 1, 4, 7, 9, 3


def spec(alias, dtype, shape, graph_name=None):
    return TensorSpec(alias, dtype, shape, graph_name or f"serving_default_{alias}:0")


def servable(*inputs, name="serving_default", others=()):
    signatures = [
        Signature(name, "tensorflow/serving/predict", {each.alias: each for each in inputs}, {}),
        *others,
    ]
    return Servable("m", 1, {each.name: each for each in signatures})


def call(servable, *inputs, signature=""):
    return Call(PREDICT, RequestView(ModelKey("m"), signature, inputs), servable)


def view(alias, dtype, dims, head=b""):
    size = {FLOAT: 4, UINT8: 1, INT32: 4, INT64: 8}.get(dtype, 0)
    count = 1
    for dim in dims:
        count *= dim
    if dtype == STRING:
        return TensorView(alias, dtype, dims, counts={"string_val": count}, head=head)
    return TensorView(alias, dtype, dims, content_length=count * size)


TWO = servable(spec("text", STRING, (-1,)), spec("ids", INT64, (-1, 4)))
IMAGES = servable(spec("images", FLOAT, (-1, 300, 300, 3)))


def test_arg_0_is_the_first_input_by_graph_name_not_by_alias_order_of_the_request():
    text = "Expects arg[0] to be int64 but string is provided"  # measured: inputs of model `two` swapped
    found = diagnose(3, text, call(TWO, view("text", INT64, (2, 4)), view("ids", STRING, (2,))))
    assert "arg[0] is input 'ids'" in found.sentence
    assert found.append


def test_arg_i_counts_graph_names_even_where_the_aliases_sort_otherwise():
    swapped = servable(spec("a", STRING, (-1,), "z:0"), spec("b", INT64, (-1, 4), "y:0"))
    text = "Expects arg[1] to be string but int64 is provided"
    assert (
        "arg[1] is input 'a'"
        in diagnose(3, text, Call(PREDICT, RequestView(ModelKey("m")), swapped)).sentence
    )


def test_arg_i_beyond_the_signature_is_left_untranslated():
    text = "Expects arg[7] to be int64 but int32 is provided"
    assert "alphabetical order" in diagnose(3, text, call(TWO)).sentence


def test_a_wrong_input_name_is_answered_with_the_right_one():
    text = (
        "Signature input alias: images(feed name: serving_default_images:0) not found in request and no default "
        "value provided. Inputs expected to be in the request {image}, or default input alias set: "
    )
    found = diagnose(3, text, call(IMAGES, view("image", FLOAT, (1, 300, 300, 3))))
    assert found.reason is Reason.INPUT_UNKNOWN
    assert "did you mean 'images'?" in found.sentence
    assert "the signature takes 'images'" in found.sentence


def test_an_old_servers_text_is_answered_with_the_signature_that_has_the_alias():
    other = Signature("other", "", {"images": spec("images", FLOAT, None)}, {})
    two = servable(spec("inputs", STRING, (-1,)), others=[other])
    text = "input tensor alias not found in signature: images"
    found = diagnose(3, text, call(two, view("images", FLOAT, (1, 4))))
    assert found.reason is Reason.INPUT_UNKNOWN
    assert "'other'" in found.sentence


def test_a_tensor_parsing_error_says_which_of_its_causes_it_is():
    short = TensorView("images", FLOAT, (1, 300, 300, 3), content_length=270000)
    found = diagnose(3, "tensor parsing error: images", call(IMAGES, short))
    assert found.reason is Reason.PAYLOAD_LENGTH_MISMATCH
    assert "uint8" in found.sentence
    negative = TensorView("images", FLOAT, (-1, 300, 300, 3), content_length=1080000)
    assert diagnose(3, "tensor parsing error: images", call(IMAGES, negative)).reason is Reason.SHAPE_INVALID
    unset = TensorView("images", 0)
    assert diagnose(3, "tensor parsing error: images", call(IMAGES, unset)).reason is Reason.DTYPE_INVALID


def test_a_shape_error_in_the_graph_is_told_as_the_dimension_that_departs_from_the_signature():
    text = "Invalid reduction dimension (3 for input with 3 dimension(s)\n\t [[{{node Mean}}]]"
    found = diagnose(3, text, call(IMAGES, view("images", FLOAT, (300, 300, 3))))
    assert found.reason is Reason.RANK_MISMATCH
    assert "[1,300,300,3]" in found.sentence


def test_a_reshape_that_is_off_by_the_batch_size_is_a_fixed_batch_export():
    free = servable(spec("x", FLOAT, (-1, 2048)))
    text = "Input to reshape is a tensor with 20480 values, but the requested shape has 2048"
    found = diagnose(3, text, call(free, view("x", FLOAT, (10, 2048))))
    assert found.reason is Reason.UPSTREAM_EXPORT_FAULT
    assert found.failures == ("F30", "F32")
    assert "batch of 10" in found.sentence


def test_a_reshape_ratio_that_is_not_the_batch_size_is_not_blamed_on_the_export():
    free = servable(spec("x", FLOAT, (-1, -1)))
    text = "Input to reshape is a tensor with 262144 values, but the requested shape has 512"
    found = diagnose(3, text, call(free, view("x", FLOAT, (1, 262144))))
    assert found.reason is Reason.UPSTREAM_REQUEST_FAULT


def test_without_the_request_a_reshape_ratio_names_both_causes():
    text = "Input to reshape is a tensor with 20480 values, but the requested shape has 2048"
    found = diagnose(3, text)
    assert "batch of 10" in found.sentence
    assert "dimension was lost" in found.sentence


def test_base64_text_of_an_image_is_recognised_by_its_first_bytes():
    enc = servable(spec("image", STRING, (-1,)))
    text = "Unknown image file format. One of JPEG, PNG, GIF, BMP required."
    found = diagnose(3, text, call(enc, view("image", STRING, (1,), head=b"/9j/4AAQSkZJRgAB")))
    assert found.reason is Reason.STRING_LOOKS_BASE64
    assert "base64 text of a JPEG" in found.sentence
    assert "raw bytes" in found.remedy
    jpeg = view("image", STRING, (1,), head=b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01")
    assert "base64" not in diagnose(3, text, call(enc, jpeg)).sentence


def test_an_empty_image_is_told_apart_from_an_empty_example_list():
    assert "image string" in diagnose(3, "Input is empty.", Call(PREDICT)).sentence
    classify = Call("/tensorflow.serving.PredictionService/Classify")
    assert "no Example" in diagnose(3, "Input is empty.", classify).sentence


def test_a_missing_signature_is_answered_with_those_that_exist():
    text = 'Serving signature key "serving_default" not found.'
    assert "'sig_a'" in diagnose(9, text, call(servable(name="sig_a"))).sentence
    unseen = Call("/tensorflow.serving.PredictionService/Classify", None, servable(name="sig_a"))
    assert "the model has 'sig_a'" in diagnose(9, text, unseen).sentence


@pytest.mark.parametrize("dims", [(300, 300, 3), (1, 299, 300, 3)])
def test_facts_of_the_request_are_used_only_for_predict(dims):
    text = "Incompatible shapes: [1,1,3] vs. [1,100]"
    request = RequestView(ModelKey("m"), "", (view("images", FLOAT, dims),))
    other = Call("/tensorflow.serving.PredictionService/Classify", request, IMAGES)
    assert diagnose(3, text, other).reason is Reason.UPSTREAM_REQUEST_FAULT


# As TensorFlow 2.21 answered: (text, what is told of it).
IDS = [
    ("indices[0,1] = 12 is not in [0, 10)", "an id at indices[0,1] is outside [0, 10)"),
    ("indices[0] = -1 is not in [0, 10)", "an id at indices[0] is outside [0, 10)"),
    ("indices = 12 is not in [0, 10)", "an id at indices is outside [0, 10)"),
    ("indices[0] = [3, 12] does not index into param shape [10,4], node name: GatherNd", "at indices[0] is outside the shape [10,4]"),
    ("indices[0] = [7] does not index into shape [5]", "outside the shape [5]"),
    ("indices[0] = [7,1] is out of bounds: need 0 <= index < [5,5]", "outside the shape [5,5]"),
    ("segment_ids[1] = 7 is out of range [0, 3)", "an id at segment_ids[1] is outside [0, 3)"),
    ("Bad: indices[1] == 7 out of range [0, 5)", "an id at indices[1] is outside [0, 5)"),
    ("partitions[1] = 7 is not in [0, 2)", "an id at partitions[1] is outside [0, 2)"),
    ("k (7) from index[0,1] out of bounds (>=5)", "outside [0, 5)"),
    ("Received a label value of 7 which is outside the valid range of [0, 5).  Label values: 7", "outside [0, 5)"),
    ("indices[0] is out of range", "an id at indices[0] is outside its range"),
]  # fmt: skip

SHAPES = [
    ("Incompatible shapes: [2,3] vs. [4]", "shapes [2,3] and [4] do not"),
    ("required broadcastable shapes", "shapes do not"),
    ("required broadcastable shapes at loc(unknown)", "shapes do not"),
    ("condition [2,3], then [2,3], and else [4] must be broadcastable", "shapes [2,3] and [4] do not"),
    ("logits and labels must be broadcastable: logits_size=[4,3] labels_size=[2,3]", "shapes [4,3] and [2,3] do not"),
    ("In[0] and In[1] must have compatible batch dimensions: [2,3,4] vs. [3,4,5]", "shapes [2,3,4] and [3,4,5] do not"),
    ("Matrix size-incompatible: In[0]: [2,3], In[1]: [4,5]", "shapes [2,3] and [4,5] do not"),
    ("In[0] mismatch In[1] shape: 5 vs. 10: [1,2,5] [1,10,3] 0 0", "shapes [1,2,5] and [1,10,3] do not"),
    ("In[0] and In[1] has different ndims: [1,2] vs. [3]", "shapes [1,2] and [3] do not"),
    ("Inputs to operation AddN of type AddN must have the same size and shape.  Input 0: [2,3] != input 1: [4,3]", "shapes [2,3] and [4,3] do not"),
    ("ConcatOp : Dimension 0 in both shapes must be equal: shape[0] = [2,3] vs. shape[1] = [4,3]", "shapes [2,3] and [4,3] do not"),
    ("Shapes of all inputs must match: values[0].shape = [2,3] != values[1].shape = [4,3]", "shapes [2,3] and [4,3] do not"),
    ("Must provide as many biases as the last dimension of the input tensor: [4] vs. [2,3]", "shapes [4] and [2,3] do not"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "words"), IDS, ids=[text[:40] for text, _ in IDS])
def test_an_id_that_the_model_does_not_have_is_told_with_its_place_and_range(text, words):
    found = diagnose(3, f"{text}\n\t [[{{{{node embedding_lookup}}}}]]")
    assert found.reason is Reason.UPSTREAM_REQUEST_FAULT
    assert words in found.sentence
    assert "vocabulary" in found.remedy
    assert found.failures == ("F117",)


@pytest.mark.parametrize(("text", "words"), SHAPES, ids=[text[:40] for text, _ in SHAPES])
def test_shapes_that_do_not_go_together_are_told_as_the_server_names_them(text, words):
    found = diagnose(3, f"{text}\n\t [[{{{{node add}}}}]]")
    assert found.reason is Reason.UPSTREAM_REQUEST_FAULT
    assert words in found.sentence
    assert "F118" in found.failures


@pytest.mark.parametrize(
    "text",
    [
        "Tried to explicitly squeeze dimension 0 but dimension was not 1: 2",
        "Computed output size would be negative: -1 [input_size: 2, effective_filter_size: 5, stride: 1]",
        "Expected size[1] in [0, 5], but got 10",
        "Expected begin[1] in [0, 10], but got 12",
        "input and filter must have the same depth: 1 vs 3",
    ],
)
def test_a_shape_that_the_graph_cannot_take_is_told_as_one(text):
    found = diagnose(3, f"{text}\n\t [[{{{{node layer}}}}]]")
    assert found.reason is Reason.UPSTREAM_REQUEST_FAULT
    assert "shape does not fit" in found.sentence


def test_an_id_is_a_value_and_is_not_repeated():
    found = diagnose(3, "indices[0,1] = 987654 is not in [0, 10)")
    assert "987654" not in found.sentence + found.remedy


def test_where_one_input_can_hold_ids_it_is_named():
    sent = call(TWO, view("text", STRING, (2,)), view("ids", INT64, (2, 4)))
    assert "(probably of input 'ids')" in diagnose(3, "indices[0,1] = 12 is not in [0, 10)", sent).sentence
    three = servable(spec("a", INT64, (-1,)), spec("b", INT32, (-1,)))
    sent = call(three, view("a", INT64, (2,)), view("b", INT32, (2,)))
    assert "probably" not in diagnose(3, "indices[0,1] = 12 is not in [0, 10)", sent).sentence


@pytest.mark.parametrize(
    "text", ["Incompatible shapes: [300,3] vs. [1,100]", "indices[2] = 2 is not in [0, 2)"]
)
def test_an_input_that_contradicts_its_signature_is_the_likelier_cause(text):
    found = diagnose(3, text, call(IMAGES, view("images", FLOAT, (300, 300, 3))))
    assert found.reason is Reason.RANK_MISMATCH
