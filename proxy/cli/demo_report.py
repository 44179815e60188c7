"""What the demonstration shows: both answers side by side, the metrics that moved, the sum of it.

Law: words and columns only; every number and text is counted or quoted from the answers it is handed.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console
from rich.text import Text

from proxy.cli.tables import say, show_table
from proxy.core.explain import escape
from proxy.core.types import DTYPES, dtype_name, shape_text

if TYPE_CHECKING:
    from proxy.demo.comparison import Answer, Compared, Series

_TEXT_SHOWN: Final = 240
_ACCEPTS: Final = " Model '"
"""How the last sentence of a refusal begins: the signature that the model accepts."""
_VALUES_SHOWN: Final = 3

_SUMMED_BY: Final = {
    "tfs_proxy_requests_total": "code",
    "tfs_proxy_refusals_total": "reason",
    "tfs_proxy_violations_total": "reason",
    "tfs_proxy_warnings_total": "reason",
}
"""Metrics with a series per model and signature, shown by what tells most."""


def show_rows(console: Console, rows: Sequence["Compared"]) -> None:
    """Show one row per request: what was sent, what the server alone and what the proxy answered."""
    shown = []
    for number, row in enumerate(rows, 1):
        wrong = row.sample.reason is not None or row.sample.warning is not None
        shown.append(
            (
                Text.assemble((f"{number}. {row.sample.title}", "bold"), "\n", _sent(row.request)),
                _answer(row.alone, "yellow" if wrong and row.alone.ok else "", silent=wrong),
                _answer(row.proxied, "green" if row.as_expected else "red"),
            )
        )
    heads = ("what was sent", "what the server alone answers", "what the proxy answers")
    show_table(console, heads, shown, lines=True)
    say(console, "... stands for the end of a refusal: the signature that the model accepts.")


def _sent(request: Any) -> str:
    spec = request.model_spec
    version_asked = f":{spec.version.value}" if spec.HasField("version") else ""
    signature = f", signature {spec.signature_name}" if spec.signature_name else ""
    outputs = f", outputs {', '.join(request.output_filter)}" if request.output_filter else ""
    inputs = ", ".join(
        f"{alias}: {_typed(tensor) if tensor.dtype else 'no dtype ' + _shape(tensor)}"
        for alias, tensor in sorted(request.inputs.items())
    )
    return f"{spec.name}{version_asked}({inputs}){signature}{outputs}"


def _typed(tensor: Any) -> str:
    return f"{dtype_name(tensor.dtype)}{_shape(tensor)}"


def _shape(tensor: Any) -> str:
    return shape_text(tuple(dim.size for dim in tensor.tensor_shape.dim))


def _answer(answer: "Answer", style: str, *, silent: bool = False) -> Text:
    text = Text.assemble((answer.code, f"bold {style}"))
    if answer.reasons:
        text.append(f" {', '.join(answer.reasons)}")
    if answer.ok:
        text.append(" in silence" if silent else "", style)
        text.append(f"\n{_outputs(answer.outputs)}")
    else:
        first_line = (answer.text.splitlines() or ["(no text)"])[0]
        problems, accepts, _ = first_line.partition(_ACCEPTS)
        text.append(f"\n{escape(problems, _TEXT_SHOWN)}{' ...' if accepts else ''}")
    for warning in answer.warnings:
        text.append(f"\nwarning {warning}", "yellow")
    if answer.death:
        text.append(f"\nThe server is dead ({answer.death}); it was started again.", "bold red")
    return text


def _outputs(outputs: Any) -> str:
    """The output with the fewest values, and how many more there are."""
    count, alias, tensor = min((_count(tensor), alias, tensor) for alias, tensor in outputs.items())
    kind = DTYPES.get(tensor.dtype)
    values = getattr(tensor, kind.field)[:_VALUES_SHOWN] if kind else ()
    shown = ", ".join(f"{value:.3g}" if isinstance(value, float) else str(value) for value in values)
    more = ", ..." if count > len(values) else ""
    others = f"; {len(outputs) - 1} more outputs" if len(outputs) > 1 else ""
    return f"{alias} {_shape(tensor)} = {shown}{more}{others}"


def _count(tensor: Any) -> int:
    count = 1
    for dim in tensor.tensor_shape.dim:
        count *= dim.size
    return count


def show_metrics(console: Console, rises: Mapping["Series", float]) -> None:
    """Show how much each counter rose, those with many series summed."""
    summed: Counter[tuple[str, str]] = Counter()
    for (name, labels), rise in rises.items():
        kept = _SUMMED_BY.get(name)
        shown = [f"{label}={value}" for label, value in labels if kept in (None, label)]
        summed[name, ", ".join(shown)] += int(rise)
    console.print()
    say(console, "The proxy's metrics that moved:", "bold")
    rows = [(name, labels, str(rise)) for (name, labels), rise in sorted(summed.items())]
    show_table(console, ("metric", "labels", "rose by"), rows, right=("rose by",))


def show_summary(console: Console, rows: Sequence["Compared"], seconds: float) -> None:
    """Show the sum of it in a sentence, and each request that the proxy did not answer as it promises."""
    wrong = [row for row in rows if row.sample.reason is not None]
    doubtful = [row for row in rows if row.sample.warning is not None]
    good = [row for row in rows if row not in wrong and row not in doubtful]
    silent, refused = sum(row.alone.ok for row in wrong), sum(row.as_expected for row in wrong)
    deaths, deaths_behind = (
        sum(bool(answer.death) for answer in answers)
        for answers in ([row.alone for row in rows], [row.proxied for row in rows])
    )
    alike = sum(row.proxied.ok and row.proxied.outputs == row.alone.outputs for row in good)
    warned = sum(row.proxied.ok and bool(row.proxied.warnings) for row in doubtful)
    console.print()
    say(
        console,
        f"{len(wrong)} wrong requests: alone, the server accepted {silent} without a word, died of {deaths} and "
        f"refused {len(wrong) - silent - deaths}; through the proxy {refused} were refused with a reason, and it "
        f"died of {deaths_behind}. {len(doubtful)} doubtful: {warned} forwarded with a warning. "
        f"{len(good)} good: {alike} answered alike on both ways. ({seconds:.0f} s in all)",
    )
    for number, row in enumerate(rows, 1):
        if not row.as_expected:
            wanted = row.sample.reason or row.sample.warning or "the server's own answer"
            say(console, f"Not as promised: request {number} should have met with {wanted}.", "red")
