"""Rows for what is wrong with the exported model: no request can mend it, only a new export."""

from functools import partial
from typing import Final

from proxy.core.reasons import Reason
from proxy.diagnosis.answer import Row, row

_fault = partial(row, reason=Reason.UPSTREAM_EXPORT_FAULT, append=True)

EXPORT_FAULTS: Final[tuple[Row, ...]] = (
    # Calls that fail on a model that is AVAILABLE.
    _fault(
        r"You must feed a value for placeholder tensor '(?P<tensor>.+?)'",
        sentence="fault of the export, not of the request: the graph needs placeholder {tensor}, which the signature does not "
        "offer as an input",
        failures="F08",
        remedy="Export again with every placeholder bound, or made a placeholder_with_default (keep_prob, phase).",
    ),
    _fault(
        r"specified in either feed_devices or fetch_devices was not found in the Graph",
        sentence="fault of the export: a signature entry names no dense tensor (sparse or ragged tensors have no name)",
        failures="F13",
        remedy="Export again with dense inputs and outputs (tf.sparse.to_dense, RaggedTensor.to_tensor).",
    ),
    _fault(
        r"FeedInputs: unable to find feed output (?P<tensor>\S+)",
        sentence="fault of the export: the signature names {tensor}, which its graph does not have",
        failures="F15",
        remedy="Export graph and signature together; do not strip the graph afterwards.",
    ),
    _fault(
        r"Attempting to use uninitialized value|Error while reading resource variable|"
        r"could mean that the variable (was|has been|is) (un|de)|Could not find variable|"
        r"Resource \S+ does not exist",
        sentence="the model is loaded but broken: its variables were not restored, so that every call fails although "
        "GetModelStatus says AVAILABLE",
        failures="F56",
        remedy="Upload the whole version (with variables/) before its directory gets its number, or export again.",
    ),
    _fault(
        r"Table not initialized",
        sentence="the model is loaded but broken: a lookup table of the graph is never initialised",
        failures="F57",
        remedy="Export again with the table initialiser (tables tracked by the module, or main_op/legacy_init_op).",
    ),
    _fault(
        r"only (currently )?supports (only )?(the )?NHWC|grouped convolutions",
        sentence="the model was built for a GPU (channels first, or grouped convolutions) and this server computes on a CPU, "
        "perhaps because it lost its GPU",
        failures="F38",
        remedy="Export with data_format NHWC, or see in the server's log why no GPU is used.",
    ),
    _fault(
        r"output_shape has incorrect number of elements",
        sentence="fault of the export: a transposed convolution was built with a static batch size",
        failures="F39",
        remedy="Export with the output shape computed from tf.shape(x)[0].",
    ),
    _fault(
        r"Expected prediction signature method_name to be one of",
        sentence="fault of the export: the signature's method_name is empty or unknown",
        failures="F12",
        remedy="Export again with method_name tensorflow/serving/predict, or drop --enable_signature_method_name_check.",
    ),
    _fault(
        r"Expected Tensor shape: \[batch_size num_classes\]",
        sentence="fault of the export: the classify signature's outputs are not of shape [batch, classes]",
        failures="F98",
        remedy="Reshape the outputs to [batch, classes], or call Predict.",
    ),
    _fault(
        r"Batched output tensor('s 0th dimension does not equal| has 0 dimensions)",
        sentence="fault of the export: an output does not begin with the batch dimension, so the server cannot split a batch",
        failures="F83",
        remedy="Export every output batch-major, or serve this model without --enable_batching.",
    ),
    # Models that do not load: texts of GetModelStatus and of HandleReloadConfigRequest.
    _fault(
        r"Op type not registered '(?P<op>.+?)'",
        sentence="the server does not know operation {op}: a custom op, tf.py_function, or an export newer than the server",
        failures="F53",
        remedy="Use a server with this op built in, a newer server, or export without it.",
    ),
    _fault(
        r"No OpKernel was registered to support Op '(?P<op>.+?)'",
        sentence="the server has no kernel of operation {op} for its devices or dtypes",
        failures="F53",
        remedy="Export without it, or serve on the device the model was built for.",
    ),
    _fault(
        r"Could not find meta graph def matching supplied tags",
        sentence="the SavedModel has no graph with the tag 'serve'",
        failures="F47",
        remedy="Export with tf.saved_model.save, or with tags=['serve'].",
    ),
    _fault(
        r"does not appear to contain a SavedModel|Could not find SavedModel|export\.meta",
        sentence="the version directory holds no saved_model.pb",
        failures="F47",
        remedy="Put saved_model.pb and variables/ directly into the numbered directory.",
    ),
    _fault(
        r"corrupted record at|Failed to parse warmup record|verify your warmup data",
        sentence="the warm-up file assets.extra/tf_serving_warmup_requests is not a TFRecord file of PredictionLog",
        failures="F54",
        remedy="Write it again with tf.io.TFRecordWriter, or remove it; `tfs-proxy lint` finds the bad record.",
    ),
    _fault(
        r"Number of warmup records exceeds",
        sentence="the warm-up file has more than 1000 records",
        failures="F54",
        remedy="Keep at most 1000 records.",
    ),
    _fault(
        r"too big \(more than \d+ bytes\)|exceeds the maximum protobuf",
        sentence="saved_model.pb is larger than protobuf reads: weights are stored as constants in the graph",
        failures="F55",
        remedy="Export with variables instead of constants (no freezing).",
    ),
    _fault(
        r"Read less bytes than requested",
        sentence="saved_model.pb cannot be parsed: empty, cut, or not a SavedModel",
        failures="F47",
        remedy="Copy the export again, and put it in place under its number only when complete.",
    ),
)
"""The first match counts."""
