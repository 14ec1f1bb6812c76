"""The gateway: the front door that resolves a name to services, wakes them and runs sequences.

``resolve`` (name -> version or sequence), ``leases`` (the seam to whatever runs services), ``upstream`` (HTTP to a service),
``exchange`` (one call of one service), ``execution`` (sequences), ``app`` (ASGI). It knows no backend and no management API;
the same code fronts local processes and a cluster. In a cluster it is a program of its own (``__main__``): ``incluster`` is
what it is told, ``knative`` its services, ``reload`` and ``private`` how it hears of changes.
"""
