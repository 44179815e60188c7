"""What a ModelConfigList asks for: is it legal, and which version directories does it want.

Law: it reads a configuration and a directory listing and remembers nothing; the texts are those of
tensorflow_serving/model_servers/server_core.cc (measured, section P).
"""

from pathlib import Path
from typing import Final

from proxy.devserver.protos import model_server_config_pb2
from proxy.devserver.runtime import INVALID_ARGUMENT, TensorFlowError

_PLATFORM: Final = "tensorflow"


def check_paths(configs: model_server_config_pb2.ModelConfigList) -> None:
    """Each model once, each with an absolute base path.

    Raises:
        TensorFlowError: INVALID_ARGUMENT.
    """
    names = [config.name for config in configs.config]
    for config in configs.config:
        if names.count(config.name) > 1:
            raise TensorFlowError(
                INVALID_ARGUMENT, f"Illegal to list model {config.name} multiple times in config list"
            )
    for config in configs.config:
        if not Path(config.base_path).is_absolute():
            raise TensorFlowError(
                INVALID_ARGUMENT,
                f"Expected model {config.name} to have an absolute path or URI; "
                f"got base_path()={config.base_path}",
            )


def check_platforms(configs: model_server_config_pb2.ModelConfigList) -> None:
    """Each model of the platform `tensorflow`.

    Raises:
        TensorFlowError: INVALID_ARGUMENT.
    """
    for config in configs.config:
        if not config.model_platform:
            raise TensorFlowError(
                INVALID_ARGUMENT,
                "Illegal setting neither ModelServerConfig::model_type (deprecated) nor "
                f"ModelServerConfig::model_platform, model name is {config.name}",
            )
        if config.model_platform != _PLATFORM:
            raise TensorFlowError(
                INVALID_ARGUMENT,
                f"Model {config.name} requests unsupported platform {config.model_platform}",
            )


def aspired_versions(config: model_server_config_pb2.ModelConfig) -> dict[int, Path] | None:
    """List the version directories that a model's policy wants; None when its base path does not exist."""
    base = Path(config.base_path)
    try:
        found = {int(child.name): child for child in base.iterdir() if child.name.isdecimal()}
    except OSError:
        return None
    policy = config.model_version_policy
    match policy.WhichOneof("policy_choice"):
        case "all":
            return found
        case "specific":
            return {number: path for number, path in found.items() if number in policy.specific.versions}
        case _:
            newest = sorted(found)[-max(policy.latest.num_versions, 1) :]
            return {number: found[number] for number in newest}
