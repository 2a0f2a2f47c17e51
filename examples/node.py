"""A node of a fleet: node.py KEYFILE OWNER joins, says that it is there, and checks in
the log what it signed. The key is made if there is none."""
import base64, json, os, secrets, sys
from cryptography.hazmat.primitives import serialization as form
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from client import Client

def canonical(value):
    """RFC 8785, where names are ASCII and numbers whole."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)

def content(hub, said):
    """What is signed of a command, or of its entry."""
    signed = {name: said[name] for name in ("command", "payload", "signer", "idempotency_key", "key_since", "window_id", "inputs_hash", "evidence") if name in said}
    return ("swoosh signed command 1\n" + canonical(signed | {"hub": hub})).encode()

def load_key(file):
    if not os.path.exists(file):
        pem = Ed25519PrivateKey.generate().private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())
        with open(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as new:
            new.write(pem)
            new.flush()
            os.fsync(new.fileno())
    with open(file, "rb") as old:
        return form.load_pem_private_key(old.read(), None)

class Node(Client):
    def __init__(self, file, owner, **client):
        super().__init__(**client)
        self.key = load_key(file)
        self.public = self.key.public_key().public_bytes(form.Encoding.Raw, form.PublicFormat.Raw).hex()
        self.session = secrets.token_hex(8)
        self.id = self.public  # a key signs its registration as itself
        self.register = {"public_key": self.public, "owner": owner, "session": self.session}
        self.joined = self.say("fleet.register", self.register)
        self.id = self.read(f"/fleet/keys/{self.public}", self.joined["index"])["node"]

    def read(self, path, index=0):
        return self.again(lambda: json.load(self.open(f"/state?path={path}&min_index={index}")))

    def hub(self):
        return self.again(lambda: json.load(self.open("/health")))["hub"]

    def say(self, command, payload, fenced=False):
        said = {"command": command, "payload": payload, "signer": self.id}
        if not fenced:
            said |= {"idempotency_key": secrets.token_hex(16), "key_since": self.again(lambda: self.open("/health").headers["Swoosh-HLC"])}
        said["signature"] = base64.b64encode(self.key.sign(content(self.hub(), said))).decode()
        return self.again(lambda: json.load(self.open("/command", json.dumps(said).encode(), **{"Content-Type": "application/json"})))

    def heartbeat(self):
        return self.say("fleet.heartbeat", {"node": self.id, "session": self.session, "seen": self.hlc}, fenced=True)

if __name__ == "__main__":
    node = Node(*sys.argv[1:], address=os.environ.get("SWOOSH_ADDR", "http://127.0.0.1:8420"))
    node.say("fleet.set_tags", {"node": node.id, "tags": ["python"]})
    entry = json.load(node.open(f"/log/{node.heartbeat()['index']}"))
    Ed25519PublicKey.from_public_bytes(bytes.fromhex(entry["signer_key"])).verify(base64.b64decode(entry["signature"]), content(node.hub(), entry))
    print(f"{node.id} joined with entry {node.joined['index']}, and signed entry {entry['index']}")
