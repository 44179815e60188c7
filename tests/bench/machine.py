"""On what a run was made: processor, versions, options.

Law: asked of the machine when the report is written, never known beforehand.
"""

import os
import platform
import re
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

from tests.bench.installation import ENVOY, MITMPROXY, Tools
from tests.bench.tables import NONE

ROOT = Path(__file__).parents[2]


def facts(tools: Tools, began: float, busy: float) -> dict[str, str]:
    """By name. `began` in seconds since epoch; `busy` is what others took of the processors just before."""
    cpu = re.search(r"^model name\s*: (.*)", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    memory = re.search(r"^MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text(), re.MULTILINE)
    return {
        "processor": f"{cpu[1] if cpu else platform.machine()}, {os.cpu_count()} cores",
        "memory": f"{int(memory[1]) / 1024**2:.0f} GiB" if memory else NONE,
        "system": f"{platform.freedesktop_os_release()['PRETTY_NAME']}, Linux {platform.release()}",
        "tfs-proxy": f"{version('tfs-proxy')}, {_told('git', '-C', str(ROOT), 'rev-parse', '--short', 'HEAD')}",
        "compiled with": _told("cc", "--version"),
        "Python": f"{platform.python_version()}, grpcio {version('grpcio')}, uvloop {version('uvloop')}",
        "Envoy": ENVOY,
        "nginx": _told(tools.nginx, "-v"),
        "HAProxy": _told(tools.haproxy, "-v"),
        "mitmproxy": ", ".join(MITMPROXY),
        "server and C++ client": f"grpc++ {_told('pkg-config', '--modversion', 'grpc++')}",
        "load": _told(tools.h2load, "--version"),
        "measured": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(began)),
        "busy with other things": f"{busy:.0%} of the processors, just before",
        "command": f"`make bench{_options()}`",
    }


def _options() -> str:
    return f" BENCH='{' '.join(sys.argv[1:])}'" if sys.argv[1:] else ""


def _told(*command: str) -> str:
    try:
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
    except FileNotFoundError:
        return NONE
    return done.stdout.strip().partition("\n")[0] or NONE
