"""What a run writes down in its folder while it trains, and how it is read back: `folder` names every file.

Reading needs NumPy and pandas only. What writes while Keras trains is in modules that are imported when first used.
"""
