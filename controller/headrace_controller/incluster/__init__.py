"""The processes of a platform in a cluster: controller (Deployment) and collector (Knative Service); the gateway is ``headrace_functions.gateway``.

Holds what ``embedded`` holds for one machine: where the parts find each other, how they start and stop. What they do is in
``service``, ``collector`` and ``backends.kserve``. Only ``app`` and the programs' own ``__main__`` blocks import it.
"""
