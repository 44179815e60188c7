"""The figures of docs/sizing.md are those of docs/performance.md, in whichever way the bench writes them."""

# ruff: noqa: RUF001  the multiplication sign stands in the titles of the bench

import pytest

from tests.sizing import figures

FACTS = """\
## The machine

|  |  |
| --- | ---: |
| processor | Some processor, 2 cores |
| measured | 2026-11-22 21:06 UTC |

## Every figure

"""

BY_TIME = f"""{FACTS}### 269 B × 32

|  | requests/s | CPU s / 1 000 | ÷ Envoy | peak MB | ÷ Envoy |
| --- | ---: | ---: | ---: | ---: | ---: |
| Envoy | 21 054 | 0.041 | 1.00× | 69 | 1.00× |
| tfs-proxy, native edge | 19 592 | 0.050 | 1.21× | 77 | 1.12× |

### 269 B, C++ client

|  | requests/s | CPU s / 1 000 | ÷ Envoy | peak MB | ÷ Envoy |
| --- | ---: | ---: | ---: | ---: | ---: |
| tfs-proxy, native edge | 3 270 | 0.161 | 0.97× | 76 | 1.13× |

## Memory before a slow server

1.08 MB × 256 calls at a time, each answered by the server 1000 ms after it has arrived;
every contestant freshly started.

|  | peak MB | requests/s |
| --- | ---: | ---: |
| tfs-proxy, native edge | 244 | 229 |
"""

BY_RATE = f"""{FACTS}### 269 B × 32, with a third of a core

|  | requests/s | requests per CPU s | peak MB |
| --- | ---: | ---: | ---: |
| tfs-proxy, compiled | 9 000 | 29 000 | 74 |

### 269 B × 32, with a core of its own

|  | requests/s | requests per CPU s | peak MB |
| --- | ---: | ---: | ---: |
| tfs-proxy, compiled | 31 000 | 33 000 | 75 |
| tfs-proxy, native edge | 19 592 | 20 000 | 77 |
"""


def test_a_cpu_time_becomes_a_rate_and_clients_with_one_call_at_a_time_are_left_out():
    text = figures(BY_TIME)
    assert "| 269 B × 32 | 20 000 | 77 |" in text
    assert "client" not in text
    assert "Some processor, 2 cores (2026-11-22 21:06 UTC)" in text


def test_what_is_held_before_a_slow_server_is_told_with_its_circumstances():
    told = "(1.08 MB × 256 calls at a time, each answered by the server 1000 ms after it has arrived): 244 MB"
    assert told in figures(BY_TIME)


def test_the_compiled_build_with_a_core_of_its_own_is_taken_where_it_was_measured():
    text = figures(BY_RATE)
    assert text.startswith("*tfs-proxy, compiled*")
    assert text.count("| 269 B") == 1
    assert "| 269 B × 32 | 33 000 | 75 |" in text


def test_without_figures_of_ours_nothing_is_written():
    with pytest.raises(ValueError, match="none of our builds"):
        figures(FACTS)
