"""Which signature was meant, and which output, by a name that the model does not have.

Law: a signature is proposed as the mending only where it takes the request as it is; among several, all are named.
"""

from collections.abc import Collection

from proxy.core.explain import closest, listing, quote
from proxy.core.mending.remedies import DropOutput, Remedy, RenameOutput, SetSignature
from proxy.core.mending.writing import plain, same_writing, writings
from proxy.core.types import Signature


def signature_remedies(fitting: list[str], names: Collection[str], asked: str | None) -> list[Remedy]:
    """Signatures that were meant: those that take the request as it is (`fitting`), else one of the same writing.

    `asked` None: the one asked for exists, and does not take it.
    """
    alike = [each for each in sorted(names) if asked and plain(each) == plain(asked)]
    if alike and fitting and alike != fitting:
        # The name says one thing and the request another.
        meant = [Remedy(f"did you mean {quote(each)}?", (SetSignature(each),)) for each in alike]
        takers = [each for each in fitting if each not in alike]
        return meant + [
            Remedy(f"{quote(each)}, which takes this request", (SetSignature(each),)) for each in takers[:3]
        ]
    if len(fitting) == 1:
        only = ", the only one" if asked is not None and len(names) == 1 else ""
        how = f"set model_spec.signature_name to {quote(fitting[0])}{only}"
        if asked is not None and (plain(asked) == plain(fitting[0]) or closest(asked, names) == fitting[0]):
            how = f"did you mean {quote(fitting[0])}?"
        elif asked is None:
            how += ", which takes this request"
        return [Remedy(how, (SetSignature(fitting[0]),), exact=True)]
    if fitting:
        return [
            Remedy(
                f"set model_spec.signature_name to one of those that take this request: {listing(fitting)}"
            )
        ]
    if asked is None:
        return []
    near = closest(asked, names) if asked else None
    if near is not None:
        return [Remedy(f"did you mean {quote(near)}?", (SetSignature(near),))]
    if len(names) == 1:
        (only,) = names
        return [
            Remedy(f"set model_spec.signature_name to {quote(only)}, the only one", (SetSignature(only),))
        ]
    if names:
        return [Remedy("set model_spec.signature_name to one of them")]
    return [Remedy("the model was exported without signatures: export it with one")]


def output_remedies(index: int, name: str, signature: Signature) -> list[Remedy]:
    """Outputs that were meant by an unknown name in `output_filter`."""
    if not signature.outputs:
        return [Remedy("this signature gives none", (DropOutput(index),))]
    same = same_writing([name], writings(signature.outputs)).get(name)
    if same is not None:
        return [Remedy(same[1], (RenameOutput(index, same[0]),), exact=True)]
    near = closest(name.removesuffix(":0"), signature.outputs)
    if near is None and len(signature.outputs) == 1:
        near = next(iter(signature.outputs))
    return [Remedy(f"did you mean {quote(near)}?", (RenameOutput(index, near),))] if near is not None else []
