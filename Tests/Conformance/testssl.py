#!/usr/bin/env python3
"""Runs testssl.sh against a TLS listener of ours, and fails on anything above LOW.

  git clone --depth 1 https://github.com/testssl/testssl.sh ~/testssl
  python3 Tests/Conformance/testssl.py --portico .build/release/portico --testssl ~/testssl/testssl.sh

testssl.sh is a bash script and comes from its own repository; it needs openssl and hexdump. A whole
run takes about four minutes. Options behind `--` go to testssl.sh: `-- -p -U` tests protocols and
vulnerabilities alone.

Certificates are made here: P-256 and RSA side by side under an authority of our own, with a place for
its revocation list, which testssl.sh insists on. What it says of header fields is about the backend
and about the route's `response_headers`, so the route sets what a careful operator would.
"""
import argparse
import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import time

BAD = {"MEDIUM", "HIGH", "CRITICAL", "FATAL"}

EXTENSIONS = """subjectAltName=DNS:localhost,IP:127.0.0.1
basicConstraints=CA:FALSE
keyUsage=digitalSignature
extendedKeyUsage=serverAuth
crlDistributionPoints=URI:http://127.0.0.1/authority.crl
"""

DOOR = """listeners:
  - address: 127.0.0.1:{port}
    tls:
      hosts:
        - certificates:
            - {{certificate: ec.pem, key: ec.key}}
            - {{certificate: rsa.pem, key: rsa.key}}
admin:
  address: 127.0.0.1:{admin}
pools:
  - name: engines
    backends:
      - address: 127.0.0.1:{engine}
routes:
  - pool: engines
    response_headers:
      set:
        Strict-Transport-Security: max-age=31536000
        X-Content-Type-Options: nosniff
        Content-Security-Policy: "default-src 'none'"
"""


def openssl(folder, *words):
    subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)


def make_certificates(folder):
    """An authority, and under it localhost with a P-256 and an RSA key."""
    (folder / "extensions").write_text(EXTENSIONS)
    openssl(folder, "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "authority.key")
    openssl(folder, "req", "-x509", "-new", "-key", "authority.key", "-out", "authority.pem",
            "-days", "90", "-subj", "/CN=Portico Test Authority")
    openssl(folder, "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "ec.key")
    openssl(folder, "genrsa", "-out", "rsa.key", "2048")
    for kind in ("ec", "rsa"):
        openssl(folder, "req", "-new", "-key", f"{kind}.key", "-subj", "/CN=localhost",
                "-out", f"{kind}.csr")
        openssl(folder, "x509", "-req", "-in", f"{kind}.csr", "-CA", "authority.pem",
                "-CAkey", "authority.key", "-days", "80", "-extfile", "extensions",
                "-out", f"{kind}.pem")


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def wait_for(port, process):
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if process.poll() is not None:
            sys.exit(f"{process.args[0]} ended with {process.returncode} before it served")
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    sys.exit(f"nothing listens on port {port} after 10 s")


def without_resolver(folder):
    """testssl.sh wants a resolver even for an address; where there is none, one that knows nothing
    is enough."""
    path = os.environ["PATH"]
    names = ("dig", "host", "drill", "nslookup")
    if any(os.access(os.path.join(p, n), os.X_OK) for p in path.split(":") for n in names):
        return path
    tools = folder / "tools"
    tools.mkdir()
    (tools / "host").write_text("#!/bin/sh\nexit 1\n")
    (tools / "host").chmod(0o755)
    return f"{tools}:{path}"


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--portico", required=True, type=pathlib.Path)
    parser.add_argument("--testssl", required=True, type=pathlib.Path)
    parser.add_argument("-v", action="store_true", help="show testssl.sh's own report")
    parser.add_argument("rest", nargs="*", help="options for testssl.sh, behind --")
    options = parser.parse_args()
    portico = str(options.portico.resolve())
    with tempfile.TemporaryDirectory(prefix="portico-testssl-") as name:
        folder = pathlib.Path(name)
        make_certificates(folder)
        port, admin, engine = free_ports(3)
        (folder / "door.yaml").write_text(DOOR.format(port=port, admin=admin, engine=engine))
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        processes = []
        try:
            processes.append(
                subprocess.Popen([portico, "mock", "--listen", f"127.0.0.1:{engine}"], **quiet))
            wait_for(engine, processes[-1])
            processes.append(
                subprocess.Popen([portico, "run", "-c", str(folder / "door.yaml")], **quiet))
            wait_for(port, processes[-1])
            shown = None if options.v else subprocess.DEVNULL
            subprocess.run(
                ["bash", str(options.testssl.resolve()), *options.rest, "--quiet", "--warnings",
                 "off", "--color", "0", "--nodns", "none", "--add-ca", str(folder / "authority.pem"),
                 "--jsonfile", str(folder / "out.json"), f"https://127.0.0.1:{port}/v1/models"],
                stdin=subprocess.DEVNULL, stdout=shown, stderr=shown,
                env={**os.environ, "PATH": without_resolver(folder)})
        finally:
            for process in processes:
                process.terminate()
            for process in processes:
                process.wait()
        findings = json.loads((folder / "out.json").read_text())
    bad = [f for f in findings if f["severity"] in BAD]
    for f in findings:
        if f["severity"] not in ("OK", "INFO"):
            print(f"{f['severity']:8} {f['id']}: {f['finding']}")
    print(f"{len(findings)} findings, {len(bad)} above LOW")
    # A scan that broke off has found nothing, and proves nothing.
    return 1 if bad or not any(f["severity"] == "OK" for f in findings) else 0


if __name__ == "__main__":
    sys.exit(main())
