"""The options that scoring and feature extraction share, and `--cache`, which training has too."""

import os
from dataclasses import dataclass
from pathlib import Path

from cogmen.options import option

CACHE_HELP = "folder of decoded speech, made where it lacks any, if not cache/ beside the speech; none: no cache"
PRECISIONS = ("32-true", "bf16-mixed")


@dataclass
class PredictionOptions:
    csv_path: Path = option("data/annotation_speaker_only.csv", "annotation table that MIRAI/preprocess.py wrote")
    txt_wav: Path | None = option(None, "folder of speech and transcripts, if not txt_wav/ beside the table")
    cache: Path | None = option(None, CACHE_HELP)
    batch_size: int = option(64, "utterances of a batch at most; changes time and memory only")
    batch_seconds: float | None = option(
        None, "seconds of speech of a batch at most, padding included, if not 25 on a CPU and 200 on a GPU; likewise"
    )
    num_workers: int = option(0, "processes that read ahead")
    precision: str = option("32-true", "bf16-mixed: faster on most GPUs, less exact", choices=list(PRECISIONS))
    device: str = option("auto", "auto, cpu, cuda or cuda:N")

    def __post_init__(self):
        if self.batch_size < 1:
            raise ValueError(f"--batch_size {self.batch_size}: expected 1 or more")
        if self.batch_seconds is not None and not self.batch_seconds > 0:
            raise ValueError(f"--batch_seconds {self.batch_seconds:g}: expected more than 0")
        if self.num_workers < 0:
            raise ValueError(f"--num_workers {self.num_workers}: expected 0 or more")
        self.txt_wav = self.txt_wav or self.csv_path.parent / "txt_wav"
        self.cache = cache_folder(self.cache, self.txt_wav)


def cache_folder(cache, txt_wav):
    """What `--cache` names: a folder, None for "none"; not given: cache/ beside the folder of speech."""
    if cache is None:
        return Path(os.path.abspath(txt_wav)).parent / "cache"
    return None if str(cache) == "none" else cache
