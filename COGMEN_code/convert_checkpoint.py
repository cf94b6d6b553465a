"""Turn a checkpoint published by COGMEN or the KEMDy19 pipeline into one that eval.py and train.py read.

    python COGMEN_code/convert_checkpoint.py OLD.pt NEW.pt
    python COGMEN_code/eval.py --dataset KEMDy19 --modalities at --pt_dir NEW.pt --data_dir PREPROCESSED.pkl

OLD.pt is a pickled module, which may come from anyone: nothing in it is executed.
"""

from dataclasses import dataclass
from pathlib import Path

from cogmen.options import MODALITY_SETS
from erc.corpus.corpora import CORPORA, MODALITIES, TASKS
from erc.files import claim
from erc.options import option, parse, run


@dataclass
class Options:
    old: Path = option(help="the published checkpoint", positional=True)
    new: Path = option(help="where the converted one goes", positional=True)
    dataset: str | None = option(None, "corpus, where the file does not tell", choices=sorted(CORPORA))
    emotion: str | None = option(None, "what it has learnt of mosei, where the file does not tell", choices=TASKS)
    modalities: str | None = option(None, "modalities, where the file does not tell", choices=MODALITY_SETS)
    feature_sizes: list[str] | None = option(
        None, "size of each modality's features, as a=768 t=768, where the file tells only their sum"
    )

    def __post_init__(self):
        if self.old.resolve() == self.new.resolve():
            raise ValueError(f"NEW {self.new}: is OLD itself; give another name")
        for text in self.feature_sizes or ():
            modality, _, size = text.partition("=")
            if modality not in MODALITIES or not (size.isascii() and size.isdecimal()):
                raise ValueError(f"--feature_sizes {text}: expected one like a=768")


def main(argv=None):
    options = parse(Options, argv, __doc__)
    from cogmen.checkpoints import save_checkpoint
    from cogmen.published_checkpoints import convert

    sizes = options.feature_sizes and {text[0]: int(text[2:]) for text in options.feature_sizes}
    with claim(options.new):
        checkpoint, unused = convert(options.old, options.dataset, options.modalities, sizes, options.emotion)
        save_checkpoint(options.new, checkpoint)
    sizes = ", ".join(f"{modality} {size}" for modality, size in checkpoint.feature_sizes.items())
    windows = checkpoint.windows
    corpus = f"{checkpoint.dataset} {checkpoint.emotion}" if checkpoint.emotion else checkpoint.dataset
    print(f"{checkpoint.network}, {corpus}, feature sizes {sizes}")
    print(f"a turn sees {windows['wp']} past and {windows['wf']} future turns (-1: all); OLD calls them wf and wp")
    print(f"left out, never used: {', '.join(unused) or 'nothing'}")
    print("epoch and dev score: unknown")
    print(f"wrote {options.new}")


if __name__ == "__main__":
    run(main)
