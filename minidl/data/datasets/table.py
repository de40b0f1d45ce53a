"""Tables of numbers in text files."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...tensor import Tensor, wrap
from ..collate import default_collate
from ..dataset import Dataset, gather
from ..draws import each
from ..transforms.base import vectorised
from .source import DatasetError

_MISSING = {"", "na", "n/a", "nan", "null", "none", "?"}


class CSV(Dataset[tuple]):
    """A table in a text file: the columns are numbers, one of them may be the target.

    target: the column to be learnt, by its name or its number (negative ones count from the end); None for none.
    header: whether the first line holds names; None: it does if none of its cells is a number. columns: those to be
    read, by name or number; by default all but the target. delimiter: what stands between two cells.

    `features`: a float32 Tensor (N, D). `targets`: an int64 Tensor (N,) of class numbers if the target's cells are no
    numbers, `classes` then holds their names in order; int64 where all are integers; else float32. `columns`: the names
    of the features. Sample i is (features[i], targets[i]), without a target (features[i],). transform and
    target_transform take one sample's Tensor.

    Raises:
        FileNotFoundError: there is no such file.
        DatasetError: a cell is missing or no finite number, a line has another number of cells, there are no data; the
            message names the line and the column.
        ValueError: there is no such column.

    >>> _ = Path("iris.csv").write_text("length,width,kind\\n5.1,3.5,setosa\\n6.2,2.9,virginica\\n")
    >>> data = CSV("iris.csv", target="kind")
    >>> data.classes, data.targets.tolist(), data.features.shape, data.columns
    (['setosa', 'virginica'], [0, 1], minidl.Size([2, 2]), ['length', 'width'])
    """

    def __init__(
        self,
        path: str | os.PathLike,
        target: str | int | None = None,
        header: bool | None = None,
        delimiter: str = ",",
        columns: Sequence[str | int] | None = None,
        transform: Callable[[Any], Any] | None = None,
        target_transform: Callable[[Any], Any] | None = None,
        encoding: str = "utf-8-sig",
    ) -> None:
        for name, t in (("transform", transform), ("target_transform", target_transform)):
            if t is not None and not callable(t):
                raise TypeError(f"CSV: {name} should be callable or None, got {type(t).__name__}")
        if not isinstance(delimiter, str) or len(delimiter) != 1:
            raise ValueError(f"CSV: delimiter should be one character, got {delimiter!r}")
        if header not in (None, True, False):
            raise TypeError(f"CSV: header should be True, False or None, got {header!r}")
        if isinstance(columns, str):
            raise TypeError(f"CSV: columns should be a list of names or numbers, got the string {columns!r}")
        self.path, self.target_transform = Path(path), target_transform
        self.transform: Any = transform  # may have `batch`
        lines = _read(self.path, delimiter, encoding)
        first = lines[0][1]
        if header is None:
            header = not any(_is_number(cell) for cell in first)
        names = [cell.strip() for cell in first] if header else [str(i) for i in range(len(first))]
        lines = lines[1:] if header else lines
        if not lines:
            raise DatasetError(f"CSV: {path} has a header, but no data")
        for number, cells in lines:
            if len(cells) != len(names):
                raise DatasetError(f"CSV: {path}, line {number} has {len(cells)} cells, expected {len(names)}")
        aim = None if target is None else self._column(target, names, "target")
        if columns is None:
            chosen = [i for i in range(len(names)) if i != aim]
        else:
            chosen = [self._column(column, names, "columns") for column in columns]
        if not chosen:
            raise ValueError(f"CSV: {path} has no column left for the features")
        self.columns = [names[i] for i in chosen]
        values = np.array(
            [[self._number(cells[i], n, names[i]) for i in chosen] for n, cells in lines], dtype=np.float64
        )
        self.features: Any = wrap(values.astype(np.float32))
        self.classes: list[str] | None = None
        self.targets: Any = None
        if aim is not None:
            self.targets = wrap(self._target([(n, cells[aim].strip()) for n, cells in lines], names[aim]))

    def _column(self, column: str | int, names: list[str], what: str) -> int:
        if isinstance(column, int) and not isinstance(column, bool):
            if not -len(names) <= column < len(names):
                raise ValueError(f"CSV: {what}: there is no column {column}, {self.path} has {len(names)}")
            return column % len(names)
        places = [i for i, name in enumerate(names) if name == column]
        if len(places) != 1:
            how = "no column" if column not in names else "more than one column"
            raise ValueError(f"CSV: {what}: {self.path} has {how} {column!r}; its columns are {', '.join(names)}")
        return places[0]

    def _number(self, cell: str, line: int, column: str) -> float:
        if cell.strip().lower() in _MISSING:
            raise DatasetError(f"CSV: {self.path}, line {line}, column {column!r}: a value is missing ({cell!r})")
        where = f"CSV: {self.path}, line {line}, column {column!r}: {_short(cell)}"
        if not _is_number(cell):
            raise DatasetError(f"{where} is not a number")
        value = float(cell)
        if not math.isfinite(value) or abs(value) > float(np.finfo(np.float32).max):
            raise DatasetError(f"{where} does not fit float32")
        return value

    def _target(self, cells: list[tuple[int, str]], column: str) -> np.ndarray:
        numeric = all(_is_number(cell) for _, cell in cells if cell.lower() not in _MISSING)
        for line, cell in cells:
            if cell == "" or (numeric and cell.lower() in _MISSING):
                raise DatasetError(f"CSV: {self.path}, line {line}, column {column!r}: a value is missing ({cell!r})")
        if not numeric:
            self.classes = sorted({cell for _, cell in cells})
            index = {name: i for i, name in enumerate(self.classes)}
            return np.array([index[cell] for _, cell in cells], dtype=np.int64)
        try:
            return np.array([int(cell) for _, cell in cells], dtype=np.int64)
        except (ValueError, OverflowError):
            return np.array([self._number(cell, line, column) for line, cell in cells], dtype=np.float32)

    def __getitem__(self, index: Any) -> tuple:
        x = self.features[index]
        x = x if self.transform is None else self.transform(x)
        if self.targets is None:
            return (x,)
        y = self.targets[index]
        return x, y if self.target_transform is None else self.target_transform(y)

    def __getbatch__(self, indices: np.ndarray) -> list[Tensor] | None:
        if not vectorised(self.transform):
            return None
        x = wrap(gather(self.features, indices, "CSV"))
        x = x if self.transform is None else self.transform.batch(x)
        if self.targets is None:
            return [x]
        y = gather(self.targets, indices, "CSV")
        if self.target_transform is None:
            return [x, wrap(y)]
        return [x, default_collate(each(self.target_transform, [wrap(y[i]) for i in range(len(indices))]))]

    def __len__(self) -> int:
        return len(self.features)

    def __repr__(self) -> str:
        return f"Dataset CSV\n    Number of datapoints: {len(self)}\n    File: {self.path}"


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return "_" not in cell  # Python reads 1_0 as ten; in a table it is a slip of the pen


def _short(cell: str) -> str:
    return repr(cell) if len(cell) <= 40 else f"{cell[:40]!r}... ({len(cell)} characters)"


def _read(path: Path, delimiter: str, encoding: str) -> list[tuple[int, list[str]]]:
    """(number of the line, its cells), empty lines left out."""
    try:
        with open(path, newline="", encoding=encoding) as stream:
            reader = csv.reader(stream, delimiter=delimiter, strict=True)
            lines = [(reader.line_num, cells) for cells in reader if any(cell.strip() for cell in cells)]
    except LookupError:
        raise ValueError(f"CSV: there is no encoding {encoding!r}") from None
    except UnicodeDecodeError as error:
        raise DatasetError(f"CSV: {path} is not a text in {encoding} ({error})") from None
    except csv.Error as error:
        raise DatasetError(f"CSV: {path}, line {reader.line_num}: {error}") from None
    if not lines:
        raise DatasetError(f"CSV: {path} is empty")
    return lines
