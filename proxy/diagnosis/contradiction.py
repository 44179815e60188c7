"""Whether the server's own words contradict the servable that is held: then they are about another one.

Law: what is compared is only what TF Serving itself says of a signature, in the sentences that begin its text; a
list that it has cut short, or a sentence that is not its own, contradicts nothing. Sources: `predict_util.cc`
(number of inputs, outputs, signature key), `cc/saved_model/util.cc` (input aliases); the dtype sentence counts inputs as `facts.input_of_arg` has it.
"""

import re
from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType
from typing import Final

from proxy.core.types import DTYPES, Servable, Signature
from proxy.diagnosis.answer import Call
from proxy.diagnosis.facts import input_of_arg

_TF_NAMES: Final = MappingProxyType({"float": "float32", "double": "float64", "half": "float16"})
"""Where `DataTypeString` has another name than numpy."""

_Found = re.Match[str]


def contradicts(text: str, call: Call) -> bool:
    """Whether `text`, the server's, cannot be true of the signatures of `call.servable`."""
    servable, request = call.servable, call.request
    if servable is None or request is None:
        return False
    found = _NO_SIGNATURE.match(text)
    if found is not None:
        return servable.signature(found["name"] or found["task"] or "") is not None
    for pattern, holds in _SENTENCES.items():
        found = pattern.match(text)
        if found is not None:
            signature = servable.signature(request.signature)
            # The server found the signature before it said so.
            return signature is None or not holds(found, signature)
    return False


def denies_servable(text: str) -> bool:
    """Whether the server says that it has nothing under the name, version or label of the request."""
    return _NO_SERVABLE.match(text) is not None


def told(servable: Servable) -> str:
    """What to say of it, behind the server's words."""
    return f"that contradicts the signature known so far (version {servable.version}): a new version may have come"


def _required(found: _Found, signature: Signature) -> bool:
    spec = signature.inputs.get(found["alias"])
    if spec is None or spec.alias in signature.defaults:
        return False
    return spec.graph_name in ("", found["feed"])


def _no_input(found: _Found, signature: Signature) -> bool:
    return found["alias"] not in signature.inputs and _is_listed(found["all"], signature.inputs)


def _inputs(found: _Found, signature: Signature) -> bool:
    return int(found["count"]) == len(signature.inputs) and _is_listed(found["all"], signature.inputs)


def _no_output(found: _Found, signature: Signature) -> bool:
    return found["alias"] not in signature.outputs and _is_listed(found["all"], signature.outputs)


def _an_input(found: _Found, signature: Signature) -> bool:
    return found["alias"] in signature.inputs


def _typed(found: _Found, signature: Signature) -> bool:
    spec = signature.inputs.get(found["alias"])
    return spec is not None and _is_dtype(found["want"], spec.dtype)


def _typed_by_place(found: _Found, signature: Signature) -> bool:
    if len({spec.graph_name for spec in signature.inputs.values()}) < len(signature.inputs):
        return True  # two inputs are one tensor of the graph: places do not tell
    spec = input_of_arg(signature, int(found["index"]))
    return spec is None or _is_dtype(found["want"], spec.dtype)


def _is_listed(listed: str | None, aliases: Collection[str]) -> bool:
    """Whether a list may be of these aliases, which may hold commas; None: it was cut, or there is none."""
    return listed is None or sorted(listed.split(",")) == sorted(",".join(aliases).split(","))


def _is_dtype(name: str, number: int) -> bool:
    return number not in DTYPES or DTYPES[number].name == _TF_NAMES.get(name, name)


_NO_SERVABLE: Final = re.compile(r"Servable not found for request: |Unrecognized servable version label")
_NO_SIGNATURE: Final = re.compile(
    r"Serving signature (?:key|name:) \"(?P<name>.*?)\" not found|Default serving signature key not found"
    r"|No signature was found with the name: (?P<task>\S*)"
)

_SENTENCES: Final[Mapping["re.Pattern[str]", Callable[[_Found, Signature], bool]]] = MappingProxyType(
    {
        re.compile(
            r"Signature input alias: (?P<alias>.*?)\(feed name: (?P<feed>.*?)\) not found in request",
            re.DOTALL,
        ): _required,
        re.compile(
            r"input tensor alias not found in signature: (?P<alias>.*?)\.?"
            r"(?: Inputs expected to be in the set \{(?P<all>.*)\}\.?)?\Z",
            re.DOTALL,
        ): _no_input,
        re.compile(
            r"input size does not match signature: \d+!=(?P<count>\d+)"
            r"(?: len\(\{.*\}\) != len\(\{(?P<all>.*)\}\)\. Sent extra:)?",
            re.DOTALL,
        ): _inputs,
        re.compile(
            r"output tensor alias not found in signature: (?P<alias>.*?)"
            r"(?: Outputs expected to be in the set \{(?P<all>.*)\}\.?)?\Z",
            re.DOTALL,
        ): _no_output,
        re.compile(r"Expects arg\[(?P<index>\d+)\] to be (?P<want>\w+) but"): _typed_by_place,
        re.compile(r"Expected input (?P<alias>.+?) to be (?P<want>\w+) but get", re.DOTALL): _typed,
        re.compile(r"tensor parsing error: (?P<alias>.*?)\s*\Z", re.DOTALL): _an_input,
    }
)
"""What the server says, and whether a signature can be what it says it of."""
