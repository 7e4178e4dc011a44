"""The metrics, one a file. They take arrays and callables (encode, decode, classify), never model classes."""
