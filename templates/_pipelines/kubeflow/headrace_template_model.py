"""A component that releases template-model, holds it against a labelled file and moves its alias, or fails with the reason; and a pipeline of it.

python headrace_template_model.py writes headrace-template-model.yaml, which Kubeflow Pipelines runs (pip install kfp kfp-kubernetes). The pods read the
API key from the secret "headrace", e.g. kubectl create secret generic headrace --from-literal=api-key=hrk_…
"""

from kfp import compiler, dsl, kubernetes

IMAGE = "TEMPLATE_IMAGE"  # any image that has the command headrace, e.g. the controller's
SECRET = "headrace"


@dsl.container_component
def deliver(
    url: str,
    project: dsl.Input[dsl.Artifact],
    labelled: dsl.Input[dsl.Dataset],
    require: str,
    staging: str,
    alias: str,
    target: str,
    delivery: dsl.Output[dsl.Artifact],
):
    """``project`` is a folder with headrace.yaml and the files that it names; ``require`` are requirements, separated by commas."""
    return dsl.ContainerSpec(
        image=IMAGE,
        command=["headrace", "deliver"],
        args=[
            "--url", url, "-f", project.path, "--check", labelled.path, "--require", require,
            "--staging", staging, "--alias", alias, "--target", target, "--result", delivery.path,
        ],
    )  # fmt: skip


@dsl.pipeline(name="deliver-template-model")
def pipeline(
    url: str,
    project: str,
    labelled: str,
    require: str = TEMPLATE_REQUIRE,
    staging: str = "staging",
    alias: str = "production",
    target: str = TEMPLATE_TARGET,
):
    """``project`` and ``labelled`` are URIs in object storage, e.g. s3://models/churn; train before it and give its outputs in their place."""
    code = dsl.importer(artifact_uri=project, artifact_class=dsl.Artifact, reimport=True)
    data = dsl.importer(artifact_uri=labelled, artifact_class=dsl.Dataset, reimport=True)
    step = deliver(
        url=url, project=code.output, labelled=data.output, require=require, staging=staging, alias=alias, target=target
    )
    step.set_caching_options(enable_caching=False)  # the platform may be another one than when it ran before
    kubernetes.use_secret_as_env(step, secret_name=SECRET, secret_key_to_env={"api-key": "HEADRACE_API_KEY"})


if __name__ == "__main__":
    compiler.Compiler().compile(pipeline, "headrace-template-model.yaml")
