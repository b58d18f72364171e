"""How large the exported files will be, before anything is trained. Standard library only."""

from collections.abc import Iterable

LIMIT = 2_000_000_000  # bytes, above which the weights lie beside the file: protobuf, ONNX's format, ends at 2**31


def ensemble_bytes(traces: Iterable[tuple[dict, int]]) -> int:
    """Bytes of export/ensemble.onnx and of the weights beside it.

    Args:
        traces: for each model its record, export/traces/{model}.json, and how many networks of it there will be
            (folds × seeds).

    The stacker is left out: some trees, or a matrix of classes × classes × models.
    """
    return sum(networks * (record["network_bytes"] + record["graph_bytes"]) for record, networks in traces)
