"""gRPC in front of a gateway: the Open Inference Protocol's service, health and reflection, in a process of its own.

Every call becomes one HTTP request with binary tensors at the gateway, which resolves, validates, limits and logs it as any
other, so nothing here knows a signature, a version or the store. grpc and protobuf are imported in this package alone.
"""
