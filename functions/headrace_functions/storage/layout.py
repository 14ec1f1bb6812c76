"""Every key of the store, in one place. Keys are relative to the storage URL and use '/'."""

import hashlib

from headrace_functions.names import VersionId

MODELS = "models/"
SEQUENCES = "sequences/"
INBOX = "inbox/"
REFUSED = "inbox-refused/"
"""What the collector could not read, under the keys it had in the inbox, each with its reason beside it."""
REPORTS = "reports/"
SCHEDULES = "schedules/"
DEPLOYMENTS = "deployment-configurations/"
ENVIRONMENTS = "environments/"
JOBS = "jobs/"
INCIDENTS = "incidents/"
HEALTH = "health/"
TARGETS = "notification-targets/"
RULES = "rules/"
STREAMS = "streams/"
DEFERRED = "deferred/"
"""Requests that are answered later, with their results."""
NAMES = "names/"
LOGS = "logs/"
BUILDS = "builds/"
"""Questions and results on their way between the controller and its build Jobs in a cluster; each is deleted with its build."""
CHANGES = "changes"
"""Another content each time a name may mean something else: a hint for gateways that nobody could tell, no state."""
PURPOSE = "purpose"
"""Where platforms in a cluster kept their secret before it had a Secret of its own; removed by the controller."""
ACCESS = "access/"
"""Who may do what: nothing else is below it, for each process lists it every few seconds."""
ACCESS_KEYS = ACCESS + "keys/"
ACCESS_GRANTS = ACCESS + "grants/"
ACCESS_BLOCKS = ACCESS + "blocks/"
KEY_USES = "key-uses/"
SESSIONS = "sessions/"
AUDIT = "audit/"
RETENTION = "retention/"
EXPLANATIONS = "explanations/"
METRICS = "metrics/"
LABELS = "labels/"
REPLAYS = "replays/"
NOTIFICATIONS = "notifications/"
SCHEDULE_RUNS = "schedule-runs/"
ERASURES = "erasures/"
RESTORING = "restoring.json"
"""There while a backup is being restored to the store: no platform starts on one that lacks the rest."""


def public_name(name: str) -> str:
    """Which kind, model or sequence, a public name belongs to; its creation claims the name."""
    return f"{NAMES}{name}.json"


def model(name: str) -> str:
    return f"{MODELS}{name}/"


def model_tombstone(name: str) -> str:
    return f"{MODELS}{name}/deleted.json"


def versions(name: str) -> str:
    return f"{MODELS}{name}/versions/"


def version(v: VersionId) -> str:
    return f"{MODELS}{v.model}/versions/{v.number}/"


def definition(v: VersionId) -> str:
    """What the user gave; its creation claims the number."""
    return version(v) + "definition.json"


def version_document(v: VersionId) -> str:
    """The immutable description, written when the build has succeeded."""
    return version(v) + "version.json"


def release_signature(v: VersionId) -> str:
    """What says that a platform has released ``version.json`` as it is; see ``releases``."""
    return version(v) + "release-signature.json"


def artifact(v: VersionId) -> str:
    return version(v) + "artifact.tar.zst"


def status(v: VersionId) -> str:
    """Folder of the build states ``<k>.json``, appended; the highest counts."""
    return version(v) + "status/"


def build_log(v: VersionId) -> str:
    return version(v) + "build.log"


def profile(v: VersionId) -> str:
    """Statistics of the training data, made once per version."""
    return version(v) + "profile.json"


def training(v: VersionId) -> str:
    return version(v) + "training.parquet"


def baseline(v: VersionId, digest: str) -> str:
    """What drift counts of the training data, made once per version; ``digest`` is of what was asked and of the code that counted."""
    return f"{version(v)}baseline/{digest}.npz"


def reference_data(v: VersionId) -> str:
    """Rows of the definition's ``reference-data``: inputs and targets by name, the model's answers on them as ``out.<column>``."""
    return version(v) + "reference-data.parquet"


def reference(v: VersionId) -> str:
    """The model's own answers on (a sample of) its training rows, columns ``out.<column>``: the reference of score drift."""
    return version(v) + "reference.parquet"


def importance(v: VersionId) -> str:
    """Folder of what the answers on the training data depend on, ``<k>.json``, appended; the highest counts."""
    return version(v) + "importance/"


def detector(v: VersionId, digest: str) -> str:
    """Folder of an outlier detector learnt from the training data: ``function.py``, ``detector.npz``, ``definition.json``."""
    return f"{version(v)}outliers/{digest}/"


def version_tombstone(v: VersionId) -> str:
    return version(v) + "deleted.json"


def alias(model_name: str, alias_name: str) -> str:
    """Folder of the positions ``<k>.json`` of an alias, appended; the highest counts."""
    return f"{MODELS}{model_name}/aliases/{alias_name}/"


def aliases(model_name: str) -> str:
    return f"{MODELS}{model_name}/aliases/"


def sequence(name: str) -> str:
    return f"{SEQUENCES}{name}/"


def revisions(name: str) -> str:
    """Folder of the revisions ``<k>.json`` of a sequence, appended; the highest counts. A deletion is one of them."""
    return f"{SEQUENCES}{name}/revisions/"


def environment(key: str) -> str:
    """Folder of a resolved environment: ``lock.txt``."""
    return f"{ENVIRONMENTS}{key}/"


def layer(key: str) -> str:
    """Archive of the libraries that an environment has beyond its runtime image."""
    return environment(key) + "layer.tar.zst"


def layer_document(key: str) -> str:
    """What an environment's layer is: ``sha256``, ``size`` and ``packages``; its creation means that the layer is whole."""
    return environment(key) + "layer.json"


def resolution(requirements_digest: str) -> str:
    """Which environment a list of requirements was resolved to."""
    return f"{ENVIRONMENTS}resolutions/{requirements_digest}.json"


def exchange(build: str, name: str) -> str:
    """A document between the controller and one of its build Jobs."""
    return f"{BUILDS}{build}/{name}"


def inbox_segment(service: str, spool: str, sequence_number: int) -> str:
    return f"{INBOX}{service}/{spool}/{sequence_number:012d}.seg"


def refused(inbox_key: str) -> str:
    """Where an object of the inbox that cannot be read is set aside."""
    return REFUSED + inbox_key.removeprefix(INBOX)


def refused_reason(refused_key: str) -> str:
    return f"{refused_key}.reason.json"


def refused_records(inbox_key: str, v: VersionId, request_id: str = "") -> str:
    """Key in the inbox's terms for records of one version in a segment; ``request_id`` where it is one record."""
    one = f"-{hashlib.sha256(request_id.encode()).hexdigest()[:16]}" if request_id else ""
    return f"{inbox_key.removesuffix('.seg')}-{v.service}{one}.seg"


def log_table(v: VersionId) -> str:
    """Delta table of a version's exchanges."""
    return f"logs/{v.model}/v{v.number}"


def metric_table(v: VersionId) -> str:
    """Delta table of the values that metric models gave to a version's exchanges."""
    return f"metrics/{v.model}/v{v.number}"


def health(v: VersionId) -> str:
    """Folder of a version's health: plans and the tables that were counted by them."""
    return f"{HEALTH}{v.model}/v{v.number}/"


def health_plans(v: VersionId) -> str:
    """Folder of the plans ``<k>.json``, appended; each begins the count anew, and the highest whose table is there counts."""
    return health(v) + "plans/"


def health_table(v: VersionId, plan: int) -> str:
    """Delta table of what plan ``<plan>`` counts of a version's log and metric values, a line a minute or part of one."""
    return f"{health(v)}{plan:06d}"


def metric_specs(v: VersionId) -> str:
    return f"metrics-specs/{v.model}/v{v.number}/"


def metric_spec(v: VersionId, name: str) -> str:
    """Folder of the states ``<k>.json`` of a metric that was attached to a version; the highest counts."""
    return f"{metric_specs(v)}{name}/"


def metric_function(digest: str) -> str:
    """A Python file with a metric of the user's own, by its content."""
    return f"metric-functions/{digest}.py"


def labels(v: VersionId) -> str:
    """Folder of the labels that came late: files ``<k:09d>.parquet``, created once; of a row's labels the last one counts.

    Columns are ``request_id`` (string), ``row`` (int32) and the version's target columns: classes by their names (string), or
    numbers (float64). Earlier releases kept them in the type of the pushed file; readers take any.
    """
    return f"labels/{v.model}/v{v.number}/"


def label_file(v: VersionId, number: int) -> str:
    return f"{labels(v)}{number:09d}.parquet"


def report(v: VersionId, kind: str, name: str) -> str:
    return f"{REPORTS}{v.model}/v{v.number}/{kind}/{name}"


def model_reports(model_name: str) -> str:
    """Folder of the reports of a model, one folder ``v<n>`` a version."""
    return f"{REPORTS}{model_name}/"


def reports(v: VersionId, kind: str = "") -> str:
    return f"{REPORTS}{v.model}/v{v.number}/" + (f"{kind}/" if kind else "")


def explanation(v: VersionId, digest: str) -> str:
    """Which report answers a question about a logged row; ``digest`` is that of the question."""
    return f"explanations/{v.model}/v{v.number}/{digest}.json"


def explanations(v: VersionId) -> str:
    """Folder of the answers to questions about a version's logged rows."""
    return f"explanations/{v.model}/v{v.number}/"


def retention(name: str) -> str:
    """Folder of the states ``<k>.json`` of for how long things of a model are kept, or of all (``default``), appended; the highest counts."""
    return f"{RETENTION}{name}/"


def erasure(erasure_id: str) -> str:
    """Folder of the states ``<k>.json`` of an erasure, appended; the highest counts."""
    return f"{ERASURES}{erasure_id}/states/"


def erasure_request(erasure_id: str) -> str:
    """What is to be erased, the value too; deleted once it is."""
    return f"{ERASURES}{erasure_id}/request.json"


def erasure_notes(erasure_id: str) -> str:
    """Requests that had the value: their ids and rows; deleted once everything of theirs is erased."""
    return f"{ERASURES}{erasure_id}/requests.parquet"


def incident(number: int) -> str:
    """Folder of what happened to an incident, ``<k>.json``, appended; the first one opens it and claims its number."""
    return f"{INCIDENTS}{number}/"


def notification(number: int, target_name: str, event: str) -> str:
    """Folder of the attempts ``<k>.json`` to tell a target of an event of an incident, appended; the highest counts."""
    return f"notifications/{number}/{target_name}/{event}/"


def told_change(target_name: str, change: str) -> str:
    """Folder of the attempts ``<k>.json`` to tell a target of a change of a version, alias or sequence, by a digest of the change."""
    return f"{NOTIFICATIONS}changes/{target_name}/{change}/"


def target(name: str) -> str:
    """Folder of the states ``<k>.json`` of a notification target, appended; the highest counts."""
    return f"{TARGETS}{name}/"


def rules(model_name: str) -> str:
    """Folder of the states ``<k>.json`` of the limits that people set for a model, appended; the highest counts."""
    return f"{RULES}{model_name}/"


def replay(replay_id: str) -> str:
    """What a replay was asked for."""
    return f"replays/{replay_id}.json"


def replay_result(replay_id: str) -> str:
    """What a replay came to."""
    return f"replays/{replay_id}/result.json"


def evaluations(v: VersionId) -> str:
    """Folder of what a version was held against labelled files for: ``<id>.json``, and ``<id>/result.json``."""
    return f"evaluations/{v.model}/v{v.number}/"


def evaluation(v: VersionId, evaluation_id: str) -> str:
    """What an evaluation was asked for."""
    return f"{evaluations(v)}{evaluation_id}.json"


def evaluation_result(v: VersionId, evaluation_id: str) -> str:
    """What an evaluation came to."""
    return f"{evaluations(v)}{evaluation_id}/result.json"


def schedule(name: str) -> str:
    """Folder of the revisions ``<k>.json`` of a schedule, appended; the highest counts."""
    return f"{SCHEDULES}{name}/revisions/"


def schedule_runs(name: str) -> str:
    return f"schedule-runs/{name}/"


def schedule_run(name: str, slot: str) -> str:
    """Folder of the states ``<k>.json`` of one window of a schedule; its first state claims the window."""
    return f"{schedule_runs(name)}{slot}/"


def deferred_request(request_id: str) -> str:
    return f"{DEFERRED}{request_id}/request"


def deferred_result(request_id: str) -> str:
    return f"{DEFERRED}{request_id}/result"


def deferred_told(request_id: str) -> str:
    """What became of the callback; there once it is over."""
    return f"{DEFERRED}{request_id}/told"


def stream(name: str) -> str:
    """Folder of the states ``<k>.json`` of a stream, appended; the highest counts."""
    return f"{STREAMS}{name}/"


def deployment(name: str) -> str:
    """Folder of the revisions ``<k>.json`` of a deployment configuration."""
    return f"{DEPLOYMENTS}{name}/revisions/"


def job(job_id: str) -> str:
    """Folder of an analysis run: ``job.json``, ``status/<k>.json``."""
    return f"{JOBS}{job_id}/"


def job_document(job_id: str) -> str:
    """What was asked of the run; its creation claims the id."""
    return job(job_id) + "job.json"


def job_status(job_id: str) -> str:
    """Folder of the run's states ``<k>.json``, appended; the highest counts."""
    return job(job_id) + "status/"


def access_key(name: str) -> str:
    """Folder of the states ``<k>.json`` of an API key, appended; the highest counts. A revoked key keeps its name for good."""
    return f"{ACCESS_KEYS}{name}/"


def grant(name: str) -> str:
    """Folder of the states ``<k>.json`` of a grant, appended; the highest counts."""
    return f"{ACCESS_GRANTS}{name}/"


def access_block(subject: str) -> str:
    """Folder of the states ``<k>.json`` of whether a subject is blocked, appended; the highest counts."""
    return f"{ACCESS_BLOCKS}{hashlib.sha256(subject.encode()).hexdigest()[:32]}/"


def key_uses(process: str) -> str:
    """When each API key was last seen by one process, replaced every minute."""
    return f"{KEY_USES}{process}.json"


def session(digest: str) -> str:
    """A session of a person, by the SHA-256 of what the cookie holds; deleted where they log out."""
    return f"{SESSIONS}{digest}.json"


def audit_part(number: int) -> str:
    """Folder of a thousand entries of the audit: the one with entry ``number``."""
    return f"{AUDIT}{number // 1000:09d}/"


def audit_entry(number: int) -> str:
    """One entry of the audit, created once; it holds the SHA-256 of the one before."""
    return f"{audit_part(number)}{number:012d}.json"
