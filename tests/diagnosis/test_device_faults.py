"""The server's device and libraries: what TensorFlow 2.21 has in its binary, and what users quoted of older ones."""

import pytest

from proxy.core.reasons import Reason
from proxy.diagnosis import diagnose, diagnose_load_error

UNKNOWN, NOT_FOUND, EXHAUSTED, PRECONDITION, ABORTED, UNIMPLEMENTED, INTERNAL = 2, 5, 8, 9, 10, 12, 13
INVALID_ARGUMENT, UNAVAILABLE = 3, 14
NODE = "\n\t [[{{node StatefulPartitionedCall/model/conv1/Conv2D}}]]"

TEXTS = [
    # cuDNN: tensorflow/models#7088, tensorflow/serving#1474, tensorflow/tensorflow#55309
    (UNKNOWN, "Failed to get convolution algorithm. This is probably because cuDNN failed to initialize, so try looking to see if a warning log message was printed above.", "'cuDNN'"),
    (UNKNOWN, "2 root error(s) found.\n  (0) Unknown: Failed to get convolution algorithm. This is probably because cuDNN failed to initialize", "'cuDNN'"),
    (UNIMPLEMENTED, "DNN library is not found.", "'DNN'"),
    (PRECONDITION, "DNN library initialization failed. Look at the errors above for more details.", "'DNN'"),
    (UNKNOWN, "Fail to find the dnn implementation.", "'dnn'"),
    (INTERNAL, "cuDNN launch failure : input shape ([1,64,112,112]) filter shape ([3,3,64,64])", "'cuDNN'"),
    (INTERNAL, "No DNN in stream executor.", "'DNN'"),
    (NOT_FOUND, "No algorithm worked!  Error messages:", "'No algorithm worked'"),
    (INTERNAL, "Failed to call DoRnnForward with model config: [rnn_mode, rnn_input_mode, rnn_direction_mode]: 2, 0, 0", "'Failed to call DoRnn'"),
    (UNKNOWN, "CUDNN_STATUS_EXECUTION_FAILED\nin tensorflow/stream_executor/cuda/cuda_dnn.cc(5023)", "'CUDNN'"),
    # BLAS, FFT, solver, NCCL
    (INTERNAL, "Blas GEMM launch failed : a.shape=(1, 100), b.shape=(100, 10), m=1, n=10, k=100", "'Blas'"),
    (INTERNAL, "Blas xGEMM launch failed : a.shape=[1,1,2048], b.shape=[1,2048,10], m=1, n=10, k=2048", "'Blas'"),
    (INTERNAL, "Attempting to perform BLAS operation using StreamExecutor without BLAS support", "'BLAS'"),
    (INTERNAL, "No Blas support for stream", "'Blas'"),
    (INTERNAL, "failed to create cublas handle: CUBLAS_STATUS_NOT_INITIALIZED", "'cublas'"),
    (INTERNAL, "Failed to create cuFFT batched plan.", "'cuFFT'"),
    (INTERNAL, ": cuSolverDN call failed with status =7", "'cuSolver'"),
    (INTERNAL, "The cuSPARSE library was not found.", "'cuSPARSE'"),
    (UNKNOWN, "NCCL operation ncclAllReduce failed: unhandled cuda error. Connection closed by remote peer", "'NCCL'"),
    # the device itself
    (INTERNAL, "GPU sync failed", "'GPU'"),
    (INTERNAL, "CPU->GPU Memcpy failed", "'GPU'"),
    (INTERNAL, "CUDA error encountered at: an illegal memory access was encountered", "'CUDA'"),
    (INTERNAL, "Failed to launch CropAndResizeKernel.", "'Failed to launch'"),
    (INTERNAL, "Could not launch TopKKernel: unspecified launch failure", "'Could not launch'"),
    (INTERNAL, "Failed launching MaxPoolForwardNoMask", "'Failed launching'"),
    (INTERNAL, "CUDA_ERROR_LAUNCH_TIMEOUT: the launch timed out and was terminated", "'CUDA'"),
    (INTERNAL, "MIOpen error: miopenStatusInternalError", "'MIOpen'"),
    (ABORTED, "Operation received an exception:Status: 1, message: could not create a primitive, in file tensorflow/core/kernels/mkl/mkl_conv_ops.cc:1153", "'Operation received an exception'"),
    (INTERNAL, "failed call to cuInit: UNKNOWN ERROR (303)", "'cuInit'"),
    (INTERNAL, "Failed to build TensorRT engine", "'TensorRT'"),
    (INTERNAL, "dnn PoolForward launch failed", "'dnn'"),
    (INTERNAL, "Loaded runtime CuDNN library: 7.1.2 but source was compiled with: 7.2.1.", "'CuDNN'"),
    # driver
    (INTERNAL, "cudaGetDevice() failed. Status: CUDA driver version is insufficient for CUDA runtime version", "do not fit one another ('driver version is insufficient')"),
    (INTERNAL, "CUDA runtime implicit initialization on GPU:0 failed. Status: device kernel image is invalid", "do not fit"),
    (INTERNAL, "no kernel image is available for execution on the device", "do not fit"),
    (INTERNAL, "Failed to load in-memory CUBIN (compiled for a different GPU?).", "do not fit"),
    (INTERNAL, "CUDA_ERROR_UNSUPPORTED_PTX_VERSION: the provided PTX was compiled with an unsupported toolchain.", "do not fit"),
    # compiling: tensorflow/tensorflow#60790
    (INTERNAL, "libdevice not found at ./libdevice.10.bc", "cannot compile code for its GPU ('libdevice')"),
    (UNKNOWN, "JIT compilation failed.", "cannot compile"),
    (INTERNAL, "Generating device code failed.", "cannot compile"),
    (INTERNAL, "Failed to launch ptxas", "cannot compile"),
    (UNIMPLEMENTED, "No PTX compilation provider is available. Neither ptxas/nvlink nor nvjtlink is available.", "cannot compile"),
    # a device that is not there
    (INVALID_ARGUMENT, "Cannot assign a device for operation dense/MatMul: {{node dense/MatMul}} was explicitly assigned to /device:GPU:0 but available devices are [ /job:localhost/replica:0/task:0/device:CPU:0 ].", "pinned to a device"),
    (INVALID_ARGUMENT, "Could not satisfy explicit device specification '/device:GPU:1' because no devices matching that specification are registered in this process", "pinned to a device"),
]  # fmt: skip


@pytest.mark.parametrize(("code", "text", "words"), TEXTS, ids=[each[1][:40] for each in TEXTS])
def test_a_device_or_library_that_fails_is_named_and_the_request_is_not_blamed(code, text, words):
    for diagnosis in (diagnose(code, text), diagnose(code, text + NODE)):
        assert diagnosis.reason is Reason.UPSTREAM_DEVICE_FAULT
        assert words in diagnosis.sentence
        assert diagnosis.failures == ("F116",)
        assert diagnosis.append


@pytest.mark.parametrize(
    "text",
    [
        "CUDA_ERROR_OUT_OF_MEMORY: out of memory",
        "Ran out of GPU memory when allocating 64 bytes for ",
        "failed to create cublas handle: CUBLAS_STATUS_ALLOC_FAILED",
        "CUDNN failed to allocate the scratch space for the runner or to find a working no-scratch runner.",
        "Dst tensor is not initialized.",
        "Out of device memory",
        "OOM when allocating tensor with shape[64,300,300,64] and type float on /job:localhost/replica:0/task:0/device:GPU:0 by allocator GPU_0_bfc",
    ],
)
@pytest.mark.parametrize("code", [EXHAUSTED, INTERNAL])
def test_a_device_without_memory_is_told_as_that(code, text):
    assert diagnose(code, text).reason is Reason.UPSTREAM_OUT_OF_MEMORY


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (UNAVAILABLE, "DNS resolution failed for cuda-gpu:8500: Domain name not found"),
        (
            UNAVAILABLE,
            "failed to connect to all addresses; last error: UNKNOWN: GPU:8500: Connection refused",
        ),
        (UNKNOWN, "tfs-proxy: GPU:8500 did not answer in gRPC: received unexpected content-type 'text/html'"),
        (NOT_FOUND, "Servable not found for request: Latest(cudnn)"),
        (PRECONDITION, 'Serving signature key "cuda" not found.'),
        (UNIMPLEMENTED, "Unsupported signature method_name: GPU"),
        (INVALID_ARGUMENT, "You must feed a value for placeholder tensor 'cudnn_lstm' with dtype float"),
        (INVALID_ARGUMENT, "Cannot use GPU for > 2^31 entry inputs" + NODE),
        (INTERNAL, "assertion of the model\n\t [[{{node lstm/CudnnRNNV3}}]]"),
        (INTERNAL, "{{function_node __inference_gpu_cuda_12}} assertion of the model" + NODE),
    ],
)
def test_a_name_that_sounds_like_a_device_is_none(code, text):
    assert diagnose(code, text).reason is not Reason.UPSTREAM_DEVICE_FAULT


def test_a_version_that_a_device_keeps_from_loading_is_not_blamed_on_its_warm_up():
    found = diagnose_load_error(UNKNOWN, "Failed to get convolution algorithm: cuDNN failed to initialize")
    assert found.reason is Reason.UPSTREAM_DEVICE_FAULT
    assert "warm-up" not in found.sentence
    text = "1 model(s) did not become available: {{{name: m version: 1} due to error: INTERNAL: libdevice not found at ./libdevice.10.bc}, }"
    found = diagnose(UNKNOWN, text)
    assert found.reason is Reason.MODEL_LOAD_FAILED
    assert "cannot compile code for its GPU" in found.sentence
