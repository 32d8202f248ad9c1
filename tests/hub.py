"""A stand-in for the Hugging Face Hub: the part of its HTTP interface that uploads and downloads use."""

import base64
import hashlib
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "c" * 40


def as_json(values, status=200, headers=None):
    return json.dumps(values).encode(), status, {"Content-Type": "application/json", **(headers or {})}


def described(content):
    return {"size": len(content), "oid": hashlib.sha1(content).hexdigest()}


NO_REPOSITORY = as_json({"error": "Repository not found"}, 404, {"X-Error-Code": "RepoNotFound"})


class _Hub(BaseHTTPRequestHandler):
    """One commit per repository; every file is uploaded within the commit."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send(*self.posted(body))

    def do_GET(self):
        self.send(*self.got())

    def do_HEAD(self):
        self.send(*self.got())

    def posted(self, body):
        """Content, status and headers of the answer to a POST."""
        parts, hub = self.parts(), self.server
        if parts[-2:] == ["repos", "create"]:
            wanted = json.loads(body)
            name = f"{wanted.get('organization', 'me')}/{wanted['name']}"
            hub.repositories.setdefault(name, {})
            hub.private[name] = wanted.get("private", wanted.get("visibility") == "private")  # by the client's version
            return as_json({"url": f"{hub.url}/{name}", "name": name})
        if parts[-1] == "validate-yaml":
            return as_json({"errors": [], "warnings": []})
        name = "/".join(parts[2:4])
        if name not in hub.repositories:
            return NO_REPOSITORY
        if "preupload" in parts:
            files = json.loads(body)["files"]
            return as_json({"files": [{**file, "uploadMode": "regular", "shouldIgnore": False} for file in files]})
        for entry in map(json.loads, body.splitlines()):
            if entry["key"] == "file":
                value = entry["value"]
                hub.repositories[name][value["path"]] = base64.b64decode(value["content"])
        return as_json({"commitUrl": f"{hub.url}/{name}/commit/{COMMIT}", "commitOid": COMMIT})

    def got(self):
        """Content, status and headers of the answer to a GET."""
        parts, repositories = self.parts(), self.server.repositories
        if parts[0] == "api" and parts[1] != "models":
            return as_json({"error": "there is no such page"}, 404)
        if parts[0] != "api":
            content = repositories["/".join(parts[:2])]["/".join(parts[4:])]
            return content, 200, {"ETag": f'"{hashlib.sha1(content).hexdigest()}"', "X-Repo-Commit": COMMIT}
        name = "/".join(parts[2:4])
        if name not in repositories:
            return NO_REPOSITORY
        if "tree" not in parts:
            siblings = [{"rfilename": path} for path in repositories[name]]
            return as_json({"id": name, "sha": COMMIT, "siblings": siblings})
        files = repositories[name].items()
        return as_json([{"type": "file", "path": path, **described(content)} for path, content in files])

    def parts(self):
        return self.path.split("?")[0].strip("/").split("/")

    def send(self, content, status, headers):
        self.send_response(status)
        for key, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *arguments):
        pass


@contextmanager
def stand_in():
    """A server on this machine whose `url` huggingface_hub takes as HF_ENDPOINT.

    Its `repositories` are the files of each by path, `private` is what was asked of each.
    """
    with ThreadingHTTPServer(("127.0.0.1", 0), _Hub) as server:
        server.url = f"http://127.0.0.1:{server.server_port}"
        server.repositories, server.private = {}, {}
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server
        finally:
            server.shutdown()
