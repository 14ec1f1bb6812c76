"""Performance: how well a version does in a window, estimated before labels are known and realised once they are.

Here belong metrics, the estimates of them (CBPE for classes, DLE for numbers), their intervals and alert bands, and the join
of late labels. Drift does not: a distribution may move and the answers stay right. Only ``command`` imports ``job``.
"""
