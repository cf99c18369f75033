"""A user's own script, as docs/recipe.md and docs/splits.md have it: rules, a sealed test split, saved and resumed.

Arguments: folder of the run, worker threads, steps of a window, steps ahead.
"""

import json
import sys
from pathlib import Path

import keras
import numpy as np

import mtgen
from mtgen.training import HalvingRule, InverseEpochDecay, PatienceRule, RuleCallback, TestScores
from tests.support.digits_script import merged

BATCH = 16
PARTS = {"train": 0.1, "valid": 0.05, "test": 0.05, "rest": 0.8}
SAID = "rules: "


def main(folder: str, num_workers: str, window: str, depth: str) -> None:
    run, digits = Path(folder), Path(__file__).resolve().parents[2] / "data_samples" / "digits"
    table = mtgen.read_table(digits / "table.csv")
    inputs = {
        "image": mtgen.Images("imgpath", root=digits, size=(4, 8), color="grayscale"),
        "features": mtgen.Rows(digits / "features.bcolz", key="id"),
    }
    data = mtgen.Dataset(table, inputs, "target")
    path = data.split(PARTS, stratify="target", seed=0).save(run / "splits.csv")
    train, valid, test, _ = mtgen.Splits.load(path, data, sealed="test")
    prefetch = mtgen.Prefetch(window=int(window), depth=int(depth))
    loader = mtgen.Loader(train, BATCH, seed=1, num_workers=int(num_workers), prefetch=prefetch)
    model = merged(train)
    model.compile(keras.optimizers.Adam(0.005), "sparse_categorical_crossentropy", metrics=["accuracy"])
    patience = PatienceRule(
        patience=14, patience_increase=2, improvement_threshold=0.99, batches_per_epoch=loader.steps_per_epoch
    )
    x = loader.keras(model, steps_per_epoch=patience.validation_frequency)
    scores = TestScores(test, batch_size=32, path=run / "test_scores.csv", num_workers=0)
    rules = RuleCallback(
        x,
        patience=patience,
        halving=HalvingRule(1),
        decay=InverseEpochDecay(0.1),
        monitor="1 - val_accuracy",
        restore_best=True,
        say=lambda line: print(SAID + line, flush=True),
        test=scores,
    )
    history = model.fit(
        x,
        epochs=patience.num_validations(7),
        validation_data=mtgen.Loader(valid, BATCH, shuffle=False, num_workers=0).keras(model),
        callbacks=[loader.checkpoint(x, run / "checkpoints", every_steps=4, also=[rules]), rules],
        verbose=0,
    ).history
    loader.close()
    scores.score(model, step=rules.step, why="after training")
    values = [*model.variables, *model.optimizer.variables]
    logs = {name: np.array(series) for name, series in history.items() if name != "data_wait"}
    arrays = [keras.ops.convert_to_numpy(one.value) for one in values]
    np.savez(run / "final.npz", *arrays, **logs)
    left = {"rules": rules.saved_state(), "learning_rate": float(model.optimizer.learning_rate)}
    (run / "rules.json").write_text(json.dumps(left, indent=1))


if __name__ == "__main__":
    main(*sys.argv[1:])
