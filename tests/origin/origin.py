"""An HTTPS origin for the tests and the demo: static files, a git repository, and what the clients of registries and
models ask for.

Usage: python3 -c "$(cat origin.py)" NAME…   (in a container of the base image; NAMEs are its host names)

It makes its own authority and certificate, /tmp/origin/ca.pem, and prints `ready` when both ports listen:
443 with TLS and 80 without. Every file is the same on both. A POST is answered as a model's API would (`model`).
"""

import base64
import hashlib
import http.server
import io
import json
import os
import ssl
import subprocess
import sys
import tarfile
import threading
import time
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


def put(path, content):
    """A file of the site."""
    path = f"{WWW}/{path}"
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(content if isinstance(content, bytes) else content.encode())


def tarball(directory, files):
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(f"{directory}/{name}")
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    return made.getvalue()


def npm(site):
    """A package document and its tarball, for npm, pnpm and Yarn."""
    manifest = {"name": "agentnet-sample", "version": "1.0.0"}
    packed = tarball("package", {"package.json": json.dumps(manifest), "WORD": "installed through the fence\n"})
    put("npm-files/agentnet-sample-1.0.0.tgz", packed)
    integrity = "sha512-" + base64.b64encode(hashlib.sha512(packed).digest()).decode()
    dist = {"tarball": f"{site}/npm-files/agentnet-sample-1.0.0.tgz", "integrity": integrity,
            "shasum": hashlib.sha1(packed).hexdigest()}
    put("npm/agentnet-sample", json.dumps({
        "name": "agentnet-sample", "dist-tags": {"latest": "1.0.0"}, "time": {"1.0.0": "2020-01-01T00:00:00.000Z"},
        "versions": {"1.0.0": {**manifest, "dist": dist}}}))


def cargo(site):
    """A sparse index and its crate."""
    manifest = '[package]\nname = "agentnet-sample"\nversion = "1.0.0"\n'
    packed = tarball("agentnet-sample-1.0.0", {"Cargo.toml": manifest, "src/lib.rs": ""})
    put("cargo/agentnet-sample-1.0.0.crate", packed)
    put("cargo/config.json", json.dumps({"dl": f"{site}/cargo/{{crate}}-{{version}}.crate"}))
    put("cargo/ag/en/agentnet-sample", json.dumps({
        "name": "agentnet-sample", "vers": "1.0.0", "deps": [], "features": {}, "yanked": False,
        "cksum": hashlib.sha256(packed).hexdigest()}) + "\n")


def maven():
    """A parent for a pom."""
    pom = ("<project><modelVersion>4.0.0</modelVersion><groupId>org.example</groupId><artifactId>sample</artifactId>"
           "<version>1.0</version><packaging>pom</packaging></project>")
    put("maven/org/example/sample/1.0/sample-1.0.pom", pom)
    put("maven/org/example/sample/1.0/sample-1.0.pom.sha1", hashlib.sha1(pom.encode()).hexdigest())


def go():
    """A module, as GOPROXY has it."""
    module = "module example.org/sample\n"
    put("go/example.org/sample/@v/v1.0.0.info", '{"Version": "v1.0.0"}')
    put("go/example.org/sample/@v/v1.0.0.mod", module)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("example.org/sample@v1.0.0/go.mod", module)
    put("go/example.org/sample/@v/v1.0.0.zip", packed.getvalue())


ANSWER = "answered through the fence"


def stream(*events):
    """Server-sent events, as model APIs send them."""
    names = [f"event: {event['type']}\n" if "type" in event else "" for event in events]
    return "".join(f"{name}data: {json.dumps(event)}\n\n" for name, event in zip(names, events))


def of_messages(step, number):
    """A step in the words of the Messages API: the use of a tool, or what is said at the end."""
    message = {"id": f"msg_{number}", "type": "message", "role": "assistant", "model": "sample", "content": [],
               "stop_reason": None, "stop_sequence": None, "usage": {"input_tokens": 1, "output_tokens": 1}}
    block, delta, why = {"type": "text", "text": ""}, {"type": "text_delta", "text": step}, "end_turn"
    if isinstance(step, dict):
        block = {"type": "tool_use", "id": f"toolu_{number}", "name": step["tool"], "input": {}}
        delta, why = {"type": "input_json_delta", "partial_json": json.dumps(step["input"])}, "tool_use"
    return stream({"type": "message_start", "message": message},
                  {"type": "content_block_start", "index": 0, "content_block": block},
                  {"type": "content_block_delta", "index": 0, "delta": delta},
                  {"type": "content_block_stop", "index": 0},
                  {"type": "message_delta", "delta": {"stop_reason": why, "stop_sequence": None},
                   "usage": {"output_tokens": 3}},
                  {"type": "message_stop"})


def of_responses(step, number):
    """The same in those of the Responses API."""
    item = {"type": "message", "id": f"msg_{number}", "status": "completed", "role": "assistant",
            "content": [{"type": "output_text", "text": step, "annotations": []}]}
    if isinstance(step, dict):
        item = {"type": "function_call", "id": f"fc_{number}", "call_id": f"call_{number}", "name": step["tool"],
                "arguments": json.dumps(step["input"])}
    usage = {"input_tokens": 1, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": 3,
             "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 4}
    return stream({"type": "response.created", "response": {"id": f"resp_{number}"}},
                  {"type": "response.output_item.done", "output_index": 0, "item": item},
                  {"type": "response.completed", "response": {"id": f"resp_{number}", "usage": usage}})


def of_gemini():
    """One streamed answer, whatever is asked."""
    return stream(
        {"candidates": [{"content": {"role": "model", "parts": [{"text": ANSWER}]}, "finishReason": "STOP", "index": 0}],
         "usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": 3, "totalTokenCount": 4}})


def model(path, sent):
    """What a model answers: the next step of the script (`/tmp/origin/steps.json`, a list), where there is one and the
    request offers tools. As many steps are done as the conversation has results of tools; the last one is said for
    ever. Every request with tools is kept, a line each, in `/tmp/origin/asked.jsonl`."""
    if path.endswith(":streamGenerateContent"):
        return of_gemini()
    speak = {"/v1/messages": of_messages, "/v1/responses": of_responses}.get(path)
    if not speak:
        return None
    try:
        asked = json.loads(sent)
        with open(f"{ROOT}/steps.json") as file:
            steps = json.load(file)
    except (OSError, ValueError):
        return speak(ANSWER, 1)
    if not asked.get("tools"):
        return speak(ANSWER, 1)
    with open(f"{ROOT}/asked.jsonl", "a") as file:
        file.write(json.dumps(asked) + "\n")
    said = [part for turn in asked.get("messages", []) if isinstance(turn["content"], list) for part in turn["content"]]
    said += [part for part in asked.get("input", []) if isinstance(part, dict)]
    done = sum(part.get("type") in ("tool_result", "function_call_output") for part in said)
    return speak(steps[min(done, len(steps) - 1)], done + 1)


class Login:
    """A login that is renewed with a token which is good for once, as those of agents are: who uses one again is logged
    out. A renewal takes a while, so that two at a time meet."""

    def __init__(self):
        self.lock = threading.Lock()
        self.renewed = 0

    def renew(self, sent):
        """An answer and its status. The first token is `renew-0`."""
        time.sleep(0.5)
        with self.lock:
            is_good = f"renew-{self.renewed}".encode() in sent
            self.renewed += is_good
            next_one = f"renew-{self.renewed}"
        if not is_good:
            sys.stderr.write("a token that was used before\n")
            # Whoever used it first has written its new one by then.
            time.sleep(1)
            return 400, {"error": "invalid_grant"}
        token = jwt(int(time.time()) + 3600)
        return 200, {"access_token": token, "id_token": token, "refresh_token": next_one, "token_type": "Bearer",
                     "expires_in": 3600, "scope": "user:inference user:profile"}


def jwt(expires):
    """A token with a time, as clients read it; nobody signed it."""
    claims = {"exp": expires, "email": "me@example.org",
              "https://api.openai.com/auth": {"chatgpt_plan_type": "pro", "chatgpt_account_id": "me"}}
    parts = ({"alg": "none", "typ": "JWT"}, claims, "unsigned")
    return ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts)


class Handler(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    login = Login()

    def __init__(self, *words):
        super().__init__(*words, directory=WWW)

    def do_POST(self):
        """Takes all of it, and says how much that was, or what a model says."""
        sent = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path, status = self.path.split("?")[0], 200
        said = model(path, sent)
        kind = "text/event-stream" if said else "text/plain"
        if path.endswith("/oauth/token"):
            status, answer = self.login.renew(sent)
            said, kind = json.dumps(answer), "application/json"
        text = (said or f"took {len(sent)} bytes\n").encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
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
    site = f"https://{names[0]}"
    npm(site)
    cargo(site)
    maven()
    go()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(f"{ROOT}/leaf.pem", f"{ROOT}/leaf.key")
    plain, secure = Server(("", 80), Handler), Server(("", 443), Handler)
    secure.tls = tls
    threading.Thread(target=plain.serve_forever, daemon=True).start()
    print("ready", flush=True)
    secure.serve_forever()


main(sys.argv[1:])
