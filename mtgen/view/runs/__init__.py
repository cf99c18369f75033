"""Pictures of a training run: curves, filters, feature maps, confusion, permuted inputs, waits. Needs matplotlib.

Each drawing function takes numbers of `mtgen.training.measures` and knows no Keras; `mtgen.view.runs.plots` reads a
run's folder and puts all of them on one page.
"""
