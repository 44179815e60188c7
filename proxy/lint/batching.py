"""Batching parameters that contradict each other, or do not do what they seem to.

Law: the checks of `WrapSessionForBatching` (`bundle_factory_util.cc`), and what the batch scheduler makes of
the rest; the same for a batching file and for batching_parameters inside a platform configuration.
"""

import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from proxy.lint.finding import Finding, finding
from proxy.lint.textproto import TRUE, Field

_DEFAULT_MAX_BATCH: Final = 1000
"""`SharedBatchScheduler::QueueOptions::input_batch_size_limit`."""

_PATIENCE_MICROS: Final = 1_000_000
_NOT_NUMBERS: Final = frozenset({"thread_pool_name", "enable_large_batch_splitting"})


def check_batching(path: Path, parameters: Field) -> Iterator[Finding]:
    """Every fault of one BatchingParameters message."""
    numbers: dict[str, int] = {}
    for field in parameters.fields:
        value = field.first("value")
        # An empty wrapper message is a zero.
        number = value.number if value is not None else 0 if not field.text else None
        if number is None or field.name in _NOT_NUMBERS:
            continue
        numbers[field.name] = number
        if number < (0 if field.name == "batch_timeout_micros" else 1):
            yield finding("batching-value", path, f"{field.name} is {number}", (value or field).at)
    timeout = parameters.first("batch_timeout_micros")
    if timeout is not None and numbers.get(timeout.name, 0) >= _PATIENCE_MICROS:
        seconds = numbers[timeout.name] / 1_000_000
        yield finding(
            "batching-timeout", path, f"a request may wait {seconds:g} s for others to join it", timeout.at
        )
    yield from _allowed_sizes(path, parameters, numbers)
    yield from _execution_size(path, parameters, numbers)
    padding = parameters.first("pad_variable_length_inputs")
    if padding is not None and padding.text in TRUE:
        yield finding(
            "batching-padding", path, "inputs of different lengths are padded by the server", padding.at
        )


def _allowed_sizes(path: Path, parameters: Field, numbers: Mapping[str, int]) -> Iterator[Finding]:
    fields = list(parameters.all("allowed_batch_sizes"))
    sizes = [(field, field.number) for field in fields if field.number is not None]
    if not sizes:
        return
    for (_, before), (field, size) in itertools.pairwise(sizes):
        if size <= before:
            yield finding("batching-sizes-order", path, f"{size} comes after {before}", field.at)
    first, smallest = sizes[0]
    if smallest < 1:
        yield finding("batching-value", path, f"an allowed batch size of {smallest}", first.at)
    last, largest = sizes[-1]
    limit = numbers.get("max_batch_size", _DEFAULT_MAX_BATCH)
    if largest != limit:
        by_default = "" if "max_batch_size" in numbers else " by default"
        message = f"allowed_batch_sizes ends with {largest}, and max_batch_size is {limit}{by_default}"
        yield finding("batching-sizes-last", path, message, last.at)


def _execution_size(path: Path, parameters: Field, numbers: Mapping[str, int]) -> Iterator[Finding]:
    execution = parameters.first("max_execution_batch_size")
    if execution is None:
        return
    splitting = parameters.first("enable_large_batch_splitting")
    limit = numbers.get("max_batch_size", _DEFAULT_MAX_BATCH)
    size = numbers.get(execution.name, 0)
    if splitting is None or splitting.value("value") not in TRUE:
        message = "max_execution_batch_size counts only with enable_large_batch_splitting"
        yield finding("batching-splitting-off", path, message, execution.at)
    elif size > limit:
        message = f"max_execution_batch_size {size} is more than max_batch_size {limit}"
        yield finding("batching-execution-size", path, message, execution.at)
