"""The release before: what an upgrade begins with."""

from pathlib import Path

from bus.ledger.schema import head
from tests.chaos import release


def test_the_release_before_lacks_the_newest_migration_and_runs(tmp_path: Path) -> None:
    folder = tmp_path / "before"
    commit = release.before(folder)
    if commit is None:  # a checkout without history: the run then says that it upgrades from the same release
        assert not folder.exists()
        return
    versions = {path.name.partition("_")[0] for path in (folder / "bus/ledger/migrations/versions").glob("*.py")}
    assert versions
    assert head() not in versions
