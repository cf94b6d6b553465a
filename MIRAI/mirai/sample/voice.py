"""Korean speech from eSpeak NG, through ctypes and the shared library in the pip package `espeakng-loader`.

eSpeak keeps hidden state (noise and flutter) from one utterance to the next, and only one thread may use it. Where
the same bytes are wanted again, use a fresh process and ask for the same utterances in the same order; the noise begins
with the same seed in every process.
"""

import ctypes
import functools

import espeakng_loader
import numpy as np
import soxr

SAMPLE_RATE = 16000

_SYNCHRONOUS, _UTF8, _CHARACTERS = 2, 1, 1
_RATE, _PITCH, _RANGE = 1, 3, 4
_DO_NOT_EXIT = 0x8000
_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


def speak(text, variant, rate, pitch, pitch_range):
    """The text said by one voice.

    Args:
        text: Korean
        variant: eSpeak voice variant, such as "f2"
        rate: words a minute, 80 to 450
        pitch, pitch_range: 0 to 99; 50 is the variant's own

    Returns:
        int16 samples at 16 kHz, a whole number of milliseconds.
    """
    library, chunks, native_rate, _ = _espeak()
    name = f"ko+{variant}".encode()
    if library.espeak_SetVoiceByName(name) != 0:
        raise RuntimeError(f"eSpeak NG has no voice {name.decode()}")
    for parameter, value in ((_RATE, rate), (_PITCH, pitch), (_RANGE, pitch_range)):
        library.espeak_SetParameter(parameter, round(value), 0)
    chunks.clear()
    data = text.encode() + b"\0"
    if library.espeak_Synth(data, len(data), 0, _CHARACTERS, 0, _UTF8, None, None) != 0:
        raise RuntimeError(f"eSpeak NG could not say {text!r}")
    library.espeak_Synchronize()
    if not chunks:
        raise RuntimeError(f"eSpeak NG said nothing for {text!r}")
    speech = soxr.resample(np.concatenate(chunks).astype(np.float32), native_rate, SAMPLE_RATE)
    speech = np.clip(np.round(speech), -32768, 32767).astype(np.int16)
    return speech[: len(speech) // 16 * 16]


@functools.cache
def _espeak():
    """The library, initialised once in this process, the list that its callback fills, and its sampling rate (Hz).
    The callback is returned too, because ctypes does not keep it alive."""
    library = ctypes.CDLL(espeakng_loader.get_library_path())
    library.espeak_Initialize.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_char_p, ctypes.c_int]
    library.espeak_SetVoiceByName.argtypes = [ctypes.c_char_p]
    library.espeak_SetParameter.argtypes = [ctypes.c_int] * 3
    library.espeak_Synth.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint, ctypes.c_int] + [
        ctypes.c_uint,
        ctypes.c_uint,
        ctypes.c_void_p,
        ctypes.c_void_p,
    ]
    data = str(espeakng_loader.get_data_path()).encode()
    native_rate = library.espeak_Initialize(_SYNCHRONOUS, 0, data, _DO_NOT_EXIT)
    if native_rate <= 0:
        raise RuntimeError(f"eSpeak NG did not start with its data in {data.decode()}")
    chunks = []

    def receive(samples, count, _events):
        if samples and count > 0:
            chunks.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0

    library.espeak_ng_SetRandSeed(ctypes.c_long(1))  # else the noise of breathy voices begins with the time of day
    callback = _CALLBACK(receive)
    library.espeak_SetSynthCallback(callback)
    return library, chunks, native_rate, callback
