"""The speech of a manifest's turns: which recording and piece, whether it can be read, and how it sounds."""

from dataclasses import replace

import numpy as np
from tqdm import tqdm

from erc.options import UserError
from mirai.readers.findings import Cut
from mirai.readers.recordings import probe_recording, read_cut
from mirai.speech import CLIPPED, RECEPTIVE_FIELD, SAMPLE_RATE, SILENT

ROUNDED = 0.05  # seconds by which an end may lie beyond the recording
_LONGEST = 1800  # seconds of a turn: more is a recording that nobody cut, and would take much memory
_CLIPPED_SHARE = 0.01  # of the samples: so many are worth a word


def find_sources(turns, findings):
    """The turns with their speech as `source`. Each is read once, so that what is damaged shows before anything is
    written. Those without a recording are left out where others have one; those whose recording cannot be read stay,
    with the error in `findings`.

    Args:
        turns: list of `mirai.readers.manifest_rows.Turn`.
    """
    if not any(turn.recording for turn in turns):
        return turns
    recordings, found = {}, []
    for turn in tqdm(turns, desc="reading speech", unit="turn", disable=None):
        if not turn.recording:
            if not turn.is_wrong:
                findings.left_out["turn without speech, which other turns of the manifest have"].append(turn.place)
            continue
        if turn.recording not in recordings:
            recordings[turn.recording] = _probed(turn, findings)
        if recording := recordings[turn.recording]:
            turn = _with_source(turn, recording, findings)
        found.append(turn)
    return found


def _probed(turn, findings):
    """The `Recording` of a turn; None if there is none that can be read."""
    path = turn.recording
    try:
        return probe_recording(path)
    except (UserError, OSError) as error:
        message = str(error).removeprefix(f"{path}: ")
        name, mark, number = path.name.rpartition("#")
        if name and mark and number.isdigit() and path.with_name(name).is_file():
            message += f"; for channel {number} of {name} the manifest needs the column channel"
        findings.errors["recording that cannot be read"].append(f"{turn.place}: {path}: {message}")
        return None


def _with_source(turn, recording, findings):
    start, end, length = turn.start or 0.0, turn.end, recording.seconds
    if end is not None and end <= start:
        return turn  # an error already
    if start >= length or (end is not None and end > length + ROUNDED):
        reason = "times beyond the end of the recording"
        place = (
            f"{turn.place}: {start:g} to {'its end' if end is None else f'{end:g}'} s, the recording has {length:g} s"
        )
        findings.errors[reason].append(place)
        return turn
    if turn.channel and turn.channel > recording.channels:
        reason = "channel that the recording does not have"
        findings.errors[reason].append(f"{turn.place}: {turn.channel}, it has {recording.channels}")
        return turn
    if (length if end is None else end) - start > _LONGEST:
        reason = f"turn longer than {_LONGEST // 60} minutes; give the start and end of each turn"
        findings.errors[reason].append(f"{turn.place}: {(length if end is None else end) - start:g} s")
        return turn
    cut = Cut(turn.recording, start, min(length if end is None else end, length), turn.channel)
    try:
        _listen(turn.place, *read_cut(cut, recording), findings)
    except UserError as error:
        findings.errors["recording that cannot be read"].append(f"{turn.place}: {error}")
    is_whole = start == 0 and (end is None or end >= length)
    return replace(turn, source=turn.recording if recording.plain and is_whole else cut, seconds=cut.end - start)


def _listen(place, sound, rate, findings):
    """Note what is heard, or not, in the speech of a turn."""
    loudness = np.abs(sound)
    if loudness.max() < SILENT:
        findings.notes["turn that is silent"].append(place)
    if (loudness >= CLIPPED).mean() > _CLIPPED_SHARE:
        findings.notes["turn whose sound is clipped"].append(place)
    if len(sound) * SAMPLE_RATE < RECEPTIVE_FIELD * rate:
        findings.notes[f"turn shorter than {RECEPTIVE_FIELD} samples; padded when it is read"].append(place)
