"""Versions and configurations whose InferenceServices are kept as golden files; the cluster's tests offer them to a real one."""

from dataclasses import dataclass

from headrace_controller.backends.base import ServiceSpec
from headrace_controller.backends.kserve.settings import ClusterSettings
from headrace_controller.definitions.container import ContainerDefinition
from headrace_controller.definitions.deployment import DeploymentConfiguration
from headrace_functions.version import Limits, Runtime, Scaling, Version
from support.versions import version

CLUSTER = ClusterSettings(
    "s3://models/platform",
    image="registry.example/function-{framework}:1.2.3",
    allowed_images=("registry.example/churn:*",),
)


@dataclass(frozen=True)
class Case:
    version: Version
    configuration: DeploymentConfiguration | None = None

    @property
    def spec(self) -> ServiceSpec:
        return ServiceSpec(self.version)


def configuration(**content: object) -> DeploymentConfiguration:
    return DeploymentConfiguration.model_validate({"name": "chosen", **content})


CASES: dict[str, Case] = {
    "plain": Case(version("churn", 3)),
    "always-on": Case(
        version(
            "churn",
            4,
            scaling=Scaling(min_replicas=2, max_replicas=8, idle_timeout=900.0, concurrency=4),
            limits=Limits(predict_timeout=0.5, start_timeout=240.0),
        )
    ),
    "longest-names-and-times": Case(
        version("m" * 40, 12345, scaling=Scaling(idle_timeout=86400.0), limits=Limits(predict_timeout=3600.0))
    ),
    "placed": Case(
        version("images", 1, scaling=Scaling(idle_timeout=1.0)),
        configuration(
            container={
                "resources": {
                    "limits": {"cpu": "2", "memory": "4Gi", "nvidia.com/gpu": "1"},
                    "requests": {"cpu": "500m"},
                },
                "env": {"OMP_NUM_THREADS": "2", "HEADRACE_VERSION": "others:1"},
            },
            pod={
                "nodeSelector": {"pool": "gpu"},
                "runtimeClassName": "nvidia",
                "tolerations": [{"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}],
                "affinity": {
                    "nodeAffinity": {
                        "requiredDuringSchedulingIgnoredDuringExecution": {
                            "nodeSelectorTerms": [
                                {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]}
                            ]
                        }
                    }
                },
            },
        ),
    ),
    "fixed-number-of-replicas": Case(version("churn", 5), configuration(deployment={"replicaCount": 3})),
    "pod-autoscaler": Case(
        version("churn", 6), configuration(hpa={"minReplicas": 0, "maxReplicas": 5, "cpuUtilization": 60})
    ),
    "container": Case(
        version(
            "churn",
            7,
            framework="container",
            runtime=Runtime("registry.example/function-python:1.2.3"),
            proxied=True,
            options=ContainerDefinition.model_validate(
                {
                    "image": "registry.example/churn:3",
                    "env": {"LEVEL": "info"},
                    "args": ["--workers", "2"],
                    "user": 1000,
                }
            ).options("churn", 60.0),
        ),
        configuration(container={"env": {"LEVEL": "debug"}, "resources": {"limits": {"memory": "4Gi"}}}),
    ),
}
