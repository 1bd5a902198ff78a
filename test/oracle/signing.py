"""Bundles of the reference implementation of OpenSSF Model Signing: test/golden/signing.json; and its verdict on ours.

    python test/oracle/signing.py                   # writes the golden file
    python test/oracle/signing.py --ours PACKAGE    # has lcm-merge sign PACKAGE, which has passed, with every curve, and verifies that

The golden file also has the fields of in-toto's and SLSA's messages, from the descriptors of in-toto-attestation.

needs: model-signing==1.1.1 pyopenssl==26.4.0 in-toto-attestation==0.9.3, Python 3.11
"""
import base64
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import model_signing
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from in_toto_attestation.predicates.provenance.v1 import provenance_pb2
from in_toto_attestation.v1 import resource_descriptor_pb2

ROOT = Path(__file__).resolve().parents[2]
CURVES = {"P-256": ec.SECP256R1, "P-384": ec.SECP384R1, "P-521": ec.SECP521R1}

# In the order of code points, "～" (U+FF5E) comes before "🎬" (U+1F3AC); as UTF-16 sorts, behind it. In the order of path
# components "a/b" comes before "a-b"; as text sorts, behind it.
NAMES = {
    "README.md": b"a model\n",
    "empty": b"",
    "a-b": b"1",
    "a/b": b"2",
    "a/c/d.bin": bytes(range(256)),
    "～.txt": b"3",
    "🎬.txt": b"4",
    "größe.txt": b"composed",
    "gro\u0308ße.txt": b"decomposed",
    "with space & 'quotes'.json": b"{}",
    ".hidden": b"5",
}
MANY = {f"part-{i // 20:02}/{i:03}.bin": str(i).encode() for i in range(60)}


def pem(key, password=None, traditional=False):
    form = serialization.PrivateFormat.TraditionalOpenSSL if traditional else serialization.PrivateFormat.PKCS8
    lock = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, form, lock).decode()


def public_pem(key):
    return key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()


def sign(files, *, curve="P-256", ignored=(), links=None, shards=False, hash_type="sha256", link_policy=False):
    """One model of these files, signed by the reference as its command line does it."""
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model"
        for name, content in files.items():
            (model / name).parent.mkdir(parents=True, exist_ok=True)
            (model / name).write_bytes(content)
        for name, target in (links or {}).items():
            os.symlink(target, model / name)
        key = ec.generate_private_key(CURVES[curve]())
        private = Path(folder) / "key.pem"
        private.write_text(pem(key))
        public = Path(folder) / "public.pem"
        public.write_text(public_pem(key))
        hashing = model_signing.hashing.Config()
        if shards:
            hashing.use_shard_serialization(shard_size=100)
        else:
            hashing.use_file_serialization(hashing_algorithm=hash_type)
        hashing.set_ignored_paths(paths=[*ignored, "model.sig"]).set_allow_symlinks(link_policy)
        signature = model / "model.sig"
        model_signing.signing.Config().use_elliptic_key_signer(private_key=private).set_hashing_config(hashing).sign(model, signature)
        if hash_type == "sha256" and not links and not shards:  # from those bundles it guesses its own settings wrongly
            model_signing.verifying.Config().use_elliptic_key_verifier(public_key=public).verify(model, signature)
        return {
            "curve": curve,
            "files": {name: base64.b64encode(content).decode() for name, content in files.items()},
            "links": links or {},
            "public_key": public_pem(key),
            "bundle": json.loads(signature.read_text()),
        }


def keys():
    """One key in the forms that it may have in a file."""
    key = ec.generate_private_key(ec.SECP256R1())
    digest = hashes.Hash(hashes.SHA256())
    digest.update(public_pem(key).encode())
    return {
        "passphrase": "geheim",
        "hint": digest.finalize().hex(),
        "plain": {"pkcs8": pem(key), "sec1": pem(key, traditional=True)},
        "encrypted": {"pkcs8": pem(key, b"geheim"), "sec1": pem(key, b"geheim", traditional=True)},
    }


def fields(descriptor, known):
    """Message → field in JSON → kind, for a message and those in it."""
    if descriptor.full_name in known or descriptor.full_name.startswith("google.protobuf."):
        return known
    known[descriptor.full_name] = {}
    for field in descriptor.fields:
        entry = field.message_type
        is_map = entry is not None and entry.GetOptions().map_entry
        value = entry.fields_by_name["value"] if is_map else field
        kind = value.message_type.full_name if value.message_type else "string"
        known[descriptor.full_name][field.json_name] = {"kind": kind, "many": "map" if is_map else "list" if field.is_repeated else "no"}
        if value.message_type:
            fields(value.message_type, known)
    return known


def main():
    cases = {
        "P-256": sign(NAMES),
        "P-384": sign(NAMES, curve="P-384"),
        "P-521": sign(NAMES, curve="P-521"),
        "many files": sign(MANY),
        "ignored paths": sign(NAMES, ignored=["a", "README.md"]),
        "git's own files": sign(NAMES | {".gitattributes": b"*", ".git/config": b"[core]", "a/.gitignore": b"x"}),
        "links": sign(NAMES, links={"link": "README.md"}, link_policy=True),
        "shards": sign(NAMES, shards=True),
        "blake2b": sign(NAMES, hash_type="blake2"),
    }
    messages = fields(provenance_pb2.Provenance.DESCRIPTOR, {})
    fields(resource_descriptor_pb2.ResourceDescriptor.DESCRIPTOR, messages)
    path = ROOT / "test/golden/signing.json"
    path.write_text(json.dumps({"cases": cases, "keys": keys(), "messages": messages}, ensure_ascii=False, indent=1) + "\n")
    print(f"{len(cases)} bundles -> {path.name}, {path.stat().st_size} bytes")


def ours(package):
    with tempfile.TemporaryDirectory() as folder:
        for curve, kind in CURVES.items():
            key = ec.generate_private_key(kind())
            private, public = Path(folder) / "key.pem", Path(folder) / "public.pem"
            private.touch(mode=0o600)
            private.write_text(pem(key))
            public.write_text(public_pem(key))
            subprocess.run(["node", ROOT / "src/cli.ts", "sign", package, "--key", private, "-q"], check=True, stdout=subprocess.DEVNULL)
            model_signing.verifying.Config().use_elliptic_key_verifier(public_key=public).verify(package, Path(package) / "model.sig")
            print(f"{curve}: model_signing verifies what lcm-merge signed")


if __name__ == "__main__":
    ours(sys.argv[2]) if sys.argv[1:2] == ["--ours"] else main()
