"""`--device auto|cpu|cuda[:n]`, and what is said when `--compile` cannot."""

import re

import torch

from cogmen.options import UserError


def find_device(name):
    """The torch device that `--device` names; `auto` is the GPU if there is one.

    Raises:
        UserError: the name is unknown, or the GPU that it names is not there.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if not re.fullmatch(r"cpu|cuda(:[0-9]+)?", name):
        raise UserError(f"--device {name}: expected auto, cpu, cuda or cuda:N")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UserError(
            f"--device {name}: PyTorch sees {torch.cuda.device_count()} GPUs here; use --device cpu or auto"
        )
    return device


def check_compiler(error, what):
    """Raise what a user is to know if an error comes from `torch.compile` of `what`; else do nothing."""
    if isinstance(error, torch._dynamo.exc.TorchDynamoException):
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"--compile: {what} cannot be compiled here ({reason}); leave it out") from error
