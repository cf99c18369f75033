"""A run of the digits with everything a run folder holds, made by the callbacks that a training run has."""

from __future__ import annotations

from pathlib import Path

import keras

import mtgen
from mtgen.training import HalvingRule, PatienceRule, RuleCallback, RunFolder, RunHistory, Snapshots, record_run
from mtgen.training.config.building import dataset_of, splits_of
from mtgen.training.config.reading import read_config
from mtgen.training.config.writing import to_toml
from mtgen.training.heads import model_for
from mtgen.training.merged import Width

ROOT = Path(__file__).resolve().parents[2]


def make_run(path: Path, *, validations: int = 4, patience: int = 40, width: Width | None = None) -> RunFolder:
    """Train the merged model on the digits and leave a run folder; nothing is printed."""
    path.mkdir(parents=True)
    config = read_config(ROOT / "data_samples" / "digits.toml")
    (path / "run.toml").write_text(to_toml(config, path), encoding="utf-8")
    splits = splits_of(config, dataset_of(config))
    splits.save(path / "splits.csv")
    train, valid = mtgen.Loader(splits["train"], 32, seed=0), mtgen.Loader(splits["valid"], 64, shuffle=False)
    record_run(path, {"train": train, "valid": valid}, seed=0, say=quiet)
    model = model_for(splits["train"], width=width or Width(filters=4, units=16))
    model.compile(keras.optimizers.Adam(0.002), "sparse_categorical_crossentropy", metrics=["accuracy"])
    rule = PatienceRule(
        patience=patience, patience_increase=2, improvement_threshold=0.98, batches_per_epoch=train.steps_per_epoch
    )
    x = train.keras(model, steps_per_epoch=rule.validation_frequency)
    rules = RuleCallback(x, patience=rule, halving=HalvingRule(3), restore_best=True, say=quiet)
    snapshots = Snapshots(x, path, at_best=rules, say=quiet)
    history = RunHistory(x, path, rules, say=quiet)
    model.fit(
        x,
        validation_data=valid.keras(model),
        epochs=validations,
        verbose=0,
        shuffle=False,
        callbacks=[snapshots, rules, history],
    )
    model.save(path / "model.keras")
    for loader in (train, valid):
        loader.close()
    return RunFolder(path)


def quiet(line: str) -> None:
    """Takes a line and says nothing."""
