"""The options of `app/predict.py`. No library is loaded here, so that `--help` is quick."""

import unicodedata
from dataclasses import dataclass
from pathlib import Path

from erc.options import option

MAX_SPEAKERS = 8  # that --speakers tells apart
MAX_HOURS = 3  # of a recording; a channel of an hour takes 230 MB


@dataclass
class PredictOptions:
    recording: list[Path] = option([], "a recording, or one for each speaker", positional=True)
    out: Path | None = option(None, "folder that is made: turns.csv, turns.json, report.html")
    watch: bool = option(
        False,
        "instead: answer turn by turn, a line of JSON for each on standard input, such as "
        '{"speaker": "M", "text": "...", "file_name": "turn.wav"}; needs a network that was trained with --online',
    )
    channels: list[str] | None = option(
        None, "who speaks on each channel of the recording, or in each of several recordings: two names, say M F"
    )
    speakers: int | None = option(
        None, "how many speak in a recording that does not keep them apart; who says what is guessed by the voices"
    )
    turns: Path | None = option(
        None, "who speaks when and says what: TextGrid, ELAN (.eaf), RTTM, WebVTT, SRT, or a manifest (.csv)"
    )
    dialogue: str | None = option(None, "a dialogue of the table --csv_path, or of a manifest or RTTM of several")
    csv_path: Path | None = option(None, "annotation table that MIRAI/preprocess.py wrote, with txt_wav/ beside it")
    text: Path | None = option(None, "a conversation as text alone: lines `speaker: text`, or a manifest (.csv)")
    extractor: Path | None = option(
        None, "checkpoint of MIRAI/trainer_hf.py or trainer_hf_MMER.py (default: the sample's)"
    )
    cgnn: Path | None = option(None, "checkpoint of COGMEN_code/train.py on that extractor's features")
    model: Path | None = option(None, "folder of tools/export.py, with both of them")
    unsure: float | None = option(
        None,
        "mark turns whose largest probability is below this (default: what the network's training found, from which on "
        "90% are right; none if it found no such number)",
    )
    reasons: bool = option(True, "for each turn, what its label rests on; takes a prediction for each turn and reason")
    transcribe: bool = option(False, "write down what is said where there is no text, by Vosk's Korean recogniser")
    asr: str | None = option(
        None, "write it down by this: directory of a faster-whisper model, or Wav2Vec2 with a CTC head (or hub name)"
    )
    pause: float = option(0.6, "seconds of silence that end a turn, where turns are looked for")
    page_mb: float = option(20.0, "sound up to this size is put into the page, more into audio/ beside it")
    overwrite: bool = option(False, "replace an earlier report in --out")
    int8: bool = option(False, "encoders compute in 8-bit integers, on a CPU: faster, less exact (docs/benchmarks.md)")
    quiet: bool = option(False, "print nothing but warnings and errors")
    device: str = option("auto", "auto, cpu, cuda or cuda:N")

    def __post_init__(self):
        if self.watch:
            for name in (
                "recording",
                "out",
                "channels",
                "speakers",
                "turns",
                "dialogue",
                "csv_path",
                "text",
                "transcribe",
                "asr",
            ):
                if getattr(self, name):
                    raise ValueError(f"--{name}: does not go with --watch, which reads turns from standard input")
            if self.cgnn is None and self.model is None:
                raise ValueError(
                    "--watch: needs --extractor and --cgnn, or --model, with a network that was trained with --online"
                )
        elif self.out is None:
            raise ValueError("--out: give a folder for turns.csv, turns.json and report.html")
        ways = {
            "a recording": bool(self.recording),
            "--text": self.text is not None,
            "--csv_path": self.csv_path is not None,
        }
        if (given := [name for name, there in ways.items() if there]) and len(given) > 1:
            raise ValueError(f"{given[0]}: and {given[1]}; give one of them")
        if self.turns and (self.text or self.csv_path):
            raise ValueError("--turns: says when a recording's turns are; --text and --csv_path have none")
        if not given and not self.turns and not self.watch:
            raise ValueError("recording: give a recording, --turns MANIFEST, --csv_path with --dialogue, or --text")
        if self.csv_path and not self.dialogue:
            raise ValueError("--csv_path: needs --dialogue, such as --dialogue Sess19_impro01")
        if self.dialogue and self.recording and not self.turns:
            raise ValueError("--dialogue: is of --csv_path or of a manifest; the recording has none")
        check_models(self)
        for name in ("pause", "page_mb"):
            if getattr(self, name) < 0:
                raise ValueError(f"--{name} {getattr(self, name):g}: expected 0 or more")
        if (self.transcribe or self.asr) and self.text:
            raise ValueError(f"--{'asr' if self.asr else 'transcribe'}: listens to speech, which --text has none of")
        self.transcribe = self.transcribe or self.asr is not None
        if self.speakers is not None:
            if not 2 <= self.speakers <= MAX_SPEAKERS:
                raise ValueError(f"--speakers {self.speakers}: expected 2 to {MAX_SPEAKERS}")
            if len(self.recording) != 1:
                raise ValueError("--speakers: is of one recording in which all speak")
            for name in ("turns", "channels"):
                if getattr(self, name) is not None:
                    raise ValueError(f"--speakers: guesses who speaks; --{name} says it")
        if self.channels is not None:
            if not self.recording:
                raise ValueError("--channels: names the speakers of a recording; there is none")
            from erc.untrusted import is_name

            self.channels = [clean_name(name) for name in self.channels]
            if wrong := [name for name in self.channels if not is_name(name)]:
                raise ValueError(f"--channels: {wrong[0]!r:.60} is no name of a speaker")
            if len(set(self.channels)) < len(self.channels):
                raise ValueError(f"--channels {' '.join(self.channels)}: expected a name of its own for each channel")


def clean_name(name):
    """A speaker's name in the one spelling in which it is compared: of Hangul, files have two."""
    return unicodedata.normalize("NFC", name).strip()


def check_models(options):
    """Check the options that name the networks, and from which probability on they are believed.

    Raises:
        ValueError: names the flag.
    """
    if (options.extractor is None) != (options.cgnn is None):
        found, other = ("extractor", "cgnn") if options.cgnn is None else ("cgnn", "extractor")
        raise ValueError(f"--{found}: needs --{other} too, the network that was trained with it")
    if options.model and options.extractor:
        raise ValueError("--model: holds an extractor and a graph network; leave out --extractor and --cgnn")
    if options.unsure is not None and not 0 <= options.unsure <= 1:
        raise ValueError(f"--unsure {options.unsure:g}: expected a probability, 0 to 1")
