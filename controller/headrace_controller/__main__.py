"""``python -m headrace_controller``: the controller of a platform in a cluster, and its composition root.

On one machine the controller is ``headrace up`` and ``app`` puts it together.
"""

import os
import sys
from collections.abc import Mapping
from dataclasses import replace

import httpx

from headrace_controller import pages
from headrace_controller.api.application import create_app
from headrace_controller.backends.kserve.analyses import AnalysisSettings
from headrace_controller.backends.kserve.analysis_runs import ClusterRunner
from headrace_controller.backends.kserve.build_settings import BuildSettings
from headrace_controller.backends.kserve.builds import ClusterBuildRoom
from headrace_controller.backends.kserve.cluster import Cluster
from headrace_controller.backends.kserve.deployments import Deployments
from headrace_controller.backends.kserve.jobs import Jobs
from headrace_controller.backends.kserve.manifests import manifests_for
from headrace_controller.backends.kserve.secrets import Secrets
from headrace_controller.backends.kserve.streams import SECRET as STREAMS_SECRET
from headrace_controller.backends.kserve.token_reviews import TokenReviews
from headrace_controller.catalog.catalog import Catalog
from headrace_controller.gateway_client import SECONDS, GatewayAsking
from headrace_controller.incluster.controller import look_after_inbox, serve, tell_collector
from headrace_controller.incluster.cronjobs import Croning
from headrace_controller.incluster.gateways import Gateways
from headrace_controller.incluster.platform_keys import (
    HashKeys,
    PlatformKeys,
    first_key_secret,
    patiently,
    platform_keys,
)
from headrace_controller.incluster.services import ClusterServices
from headrace_controller.incluster.settings import GATEWAY_SERVICE, InCluster
from headrace_controller.incluster.signing import sign_documents
from headrace_controller.incluster.streams import ClusterStreams
from headrace_controller.logging_setup import set_up_logging
from headrace_controller.service.batch_places import places_of
from headrace_controller.service.platform import create_platform
from headrace_controller.service.rotation import key_files
from headrace_functions.access.authentication import Tokens
from headrace_functions.access.issuers import TokensByIssuer
from headrace_functions.errors import HeadraceError
from headrace_functions.startup import POD, cannot_start
from headrace_functions.storage import layout
from headrace_functions.storage.documents import Documents
from headrace_functions.storage.objects import ObjectStore
from headrace_functions.storage.releases import ReleaseKey
from headrace_functions.storage.signed_documents import DocumentKey


def serve_in_cluster(environment: Mapping[str, str]) -> None:
    """Run the controller of a platform in a cluster until TERM or INT, as ``knative/base`` tells it."""
    set_up_logging()
    settings = InCluster.from_environment(environment)
    settings.platform.logs.mkdir(parents=True, exist_ok=True)
    objects = ObjectStore(settings.platform.storage_url)
    keys = _keys(settings, objects)
    documents = Documents(objects, DocumentKey(keys.release_key.value))
    builds = BuildSettings.from_environment(environment, settings.cluster)
    locks = {image.listed.lock: image.reference for image in builds.images}
    key_files(settings.platform).write_hash_keys(keys.hash_key, keys.retired)
    settings = replace(
        settings,
        cluster=replace(settings.cluster, secret=keys.secret, locks=locks, hash_key=settings.platform.read_hash_key),
        platform=replace(settings.platform, release_key=keys.release_key.value),
    )
    cluster = Cluster(settings.cluster)
    gateways = Gateways(lambda: cluster.addresses(GATEWAY_SERVICE), documents.objects, keys.secret)
    services = ClusterServices(cluster, Catalog(documents, keys.release_key), gateways)
    services.keeping.after.append(look_after_inbox(settings))
    jobs = Jobs(cluster)
    # The pods of schedules and streams run this very image.
    image = cluster.image_of(environment[POD])
    secrets = Secrets(cluster)
    streams = ClusterStreams(
        Catalog(documents), Deployments(cluster), lambda: secrets.find(STREAMS_SECRET), settings.cluster, image
    )
    platform = create_platform(
        settings.platform,
        services,
        settings.public_url,
        manifests_for(settings.cluster),
        ClusterBuildRoom(jobs, settings.cluster, builds, documents),
        ClusterRunner(jobs, settings.cluster, AnalysisSettings.from_environment(environment)),
        settings.gateway,
    )
    platform.streams.runner = streams
    platform.jobs.places = places_of(environment)
    croning = Croning(platform.schedules.select, jobs, settings.cluster, image)
    platform.schedules.leave_clock(services.keeping.look)
    services.keeping.after.append(croning.keep)
    platform.metrics.on_attach(tell_collector(settings))
    asking = httpx.Client(base_url=settings.gateway, timeout=SECONDS, trust_env=False)
    platform.replays.ask = platform.evaluations.ask = GatewayAsking(asking, lambda: keys.secret)
    platform.exchanges.on_arrival(tell_collector(settings))
    platform.checks.append(lambda: [p for p in (services.keeping.health.problem,) if p])
    platform.checks.append(lambda: list(services.keeping.left.values()))
    platform.checks.append(lambda: streams.problems)
    platform.trust.secret.value = keys.secret
    platform.rotation.elsewhere = HashKeys(secrets, services.keeping.look)
    platform.trust.authentication.tokens = _tokens(settings, platform.trust.authentication.tokens, cluster)
    platform.open(home_lost=True)
    platform.trust.see_to_an_administrator(lambda key: secrets.apply(first_key_secret(key, settings.cluster)))
    services.open()
    streams.start()
    management = create_app(platform, pages.blueprint(platform))
    serve(
        settings,
        management,
        services.keeping.snapshot,
        services.runs_users_code,
        platform.trust.secret,
        platform.trust.authentication.verify_token,
    )
    streams.close()
    services.close()
    platform.close()


def _tokens(settings: InCluster, provided: Tokens | None, cluster: Cluster) -> Tokens | None:
    """Who verifies bearer tokens: the login provider's keys, and the cluster of its ServiceAccounts."""
    if not settings.token_audience:
        return provided
    reviews = TokenReviews(cluster, settings.token_audience)
    return reviews if provided is None else TokensByIssuer(settings.platform.oidc_issuer, provided, reviews)


def _keys(settings: InCluster, objects: ObjectStore) -> PlatformKeys:
    """The platform's keys, from its Secret. What was kept in the store instead goes."""
    cluster = Cluster(settings.cluster)

    def adopt(key: ReleaseKey) -> None:
        Catalog(Documents(objects), key).sign_unsigned()

    def adopt_documents(key: ReleaseKey, *, others: bool) -> None:
        sign_documents(objects, DocumentKey(key.value), others=others)

    keys = patiently(lambda: platform_keys(Secrets(cluster), settings.cluster, adopt, adopt_documents))
    cluster.close()
    objects.delete(layout.PURPOSE)
    return keys


if __name__ == "__main__":
    try:
        serve_in_cluster(os.environ)
    except HeadraceError as error:
        sys.exit(cannot_start(error))
