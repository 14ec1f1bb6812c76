"""The wire: Open Inference Protocol v2 (JSON and binary tensors) and v1 on one side, named arrays on the other.

Pure functions over bytes, JSON documents and arrays: no sockets, no files, no user code. ``codec`` is the front
(``decode_request``, ``encode_response`` and their client-side twins); ``checks`` holds arrays against a signature;
``problems`` is the one table from domain errors to HTTP answers; ``metadata`` makes the documents of ``/v2`` and ``/v1``.
The function server, the gateway and the collector import it; it runs in a function's environment, so it needs
numpy and orjson only.
"""
