"""What the pictures of a run show, as numbers: NumPy and Keras, nothing is drawn here. Keras is imported when asked.

Each module measures one thing; `mtgen.view.runs` draws it.
"""
