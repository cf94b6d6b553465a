"""The emotions of one's own corpus: those of the manifest, or of a TOML file beside it, `<manifest>.toml`:

name = "calls"                          # of the corpus; without it the manifest's, as everything else may be missing
emotions = ["calm", "joy", "anger"]     # in the order in which tables show them; no others may occur
[aliases]
irritated = "anger"                     # a label of the manifest, and the emotion that it is
[names]
ko = ["평온", "기쁨", "분노"]              # what people call them, in the order of `emotions`; labels, too
en = ["Calm", "Joy", "Anger"]
"""

from erc.corpus.corpora import own_corpus
from erc.options import MAX_NAME, UserError
from erc.untrusted import damaged, read_toml, shown

_KEYS = {"name": str, "emotions": list, "aliases": dict, "names": dict}
LANGUAGES = ("ko", "en")


class Labels:
    """What the file beside a manifest says, if there is one.

    Raises:
        UserError: it is damaged, or says what cannot be.
    """

    def __init__(self, manifest):
        self.source, self.name, self.emotions = manifest, manifest.stem, None
        self.aliases, self.names = {}, {}
        beside = manifest.with_suffix(".toml")
        if beside.exists():
            self.source = beside
            with damaged(beside, "not as docs/own_data.md has it"):
                self._read(read_toml(beside))

    def _read(self, values):
        for key, value in values.items():
            if key not in _KEYS or not isinstance(value, _KEYS[key]):
                expected = ", ".join(f"{name} ({kind.__name__})" for name, kind in _KEYS.items())
                raise UserError(f"{self.source}: {shown(key)} = {shown(value)}; expected {expected}")
        self.name = values.get("name", self.name)
        self.emotions = values.get("emotions")
        self.names = values.get("names", {})
        aliases = values.get("aliases", {})
        for text in (*aliases.values(), *(names for names in self.names.values() if not isinstance(names, list))):
            if text in self.names.values() or not isinstance(text, str):
                raise UserError(
                    f"{self.source}: {shown(text)}; expected an emotion for an alias, lists of text as names"
                )
        if self.emotions is None:
            if self.names:
                raise UserError(f"{self.source}: names without emotions, whose order they have")
            self.aliases = aliases
            return
        if unknown := sorted(set(self.names) - set(LANGUAGES)):
            raise UserError(f"{self.source}: names.{unknown[0]}; expected {' or '.join(LANGUAGES)}")
        self.corpus(self.emotions)  # checks them
        for names in self.names.values():
            self.aliases |= {name: emotion for name, emotion in zip(names, self.emotions, strict=True)}
        for alias, emotion in aliases.items():
            if emotion not in self.emotions:
                raise UserError(
                    f"{self.source}: alias {shown(alias)} = {shown(emotion)}, which is none of the emotions"
                )
            self.aliases[alias] = emotion
        self.aliases |= {emotion: emotion for emotion in self.emotions}

    def emotion(self, label):
        """The emotion that a label of the manifest is; None: none."""
        emotion = self.aliases.get(label, label)
        return emotion if self.emotions is None or emotion in self.emotions else None

    def checked_name(self):
        """The name of the corpus.

        Raises:
            UserError: no folder can have it.
        """
        if set(self.name) & {"/", "\\"} or self.name.startswith(".") or len(self.name.encode()) > MAX_NAME:
            raise UserError(f"{self.source}: {shown(self.name)} cannot name a corpus, whose folder has its name")
        return self.name

    def corpus(self, found):
        """The `Corpus`.

        Args:
            found: the emotions of the manifest. Where no file lists them, they come in alphabetical order: by
                frequency, the numbers of the labels would change with further turns.
        Raises:
            UserError: a name cannot be one; there are fewer than two emotions.
        """
        self.checked_name()
        emotions = sorted(set(found)) if self.emotions is None else self.emotions
        for name in emotions:
            if str(name).startswith(("=", "+", "-", "@")):
                raise UserError(f"{self.source}: emotion {shown(name)} would be a formula in a spreadsheet")
        return own_corpus(self.source, self.name, emotions, self.names)
