"""Tests for drift: the ``Detector`` port, its two engines, and the tests that no engine is asked for.

Here belongs what turns a reference and a window into a statistic, a p-value and an effect. What it means for people is
``verdict``'s. An engine sees cleaned values only: missing ones are counted and tested in ``defects``, so that one NaN
cannot silence a test. ``alibi`` is the only module that may import ``alibi_detect``.
"""
