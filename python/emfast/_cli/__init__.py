"""The verbs of the command line, one module for each or for those of a kind. What they share is in ``options`` and
``blocks``."""
