"""A model server compatible with TensorFlow Serving, on the real TensorFlow, for demo, development, tests.

Law: it answers what tensorflow_model_server answers, its misleading texts, its silences and its crashes
included; it never helps. It stands alone: of the proxy it knows only the message classes.

The path of a request: `server` (gRPC, bytes) → `repository` (which version) → `inference` (the order of the
checks) → `tensors` (message ↔ tensor) → `runtime` (TensorFlow's C API).
"""
