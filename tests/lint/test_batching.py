"""Batching parameters that contradict each other are found on their line."""

import pytest

from proxy.lint.paths import lint


@pytest.fixture
def findings(tmp_path):
    """Lint a text as a configuration; the findings as (rule, line, column)."""

    def check(text):
        path = tmp_path / "x.config"
        path.write_text(text)
        return [(each.rule.id, each.line, each.column) for each in lint(path)]

    return check


GOOD_BATCHING = """max_batch_size { value: 32 }
batch_timeout_micros { value: 2000 }
max_enqueued_batches { value: 100 }
num_batch_threads { value: 4 }
allowed_batch_sizes: 8
allowed_batch_sizes: [16, 32]
enable_large_batch_splitting { value: true }
max_execution_batch_size { value: 32 }
"""


def test_good_batching_parameters_have_no_findings(findings):
    assert findings(GOOD_BATCHING) == []


BATCHING_FAULTS = [
    ("batching-sizes-order", "[16, 32]", "[32, 32]", 6, 27),
    ("batching-sizes-last", "[16, 32]", "[16, 30]", 6, 27),
    ("batching-sizes-last", "max_batch_size { value: 32 }", "", 6, 27),
    ("batching-value", "num_batch_threads { value: 4 }", "num_batch_threads { value: 0 }", 4, 21),
    ("batching-value", "batch_timeout_micros { value: 2000 }", "batch_timeout_micros { value: -1 }", 2, 24),
    ("batching-value", "max_enqueued_batches { value: 100 }", "max_enqueued_batches { }", 3, 1),
    ("batching-value", "allowed_batch_sizes: 8", "allowed_batch_sizes: 0", 5, 1),
    ("batching-timeout", "2000", "5000000", 2, 1),
    (
        "batching-execution-size",
        "max_execution_batch_size { value: 32 }",
        "max_execution_batch_size { value: 64 }",
        8,
        1,
    ),
    ("batching-splitting-off", "enable_large_batch_splitting { value: true }", "", 8, 1),
    ("config-syntax", "max_batch_size { value: 32 }", "max_batch_size: 32", 1, 17),
    ("config-syntax", "num_batch_threads {", "num_batch_thread {", 4, 1),
]


@pytest.mark.parametrize(
    ("rule", "good", "bad", "line", "column"),
    BATCHING_FAULTS,
    ids=[f"{each[0]}-{each[2]}" for each in BATCHING_FAULTS],
)
def test_a_fault_seeded_into_good_batching_parameters_is_found_on_its_line(
    findings, rule, good, bad, line, column
):
    assert good in GOOD_BATCHING
    assert findings(GOOD_BATCHING.replace(good, bad, 1)) == [(rule, line, column)]


def test_a_bare_number_is_answered_with_the_message_to_write(tmp_path):
    path = tmp_path / "batching.config"
    path.write_text("max_batch_size: 32\n")
    (found,) = lint(path)
    assert "write max_batch_size { value: 32 }" in found.message


def test_padding_by_the_server_is_warned_of(findings):
    assert findings("pad_variable_length_inputs: true") == [("batching-padding", 1, 1)]
