"""Files that are not what they should be: every single value replaced by others, one at a time; pickles of calls."""

import resource
import time

from erc.options import UserError
from erc.torch_pickles import Record


class Call:
    """Pickles as a call of anything."""

    def __init__(self, function, *arguments, state=None):
        self.parts = (function, arguments) if state is None else (function, arguments, state)

    def __reduce__(self):
        return self.parts


VALUES = (None, -1, 0, float("inf"), "x", [], {}, 10**30, {"x": {"y": [1]}})


def edits(value, place="", values=VALUES):
    """Replace each item of nested dicts, lists and `Record`s in place; yields where and by what. What was there comes
    back before the next one."""
    if isinstance(value, Record):
        value = value.state
    if not isinstance(value, dict | list):
        return
    for key in list(value) if isinstance(value, dict) else range(len(value)):
        old = value[key]
        for new in values:
            value[key] = new
            yield f"{place}.{key} = {new}"
        value[key] = old
        yield from edits(old, f"{place}.{key}", values)


def survives(content, read, every=1, seconds=10, memory=1 << 30):
    """Each edited `content` is read, or refused with one line of an error that names the file; a long time or much
    memory is for neither.

    Args:
        read: writes a file of the content as it is at the moment, and reads it.
        every: try one edit of so many only.
    Returns:
        (int, int): edits that were read and that were refused.
    """
    outcomes, before = [0, 0], resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number, place in enumerate(edits(content)):
        if number % every:
            continue
        start = time.process_time()
        try:
            read()
            outcomes[0] += 1
        except UserError as error:
            assert "\n" not in str(error) and len(str(error)) < 1000, place
            outcomes[1] += 1
        except BaseException as error:
            raise AssertionError(place) from error
        assert time.process_time() - start < seconds, place
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        assert grown << 10 < memory, f"{grown >> 10} MiB after {place}"
    return outcomes
