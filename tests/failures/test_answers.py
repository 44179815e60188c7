"""Errors of servers that cannot be had here (GPUs, other versions, hops in between), with the texts users quoted.

The text comes over a real connection through a real proxy. Each case is (failures, code, text, words).
"""

import pytest

NODE = " [[{{node hash_table_Lookup_1}}]]"

ANSWERS = [
    ("F08", "INVALID_ARGUMENT", "You must feed a value for placeholder tensor 'keep_prob' with dtype float", "fault of the export, not of the request"),
    ("F09", "FAILED_PRECONDITION", "Default serving signature key not found.", "no signature of that name"),
    ("F12", "INTERNAL", "Expected prediction signature method_name to be one of {tensorflow/serving/predict}. Was: ", "method_name is empty or unknown"),
    ("F13", "INVALID_ARGUMENT", "Tensor :0, specified in either feed_devices or fetch_devices was not found in the Graph", "sparse or ragged"),
    ("F15", "INVALID_ARGUMENT", "FeedInputs: unable to find feed output ToFloat:0", "its graph does not have"),
    ("F25", "INVALID_ARGUMENT", "Invalid character found in base64.", "text encoded twice"),
    ("F30 F32", "INVALID_ARGUMENT", "Input to reshape is a tensor with 8192 values, but the requested shape has 2048", "exported with a fixed batch of 1"),
    ("F38", "UNIMPLEMENTED", "The Conv2D op currently only supports the NHWC tensor format on the CPU. The op was given the format: NCHW", "built for a GPU"),
    ("F39", "INVALID_ARGUMENT", "output_shape has incorrect number of elements: 2 should be: 1", "static batch size"),
    ("F42", "NOT_FOUND", "Servable not found for request: Latest(m)", "two servers may share one port"),
    ("F44", "UNAVAILABLE", "Model labels does not init yet.", "once the model is loaded"),
    ("F53", "UNKNOWN", "1 model(s) did not become available: {{{name: m version: 2} due to error: NOT_FOUND: Op type not registered 'X' in binary}, }", "does not know operation 'X'"),
    ("F55", "INVALID_ARGUMENT", "protobuf tensorflow.GraphDef was rejected because it was too big (more than 1073741824 bytes)", "constants"),
    ("F56", "FAILED_PRECONDITION", "Attempting to use uninitialized value dense/kernel", "loaded but broken"),
    ("F57", "FAILED_PRECONDITION", "Table not initialized." + NODE, "never initialised"),
    ("F66", "UNAVAILABLE", "Socket closed", "an idle limit"),
    ("F67", "UNAVAILABLE", "GOAWAY received; Error code: 11; Debug Text: ENHANCE_YOUR_CALM too_many_pings", "too many keepalive pings"),
    ("F69", "RESOURCE_EXHAUSTED", "Received message larger than max (32243844 vs. 4194304)", "default of gRPC clients"),
    ("F70", "UNKNOWN", "HTTP status 413 Request Entity Too Large", "HTTP front refuses the size"),
    ("F75", "UNIMPLEMENTED", "Received http2 header with status: 404", "does not route this host name or path"),
    ("F80", "RESOURCE_EXHAUSTED", "", "thread quota"),
    ("F81", "INVALID_ARGUMENT", "Task size 64 is larger than maximum input batch size 32", "max_batch_size of '32'"),
    ("F82", "INVALID_ARGUMENT", "Batching session Run() input tensors must have equal 0th-dimension size", "same leading dimension"),
    ("F83", "FAILED_PRECONDITION", "Batched output tensor's 0th dimension does not equal the sum of the 0th dimension sizes of the input tensors", "does not begin with the batch dimension"),
    ("F84", "FAILED_PRECONDITION", "Tensors with name 'x' from different tasks have different shapes and padding is turned off. Set pad_variable_length_inputs to true", "may well succeed alone"),
    ("F86", "UNAVAILABLE", "This task would start a fresh batch, but all batch threads are busy, so at present there are no free slots", "queue"),
    ("F87", "INVALID_ARGUMENT", "Last entry in allowed_batch_sizes must match max_batch_size; last entry was 16", "contradict each other"),
    ("F88 F89", "RESOURCE_EXHAUSTED", "OOM when allocating tensor with shape[150,256,160,160]", "no memory left"),
    ("F90", "INTERNAL", "std::bad_alloc", "no memory left"),
    ("F116", "UNKNOWN", "Failed to get convolution algorithm. This is probably because cuDNN failed to initialize", "failed ('cuDNN'); nothing says that the request is why"),
    ("F116", "UNIMPLEMENTED", "DNN library is not found." + NODE, "UPSTREAM_DEVICE_FAULT"),
    ("F116", "INTERNAL", "Blas GEMM launch failed : a.shape=(1, 100), b.shape=(100, 10), m=1, n=10, k=100" + NODE, "failed ('Blas')"),
    ("F116", "INTERNAL", "libdevice not found at ./libdevice.10.bc" + NODE, "cannot compile code for its GPU"),
    ("F116", "INTERNAL", "cudaGetDevice() failed. Status: CUDA driver version is insufficient for CUDA runtime version", "do not fit one another"),
    ("F99", "INVALID_ARGUMENT", "Duplicate evaluation of signature: serving_default", "each signature once"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("failures", "code", "text", "words"), ANSWERS, ids=[f"{case[0]}-{n}" for n, case in enumerate(ANSWERS)]
)
def test_an_error_that_users_reported_is_explained(answering, failures, code, text, words):
    told = answering(code, text)
    assert told.code == code
    assert told.words.startswith(text)
    assert words in told.words
