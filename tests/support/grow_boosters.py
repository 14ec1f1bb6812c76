"""Run by the Python that has LightGBM and XGBoost: models of several objectives with what they say of them, and a classifier to serve.

Writes for each model ``NAME.txt`` or ``NAME.ubj`` (as it is pickled) and ``NAME.npz`` (rows ``x``, ``answers``, and ``contributions`` with the base last, by ``pred_contrib``),
and ``model.joblib`` with ``train.csv``, fitted with names.
"""

import sys
from pathlib import Path

import joblib
import lightgbm
import numpy as np
import pandas as pd
import xgboost

OUT = Path(sys.argv[1])


def keep(name: str, model: lightgbm.LGBMModel, x: np.ndarray) -> None:
    answers = model.predict_proba(x)[:, 1] if hasattr(model, "predict_proba") else model.predict(x)
    linear = model.get_params().get("linear_tree", False)  # LightGBM has no contributions of those
    contributions = np.zeros(0) if linear else model.booster_.predict(x, pred_contrib=True)
    (OUT / f"{name}.txt").write_text(model.booster_.model_to_string(num_iteration=-1))
    np.savez(OUT / f"{name}.npz", x=x, answers=answers, contributions=contributions)


def keep_xgboost(name: str, model: xgboost.XGBModel, x: np.ndarray) -> None:
    answers = model.predict_proba(x)[:, 1] if hasattr(model, "predict_proba") else model.predict(x)
    rounds = (0, getattr(model, "best_iteration", model.get_booster().num_boosted_rounds() - 1) + 1)
    booster = model.get_booster()
    contributions = booster.predict(xgboost.DMatrix(x), pred_contribs=True, iteration_range=rounds)
    (OUT / f"{name}.ubj").write_bytes(booster.__getstate__()["handle"])
    np.savez(OUT / f"{name}.npz", x=x, answers=answers, contributions=contributions)
    joblib.dump(model, OUT / f"{name}.joblib")


random = np.random.default_rng(0)
whole = random.normal(size=(1500, 6))
holes = np.where(random.random(whole.shape) < 0.1, np.nan, whole)
raw = 3 * whole[:, 0] * whole[:, 1] + whole[:, 2]
common = {"verbose": -1, "n_jobs": 1, "n_estimators": 30, "random_state": 0}
shown = 200

keep("binary", lightgbm.LGBMClassifier(**common).fit(holes, raw > 0), holes[:shown])
keep("dart", lightgbm.LGBMClassifier(**common, boosting_type="dart").fit(holes, raw > 0), holes[:shown])
keep("regression", lightgbm.LGBMRegressor(**common).fit(whole, raw), whole[:shown])
keep("unseen", lightgbm.LGBMRegressor(**common).fit(whole, raw), holes[:shown])
keep("quantile", lightgbm.LGBMRegressor(**common, objective="quantile", alpha=0.3).fit(holes, raw), holes[:shown])
keep("poisson", lightgbm.LGBMRegressor(**common, objective="poisson").fit(holes, np.exp(raw / 4)), holes[:shown])
keep("tweedie", lightgbm.LGBMRegressor(**common, objective="tweedie").fit(holes, np.exp(raw / 4)), holes[:shown])
keep("linear", lightgbm.LGBMRegressor(**common, linear_tree=True).fit(whole, raw), whole[:shown])

named = pd.DataFrame(whole[:, :4], columns=["b", "a", "d", "c"])
bought = np.where(2 * named["a"] + named["b"] > 0, "yes", "no")
joblib.dump(lightgbm.LGBMClassifier(**common).fit(named, bought), OUT / "model.joblib")
named.assign(bought=bought).to_csv(OUT / "train.csv", index=False)

few = {"n_estimators": 30, "n_jobs": 1, "random_state": 0}
keep_xgboost("xgb-binary", xgboost.XGBClassifier(**few).fit(holes, raw > 0), holes[:shown])
keep_xgboost("xgb-regression", xgboost.XGBRegressor(**few).fit(whole, raw), whole[:shown])
keep_xgboost(
    "xgb-poisson", xgboost.XGBRegressor(**few, objective="count:poisson").fit(holes, np.exp(raw / 4)), holes[:shown]
)
stopped = xgboost.XGBRegressor(n_estimators=200, early_stopping_rounds=3)
stopped.fit(whole[200:], raw[200:], eval_set=[(whole[:200], raw[:200] + random.normal(size=200))], verbose=False)
keep_xgboost("xgb-stopped", stopped, whole[:shown])
keep_xgboost("xgb-linear", xgboost.XGBRegressor(**few, booster="gblinear").fit(whole, raw), whole[:shown])
