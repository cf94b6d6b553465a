"""Broken versions of good files: bytes, numbers and pieces changed anywhere, or where the format is most delicate."""

import io
import itertools
import pickle
import pickletools
import zipfile

_BYTES = b"\x00\x01\x02\x7f\x80\xfe\xff./\\"
_NUMBERS = (0, 1, 2, 255, 256, 65535, 65536, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 33, 1 << 40, (1 << 62) - 1)
# What a hostile pickle is made of; the ends are left out, most numbers are small enough to refer to something.
_OPERATIONS = [
    code.code.encode("latin1") for code in pickletools.opcodes if code.name not in ("STOP", "PROTO", "FRAME", "EXT4")
]
_GLOBALS = [
    *(b"cnumpy\nndarray\n", b"cnumpy\ndtype\n", b"c_codecs\nencode\n", b"cbuiltins\neval\n", b"cos\nsystem\n"),
    *(b"cnumpy.core.multiarray\n_reconstruct\n", b"cnumpy._core.numeric\n_frombuffer\n", b"cargparse\nNamespace\n"),
    *(b"ctorch._utils\n_rebuild_tensor_v2\n", b"ctorch\nFloatStorage\n", b"ccollections\nOrderedDict\n"),
    *(b"ctorch\nSize\n", b"c__builtin__\nset\n", b"ctorch.nn.modules.linear\nLinear\n"),
]


def mutate(random, data, others, near=()):
    """`data` with one to six changes.

    Args:
        random: `random.Random`.
        others: further files, of which pieces are taken.
        near: offsets around which half of the changes are made.
    """
    data = bytearray(data)
    for _ in range(random.choice((1, 1, 2, 3, 6))):
        at = random.randrange(len(data) + 1)
        if near and random.random() < 0.5:
            at = min(max(random.choice(near) + random.randrange(-4, 50), 0), len(data))
        size = min(random.choice((1, 1, 2, 4, 8, 30, 200)), len(data) - at)
        kind = random.randrange(8)
        if kind == 0 and at < len(data):
            data[at] ^= 1 << random.randrange(8)
        elif kind == 1:
            data[at : at + 1] = bytes([random.choice(_BYTES)])
        elif kind == 2:
            width, order = random.choice((2, 4, 4, 8)), random.choice(("little", "little", "big"))
            number = random.choice(_NUMBERS) & ((1 << 8 * width) - 1)
            data[at : at + width] = number.to_bytes(width, order)
        elif kind == 3:
            del data[at : at + size]
        elif kind == 4:
            data[at:at] = data[at : at + size] * random.choice((1, 1, 2, 50))
        elif kind == 5:
            other = random.choice(others)
            start = random.randrange(len(other) + 1)
            data[at : at + size] = other[start : start + random.choice((4, 30, 300))]
        elif kind == 6:
            data[at:at] = random.randbytes(size)
        elif random.random() < 0.3:
            del data[at:]
    return bytes(data)


def mutate_pickle(random, data, others):
    """A pickle with operations taken away, doubled, exchanged, or put in."""
    try:
        places = [place for _, _, place in pickletools.genops(data)] + [len(data)]
    except Exception:  # not a pickle any more
        return mutate(random, data, others)
    pieces = [data[start:end] for start, end in itertools.pairwise(places)]
    for _ in range(random.choice((1, 1, 2, 4, 8))):
        at = random.randrange(len(pieces))
        kind = random.randrange(7)
        if kind == 0:
            del pieces[at]
        elif kind == 1:
            pieces.insert(at, random.choice(pieces) if pieces else b"N")
        elif kind == 2:
            other = random.randrange(len(pieces))
            pieces[at], pieces[other] = pieces[other], pieces[at]
        elif kind == 3:
            pieces[at] = random.choice(_OPERATIONS) + random.randbytes(random.choice((0, 1, 1, 4)))
        elif kind == 4:
            pieces.insert(at, random.choice((pickle.BINGET, pickle.BINPUT)) + bytes([random.randrange(40)]))
        elif kind == 5:
            pieces.insert(at, random.choice(_GLOBALS))
        else:
            pieces[at] = pieces[at][:1] + mutate(random, pieces[at][1:], others)
        if not pieces:
            return b""
    data = b"".join(piece for piece in pieces if not piece.startswith(pickle.FRAME))
    return data if random.random() < 0.1 else data + pickle.STOP * (not data.endswith(pickle.STOP))


def mutate_zip(random, data, others, change_member):
    """A zip made again, with right checksums, after a change of its members or of what one of them holds."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = [(info, archive.read(info)) for info in archive.infolist()]
    except Exception:  # not a zip any more
        return mutate(random, data, others)
    at = random.randrange(len(members))
    info, content = members[at]
    kind = random.randrange(8)
    if kind == 0:
        del members[at]
    elif kind == 1:
        members.append(random.choice(members))
    elif kind == 2:
        name = info.filename.encode()
        info.filename = mutate(random, name, [b"../x", b"/x", b"a/b/c/", name]).decode("utf-8", "ignore")
    elif kind == 3:
        info.external_attr = random.choice((0o120777, 0o040755, 0o010644, 0o100644)) << 16
    else:
        members[at] = info, change_member(info.filename, content)
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for info, content in members:
            archive.writestr(info, content)
    return target.getvalue()
