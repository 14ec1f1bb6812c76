"""The management API ``/api/v1``: decode, call a use case, map the answer or the error. No rule lives here.

``application`` has ``create_app``. ``routing`` holds the table of operations that both Flask and the OpenAPI document are made from, ``views`` turns
domain objects into ``schemas``, one module a group of resources follows. Flask is imported here and in ``pages`` alone; nothing is imported at this
level, because the client and with it every command imports ``schemas``.
"""
