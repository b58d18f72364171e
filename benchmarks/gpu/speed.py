"""Training speed of resnet50 at 224 px: Foldstack against the ceiling of benchmarks/training.py."""

import os
import statistics

from gpu.check import Attempt

ROUNDS = 5


def check_speed(attempt: Attempt) -> None:
    """See CHECKS in run.py."""
    import torch
    import training

    class Case(training.Case):
        """Without the loops that read files: they need many workers and much shared memory (`make bench`)."""

        def contenders(self, remedies: bool) -> dict:
            return {"ceiling": self.ceiling(), "ours": self.ours()}

    torch.set_num_threads(1 if attempt.rehearsal else os.cpu_count())
    name, device, share, rounds = ("small", "cpu", 0.05, 1) if attempt.rehearsal else ("resnet50", "cuda", 1.0, ROUNDS)
    case = Case(name, attempt.folder, device, workers=1, share=share, rounds=rounds)
    attempt.see(network=f"{case.architecture}, {case.size} px, batches of {case.batch}, {case.steps} steps a round")
    speeds = case.measure(remedies=False)
    shares = [ours / ceiling for ours, ceiling in zip(speeds["ours"], speeds["ceiling"], strict=True)]
    attempt.see(
        images_per_second={who: statistics.median(found) for who, found in speeds.items()},
        share_of_the_ceiling=statistics.median(shares),
        share_of_the_ceiling_by_round=shares,
    )
