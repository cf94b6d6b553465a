"""An extractor and its graph network as one folder, for others to use: weights, descriptions, a model card, no data.

    python tools/export.py --extractor models_zoo/checkpoint/both_test_1920_speakeronly/best.ckpt \\
        --cgnn models_zoo/model_checkpoints/KEMDy19_best_dev_f1_model_at_seed24.pt --out exported \\
        --metrics models_zoo/results/cgnn/at/seed24/metrics.json --license cc-by-nc-4.0
    python app/predict.py call.wav --channels M F --model exported --out report

Read README.md in the folder, the model card, and complete it before you give the folder to anyone. --push sends it to
the Hugging Face hub: into a private repository that it makes, or as it is into one that is there.
"""

from dataclasses import dataclass
from pathlib import Path

from erc.files import new_folder
from erc.options import option, parse, run


@dataclass
class Options:
    extractor: Path = option(help="checkpoint of MIRAI/trainer_hf.py or trainer_hf_MMER.py")
    cgnn: Path = option(help="checkpoint of COGMEN_code/train.py on that extractor's features")
    out: Path = option(help="folder that is made")
    metrics: Path | None = option(None, "metrics.json of eval.py, for the model card")
    license: str = option("other", "licence of the weights, as the hub names them; what the corpus's licence permits")
    onnx: bool = option(False, "the graph network as ONNX, too; needs onnx and onnxscript")
    push: str | None = option(
        None, "afterwards send it to this repository of the hub, OWNER/NAME; where there is none, a private one is made"
    )
    overwrite: bool = option(False, "replace an earlier export in --out")


def main(argv=None):
    options = parse(Options, argv, __doc__)
    from cogmen.checkpoints import load_checkpoint
    from conversation.exported import is_models, push, write_models
    from conversation.model_card import model_card
    from conversation.models import check_fit
    from erc.untrusted import read_json
    from mirai.checkpoint import load_extractor

    with new_folder(options.out, options.overwrite, is_models, "an export") as folder:
        (extractor, kept), checkpoint = load_extractor(options.extractor), load_checkpoint(options.cgnn)
        check_fit(options.extractor, options.cgnn, extractor, checkpoint)
        metrics = read_json(options.metrics) if options.metrics else None
        card = model_card(extractor, kept["options"], checkpoint, metrics, options.license)
        write_models(folder, extractor, checkpoint, card)
        if options.onnx:
            from conversation.onnx_export import write_onnx

            write_onnx(folder / "graph_network.onnx", checkpoint)
    print(f"wrote {', '.join(sorted(path.name for path in options.out.iterdir()))} to {options.out}")
    if options.push:
        print(f"sent to {push(options.out, options.push)}")


if __name__ == "__main__":
    run(main)
