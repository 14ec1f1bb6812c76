"""Streams between Kafka topics: what a message says, the loop of one stream, and the adapter to Kafka.

``messages`` is pure; ``kafka`` alone imports the client library; ``running`` ties a stream to the gateway, which it asks as any caller does, so
validation, limits and the log are the data plane's. The process that runs streams is ``embedded.streams``.
"""
