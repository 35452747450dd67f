"""The part of W&B's GraphQL protocol that sweeps and their agents speak; everything that is asked is kept.

It plays the server's side from its own reading of what the client sends. So it shows what we send and what an agent
does with an answer of this form; it cannot show that the real server accepts it.
"""

from __future__ import annotations

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ENTITY, PROJECT, SWEEP = "someone", "somewhere", "abcd1234"


class WandbServer:
    """Takes one sweep and hands out `runs` (dicts of settings) to whichever agent asks next."""

    def __init__(self, runs: list[dict[str, Any]]) -> None:
        self.waiting = list(enumerate(runs))
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.requests: list[str] = []
        """Of each request, of whatever kind, the credentials that came with it."""
        self.sweep: dict[str, Any] = {}
        self._mutex = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.do_POST()

            def do_POST(self) -> None:
                outer.requests.append(self.headers.get("Authorization", ""))
                content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                answer = b"{}"
                if self.path == "/graphql":  # what else W&B's own process tells its server is of no interest here
                    body = json.loads(content)
                    with outer._mutex:
                        data = outer._answer(body["query"], body.get("variables") or {})
                    answer = json.dumps({"data": data}).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.base = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def variables(self, transformation: str) -> list[dict[str, Any]]:
        """Return the variables of every call of a transformation."""
        return [variables for name, variables in self.asked if name == transformation]

    def _answer(self, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        found = re.search(r"(?:query|mutation)\s+(\w+)", query)
        name = found.group(1) if found else ""
        self.asked.append((name, variables))
        place = {"id": "p", "name": PROJECT, "entity": {"id": "e", "name": ENTITY}}
        if name == "UpsertSweep":
            self.sweep = variables
            sweep = {"name": SWEEP, "project": place}
            return {"upsertSweep": {"sweep": sweep, "configValidationWarnings": []}}
        if name == "CreateRunFiles":
            return {"createRunFiles": {"runID": "r", "uploadHeaders": [], "files": []}}
        if name == "CreateAgent":
            return {"createAgent": {"agent": {"id": "agent"}}}
        if name == "Heartbeat":
            return {"agentHeartbeat": {"agent": {"id": "agent"}, "commands": json.dumps(self._commands(variables))}}
        if "viewer" in query:
            return {"viewer": {"id": "v", "entity": ENTITY, "username": ENTITY, "flags": "{}", "teams": {"edges": []}}}
        sweep = {
            "id": "s",
            "name": SWEEP,
            "state": "RUNNING",
            "config": self.sweep.get("config"),
            "runs": {"edges": []},
        }
        return {"project": {**place, "sweep": sweep}}

    def _commands(self, variables: dict[str, Any]) -> list[dict[str, Any]]:
        states = json.loads(variables.get("runState") or "{}")
        if states:  # an agent with a run under way
            return []
        if not self.waiting:
            return [{"type": "exit"}]
        number, settings = self.waiting.pop(0)
        args = {name: {"value": value} for name, value in settings.items()}
        return [{"type": "run", "run_id": f"run{number}", "args": args, "program": "ipo"}]
