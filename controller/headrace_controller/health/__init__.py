"""How versions are doing, minute by minute: what the heat map, the charts and the incidents are made of.

``plan`` says what is counted of a version (bins fixed once from its training data), ``aggregate`` counts log rows by minute into
``Frame``s that merge (pure), ``shift`` says how far a histogram lies from training's (pure), ``table`` keeps frames in a Delta
table exactly once, ``writer`` follows the log commit by commit, ``reader`` gives buckets of time. Nothing is drawn or judged here.
"""
