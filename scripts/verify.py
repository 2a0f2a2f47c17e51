#!/usr/bin/env python3
"""Computes a swoosh server's state hash and chain from what it serves.

    verify.py http://127.0.0.1:8420     asks a server for /state and /log
    verify.py STATE.json LOG.ndjson     reads files: the bodies of the same two

It knows the two formulas of DURABILITY.md and nothing else of swoosh. It needs
the log from its first entry on; one that begins later is followed from there.
Exit codes: 0 all agrees, 1 something differs, 2 usage.
"""
import hashlib
import json
import sys
import urllib.request


class Number(str):
    """A number in the form in which swoosh wrote it, which is that of RFC 8785."""


def parse(text):
    return json.loads(text, parse_int=Number, parse_float=Number)


def canonical(value):
    """RFC 8785: members in the order of their names in UTF-16."""
    return encode(value).encode()


def encode(value):
    if isinstance(value, dict):
        members = sorted(value.items(), key=lambda member: member[0].encode("utf-16-be"))
        return "{" + ",".join(encode(name) + ":" + encode(v) for name, v in members) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(encode, value)) + "]"
    return value if isinstance(value, Number) else json.dumps(value, ensure_ascii=False)


def state_hash(document):
    total = 0
    for domain, members in document.items():
        if domain == "meta":
            continue
        for name, value in members.items():
            if f"/{domain}/{name}" in document["meta"]["tables"]:
                parts = [[domain, name, key, row] for key, row in value.items()]
            else:
                parts = [[domain, "", name, value]]
            for part in parts:
                total += int.from_bytes(hashlib.sha256(canonical(part)).digest(), "big")
    total %= 2**256
    return hashlib.sha256(b"swoosh state 1\n" + total.to_bytes(32, "big")).hexdigest()


def check_chain(lines):
    """Gives the number of entries and the last one; exits where a link is wrong."""
    chain, entry, count, index, gaps, named = "0" * 64, None, 0, 0, [], []
    for line in lines:
        if not line.strip():
            continue
        entry = parse(line)
        said, before, index = entry.pop("chain"), index, int(entry["index"])
        known = index == before + 1
        if entry["command"] == "log.loss":
            named.append(entry["payload"])
            if not known or int(entry["payload"]["to"]) == before:
                chain, known = entry["payload"]["chain"], True
        if known or count:
            computed = hashlib.sha256(bytes.fromhex(chain) + canonical(entry)).hexdigest()
            if said != computed:
                wrong = f"entry {index}: its chain is {said}, computed is {computed}"
                if known or index <= before:
                    sys.exit(wrong)
                gaps.append((before + 1, index - 1, wrong))
        chain, count = said, count + 1
    for first, last, wrong in gaps:
        if not any(int(loss["from"]) <= first and last <= int(loss["to"]) for loss in named):
            sys.exit(wrong)
    return count, entry, chain


def get(url, accept):
    return urllib.request.urlopen(urllib.request.Request(url, headers={"Accept": accept})).read()


def main(args):
    if len(args) == 1 and args[0].startswith("http"):
        state = get(args[0].rstrip("/") + "/state", "application/json")
        log = get(args[0].rstrip("/") + "/log", "application/x-ndjson").splitlines()
    elif len(args) == 2:
        state, log = open(args[0], "rb").read(), open(args[1], "rb").read().splitlines()
    else:
        print(__doc__, file=sys.stderr)
        return 2
    document = parse(state)
    computed, said = state_hash(document), document["meta"]["state_hash"]
    if computed != said:
        sys.exit(f"state hash: the server says {said}, computed is {computed}")
    count, last, chain = check_chain(log)
    if last and last["state_hash"] != said:
        sys.exit(f"entry {last['index']}: it says state hash {last['state_hash']}, the state has {said}")
    print(f"state hash {computed}\nchain      {chain}\n{count} entries agree")
    return 0


sys.exit(main(sys.argv[1:]))
