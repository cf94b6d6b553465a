"""Who speaks when, from the files that people have: `read_turns` by the ending of a file's name."""

from pathlib import Path

from conversation.readers.manifest import read_manifest
from conversation.readers.rttm import read_rttm
from conversation.readers.subtitles import read_srt, read_vtt
from conversation.readers.tiers import read_elan, read_textgrid
from conversation.turns import check_turns
from erc.options import UserError
from erc.untrusted import damaged, plain_file

READERS = {
    ".textgrid": read_textgrid,
    ".eaf": read_elan,
    ".rttm": read_rttm,
    ".vtt": read_vtt,
    ".srt": read_srt,
    ".csv": read_manifest,
}
_MAX_SIZE = 64 << 20  # bytes


def read_turns(path, dialogue=None, recording=None):
    """The turns in a file, with times, speakers and, where it has them, texts and emotions, but no speech yet.

    Args:
        dialogue: which one, for a manifest or an RTTM of several.
        recording: the name of the recording, without its ending: in an RTTM of several this one is looked for.
    Returns:
        list[Turn]
    Raises:
        UserError: the file is missing, of an unknown kind, damaged, or has names or times that make no sense.
    """
    path = Path(path)
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise UserError(f"{path}: of an unknown kind, expected one of {', '.join(READERS)}")
    chosen = {read_manifest: (dialogue,), read_rttm: (dialogue, recording)}.get(reader, ())
    if dialogue is not None and not chosen:
        raise UserError(f"--dialogue {dialogue}: is of a manifest or an RTTM of several; {path} has one, leave it out")
    plain_file(path, _MAX_SIZE)
    with damaged(path, "cannot be read; damaged, or not what its name says"):
        turns = reader(path, *chosen)
    if not turns:
        raise UserError(f"{path}: no turns in it")
    check_turns(turns, path)
    return turns
