"""Writes results as text: tables, the report of a directory of runs, the documents. Imports no TensorFlow."""
