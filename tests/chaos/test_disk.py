"""The small disk: full to the last byte, and free again; or a clear word where it cannot be had."""

import errno
import os
from pathlib import Path

import pytest

from tests.chaos.disk import Disk, NoDisk


def test_a_full_disk_takes_nothing_more_until_it_is_freed(tmp_path: Path) -> None:
    folder = tmp_path / "disk"
    try:
        with Disk(folder, size_mb=2) as disk:
            disk.fill()
            with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
                (folder / "more").write_bytes(b"x" * 5_000)
            disk.free()
            (folder / "more").write_bytes(b"x" * 5_000)
    except NoDisk:
        assert os.geteuid() != 0 or not os.access("/bin/mount", os.X_OK)  # nobody else may say so
    assert not folder.exists() or not list(folder.iterdir())
