"""The near side of forked function servers: who asks a zygote for them, watches and ends them.

``zygote`` keeps a warm interpreter and asks it to fork, ``process`` identifies, watches and ends processes whoever their parent
is, ``notifications`` hears what a replica says of its start. Two homes use it: the local node (``backends/local`` of the controller)
and ``standby``. What a service is and when it lives is theirs, not decided here. The far side is ``runtime.zygote``, another
process, which is not imported.
"""
