"""The options of stage 1: training, prediction. No library is loaded here, so that `--help` is quick."""

from dataclasses import dataclass
from pathlib import Path

from erc.corpus.annotations import table_corpus
from erc.options import option, to_dict
from erc.tracking import check_comet_options
from mirai.recipes import RECIPES

TEXT_ENCODER = "klue/roberta-base"
AUDIO_ENCODER = "w11wo/wav2vec2-xls-r-300m-korean"
# What `--using_model` takes: the modalities of each, in the order in which their embeddings are joined.
USING_MODEL = {"both": ("text", "audio"), "audio": ("audio",), "text": ("text",)}
# How the two modalities are joined: their embeddings concatenated, or by the network of `mirai.network.fusion`.
FUSIONS = ("concat", "mmer")
CLIP_LENGTH = 25.0  # seconds
PREDICTION_PRECISIONS = ("32-true", "bf16-mixed")  # those in which nothing scales gradients


@dataclass
class _InputOptions:
    """What all take: where the utterances are, and who works."""

    csv_path: Path = option("data/annotation_speaker_only.csv", "annotation table that MIRAI/preprocess.py wrote")
    txt_wav: Path | None = option(None, "folder of speech and transcripts, if not txt_wav/ beside the table")
    num_workers: int = option(0, "processes that read ahead")
    device: str = option("auto", "auto, cpu, cuda or cuda:N")

    def __post_init__(self):
        for name, value in vars(self).items():
            if type(value) in (int, float) and name not in ("seed", "num_workers") and not value > 0:
                raise ValueError(f"--{name} {value:g}: expected more than 0")
        if self.num_workers < 0:
            raise ValueError(f"--num_workers {self.num_workers}: expected 0 or more")
        self.txt_wav = self.txt_wav or self.csv_path.parent / "txt_wav"


@dataclass
class _CommonOptions(_InputOptions):
    """What both trainers take; a subclass adds `using_model` and `fusion`."""

    exp_name: str = option(help="name of the run: its checkpoints go to OUT_DIR/checkpoint/EXP_NAME/", name=True)
    batch_size: int | None = option(
        None, "utterances of a batch, at most; default: 2, with --max_batch_seconds as many as it takes"
    )
    max_batch_seconds: float | None = option(
        None,
        "duration of a batch at most, padding included: as many utterances of like length as fit. A step is "
        "ACCUMULATE_GRAD such batches of each process, its gradient the mean over all their utterances",
    )
    accumulate_grad: int = option(8, "batches of an optimizer step, in each process")
    test_1920: bool = option(False, "hold out the sessions of --test_sessions; otherwise a random 20%")
    loss: str = option(
        "ce", "ce: cross-entropy; cs_and_ce: a tenth of it + cosine distance", choices=["ce", "cs_and_ce"]
    )
    soft_labels: bool = option(False, "train on the shares of the raters' votes; validation keeps the labels")
    valence_arousal: bool = option(False, "learn the raters' valence and arousal, too; scoring reports their CCC")
    text_encoder: str = option(TEXT_ENCODER, "hub name or directory")
    audio_encoder: str = option(AUDIO_ENCODER, "hub name or directory of a Wav2Vec2 with layer norm in its front end")
    lr: float = option(5e-5, "learning rate of AdamW")
    max_epochs: int = option(15, "passes over the training utterances")
    test_sessions: list[int] = option([], "sessions held out with --test_1920 (default: the corpus's; KEMDy19: 19 20)")
    dev_sessions: list[int] | None = option(None, "validate on these sessions, not on a random 10%")
    clip_length: float = option(CLIP_LENGTH, "seconds; longer utterances neither train nor validate")
    seed: int = option(42, "of weights, order, dropout and masking")
    devices: int = option(1, "GPUs (or processes on the CPU) of each node that train together")
    num_nodes: int = option(1, "machines that train together, under torchrun or SLURM")
    strategy: str = option(
        "auto",
        "how processes train together; auto: DDP that allows weights without a gradient, which dropped layers need; "
        "ddp: without (exact either way)",
        choices=["auto", "ddp", "ddp_find_unused_parameters_true"],  # which write one checkpoint of whole networks
    )
    precision: str = option(
        "auto",
        "auto: mixed on a GPU (bf16 where it has it, else 16; approximate), 32-true on the CPU",
        choices=["auto", "32-true", "16-mixed", "bf16-mixed"],
    )
    compile: bool = option(
        False, "torch.compile of the encoders' layers (approximate: rounds otherwise; slow first steps)"
    )
    gradient_checkpointing: bool = option(
        False, "keep less for the gradients and compute layers twice: less memory, about a third more time (exact)"
    )
    freeze_feature_encoder: bool = option(
        False, "leave the convolutions of the audio encoder as they are (another training: less of it is trained)"
    )
    resume: bool = option(False, "go on from last.ckpt")
    overwrite: bool = option(False, "start again where there are checkpoints of this name")
    out_dir: Path = option("models_zoo", "where checkpoint/ and tensorboard/ are")
    log_in_comet: bool = option(False, "log to Comet; without a key into an archive in OUT_DIR/comet")
    comet_api_key: str | None = option(None, "Comet's key (default: the environment's COMET_API_KEY)", secret=True)
    comet_workspace: str | None = option(None, "Comet's workspace (default: the account's own)")

    def __post_init__(self):
        if self.batch_size is None and self.max_batch_seconds is None:
            self.batch_size = 2
        super().__post_init__()
        for name in ("max_batch_seconds", "freeze_feature_encoder"):
            if getattr(self, name) and self.using_model == "text":
                raise ValueError(f"--{name}: needs speech, which --using_model text leaves out")
        self.dev_sessions = self.dev_sessions or []
        check_test_sessions(self)
        both = sorted(set(self.test_sessions) & set(self.dev_sessions))
        if both:
            raise ValueError(f"--dev_sessions {' '.join(map(str, both))}: also in --test_sessions")
        if self.dev_sessions and not self.test_1920:
            raise ValueError("--dev_sessions: needs --test_1920, which splits by session")
        if self.processes > 1 and ":" in self.device:
            shown = f"--devices {self.devices}" if self.devices > 1 else f"--num_nodes {self.num_nodes}"
            raise ValueError(f"{shown}: --device {self.device} names one GPU")
        if self.resume and self.overwrite:
            raise ValueError("--resume: goes on with a run, --overwrite starts it again; give one of them")
        check_comet_options(self)

    @property
    def processes(self):
        """Processes that train together, on all machines."""
        return self.devices * self.num_nodes

    @property
    def batches_per_step(self):
        """Batches of an optimizer step, of all processes together."""
        return self.accumulate_grad * self.processes

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
    """Those of the extractor that concatenates its embeddings."""

    using_model: str = option("both", "modalities", choices=list(USING_MODEL))
    recipe: str = option("published", "the published network and training, or ours", choices=list(RECIPES))
    fusion = "concat"  # no option


@dataclass
class FusionTrainingOptions(_CommonOptions):
    """Those of the cross-modal network, which always takes both modalities."""

    using_model = "both"  # no options, these three
    fusion = "mmer"
    recipe = "published"


def check_test_sessions(options):
    """Put the corpus's sessions into `--test_sessions` where none are given.

    Raises:
        ValueError: others are given without `--test_1920`, where they would do nothing.
    """
    usual = list(table_corpus(options.csv_path).test_sessions)
    options.test_sessions = options.test_sessions or usual
    if options.test_sessions != usual and not options.test_1920:
        shown = " ".join(map(str, options.test_sessions))
        raise ValueError(f"--test_sessions {shown}: needs --test_1920, without which a random 20% is held out")


@dataclass
class PredictionOptions(_InputOptions):
    """What scoring and feature extraction take."""

    batch_size: int = option(64, "utterances of a batch at most; changes time and memory only")
    batch_seconds: float | None = option(
        None, "seconds of speech of a batch at most, padding included, if not 25 on a CPU and 200 on a GPU; likewise"
    )
    precision: str = option(
        "32-true", "bf16-mixed: faster on most GPUs, less exact", choices=list(PREDICTION_PRECISIONS)
    )
