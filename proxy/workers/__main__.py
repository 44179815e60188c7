"""`python -m proxy.workers DESCRIPTOR`: a worker, started by a supervisor and by nobody else.

Law: an entry, and nothing more.
"""

import sys

import proxy.observe  # noqa: F401  before anyone else loads structlog
from proxy.workers.worker import main

if __name__ == "__main__":
    main(int(sys.argv[1]))
