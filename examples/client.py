"""A client for swoosh: commands that apply once, reads, the log as it grows."""
import contextlib, http.client, json, os, random, secrets, time, urllib.parse

class Client:
    def __init__(self, address="http://127.0.0.1:8420", token=os.environ.get("SWOOSH_TOKEN")):
        self.url, self.hlc, self.headers = urllib.parse.urlsplit(address), "", {"Authorization": f"Bearer {token}"} if token else {}

    def open(self, path, body=None, **headers):
        connection = getattr(http.client, self.url.scheme.upper() + "Connection")(self.url.netloc, timeout=60)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # refused before it was read: the answer is there
            connection.request("GET" if body is None else "POST", path, body, self.headers | headers)
        answer = connection.getresponse()
        if answer.status >= 400:  # a ValueError has the problem: branch on its "code"
            raise OSError(answer.read()) if answer.status == 429 or answer.status >= 500 else ValueError(json.load(answer))
        self.hlc = max(self.hlc, answer.headers["Swoosh-HLC"])
        return answer

    def again(self, once, patience=12):
        """Retries until there is a final answer: one that is neither 429 nor 5xx."""
        for attempt in range(patience):
            with contextlib.suppress(OSError, http.client.HTTPException):
                return once()
            time.sleep(random.uniform(0, min(10, 0.1 * 2**attempt)))
        raise TimeoutError("no answer: to learn whether it happened, send it again with the same key")

    def command(self, name, payload={}, key=None, **more):
        since = self.hlc or self.again(lambda: self.open("/health").headers["Swoosh-HLC"])
        body = {"command": name, "payload": payload, "idempotency_key": key or secrets.token_hex(16), "key_since": since} | more
        return self.again(lambda: json.load(self.open("/command", json.dumps(body).encode(), **{"Content-Type": "application/json"})))

    def watch(self, start=1, chain=""):
        """Yields every entry from an index on, in order and each once, without end. Fails
        with history_changed if the entry before has another chain than the one given."""
        while True:
            with contextlib.suppress(OSError, http.client.HTTPException):
                for line in self.again(lambda: self.open(f"/watch?from={start}" + (chain and f"&after={chain}")), 10**9):
                    if line.startswith(b"data: ") and b'"chain":' in line:
                        entry = json.loads(line[6:])
                        start, chain = entry["index"] + 1, entry["chain"]
                        yield entry
