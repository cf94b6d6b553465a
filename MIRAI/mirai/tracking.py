"""Comet's record of the extractor's training."""

import pytorch_lightning as pl

from cogmen.tracking import Comet


class CometRecord(pl.Callback):
    """The options and every epoch's training and validation scores, from the first process only."""

    def __init__(self, options):
        self._options, self._comet = options, None

    def setup(self, trainer, module, stage):
        if trainer.is_global_zero and self._comet is None:
            self._comet = Comet(self._options, self._options.exp_name)

    def on_train_epoch_end(self, trainer, module):
        if self._comet:
            scores = {name: float(value) for name, value in trainer.callback_metrics.items()}
            self._comet.epoch({"epoch": trainer.current_epoch, **scores})

    def teardown(self, trainer, module, stage):
        self._close()

    def on_exception(self, trainer, module, exception):
        self._close()

    def _close(self):
        if self._comet:
            self._comet.close()
            self._comet = None
