"""Shows who elected a project's council, from the log alone:

    swoosh log --json | certificate.py PROJECT

For each seat it prints the votes, and the entries in which their voters signed them. It takes
nothing from the state: the keys of the nodes, and which of them went, follow from the entries
too. It exits with 1 if the entries do not follow one another, if one is there twice, if a vote is
not signed by its voter, or if a seat has fewer votes than the quorum."""
import base64, hashlib, json, sys
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from node import canonical

SIGNED = ("command", "payload", "signer", "idempotency_key", "key_since", "expect", "window_id", "inputs_hash", "evidence")

class Audit:
    def __init__(self, project):
        self.project, self.network, self.closed = project, None, False
        self.entries, self.chain, self.keys = [], bytes(32), {}
        self.last, self.node, self.key, self.owner, self.seen = 0, {}, {}, {}, {}  # seen: of the ACTIVE ones
        self.plan, self.votes, self.seats = None, {}, None  # votes: (role, voter, candidate) to entry, seats: None before the election

    def take(self, entry):
        chain = entry.pop("chain")
        self.chain = hashlib.sha256(self.chain + canonical(entry).encode()).digest()
        self.entries.append(entry)
        if entry["index"] != len(self.entries) or chain != self.chain.hex():
            sys.exit(f"entry {entry['index']} does not follow the entry before it: the log must begin with entry 1, and be whole")
        given = entry.get("idempotency_key"), entry.get("key_since")
        if all(given) and self.keys.setdefault(given, entry["index"]) != entry["index"]:
            sys.exit(f"entry {entry['index']} has the key of entry {self.keys[given]}: a hub takes none twice, so what was signed is shown again")
        if entry["command"] in ("state.import", "log.loss"):
            sys.exit(f"entry {entry['index']} is {entry['command']}: who has which key does not follow from the log")
        if len(self.entries) == 1:
            self.hub = chain
        if rule := getattr(self, entry["command"].replace(".", "_"), None):
            rule(entry, entry["payload"], int(entry["hlc"][:12], 16))

    def signed(self, entry, voter):
        """Whether an entry is signed by a node, with the key that it had then."""
        said, batch = {name: entry[name] for name in SIGNED if name in entry}, entry.get("batch")
        begins = (batch or {}).get("first", entry["index"]) == 1  # It was signed before the log had an identity.
        said["hub"] = "0" * 64 if begins else self.hub
        if batch:  # The key of the first stands for all.
            first = self.entries[batch["first"] - 1]
            said |= {name: first[name] for name in ("idempotency_key", "key_since") if name in first}
            said["batch"] = {"count": batch["count"], "position": entry["index"] - batch["first"]}
        try:
            key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(self.key[voter][0]))
            key.verify(base64.b64decode(entry["signature"], validate=True), ("swoosh signed command 1\n" + canonical(said)).encode())
            return entry["signer"] == voter
        except (InvalidSignature, KeyError, ValueError):
            return False

    # A rule for each command that matters, named after it.

    def fleet_register(self, entry, said, ms):
        if said["public_key"] not in self.node:
            self.last += 1
            self.node[said["public_key"]] = f"n{self.last}"
            self.key[f"n{self.last}"], self.owner[f"n{self.last}"] = (said["public_key"], f"entry {entry['index']}"), said["owner"]
        self.seen[self.node[said["public_key"]]] = ms

    def fleet_heartbeat(self, entry, said, ms):
        self.seen[said["node"]] = ms

    def fleet_rotate_key(self, entry, said, ms):
        given = f"entry {entry['index']}" + ("" if self.signed(entry, said["node"]) else ", which an admin gave it")
        self.node[said["public_key"]], self.key[said["node"]] = said["node"], (said["public_key"], given)

    def fleet_deregister(self, entry, said, ms):
        self.leave(said["node"])
        self.seen.pop(said["node"], None)

    def fleet_reap(self, entry, said, ms):
        gone = [node for node in said["nodes"] if self.seen.get(node, said["before"]) < said["before"]]
        self.leave(*gone)
        for node in gone:
            del self.seen[node]

    def policy_quarantine(self, entry, said, ms):
        what, _, name = said.get("scope", "").partition(":")
        self.leave(*(node for node, owner in self.owner.items() if what == "node" and node == name or what == "owner" and owner == name))

    def network_leave(self, entry, said, ms):
        if said["network"] == self.network:
            self.leave(said["node"])

    network_kick = network_leave

    def network_delete(self, entry, said, ms):
        if said["network"] == self.network:
            self.leave(*self.owner)

    def project_create(self, entry, said, ms):
        if said["project"] == self.project:
            self.network = said.get("network") or sys.exit(f"project {self.project} is on no network, where nobody signs")

    def project_archive(self, entry, said, ms):
        self.closed = self.closed or said["project"] == self.project

    def council_plan(self, entry, said, ms):
        if said["project"] == self.project:
            self.plan, self.votes, self.seats = entry, {}, None

    def council_vote(self, entry, said, ms):
        if said["project"] == self.project:
            good = self.signed(entry, said["voter"]) and {said["voter"], said["candidate"]} <= set(self.plan["payload"]["electorate"])
            self.votes.setdefault((said["role"], said["voter"], said["candidate"]), (entry["index"], self.key.get(said["voter"]), good))

    def council_elect(self, entry, said, ms):
        if said["project"] == self.project:
            self.seats = []
            for role in self.plan["payload"]["roles"]:
                votes = {}
                for name, _, candidate in self.votes:
                    if name == role["name"]:
                        votes[candidate] = votes.get(candidate, 0) + 1
                best = sorted(votes, key=lambda candidate: (-votes[candidate], candidate))
                self.seats += [(role["name"], candidate) for candidate in best[:role["seats"]]]

    def council_dissolve(self, entry, said, ms):
        if said["project"] == self.project:
            self.votes, self.seats = {}, None

    def leave(self, *nodes):
        """What follows for the council when nodes go."""
        for node in nodes if not self.closed else ():
            if self.seats is None:
                self.votes = {vote: by for vote, by in self.votes.items() if node not in vote[1:]}
            elif node in (member for _, member in self.seats):
                self.votes, self.seats = {}, None

    def show(self):
        """Prints the certificate, and returns whether it is good."""
        quorum, electorate = self.plan["payload"]["quorum"], self.plan["payload"]["electorate"]
        print(f"hub {self.hub}, {len(self.entries)} entries, chain {self.chain.hex()}")
        print(f"entry {self.plan['index']} plans a quorum of {quorum} of {', '.join(electorate)}")
        sound = quorum * 2 > len(electorate)
        for role, member in self.seats:
            votes = {voter: by for (name, voter, candidate), by in self.votes.items() if (name, candidate) == (role, member)}
            print(f"{role}: {member}")
            for voter, (index, key, good) in votes.items():
                print(f"  {voter} in entry {index}, {f'signed with the key of {key[1]}' if good else 'NOT SIGNED by it'}")
            count = sum(good for _, _, good in votes.values())
            print(f"  {count} of {quorum} votes")
            sound = sound and quorum <= count == len(votes)
        return sound

if __name__ == "__main__":
    audit = Audit(sys.argv[1])
    for line in sys.stdin:
        audit.take(json.loads(line))
    if not audit.seats:
        sys.exit(f"project {audit.project} has no council now")
    sys.exit(0 if audit.show() else 1)
