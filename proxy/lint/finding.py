"""What lint says: rules with fixed ids, and findings that point at a place.

Law: an id is stable once released; it is what a person silences and what SARIF carries.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType


class Level(StrEnum):
    """How bad it is, in SARIF's words. Notes never make lint fail."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Rule:
    """What is looked for; `remedy` is one sentence, `failures` the kinds of failure users reported."""

    id: str
    level: Level
    remedy: str
    failures: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault: `line` and `column` count from 1 and are None where the fault is not in a text."""

    rule: Rule
    path: Path
    message: str
    line: int | None = None
    column: int | None = None

    @property
    def place(self) -> str:
        """`FILE:LINE:COLUMN`, as editors and CI systems make it clickable."""
        return ":".join(str(part) for part in (self.path, self.line, self.column) if part is not None)


def _rules(level: Level, *rows: tuple[str, str, str]) -> dict[str, Rule]:
    return {name: Rule(name, level, remedy, tuple(failures.split())) for name, failures, remedy in rows}


RULES: Mapping[str, Rule] = MappingProxyType(
    _rules(
        Level.ERROR,
        ("unreadable", "F45", "Let the user that the server runs as read it."),
        ("config-syntax", "F48", "Write protobuf text format: field: value, message { ... }."),
        ("config-empty", "F48", "List at least one model: model_config_list { config { ... } }."),
        ("name-missing", "F48", "Give the model the name that clients put into model_spec.name."),
        ("name-duplicate", "F48", "Give every model a name of its own; versions belong to one entry."),
        ("base-path-missing", "F48", "Set base_path to the directory that holds the version directories."),
        ("base-path-relative", "F48 F62", "Write an absolute path or a URI, as the server sees it."),
        ("base-path-not-found", "F45", "Mount or create it, or say where it is here with --root; --no-disk leaves it unchecked."),
        ("base-path-is-version", "F46", "Point base_path at the parent of the numbered directory."),
        ("base-path-no-version", "F45 F46 F49", "Put the export into a directory named by a number: base_path/1/saved_model.pb."),
        ("platform-missing", "F48", 'Set model_platform: "tensorflow".'),
        ("platform-ambiguous", "F48", "Set model_platform and remove model_type."),
        ("policy-version-absent", "F43", "Put the version on disk, or name one that is there."),
        ("policy-empty", "F43", "Name versions, or remove the policy to serve the latest."),
        ("label-unavailable", "F44", "Serve the version (model_version_policy) or give the label to one that is served."),
        ("batching-sizes-order", "F87", "List allowed_batch_sizes in increasing order."),
        ("batching-sizes-last", "F87", "End allowed_batch_sizes with max_batch_size (1000 where it is not set)."),
        ("batching-value", "F87", "Give a positive number."),
        ("batching-execution-size", "F87", "Set max_execution_batch_size no higher than max_batch_size."),
        ("saved-model-missing", "F45 F47", "Put saved_model.pb and variables/ directly into the version directory."),
        ("saved-model-unreadable", "F47", "Copy the export again; move it to its number only when it is complete."),
        ("graph-too-large", "F55", "Export with variables instead of constants (no freezing)."),
        ("tag-missing", "F47", "Export with tf.saved_model.save, or with tags=['serve']."),
        ("variables-missing", "F56", "Copy the whole variables/ directory of the export."),
        ("signatures-none", "F09", "Export with signatures=..., or from a model whose call is a tf.function with an input signature."),
        ("signature-tensor-sparse", "F13", "Export dense tensors (tf.sparse.to_dense, RaggedTensor.to_tensor)."),
        ("signature-tensor-absent", "F15", "Export graph and signature together; do not strip the graph afterwards."),
        ("placeholder-unbound", "F08", "Bind every placeholder to an input, or make it a placeholder_with_default."),
        ("op-python", "F53", "Express it in TensorFlow operations: Python functions do not travel with an export."),
        ("warmup-corrupt", "F54", "Write it again with tf.io.TFRecordWriter, without compression."),
        ("warmup-not-a-log", "F54", "Each record is a serialised tensorflow.serving.PredictionLog."),
        ("warmup-request", "F54", "Make the record fit the signature, or leave it out: one bad record ends the load."),
        ("warmup-too-many", "F54", "Keep at most 1000 records."),
    )
    | _rules(
        Level.WARNING,
        ("platform-unknown", "F48", 'Use "tensorflow" unless a --platform_config_file registers another.'),
        ("model-type-deprecated", "F48", 'Use model_platform: "tensorflow" instead of model_type.'),
        ("version-not-numeric", "F46", "Rename the directory to a number: anything else is ignored in silence."),
        ("version-duplicate", "F46", "Keep one directory per number."),
        ("batching-splitting-off", "F87", "Set enable_large_batch_splitting, or remove max_execution_batch_size: it is ignored."),
        ("batching-timeout", "F91", "batch_timeout_micros counts microseconds; every request may wait this long."),
        ("batching-padding", "F85", "Pad in the client: the server pads with the first element, which can change results."),
        ("monitoring-off", "F87", "Set prometheus_config { enable: true }."),
        ("monitoring-path", "F87", "Begin the path with a slash, such as /monitoring/prometheus/metrics."),
        ("platform-config-type", "F48", "Name the adapter: [type.googleapis.com/tensorflow.serving.SavedModelBundleSourceAdapterConfig]."),
        ("variables-temporary", "F56", "Copy again when the export has finished."),
        ("op-needs-library", "F53", "Serve with a build that has the operation, or export without it."),
        ("warmup-ignored", "F79", "Wrap the request: PredictionLog(predict_log=PredictLog(request=...))."),
        ("warmup-misplaced", "F79", "Move it to assets.extra/tf_serving_warmup_requests."),
    )
    | _rules(
        Level.NOTE,
        ("signature-default-none", "F10 F11", "Clients must set model_spec.signature_name."),
        ("signature-method-empty", "F12", "Servers with --enable_signature_method_name_check refuse it; export with a method_name."),
        ("signature-batch-one", "F30", "Only one example per request fits; export with a free batch dimension (None) for more."),
        ("signature-output-batch", "F83", "Fails with --enable_batching; export outputs whose first dimension is the batch."),
        ("op-channels-first", "F38", "Runs on GPUs only; export with data_format NHWC for CPU servers."),
    )
)  # fmt: skip
"""Every rule by its id."""


def finding(rule: str, path: Path, message: str, at: tuple[int, int] | None = None) -> Finding:
    """A finding of the rule with this id, at (line, column) where there is one."""
    line, column = at if at is not None else (None, None)
    return Finding(RULES[rule], path, message, line, column)
