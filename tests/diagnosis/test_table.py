"""The exact texts that servers answered, and what each means."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.reasons import REASONS, Reason
from proxy.diagnosis import Call, diagnose, diagnose_load_error
from proxy.diagnosis.answer import SENTENCE_BUDGET
from proxy.diagnosis.table import TABLE
from tests.diagnosis.test_device_faults import TEXTS as DEVICE_TEXTS

TRUTH = Path(__file__).parent.parent / "truth" / "requests.jsonl"
CODES = {
    "UNKNOWN": 2,
    "INVALID_ARGUMENT": 3,
    "DEADLINE_EXCEEDED": 4,
    "NOT_FOUND": 5,
    "PERMISSION_DENIED": 7,
    "RESOURCE_EXHAUSTED": 8,
    "FAILED_PRECONDITION": 9,
    "UNIMPLEMENTED": 12,
    "INTERNAL": 13,
    "UNAVAILABLE": 14,
    "DATA_LOSS": 15,
}
PREDICT = "/tensorflow.serving.PredictionService/Predict"
NODE = "\n\t [[{{function_node __inference_f_34}}{{node Reshape}}]]"
LOAD = "1 model(s) did not become available: {{{name: m version: 1} due to error: %s}, }"

# (code, the text as measured or as quoted by users, reason, a failure it answers, a word of the sentence)
TEXTS = [
    # measured, tensorflow_model_server 2.18.1 and 2.20.0
    ("INVALID_ARGUMENT", "Signature input alias: image_tensor(feed name: serving_default_image_tensor:0) not found in request and no default value provided. Inputs expected to be in the request {image}, or default input alias set: ", Reason.INPUT_MISSING, "F01", "'image_tensor'"),
    ("INVALID_ARGUMENT", "input size does not match signature: 2!=1 len({foo,image_tensor}) != len({image_tensor}). Sent extra: {foo}. Missing but required: {}.", Reason.INPUT_UNKNOWN, "F06", "'foo'"),
    ("INVALID_ARGUMENT", "input size does not match signature: 1!=2 len({text}) != len({ids,text}). Sent extra: {}. Missing but required: {ids}.", Reason.INPUT_MISSING, "F06", "number of inputs"),
    ("INVALID_ARGUMENT", "Expects arg[0] to be int64 but string is provided", Reason.DTYPE_MISMATCH, "F20", "'int64'"),
    ("INVALID_ARGUMENT", "tensor parsing error: image_tensor", Reason.PAYLOAD_LENGTH_MISMATCH, "F26", "'image_tensor'"),
    ("INVALID_ARGUMENT", "Invalid resource type hash code: 0(name:  type: ). Perhaps a resource tensor was being provided as a feed? That is not currently allowed.", Reason.DTYPE_INVALID, "F21", "resource"),
    ("INVALID_ARGUMENT", "Invalid reduction dimension (3 for input with 3 dimension(s)\n\t [[{{function_node __inference_ssd_54}}{{node Mean}}]]", Reason.UPSTREAM_REQUEST_FAULT, "F33", "shape"),
    ("INVALID_ARGUMENT", "Incompatible shapes: [1,1,3] vs. [1,100]" + NODE, Reason.UPSTREAM_REQUEST_FAULT, "F118", "shapes [1,1,3] and [1,100]"),
    ("FAILED_PRECONDITION", 'Serving signature key "serving_default" not found.', Reason.SIGNATURE_NOT_FOUND, "F10", "signature"),
    ("NOT_FOUND", "Servable not found for request: Latest(nosuch)", Reason.MODEL_NOT_FOUND, "F41", "'nosuch'"),
    ("NOT_FOUND", "Servable not found for request: Specific(multi, 2)", Reason.VERSION_NOT_FOUND, "F43", "'multi'"),
    ("INVALID_ARGUMENT", "ModelSpec has no name specified.", Reason.MODEL_NAME_MISSING, "F41", "empty"),
    ("INVALID_ARGUMENT", "Missing ModelSpec", Reason.MODEL_SPEC_MISSING, "F52", "model_spec"),
    ("INVALID_ARGUMENT", "Unrecognized servable version label: stable", Reason.VERSION_LABEL_NOT_FOUND, "F44", "no such model"),
    ("INVALID_ARGUMENT", "output tensor alias not found in signature: nope Outputs expected to be in the set {detection_boxes,detection_classes}.", Reason.OUTPUT_UNKNOWN, "F19", "output_filter"),
    ("INVALID_ARGUMENT", "duplicate output tensor alias: detection_scores", Reason.OUTPUT_DUPLICATE, "F19", "twice"),
    ("INVALID_ARGUMENT", "GetModelMetadataRequest must specify at least one metadata_field", Reason.UPSTREAM_REQUEST_FAULT, "F52", "metadata_field"),
    ("INVALID_ARGUMENT", "Metadata field foo is not supported", Reason.UPSTREAM_REQUEST_FAULT, "F52", "metadata_field"),
    ("NOT_FOUND", "Could not find any versions of model nosuch", Reason.MODEL_NOT_FOUND, "F45", "base path"),
    ("NOT_FOUND", "Could not find version 2 of model multi", Reason.VERSION_NOT_FOUND, "F43", "version"),
    ("RESOURCE_EXHAUSTED", "Stream removed (CLIENT: Received message larger than max (6000080 vs. 4194304))", Reason.UPSTREAM_MESSAGE_TOO_LARGE, "F69", "4194304"),
    ("RESOURCE_EXHAUSTED", "Server Threadpool Exhausted", Reason.UPSTREAM_THREADS_EXHAUSTED, "F80", "threads"),
    ("DEADLINE_EXCEEDED", "Deadline Exceeded", Reason.UPSTREAM_DEADLINE_EXCEEDED, "F71", "deadline"),
    ("UNIMPLEMENTED", "", Reason.UPSTREAM_METHOD_UNKNOWN, "F76", "no such method"),
    ("INTERNAL", "", Reason.REQUEST_MALFORMED, "F26", "parse"),
    ("INVALID_ARGUMENT", "Input is empty.", Reason.UPSTREAM_REQUEST_FAULT, "F97", "no Example"),
    ("INVALID_ARGUMENT", "Name: <unknown>, Feature: x (data type: float) is required but could not be found.\n\t [[{{node ParseExample/ParseExampleV2}}]]", Reason.UPSTREAM_REQUEST_FAULT, "F97", "feature 'x'"),
    ("INVALID_ARGUMENT", "Name: <unknown>, Key: x, Index: 0.  Data types don't match. Data type: int64 but expected type: float\n\t [[{{node ParseExample/ParseExampleV2}}]]", Reason.UPSTREAM_REQUEST_FAULT, "F97", "'float'"),
    ("INVALID_ARGUMENT", "Expected one or two output Tensors, found 4", Reason.METHOD_MISMATCH, "F98", "exported for it"),
    ("INVALID_ARGUMENT", "Expected one output Tensor.", Reason.METHOD_MISMATCH, "F98", "exported for it"),
    ("UNIMPLEMENTED", "Unsupported signature method_name: tensorflow/serving/predict", Reason.METHOD_MISMATCH, "F98", "exported for it"),
    ("INVALID_ARGUMENT", 'Expected classification signature outputs to contain at least one of "classes" or "scores". Signature was: inputs {\n', Reason.METHOD_MISMATCH, "F98", "exported for it"),
    ("INVALID_ARGUMENT", "No signature was found with the name: nope", Reason.SIGNATURE_NOT_FOUND, "F10", "signature"),
    ("INVALID_ARGUMENT", "Could not parse example input, value: 'notproto'\n\t [[{{node ParseExample/ParseExampleV2}}]]", Reason.STRING_NOT_AN_EXAMPLE, "F97", "tf.train.Example"),
    ("INVALID_ARGUMENT", "All ModelSpecs in a MultiInferenceRequest must access the same model name.", Reason.UPSTREAM_REQUEST_FAULT, "F99", "one model"),
    ("INVALID_ARGUMENT", "Input to reshape is a tensor with 90600 values, but the requested shape requires a multiple of 90000" + NODE, Reason.UPSTREAM_REQUEST_FAULT, "F37", "'90600'"),
    ("INVALID_ARGUMENT", "Specified a list with shape [?,?,3] from a tensor with shape [640,3]\n\t [[{{node map/TensorArrayUnstack/TensorListFromTensor}}]]", Reason.UPSTREAM_REQUEST_FAULT, "F37", "shape"),
    ("INVALID_ARGUMENT", "Unknown image file format. One of JPEG, PNG, GIF, BMP required.\n\t [[{{node map/while/decode_image/DecodeImage}}]]", Reason.STRING_NOT_AN_IMAGE, "F23", "image"),
    ("INVALID_ARGUMENT", "Unknown image file format. One of JPEG, PNG, GIF, BMP, WebP required.", Reason.STRING_NOT_AN_IMAGE, "F23", "image"),
    ("INVALID_ARGUMENT", "jpeg::Uncompress failed. Invalid JPEG data or crop window.", Reason.STRING_NOT_AN_IMAGE, "F23", "image"),
    ("INVALID_ARGUMENT", "slice index 0 of dimension 0 out of bounds." + NODE, Reason.UPSTREAM_REQUEST_FAULT, "F35", "shape"),
    ("INVALID_ARGUMENT", "input depth must be evenly divisible by filter depth: 1 vs 3" + NODE, Reason.UPSTREAM_REQUEST_FAULT, "F37", "shape"),
    ("INVALID_ARGUMENT", "output depth must be evenly divisible by number of groups: 4 vs 100" + NODE, Reason.UPSTREAM_REQUEST_FAULT, "F37", "shape"),
    ("INVALID_ARGUMENT", "convolution input must be 4-dimensional: [300,300,3]" + NODE, Reason.UPSTREAM_REQUEST_FAULT, "F34", "shape"),
    ("INVALID_ARGUMENT", "input image must be of non-zero size" + NODE, Reason.UPSTREAM_REQUEST_FAULT, "F37", "shape"),
    ("INVALID_ARGUMENT", "Tensor must be at least a vector, but saw shape: []" + NODE, Reason.UPSTREAM_REQUEST_FAULT, "F35", "shape"),
    ("UNAVAILABLE", "Stream removed (Socket closed)", Reason.UPSTREAM_RESET, "F104", "in flight"),
    ("UNAVAILABLE", "failed to connect to all addresses; last error: UNKNOWN: ipv4:127.0.0.1:18537: Failed to connect to remote host: Connection refused", Reason.UPSTREAM_UNREACHABLE, "F49", "nothing listens"),
    ("FAILED_PRECONDITION", "Request to assign label to version 9 of model multi, which is not currently available for inference", Reason.UPSTREAM_CONFIG_FAULT, "F44", "'9'"),
    ("INVALID_ARGUMENT", "Illegal to list model good multiple times in config list", Reason.UPSTREAM_CONFIG_FAULT, "F48", "configuration"),
    ("INVALID_ARGUMENT", "Expected model rel to have an absolute path or URI; got base_path()=rel/x", Reason.UPSTREAM_CONFIG_FAULT, "F48", "configuration"),
    ("INVALID_ARGUMENT", "Model tt requests unsupported platform torch", Reason.UPSTREAM_CONFIG_FAULT, "F48", "configuration"),
    ("INVALID_ARGUMENT", "Illegal setting neither ModelServerConfig::model_type (deprecated) nor ModelServerConfig::model_platform, model name is tt", Reason.UPSTREAM_CONFIG_FAULT, "F48", "configuration"),
    ("UNKNOWN", LOAD % "OUT_OF_RANGE: Read less bytes than requested", Reason.MODEL_LOAD_FAILED, "F47", "cannot be parsed"),
    ("UNKNOWN", LOAD % "NOT_FOUND: Could not find meta graph def matching supplied tags: { serve }. To inspect available tag-sets", Reason.MODEL_LOAD_FAILED, "F47", "tag 'serve'"),
    ("UNKNOWN", LOAD % "NOT_FOUND: Op type not registered 'MyMissingCustomOp' in binary running on vm.", Reason.MODEL_LOAD_FAILED, "F53", "'MyMissingCustomOp'"),
    ("UNKNOWN", LOAD % "NOT_FOUND: Specified file path does not appear to contain a SavedModel bundle", Reason.MODEL_LOAD_FAILED, "F47", "saved_model.pb"),
    ("INTERNAL", "Tensor concat operation failed: INVALID_ARGUMENT: Cannot concatenate tensors that have different data types. Got int64 and int32.", Reason.UPSTREAM_BATCHING, "F82", "another request"),
    # quoted by users, or in the sources of other versions
    ("INVALID_ARGUMENT", "input tensor alias not found in signature: image. Inputs expected to be in the set {image_tensor}.", Reason.INPUT_UNKNOWN, "F02", "'image'"),
    ("INVALID_ARGUMENT", "input tensor alias not found in signature: images", Reason.INPUT_UNKNOWN, "F04", "'images'"),
    ("INVALID_ARGUMENT", "input size does not match signature", Reason.INPUT_MISSING, "F06", "number of inputs"),
    ("INVALID_ARGUMENT", "You must feed a value for placeholder tensor 'input_1' with dtype float and shape [?,?,?,3]", Reason.UPSTREAM_EXPORT_FAULT, "F08", "'input_1'"),
    ("FAILED_PRECONDITION", "Default serving signature key not found.", Reason.SIGNATURE_NOT_FOUND, "F09", "signature"),
    ("INVALID_ARGUMENT", 'Serving signature name: "predict" not found in signature def', Reason.SIGNATURE_NOT_FOUND, "F10", "signature"),
    ("INTERNAL", "Expected prediction signature method_name to be one of {tensorflow/serving/predict}. Was: ", Reason.UPSTREAM_EXPORT_FAULT, "F12", "method_name"),
    ("INVALID_ARGUMENT", "Tensor :0, specified in either feed_devices or fetch_devices was not found in the Graph", Reason.UPSTREAM_EXPORT_FAULT, "F13", "sparse"),
    ("INVALID_ARGUMENT", "FeedInputs: unable to find feed output ToFloat:0", Reason.UPSTREAM_EXPORT_FAULT, "F15", "'ToFloat:0'"),
    ("INVALID_ARGUMENT", "expected type int32 != int64", Reason.DTYPE_MISMATCH, "F22", "'int32'"),
    ("INVALID_ARGUMENT", "Expected input x to be float but get int64.", Reason.DTYPE_MISMATCH, "F22", "'x'"),
    ("INVALID_ARGUMENT", "Unable to decode bytes as JPEG, PNG, GIF, or BMP", Reason.STRING_NOT_AN_IMAGE, "F23", "image"),
    ("INVALID_ARGUMENT", "Expected image (JPEG, PNG, or GIF), got unknown format starting with 'AAAA'", Reason.STRING_NOT_AN_IMAGE, "F24", "image"),
    ("INVALID_ARGUMENT", "Invalid character found in base64.", Reason.UPSTREAM_REQUEST_FAULT, "F25", "base64"),
    ("INVALID_ARGUMENT", "transpose expects a vector of size 6. But input(1) is a vector of size 3", Reason.UPSTREAM_REQUEST_FAULT, "F33", "shape"),
    ("INVALID_ARGUMENT", "contents must be scalar, got shape [1]", Reason.UPSTREAM_REQUEST_FAULT, "F35", "shape"),
    ("INVALID_ARGUMENT", "The second input must be a scalar, but it has shape [1]", Reason.UPSTREAM_REQUEST_FAULT, "F35", "shape"),
    ("INVALID_ARGUMENT", "seq_lens input must be 1-dim, not 2", Reason.UPSTREAM_REQUEST_FAULT, "F35", "shape"),
    ("INVALID_ARGUMENT", "Batching session Run() input tensors must have at least one dimension", Reason.RANK_MISMATCH, "F36", "scalar"),
    ("UNIMPLEMENTED", "Generic conv implementation only supports NHWC tensor format for now", Reason.UPSTREAM_EXPORT_FAULT, "F38", "GPU"),
    ("UNIMPLEMENTED", "The Conv2D op currently only supports the NHWC tensor format on the CPU. The op was given the format: NCHW", Reason.UPSTREAM_EXPORT_FAULT, "F38", "GPU"),
    ("UNIMPLEMENTED", "Generic conv implementation does not support grouped convolutions for now.", Reason.UPSTREAM_EXPORT_FAULT, "F38", "GPU"),
    ("INVALID_ARGUMENT", "output_shape has incorrect number of elements: 2 should be: 1", Reason.UPSTREAM_EXPORT_FAULT, "F39", "static batch"),
    ("UNAVAILABLE", "Model labels does not init yet.", Reason.VERSION_LABEL_NOT_FOUND, "F44", "no labels yet"),
    ("NOT_FOUND", "export/1/export.meta", Reason.UPSTREAM_EXPORT_FAULT, "F47", "saved_model.pb"),
    ("DATA_LOSS", "corrupted record at 0", Reason.UPSTREAM_EXPORT_FAULT, "F54", "TFRecord"),
    ("INVALID_ARGUMENT", "protobuf tensorflow.GraphDef was rejected because it was too big (more than 1073741824 bytes)", Reason.UPSTREAM_EXPORT_FAULT, "F55", "constants"),
    ("FAILED_PRECONDITION", "Attempting to use uninitialized value dense/kernel", Reason.UPSTREAM_EXPORT_FAULT, "F56", "loaded but broken"),
    ("FAILED_PRECONDITION", "Error while reading resource variable w from Container: localhost. This could mean that the variable was uninitialized. Not found: Resource localhost/w/N10tensorflow3VarE does not exist.", Reason.UPSTREAM_EXPORT_FAULT, "F56", "loaded but broken"),
    ("FAILED_PRECONDITION", "Could not find variable w. This could mean that the variable has been deleted.", Reason.UPSTREAM_EXPORT_FAULT, "F56", "loaded but broken"),
    ("FAILED_PRECONDITION", "Table not initialized. [[{{node hash_table_Lookup_1}}]]", Reason.UPSTREAM_EXPORT_FAULT, "F57", "lookup table"),
    ("UNAVAILABLE", "failed to connect to all addresses", Reason.UPSTREAM_UNREACHABLE, "F62", "no connection"),
    ("UNAVAILABLE", "connections to all backends failing; last error: UNAVAILABLE: ipv4:127.0.0.1:8501: Socket closed", Reason.UPSTREAM_UNREACHABLE, "F62", "no connection"),
    ("UNAVAILABLE", "tfs-proxy: cannot reach tfs:8500 (10.0.0.1:8500: no answer in time)", Reason.UPSTREAM_UNREACHABLE, "F62", "no connection"),
    ("UNAVAILABLE", "Connect Failed", Reason.UPSTREAM_UNREACHABLE, "F60", "no connection"),
    ("UNAVAILABLE", "Endpoint read failed", Reason.UPSTREAM_RESET, "F66", "in flight"),
    ("UNAVAILABLE", "Transport closed", Reason.UPSTREAM_NOT_GRPC, "F61", "8501"),
    ("UNAVAILABLE", "Trying to connect an http1.x server", Reason.UPSTREAM_NOT_GRPC, "F61", "HTTP/1"),
    ("UNAVAILABLE", "DNS resolution failed for tf-serving:8500: C-ares status is not ARES_SUCCESS", Reason.UPSTREAM_NAME_UNRESOLVED, "F63", "resolved"),
    ("UNAVAILABLE", "Name resolution failure", Reason.UPSTREAM_NAME_UNRESOLVED, "F63", "resolved"),
    ("UNAVAILABLE", "failed to connect to all addresses; last error: UNKNOWN: ipv4:127.0.0.1:1: Ssl handshake failed: SSL_ERROR_SSL: error:100000f7:SSL routines:OPENSSL_internal:WRONG_VERSION_NUMBER", Reason.UPSTREAM_TLS_MISMATCH, "F65", "TLS"),
    ("UNAVAILABLE", "GOAWAY received; Error code: 11; Debug Text: ENHANCE_YOUR_CALM too_many_pings", Reason.UPSTREAM_KEEPALIVE, "F67", "pings"),
    ("RESOURCE_EXHAUSTED", "Received message larger than max (32243844 vs. 4194304)", Reason.UPSTREAM_MESSAGE_TOO_LARGE, "F69", "'32243844'"),
    ("INTERNAL", "Received RST_STREAM with error code 2", Reason.UPSTREAM_RESET, "F70", "size limit"),
    ("UNKNOWN", "Stream removed", Reason.UPSTREAM_RESET, "F74", "restarted"),
    ("UNAVAILABLE", "tfs-proxy: the server tfs:8500 did not answer in full: HTTP/2 PROTOCOL_ERROR: a frame on a stream that was never opened", Reason.UPSTREAM_NOT_GRPC, "F61", "breaks the rules"),
    ("UNAVAILABLE", "tfs-proxy: the server tfs:8500 did not answer in full: HTTP/2 ENHANCE_YOUR_CALM: metadata of more than 2100005 octets", Reason.UPSTREAM_METADATA_TOO_LARGE, "F120", "1 MiB"),
    ("RESOURCE_EXHAUSTED", "tfs-proxy: the server tfs:8500 did not answer in full: reset by peer: ENHANCE_YOUR_CALM", Reason.UPSTREAM_RESET, "F70", "gave this request up"),
    ("UNAVAILABLE", "tfs-proxy: the server tfs:8500 did not answer in full: the peer went away: INTERNAL_ERROR", Reason.UPSTREAM_RESET, "F104", "in flight"),
    ("UNKNOWN", "Stream removed (Failed parsing HTTP/2 (Frame size 7153103 is larger than max frame size 4194304))", Reason.UPSTREAM_NOT_GRPC, "F61", "breaks the rules"),
    ("INTERNAL", "Stream removed (Error parsing 'grpc-status' metadata)", Reason.UPSTREAM_NOT_GRPC, "F61", "breaks the rules"),
    ("UNIMPLEMENTED", "Received http2 header with status: 404", Reason.UPSTREAM_NOT_GRPC, "F75", "host name or path"),
    ("UNAVAILABLE", "Received http2 header with status: 502", Reason.UPSTREAM_NOT_GRPC, "F75", "what it leads to"),
    ("UNKNOWN", "Stream removed (Data frame with END_STREAM flag received)", Reason.UPSTREAM_NOT_GRPC, "F61", "trailers"),
    ("UNKNOWN", "No status received", Reason.UPSTREAM_NOT_GRPC, "F61", "trailers"),
    ("UNKNOWN", "tfs-proxy: tfs:8500 did not answer in gRPC: received unexpected content-type 'text/html'", Reason.UPSTREAM_NOT_GRPC, "F61", "HTTP server"),
    ("UNKNOWN", "tfs-proxy: the answer of tfs:8500 ended without a gRPC status", Reason.UPSTREAM_NOT_GRPC, "F61", "trailers"),
    ("UNKNOWN", "tfs-proxy: tfs:8500 did not answer in gRPC: received http2 header with status: 413, server 'nginx'", Reason.UPSTREAM_MESSAGE_TOO_LARGE, "F70", "413"),
    ("RESOURCE_EXHAUSTED", "", Reason.UPSTREAM_THREADS_EXHAUSTED, "F80", "thread quota"),
    ("INVALID_ARGUMENT", "Task size 64 is larger than maximum input batch size 32", Reason.BATCH_TOO_LARGE, "F81", "'32'"),
    ("INVALID_ARGUMENT", "Batching session Run() input tensors must have equal 0th-dimension size", Reason.BATCH_MISMATCH, "F82", "leading dimension"),
    ("FAILED_PRECONDITION", "Batched output tensor's 0th dimension does not equal the sum of the 0th dimension sizes of the input tensors", Reason.UPSTREAM_EXPORT_FAULT, "F83", "batch dimension"),
    ("FAILED_PRECONDITION", "Tensors with name 'x' from different tasks have different shapes and padding is turned off. Set pad_variable_length_inputs to true, or ensure", Reason.UPSTREAM_BATCHING, "F84", "succeed alone"),
    ("UNAVAILABLE", "This task would start a fresh batch, but all batch threads are busy", Reason.UPSTREAM_QUEUE_FULL, "F86", "queue"),
    ("INVALID_ARGUMENT", "Last entry in allowed_batch_sizes must match max_batch_size; last entry was 16; expected 32", Reason.UPSTREAM_CONFIG_FAULT, "F87", "allowed_batch_sizes"),
    ("RESOURCE_EXHAUSTED", "OOM when allocating tensor with shape[150,256,160,160]", Reason.UPSTREAM_OUT_OF_MEMORY, "F88", "memory"),
    ("INTERNAL", "Blas GEMM launch failed : a.shape=(1, 100), b.shape=(100, 10), m=1, n=10, k=100", Reason.UPSTREAM_DEVICE_FAULT, "F116", "'Blas'"),
    ("RESOURCE_EXHAUSTED", "received metadata size exceeds soft limit (12576 vs. 8192);  :path:82B user-agent:90B cookie:12038B", Reason.UPSTREAM_METADATA_TOO_LARGE, "F120", "'12576' bytes"),
    ("RESOURCE_EXHAUSTED", "received metadata size exceeds hard limit (value length 20000 vs. 16384)", Reason.UPSTREAM_METADATA_TOO_LARGE, "F120", "limit is '16384'"),
    ("RESOURCE_EXHAUSTED", "received initial metadata size exceeds limit (9000 vs. 8192)", Reason.UPSTREAM_METADATA_TOO_LARGE, "F120", "'9000' bytes"),
    ("UNKNOWN", "tfs-proxy: tfs:8500 did not answer in gRPC: received http2 header with status: 431, server 'envoy'", Reason.UPSTREAM_METADATA_TOO_LARGE, "F120", "front or mesh"),
    ("INTERNAL", "header list size to send violates the maximum size (16384 bytes) set by server", Reason.UPSTREAM_METADATA_TOO_LARGE, "F120", "front or mesh"),
    ("INTERNAL", "std::bad_alloc", Reason.UPSTREAM_OUT_OF_MEMORY, "F90", "memory"),
    ("INVALID_ARGUMENT", "Expected classification signature method_name to be tensorflow/serving/classify. Was: tensorflow/serving/predict", Reason.METHOD_MISMATCH, "F98", "exported for it"),
    ("INVALID_ARGUMENT", "Expected Tensor shape: [batch_size num_classes] but got [3]", Reason.UPSTREAM_EXPORT_FAULT, "F98", "[batch, classes]"),
    ("INVALID_ARGUMENT", "No OpKernel was registered to support Op 'CudnnRNN' used by {{node rnn/CudnnRNN}} with these attrs: [T=DT_FLOAT]", Reason.UPSTREAM_EXPORT_FAULT, "F53", "'CudnnRNN'"),
    ("INVALID_ARGUMENT", "Number of warmup records exceeds the maximum (1000) at /models/m/1/assets.extra/tf_serving_warmup_requests", Reason.UPSTREAM_EXPORT_FAULT, "F54", "1000"),
    ("INVALID_ARGUMENT", "indices[0,1] = 12 is not in [0, 10)", Reason.UPSTREAM_REQUEST_FAULT, "F117", "indices[0,1]"),
    ("INVALID_ARGUMENT", "Duplicate evaluation of signature: x", Reason.UPSTREAM_REQUEST_FAULT, "F99", "once"),
    # none of the rows, but from within a graph
    ("INTERNAL", "Unexpected state of the model's own op\n\t [[{{node MyOp}}]]", Reason.UPSTREAM_GRAPH_FAULT, None, "'MyOp'"),
    ("FAILED_PRECONDITION", "sequence_length(0) <= 2\n\t [[{{node CTCGreedyDecoder}}]]", Reason.UPSTREAM_GRAPH_FAULT, None, "does not say"),
    ("INVALID_ARGUMENT", "assertion failed: [negative length]\n\t [[{{node Assert}}]]", Reason.UPSTREAM_REQUEST_FAULT, None, "'Assert'"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("code", "text", "reason", "failure", "word"), TEXTS, ids=[f"{each[3]}-{each[1][:40]}" for each in TEXTS]
)
def test_a_known_text_is_explained(code, text, reason, failure, word):
    diagnosis = diagnose(CODES[code], text)
    assert diagnosis.reason is reason
    assert failure is None or failure in diagnosis.failures
    assert word in diagnosis.sentence
    assert diagnosis.remedy


def measured_errors():
    rows = [json.loads(line) for line in TRUTH.read_text().splitlines()]
    return [row for row in rows if row["code"] != "OK"]


@pytest.mark.parametrize("row", measured_errors(), ids=lambda row: row["label"])
def test_every_error_that_the_genuine_server_answered_has_a_diagnosis(row):
    assert diagnose(CODES[row["code"]], row["details"], Call(PREDICT)) is not None


@pytest.mark.parametrize("code", sorted(set(range(17)) - {3, 11}))
def test_a_code_that_does_not_blame_the_request_never_makes_it_the_requests_fault(code):
    """Whatever the text says: TensorFlow answers INVALID_ARGUMENT or OUT_OF_RANGE where an argument is wrong."""
    for _, text, *_ in TEXTS:
        diagnosis = diagnose(code, text)
        assert diagnosis is None or diagnosis.reason is not Reason.UPSTREAM_REQUEST_FAULT, text


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.pattern.pattern[:50])
def test_every_row_knows_a_text_that_was_seen(row):
    texts = (text for _, text, *_ in (*TEXTS, *DEVICE_TEXTS))
    seen = (*texts, *(each["details"] for each in measured_errors()))
    assert any(row.pattern.search(row.says(text) if row.says else text) for text in seen)


def test_a_text_that_no_row_knows_gets_no_diagnosis():
    assert diagnose(CODES["INVALID_ARGUMENT"], "the moon is full") is None
    assert diagnose(CODES["PERMISSION_DENIED"], "") is None
    assert diagnose(CODES["DEADLINE_EXCEEDED"], "upstream request timeout of a mesh") is None


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.pattern.pattern[:50])
def test_every_row_is_fit_to_print(row):
    diagnosis = row.diagnosis
    for words in (diagnosis.sentence, diagnosis.remedy):
        assert words.isascii()
        assert words.isprintable()
        assert 0 < len(words) <= SENTENCE_BUDGET
    assert not diagnosis.sentence.endswith(".")
    assert diagnosis.remedy.endswith(".")
    assert all(failure.startswith("F") and failure[1:].isdigit() for failure in diagnosis.failures)


@given(st.integers(0, 20), st.text(max_size=3000))
def test_any_text_is_answered_in_one_printable_line_or_not_at_all(code, text):
    for prefix in ("", "tensor parsing error: ", "Signature input alias: ", "Could not find variable "):
        diagnosis = diagnose(code, prefix + text)
        if diagnosis is not None:
            assert diagnosis.sentence.isascii()
            assert diagnosis.sentence.isprintable()
            assert len(diagnosis.sentence) <= SENTENCE_BUDGET


def test_bytes_of_the_request_that_a_text_quotes_are_not_repeated():
    text = "Could not parse example input, value: 'my secret'\n\t [[{{node ParseExample/ParseExampleV2}}]]"
    diagnosis = diagnose(CODES["INVALID_ARGUMENT"], text)
    assert "secret" not in diagnosis.sentence + diagnosis.remedy


def test_every_upstream_reason_is_reached_by_some_text():
    reached = {diagnose(CODES[code], text).reason for code, text, *_ in TEXTS}
    upstream = {reason for reason, about in REASONS.items() if about.family == "upstream"}
    assert upstream - reached == {Reason.UPSTREAM_CONTRADICTORY}  # needs GetModelStatus: test_server_faults


def test_a_load_error_that_is_a_calls_error_at_other_times_is_blamed_on_the_warm_up():
    diagnosis = diagnose_load_error(3, "Expects arg[0] to be int64 but float is provided")
    assert diagnosis.reason is Reason.UPSTREAM_EXPORT_FAULT
    assert "warm-up" in diagnosis.sentence
    assert "tf_serving_warmup_requests" in diagnosis.remedy


def test_a_load_error_of_the_export_is_explained_as_such():
    diagnosis = diagnose_load_error(5, "Op type not registered 'MyOp' in binary running on vm.")
    assert diagnosis.reason is Reason.UPSTREAM_EXPORT_FAULT
    assert "'MyOp'" in diagnosis.sentence
    assert "warm-up" not in diagnosis.sentence


def test_a_load_error_that_nobody_knows_stays_as_it_is():
    assert diagnose_load_error(2, "the moon is full") is None
