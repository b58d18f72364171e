"""torch.compile for the forward and backward passes of training steps.

Only those: whatever is scored, predicted or exported goes through the network that is not compiled. Its parameters
keep their names, so a file of weights does not tell whether its run was compiled.
"""

import os
from collections.abc import Callable

import torch

from foldstack.errors import FoldstackError
from foldstack.models.network import Classifier

BACKEND = "inductor"


def compiled(classifier: Classifier) -> Callable[[torch.Tensor], torch.Tensor]:
    """`classifier.classify`, compiled when it is first called, once for batches of all sizes.

    One version for all sizes, since a process that resumes from a checkpoint meets them in another order.

    Raises:
        FoldstackError: from the function, where the machine has no compiler or the network cannot be compiled.
    """
    # Otherwise each of several parallel runs would start one compiler process per core.
    os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", str(torch.get_num_threads()))
    function = torch.compile(classifier.classify, backend=BACKEND)

    def classify(images: torch.Tensor) -> torch.Tensor:
        torch._dynamo.maybe_mark_dynamic(images, 0)
        try:
            return function(images)
        except torch._dynamo.exc.TorchDynamoException as error:
            cause = getattr(error, "inner_exception", error)
            reason = next((line for line in str(cause).splitlines() if line.strip()), type(cause).__name__)
            raise FoldstackError(
                f"The architecture {classifier.spec['architecture']!r} cannot be compiled on this machine ({reason}); "
                "install a C++ compiler such as g++, or set compile: false for this model."
            ) from error

    return classify
