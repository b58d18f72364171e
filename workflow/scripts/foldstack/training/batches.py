"""How the samples of an epoch are divided: into steps, steps into the ranks' shards, shards into parts of one pass.

At each level sizes differ by one at most. No part is a single sample, unless `batch_size` is 1 or there are too few
samples for all ranks: batch normalisation cannot take the variance of one.
"""

from torch import nn

from foldstack.errors import FoldstackError


def steps_per_epoch(n: int, batch_size: int, accumulate: int, world_size: int) -> int:
    """Steps of an epoch of n samples: as many as make batches nearest to the size asked for, or fewer."""
    batch = batch_size * accumulate * world_size
    steps = max(1, round(n / batch))
    if batch_size > 1 and n // steps < 2 * world_size:  # a shard of one
        steps = max(1, n // batch)
    return steps


def part_size(batch: int, batch_size: int, accumulate: int, world_size: int) -> int:
    """Most samples of a batch that go through the network at once; `parts` may add one."""
    return max(-(-batch // (world_size * accumulate)), min(2, batch_size))


def parts(shard: int, size: int) -> int:
    """Number of parts of a shard, of at most `size` samples, or three where two would leave a single one."""
    count = -(-shard // size)
    return max(1, shard // 2) if size > 1 and shard < 2 * count else count


def smallest_part(n: int, batch_size: int, accumulate: int, world_size: int, ranks: int) -> int:
    """Fewest samples that go through the network at once; planned for `world_size` ranks, run on `ranks`."""
    steps, found = steps_per_epoch(n, batch_size, accumulate, world_size), []
    for batch in {n // steps, -(-n // steps)}:
        size = part_size(batch, batch_size, accumulate, world_size)
        for shard in {batch // ranks, -(-batch // ranks)}:
            shard = shard or min(2, batch)  # a rank without samples processes two that do not count
            found.append(shard // parts(shard, size))
    return min(found)


def check_normalisation(name: str, network: nn.Module, n: int, config: dict, world_size: int, ranks: int) -> None:
    """Raise FoldstackError where a network with batch normalisation would get a single sample.

    Args:
        name: of the run, for the message.
        config: the run's resolved config.
    """
    if smallest_part(n, config["batch_size"], config["accumulate"], world_size, ranks) > 1:
        return
    if any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in network.modules()):
        remedy = "set batch_size to 2 or more, and lower accumulate instead where memory is short"
        if config["batch_size"] > 1:
            remedy = f"{n} training samples are too few for {max(world_size, ranks)} GPUs: lower gpus, or add samples"
        raise FoldstackError(
            f"{name}: its network has batch normalisation, which cannot learn from one sample at a time; {remedy}."
        )
