"""``strongroom.testing``, as projects use it: each in a folder and a process of its own."""

import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from server_processes import wait_until

SAMPLE = Path(__file__).parents[2] / "demo" / "testing"
WITHOUT_BOTO3 = """
    import sys

    class Missing:
        def find_spec(self, name, path=None, target=None):
            if name in {"boto3", "botocore"}:
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    sys.meta_path.insert(0, Missing())
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return an empty folder that is no part of this project's tests."""
    (tmp_path / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    return tmp_path


def pytest_in(project: Path, *options: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options]
    # Not with options that are meant for this run.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def write(project: Path, name: str, text: str) -> None:
    (project / name).write_text(textwrap.dedent(text))


def test_the_sample_project_passes(project: Path) -> None:
    shutil.copytree(SAMPLE, project, dirs_exist_ok=True)
    code, said = pytest_in(project)
    assert code == 0, said
    passed = re.search(r"(\d+) passed", said)
    assert passed is not None
    assert int(passed[1]) >= 12
    assert "warning" not in said


def test_each_worker_of_xdist_has_a_server_and_each_test_an_account(project: Path) -> None:
    write(
        project,
        "test_both.py",
        """
        import pathlib
        import pytest

        @pytest.mark.parametrize("number", range(6))
        def test_account(strongroom_server, strongroom_account, worker_id, number):
            used = (strongroom_server.url, strongroom_account.account)
            pathlib.Path(f"{number}.used").write_text(" ".join((worker_id, *used)))
        """,
    )
    code, said = pytest_in(project, "-n", "2")
    assert code == 0, said
    used = [path.read_text().split() for path in project.glob("*.used")]
    assert len({account for _, _, account in used}) == 6
    assert len({(worker, url) for worker, url, _ in used}) == len({worker for worker, _, _ in used})


def test_nothing_but_a_client_needs_boto3(project: Path) -> None:
    write(project, "conftest.py", WITHOUT_BOTO3)
    write(
        project,
        "test_plain.py",
        """
        import os
        import pytest

        def test_environment(strongroom_environment, strongroom_clock, strongroom_faults):
            assert os.environ["AWS_ACCESS_KEY_ID"] == strongroom_environment.access_key_id
            strongroom_clock.advance(days=7)
            strongroom_faults.throttle("Encrypt", times=3)
            with pytest.raises(ModuleNotFoundError, match=r"pip install 'strongroom\\[testing\\]'"):
                strongroom_environment.client()
        """,
    )
    code, said = pytest_in(project)
    assert code == 0, said


def test_a_server_that_does_not_start_is_one_line(project: Path) -> None:
    write(
        project,
        "test_options.py",
        """
        import pytest

        @pytest.fixture(scope="session")
        def strongroom_options():
            return {"account": "12"}

        def test_it(strongroom_account):
            pass
        """,
    )
    code, said = pytest_in(project, "-q")
    assert code == 1
    assert "strongroom dev did not start: --account is not valid" in said
    assert "Traceback" not in said
    assert len(said.splitlines()) < 12


def test_what_a_test_does_to_clock_faults_and_variables_ends_with_it(project: Path) -> None:
    write(
        project,
        "test_after.py",
        """
        import os
        import boto3

        def test_first(kms, strongroom_environment, strongroom_clock, strongroom_faults):
            strongroom_clock.advance(days=7)
            strongroom_faults.throttle("ListKeys")
            assert boto3.client("sts").get_caller_identity()["Account"] == strongroom_environment.account

        def test_second(strongroom_server):
            assert "AWS_ENDPOINT_URL_KMS" not in os.environ
            assert strongroom_server.clock.ahead().total_seconds() == 0
            assert strongroom_server.account.client().list_keys()["ResponseMetadata"]["RetryAttempts"] == 0
        """,
    )
    code, said = pytest_in(project)
    assert code == 0, said


def test_unittest_and_a_function_with_a_server(project: Path) -> None:
    write(
        project,
        "test_plain_unittest.py",
        """
        import os
        import unittest
        import boto3
        from strongroom import testing

        class First(testing.StrongroomTestCase):
            seen = set()

            def check(self):
                self.assertEqual(self.kms.list_keys()["Keys"], [])
                self.kms.create_key()
                self.clock.advance(days=1)
                self.faults.throttle("ListAliases")
                self.assertNotIn(self.account.account, self.seen)
                self.seen.add(self.account.account)

            test_one = test_two = check

        class Second(testing.StrongroomTestCase):
            def test_server_is_shared(self):
                self.assertTrue(First.seen)
                self.assertEqual(self.clock.ahead().total_seconds(), 0)

        class Third(unittest.TestCase):
            @testing.server(regions=["eu-west-1"], environment=True)
            def test_decorated(self):
                self.assertEqual(boto3.client("kms").meta.region_name, "eu-west-1")
                self.assertEqual(boto3.client("kms").list_keys()["Keys"], [])

            def test_variables_are_gone(self):
                self.assertNotIn("AWS_ENDPOINT_URL_KMS", os.environ)
        """,
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "unittest", "-v", "test_plain_unittest"],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Ran 5 tests" in done.stderr
    assert "Warning" not in done.stderr


def test_the_server_ends_with_the_process_that_started_it(project: Path) -> None:
    script = """
    import os, signal
    from strongroom.testing.server import start
    server = start()
    print(server.data, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
    """
    write(project, "killed.py", script)
    # The server has the standard error of a file, and no other pipe of ours.
    done = subprocess.run([sys.executable, "killed.py"], cwd=project, capture_output=True, text=True, check=False)
    data = Path(done.stdout.strip())
    assert data.name.startswith("strongroom-dev-")
    wait_until(lambda: not data.exists())


def test_a_forked_child_does_not_keep_the_server(project: Path) -> None:
    script = """
        import os, signal
        from strongroom.testing import server

        with server() as dev:
            child = os.fork()
            if child == 0:
                signal.pause()
        print(dev.data.exists())
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    """
    write(project, "forks.py", script)
    done = subprocess.run([sys.executable, "forks.py"], cwd=project, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("False\n", "")
