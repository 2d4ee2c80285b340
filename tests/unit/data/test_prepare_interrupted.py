"""`rojak prepare` with a failing disk and Ctrl-C: nothing half-written is left behind or trusted, and work goes on."""

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from preparing import change, files_of, records, run

from rojak.data import prepare as prepare_module
from rojak.errors import InputError, RojakError


@pytest.mark.parametrize(
    ("code", "message"),
    [(errno.ENOSPC, "the disk is full"), (errno.EACCES, "no permission"), (errno.EIO, "Input/output error")],
)
def test_a_failing_disk_leaves_nothing_behind(make_corpus, tmp_path, monkeypatch, code, message):
    def fail(*_):
        raise OSError(code, os.strerror(code))

    root = make_corpus(3)
    monkeypatch.setattr(prepare_module, "_write_descriptions", fail)
    with pytest.raises(RojakError, match=message):
        run(root, tmp_path / "out")
    assert [p.name for p in tmp_path.iterdir()] == ["corpus"]


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
def test_no_permission(make_corpus, tmp_path):
    root = make_corpus(3)
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(InputError, match="no permission to write"):
        run(root, tmp_path / "locked" / "out")


def test_a_full_disk_in_a_worker(make_corpus, tmp_path):
    """A limit on file size stands in for a full disk; it strikes inside Parquet's writer, in another process."""
    root = make_corpus(40)
    script = (
        "import resource, signal, sys\nfrom pathlib import Path\n"
        "from rojak.data.prepare import prepare\nfrom rojak.errors import RojakError\n"
        "if __name__ == '__main__':\n"
        "    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))\n"
        "    try:\n        prepare(Path(sys.argv[1]), Path(sys.argv[2]), workers=1)\n"
        "    except RojakError as error:\n        print(error)\n"
    )
    (tmp_path / "run.py").write_text(script)
    done = subprocess.run(
        [sys.executable, tmp_path / "run.py", root, tmp_path / "out"], capture_output=True, text=True, check=True
    )
    assert "Cannot use" in done.stdout and "the file would be larger than" in done.stdout
    assert sorted(p.name for p in tmp_path.iterdir()) == ["corpus", "run.py"]


def test_after_ctrl_c_it_goes_on_where_it_stopped(make_corpus, tmp_path):
    root = make_corpus(100)
    script = (
        "import signal, sys, time\nfrom pathlib import Path\nfrom rojak.data.prepare import prepare\n"
        "if __name__ == '__main__':\n"
        "    signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # ignored in what a shell starts with &
        "    def slowly(text):\n        time.sleep(0.05)\n        return 1\n"
        "    try:\n        prepare(Path(sys.argv[1]), Path(sys.argv[2]), workers=1, count_tokens=slowly)\n"
        "    except KeyboardInterrupt:\n        print('interrupted')\n"
    )
    (tmp_path / "run.py").write_text(script)
    process = subprocess.Popen(
        [sys.executable, tmp_path / "run.py", root, tmp_path / "out"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob(".out.partial/blocks/*.json")) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert stdout == "interrupted\n", stderr
    assert "Traceback" not in stderr
    assert not (tmp_path / "out").exists()
    with pytest.raises(ProcessLookupError):
        while time.monotonic() < deadline:
            os.killpg(process.pid, 0)
            time.sleep(0.02)
    done = [path.name for path in tmp_path.glob(".out.partial/blocks/*.json")]
    assert 1 <= len(done) < 4

    def one(text):
        return 1

    summary = run(root, tmp_path / "out", count_tokens=one)
    assert summary.audio_s < sum(r.duration for r in records(tmp_path / "out").values()) - 30
    run(root, tmp_path / "fresh" / "out", count_tokens=one)
    assert files_of(tmp_path / "out") == files_of(tmp_path / "fresh" / "out")
    assert not (tmp_path / ".out.partial").exists()


def test_ctrl_c_while_workers_start_leaves_no_traceback(make_corpus, tmp_path):
    script = (
        "import signal, sys\nfrom pathlib import Path\nfrom rojak.data.prepare import prepare\n"
        "if __name__ == '__main__':\n"
        "    signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "    try:\n        prepare(Path(sys.argv[1]), Path(sys.argv[2]), workers=1)\n"
        "    except KeyboardInterrupt:\n        print('interrupted')\n"
    )
    (tmp_path / "run.py").write_text(script)
    process = subprocess.Popen(
        [sys.executable, tmp_path / "run.py", make_corpus(40), tmp_path / "out"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        started = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in children.read_text().split()]
        if any(b"spawn_main" in command for command in started):
            break
        time.sleep(0.01)
    time.sleep(0.25)  # the worker is importing now
    os.killpg(process.pid, signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert (stdout, stderr) == ("interrupted\n", "")


def test_left_over_work_is_only_used_when_it_is_the_same_and_whole(make_corpus, tmp_path, monkeypatch):
    root = make_corpus(70)

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(prepare_module, "_write_shards", stop)
    with pytest.raises(KeyboardInterrupt):
        run(root, tmp_path / "out")
    monkeypatch.undo()
    blocks = tmp_path / ".out.partial" / "blocks"
    assert len(list(blocks.glob("*.json"))) == 3
    change(root, c40={"text": "lain"})
    (blocks / "block-000002.parquet").write_bytes(b"torn")
    summary = run(root, tmp_path / "out")
    found = records(tmp_path / "out")
    assert len(found) == 70
    assert found["c40"].text == "lain"
    assert summary.audio_s == pytest.approx(sum(found[f"c{i}"].duration for i in range(32, 70)))
