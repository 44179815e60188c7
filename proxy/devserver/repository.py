"""Directories → versions → states: which version of which model serves.

Law: one thread polls the directories and loads and unloads, one action after another; requests only look
up. A new version loads before the old one unloads (availability preserving, the genuine server's policy),
an unload waits for the requests that are running, a version that fails to load ends with its error and is
not tried again (as with --max_num_load_retries=0).
"""

import contextlib
import enum
import logging
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from proxy.devserver.configuration import aspired_versions, check_paths, check_platforms
from proxy.devserver.model import Model
from proxy.devserver.protos import get_model_status_pb2, model_pb2, model_server_config_pb2
from proxy.devserver.runtime import (
    FAILED_PRECONDITION,
    INVALID_ARGUMENT,
    NOT_FOUND,
    UNKNOWN,
    TensorFlowError,
)
from proxy.devserver.warmup import warm_up

_log: Final = logging.getLogger(__name__)


class State(enum.IntEnum):
    """ModelVersionStatus.State."""

    START = 10
    LOADING = 20
    AVAILABLE = 30
    UNLOADING = 40
    END = 50


@dataclass
class _Version:
    path: Path
    state: State = State.START
    error: TensorFlowError | None = None
    model: Model | None = None
    running: int = 0
    aspired: bool = True


@dataclass
class _Entry:
    """A model name: its configuration while it is configured, and every version ever seen under it."""

    config: model_server_config_pb2.ModelConfig | None = None
    versions: dict[int, _Version] = field(default_factory=dict)
    complaint: str = ""


class Repository:
    """Every model that is or was configured."""

    def __init__(self, poll_seconds: float) -> None:
        self._poll_seconds = poll_seconds
        self._entries: dict[str, _Entry] = {}
        self._labels: dict[tuple[str, str], int] = {}
        self._configuring = threading.Lock()
        # Guards the two dictionaries and every _Version; told of every change of state.
        self._changed = threading.Condition()
        self._poll_now = threading.Event()

    def start(self) -> None:
        """Begin to poll and load, in a thread that ends with the process."""
        threading.Thread(target=self._manage, name="models", daemon=True).start()

    # Configuration

    def configure(self, configs: model_server_config_pb2.ModelConfigList, *, at_start: bool = False) -> None:
        """Replace the configured models, and wait until each new one has a version available.

        A new model without any version directory is waited for without end, and whoever configures next
        waits as well: so does the genuine server (measured, section S, models nover and absent). At start
        nobody waits, and labels may name versions which are not loaded yet.

        Raises:
            TensorFlowError: the status that HandleReloadConfigRequest answers (measured, sections P and S).
        """
        with self._configuring:
            check_paths(configs)
            with self._changed:
                labels = self._checked_labels(configs, at_start=at_start)
                check_platforms(configs)
                new = {config.name for config in configs.config} - {
                    name for name, entry in self._entries.items() if entry.config is not None
                }
                for entry in self._entries.values():
                    entry.config = None
                for config in configs.config:
                    self._entries.setdefault(config.name, _Entry()).config = config
                for name in new:
                    # What an earlier configuration left behind says nothing about this one.
                    self._entries[name].versions = {
                        number: version
                        for number, version in self._entries[name].versions.items()
                        if version.state < State.END
                    }
                self._labels = labels
            self._poll_now.set()
            if not at_start:
                self._wait_until_available(new)

    def _checked_labels(
        self, configs: model_server_config_pb2.ModelConfigList, *, at_start: bool
    ) -> dict[tuple[str, str], int]:
        labels = {}
        for config in configs.config:
            for label, number in sorted(config.version_labels.items()):
                entry = self._entries.get(config.name, _Entry())
                version = entry.versions.get(number)
                if not at_start and (version is None or version.state is not State.AVAILABLE):
                    raise TensorFlowError(
                        FAILED_PRECONDITION,
                        f"Request to assign label to version {number} of model {config.name}, "
                        "which is not currently available for inference",
                    )
                labels[config.name, label] = number
        return labels

    def _wait_until_available(self, names: set[str]) -> None:
        with self._changed:
            self._changed.wait_for(lambda: all(map(self._settled, names)))
            failed = {
                (name, number): version.error
                for name in sorted(names)
                if not self._available(name)
                for number, version in sorted(self._entries[name].versions.items(), reverse=True)[:1]
            }
        if failed:
            models = "".join(
                f"{{{{name: {name} version: {number}}}" + (f" due to error: {error}" if error else "") + "}, "
                for (name, number), error in failed.items()
            )
            raise TensorFlowError(UNKNOWN, f"{len(failed)} model(s) did not become available: {{{models}}}")

    # Look-up

    def wait_until_settled(self) -> None:
        """Wait until every configured model has a version, and every version is available or has failed."""
        with self._changed:
            self._changed.wait_for(
                lambda: all(
                    entry.versions and all(v.state >= State.AVAILABLE for v in entry.versions.values())
                    for entry in self._entries.values()
                    if entry.config
                )
            )

    @contextlib.contextmanager
    def lease(self, spec: model_pb2.ModelSpec) -> Iterator[Model]:
        """Yield the loaded version that a ModelSpec means; it is not unloaded before the block ends.

        Raises:
            TensorFlowError: the status that the genuine server answers with (measured, sections I and P).
        """
        with self._changed:
            version = self._find(spec)
            version.running += 1
        try:
            assert version.model is not None
            yield version.model
        finally:
            with self._changed:
                version.running -= 1
                if not version.running:
                    self._changed.notify_all()

    def _find(self, spec: model_pb2.ModelSpec) -> _Version:
        if not spec.name:
            raise TensorFlowError(INVALID_ARGUMENT, "ModelSpec has no name specified.")
        match spec.WhichOneof("version_choice"):
            case "version":
                number, wanted = spec.version.value, f"Specific({spec.name}, {spec.version.value})"
            case "version_label":
                number = self._labels.get((spec.name, spec.version_label))
                if number is None:
                    raise TensorFlowError(
                        INVALID_ARGUMENT, f"Unrecognized servable version label: {spec.version_label}"
                    )
                wanted = f"Specific({spec.name}, {number})"
            case _:
                number, wanted = max(self._available(spec.name), default=None), f"Latest({spec.name})"
        available = self._available(spec.name)
        if number not in available:
            raise TensorFlowError(NOT_FOUND, f"Servable not found for request: {wanted}")
        return available[number]

    def status(self, spec: model_pb2.ModelSpec) -> get_model_status_pb2.GetModelStatusResponse:
        """Every version seen under a name, newest first, or the one asked for; labels are ignored.

        Raises:
            TensorFlowError: NOT_FOUND (measured, section L).
        """
        response = get_model_status_pb2.GetModelStatusResponse()
        with self._changed:
            versions = self._entries.get(spec.name, _Entry()).versions
            if spec.WhichOneof("version_choice") == "version":
                number = spec.version.value
                if number not in versions:
                    raise TensorFlowError(NOT_FOUND, f"Could not find version {number} of model {spec.name}")
                versions = {number: versions[number]}
            if not versions:
                raise TensorFlowError(NOT_FOUND, f"Could not find any versions of model {spec.name}")
            for number, version in sorted(versions.items(), reverse=True):
                one = response.model_version_status.add(version=number, state=int(version.state))
                one.status.SetInParent()
                if version.error:
                    one.status.error_code = version.error.code
                    one.status.error_message = version.error.message
        return response

    def _available(self, name: str) -> dict[int, _Version]:
        versions = self._entries.get(name, _Entry()).versions
        return {number: version for number, version in versions.items() if version.state is State.AVAILABLE}

    def _settled(self, name: str) -> bool:
        versions = self._entries[name].versions
        return bool(self._available(name)) or (
            bool(versions) and all(version.error for version in versions.values())
        )

    # The one thread that changes states

    def _manage(self) -> None:
        while True:
            self._poll_now.clear()
            self._poll()
            # Each model in turn, so that none waits for all versions of another.
            while [name for name in list(self._entries) if self._advance(name)]:
                pass
            self._poll_now.wait(self._poll_seconds)

    def _poll(self) -> None:
        """Compare the directories with what is aspired."""
        with self._changed:
            entries = dict(self._entries)
        for name, entry in entries.items():
            found = aspired_versions(entry.config) if entry.config else {}
            complaint = ""
            if entry.config and not found:
                missing = "does not exist" if found is None else "holds no version to serve, such as 1/"
                complaint = f"{entry.config.base_path} {missing}"
            if complaint and complaint != entry.complaint:
                _log.warning("%s: waiting, because %s", name, complaint)
            entry.complaint = complaint
            if found is None:
                continue
            with self._changed:
                for number, version in entry.versions.items():
                    version.aspired = number in found and (version.aspired or version.state < State.END)
                for number, path in found.items():
                    known = entry.versions.get(number)
                    if known is None or (known.state is State.END and not known.aspired):
                        entry.versions[number] = _Version(path)
                self._changed.notify_all()

    def _advance(self, name: str) -> bool:
        """Load or unload one version of a model, whichever comes next; False when nothing is left to do."""
        with self._changed:
            versions = self._entries[name].versions
            # A version that went before its load began never was.
            for number in [n for n, v in versions.items() if v.state is State.START and not v.aspired]:
                versions.pop(number)
            aspired = [number for number, version in versions.items() if version.aspired]
            serving = self._available(name)
            retired = [number for number, version in serving.items() if not version.aspired]
            ready = any(number in serving for number in aspired)
            new = [number for number in aspired if versions[number].state is State.START]
        if retired and (not aspired or ready or len(retired) > 1):
            self._unload_version(name, min(retired), versions[min(retired)])
        elif new:
            self._load_version(name, max(new), versions[max(new)])
        else:
            return False
        return True

    def _load_version(self, name: str, number: int, version: _Version) -> None:
        self._move(version, State.LOADING)
        _log.info("%s: loading version %d from %s", name, number, version.path)
        started = time.monotonic()
        try:
            model = Model.load(name, number, version.path)
            replayed = warm_up(model, version.path)
        except (TensorFlowError, OSError) as error:
            version.error = (
                error if isinstance(error, TensorFlowError) else TensorFlowError(UNKNOWN, str(error))
            )
            self._move(version, State.END)
            _log.error("%s: version %d did not load: %s", name, number, version.error)
        else:
            version.model = model
            self._move(version, State.AVAILABLE)
            seconds = time.monotonic() - started
            _log.info("%s: version %d available after %.2f s (%d warm-up)", name, number, seconds, replayed)

    def _unload_version(self, name: str, number: int, version: _Version) -> None:
        self._move(version, State.UNLOADING)
        _log.info("%s: unloading version %d", name, number)
        with self._changed:
            self._changed.wait_for(lambda: not version.running)
        if version.model is not None:
            version.model.session.close()
            version.model = None
        self._move(version, State.END)

    def _move(self, version: _Version, state: State) -> None:
        with self._changed:
            version.state = state
            self._changed.notify_all()
