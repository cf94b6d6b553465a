"""Feature extraction in parts, which are kept on disk until all are there: a run that was killed goes on, and many
processes on many machines share the work.

The utterances of a table are divided into parts by their duration, always the same ones. A part is a file whose name is
a digest of all that its embeddings depend on, so that a part of another checkpoint, of speech that changed or of
another precision is never taken. Shard K of N has the parts K, K + N, K + 2 N, ...

Of a dialogue file that is itself in shards, each has parts of its own, so that joining them holds one at a time.
"""

import contextlib
import functools
import hashlib
import itertools
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from erc.corpus.dialogue_shards import write_dialogue_index
from erc.corpus.dialogues import check_dialogues, write_dialogues
from erc.corpus.formatting import check_same, join_embeddings
from erc.corpus.shards import set_name, shard_folder, shard_path
from erc.files import atomic_writer, claim, is_claimed, sha256
from erc.options import UserError, first_of
from mirai.checkpoint import load_extractor
from mirai.dataset import UtteranceDataset
from mirai.prediction import plan_batches, run_batches

PARTS = 500  # at most: few enough files, and little is lost when a run is killed
PART_SECONDS = 60  # of speech, at least: enough work for a file
LEAST_SECONDS = 1.0  # that an utterance counts: text alone lasts none
_VERSION = 1


@dataclass
class Part:
    """A piece of the extraction: some utterances, whose embeddings are kept in one file."""

    number: int  # 1, 2, ...
    places: list  # of its utterances in the list of all
    path: Path | None = None  # of its file, once it is known


def plan_parts(utterances):
    """Divide all utterances into parts of about the same work, the longest utterances first. No file is opened: there
    may be millions."""
    seconds = [max(utterance.seconds, LEAST_SECONDS) for utterance in utterances]
    least = max(PART_SECONDS, sum(seconds) / PARTS)
    parts, held = [], least
    for place in sorted(range(len(utterances)), key=lambda k: (-utterances[k].seconds, utterances[k].segment_id)):
        if held >= least:
            parts.append(Part(len(parts) + 1, []))
            held = 0
        parts[-1].places.append(place)
        held += seconds[place]
    return parts


class Extraction:
    """The extraction of a dialogue file's embeddings.

    Args:
        extractor: `Extractor`.
        checkpoint: digest of the file that it was read from.
        utterances: list of `Utterance`, all of the table.
        options: `PredictionOptions`.
        output: the file that is to be made; the parts are kept in <name>.parts/ beside it.
    """

    def __init__(self, extractor, checkpoint, utterances, options, output):
        self.extractor, self.utterances, self.options, self.output = extractor, utterances, options, output
        self.folder = output.with_suffix(".parts")
        self.parts, self.checkpoint = plan_parts(utterances), checkpoint

    @contextlib.contextmanager
    def alone(self, shard=None):
        """Hold the output for as long as the block runs. Shards (K, N) run beside each other, but each only once; all
        else runs alone.

        Raises:
            UserError: another run holds it, it cannot be written, or there is no room on the disk.
        """
        width = self.extractor.description["width"] * len(self.extractor.modalities)
        needs = 2 * 4 * width * len(self.utterances)  # parts and file, float32
        if shard is None:
            mine, needs, running = self.output, needs, "shards of it are"
        else:
            mine, needs, running = self.folder / "shard-{}-of-{}".format(*shard), needs // shard[1], "all of it is"
        with claim(mine, needs):  # first claimed, then looked at: of two that begin together, one at most goes on
            if any(map(is_claimed, self._shards() if shard is None else [self.output])):
                raise UserError(f"{self.output}: {running} being extracted; wait for that, or stop it")
            yield

    def _shards(self):
        """The outputs of shards that run, or were killed."""
        locks = self.folder.glob(".shard-*.lock")
        return [lock.with_name(lock.name.removeprefix(".").removesuffix(".lock")) for lock in locks]

    def run(self, device, shard=None):
        """Make the parts that are missing, of a shard (K, N) or of all; prints how many are there already.

        Returns:
            list[Part]: those of the shard, all of which are there now.
        """
        parts = self.parts if shard is None else self.parts[shard[0] - 1 :: shard[1]]
        todo = self._missing(parts)
        if len(todo) < len(parts):
            print(f"{len(parts) - len(todo)} of {len(parts)} parts are there already", flush=True)
        if todo:
            self._make(todo, device)
        return parts

    def join(self):
        """Read the embeddings of all utterances from the parts.

        Returns:
            dict: `text` and `audio` (those in use): (N, D) float32, rows as `utterances`.
        Raises:
            UserError: parts are missing; counts and names the utterances.
        """
        missing = self._missing(self.parts)
        if missing:
            names = sorted(self.utterances[place].segment_id for part in missing for place in part.places)
            raise UserError(
                f"{self.folder}: {len(missing)} of {len(self.parts)} parts are missing, with {len(names)} of "
                f"{len(self.utterances)} utterances ({first_of(names)}). Start the shards that did not finish again, "
                "with the same options; without --shard and --merge this script extracts what is missing itself"
            )
        tables = {}
        for part in self.parts:
            for name, rows in self._read(part).items():
                table = tables.setdefault(name, np.empty((len(self.utterances), rows.shape[1]), np.float32))
                table[part.places] = rows
        return {modality: tables[modality] for modality in self.extractor.modalities}

    def _missing(self, parts):
        """Those whose file is not there or damaged; gives every part its path."""
        dataset, own_places = self._dataset(parts)
        for part, places in zip(parts, own_places, strict=True):
            utterances = [dataset.identity(place) for place in places]
            content = [_VERSION, self.checkpoint, self.options.precision, utterances]
            digest = hashlib.sha256(json.dumps(content).encode()).hexdigest()
            part.path = self.folder / f"{part.number:04}-{digest[:32]}.npz"
        return [part for part in parts if self._read(part) is None]

    def _make(self, parts, device):
        dataset, own_places = self._dataset(parts)
        batches = [plan_batches(dataset, places, self.options, device) for places in own_places]
        results = run_batches(self.extractor, dataset, list(itertools.chain(*batches)), device, self.options)
        for part, places, own in zip(parts, own_places, batches, strict=True):
            tables = {}
            for batch in own:
                for name, rows in next(results).items():
                    table = tables.setdefault(name, np.empty((len(places), rows.shape[1]), np.float32))
                    table[np.array(batch) - places.start] = rows
            with atomic_writer(part.path) as file:
                np.savez(file, **{name: tables[name] for name in self.extractor.modalities})
        results.close()

    def _dataset(self, parts):
        """The utterances of some parts, one part after the other, and the range that each part's have in it."""
        ends = list(itertools.accumulate(len(part.places) for part in parts))
        own_places = [range(end - len(part.places), end) for part, end in zip(parts, ends, strict=True)]
        chosen = [self.utterances[place] for part in parts for place in part.places]
        return UtteranceDataset(chosen, self.options.txt_wav, **self.extractor.dataset_settings()), own_places

    def _read(self, part):
        """{modality: (n, D)} of a part, rows as its places; None if it is not there or damaged."""
        try:
            with np.load(part.path, allow_pickle=False) as file:
                return {name: file[name] for name in file.files}
        except (OSError, ValueError, EOFError, zipfile.BadZipFile):
            return None


def remove_parts(output):
    """Remove the parts of an output, also those of other checkpoints or options."""
    folder = output.with_suffix(".parts")
    for pattern in ("*.npz", ".*.part", "*.lock", ".*.lock"):
        for path in folder.glob(pattern):
            path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # something else is in it
        folder.rmdir()


@dataclass
class Extracted:
    """What `extract` has done: the parts that it made or found, of all there are; once they are joined, the `output`,
    its dialogues and the size of each modality's embeddings."""

    done: int = 0
    parts: int = 0
    folder: Path | None = None
    output: Path | None = None
    dialogues: int = 0
    sizes: dict | None = None


def extract(source, shares, utterances, options, device):
    """Make the parts of a dialogue file or of all its shards, and join them, as `options.shard` and `.merge` have it.

    Args:
        source: `DialogueShards`, the turns of which are those of the table.
        shares: which extractor embeds which utterances, as `mirai.crossing.share_out` gives them.
        utterances: list of `Utterance`, all of the table.
        options: `PredictionOptions`.
    Raises:
        UserError: turns and table differ, parts are missing, or another run has the output.
    """
    path, single = options.features_format_path, source.name is None
    output = path.with_name(f"{path.stem}_feat{'.pkl' if single else path.suffix}")
    load = functools.lru_cache(1)(lambda checkpoint: load_extractor(checkpoint)[0])  # one at a time is in memory
    digests = {checkpoint: sha256(checkpoint) for checkpoint, _ in shares}
    name = set_name(source.name, *digests.values(), options.precision)
    embedded_by = {utterance.segment_id: checkpoint for checkpoint, own in shares for utterance in own}
    result, places = Extracted(output=output, folder=output.with_suffix(".parts")), []
    with contextlib.ExitStack() as stack:
        if not single and not options.shard:
            folder = stack.enter_context(shard_folder(output))
        for number, own in enumerate(_divide(source, utterances), 1):
            places.append(output if single else shard_path(result.folder, number, source.number))
            by_checkpoint = {}
            for utterance in own:
                by_checkpoint.setdefault(embedded_by[utterance.segment_id], []).append(utterance)

            def work_of(checkpoint, chosen, place=places[-1]):
                return Extraction(load(checkpoint), digests[checkpoint], chosen, options, place)

            with work_of(next(iter(by_checkpoint)), own).alone(options.shard):
                tables = []
                for checkpoint, chosen in by_checkpoint.items():
                    work = work_of(checkpoint, chosen)
                    result.done += 0 if options.merge else len(work.run(device, options.shard))
                    result.parts += len(work.parts)
                    if not options.shard:
                        tables.append(work.join())
                if options.shard:
                    continue
                embeddings = {modality: np.concatenate([table[modality] for table in tables]) for modality in tables[0]}
                file, names = (
                    source.read(number),
                    [one.segment_id for chosen in by_checkpoint.values() for one in chosen],
                )
                join_embeddings(file.dialogues, names, embeddings)
                result.sizes = {modality: rows.shape[1] for modality, rows in embeddings.items()}
                del embeddings, tables
                check_dialogues(file.dialogues, file.corpus)  # an extractor may give values that are not finite
                file.shard = None if single else (name, number, source.number)
                write_dialogues(output if single else shard_path(folder, number, source.number), file)
                result.dialogues += len(file.dialogues)
                if single:
                    remove_parts(output)
        if not single and not options.shard:
            source.check_complete()
            write_dialogue_index(folder, name, source.number, source)
    if not single and not options.shard:
        for place in places:
            remove_parts(place)
        with contextlib.suppress(OSError):  # something else is in it
            result.folder.rmdir()
    return result


def _divide(source, utterances):
    """The utterances of each shard, in the table's order; all turns are in the table, and the other way round."""
    shard_of = {}
    for number in range(1, source.number + 1):
        for dialogue in source.read(number).dialogues:
            shard_of |= dict.fromkeys(dialogue.segment_ids, number)
    check_same(shard_of.keys(), [utterance.segment_id for utterance in utterances])
    works = [[] for _ in range(source.number)]
    for utterance in utterances:
        works[shard_of[utterance.segment_id] - 1].append(utterance)
    return works
