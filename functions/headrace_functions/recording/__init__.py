"""The way of a record from the process that saw the exchange to the store's inbox.

``spool`` appends to local segment files and runs beside a function (standard library, numpy, orjson only);
``shipper`` moves sealed segments to the inbox and runs beside the collector; in a pod ``shipping`` runs it beside the process
that records. What the records mean is the collector's matter. The function server and the gateway import ``spool``, their
main programs ``shipping``, the controller ``shipper``.
"""
