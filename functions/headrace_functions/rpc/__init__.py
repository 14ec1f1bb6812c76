"""gRPC in front of a gateway: the Open Inference Protocol's service, health and reflection, in a process of its own.

Every call becomes one HTTP request with binary tensors at the gateway, which resolves, validates, limits and logs it as any
other, so nothing here knows a signature, a version or the store. ngh2 (HTTP/2) and protobuf are imported in this package alone. gRPC's own
library is not: its event loop took most of a call's time. It and clients on it are how this package is tested.
"""
