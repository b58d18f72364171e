"""A process that leases a GPU as every job does and uses it as it is told, a command a line on its standard input.

    look            what it sees of the GPUs
    fill MIB        take memory and keep it
    work SECONDS    keep the GPU busy

Each is answered by a line of JSON. It ends, and gives all back, with its input.
"""

import json
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "workflow" / "scripts"))

from foldstack import files
from foldstack.gpus import claim, inventory


class Gpu:
    """The one GPU that torch sees."""

    def look(self) -> dict:
        import torch

        torch.zeros(1, device="cuda")  # from here on the process has its context, which takes memory too
        seen = torch.cuda.get_device_properties(0)
        total = seen.total_memory / inventory.MIB
        return {"count": torch.cuda.device_count(), "uuid": str(seen.uuid), "name": seen.name, "total_mib": total}

    def fill(self, mib: float) -> dict:
        import torch

        self.held = torch.zeros(int(mib * inventory.MIB), dtype=torch.uint8, device="cuda")
        torch.cuda.synchronize()
        return {}

    def work(self, seconds: float) -> dict:
        import torch

        a = torch.randn(4096, 4096, device="cuda")
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            for _ in range(10):
                a @ a
            torch.cuda.synchronize()
        return {}

    def end(self) -> None:
        """Memory goes with the process."""


class StandIn:
    """A stand-in GPU, whose load is what the file FOLDSTACK_FAKE_LOAD says."""

    def __init__(self):
        self.path, self.gpu = Path(os.environ[inventory.FAKE_LOAD]), os.environ["CUDA_VISIBLE_DEVICES"]
        self.used, self.total = files.read_json(self.path)[self.gpu][1:]

    def look(self) -> dict:
        return {"count": 1, "uuid": self.gpu, "name": "stand-in GPU", "total_mib": self.total}

    def fill(self, mib: float) -> dict:
        self._say(0.0, self.used + mib)
        return {}

    def work(self, seconds: float) -> dict:
        used = inventory.reading(self.gpu).used
        self._say(1.0, used)
        time.sleep(seconds)
        self._say(0.0, used)
        return {}

    def end(self) -> None:
        self._say(0.0, self.used)

    def _say(self, utilisation: float, used: float) -> None:
        files.write_json(self.path, files.read_json(self.path) | {self.gpu: [utilisation, used, self.total]})


def main() -> None:
    with claim.claim(1, what="a check of make gpu"):
        gpu = StandIn() if inventory.FAKE in os.environ else Gpu()
        for line in sys.stdin:
            command, *numbers = line.split()
            answer = getattr(gpu, command)(*map(float, numbers))
            print(json.dumps(answer | {"leased": os.environ["CUDA_VISIBLE_DEVICES"]}), flush=True)
        gpu.end()


if __name__ == "__main__":
    main()
