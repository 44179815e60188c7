"""One version of one model, loaded: its session and its signatures.

Law: it knows a directory and the runtime, nothing of requests, versions to come or gRPC.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final, Self

from proxy.devserver.protos import get_model_metadata_pb2, meta_graph_pb2, model_pb2
from proxy.devserver.runtime import NOT_FOUND, Session, TensorFlowError

DEFAULT_SIGNATURE: Final = "serving_default"
_SAVED_MODEL_FILES: Final = ("saved_model.pb", "saved_model.pbtxt", "saved_model.cpb")


@dataclass(frozen=True)
class Model:
    """A loaded SavedModel."""

    name: str
    version: int
    session: Session
    meta_graph: meta_graph_pb2.MetaGraphDef

    @classmethod
    def load(cls, name: str, version: int, export_dir: Path) -> Self:
        """Load a version directory.

        Raises:
            TensorFlowError: the status that GetModelStatus shows for this version (measured, section S).
        """
        if not any((export_dir / file).exists() for file in _SAVED_MODEL_FILES):
            raise TensorFlowError(
                NOT_FOUND,
                "Specified file path does not appear to contain a SavedModel bundle (should have a file "
                f"called `saved_model.pb`)\nSpecified file path: {export_dir}",
            )
        session = Session(export_dir)
        return cls(name, version, session, meta_graph_pb2.MetaGraphDef.FromString(session.meta_graph))

    @property
    def signatures(self) -> Mapping[str, meta_graph_pb2.SignatureDef]:
        signatures: Mapping[str, meta_graph_pb2.SignatureDef] = self.meta_graph.signature_def
        return signatures

    @cached_property
    def signature_map(self) -> get_model_metadata_pb2.SignatureDefMap:
        """What GetModelMetadata shows, `__saved_model_init_op` of TensorFlow 2 exports included."""
        return get_model_metadata_pb2.SignatureDefMap(signature_def=self.signatures)

    def spec(self, signature_name: str | None = None) -> model_pb2.ModelSpec:
        """Say in a response who answered, and with which signature where one was run."""
        spec = model_pb2.ModelSpec(name=self.name, signature_name=signature_name or "")
        spec.version.value = self.version
        return spec
