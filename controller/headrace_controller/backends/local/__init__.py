"""Services as processes on this machine.

``service`` is the state machine of one service, the only writer of its life; ``launcher`` brings one replica up or down (over ``headrace_functions.forking``);
``node`` is the ``Backend`` over all of them. Everything runs on the gateway's event loop.
"""
