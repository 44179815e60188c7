"""The dashboard, as tests read it."""

import json
from pathlib import Path

ROOT = Path(__file__).parents[2]
GRAFANA = ROOT / "deploy" / "grafana"
DASHBOARD = json.loads((GRAFANA / "dashboards" / "tfs-proxy.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
TARGETS = [(panel, target) for panel in PANELS for target in panel["targets"]]


def filled(expression: str, interval: str = "1m") -> str:
    """A query as Grafana asks it with everything chosen."""
    for name in ("namespace", "job", "model", "signature"):
        expression = expression.replace(f'"${name}"', '".*"')
    return expression.replace("$__rate_interval", interval)
