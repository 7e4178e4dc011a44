"""What each recipe does: one function a recipe, one file a part of the lecture (A to D; A has a second one).

The one place that binds recipes to models. Every function takes an `experiment.Run` and reads from top to bottom:
build, fit, evaluate, draw, export.
"""
