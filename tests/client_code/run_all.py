"""Run every script named on the command line as its own `__main__`, and print what each did, as JSON.

`--without a,b` first: these packages cannot be imported, as if they were not installed.
"""

import contextlib
import io
import json
import runpy
import sys

scripts = sys.argv[1:]
if scripts[0] == "--without":
    sys.modules.update(dict.fromkeys(scripts[1].split(",")))
    scripts = scripts[2:]
results = {}
for script in scripts:
    printed = io.StringIO()
    error = None
    with contextlib.redirect_stdout(printed):
        try:
            runpy.run_path(script, run_name="__main__")
        except (Exception, SystemExit) as raised:  # noqa: BLE001  told, whatever it is
            error = repr(raised)
    results[script] = {"error": error, "printed": printed.getvalue()}
print(json.dumps(results))
