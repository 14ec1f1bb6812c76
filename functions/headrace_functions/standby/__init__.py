"""The standby of one runtime image: a warm zygote that answers for any asleep version of this image until its own pod does.

``settings`` is what the process is told, ``artifact_cache`` fetches versions and artifacts and bounds what is kept of them, ``children``
forks a function server a version and bounds how many, ``app`` speaks HTTP to the gateway, ``__main__`` is the life of the
process. A child is the same function server as in a pod, with the same limits and records; nothing here reads a tensor. It runs
in the runtime image and asks the Kubernetes API nothing. Nobody imports it; the gateway's side is ``gateway.standby``.
"""
