"""Turn a finished sample run (`bash run_command.sh`) into the files that the repository ships.

    python tools/release_sample.py

Packs the dialogue features (data/sample/zip.z01 ...) and the three extractors' and three graph networks' checkpoints
(models_zoo/sample/zip.z01 ...) as split zips with SHA-256 manifests, and copies the results table to
docs/sample_results.md, which the README shows. Weights become 16-bit floats where every held-out prediction stays the
same, and stay 32-bit ones otherwise.
"""

import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from erc.files import claim, write_text
from erc.options import REPOSITORY, UserError, option, parse, run
from erc.split_zip import pack, write_manifest

MB = 1 << 20
MODELS_PART, FEATURES_PART = 3 * MB, MB // 2  # largest size of a part, in bytes
TABLE = REPOSITORY / "docs/sample_results.md"
NAMES = {"a": "audio", "t": "text", "at": "both"}


@dataclass
class Options:
    data: Path = option("data/sample", "holds the run's tables and features; the features' zip goes there")
    zoo: Path = option("models_zoo/sample", "holds the run's checkpoints and results; the checkpoints' zip goes there")
    seed: int = option(24, "which graph networks are shipped")


def main(argv=None):
    options = parse(Options, argv, __doc__)
    from mirai.checkpoint import slim_checkpoint

    data, zoo = options.data, options.zoo
    features = data / "KEMDy19/new_2019cogmen_format_speaker_only_feat.pkl"
    with claim(TABLE), tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "models"
        for modalities, using in NAMES.items():
            source = zoo / f"checkpoint/{using}_test_1920_speakeronly/best.ckpt"
            target, truth = folder / f"extractor_{using}.ckpt", zoo / f"results/extractor/{modalities}"
            score = ("MIRAI/inference.py", "--csv_path", data / "annotation_speaker_only.csv", "--test_1920")
            ship(slim_checkpoint, source, target, [*score, "--ckpt_path", target], truth)
            source = zoo / f"model_checkpoints/KEMDy19_best_dev_f1_model_{modalities}_seed{options.seed}.pt"
            target, truth = folder / source.name, zoo / f"results/cgnn/{modalities}/seed{options.seed}"
            score = ("COGMEN_code/eval.py", "--data_dir", features.with_name(f"{features.stem}_preprocessed.pkl"))
            ship(slim_graph_network, source, target, [*score, "--pt_dir", target], truth)
        parts = pack(zoo / "zip.zip", sorted(folder.iterdir()), MODELS_PART)
        parts += pack(data / "zip.zip", [features], FEATURES_PART)
        for place in (data, zoo):
            write_manifest(place)
        write_text(TABLE, (zoo / "results/table.md").read_text())
    print(f"{sum(part.stat().st_size for part in parts) / MB:.1f} MiB in {len(parts)} parts")


def slim_graph_network(source, target, half):
    from cogmen.checkpoints import load_checkpoint, save_checkpoint

    save_checkpoint(target, load_checkpoint(source), half=half)


def ship(slim, source, target, score, truth):
    """Write `target` with 16-bit floats if it then predicts what the run's results in `truth` say, else with 32."""
    import pandas as pd

    for half in (True, False):
        slim(source, target, half)
        evaluation = target.parent.parent / "evaluation"
        command = [sys.executable, *map(str, score), "--out_dir", str(evaluation)]
        subprocess.run(command, cwd=REPOSITORY, check=True, stdout=subprocess.DEVNULL)
        ours, theirs = (pd.read_csv(place / "predictions.csv")["prediction"] for place in (evaluation, truth))
        if ours.equals(theirs):
            print(f"{target.name}: {16 if half else 32}-bit floats, {target.stat().st_size / MB:.1f} MiB")
            return
    raise UserError(f"{source}: does not give the predictions in {truth}; make them again with run_command.sh --force")


if __name__ == "__main__":
    run(main)
