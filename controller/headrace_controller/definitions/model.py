"""``kind: Model``: an artifact or payload and everything that makes it one version of a model."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from headrace_controller.definitions.container import ContainerDefinition, check_image
from headrace_controller.definitions.fields import Contract, Document, Duration, Name, Strings, Text, located, refuse
from headrace_controller.definitions.install_command import Installed, installed_by
from headrace_controller.definitions.monitoring import Monitoring, MonitoringDefinition
from headrace_controller.definitions.validation_errors import shown
from headrace_controller.monitoring.specs import MetricSpec
from headrace_functions import version
from headrace_functions.runtime.frameworks import FRAMEWORKS, chat_completions
from headrace_functions.suggestions import did_you_mean
from headrace_functions.version import CONTAINER, EXTERNAL

MAX_METADATA = 100  # entries
_URL = re.compile(r"https?://[^\s/?#@]+(?:/[^\s?#]*)?")
_INFERENCE_SERVICE = re.compile(r"[a-z0-9][a-z0-9-]{0,62}/[a-z0-9][a-z0-9-]{0,252}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")
_CHAT = {
    "inputs": {"prompt": {"type": "string", "profile": "text"}},
    "outputs": {
        "text": {"type": "string", "profile": "text"},
        "finish_reason": {"type": "string", "profile": "categorical"},
        "prompt_tokens": {"type": "int64", "profile": "numerical"},
        "completion_tokens": {"type": "int64", "profile": "numerical"},
    },
}
"""The contract of a language model that says none."""
_NOT_EXTERNAL = ("payload", "framework", "requirements", "image", "install_command")
_NOT_CONTAINER = ("payload", "requirements", "image", "install_command", "external", "options", "reference_data")


def _requirements(value: Any) -> Any:
    """A file or a list, told apart here, so that an error speaks of one value and not of two types."""
    if isinstance(value, str) or (isinstance(value, list) and all(isinstance(one, str) for one in value)):
        return value
    raise refuse(
        f"{shown(value)} is not a requirement list",
        expected="the path of a requirements file, or a list such as [scikit-learn==1.5.2]",
    )


class ScalingDefinition(Document):
    """How many replicas may run and when an idle one stops."""

    min_replicas: int = Field(default=0, ge=0, le=100)
    max_replicas: int = Field(default=1, ge=1, le=100)
    idle_timeout: Duration = 60.0
    concurrency: int = Field(default=1, ge=1, le=256)

    @model_validator(mode="after")
    def _maximum_is_not_below_minimum(self) -> "ScalingDefinition":
        if self.max_replicas < self.min_replicas:
            raise refuse(f"max-replicas {self.max_replicas} is below min-replicas {self.min_replicas}")
        return self

    def to_scaling(self) -> version.Scaling:
        return version.Scaling(**self.model_dump())


class LimitsDefinition(Document):
    """What one replica accepts."""

    max_body: int = Field(default=64 * 1024 * 1024, ge=1024, le=1 << 31)
    queue: int = Field(default=1000, ge=1, le=100_000)
    predict_timeout: Duration = 60.0
    start_timeout: Duration = 60.0

    def to_limits(self) -> version.Limits:
        return version.Limits(**self.model_dump())


def _external(value: Any) -> Any:
    """``true`` is an external model of which nothing more is said."""
    return {} if value is True else None if value is False else value


class ExternalDefinition(Document):
    """Where a model answers that Headrace does not run."""

    url: str | None = None
    timeout: Duration = 30.0
    inference_service: str | None = None
    """``NAMESPACE/NAME`` of the InferenceService whose logger posts its exchanges."""
    protocol: Literal["open-inference", "openai"] = "open-inference"
    """What the other side speaks."""
    model: Text | None = None
    """The model's name at an endpoint of OpenAI's protocol."""
    key_file: str | None = None
    """Absolute path of a file with the endpoint's API key, as functions see it."""
    key_env: str | None = None
    """Variable of the function's environment that holds the key."""

    @model_validator(mode="after")
    def _knows_whom_to_ask(self) -> "ExternalDefinition":
        if self.protocol == "openai":
            missing = next((key for key in ("url", "model") if not getattr(self, key)), None)
            if missing:
                raise refuse(
                    "it is required for protocol: openai",
                    key=missing,
                    expected="e.g. url: https://models.example.org/v1, model: small-7b",
                )
            if self.key_file is not None and not self.key_file.startswith("/"):
                raise refuse(
                    f"{self.key_file!r} is not an absolute path",
                    key="key-file",
                    expected="e.g. /run/secrets/models-key",
                )
            if self.key_file and self.key_env:
                raise refuse("the key is in a file or in a variable", key="key-env", expected="key-file or key-env")
            return self
        given = next((key for key in ("model", "key_file", "key_env") if getattr(self, key) is not None), None)
        if given:
            raise refuse(
                "only endpoints of OpenAI's protocol have it", key=given.replace("_", "-"), expected="protocol: openai"
            )
        return self

    @field_validator("key_env")
    @classmethod
    def _names_a_variable(cls, value: str | None) -> str | None:
        if value is not None and not _VARIABLE.fullmatch(value):
            raise refuse(
                f"{value!r} is not the name of a variable",
                expected="e.g. MODELS_API_KEY; the key itself must not stand here",
            )
        return value

    @field_validator("url")
    @classmethod
    def _is_a_url(cls, value: str | None) -> str | None:
        if value is not None and not _URL.fullmatch(value):
            secret = ", without user and password" if "@" in value else ""
            raise refuse(
                "it is not the URL of a model" if secret else f"{value!r} is not the URL of a model",
                expected=f"e.g. http://models:8080/v2/models/churn, or https://models.example.org/v1 of protocol: openai{secret}",
            )
        return value

    @field_validator("inference_service")
    @classmethod
    def _names_one(cls, value: str | None) -> str | None:
        if value is not None and not _INFERENCE_SERVICE.fullmatch(value):
            raise refuse(f"{value!r} does not name an InferenceService", expected="NAMESPACE/NAME, e.g. models/churn")
        return value

    def options(self) -> dict[str, Any]:
        """What the function that passes requests on needs."""
        if not self.url:
            return {}
        where: dict[str, Any] = {"url": self.url, "timeout": self.timeout}
        if self.protocol == chat_completions.PROTOCOL:
            where |= {
                "protocol": self.protocol,
                "model": self.model,
                "key-file": self.key_file,
                "key-env": self.key_env,
            }
        return {key: value for key, value in where.items() if value is not None}


class ModelDefinition(Document):
    """A superset of Hydrosphere's ``kind: Model``."""

    also_known: ClassVar[Mapping[str, str]] = {"signature": "contract"}

    kind: Literal["Model"] = "Model"
    name: Name
    framework: str | None = None
    payload: Strings = Field(default_factory=list)
    external: Annotated[ExternalDefinition | None, BeforeValidator(_external)] = None
    container: ContainerDefinition | None = None
    requirements: Annotated[str | list[str] | None, BeforeValidator(_requirements)] = None
    training_data: str | None = None
    reference_data: str | None = None
    """Rows that the model has not learnt from, with the columns of ``training_data``: what performance is held against."""
    sample: str | None = None
    target: Strings = Field(default_factory=list)
    missing_values: Strings | None = Field(default=None, max_length=100)
    """Words of a CSV file that stand for no value, beside an empty cell; without a list the usual ones such as ``NA`` and ``null``."""
    contract: Contract = Contract()
    batch: bool = True
    errors: Literal["detailed", "terse"] = "terse"
    options: dict[str, Any] = Field(default_factory=dict)
    allow_unsafe: Strings = Field(default_factory=list, max_length=100)
    """What the artifact may import or do beyond what models usually do: ``module.name``, or a module with all that is in it."""
    metadata: dict[str, Text] = Field(default_factory=dict, max_length=MAX_METADATA)
    monitoring: Monitoring = MonitoringDefinition()
    scaling: ScalingDefinition = ScalingDefinition()
    limits: LimitsDefinition = LimitsDefinition()
    image: str | None = None
    runtime: Text | None = None
    install_command: str | None = None

    @field_validator("image")
    @classmethod
    def _image_stays_what_it_is(cls, value: str | None) -> str | None:
        return value if value is None else check_image(value)

    @field_validator("framework")
    @classmethod
    def _is_known(cls, value: str | None) -> str | None:
        if value is not None and value not in FRAMEWORKS:
            raise refuse(
                f"{shown(value)} is not known",
                expected=f"one of {', '.join(sorted(FRAMEWORKS))}",
                hint=did_you_mean(value, FRAMEWORKS, "") or None,
            )
        return value

    @field_validator("training_data", "reference_data", "sample")
    @classmethod
    def _is_a_file(cls, value: str | None) -> str | None:
        if value is not None and "://" in value:
            raise refuse(f"{value!r} is not a file", hint="download it first and name the local CSV or Parquet file")
        return value

    @model_validator(mode="before")
    @classmethod
    def _chats_have_a_contract(cls, data: Any) -> Any:
        """Fill in the contract of chat completions where it is not given."""
        external = data.get("external") if isinstance(data, Mapping) else None
        if not isinstance(external, Mapping) or external.get("protocol") != chat_completions.PROTOCOL:
            return data
        key = "signature" if "signature" in data else "contract"
        given = data.get(key) or {}
        if not isinstance(given, Mapping):
            return data
        return {**data, key: {**given, **{side: given.get(side) or usual for side, usual in _CHAT.items()}}}

    @model_validator(mode="after")
    def _says_what_answers(self) -> "ModelDefinition":
        """A payload, a container or a model that runs elsewhere."""
        if self.container is not None or self.framework == CONTAINER:
            self._check_container()
        elif self.external is not None:
            given = [key for key in _NOT_EXTERNAL if getattr(self, key)]
            if given:
                raise refuse(f"an external model has no {given[0]}: it runs elsewhere", key=given[0])
            self._check_declared("an external model")
            if self.is_chat:
                chat_completions.check(self.contract.inputs, self.contract.outputs)
        elif not self.payload:
            raise refuse(
                "it is required",
                key="payload",
                expected="a file, a folder or a list of them; or external: true for a model that runs elsewhere",
            )
        elif self.framework == EXTERNAL:
            raise refuse(
                "a model that runs elsewhere says so by 'external'", key="framework", expected="external: true"
            )
        return self

    def _check_container(self) -> None:
        if self.container is None:
            raise refuse(
                "it is required", key="container", expected="e.g. {image: registry.example/churn:3, port: 8080}"
            )
        given = [key for key in _NOT_CONTAINER if getattr(self, key)]
        if given:
            key = given[0].replace("_", "-")
            raise refuse(f"a container has no {key}: its image holds what it runs", key=key)
        if self.framework not in (None, CONTAINER):
            raise refuse(f"a container has no framework {self.framework!r}", key="framework", expected=CONTAINER)
        self._check_declared("a container while it is built")

    def _check_declared(self, whom: str) -> None:
        """Nobody can be asked for what is not declared."""
        if not self.contract.outputs or not (self.contract.inputs or self.training_data):
            missing = "inputs" if self.contract.outputs else "outputs"
            raise refuse(
                f"contract.{missing} are missing: nobody can ask {whom} for them",
                key="contract",
                expected="outputs, and inputs or training-data",
            )

    @model_validator(mode="after")
    def _install_command_is_a_requirement_list(self) -> "ModelDefinition":
        """Only ``pip install`` can be honoured: environments are resolved and shared, nothing runs in them."""
        if self.requirements is None:
            located(installed_by, "install-command")(self.install_command or "")
        return self

    @property
    def is_chat(self) -> bool:
        """Whether it is a language model behind an API."""
        return self.external is not None and self.external.protocol == chat_completions.PROTOCOL

    def loader_options(self) -> dict[str, Any]:
        """What the framework's loader is told: ``options``, and what else of the definition concerns it."""
        unsafe = {"allow-unsafe": self.allow_unsafe} if self.allow_unsafe else {}
        elsewhere = self.external.options() if self.external else {}
        if self.container is not None:
            elsewhere = self.container.options(self.name, self.limits.start_timeout)
        return {**self.options, **unsafe, **elsewhere}

    def metrics(self) -> list[MetricSpec]:
        """The metrics of ``monitoring``, but the outliers that the platform is to learn by itself."""
        found = (MetricSpec.of_config(m.name, m.config) for m in self.monitoring.metrics)
        return [spec for spec in found if spec is not None]

    def installed(self) -> Installed:
        """What ``install-command`` installs."""
        return installed_by(self.install_command or "")

    def requirement_files(self) -> tuple[str, ...]:
        """The files that list what the model needs: ``requirements``, else those of ``install-command``."""
        if self.requirements is None:
            return self.installed().files
        return (self.requirements,) if isinstance(self.requirements, str) else ()

    def notes(self) -> list[str]:
        """What the definition says and the platform does not follow, for the build log."""
        notes = []
        if self.runtime is not None:
            notes.append(
                f"note: runtime {self.runtime!r} is ignored, the environment comes from framework and requirements"
            )
        if self.install_command is not None and self.requirements is not None:
            notes.append("note: install-command is not run, the requirements are installed")
        return notes
