"""Fit the coefficients of function.py to generated data; writes table.json and train.csv beside this file. Needs numpy."""

import json
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
DAYS = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
ROWS = 2000
THRESHOLD = 15.0  # degrees below which the building is heated
WEEKEND = 0.6  # consumption of a weekend, as a share of a working day's


def main() -> None:
    chance = np.random.default_rng(0)
    temperature = np.round(chance.normal(11, 8, ROWS), 1)
    hour = chance.integers(0, 24, ROWS)
    day = chance.choice(DAYS, ROWS)
    weekend = np.isin(day, ["saturday", "sunday"])
    usual = 20 + 15 * np.sin((hour - 6) * np.pi / 12).clip(0)
    consumption = usual * np.where(weekend, WEEKEND, 1.0) + 1.8 * (THRESHOLD - temperature).clip(0) + chance.normal(0, 1, ROWS)

    cold = (THRESHOLD - temperature).clip(0)
    columns = np.column_stack([cold, *((hour == h) * np.where(weekend, WEEKEND, 1.0) for h in range(24))])
    solution = np.linalg.lstsq(columns, consumption, rcond=None)[0]
    table = {"threshold": THRESHOLD, "weekend": WEEKEND, "per_degree": solution[0], "by_hour": solution[1:].tolist()}
    (HERE / "table.json").write_text(json.dumps(table, indent=1))

    lines = ["temperature,hour,day,consumption"]
    lines += [f"{t},{h},{d},{c:.3f}" for t, h, d, c in zip(temperature, hour, day, consumption)]
    (HERE / "train.csv").write_text("\n".join(lines) + "\n")
    error = float(np.sqrt(np.mean((columns @ solution - consumption) ** 2)))
    print(f"wrote table.json and train.csv; root-mean-square error: {error:.2f} kWh")


if __name__ == "__main__":
    main()
