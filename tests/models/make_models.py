"""Write the SavedModels that `tests/truth/requests.jsonl` addresses, and those that came later: `make_models.py OUT_DIR`.

Run as a subprocess: this is real TensorFlow. Serve each as OUT_DIR/<name> under its name, `multi` with
versions 1 and 3 only. Function names show in TensorFlow's error texts, so they are part of the truth.
"""

import os
import sys
from pathlib import Path

os.environ["CUDA_VISIBLE_DEVICES"] = ""
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"

import tensorflow as tf

OUT = Path(sys.argv[1])


def spec(shape, dtype, name):
    return tf.TensorSpec(shape, dtype, name=name)


def save(name, signatures, version=1, module=None):
    module = module or tf.Module()
    for key, function in signatures.items():
        setattr(module, f"f_{key}", function)
    concrete = {key: function.get_concrete_function() for key, function in signatures.items()}
    tf.saved_model.save(module, str(OUT / name / str(version)), signatures=concrete)


# Like an export of the TensorFlow 2 Object Detection API.
@tf.function(input_signature=[spec([None, None, None, 3], tf.uint8, "input_tensor")])
def ssd(image_tensor):
    batch = tf.shape(image_tensor)[0]
    score = tf.reduce_mean(tf.cast(image_tensor, tf.float32), axis=[1, 2, 3]) / 255.0
    ramp = tf.range(100, dtype=tf.float32) / 100.0
    return {
        "detection_boxes": tf.tile(tf.reshape(ramp, [1, 100, 1]), [batch, 1, 4]),
        "detection_scores": score[:, None] * (1.0 - ramp)[None, :],
        "detection_classes": tf.tile(ramp[None, :] * 90, [batch, 1]),
        "num_detections": tf.fill([batch], 100.0),
    }


@tf.function(input_signature=[spec([None, None, None, 3], tf.uint8, "image_tensor")])
def ssd_named(image_tensor):
    return ssd(image_tensor)


@tf.function(input_signature=[spec([None, 300, 300, 3], tf.float32, "images")])
def f300(images):
    return {"mean": tf.reduce_mean(images, axis=[1, 2, 3]), "first": images[:, 0, 0, :]}


@tf.function(input_signature=[spec([None], tf.string, "text"), spec([None, 4], tf.int64, "ids")])
def two(text, ids):
    return {
        "lens": tf.strings.length(text),
        "sum": tf.reduce_sum(ids, axis=1),
        "text_out": text,
        "ids_out": ids,
    }


@tf.function(input_signature=[spec(None, tf.float32, "x")])
def unk(x):
    return {"y": x * 2.0, "shape": tf.shape(x)}


@tf.function(input_signature=[spec([None, 2], tf.float32, "x")])
def sig_a(x):
    return {"y": x + 1.0}


@tf.function(input_signature=[spec([None, 2], tf.float32, "z")])
def sig_b(z):
    return {"w": z * 10.0}


@tf.function(input_signature=[spec([None, 4], tf.half, "x")])
def half(x):
    return {"y": x * tf.constant(2.0, tf.half)}


@tf.function(input_signature=[spec([], tf.float32, "x")])
def scalar(x):
    return {"y": x + 1.0}


@tf.function(input_signature=[spec([None, None], tf.int64, "ids")])
def embed(ids):
    """A vocabulary of 1000."""
    return {"y": tf.reduce_sum(tf.gather(tf.range(1000, dtype=tf.float32), ids), axis=1)}


@tf.function(
    input_signature=[spec([None, None], tf.float32, "left"), spec([None, None], tf.float32, "right")]
)
def pair(left, right):
    return {"y": left + right}


@tf.function(input_signature=[tf.RaggedTensorSpec([None, None], tf.int64)])
def ragged(tokens):
    """As `tokens` and `tokens_1`, the row splits."""
    return {"y": tf.reduce_sum(tokens, axis=1)}


@tf.function(input_signature=[tf.RaggedTensorSpec([None, None, None], tf.string)])
def nested(words):
    """As `words`, `words_1` and `words_2`."""
    return {"y": tf.reduce_sum(tf.strings.length(words.flat_values)), "rows": words.nrows()}


@tf.function(
    input_signature=[
        tf.RaggedTensorSpec([None, None, 3], tf.float32, ragged_rank=1, row_splits_dtype=tf.int32)
    ]
)
def ragged_vectors(boxes):
    """With row splits of 32 bits."""
    return {"y": tf.reduce_sum(boxes, axis=[1, 2])}


@tf.function(input_signature=[tf.RaggedTensorSpec([3, None], tf.int64), spec([None, 2], tf.float32, "dense")])
def ragged_rows(tokens, dense):
    """Three rows, of each of two inputs."""
    return {"y": tf.cast(tf.reduce_sum(tokens, axis=1), tf.float32) + tf.reduce_sum(dense, axis=1)}


@tf.function(input_signature=[tf.SparseTensorSpec([None, 10], tf.float32)])
def sparse(features):
    """As `features`, the indices, `features_1`, the values, and `features_2`, the dense shape."""
    return {"y": tf.sparse.reduce_sum(features, axis=1)}


@tf.function(
    input_signature=[
        tf.SparseTensorSpec([None, None, None], tf.string),
        tf.RaggedTensorSpec([None, None], tf.float32),
        spec([None, 4], tf.float32, "dense"),
    ]
)
def mixed(words, weights, dense):
    lengths = tf.strings.length(tf.sparse.to_dense(words, ""))
    sums = tf.reduce_sum(weights, axis=1) + tf.reduce_sum(dense, axis=1)
    return {"y": tf.cast(tf.reduce_sum(lengths, axis=[1, 2]), tf.float32) + sums}


@tf.function(
    input_signature=[spec([None, None, 4], tf.float32, "frames"), spec([2, None, 8], tf.float32, "state")]
)
def rnn(frames, state):
    """The state of two layers has its batch second, as cuDNN and PyTorch lay it out."""
    first = tf.tanh(tf.concat([tf.reduce_sum(frames, axis=1), state[0][:, 4:]], axis=1) + state[0])
    return {"y": first, "next": tf.stack([first, tf.tanh(first + state[1])])}


@tf.function(
    input_signature=[spec([None, None, 4], tf.float32, "frames"), spec([None, 8], tf.float32, "state")]
)
def rnn_time_major(frames, state):
    return {"y": tf.tanh(tf.concat([tf.reduce_sum(frames, axis=0), state[:, 4:]], axis=1) + state)}


@tf.function(input_signature=[spec([2, 2], tf.float32, "x")])
def fixed(x):
    return {"y": x + 1.0}


@tf.function(input_signature=[spec([None], tf.int64, "n")])
def slow(n):
    limit = tf.reduce_max(n)
    i, a = tf.while_loop(
        lambda i, _: i < limit,
        lambda i, a: (i + 1, tf.tanh(tf.matmul(a, a) * 0.001 + 0.1)),
        [tf.constant(0, tf.int64), tf.zeros([200, 200]) + 0.5],
        parallel_iterations=1,
    )
    return {"out": tf.reduce_sum(a)[None], "i": i[None]}


class Stateful(tf.Module):
    def __init__(self):
        self.count = tf.Variable(0, dtype=tf.int64)
        self.weights = tf.Variable(tf.zeros([4]))

    @tf.function(input_signature=[spec([], tf.int64, "inc")])
    def f(self, inc):
        return {"count": self.count.assign_add(inc)}


ECHO = {
    "i8": tf.int8,
    "u8": tf.uint8,
    "i16": tf.int16,
    "u16": tf.uint16,
    "i32": tf.int32,
    "u32": tf.uint32,
    "i64": tf.int64,
    "u64": tf.uint64,
    "f64": tf.float64,
    "f32": tf.float32,
    "b": tf.bool,
    "bf16": tf.bfloat16,
    "f16": tf.half,
    "s": tf.string,
    "c64": tf.complex64,
    "f8": tf.dtypes.experimental.float8_e5m2,
    "f8fn": tf.dtypes.experimental.float8_e4m3fn,
    "i4": tf.dtypes.experimental.int4,
    "u4": tf.dtypes.experimental.uint4,
}


def echo(dtype):
    @tf.function(input_signature=[spec([None, 3], dtype, "x")])
    def f(x):
        return {"y": tf.identity(x)}

    return f


def add_version(version):
    @tf.function(input_signature=[spec([None], tf.float32, "x")])
    def f(x):
        return {"y": x + float(version)}

    return f


class Conv(tf.Module):
    """Zero in, [0.5, 0.5] out: no bias. 300x300 with stride 2 and 4 filters is 90000 values."""

    def __init__(self):
        draw = tf.random.Generator.from_seed(1)
        self.kernel = tf.Variable(draw.normal([3, 3, 3, 4], stddev=0.1))
        self.dense = tf.Variable(draw.normal([90000, 2], stddev=0.0001))

    @tf.function(input_signature=[spec([None, 300, 300, 3], tf.float32, "images")])
    def f(self, images):
        x = tf.nn.relu(tf.nn.conv2d(images, self.kernel, 2, "SAME"))
        return {"scores": tf.nn.softmax(tf.matmul(tf.reshape(x, [-1, 90000]), self.dense))}


class ConvResize(tf.Module):
    def __init__(self):
        draw = tf.random.Generator.from_seed(2)
        self.kernel = tf.Variable(draw.normal([3, 3, 3, 4], stddev=0.1))
        self.dense = tf.Variable(draw.normal([4096, 2], stddev=0.01))

    @tf.function(input_signature=[spec([None, None, None, 3], tf.uint8, "image_tensor")])
    def g(self, image_tensor):
        images = tf.map_fn(
            lambda image: tf.image.resize(tf.cast(image, tf.float32) / 255.0, [64, 64]),
            image_tensor,
            fn_output_signature=tf.TensorSpec([64, 64, 3], tf.float32),
        )
        x = tf.nn.relu(tf.nn.conv2d(images, self.kernel, 2, "SAME"))
        return {"scores": tf.nn.softmax(tf.matmul(tf.reshape(x, [-1, 4096]), self.dense))}


class Enc(tf.Module):
    @tf.function(input_signature=[spec([None], tf.string, "image_bytes")])
    def f(self, image_bytes):
        def mean(data):
            image = tf.io.decode_image(data, channels=3, expand_animations=False)
            return tf.reduce_mean(tf.cast(image, tf.float32))

        return {"mean": tf.map_fn(mean, image_bytes, fn_output_signature=tf.float32)}


@tf.function(
    input_signature=[spec([None, None, 8], tf.float32, "state"), spec([None, None, 4], tf.float32, "x")]
)
def stacked(state, x):
    """The state is [layers, batch, 8] for any number of layers, `x` is [batch, time, 4]."""
    return {"y": tf.reduce_sum(state, axis=[0, 2]) + tf.reduce_sum(x, axis=[1, 2])}


@tf.function(input_signature=[spec([None, 4], tf.float32, "queries"), spec([None, 4], tf.float32, "items")])
def retrieval(queries, items):
    return {"scores": tf.matmul(queries, items, transpose_b=True)}


@tf.function(input_signature=[spec([None, 3], tf.float32, "keras_tensor")])
def renamed_from(keras_tensor):
    return {"y": keras_tensor}


@tf.function(input_signature=[spec([None, 3], tf.float32, "keras_tensor_2")])
def renamed_to(keras_tensor_2):
    return {"y": keras_tensor_2}


# Each of these answers otherwise where elements or inputs are out of order: a hint that is obeyed has to be right.


def ramp(*shape):
    count = 1
    for size in shape:
        count *= size
    return tf.reshape(tf.range(count, dtype=tf.float32), shape)


@tf.function(input_signature=[spec([None, 40, 100], tf.float32, "x")])
def spectrogram(x):
    return {"y": tf.reduce_sum(x * ramp(1, 40, 100), axis=[1, 2])}


@tf.function(input_signature=[spec([None, 784], tf.float32, "x")])
def flat(x):
    return {"y": tf.reduce_sum(x * ramp(1, 784), axis=1)}


@tf.function(
    input_signature=[
        spec([None, 1], tf.float32, "keras_tensor_1"),
        spec([None, 1], tf.float32, "keras_tensor_2"),
    ]
)
def keras(keras_tensor_1, keras_tensor_2):
    return {"y": keras_tensor_1 + 10.0 * keras_tensor_2}


@tf.function(
    input_signature=[
        spec([None, 8], tf.int64, name) for name in ("input_ids", "attention_mask", "token_type_ids")
    ]
)
def bert(input_ids, attention_mask, token_type_ids):
    return {"y": tf.reduce_sum(input_ids * attention_mask + 1000 * token_type_ids, axis=1)}


@tf.function(input_signature=[spec([None, 1], tf.float32, f"f_{number:03}") for number in range(30)])
def columns(*features):
    return {"y": tf.reduce_sum(tf.concat(features, 1) * ramp(1, 30), axis=1)}


@tf.function(input_signature=[spec([None], tf.string, "examples")])
def examples(examples):
    features = tf.io.parse_example(examples, {"age": tf.io.FixedLenFeature([], tf.float32)})
    return {"y": features["age"] * 2.0}


@tf.function(input_signature=[spec([None, 1], tf.float32, "age")])
def column(age):
    return {"y": age * 2.0}


def save_classify_and_regress():
    v1 = tf.compat.v1
    build = v1.saved_model.signature_def_utils.build_signature_def
    info = v1.saved_model.utils.build_tensor_info
    with tf.Graph().as_default(), v1.Session() as session:
        serialized = v1.placeholder(tf.string, [None], name="ser")
        scores = v1.io.parse_example(serialized, {"x": v1.io.FixedLenFeature([2], tf.float32)})["x"]
        classes = tf.tile(tf.constant([["a", "b"]]), [tf.shape(scores)[0], 1])
        total = tf.reduce_sum(scores, axis=1)
        builder = v1.saved_model.Builder(str(OUT / "cls" / "1"))
        signatures = {
            "serving_default": build(
                {"inputs": info(serialized)},
                {"classes": info(classes), "scores": info(scores)},
                "tensorflow/serving/classify",
            ),
            "regress": build(
                {"inputs": info(serialized)}, {"outputs": info(total)}, "tensorflow/serving/regress"
            ),
            "predict": build({"x": info(serialized)}, {"y": info(scores)}, "tensorflow/serving/predict"),
        }
        builder.add_meta_graph_and_variables(session, ["serve"], signatures)
        builder.save()


save("ssd", {"serving_default": ssd_named})
save("f300", {"serving_default": f300})
save("two", {"serving_default": two})
save("unk", {"serving_default": unk})
save("twosig", {"sig_a": sig_a, "sig_b": sig_b})
save("twosig_def", {"serving_default": sig_a, "sig_b": sig_b})
save("half", {"serving_default": half})
save("scalar", {"serving_default": scalar})
save("fixed", {"serving_default": fixed})
save("embed", {"serving_default": embed})
save("pair", {"serving_default": pair})
save("ragged", {"serving_default": ragged, "vectors": ragged_vectors, "rows": ragged_rows})
save("nested", {"serving_default": nested})
save("sparse", {"serving_default": sparse, "mixed": mixed})
save("rnn", {"serving_default": rnn, "time_major": rnn_time_major})
save("spectrogram", {"serving_default": spectrogram})
save("flat", {"serving_default": flat})
save("keras", {"serving_default": keras})
save("bert", {"serving_default": bert})
save("columns", {"serving_default": columns})
save("examples", {"serving_default": examples})
save("column", {"serving_default": column})
save("slow", {"serving_default": slow})
stateful = Stateful()
save("stateful", {"serving_default": stateful.f}, module=stateful)
save("echo", {f"echo_{name}": echo(dtype) for name, dtype in ECHO.items()})
for number in (1, 2, 3):
    save("multi", {"serving_default": add_version(number)}, version=number)
save("stacked", {"serving_default": stacked})
save("retrieval", {"serving_default": retrieval})
save("renamed", {"serving_default": renamed_from}, version=1)
save("renamed", {"serving_default": renamed_to}, version=2)
conv = Conv()
save("conv", {"serving_default": conv.f}, module=conv)
convresize = ConvResize()
save("convresize", {"serving_default": convresize.g}, module=convresize)
enc = Enc()
save("enc", {"serving_default": enc.f}, module=enc)
save_classify_and_regress()

# Unparsable: a length far beyond the end.
corrupt = OUT / "corrupt" / "1"
(corrupt / "variables").mkdir(parents=True)
(corrupt / "saved_model.pb").write_bytes(b"\x0a\xff\xff\xff\x7fgarbage" * 50)
# A version directory without a model, and a model without a version directory.
(OUT / "emptyver" / "1").mkdir(parents=True)
(OUT / "nover").mkdir()
(OUT / "nover" / "saved_model.pb").write_bytes(b"x")
