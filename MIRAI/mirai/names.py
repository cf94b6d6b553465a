"""Names that command lines show; kept apart so that `--help` loads no library."""

TEXT_ENCODER = "klue/roberta-base"
AUDIO_ENCODER = "w11wo/wav2vec2-xls-r-300m-korean"
# What `--using_model` takes, and the embeddings of each in the order in which they are joined.
MODALITIES = {"both": ("text", "audio"), "audio": ("audio",), "text": ("text",)}
LOSSES = ("ce", "cs_and_ce")
# How the two modalities are joined: one after the other, or by the cross-modal network of `mirai.fusion`.
FUSIONS = ("concat", "mmer")
# Of Lightning's, those that train whole networks and write one checkpoint.
STRATEGIES = ("auto", "ddp", "ddp_find_unused_parameters_true")
PRECISIONS = ("auto", "32-true", "16-mixed", "bf16-mixed")
