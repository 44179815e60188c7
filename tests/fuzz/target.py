"""What is fuzzed: a name, and all that is known of the form of what it reads.

Law: data, and nothing of it is loaded but where it runs. The module of that name in `targets/` has `check`, which any
octets must pass, and `seeds`, a few that are valid. A check returns whether the product takes the octets or refuses them
in a way it says that it does; it raises for anything else: AssertionError where its oracle disagrees, or what the product
raises where it may not.
"""

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.fuzz.mutation import Mutate, octets

CORPUS = Path(__file__).parent / "corpus"

Check = Callable[[bytes], None]


@dataclass(frozen=True)
class Target:
    """`about`: what is read, and what it is held to. `words` are worth trying where octets are compared. `share` is its
    part of the time; `slowest` CPU seconds that one input may take, `longest` the octets of one. `hot`: what it reads is
    compiled in the compiled build.
    """

    name: str
    about: str
    mutate: Mutate = octets
    words: Sequence[bytes] = ()
    share: float = 1.0
    longest: int = 1024
    slowest: float = 1.0
    hot: bool = False

    @property
    def module(self) -> Any:
        return importlib.import_module(f"tests.fuzz.targets.{self.name.replace('-', '_')}")

    def inputs(self) -> list[bytes]:
        """Valid inputs, and those that are kept in the repository."""
        kept = sorted((CORPUS / self.name).glob("*")) if (CORPUS / self.name).exists() else []
        return [*self.module.seeds(), *(path.read_bytes() for path in kept)]
