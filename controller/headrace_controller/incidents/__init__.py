"""What is wrong with the versions, said once and in a sentence.

``model`` is an incident and how it is told from what happened to it, ``rules`` finds in buckets of health what is out of order,
``bands`` says what is usual and ``limits`` what people have set,
``wording`` says it, ``evaluation`` groups findings by cause and decides what opens, grows and resolves – all four pure.
``store`` keeps incidents append-only. Use cases are in ``service/incidents.py``, the thread that evaluates in ``service/watching.py``.
"""
