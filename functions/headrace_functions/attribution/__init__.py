"""Shapley values of ensembles of trees, from the trees themselves.

``trees`` is the arithmetic for many rows, ``single`` for one at a time, ``linear`` that of linear models and what pipelines do before, ``ensembles`` what libraries' trees become, read by ``estimators``
(scikit-learn), ``lightgbm`` and ``xgboost``; ``outcome`` says which number of an answer is explained, ``features`` by which names. Analyses use it on
windows of the log, functions on the rows of a request.
"""
