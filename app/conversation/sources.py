"""The ways to a `Conversation`: a recording, with turns or without; a dialogue of a corpus; text alone."""

import string

from conversation.activity import find_speech
from conversation.diarisation import PAUSE, guess_speakers
from conversation.readers import read_turns
from conversation.readers.plain import read_plain
from conversation.recording import duration, is_silent, quality_notes, read_recording
from conversation.turns import Conversation, Note, Turn, cut
from erc.corpus.annotations import read_annotations
from erc.corpus.transcripts import read_transcript
from erc.options import UserError
from erc.untrusted import is_text
from mirai.readers.sounds import ROUNDED
from mirai.speech import read_speech

_OVERLAP = 0.1  # seconds that two turns of one speaker may have in common


def read_conversation(options, progress):
    """The conversation that `PredictOptions` ask for.

    Args:
        progress: a function that wraps a list, such as tqdm.
    Raises:
        UserError: something cannot be read, or the parts do not belong together.
    """
    inputs = (*options.recording, options.turns, options.text, options.csv_path)
    for path in (*inputs, options.extractor, options.cgnn, options.model):
        if path is not None and not is_text(path.name):
            raise UserError(f"{path.name!r}: a file's name that is not UTF-8, and the report shows it; rename the file")
    if options.text:
        turns = read_plain(options.text, options.dialogue)
        conversation = Conversation(turns[0].dialogue or options.text.stem, [options.text.name], turns)
    elif options.csv_path:
        conversation = _of_corpus(options.csv_path, options.dialogue)
    elif not options.recording:
        conversation = _of_manifest(options.turns, options.dialogue)
    else:
        channels, notes = _channels(options)
        sources = [path.name for path in options.recording]
        if options.turns:
            sources.append(options.turns.name)
            turns = _given_turns(options, channels)
        else:
            turns = _found_turns(options, channels, notes, progress)
            if options.speakers:
                notes.append(_guessed(turns, options.speakers))
        name = turns[0].dialogue or options.recording[0].stem
        conversation = Conversation(name, sources, turns, notes)
    conversation.sort()
    _check_speakers(conversation)
    return conversation


class _Channel:
    """The sound of one speaker, or (speaker None) the mean of all `parts`, the channels of the file."""

    def __init__(self, speaker, wave, file_name, number, parts=()):
        self.speaker, self.wave, self.file_name, self.number, self.parts = speaker, wave, file_name, number, parts

    @property
    def name(self):
        part = f"channel {self.number}" if self.number else self.file_name
        return f"{part} ({self.speaker})" if self.speaker else part

    def numbered(self, number, where):
        """Channel `number` of its file, which the turns at `where` say is their speaker's."""
        if self.speaker is None:
            if number > len(self.parts):
                raise UserError(f"{where}: channel {number}; {self.file_name} has {len(self.parts)}")
            return _Channel(None, self.parts[number - 1], self.file_name, number)
        if number != (self.number or 1):
            raise UserError(f"{where}: channel {number}; by --channels {self.speaker} is on {self.name}")
        return self

    def turn(self, start, end, speaker):
        """A turn that is cut from it."""
        wave = cut(self.wave, start, end)
        return Turn(start, end, speaker, file_name=self.file_name, channel=self.number, wave=wave)


def _channels(options):
    """(list of `_Channel`, notes): a speaker each where --channels says so, else one with all."""
    waves = [(path, channel) for path in options.recording for channel in enumerate(read_recording(path), start=1)]
    names = options.channels
    if names is None and (options.turns or options.speakers) and len(options.recording) == 1:
        path, parts = options.recording[0], [wave for _, (_, wave) in waves]
        mixed = sum(parts) / len(parts)
        return [_Channel(None, mixed, path.name, None, parts)], quality_notes(path.name, mixed)
    several = len(options.recording) > 1
    if several and len(waves) > len(options.recording):
        shown = ", ".join(path.name for path in options.recording)
        raise UserError(f"{shown}: of several recordings each is a speaker and has one channel; found {len(waves)}")
    what = "recordings" if several else f"channels in {options.recording[0].name}"
    if names is None and len(waves) == 1:
        raise UserError(
            f"{options.recording[0]}: has one channel, and nothing says who speaks when. Give --turns FILE (TextGrid, "
            "ELAN, RTTM, WebVTT, SRT or a manifest), or a recording with each speaker on a channel; or have it guessed "
            "by the voices: --speakers 2"
        )
    if names is None:
        raise UserError(f"{len(waves)} {what}: say who speaks on each, such as --channels M F")
    if len(names) != len(waves):
        raise UserError(f"--channels {' '.join(names)}: {len(names)} names for {len(waves)} {what}")
    channels = [
        _Channel(name, wave, path.name, None if several or len(waves) == 1 else number)
        for name, (path, (number, wave)) in zip(names, waves, strict=True)
    ]
    return channels, [note for channel in channels for note in quality_notes(channel.name, channel.wave)]


def _found_turns(options, channels, notes, progress):
    """Turns by voice activity; a channel without any gets one of `notes`."""
    if all(is_silent(channel.wave) for channel in channels):
        shown = ", ".join(str(path) for path in options.recording)
        raise UserError(f"{shown}: silent: no sample is louder than -60 dB; is it the right file, and the right track?")
    pause = min(options.pause, PAUSE) if options.speakers else options.pause
    stretches = find_speech([channel.wave for channel in channels], pause, progress)
    turns = []
    for channel, found in zip(channels, stretches, strict=True):
        if options.speakers:
            for start, end, number in guess_speakers(channel.wave, found, options.speakers, options.pause):
                turns.append(channel.turn(start, end, string.ascii_uppercase[number]))
                turns[-1].speaker_source = "guessed"
        else:
            turns += [channel.turn(start, end, channel.speaker) for start, end in found]
        if not found:
            notes.append(
                Note(
                    f"Nobody speaks on {channel.name}; the turns of the others are judged without theirs.",
                    f"{channel.name}에서는 말소리를 찾지 못했습니다. 나머지 화자의 발화만으로 판단했습니다.",
                )
            )
    if not turns:
        raise UserError(
            f"{', '.join(path.name for path in options.recording)}: no speech was found in "
            f"{duration(channels[0].wave):.0f} s; if there is some, say when with --turns FILE"
        )
    return turns


def _guessed(turns, speakers):
    """The note that who speaks is a guess."""
    found = len({turn.speaker for turn in turns})
    fewer = ("", "")
    if found < speakers:
        fewer = f" Only {found} of {speakers} voices were found.", f" 목소리 {speakers}개 중 {found}개만 찾았습니다."
    return Note(
        "Who speaks is a guess by the sound of the voices and may be wrong anywhere, as may where a turn begins and "
        f"ends; listen, and correct it.{fewer[0]}",
        "누가 말하는지는 목소리로 추측한 것이라 어디든 틀릴 수 있고, 발화가 시작하고 끝나는 곳도 마찬가지입니다. "
        f"들어 보고 고치세요.{fewer[1]}",
    )


def _given_turns(options, channels):
    """The turns of --turns, each with its speech."""
    turns = read_turns(options.turns, options.dialogue, options.recording[0].stem)
    by_speaker = {channel.speaker: channel for channel in channels}
    named = list(dict.fromkeys(turn.file_name for turn in turns if turn.file_name))
    if len(named) > 1 and len(options.recording) == 1:
        raise UserError(
            f"{options.turns}: has turns of {len(named)} recordings, {', '.join(named[:3])}; {options.recording[0]} is "
            "one. Give --turns alone, which finds them by their file_name"
        )
    for number, turn in enumerate(turns, start=1):
        where = f"{options.turns}, turn {number} ({turn.speaker})"
        if turn.start is None:
            raise UserError(f"{where}: has no start and end, by which it is cut from {options.recording[0].name}")
        channel = by_speaker.get(turn.speaker, by_speaker.get(None))
        if channel is None:
            raise UserError(f"{where}: --channels names {', '.join(by_speaker)}, not {turn.speaker}")
        if turn.channel:
            channel = channel.numbered(turn.channel, where)
        length = duration(channel.wave)
        if turn.start >= length or turn.end > length + 1:
            raise UserError(
                f"{where}: from {turn.start:g} to {turn.end:g} s; {channel.file_name} has {length:.1f} s. Do the two "
                "belong together?"
            )
        cut_turn = channel.turn(turn.start, min(turn.end, length), turn.speaker)
        turn.end, turn.wave = cut_turn.end, cut_turn.wave
        turn.file_name, turn.channel = cut_turn.file_name, cut_turn.channel
    return turns


def _of_manifest(path, dialogue):
    """A dialogue whose manifest names its sound files."""
    turns = read_turns(path, dialogue)
    files, clock, timed = {}, 0.0, turns[0].start is not None  # all have times, or none
    for number, turn in enumerate(turns, start=1):
        where = f"{path}, turn {number} ({turn.speaker})"
        if not turn.file_name:
            if any(other.file_name for other in turns):
                raise UserError(f"{where}: has no file_name, others have; expected one for every turn or for none")
            if path.suffix.lower() != ".csv":
                raise UserError(f"{path}: says when someone speaks; give the recording too")
            raise UserError(f"{path}: no file_name in it; give the recording too, or --text {path}")
        if turn.file_name not in files:
            files[turn.file_name] = read_recording(path.parent / turn.file_name)
        waves = files[turn.file_name]
        if turn.channel and turn.channel > len(waves):
            raise UserError(f"{where}: channel {turn.channel}; {turn.file_name} has {len(waves)}")
        wave = waves[turn.channel - 1] if turn.channel else sum(waves) / len(waves)
        if timed:
            if turn.start >= duration(wave) or turn.end > duration(wave) + ROUNDED:
                raise UserError(
                    f"{where}: from {turn.start:g} to {turn.end:g} s; {turn.file_name} has {duration(wave):.1f} s"
                )
            turn.end = min(turn.end, duration(wave))
            turn.wave = cut(wave, turn.start, turn.end)
        else:  # one after another, as they stand
            turn.wave, turn.start, turn.end = wave, clock, clock + duration(wave)
            clock = turn.end
    return Conversation(turns[0].dialogue or path.stem, [path.name, *files], turns, file_times=timed)


def _of_corpus(table, dialogue):
    """A dialogue of a corpus that `MIRAI/preprocess.py` prepared."""
    utterances = read_annotations(table)
    chosen = [utterance for utterance in utterances if utterance.dialogue == dialogue]
    if not chosen:
        names = sorted({utterance.dialogue for utterance in utterances})
        raise UserError(
            f"--dialogue {dialogue}: not in {table}, which has {len(names)}, from {names[0]} to {names[-1]}"
        )
    turns = []
    for utterance in chosen:
        path = table.parent / "txt_wav" / f"{utterance.segment_id}.wav"
        text = read_transcript(path.with_suffix(".txt"))
        turns.append(
            Turn(
                utterance.wav_start,
                utterance.wav_end,
                utterance.speaker,
                text=text,
                text_source="given" if text else "none",
                segment_id=utterance.segment_id,
                emotion=utterance.emotion,
                file_name=path.name,
                wave=read_speech(path),
            )
        )
    return Conversation(dialogue, [table.name], turns, file_times=False)


def _check_speakers(conversation):
    """Refuse a speaker who speaks twice at once."""
    last = {}
    for turn in conversation.turns:
        before = last.get(turn.speaker)
        if turn.start is not None and before is not None and turn.start < before.end - _OVERLAP:
            raise UserError(
                f"{conversation.sources[-1]}: {turn.speaker} speaks from {before.start:g} to {before.end:g} s and "
                f"again from {turn.start:g} s; expected one turn of a speaker at a time"
            )
        if before is None or turn.start is None or turn.end > before.end:
            last[turn.speaker] = turn
