"""An interpreter of pickles that come from anyone: it imports nothing, calls nothing, and counts the memory it takes.

It knows the operations with which Python 3 writes plain data (protocols 2 to 5). What a name, a call, an object's
state and a persistent reference stand for is decided by the methods of a subclass; here they are refused. The C
`pickle.Unpickler` is no base for this: a few bytes make it allocate gigabytes before any of its hooks is asked.
"""

import pickle
import pickletools
import struct
import sys

from erc.untrusted import Refused, shown_name

_MAX_INTEGER = 16  # bytes; longer ones take long to print
_LARGE = 256  # bytes; as the content of an array they are used once, and are not kept to be referred to again
_CHUNK = 4 << 20  # bytes of the file held at a time
_MAX_KEY = 1 << 31  # of a whole number as the key of a dict: larger ones can be chosen to have the same hash
_STOP = pickle.STOP[0]


class _Gone:
    """In the memo, in the place of large bytes that are not kept."""


class Name:
    """The dotted name of a class or function that the file mentions."""

    __slots__ = ("path",)

    def __init__(self, path):
        self.path = path


class PickleMachine:
    """Interprets one pickle; a mark opens a new stack above the present one.

    Args:
        file: the pickle, open for reading.
        size: its bytes.
        budget: bytes of memory that its objects may take.
    """

    def __init__(self, file, size, budget):
        self.file, self.unread, self.budget = file, size, budget
        self.data, self.at = b"", 0  # the bytes at hand, and where in them
        self.stack, self.below, self.memo = [], [], {}

    def run(self):
        """The object.

        Raises:
            Refused: the pickle is damaged, asks for anything that is not known, or takes more memory than `budget`.
        """
        try:
            while self.at < len(self.data) or self.unread:
                if self.at == len(self.data):
                    self.read_on(0)
                code = self.data[self.at]
                self.at += 1
                if code in _STEPS:
                    step, cost = _STEPS[code]
                    self.charge(cost)
                    step(self)
                elif code == _STOP and len(self.stack) == 1 and not self.below:
                    return self.stack[0]
                else:
                    raise Refused(_unknown(code))
        except (IndexError, TypeError, ValueError, struct.error) as error:
            raise Refused(f"it is damaged ({' '.join(str(error).split())[:100]})") from error
        raise Refused("it is cut short")

    def charge(self, size):
        """Count memory before it is taken."""
        self.budget -= size
        if self.budget < 0:
            raise Refused("it asks for far more memory than a file of its size should (a pickle bomb?)")

    # What a subclass may allow.

    def name(self, module, name):
        """What a name in a module stands for: a `Name`."""
        raise Refused(f"it asks for {shown_name(f'{module}.{name}')}")

    def call(self, name, args):
        """What the call of a `Name` with a tuple of arguments stands for."""
        raise Refused(f"it asks to call {shown_name(name.path)}")

    def new(self, name, args):
        """What a new object of the class `Name` stands for."""
        raise Refused(f"it asks for an object of {shown_name(name.path)}")

    def build(self, target, state):
        """Give an object its state, in place."""
        raise Refused("it sets attributes of what is not an object")

    def persistent(self, reference):
        """What lies outside the pickle."""
        raise Refused("it refers to what is not in it")

    # What the operations read.

    def take(self, size):
        if self.at + size > len(self.data):
            self.read_on(size)
        start = self.at
        self.at = start + size
        return self.data[start : self.at]

    def read_on(self, size):
        """Have at least `size` bytes at hand, and some more; those before `at` are let go."""
        rest = self.data[self.at :]
        if size > len(rest) + self.unread:
            raise Refused("it is cut short, or announces more than there is")
        more = self.file.read(min(self.unread, max(size - len(rest), _CHUNK)))
        self.data, self.at, self.unread = rest + more, 0, self.unread - len(more)
        if len(self.data) < max(size, 1):
            raise Refused("it became shorter while it was read")

    def number(self, size):
        return int.from_bytes(self.take(size), "little")

    def line(self):
        if len(self.data) < self.at + 200 and self.unread:
            self.read_on(0)
        end = self.data.index(b"\n", self.at, self.at + 200)
        return str(self.take(end + 1 - self.at)[:-1], "ascii")

    def since_mark(self):
        items, self.stack = self.stack, self.below.pop()
        return items


def _unknown(code):
    known = pickletools.code2op.get(chr(code))
    if known is None:
        return f"it is not a pickle, or damaged: there is no operation {code:#04x}"
    if code == _STOP:
        return "it is damaged: it ends in the middle of something"
    return f"its pickle uses {known.name}, which plain data pickled by Python 3 with protocol 2 or newer does not"


# The operations.


def _protocol(machine):
    if (version := machine.number(1)) > pickle.HIGHEST_PROTOCOL:
        raise Refused(f"its pickle protocol is {version}, the newest known is {pickle.HIGHEST_PROTOCOL}")


def _frame(machine):
    if machine.number(8) > len(machine.data) - machine.at + machine.unread:
        raise Refused("it is cut short, or announces more than there is")


def _constant(value):
    return lambda machine: machine.stack.append(value)


def _empty(kind):
    return lambda machine: machine.stack.append(kind())


def _integer(size, signed=False):
    return lambda machine: machine.stack.append(int.from_bytes(machine.take(size), "little", signed=signed))


def _long(machine):
    if (size := machine.number(1)) > _MAX_INTEGER:
        raise Refused(f"it holds a whole number of {size} bytes, expected at most {_MAX_INTEGER}")
    machine.stack.append(int.from_bytes(machine.take(size), "little", signed=True))


def _float(machine):
    machine.stack.append(struct.unpack(">d", machine.take(8))[0])


def _bytes(size):
    def step(machine):
        value = machine.take(machine.number(size))
        machine.charge(len(value))
        machine.stack.append(value)

    return step


def _text(size):
    def step(machine):
        value = str(machine.take(machine.number(size)), "utf-8")
        machine.charge(sys.getsizeof(value))
        machine.stack.append(value)

    return step


def _tuple(size):
    def step(machine):
        stack = machine.stack
        if len(stack) < size:
            raise Refused("it is damaged: a tuple lacks items")
        stack[-size:] = [tuple(stack[-size:])]

    return step


def _mark(machine):
    machine.below.append(machine.stack)
    machine.stack = []


def _tuple_since_mark(machine):
    items = machine.since_mark()
    machine.stack.append(tuple(items))


def _append(machine):
    _extend(machine, [machine.stack.pop()])


def _appends(machine):
    _extend(machine, machine.since_mark())


def _extend(machine, items):
    if type(machine.stack[-1]) is not list:
        raise Refused("it appends to what is not a list")
    machine.stack[-1].extend(items)


def _set_item(machine):
    value, key = machine.stack.pop(), machine.stack.pop()
    _update(machine, [key, value])


def _set_items(machine):
    _update(machine, machine.since_mark())


def _update(machine, items):
    keys, target = items[::2], machine.stack[-1]
    if type(target) is not dict or not all(map(_is_key, keys)):
        raise Refused("it sets items of what is not a dict of plain keys")
    target.update(zip(keys, items[1::2], strict=True))


def _is_key(key):
    return type(key) is str or (type(key) is int and -_MAX_KEY <= key < _MAX_KEY)


def _put(size):
    def step(machine):
        machine.memo[machine.number(size)] = _kept(machine.stack[-1])

    return step


def _memoize(machine):
    machine.memo[len(machine.memo)] = _kept(machine.stack[-1])


def _kept(value):
    """What the memo keeps of a value: not the bytes of an array, nor the tuple with which it is made of them."""
    for part in value if type(value) is tuple else (value,):
        if type(part) is bytes and len(part) > _LARGE:
            return _Gone
    return value


def _get(size):
    def step(machine):
        key = machine.number(size)
        if key not in machine.memo:
            raise Refused("it is damaged: it refers to what it has not made")
        if machine.memo[key] is _Gone:
            raise Refused(f"it refers again to more than {_LARGE} bytes, which plain data and arrays do not")
        machine.stack.append(machine.memo[key])

    return step


def _global(machine):
    module = machine.line()
    machine.stack.append(machine.name(module, machine.line()))


def _stack_global(machine):
    name, module = machine.stack.pop(), machine.stack.pop()
    if type(name) is not str or type(module) is not str:
        raise Refused("it asks for a name that is not text")
    machine.stack.append(machine.name(module, name))


def _reduce(machine):
    args, name = machine.stack.pop(), machine.stack.pop()
    machine.stack.append(machine.call(*_checked(name, args)))


def _new(machine):
    args, name = machine.stack.pop(), machine.stack.pop()
    machine.stack.append(machine.new(*_checked(name, args)))


def _checked(name, args):
    if type(name) is not Name or type(args) is not tuple:
        raise Refused("it makes an object of what is not a class")
    return name, args


def _build(machine):
    state = machine.stack.pop()
    machine.build(machine.stack[-1], state)


def _persistent(machine):
    machine.stack.append(machine.persistent(machine.stack.pop()))


# By operation: what it does, and the memory (bytes) that is counted for it.
_STEPS = {
    code[0]: (step, cost)
    for code, step, cost in (
        (pickle.PROTO, _protocol, 0),
        (pickle.FRAME, _frame, 0),
        (pickle.NONE, _constant(None), 16),
        (pickle.NEWTRUE, _constant(True), 16),
        (pickle.NEWFALSE, _constant(False), 16),
        (pickle.BININT, _integer(4, signed=True), 48),
        (pickle.BININT1, _integer(1), 16),
        (pickle.BININT2, _integer(2), 48),
        (pickle.LONG1, _long, 56),
        (pickle.BINFLOAT, _float, 40),
        (pickle.SHORT_BINBYTES, _bytes(1), 64),
        (pickle.BINBYTES, _bytes(4), 64),
        (pickle.BINBYTES8, _bytes(8), 64),
        (pickle.BYTEARRAY8, _bytes(8), 64),
        (pickle.SHORT_BINUNICODE, _text(1), 16),
        (pickle.BINUNICODE, _text(4), 16),
        (pickle.BINUNICODE8, _text(8), 16),
        (pickle.EMPTY_TUPLE, _constant(()), 16),
        (pickle.TUPLE1, _tuple(1), 80),
        (pickle.TUPLE2, _tuple(2), 80),
        (pickle.TUPLE3, _tuple(3), 80),
        (pickle.TUPLE, _tuple_since_mark, 80),
        (pickle.EMPTY_LIST, _empty(list), 112),
        (pickle.EMPTY_DICT, _empty(dict), 240),
        (pickle.MARK, _mark, 112),
        (pickle.APPEND, _append, 16),
        (pickle.APPENDS, _appends, 16),
        (pickle.SETITEM, _set_item, 64),
        (pickle.SETITEMS, _set_items, 16),
        (pickle.BINPUT, _put(1), 128),
        (pickle.LONG_BINPUT, _put(4), 128),
        (pickle.MEMOIZE, _memoize, 128),
        (pickle.BINGET, _get(1), 16),
        (pickle.LONG_BINGET, _get(4), 16),
        (pickle.GLOBAL, _global, 128),
        (pickle.STACK_GLOBAL, _stack_global, 128),
        (pickle.REDUCE, _reduce, 128),
        (pickle.NEWOBJ, _new, 128),
        (pickle.BUILD, _build, 16),
        (pickle.BINPERSID, _persistent, 128),
    )
}
