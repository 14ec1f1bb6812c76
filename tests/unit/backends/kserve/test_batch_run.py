"""A batch that runs as a job in a cluster: the manifests of analyses, with its own command line."""

from headrace_controller.backends.kserve.analyses import Analysis, AnalysisSettings, job, ray_job
from headrace_controller.backends.kserve.analysis_runs import _result_of
from headrace_controller.backends.kserve.settings import ClusterSettings
from headrace_controller.service.jobs import JobRequest, arguments_of
from headrace_controller.settings import PURPOSE_TOKEN
from headrace_functions.names import VersionId

REQUEST = JobRequest(
    "batch",
    VersionId("churn", 3),
    arguments={
        "files": "s3://lake/in/*.parquet",
        "to": "s3://lake/out",
        "part-rows": "5000",
        "endpoint": "http://gateway",
    },
    timeout=3600,
)
COMMAND = [
    "-m", "headrace_jobs", "batch", "--model", "churn:3", "--storage", "s3://store", "--endpoint", "http://gateway",
    "--files", "s3://lake/in/*.parquet", "--part-rows", "5000", "--to", "s3://lake/out",
]  # fmt: skip


def run() -> Analysis:
    return Analysis("20261127-1", "headrace-jobs:1", arguments_of("20261127-1", REQUEST, "s3://store"), REQUEST.timeout)


def test_where_there_is_no_kuberay_a_job_has_the_command_the_credentials_and_the_proof() -> None:
    made = job(run(), ClusterSettings(storage="s3://store"), AnalysisSettings())
    (container,) = made["spec"]["template"]["spec"]["containers"]

    assert ["python", *COMMAND] == container["command"]
    assert "secretRef" in container["envFrom"][0]
    assert PURPOSE_TOKEN in [e["name"] for e in container["env"]]
    assert (0, 3900) == (made["spec"]["backoffLimit"], made["spec"]["activeDeadlineSeconds"])


def test_a_ray_job_has_the_command_with_its_pattern_quoted_and_workers_that_may_ask() -> None:
    made = ray_job(run(), ClusterSettings(storage="s3://store"), AnalysisSettings(workers=2))
    (workers,) = made["spec"]["rayClusterSpec"]["workerGroupSpecs"]
    (worker,) = workers["template"]["spec"]["containers"]

    assert "--files 's3://lake/in/*.parquet'" in made["spec"]["entrypoint"]
    assert 2 == workers["replicas"]
    assert PURPOSE_TOKEN in [e["name"] for e in worker["env"]]


def test_what_a_batch_came_to_is_read_from_its_log() -> None:
    lines = ['{"done": 1, "total": 1, "what": "files"}', '{"files": 1, "rows": 5, "refused": 0}']
    assert {"files": 1, "rows": 5, "refused": 0} == next(filter(None, map(_result_of, lines)))
