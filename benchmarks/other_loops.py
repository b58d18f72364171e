"""The loops that Foldstack's is measured against, as training.py describes them.

Each takes its `Case` and gives a function from a number of steps to the images that they trained on.
"""

import functools
import itertools

import timm.data
import timm.optim
import timm.scheduler
import timm.utils
import torch
import torchvision
from torchvision.transforms import v2


def timm_loop(case):
    model = case.model().to(case.device, memory_format=torch.channels_last).train()
    dataset = timm.data.create_dataset("", root=str(case.folder / "images"), is_training=True)
    loader = timm.data.create_loader(
        dataset,
        input_size=(3, case.size, case.size),
        batch_size=case.batch,
        is_training=True,
        interpolation="random",
        num_workers=case.workers,
        pin_memory=case.device.type == "cuda",
        device=case.device,
    )
    optimizer = timm.optim.create_optimizer_v2(model, opt="adamw", lr=1e-3, weight_decay=0.05)
    scheduler, _ = timm.scheduler.create_scheduler_v2(
        optimizer, "cosine", num_epochs=300, step_on_epochs=False, updates_per_epoch=len(loader)
    )
    loss_function, losses = torch.nn.CrossEntropyLoss(), timm.utils.AverageMeter()
    autocast = functools.partial(torch.autocast, "cuda", torch.bfloat16, enabled=case.device.type == "cuda")
    batches = itertools.chain.from_iterable(itertools.repeat(loader))
    taken = itertools.count(1)

    def run(steps):
        for images, targets in itertools.islice(batches, steps):
            images = images.contiguous(memory_format=torch.channels_last)
            with autocast():
                loss = loss_function(model(images), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            number = next(taken)
            if number % 50 == 0:  # train.py's --log-interval
                losses.update(loss.item(), len(images))
            scheduler.step_update(num_updates=number, metric=losses.avg)
        return steps * case.batch

    return run


def plain_loop(case):
    model = case.model().to(case.device).train()
    transform = v2.Compose(
        [
            v2.ToImage(),
            v2.RandomResizedCrop(case.size, antialias=True),
            v2.RandomHorizontalFlip(),
            v2.ColorJitter(0.3, 0.3, 0.3),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize((0.5,) * 3, (0.25,) * 3),
        ]
    )
    dataset = torchvision.datasets.ImageFolder(case.folder / "images", transform)
    loader = torch.utils.data.DataLoader(
        dataset, case.batch, shuffle=True, drop_last=True, num_workers=case.workers, persistent_workers=True
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.05)
    batches = itertools.chain.from_iterable(itertools.repeat(loader))
    autocast = functools.partial(torch.autocast, "cuda", torch.bfloat16, enabled=case.device.type == "cuda")

    def run(steps):
        for images, targets in itertools.islice(batches, steps):
            images, targets = images.to(case.device), targets.to(case.device)
            with autocast():
                loss = torch.nn.functional.cross_entropy(model(images), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return steps * case.batch

    return run
