import pytest

from rojak.data.outfolder import check_out_dir, put_in_place, work_folder
from rojak.errors import DataQualityError, InputError, RojakError


def test_two_at_once_are_kept_apart(tmp_path):
    second = work_folder(tmp_path / "out")
    with work_folder(tmp_path / "out"), pytest.raises(InputError, match="another rojak prepare"):
        second.__enter__()


@pytest.mark.parametrize(
    ("error", "stays"),
    [(KeyboardInterrupt, True), (RojakError, True), (DataQualityError, True), (InputError, False)],
)
def test_work_stays_where_it_can_be_continued(tmp_path, error, stays):
    with pytest.raises(error), work_folder(tmp_path / "out") as partial:
        (partial / "block").write_text("x")
        raise error
    assert (tmp_path / ".out.partial" / "block").exists() == stays
    assert not (tmp_path / "out").exists()


def test_the_new_takes_the_place_of_the_old(tmp_path):
    out = tmp_path / "out"
    (out / "data").mkdir(parents=True)
    (out / "data" / "old.parquet").write_text("old")
    (out / "mine.txt").write_text("mine")
    with work_folder(out) as partial:
        (partial / "data").mkdir()
        (partial / "data" / "new.parquet").write_text("new")
        put_in_place(partial, out)
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")) == [
        "out",
        "out/data",
        "out/data/new.parquet",
        "out/mine.txt",
    ]


def test_a_link_to_the_source_is_seen_through(tmp_path):
    (tmp_path / "source").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "source")
    with pytest.raises(InputError, match="holds the source itself"):
        check_out_dir(tmp_path / "source", tmp_path / "link")
    with pytest.raises(InputError, match="lies in the corpus"):
        check_out_dir(tmp_path / "link", tmp_path / "source" / "prepared")
    (tmp_path / "source" / "list.jsonl").touch()
    check_out_dir(tmp_path / "source" / "list.jsonl", tmp_path / "source" / "prepared")
