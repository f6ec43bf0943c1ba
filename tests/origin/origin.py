"""An HTTPS origin for the tests and the demo: static files, a git repository and a package index.

Usage: python3 -c "$(cat origin.py)" NAME…   (in a container of the base image; NAMEs are its host names)

It makes its own authority and certificate, /tmp/origin/ca.pem, and prints `ready` when both ports listen:
443 with TLS and 80 without. Every file is the same on both.
"""

import http.server
import os
import ssl
import subprocess
import sys
import threading
import zipfile

ROOT = "/tmp/origin"
WWW = f"{ROOT}/www"


def run(*words, cwd=None):
    subprocess.run(words, cwd=cwd, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def certificate(names):
    """A fresh authority and one leaf for all names."""
    run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=agentnet test origin",
        "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign",
        "-keyout", f"{ROOT}/ca.key", "-out", f"{ROOT}/ca.pem")
    run("openssl", "req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={names[0]}",
        "-keyout", f"{ROOT}/leaf.key", "-out", f"{ROOT}/leaf.csr")
    with open(f"{ROOT}/extensions", "w") as file:
        file.write("subjectAltName=" + ",".join(f"DNS:{name}" for name in names) + "\n")
        file.write("basicConstraints=CA:FALSE\nauthorityKeyIdentifier=keyid\n")
    run("openssl", "x509", "-req", "-days", "2", "-in", f"{ROOT}/leaf.csr", "-CA", f"{ROOT}/ca.pem",
        "-CAkey", f"{ROOT}/ca.key", "-CAcreateserial", "-extfile", f"{ROOT}/extensions", "-out", f"{ROOT}/leaf.pem")


def repository():
    """A bare repository that a client of git's dumb protocol can clone."""
    tree = f"{ROOT}/tree"
    run("git", "init", "--quiet", "--initial-branch=main", tree)
    with open(f"{tree}/README", "w") as file:
        file.write("cloned through the fence\n")
    run("git", "add", "README", cwd=tree)
    run("git", "-c", "user.name=origin", "-c", "user.email=origin@example.org", "commit", "--quiet", "-m", "First", cwd=tree)
    run("git", "clone", "--quiet", "--bare", tree, f"{WWW}/sample.git")
    run("git", "update-server-info", cwd=f"{WWW}/sample.git")


def package():
    """A wheel in a PEP 503 index."""
    directory = f"{WWW}/simple/agentnet-sample"
    os.makedirs(directory)
    wheel = "agentnet_sample-1.0-py3-none-any.whl"
    info = "agentnet_sample-1.0.dist-info"
    files = {
        "agentnet_sample.py": "WORD = 'installed through the fence'\n",
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: agentnet-sample\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: origin\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(f"{directory}/{wheel}", "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    with open(f"{directory}/index.html", "w") as file:
        file.write(f'<a href="{wheel}">{wheel}</a>')


class Handler(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, *words):
        super().__init__(*words, directory=WWW)

    def do_POST(self):
        """Takes all of it, and says how much that was."""
        sent = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        text = f"took {len(sent)} bytes\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format, *words):
        sys.stderr.write(f"{self.headers.get('Host')} {self.requestline}\n")


class Server(http.server.ThreadingHTTPServer):
    tls = None

    def finish_request(self, request, client_address):
        # The handshake happens in the connection's own thread, so that a silent client blocks nobody.
        if self.tls:
            request.settimeout(30)
            request = self.tls.wrap_socket(request, server_side=True)
        super().finish_request(request, client_address)

    def handle_error(self, request, client_address):
        sys.stderr.write(f"{client_address}: {sys.exc_info()[1]}\n")


def main(names):
    os.makedirs(WWW)
    with open(f"{WWW}/hello", "w") as file:
        file.write("hello from the origin\n")
    with open(f"{WWW}/megabyte", "wb") as file:
        file.write(bytes(range(256)) * 4096)
    certificate(names)
    repository()
    package()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(f"{ROOT}/leaf.pem", f"{ROOT}/leaf.key")
    plain, secure = Server(("", 80), Handler), Server(("", 443), Handler)
    secure.tls = tls
    threading.Thread(target=plain.serve_forever, daemon=True).start()
    print("ready", flush=True)
    secure.serve_forever()


main(sys.argv[1:])
