"""Credentials of Azure: OAuth tokens of each source end to end, against Azurite's OAuth mode over TLS;
SAS tokens; what is said when they are refused."""
import base64
import datetime
import hashlib
import hmac
import os
import time
import urllib.parse

import pytest

import azure
import dbtool
import procs
import replicas


@pytest.fixture(scope="module")
def secure(tmp_path_factory):
    """Azurite with TLS and OAuth, and the CA."""
    d = tmp_path_factory.mktemp("secure")
    ca, cert, key = azure.make_ca(d)
    server = azure.Azurite(d, "--oauth", "basic", "--cert", cert, "--key", key)
    server.ca, server.cert, server.key_file = ca, cert, key
    yield server
    server.kill()


@pytest.fixture
def container(secure):
    return azure.Container(secure.port, "c" + hex(time.time_ns())[2:], secure.ca)


@pytest.fixture
def service(secure):
    """Over TLS, for Entra."""
    s = azure.TokenService(secure.cert, secure.key_file)
    yield s
    s.close()


@pytest.fixture
def plain():
    """Without, for the identity endpoints of the machine itself."""
    s = azure.TokenService()
    yield s
    s.close()


@pytest.fixture(autouse=True)
def clean(monkeypatch):
    for name in list(os.environ):
        if name.startswith(("AZURE_", "IDENTITY_", "LITESTREAM_")):
            monkeypatch.delenv(name)


def place(container, path="app"):
    return "abs://%s@%s/%s?endpoint=%s" % (azure.ACCOUNT, container.name, path, endpoint(container))


def endpoint(container):
    return "https://127.0.0.1:%d/%s" % (container.port, azure.ACCOUNT)


def conf(tmp_path, db, container, **how):
    where = {"type": "abs", "account-name": azure.ACCOUNT, "bucket": container.name, "endpoint": endpoint(container),
             "path": "app", "sync-interval": "50ms", **how}
    return replicas.config(str(tmp_path / "oauth.yml"), {db: where})


def entra(secure, service, **more):
    return {"SSL_CERT_FILE": secure.ca, "AZURE_AUTHORITY_HOST": "https://127.0.0.1:%d" % service.port,
            "AZURE_TENANT_ID": service.TENANT, "AZURE_CLIENT_ID": service.CLIENT, **more}


def round_trip(holdfast, container, make_db, tmp_path, env):
    db = make_db(rows=100)
    c = conf(tmp_path, db, container)
    p = holdfast.start("replicate", "-config", c, env=env)
    for i in range(3):
        dbtool.commit(db, 1)
        procs.wait_until(lambda n=i: container.top("app") > n, why=p.text)
    assert p.stop() == 0, p.text()
    out = str(tmp_path / "copy.db")
    holdfast("restore", "-config", c, "-o", out, db, env=env).ok()
    dbtool.assert_same(db, out)
    return p.text()


def test_service_principal(secure, container, service, holdfast, make_db, tmp_path):
    env = entra(secure, service, AZURE_CLIENT_SECRET=service.SECRET)
    text = round_trip(holdfast, container, make_db, tmp_path, env)
    assert len(service.asked) == 2, "one token a process: %s" % service.asked
    assert service.SECRET not in text and service.token()[:40] not in text


def test_federated_token(secure, container, service, holdfast, make_db, tmp_path):
    file = tmp_path / "token"
    file.write_text("assertion.of.ours\n")
    env = entra(secure, service, AZURE_FEDERATED_TOKEN_FILE=str(file))
    round_trip(holdfast, container, make_db, tmp_path, env)


def test_container_app(secure, container, plain, holdfast, make_db, tmp_path):
    env = {"SSL_CERT_FILE": secure.ca, "IDENTITY_ENDPOINT": "http://127.0.0.1:%d/app/token" % plain.port,
           "IDENTITY_HEADER": "header-of-ours"}
    round_trip(holdfast, container, make_db, tmp_path, env)
    assert set(plain.asked) == {"/app/token"}


def test_machine(secure, container, plain, holdfast, make_db, tmp_path):
    env = {"SSL_CERT_FILE": secure.ca, "AZURE_POD_IDENTITY_AUTHORITY_HOST": "http://127.0.0.1:%d" % plain.port}
    plain.fail = 2  # it is allowed to be busy
    round_trip(holdfast, container, make_db, tmp_path, env)


def test_token_is_renewed(secure, container, service, holdfast, make_db, tmp_path):
    """A token of four seconds: renewed before its end, and an outage of the service costs nothing."""
    service.life = 4
    env = entra(secure, service, AZURE_CLIENT_SECRET=service.SECRET)
    db = make_db(rows=50)
    p = holdfast.start("replicate", "-config", conf(tmp_path, db, container), env=env)
    end = time.monotonic() + 7
    while time.monotonic() < end:
        dbtool.commit(db, 1)
        time.sleep(0.2)
    assert p.stop() == 0, p.text()
    assert len(service.asked) >= 3, service.asked
    assert "upload failed" not in p.text(), p.text()


def test_refusals(secure, container, service, holdfast, tmp_path):
    out = str(tmp_path / "x.db")
    env = entra(secure, service, AZURE_CLIENT_SECRET="wrong-secret")
    r = holdfast("restore", "-o", out, place(container), env=env)
    r.failed(12, "service principal", "invalid_client", "AADSTS7000215")
    assert "wrong-secret" not in r.err
    # a certificate nobody vouches for is not taken, with or without a token
    env = {"LITESTREAM_AZURE_ACCOUNT_KEY": azure.KEY}
    holdfast("restore", "-o", out, place(container), env=env).failed(12, "certificate")
    # no credentials at all, and no metadata service
    env = {"SSL_CERT_FILE": secure.ca, "AZURE_POD_IDENTITY_AUTHORITY_HOST": "http://127.0.0.1:1"}
    r = holdfast("restore", "-o", out, place(container), env=env)
    assert r.code != 0 and "account-key" in r.err, r.err
    # a token is not sent in the clear
    where = place(container).replace("https://", "http://")
    holdfast("restore", "-o", out, where, env=entra(secure, service, AZURE_CLIENT_SECRET="x")).failed(2, "https")


def account_sas(permissions, seconds=3600):
    end = (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")
    fields = [azure.ACCOUNT, permissions, "b", "sco", "", end, "", "https,http", "2021-12-02", ""]
    text = "".join(f + "\n" for f in fields)
    sig = hmac.new(base64.b64decode(azure.KEY), text.encode(), hashlib.sha256).digest()
    return urllib.parse.urlencode({"sv": "2021-12-02", "ss": "b", "srt": "sco", "sp": permissions, "se": end,
                                   "spr": "https,http", "sig": base64.b64encode(sig).decode()})


def test_sas(secure, container, holdfast, make_db, tmp_path):
    env = {"SSL_CERT_FILE": secure.ca, "LITESTREAM_AZURE_SAS_TOKEN": account_sas("rwdlac")}
    text = round_trip(holdfast, container, make_db, tmp_path, env)
    assert "sig=" not in text
    env["LITESTREAM_AZURE_SAS_TOKEN"] = account_sas("r")
    r = holdfast("restore", "-o", str(tmp_path / "x.db"), place(container), env=env)
    assert r.code == 12 and "SAS token" in r.err and "sig=" not in r.err, r.err


def until_refused(p, db):
    """Commits until an upload is refused because the SAS token has ended."""
    procs.wait_until(lambda: dbtool.commit(db) and "the SAS token ended at" in p.text(), timeout=60, every=0.3, why=p.text)


def test_sas_ends_and_its_file_is_renewed(secure, container, holdfast, make_db, tmp_path):
    """In mid-replication: one error that says when it ended and where a new one belongs; then all goes on by itself."""
    file = tmp_path / "sas"
    file.write_text(account_sas("rwdlac", seconds=6) + "\n")
    db = make_db(rows=50)
    c = conf(tmp_path, db, container, **{"sas-token-path": str(file)})
    env = {"SSL_CERT_FILE": secure.ca}
    p = holdfast.start("replicate", "-config", c, env=env)
    procs.wait_until(lambda: container.top("app"), why=p.text)
    until_refused(p, db)
    file.write_text("?" + account_sas("rwdlac"))
    procs.wait_until(lambda: "msg=recovered" in p.text(), timeout=60, why=p.text)
    dbtool.commit(db)
    assert p.stop() == 0, p.text()
    assert p.text().count("upload failed") == 1 and str(file) in p.text() and "sig=" not in p.text(), p.text()
    out = str(tmp_path / "copy.db")
    holdfast("restore", "-config", c, "-o", out, db, env=env).ok()
    dbtool.assert_same(db, out)
    file.write_text("\n")
    holdfast("restore", "-config", c, "-o", out + "2", db, env=env).failed(2, "holds no SAS token")


def test_sas_of_the_configuration_ends(secure, container, holdfast, make_db, tmp_path):
    """There is no other to be had: one error, nothing is lost, a restart with a new one goes on."""
    db = make_db(rows=50)
    env = {"SSL_CERT_FILE": secure.ca}
    c = conf(tmp_path, db, container, **{"sas-token": account_sas("rwdlac", seconds=6)})
    with open(c, "a") as f:
        f.write("shutdown-sync-timeout: 500ms\n")
    p = holdfast.start("replicate", "-config", c, env=env)
    procs.wait_until(lambda: container.top("app"), why=p.text)
    until_refused(p, db)
    time.sleep(1)
    p.stop()
    assert p.text().count("upload failed") == 1 and "sas-token-path" in p.text(), p.text()
    c = conf(tmp_path, db, container, **{"sas-token": account_sas("rwdlac")})
    p = holdfast.start("replicate", "-config", c, env=env)
    out = str(tmp_path / "copy.db")

    def same():
        replicas.remove_db(out)
        return holdfast("restore", "-config", c, "-o", out, db, env=env).code == 0 and dbtool.digest(out) == dbtool.digest(db)
    procs.wait_until(same, timeout=60, every=0.3, why=p.text)
    assert p.stop() == 0, p.text()
