"""Checks a receipt offline: receipt.py FILE KEY, the server's key from its /health."""
import base64, json, sys
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

with open(sys.argv[1]) as file:
    receipt = json.load(file)
signature = base64.b64decode(receipt.pop("signature"), validate=True)
if receipt["key"] != sys.argv[2]:
    sys.exit("another key signed it")
content = "swoosh receipt 1\n" + json.dumps(receipt, sort_keys=True, separators=(",", ":"))
Ed25519PublicKey.from_public_bytes(bytes.fromhex(receipt["key"])).verify(signature, content.encode())  # or InvalidSignature
print(f"at {receipt['time']} entry {receipt['index']} had the chain {receipt['chain']}")
