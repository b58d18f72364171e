"""The one exception that is written for a person."""


class FoldstackError(Exception):
    """Bad config, data, checkpoint or hardware: one sentence that names the file, key or row and the remedy."""
