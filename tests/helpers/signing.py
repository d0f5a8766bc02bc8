"""Keys and signatures for tests of what checks them. Python 3.6-clean."""

import os

from coachc.runtime.bundle.signature import SIGNATURE, Signature, encode_signature, key_id_of


class Signer:
    """An Ed25519 key pair whose public half is the file NAME.pub in a folder."""

    def __init__(self, folder, name="team"):
        from cryptography.hazmat.primitives import serialization as s
        from cryptography.hazmat.primitives.asymmetric import ed25519

        self.private = ed25519.Ed25519PrivateKey.generate()
        public = self.private.public_key()
        self.key_id = key_id_of(public.public_bytes(s.Encoding.Raw, s.PublicFormat.Raw))
        self.pem = self.private.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.NoEncryption())
        if not os.path.isdir(str(folder)):
            os.mkdir(str(folder))
        self.path = os.path.join(str(folder), name + ".pub")
        with open(self.path, "wb") as stream:
            stream.write(public.public_bytes(s.Encoding.PEM, s.PublicFormat.SubjectPublicKeyInfo))

    def line(self, data):
        return encode_signature(Signature(self.key_id, self.private.sign(data)))

    def sign(self, bundle):
        """Sign the bundle in that folder."""
        with open(os.path.join(str(bundle), "manifest.json"), "rb") as stream:
            line = self.line(stream.read())
        with open(os.path.join(str(bundle), SIGNATURE), "wb") as stream:
            stream.write(line)
