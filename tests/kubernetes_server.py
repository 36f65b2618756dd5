"""A loopback Kubernetes: the API server's part for pods, with a Docker engine as its kubelet.

As much as the Kubernetes clients of Airflow use of pods: create, read, list by labels, patch labels, follow a log,
delete with a grace period, events. Pods share this machine's network.
"""

from __future__ import annotations

import datetime
import json
import re
import subprocess
import threading
import time
import urllib.parse
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.docker_engine import PROGRAM, Engine

_POD = re.compile(r"/api/v1/namespaces/(?P<namespace>[^/]+)/pods(?:/(?P<name>[^/]+))?(?:/(?P<part>log))?$")


class Cluster:
    """The pods, and the containers that they run in.

    Args:
        engine: The Docker engine.
        secrets: By name of a secret: its keys and values.
    """

    def __init__(self, engine: Engine, secrets: dict[str, dict[str, str]] | None = None) -> None:
        self._engine, self._secrets = engine, secrets or {}
        self.pods: dict[str, dict] = {}
        self.created: list[dict] = []
        self._lock = threading.RLock()
        cluster = self

        class Handler(_Handler):
            pass

        Handler.cluster = cluster
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def write_config(self, path: Path) -> Path:
        """A kubeconfig for this cluster."""
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "loopback", "cluster": {"server": self.url}}],
            "contexts": [{"name": "loopback", "context": {"cluster": "loopback", "user": "test"}}],
            "users": [{"name": "test", "user": {}}],
            "current-context": "loopback",
        }
        path.write_text(json.dumps(config))
        return path

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        for name in list(self.pods):
            self._docker("rm", "-f", name)

    # -- what a user of the cluster does -----------------------------------------------------------------

    def create(self, pod: dict, namespace: str) -> dict:
        meta = pod["metadata"]
        meta |= {"namespace": namespace, "uid": str(uuid.uuid4()), "creationTimestamp": _now()}
        pod["status"] = {"phase": "Pending", "conditions": [_condition("PodScheduled", "True")]}
        with self._lock:
            self.pods[meta["name"]] = pod
            self.created.append(json.loads(json.dumps(pod)))
        threading.Thread(target=self._run, args=(pod,), daemon=True).start()
        return pod

    def delete(self, name: str, grace_s: int) -> None:
        pod = self.pods[name]
        pod["metadata"]["deletionTimestamp"] = _now()

        def end() -> None:
            self._docker("stop", "-t", str(grace_s), name)
            time.sleep(0.3)  # the kubelet reports once more
            self._docker("rm", "-f", name)
            with self._lock:
                self.pods.pop(name, None)

        threading.Thread(target=end, daemon=True).start()

    def evict(self, name: str) -> None:
        """As the kubelet of a node short of memory does."""
        self.pods[name]["evicted"] = True
        self._docker("kill", "-s", "KILL", name)

    def lose_node(self, name: str) -> None:
        """The node is gone, and the pod with it."""
        with self._lock:
            self.pods.pop(name)
        self._docker("rm", "-f", name)

    def running(self) -> list[str]:
        return [name for name, pod in self.pods.items() if pod["status"]["phase"] == "Running"]

    # -- the kubelet -------------------------------------------------------------------------------------

    def _docker(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [PROGRAM, *arguments], env=self._engine.env, capture_output=True, text=True, check=False
        )

    def _run(self, pod: dict) -> None:
        name, (container,) = pod["metadata"]["name"], pod["spec"]["containers"]
        image = container["image"]
        if self._docker("image", "inspect", image).returncode:
            message = (
                f'rpc error: code = NotFound desc = failed to pull and unpack image "{image}": not found'
            )
            self._report(pod, "Pending", {"waiting": {"reason": "ErrImagePull", "message": message}})
            return
        options = ["--name", name, "--network", "host"]
        for variable in container.get("env") or []:
            value = variable.get("value")
            if value is None and "valueFrom" in variable:
                reference = variable["valueFrom"]["secretKeyRef"]
                value = self._secrets[reference["name"]][reference["key"]]
            options += ["-e", f"{variable['name']}={_expanded(value)}"]
        command = [*(container.get("command") or []), *map(_expanded, container.get("args") or [])]
        made = self._docker("run", "-d", *options, image, *command)
        if made.returncode:
            state = {"terminated": {"exitCode": 128, "reason": "StartError", "message": made.stderr}}
            self._report(pod, "Failed", state)
            return
        while True:
            told = self._docker("inspect", name)
            if told.returncode:
                return
            state = json.loads(told.stdout)[0]["State"]
            if state["Running"]:
                self._report(pod, "Running", {"running": {"startedAt": state["StartedAt"]}})
                time.sleep(0.3)
                continue
            ended = {
                "exitCode": state["ExitCode"],
                "reason": "Completed" if state["ExitCode"] == 0 else "Error",
                "startedAt": state["StartedAt"],
                "finishedAt": state["FinishedAt"],
            }
            self._report(pod, "Failed" if state["ExitCode"] else "Succeeded", {"terminated": ended})
            return

    def _report(self, pod: dict, phase: str, state: dict) -> None:
        container = pod["spec"]["containers"][0]
        status = {
            "name": container["name"],
            "image": container["image"],
            "imageID": "",
            "ready": phase == "Running",
            "restartCount": 0,
            "state": state,
        }
        told = {
            "phase": phase,
            "startTime": pod["metadata"]["creationTimestamp"],
            "containerStatuses": [status],
            "conditions": [_condition("PodScheduled", "True")],
        }
        if pod.get("evicted") and phase == "Failed":
            told |= {"reason": "Evicted", "message": "The node was low on resource: memory."}
        with self._lock:
            pod["status"] = told

    def follow(self, name: str, query: dict[str, str]) -> subprocess.Popen[bytes]:
        """`docker logs` with what the API's parameters ask for."""
        options = ["-f"] if query.get("follow", "").lower() == "true" else []
        options += ["-t"] if query.get("timestamps", "").lower() == "true" else []
        options += ["--since", f"{query['sinceSeconds']}s"] if "sinceSeconds" in query else []
        options += ["-n", query["tailLines"]] if "tailLines" in query else []
        return subprocess.Popen(
            [PROGRAM, "logs", *options, name],
            env=self._engine.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )


class _Handler(BaseHTTPRequestHandler):
    cluster: Cluster
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        path, query = self._asked()
        found = _POD.match(path)
        if found is None:
            kind = {
                "kind": "EventList",
                "apiVersion": "v1",
                "metadata": {"resourceVersion": "1"},
                "items": [],
            }
            self._answer(200, kind if path.endswith("/events") else {"items": []})
        elif found["name"] is None:
            pods = [
                p for p in list(self.cluster.pods.values()) if _matches(p, query.get("labelSelector", ""))
            ]
            self._answer(200, {"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": pods})
        elif found["name"] not in self.cluster.pods:
            self._missing(found["name"])
        elif found["part"] == "log":
            self._log(found["name"], query)
        else:
            self._answer(200, self.cluster.pods[found["name"]])

    def do_POST(self) -> None:
        path, _ = self._asked()
        found, pod = _POD.match(path), self._body()
        if not re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", pod["metadata"].get("name", "")):
            self._answer(422, _status("Invalid", "metadata.name: Invalid value"))
        elif found["namespace"] == "missing":
            self._answer(404, _status("NotFound", 'namespaces "missing" not found'))
        else:
            self._answer(201, self.cluster.create(pod, found["namespace"]))

    def do_PATCH(self) -> None:
        path, _ = self._asked()
        name, change = _POD.match(path)["name"], self._body()
        if name not in self.cluster.pods:
            self._missing(name)
            return
        pod = self.cluster.pods[name]
        pod["metadata"].setdefault("labels", {}).update(change["metadata"]["labels"])
        self._answer(200, pod)

    def do_DELETE(self) -> None:
        path, query = self._asked()
        name, body = _POD.match(path)["name"], self._body() or {}
        if name not in self.cluster.pods:
            self._missing(name)
            return
        pod = self.cluster.pods[name]
        default = pod["spec"].get("terminationGracePeriodSeconds", 30)
        self.cluster.delete(
            name, int(query.get("gracePeriodSeconds", body.get("gracePeriodSeconds", default)))
        )
        self._answer(200, pod)

    def _asked(self) -> tuple[str, dict[str, str]]:
        url = urllib.parse.urlsplit(self.path)
        return url.path, dict(urllib.parse.parse_qsl(url.query))

    def _body(self) -> dict:
        return json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or "null")

    def _missing(self, name: str) -> None:
        self._answer(404, _status("NotFound", f'pods "{name}" not found'))

    def _answer(self, code: int, body: dict) -> None:
        data = json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _log(self, name: str, query: dict[str, str]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        process = self.cluster.follow(name, query)
        try:
            for line in process.stdout:
                self.wfile.write(f"{len(line):x}\r\n".encode() + line + b"\r\n")
                self.wfile.flush()
            self.wfile.write(b"0\r\n\r\n")
        except OSError:
            self.close_connection = True
        finally:
            process.kill()
            process.wait()


def _expanded(text: str) -> str:
    """As Kubernetes does: $$ is $, and $(NAME) a variable, of which there are none here."""
    return re.sub(r"\$\$|\$\(\w+\)", lambda found: "$" if found[0] == "$$" else "", text)


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _condition(kind: str, status: str) -> dict:
    return {"type": kind, "status": status, "lastTransitionTime": _now()}


def _status(reason: str, message: str) -> dict:
    return {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "message": message}


def _matches(pod: dict, selector: str) -> bool:
    labels = pod["metadata"].get("labels") or {}
    for term in filter(None, selector.split(",")):
        if "!=" in term:
            name, value = term.split("!=")
            if labels.get(name) == value:
                return False
        elif "=" in term:
            name, value = term.split("=", 1)
            if labels.get(name) != value:
                return False
        elif term.startswith("!") and term[1:] in labels:
            return False
    return True
