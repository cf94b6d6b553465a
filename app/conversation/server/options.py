"""The options of `app/demo.py`. No library is loaded here, so that `--help` is quick."""

import ipaddress
from dataclasses import dataclass
from pathlib import Path

from conversation.options import MAX_HOURS, check_models
from erc.options import option

_SHORTEST_TOKEN = 16  # characters: nobody guesses them over a network


@dataclass
class DemoOptions:
    host: str = option("127.0.0.1", "address to listen at; any but this machine's own needs --token")
    port: int = option(8000, "port to listen at")
    token: str | None = option(
        None, "secret of 16 characters or more that browsers and programs have to give", secret=True
    )
    extractor: Path | None = option(
        None, "checkpoint of MIRAI/trainer_hf.py or trainer_hf_MMER.py (default: the sample's)"
    )
    cgnn: Path | None = option(None, "checkpoint of COGMEN_code/train.py on that extractor's features")
    model: Path | None = option(None, "folder of tools/export.py, with both of them")
    unsure: float | None = option(None, "mark turns whose largest probability is below this, as predict.py does")
    device: str = option("auto", "auto, cpu, cuda or cuda:N")
    max_mb: float = option(200.0, "MB of an upload, at most")
    max_minutes: float = option(30.0, "minutes of a recording, at most 180")
    max_queue: int = option(8, "conversations that may wait; further ones are refused until there is room")
    max_work: float = option(30.0, "minutes that the work on a conversation may take before it is ended")
    keep: float = option(60.0, "minutes after which a finished conversation is deleted")

    def __post_init__(self):
        if not 0 < self.port < 65536:
            raise ValueError(f"--port {self.port}: expected 1 to 65535")
        if not self.is_local and self.token is None:
            raise ValueError(f"--host {self.host}: others can reach this address; give a --token too")
        if self.token is not None:
            if len(self.token) < _SHORTEST_TOKEN or not self.token.isascii() or not self.token.isprintable():
                raise ValueError(f"--token: expected {_SHORTEST_TOKEN} or more ASCII characters")
            if self.token != self.token.strip():
                raise ValueError("--token: begins or ends with a space, which browsers and programs take away")
        check_models(self)
        for name in ("extractor", "cgnn"):
            if (path := getattr(self, name)) is not None and not path.is_file():
                raise ValueError(f"--{name} {path}: no such file")
        if self.model is not None and not self.model.is_dir():
            raise ValueError(f"--model {self.model}: no such folder")
        for name in ("max_mb", "max_minutes", "max_queue", "max_work", "keep"):
            if getattr(self, name) <= 0:
                raise ValueError(f"--{name} {getattr(self, name):g}: expected more than 0")
        if self.max_minutes > 60 * MAX_HOURS:
            raise ValueError(f"--max_minutes {self.max_minutes:g}: expected at most {60 * MAX_HOURS}")

    @property
    def is_local(self):
        """Whether nobody but this machine can reach the address."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host.strip("[]")).is_loopback
        except ValueError:
            return False
