"""The container of the user's beside the function server of a version that has one, see ``runtime.frameworks.container``. Pure.

Knative sends requests to the one container with a port, which is the function server's: so what is asked of the pod is checked and logged as for
any function. The other is given nothing of the platform's: no key of the store, no volume.
"""

from typing import Any

from headrace_controller.definitions.deployment import DeploymentConfiguration
from headrace_functions.version import Version

Json = dict[str, Any]

NAME = "model-server"
_OWN, _OTHER = 8080, 8081


def port(version: Version) -> int:
    """Where the function server listens: not where the container does."""
    told = version.options.get("container")
    return _OTHER if told and told["port"] == _OWN else _OWN


def containers(version: Version, configuration: DeploymentConfiguration | None, resources: Json) -> list[Json]:
    """The user's container with the configuration's variables and ``resources``; none for other versions."""
    told = version.options.get("container")
    if not told:
        return []
    asked = configuration.container.variables() if configuration is not None else []
    told_by_name = {name: {"name": name, "value": value} for name, value in told["env"].items()}
    variables = told_by_name | {variable["name"]: variable for variable in asked}
    user = {"runAsUser": told["user"]} if told["user"] is not None else {}
    return [
        {
            "name": NAME,
            "image": told["image"],
            "imagePullPolicy": "IfNotPresent",
            **({"command": told["command"]} if told["command"] else {}),
            **({"args": told["args"]} if told["args"] else {}),
            "env": [variables[name] for name in sorted(variables)],
            "resources": resources,
            "securityContext": {
                "runAsNonRoot": True,
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
                "seccompProfile": {"type": "RuntimeDefault"},
            }
            | user,
            "terminationMessagePolicy": "FallbackToLogsOnError",
        }
    ]
