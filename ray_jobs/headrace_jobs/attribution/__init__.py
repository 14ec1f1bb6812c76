"""Attribution over a window: what the answers depend on, over a sample of rows, its outliers, or rows unlike training.

``trees`` is the arithmetic of tree ensembles, ``artifact`` takes them out of a version's artifact (``estimators`` of scikit-learn, ``lightgbm``, ``xgboost`` of
those libraries), ``rows`` chooses rows of the log,
``job`` is the report, ``command`` its options. One row of one request is the business of ``explain``. Only the command line imports it.
"""
