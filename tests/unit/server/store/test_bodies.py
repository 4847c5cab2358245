"""Contents being received, on a disk that takes no more: a limit on the size of files refuses them for real."""

import contextlib
import resource

import pytest

from relayfile.errors import Unavailable
from relayfile.server.store.bodies import BlobFolder


@contextlib.contextmanager
def no_room_behind(size):
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, usual[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)


def received(blobs, pieces):
    with blobs.receive() as incoming:
        for piece in pieces:
            incoming.write(piece)
        return incoming.read()


@pytest.fixture
def blobs(tmp_path):
    return BlobFolder(tmp_path / "blobs")


@pytest.mark.parametrize("pieces", [[b"x" * 10_000], [b"x" * 5_000] * 3, [b"x" * 4_096, b"x"]])
def test_a_piece_that_the_disk_refuses_is_told_once_and_removed(blobs, tmp_path, pieces):
    with no_room_behind(4_096):
        with pytest.raises(Unavailable) as refused:
            received(blobs, pieces)
        assert refused.value.code == "storage_unavailable"
        assert not list((tmp_path / "blobs" / "incoming").iterdir())


def test_what_is_not_wanted_any_more_is_removed_although_the_disk_refuses_its_last_bytes(blobs, tmp_path):
    with no_room_behind(0), contextlib.suppress(KeyError), blobs.receive() as incoming:
        incoming.write(b"in the buffer")
        raise KeyError
    assert not list((tmp_path / "blobs" / "incoming").iterdir())


def test_a_folder_that_takes_no_new_file_is_a_refusal_too(blobs, tmp_path):
    (tmp_path / "blobs" / "incoming").rmdir()
    with pytest.raises(Unavailable):
        blobs.receive()
