"""The options of the extractor's training."""

from dataclasses import dataclass
from pathlib import Path

from cogmen.corpora import KEMDY19
from cogmen.options import option, to_dict
from cogmen.tracking import check_comet_options
from mirai.names import AUDIO_ENCODER, LOSSES, MODALITIES, TEXT_ENCODER
from mirai.prediction_options import CACHE_HELP, cache_folder

TEST_SESSIONS = list(KEMDY19.test_sessions)


@dataclass
class _CommonOptions:
    exp_name: str = option(help="name of the run: its checkpoints go to OUT_DIR/checkpoint/EXP_NAME/")
    batch_size: int = option(2, "utterances of a batch")
    accumulate_grad: int = option(8, "batches of an optimizer step")
    test_1920: bool = option(False, "hold out the sessions of --test_sessions; otherwise a random 20%")
    csv_path: Path = option("data/annotation_speaker_only.csv", "annotation table that MIRAI/preprocess.py wrote")
    txt_wav: Path | None = option(None, "folder of speech and transcripts, if not txt_wav/ beside the table")
    cache: Path | None = option(None, CACHE_HELP)
    loss: str = option("ce", "ce: cross-entropy; cs_and_ce: a tenth of it + cosine distance", choices=list(LOSSES))
    text_encoder: str = option(TEXT_ENCODER, "hub name or directory")
    audio_encoder: str = option(AUDIO_ENCODER, "hub name or directory of a Wav2Vec2 with layer norm in its front end")
    lr: float = option(5e-5, "learning rate of AdamW")
    max_epochs: int = option(15, "passes over the training utterances")
    test_sessions: list[int] = option(TEST_SESSIONS, "sessions held out with --test_1920")
    dev_sessions: list[int] | None = option(None, "validate on these sessions, not on a random 10%")
    clip_length: float = option(25.0, "seconds; longer utterances neither train nor validate")
    seed: int = option(42, "of weights, order, dropout and masking")
    device: str = option("auto", "auto, cpu, cuda or cuda:N")
    devices: int = option(1, "how many GPUs (or processes on the CPU) train together")
    num_workers: int = option(0, "processes that read ahead")
    resume: bool = option(False, "go on from last.ckpt")
    overwrite: bool = option(False, "start again where there are checkpoints of this name")
    out_dir: Path = option("models_zoo", "where checkpoint/ and tensorboard/ are")
    log_in_comet: bool = option(False, "log to Comet; without a key into an archive in OUT_DIR/comet")
    comet_api_key: str | None = option(None, "Comet's key (default: the environment's COMET_API_KEY)", secret=True)
    comet_workspace: str | None = option(None, "Comet's workspace (default: the account's own)")

    def __post_init__(self):
        for name in ("batch_size", "accumulate_grad", "max_epochs", "devices", "lr", "clip_length"):
            if not getattr(self, name) > 0:
                raise ValueError(f"--{name} {getattr(self, name)}: expected more than 0")
        if self.num_workers < 0:
            raise ValueError(f"--num_workers {self.num_workers}: expected 0 or more")
        if not self.exp_name or self.exp_name in (".", "..") or "/" in self.exp_name or "\\" in self.exp_name:
            raise ValueError(f"--exp_name {self.exp_name!r}: expected a name without slashes")
        self.dev_sessions = self.dev_sessions or []
        check_test_sessions(self)
        both = sorted(set(self.test_sessions) & set(self.dev_sessions))
        if both:
            raise ValueError(f"--dev_sessions {' '.join(map(str, both))}: also in --test_sessions")
        if self.dev_sessions and not self.test_1920:
            raise ValueError("--dev_sessions: needs --test_1920, which splits by session")
        if self.devices > 1 and ":" in self.device:
            raise ValueError(f"--devices {self.devices}: --device {self.device} names one")
        if self.resume and self.overwrite:
            raise ValueError("--resume: goes on with a run, --overwrite starts it again; give one of them")
        check_comet_options(self)
        self.txt_wav = self.txt_wav or self.csv_path.parent / "txt_wav"
        self.cache = cache_folder(self.cache, self.txt_wav)

    def stored(self):
        """The options that a checkpoint keeps: no paths, which mean nothing on another machine."""
        values = {name: value for name, value in to_dict(self).items() if not isinstance(getattr(self, name), Path)}
        values["using_model"] = self.using_model
        for name in ("text_encoder", "audio_encoder"):
            if Path(values[name]).is_dir():
                values[name] = Path(values[name]).name
        return values


@dataclass
class TrainingOptions(_CommonOptions):
    using_model: str = option("both", "modalities", choices=list(MODALITIES))
    fusion = "concat"  # no option


@dataclass
class FusionTrainingOptions(_CommonOptions):
    """Of the cross-modal network, which always takes both modalities."""

    using_model = "both"  # no options
    fusion = "mmer"


def check_test_sessions(options):
    """`--test_sessions` alone would do nothing."""
    if options.test_sessions != TEST_SESSIONS and not options.test_1920:
        shown = " ".join(map(str, options.test_sessions))
        raise ValueError(f"--test_sessions {shown}: needs --test_1920, without which a random 20% is held out")
