"""What is told of calls: metrics, log, refusals, the admin port.

Law: structlog is loaded from here first, and without rich, which it takes where it finds it, to paint tracebacks that
are painted by nobody here: 3 MB of memory and a tenth of the time to start (measured).
"""

import sys

if "structlog" not in sys.modules and "rich" not in sys.modules:
    sys.modules["rich"] = None  # type: ignore[assignment]  # an ImportError to whoever asks
    import structlog  # noqa: F401

    del sys.modules["rich"]
