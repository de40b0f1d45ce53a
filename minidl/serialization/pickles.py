"""A small interpreter of the pickle opcodes that torch.save writes. It builds plain values, and calls nothing by name.

What a pickle may name is a fixed table (`known.py`); everything else is refused before it is used.
"""

from __future__ import annotations

import struct
from argparse import Namespace
from collections import OrderedDict
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from .known import KNOWN, Budget, Build, Known, checked_notes, refuse

DEEPEST = 500  # levels of dicts in lists in tuples ...
_CONTAINERS = (dict, list, tuple, set, frozenset, Namespace, SimpleNamespace)

# opcodes by the form of their argument
_CONSTANTS = {b"N": None, b"\x88": True, b"\x89": False}
_NUMBERS = {b"K": "<B", b"M": "<H", b"J": "<i", b"G": ">d"}
_COUNTED = {  # the format of the length, and whether text, bytes or a long integer follows
    b"X": ("<I", "text"), b"\x8c": ("<B", "text"), b"\x8d": ("<Q", "text"), b"C": ("<B", "bytes"),
    b"B": ("<I", "bytes"), b"\x8e": ("<Q", "bytes"), b"U": ("<B", "old"), b"T": ("<i", "old"), b"\x8a": ("<B", "long"),
    b"\x8b": ("<i", "long"), b"\x96": ("<Q", "array"),
}  # fmt: skip
_EMPTY: dict[bytes, tuple[Callable[[], Any], int]] = {  # and what one counts for, by the memory that it takes
    b"}": (dict, 4), b"]": (list, 4), b")": (tuple, 0), b"\x8f": (set, 8),
}  # fmt: skip
_CALL = 16  # what a call counts for, which may make an OrderedDict or a namespace
_REMEMBERED = 8  # places in the memo for one unfinished value; pickles take one
_MEMO = {b"q": "<B", b"r": "<I"}
_RECALL = {b"h": "<B", b"j": "<I"}
_TUPLES = {b"\x85": 1, b"\x86": 2, b"\x87": 3}
_REFUSED = {
    b"i": "INST", b"o": "OBJ", b"\x92": "NEWOBJ_EX", b"\x82": "EXT1", b"\x83": "EXT2", b"\x84": "EXT4", b"P": "PERSID",
    b"0": "POP", b"1": "POP_MARK", b"2": "DUP", b"\x97": "NEXT_BUFFER", b"\x98": "READONLY_BUFFER", b"I": "INT",
    b"L": "LONG", b"F": "FLOAT", b"S": "STRING", b"V": "UNICODE", b"p": "PUT", b"g": "GET", b"d": "DICT", b"l": "LIST",
}  # fmt: skip
_MARK = object()
_FOREIGN = frozenset(
    f"torch.{name}"
    for name in "bfloat16 complex32 complex64 complex128 uint16 uint32 uint64 quint8 qint8 qint32 quint4x2 quint2x4 "
    "float8_e4m3fn float8_e5m2 float8_e4m3fnuz float8_e5m2fnuz float8_e8m0fnu float4_e2m1fn_x2".split()
)


class Pickle:
    """One pickle in `raw`, from `start` on. `run` gives its value; `end` is then the place after it.

    persistent: what to give for a persistent id, which is how torch.save writes storages. encoding: of the strings of
    Python 2. Whatever is wrong is a ValueError.
    """

    def __init__(
        self, raw: Any, start: int = 0, persistent: Callable[[Any], Any] | None = None, encoding: str = "utf-8"
    ) -> None:
        self.raw, self.end, self.persistent, self.encoding = memoryview(raw), start, persistent, encoding
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.spend = Budget(len(self.raw) - start)

    def run(self) -> Any:
        """The value."""
        try:
            while True:
                code = self._take(1)
                if code == b".":
                    value = self._pop()
                    if self.stack:
                        raise ValueError("the pickle ends with values left over")
                    return value
                self._do(code)
        except (IndexError, KeyError, TypeError, AttributeError, OverflowError, RecursionError, struct.error) as error:
            raise ValueError(f"the pickle does not fit together at byte {self.end} ({error})") from None

    def _take(self, n: int) -> bytes:
        if not 0 <= n <= len(self.raw) - self.end:
            raise ValueError(f"the pickle is cut off: {n} bytes are wanted at byte {self.end} of {len(self.raw)}")
        self.end += n
        return bytes(self.raw[self.end - n : self.end])

    def _number(self, form: str) -> Any:
        return struct.unpack(form, self._take(struct.calcsize(form)))[0]

    def _line(self) -> str:
        for i in range(self.end, min(self.end + 512, len(self.raw))):
            if self.raw[i] == 10:
                return self._take(i - self.end + 1)[:-1].decode()
        raise ValueError("the pickle has a name without an end")

    def _pop(self) -> Any:
        value = self.stack.pop()
        if value is _MARK:
            raise ValueError("the pickle takes a mark for a value")
        return value

    def _marked(self) -> list[Any]:
        """The values above the last mark."""
        items = []
        while (value := self.stack.pop()) is not _MARK:
            items.append(value)
        return items[::-1]

    def _top(self, kind: type) -> Any:
        value = self.stack[-1]
        if not isinstance(value, kind):
            raise ValueError(f"the pickle adds to a {type(value).__name__} as to a {kind.__name__}")
        return value

    def _do(self, code: bytes) -> None:
        push = self.stack.append
        if code in _CONSTANTS:
            push(_CONSTANTS[code])
        elif code in _NUMBERS:
            push(self._number(_NUMBERS[code]))
        elif code in _COUNTED:
            form, kind = _COUNTED[code]
            data = self._take(self._number(form))
            if kind == "long":
                push(int.from_bytes(data, "little", signed=True))
            elif kind == "array":
                push(bytearray(data))
            elif kind == "bytes" or (kind == "old" and self.encoding == "bytes"):
                push(data)
            else:
                push(data.decode("utf-8", "surrogatepass") if kind == "text" else data.decode(self.encoding))
        elif code in _EMPTY:
            make, amount = _EMPTY[code]
            self.spend.make(amount)
            push(make())
        elif code in _RECALL:
            push(self.memo[self._number(_RECALL[code])])
        elif code in _MEMO or code == b"\x94":
            value = self.stack[-1]
            if value is _MARK:
                raise ValueError("the pickle remembers a mark")
            key = self._number(_MEMO[code]) if code in _MEMO else len(self.memo)
            self.memo[key] = value
            if isinstance(value, Build):
                value.keys += (key,)
                if len(value.keys) > _REMEMBERED:
                    raise ValueError("the pickle remembers an unfinished value again and again")
        elif code == b"(":
            push(_MARK)
        elif code in _TUPLES:
            push(tuple([self._pop() for _ in range(_TUPLES[code])][::-1]))
        elif code == b"t":
            push(tuple(self._marked()))
        elif code in (b"a", b"e"):
            items = self._marked() if code == b"e" else [self._pop()]
            self._top(list).extend(items)
        elif code in (b"s", b"u"):
            items = self._marked() if code == b"u" else [self._pop(), self._pop()][::-1]
            self._set(items)
        elif code in (b"\x90", b"\x91"):
            items = [self.spend.key(item) for item in self._marked()]
            self.spend.make(0 if code == b"\x90" else 8)
            if code == b"\x90":
                self._top(set).update(items)
            else:
                push(frozenset(items))
        elif code == b"c":
            push(find(self._line(), self._line()))
        elif code == b"\x93":
            name, module = self._pop(), self._pop()
            push(find(module, name))
        elif code in (b"R", b"\x81"):
            args, function = self._pop(), self._pop()
            if not isinstance(function, Known) or not isinstance(args, tuple):
                raise ValueError(f"the pickle calls a {type(function).__name__}")
            self.spend.make(_CALL)
            push(function.make(self.spend, *args))
        elif code == b"b":
            self._build()
        elif code == b"Q":
            if self.persistent is None:
                raise ValueError("the pickle has a persistent id, where there are no storages")
            push(self.persistent(self._pop()))
        elif code == b"\x80":
            version = self._take(1)[0]
            if not 2 <= version <= 5:
                raise ValueError(f"the pickle is of protocol {version}; minidl reads 2 to 5")
        elif code == b"\x95":
            if self._number("<Q") > len(self.raw) - self.end:
                raise ValueError("the pickle is cut off within a frame")
        elif code in _REFUSED:
            refuse(f"the pickle has the opcode {_REFUSED[code]}, which torch.save does not write")
        else:
            raise ValueError(f"the pickle has an unknown opcode {code!r} at byte {self.end - 1}")

    def _set(self, items: list[Any]) -> None:
        target = self._top(dict)
        if len(items) % 2:
            raise ValueError("the pickle has a key without a value")
        for key, value in zip(items[::2], items[1::2], strict=True):
            target[self.spend.key(key)] = value

    def _build(self) -> None:
        """Give the state of an object to it; only few kinds have one."""
        state, target = self._pop(), self.stack[-1]
        if isinstance(target, Build):
            self.stack[-1] = done = target.build(self.spend, state)
            for key in target.keys:
                if self.memo[key] is target:
                    self.memo[key] = done
        elif type(target) is OrderedDict:
            if not isinstance(state, dict) or set(state) != {"_metadata"}:
                refuse("the pickle gives attributes to an OrderedDict")
            target._metadata = checked_notes(state["_metadata"])  # type: ignore[attr-defined]
        else:
            refuse(f"the pickle gives a state to a {type(target).__name__}")


def find(module: Any, name: Any) -> Any:
    """What a name in a pickle stands for, if that is in the table."""
    if not isinstance(module, str) or not isinstance(name, str):
        raise ValueError("the pickle has a name that is not text")
    full = f"{module}.{name}"
    if full in KNOWN:
        return KNOWN[full]
    if full in _FOREIGN or (module.startswith("torch") and name.endswith("Storage")):
        refuse(f"it holds {full}, of elements that minidl does not have")
    refuse(f"it asks for {full} (it may be a whole pickled model, or an object of another class)", full)


def check_tree(value: Any, refused: tuple[type, ...]) -> None:
    """Raise unless the containers in a value hold no loops, are not too deep, and hold nothing unfinished."""
    heights: dict[int, int] = {}
    path: set[int] = set()
    todo: list[tuple[Any, bool]] = [(value, False)]
    while todo:
        item, left = todo.pop()
        if isinstance(item, refused):
            refuse(f"it holds {getattr(item, 'what', 'a ' + type(item).__name__)} as a value")
        if not isinstance(item, _CONTAINERS):
            continue
        inside = _inside(item)
        if left:
            path.discard(id(item))
            heights[id(item)] = height = 1 + max([heights.get(id(child), 0) for child in inside], default=0)
            if height > DEEPEST:
                raise ValueError(f"it is nested more than {DEEPEST} levels deep")
        elif id(item) in path:
            raise ValueError("it holds a container that contains itself")
        elif id(item) not in heights:
            path.add(id(item))
            if len(path) > DEEPEST:
                raise ValueError(f"it is nested more than {DEEPEST} levels deep")
            todo.append((item, True))
            todo.extend([(child, False) for child in inside])


def _inside(item: Any) -> list[Any]:
    """What a container or a namespace holds."""
    own = type(item) in (OrderedDict, Namespace, SimpleNamespace)
    found = list(vars(item).values()) if own else []
    if isinstance(item, dict):
        return [*found, *item.values()]
    return [*found, *item] if isinstance(item, (list, tuple, set, frozenset)) else found
