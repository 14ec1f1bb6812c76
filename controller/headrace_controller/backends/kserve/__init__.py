"""Services as KServe InferenceServices on a cluster.

``settings`` is where and from what they are made, ``manifests`` says what a version is in Kubernetes' words, ``status`` says
what the cluster's words mean to a person; these three are pure. ``cluster`` is the only client of the Kubernetes API,
``service`` keeps one service as it was asked for, ``backend`` is the ``Backend`` over all of them. Knative's activator wakes
and its autoscaler puts to sleep; nothing here does. ``cluster_inspection`` looks at a cluster for ``headrace cluster check`` and
``cluster_check`` (pure) says what it lacks. The API may import ``manifests`` and ``settings``, to show them.
"""
